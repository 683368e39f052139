"From a bank file, as a process: what analyze and budget print, draw and refuse."
import json

import pytest

from conftest import ROOT
from test_cli import smart_money

EXPORT = ROOT/"data"/"examples"/"bank_export.csv"


def test_an_analysis_is_plain_data_and_pictures(tmp_path):
    run = smart_money("analyze", EXPORT, "--months", 3, "--balance", 6947.36, "--plots", tmp_path/"charts", "--json")
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout)
    assert {"spending_patterns", "insights", "anomalies"} <= answer.keys()
    assert answer["spending_patterns"]["period"]["whole_months"] == ["2025-04", "2025-05", "2025-06"]
    assert any(a["merchant"].startswith("best buy") for a in answer["anomalies"])
    assert any(p["merchant"].startswith("netflix") and p["price_changes"] for p in answer["spending_patterns"]["recurring"])
    assert sorted(p.name for p in (tmp_path/"charts").iterdir()) == ["anomalies.png", "calendar.png", "cash_flow.png", "months.png"]


def test_an_analysis_as_text():
    run = smart_money("analyze", EXPORT)
    assert run.returncode == 0, run.stderr
    for words in ("Food & dining", "Comes again", "Worth knowing", "Stands out", "All spending"): assert words in run.stdout


def test_a_budget_straight_from_a_statement(tmp_path):
    (tmp_path/"me.toml").write_text('age = 34\nlocation = "Austin, TX"\n\n[preferences]\nlocked = { giving = 50 }\n', encoding="utf-8")
    run = smart_money("budget", EXPORT, "--profile", "me.toml", "--savings-goal", 0.1, "--json", "--plot", "plan.png", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    plan = json.loads(run.stdout)
    assert plan["month"] == "2025-07" and plan["income_estimated"] and 5000 < plan["income"] < 5400 and plan["currency"] == "USD"
    assert plan["budget"]["giving"] == 50 and plan["savings_goal"] == pytest.approx(0.1 * plan["income"], abs=0.01)
    assert round(100 * sum(plan["budget"].values())) + round(100 * plan["savings"]) == round(100 * plan["income"])
    assert 0.7 < plan["total_forecast"]["median"] / sum(plan["past"].values()) < 1.3
    assert any("estimate" in note for note in plan["notes"]) and (tmp_path/"plan.png").stat().st_size > 5000


@pytest.mark.parametrize("words, said", [
    (("budget", "bank.csv"), "--age"), (("budget", "bank.csv", "--age", "7"), "age: got 7"), (("budget", "home.json", "--age", "30"), "household file"),
    (("budget", "bank.csv", "home.json"), "one household file"), (("analyze", "noise.csv"), "noise.csv"), (("analyze", "bank.csv", "--from", "2031-01-01"), "no transaction in it"),
    (("analyze", "bank.csv", "--months", "2", "--to", "2025-05-01"), "--months"), (("analyze", "bank.csv", "--currency", "EUR"), "EUR"), (("analyze", "bank.csv", "--plots", "bank.csv"), "folder")], ids=lambda v: " ".join(v) if isinstance(v, tuple) else "")
def test_what_is_refused(words, said, tmp_path):
    (tmp_path/"bank.csv").write_text("\n".join(EXPORT.read_text(encoding="utf-8").splitlines()[:60]), encoding="utf-8")
    (tmp_path/"noise.csv").write_bytes(bytes(range(256)) * 20)
    (tmp_path/"home.json").write_text('{"user_profile": {"monthly_income": 4000, "age": 30}}', encoding="utf-8")
    run = smart_money(*words, cwd=tmp_path)
    assert run.returncode == 2 and run.stdout == "", (run.returncode, run.stdout, run.stderr)
    assert run.stderr.startswith("Error:") and said in run.stderr and "Traceback" not in run.stderr
