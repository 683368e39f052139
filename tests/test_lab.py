"JupyterLab as `make lab` starts it: the start page is served, and what is saved is cleaned."
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from importlib.util import find_spec

import pytest

from conftest import ROOT


def recipe():
    "What `make lab` runs, and where."
    text = re.search(r"^lab:.*\n((?:\t.*\n)+)", (ROOT/"Makefile").read_text(encoding="utf-8"), re.M)[1]
    return re.search(r"cd (\S+) && .*/jupyter lab (\S+)", text).groups()


@pytest.fixture
def lab(tmp_path):
    "A server on a copy of the start page: (address, token, folder)."
    if find_spec("jupyterlab") is None: pytest.skip("JupyterLab is not installed")
    where, page = recipe()
    (tmp_path/where).mkdir()
    for path in ("settings.ini", f"{where}/{page}"): shutil.copy(ROOT/path, tmp_path/path)
    words = [sys.executable, "-m", "jupyterlab", page, "--no-browser", "--port=0", "--IdentityProvider.token=trial", *(["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else [])]
    env = os.environ | {"JUPYTER_CONFIG_PATH": str(ROOT/".jupyter"), "JUPYTER_RUNTIME_DIR": str(tmp_path/"runtime"), "JUPYTER_CONFIG_DIR": str(tmp_path/"config"), "JUPYTER_DATA_DIR": str(tmp_path/"data"), "PYTHONPATH": str(ROOT)}
    with open(tmp_path/"log", "w") as log: server = subprocess.Popen(words, cwd=tmp_path/where, env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        for _ in range(600):
            found = [*(tmp_path/"runtime").glob("jpserver-*.json")]
            if found or server.poll() is not None: break
            time.sleep(0.2)
        assert found, (tmp_path/"log").read_text()
        yield json.loads(found[0].read_text())["url"], tmp_path/where/page
    finally:
        server.terminate()
        server.wait(30)


def ask(url, body=None):
    "GET, or PUT of a body; the answer's text."
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None, {"Authorization": "token trial", "Content-Type": "application/json"}, method="PUT" if body else "GET")
    for attempt in range(50):
        try: return urllib.request.urlopen(request, timeout=60).read().decode()
        except ConnectionRefusedError: time.sleep(0.2)
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError): raise
            time.sleep(0.2)
    raise TimeoutError(url)


def test_the_start_page_is_served_and_cleaned_when_it_is_saved(lab):
    address, file = lab
    assert "JupyterLab" in ask(f"{address}lab/tree/{file.name}")
    page = json.loads(ask(f"{address}api/contents/{file.name}"))
    assert page["type"] == "notebook" and "Start here" in json.dumps(page["content"])
    for cell in page["content"]["cells"]:
        if cell["cell_type"] == "code": cell["execution_count"], cell["metadata"] = 7, {"scrolled": True}
    ask(f"{address}api/contents/{file.name}", {"type": "notebook", "content": page["content"]})
    saved = [c for c in json.loads(file.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
    assert {c["execution_count"] for c in saved} == {None} and all(c["metadata"] == {} for c in saved)
