"JupyterLab started by `make lab` cleans a notebook's metadata whenever it saves one, so that a diff shows what was changed and nothing else."
def nbdev_clean_jupyter(**kwargs):
    try: from nbdev.clean import clean_jupyter
    except ModuleNotFoundError: return
    clean_jupyter(**kwargs)

c.ContentsManager.pre_save_hook = nbdev_clean_jupyter  # noqa: F821 (c is given by Jupyter)
