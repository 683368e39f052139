"What the tests share: where the repository and its notebooks are, and a cache that the user's own model is not in."
import hashlib
import os
import re
import shutil
import uuid
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = {m[2]: nb for nb in sorted((ROOT/"nbs").glob("*.ipynb")) if (m := re.fullmatch(r"(\d+)_(\w+)", nb.stem))}


def shared(*parts):
    "A file beside the repository that a clone elsewhere does not have: skip the test there, saying so."
    path = ROOT.parent.joinpath("shared", *parts)
    if not path.exists(): pytest.skip(f"{'/'.join(parts)} is not beside this clone")
    return path


@pytest.fixture
def outside(tmp_path, monkeypatch):
    "Work in an empty directory that is not the repository."
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def postgres_cluster():
    "A private PostgreSQL server; skips, saying why, where none can run."
    from postgres import Cluster, Unavailable
    try: cluster = Cluster("fsync=off") # faster, and all the same to a process that is killed: what it wrote is with the kernel
    except Unavailable as error: pytest.skip(str(error))
    with cluster: yield cluster


@pytest.fixture
def postgres(postgres_cluster):
    "The URL of a new, empty PostgreSQL database."
    return postgres_cluster.new_database(f"test_{uuid.uuid4().hex[:12]}")


def code_hash():
    "What the default model depends on: the library's code and its data."
    files = sorted([*(ROOT/"smart_money").glob("*.py"), *(ROOT/"data").rglob("*.csv")])
    return hashlib.sha256(b"".join(p.read_bytes() for p in files)).hexdigest()[:12]


os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("SMART_MONEY_CACHE", str(ROOT/".cache"/code_hash()))  # trained anew where the code has changed


BROWSER_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def browser():
    "A headless Chromium; skips, saying why, where none can run."
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None: pytest.skip("no Chromium on this machine: apt-get install chromium")
    with api.sync_playwright() as p:
        try: found = p.chromium.launch(executable_path=path, args=BROWSER_FLAGS)
        except api.Error as error: pytest.skip(f"Chromium does not start here: {str(error).splitlines()[0]}")
        yield found
        found.close()
