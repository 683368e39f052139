"The bundled training data: the same bytes from the same command, plausible by the project's own rules, both markets with their currencies."
import csv
import os
import subprocess
import sys

import pandas as pd
import pytest

from conftest import ROOT
from smart_money.schema import ITEM_COLUMNS, META_COLUMNS, PROFILE_COLUMNS, spend_categories
from smart_money.validation import DataValidator

DATA = ROOT / "data" / "enterprise_training_data.csv"
BASIS = {"published", "survey", "moments", "calibrated", "assumed", "none", "see its column basis"}


@pytest.fixture(scope="module")
def panel(): return pd.read_csv(DATA, parse_dates=["period"])


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_same_bytes_in_a_fresh_process(hash_seed, tmp_path):
    code = f"from smart_money.synthetic import write_enterprise_data; write_enterprise_data({str(tmp_path / 'again.csv')!r})"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)})
    assert (tmp_path / "again.csv").read_bytes() == DATA.read_bytes()


def test_size_columns_and_markets(panel):
    assert DATA.stat().st_size < 4.2e6
    assert set(PROFILE_COLUMNS) | set(META_COLUMNS) | set(ITEM_COLUMNS) < set(panel)
    assert len(spend_categories(panel.columns)) == 12
    assert panel.groupby("market").currency.unique().map(list).to_dict() == {"IN": ["INR"], "US": ["USD"]}
    assert panel.groupby("market").household_id.nunique().to_dict() == {"IN": 300, "US": 700}


def test_nothing_to_complain_of_but_gaps(panel):
    assert set(DataValidator().validate(panel).violations["rule"]) <= {"gap"}


def test_amounts_are_whole_cents(panel):
    money = panel.filter(regex="^(spend_|monthly_income)")
    assert (money - money.round(2)).abs().max(axis=None) == 0


@pytest.mark.parametrize("table", sorted((ROOT / "data" / "markets").glob("*/synthetic_*.csv")), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_number_says_where_it_comes_from(table):
    with table.open(encoding="utf-8", newline="") as file: rows = list(csv.DictReader(file))
    with (table.parent / "synthetic_sources.csv").open(encoding="utf-8", newline="") as file: known = list(csv.DictReader(file))
    assert rows
    if table.stem != "synthetic_sources": assert table.stem.removeprefix("synthetic_") in {row["table"] for row in known}
    for row in [*known, *(rows if "basis" in rows[0] else [])]: assert row["basis"] in BASIS and row["source"]
