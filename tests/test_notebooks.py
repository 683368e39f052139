"Every notebook is one test, run by nbdev's own rules: cells flagged in `tst_flags` are left out unless NB_FLAGS names them."
import os

import pytest
from nbdev.config import get_config
from nbdev.doclinks import nbglob
from nbdev.test import test_nb as run_notebook

from conftest import ROOT

config = get_config(path=ROOT)
FLAGS = set(config.tst_flags.split()) - set(os.environ.get("NB_FLAGS", "").split())
SLOWEST = "evaluation", "training", "model_selection", "budgeting", "ensemble", "synthetic", "cli", "inference"


def order(notebook):
    "The slowest first, so that two processes end together; the others from the highest floor down."
    module = notebook.stem.partition("_")[2]
    return (SLOWEST.index(module) if module in SLOWEST else len(SLOWEST)), -int(notebook.stem[:2]) if notebook.stem[:2].isdigit() else 0


NOTEBOOKS = sorted(nbglob(config.nbs_path, as_path=True), key=order)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: str(p.relative_to(config.nbs_path)))
def test_notebook(notebook, capfd, monkeypatch):
    monkeypatch.chdir(config.nbs_path)
    passed, _ = run_notebook(notebook.absolute(), skip_flags=FLAGS, basepath=config.config_path)
    assert passed, capfd.readouterr().err
