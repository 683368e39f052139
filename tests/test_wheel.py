"The wheel holds the package, its data and its command, and works from another directory. (.ci/run installs it into an empty environment.)"
import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from conftest import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    "Build from a copy, so that no build/ directory appears in the repository."
    copy = tmp_path_factory.mktemp("source")/"smart_money"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv*", "_docs", "_proc", "_sphinx", "build", "dist", "*.egg-info", "__pycache__", "nbs", "tests"), symlinks=True)
    out = copy.parent/"dist"
    run = subprocess.run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, copy], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return next(out.glob("*.whl"))


def test_everything_is_in_it(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    data = {f"smart_money/{p.relative_to(ROOT)}" for p in (ROOT/"data").rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    modules = {f"smart_money/{p.name}" for p in (ROOT/"smart_money").glob("*.py")}
    assert data | modules <= names, sorted((data | modules) - names)
    assert not [n for n in names if n.endswith((".ipynb", ".pkl"))]


def test_it_runs_from_another_directory(wheel, tmp_path):
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", tmp_path/"site", wheel], check=True)
    code = "import smart_money.schema as s, smart_money.data, importlib.resources as r; print(s.__file__); print((r.files(smart_money.data)/'examples'/'household.json').is_file())"
    code += "\nfrom smart_money.store import Store; print(Store('store.sqlite3').revision)" # migrations are found and run where the wheel put them
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path/"site")})
    assert run.returncode == 0, run.stderr
    place, found, revision = run.stdout.split()
    assert place.startswith(str(tmp_path)) and found == "True" and revision >= "0001"
