"The command as a process: what it prints where, its exit codes, and that nothing is left half-written."
import json
import os
import resource
import signal
import subprocess
import sys

import pytest

from conftest import ROOT, shared

HOUSEHOLD = {
    "user_profile": {"monthly_income": 5200, "age": 34, "location": "Austin, TX"},
    "expenses": [{"category": "housing", "amount": 1450, "frequency": "monthly"}, {"category": "food_dining", "amount": 165, "frequency": "weekly"},
                 {"category": "transportation", "amount": 310, "frequency": "monthly"}],
}


def smart_money(*words, cwd=None, **env):
    "Run the command in a process of its own."
    return subprocess.run([sys.executable, "-c", "from smart_money.cli import main; main()", *map(str, words)], capture_output=True, text=True, encoding="utf-8", cwd=cwd or ROOT,
                          env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "110", "NO_COLOR": "1"} | env)


def household(path, **changes):
    "A household file with some fields changed; `profile`, `expense` and `preferences` update those parts."
    home = json.loads(json.dumps(HOUSEHOLD))
    home["user_profile"].update(changes.get("profile", {}))
    home["expenses"][0].update(changes.get("expense", {}))
    if "preferences" in changes: home["preferences"] = changes["preferences"]
    path.write_text(json.dumps(home), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def model():
    "The default model, trained once if nothing is cached."
    run = smart_money("budget", ROOT/"data"/"examples"/"household.json", "--json")
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("words", [[], ["--help"], *([c, "--help"] for c in ("demo", "budget", "train", "evaluate", "backtest"))], ids=" ".join)
def test_help(words):
    run = smart_money(*words)
    assert run.returncode == 0 and "Usage" in run.stdout, run.stderr


def test_a_plan_as_json(model, tmp_path):
    run = smart_money("budget", household(tmp_path/"home.json"), "--json")
    plan = json.loads(run.stdout)
    assert {"income", "currency", "market", "budget", "savings", "confidence", "shadow_price", "forecast", "recommendations"} <= plan.keys()
    assert round(100 * sum(plan["budget"].values())) + round(100 * plan["savings"]) == 520000
    assert (plan["currency"], plan["market"]) == ("USD", "US") and 0 <= plan["confidence"] <= 1


def test_a_plan_as_a_table(model, tmp_path):
    run = smart_money("budget", household(tmp_path/"home.json"))
    assert run.returncode == 0, run.stderr
    for words in ("Housing", "Food & dining", "Savings", "Income", "5,200.00"): assert words in run.stdout


def test_toml_and_json_say_the_same(model, tmp_path):
    lines = ["[user_profile]", *(f"{k} = {json.dumps(v)}" for k, v in HOUSEHOLD["user_profile"].items())]
    for e in HOUSEHOLD["expenses"]: lines += ["[[expenses]]", *(f"{k} = {json.dumps(v)}" for k, v in e.items())]
    (tmp_path/"home.toml").write_text("\n".join(lines))
    plans = [json.loads(smart_money("budget", f, "--json").stdout) for f in (tmp_path/"home.toml", household(tmp_path/"home.json"))]
    assert plans[0] == plans[1]


def processor_time(act):
    "Seconds of processor time that processes take which `act` starts and awaits: the least of three, since a busy machine only ever adds."
    spent = lambda: sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    return min(-spent() + (act(), spent())[1] for _ in range(3))


def test_a_plan_costs_less_than_importing_what_it_does_not_need(model, tmp_path):
    file = household(tmp_path/"home.json")
    heavy = processor_time(lambda: subprocess.run([sys.executable, "-c", "import pandas, sklearn.ensemble"], check=True))
    plan = processor_time(lambda: smart_money("budget", file, "--json"))
    assert plan < heavy, (plan, heavy)  # two seconds on a slow machine, whose every import is slow


def test_the_demo(model, outside):
    run = smart_money("demo", cwd=outside)
    assert run.returncode == 0, run.stderr
    assert "Austin, TX" in run.stdout and "Mumbai" in run.stdout and "smart-money budget FILE" in run.stdout
    assert not list(outside.iterdir())
    assert len(json.loads(smart_money("demo", "--json").stdout)) >= 2


def test_a_chart(model, outside):
    run = smart_money("budget", household(outside/"home.json"), "--json", "--plot", "plan.png", cwd=outside)
    assert run.returncode == 0, run.stderr
    assert (outside/"plan.png").read_bytes().startswith(b"\x89PNG") and json.loads(run.stdout)
    assert {p.name for p in outside.iterdir()} == {"home.json", "plan.png"}


BAD = {
    "income 0": (dict(profile={"monthly_income": 0}), ["monthly_income", "0"]),
    "income as text": (dict(profile={"monthly_income": "plenty"}), ["monthly_income", "plenty"]),
    "age 300": (dict(profile={"age": 300}), ["age", "300"]),
    "negative amount": (dict(expense={"amount": -5}), ["expenses[0].amount", "-5"]),
    "not a number": (dict(expense={"amount": float("nan")}), ["expenses[0].amount"]),
    "unknown category": (dict(expense={"category": "fod_dining"}), ["expenses[0].category", "fod_dining", "food_dining"]),
    "unknown frequency": (dict(expense={"frequency": "hourly"}), ["expenses[0].frequency", "hourly", "weekly"]),
    "unknown field": (dict(profile={"ages": 3}), ["ages"]),
    "locks above the income": (dict(preferences={"locked": {"housing": 9000}}), ["9,000", "5,200"]),
    "minimum above maximum": (dict(preferences={"minimum": {"housing": 900}, "maximum": {"housing": 800}}), ["housing", "900", "800"]),
    "savings goal of all": (dict(preferences={"savings_goal": 1.5}), ["savings_goal", "1.5"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_household(case, model, outside):
    changes, words = BAD[case]
    run = smart_money("budget", household(outside/"home.json", **changes), "--json", "--plot", "plan.png", cwd=outside)
    assert run.returncode == 2 and not run.stdout, run.stdout + run.stderr
    assert run.stderr.startswith("Error: ") and run.stderr.count("\n") == 1, run.stderr
    for word in words: assert word in run.stderr, f"{word!r} is not in: {run.stderr}"
    assert {p.name for p in outside.iterdir()} == {"home.json"}


FILES = {"missing": None, "empty": "", "broken JSON": '{"user_profile": ', "a list": "[]", "binary": "\0\0", "wrong keys": '{"profile": {}}'}


@pytest.mark.parametrize("case", FILES)
def test_bad_file(case, outside):
    if FILES[case] is not None: (outside/"home.json").write_text(FILES[case])
    run = smart_money("budget", "home.json", cwd=outside)
    assert run.returncode == 2 and not run.stdout
    assert "home.json" in run.stderr and "Traceback" not in run.stderr, run.stderr


@pytest.mark.parametrize("words", [["budget"], ["budgets"], ["budget", "home.json", "--plot", "plan.txt"], ["budget", "home.json", "--plot", "no/such/plan.png"], ["budget", "home.json", "--jsn"],
                                   ["backtest", "panel.csv"], ["backtest", "panel.csv", "--test-from", "2015Q1"], ["backtest", "panel.csv", "--test-from", "2015Q1", "--format", "xls"],
                                   ["budget", "home.json", "--model", "no/such/model"]], ids=" ".join)
def test_bad_words(words, outside):
    household(outside/"home.json")
    run = smart_money(*words, cwd=outside)
    assert run.returncode == 2 and run.stderr.startswith("Error: ") and run.stderr.count("\n") == 1, run.stderr
    assert {p.name for p in outside.iterdir()} == {"home.json"}


PANELS = {"empty": "", "no columns of ours": "a,b\n1,2\n", "text for a number": "household_id,period,monthly_income,spend_housing\nh1,2024-01-01,3000,much\n",
          "one row": "household_id,period,monthly_income,spend_housing\nh1,2024-01-01,3000,900\n"}


@pytest.mark.parametrize("case", PANELS)
def test_bad_panel(case, outside):
    (outside/"panel.csv").write_text(PANELS[case])
    run = smart_money("backtest", "panel.csv", "--test-from", "2024-01", cwd=outside)
    assert run.returncode == 2 and run.stderr.startswith("Error: ") and "Traceback" not in run.stderr, run.stderr


def test_an_unknown_place_is_a_warning(model, outside):
    run = smart_money("budget", household(outside/"home.json", profile={"location": "Atlantis"}), "--json", cwd=outside)
    assert run.returncode == 0 and json.loads(run.stdout)
    assert run.stderr.startswith("Warning: ") and "Atlantis" in run.stderr and run.stderr.count("\n") == 1


def test_a_closed_pipe_is_quiet(model, tmp_path):
    command = f'"{sys.executable}" -c "from smart_money.cli import main; main()" demo --json | head -n 1'
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT)
    assert run.stdout == "{\n" and not run.stderr, run.stderr


def test_an_interrupt_is_quiet(tmp_path):
    code = "import smart_money.cli as c, os, signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n@c.app.command()\ndef wait():\n    os.kill(os.getpid(), signal.SIGINT)\n    import time; time.sleep(9)\nc.main(['wait'])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode in (130, -signal.SIGINT) and not run.stderr, run.stderr


def test_ascii_terminals_get_an_answer(model, tmp_path):
    run = smart_money("budget", household(tmp_path/"home.json", profile={"location": "Mumbai"}), PYTHONIOENCODING="ascii", LC_ALL="C")
    assert run.returncode == 0, run.stderr


def check_backtest(result, categories):
    assert {"test_from", "n_train", "n_test", "categories"} <= result.keys() and categories | {"total"} == set(result["categories"])
    for scores in result["categories"].values():
        assert {"model", "persistence", "trailing_mean", "median"} <= scores.keys()
        for s in scores.values(): assert {"r2", "mae", "wmape", "within_10", "within_20", "coverage_80", "width_80", "coverage_90", "width_90", "crps"} <= s.keys()


def test_backtest_of_a_made_survey(outside):
    from smart_money.collection import make_ce_like
    make_ce_like(120).to_csv(outside/"survey.csv.gz", index=False)
    run = smart_money("backtest", "survey.csv.gz", "--format", "ce", "--test-from", "2015Q1", "--json", "--plot", "scores.png", cwd=outside)
    assert run.returncode == 0, run.stderr
    check_backtest(json.loads(run.stdout), {"food", "housing", "health", "tobacco", "footwear", "other"})
    assert {p.name for p in outside.iterdir()} == {"survey.csv.gz", "scores.png"}


@pytest.mark.skipif("NB_FLAGS" not in os.environ, reason="takes minutes: NB_FLAGS=slow make test")
def test_backtest_of_the_real_survey():
    run = smart_money("backtest", shared("real", "ce_panel_until_2015q2.csv.gz"), "--format", "ce", "--test-from", "2015Q1", "--json")
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    total = result["categories"]["total"]
    assert total["model"]["crps"] < total["persistence"]["crps"] and total["model"]["wmape"] < total["persistence"]["wmape"]
    assert abs(total["model"]["coverage_80"] - 0.8) < 0.05
