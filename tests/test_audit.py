"""Evaluations and searches as commands: reports that are whole, records that the service reads, searches that survive a kill, and bad panels that are refused in one line."""
import json
import os
import re
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from conftest import ROOT
from smart_money.schema import InputError
from test_cli import smart_money


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    "A folder with a small panel of the model's categories, and one of a survey's."
    from smart_money.collection import write_panel
    from smart_money.synthetic import make_households, make_survey_panel
    folder = tmp_path_factory.mktemp("panels")
    write_panel(make_households(24, 5, random_state=5), folder/"panel.csv")
    keep = ["household_id", "period", "monthly_income", "market", "months_covered", "currency", "spend_food", "spend_housing", "spend_health"]
    write_panel(make_survey_panel(50, 4, random_state=1)[keep], folder/"survey.csv")
    return folder


@pytest.fixture
def here(capsys):
    "The command in this process: its exit code, what it printed, and what it complained about."
    def run(*words):
        from smart_money.cli import main
        with pytest.raises(SystemExit) as end: main([*map(str, words)])
        return (end.value.code, *capsys.readouterr())
    return run


def refused(told, found):
    "One line on the error stream that says so, and exit code 2."
    code, out, error = told
    assert code == 2 and not out and error.startswith("Error: ") and error.count("\n") == 1 and found in error, error


@pytest.fixture(scope="module")
def evaluated(made):
    "An evaluation as a page, with its record."
    (made/"ratings.csv").write_text("rating\n4\n5\n\n")
    run = smart_money("evaluate", made/"panel.csv", "--ratings", made/"ratings.csv", "--report", made/"audit.html", "--json", SMART_MONEY_EVALUATIONS=str(made/"records"))
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_an_evaluation_tells_all(evaluated):
    (result,) = evaluated.values()
    assert {"metrics", "categories", "calibration", "groups", "gaps"} <= result.keys()
    metrics = result["metrics"]
    for name in ("mse", "mae", "r2", "rmse", "budget_adherence_rate", "savings_achievement_rate", "demographic_parity", "equalized_odds"):
        assert name in metrics and (metrics[name] is None or name in metrics["intervals"]), name
    assert (metrics["user_satisfaction_score"], metrics["n_ratings"]) == (4.5, 2)
    assert set(metrics["baselines"]) == {"persistence", "trailing_mean", "median"} == set(result["categories"]["total"]) - {"model"}
    assert abs(sum(result["calibration"]["pit"]["share"]) - 1) < 1e-9


class Page(HTMLParser):
    "The addresses on a page, its pictures, and whether every tag closes."
    def __init__(self): super().__init__(); self.open, self.addresses, self.pictures = [], [], 0
    def handle_starttag(self, tag, attrs):
        self.addresses += [v for k, v in attrs if k in ("src", "href", "action", "srcset")]
        self.pictures += tag == "img"
        if tag not in ("meta", "img"): self.open.append(tag)
    def handle_endtag(self, tag): assert self.open.pop() == tag


def test_the_page_needs_nothing_else(evaluated, made):
    text, page = (made/"audit.html").read_text(encoding="utf-8"), Page()
    page.feed(text)
    assert not page.open and page.pictures >= 4
    assert all(a.startswith(("#", "data:image/png;base64,")) for a in page.addresses)
    prose = re.sub(r'base64,[^"]*', "", text)
    assert "http:" not in prose and "https:" not in prose and "<script" not in prose and not re.search(r"\bnan\b", prose, re.I)
    assert not [p for p in made.iterdir() if ".part" in p.name]


def test_the_service_reads_the_record(evaluated, made):
    from smart_money.evaluation import ModelEvaluator
    assert len(list((made/"records").iterdir())) == 1
    latest = ModelEvaluator(made/"records").get_latest_metrics()
    (result,) = evaluated.values()
    assert latest["accuracy"] == result["metrics"]["accuracy"] and latest["user_satisfaction"] == 4.5 and latest["about"]["model_id"]


def test_a_markdown_report_has_its_pictures_beside_it(made, outside):
    from smart_money.training import default_path
    run = smart_money("evaluate", made/"panel.csv", "--report", "audit.md", "--no-record", cwd=outside, SMART_MONEY_EVALUATIONS=str(outside/"records"))
    assert run.returncode == 0, run.stderr
    assert default_path().exists() and "Accuracy." in run.stdout and "audit.md" in run.stdout
    assert {p.name for p in outside.iterdir()} == {"audit.md", "audit_files"}
    shown = re.findall(r"\]\((audit_files/[^)]+)\)", (outside/"audit.md").read_text(encoding="utf-8"))
    assert shown and {str(p.relative_to(outside)) for p in (outside/"audit_files").iterdir()} == set(shown)


@pytest.mark.parametrize("words, found", [
    (["--report", "audit.pdf"], "a name ending in .html"), (["--report", "no/such/audit.html"], "a folder that exists"), (["--ratings", "none.csv"], "none.csv"),
    (["--test-from", "2024Q9"], "test_from"), (["--test-from", "2031"], "2031")], ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_bad_words_for_an_evaluation(evaluated, made, outside, here, monkeypatch, words, found):
    monkeypatch.setenv("SMART_MONEY_EVALUATIONS", str(outside/"records"))
    refused(here("evaluate", made/"panel.csv", *words, "--json"), found)
    assert not list(outside.iterdir())


def test_a_panel_with_other_categories_is_refused_by_name(evaluated, made, here):
    told = here("evaluate", made/"survey.csv")
    refused(told, "the further category food, health"), refused(told, "--model")


def tune(made, out, *words): return smart_money("tune", made/"survey.csv", "--output", out, "--rows", "60", "--json", *words)


def test_a_killed_search_goes_on_and_training_takes_what_it_found(made, outside):
    from smart_money.model_selection import read_journal
    from smart_money.persistence import read_manifest
    trials, found = outside/"found.trials.jsonl", outside/"found.json"
    code = f"from smart_money.cli import main; main({['tune', str(made/'survey.csv'), '--output', str(found), '--rows', '60', '--max-evals', '50']!r})"
    process = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 300
    while not trials.exists() or trials.read_bytes().count(b"\n") < 2:
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    n = len(read_journal(trials)[1])
    assert 1 <= n < 50 and not found.exists()
    refused = tune(made, found)
    assert refused.returncode == 2 and "--resume" in refused.stderr, refused.stderr
    run = tune(made, found, "--resume", "--max-evals", str(n + 1))
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert (told["resumed"], told["about"]["trials"]) == (n, n + 1) and json.loads(found.read_text())["params"] == told["params"]
    best = min(read_journal(trials)[1], key=lambda t: t.score)
    assert told["about"]["score"] == best.score                                                             # reproducible from the record
    trained = smart_money("train", made/"survey.csv", "--params", found, "--output", outside/"model", "--json")
    assert trained.returncode == 0, trained.stderr
    assert read_manifest(outside/"model")["metadata"]["settings"]["params"].keys() == told["params"].keys()
    seen = smart_money("evaluate", made/"survey.csv", "--model", outside/"model", "--json", SMART_MONEY_EVALUATIONS=str(outside/"records"))
    assert seen.returncode == 0 and "trained on this very panel" in seen.stderr and not (outside/"records").exists(), seen.stderr


@pytest.mark.parametrize("words, found", [(["--time-budget", "soon"], "such as 90s"), (["--space", "everything"], "default, specification"), (["--scoring", "mape"], "crps"), (["--output", "no/such/found.json"], "does not exist")],
                         ids=lambda v: v[0] if isinstance(v, list) else "")
def test_bad_words_for_a_search(made, outside, here, words, found):
    refused(here("tune", made/"survey.csv", "--output", "found.json", *words), found)
    assert not list(outside.iterdir())


@pytest.mark.parametrize("text, found", [("{", "cannot be read"), ('{"params": {"n_bin": 3}}', "n_bins"), ("[]", "no parameters")])
def test_bad_settings_for_training(made, outside, here, text, found):
    (outside/"found.json").write_text(text)
    told = here("train", made/"survey.csv", "--params", "found.json", "--output", "model")
    refused(told, "found.json"), refused(told, found)
    assert {p.name for p in outside.iterdir()} == {"found.json"}


def survey():
    from smart_money.synthetic import make_survey_panel
    return make_survey_panel(40, 4, random_state=2)


PANELS = {
    "one household": lambda p: p[p.household_id == p.household_id[0]],
    "two households": lambda p: p[p.household_id.isin(p.household_id.unique()[:2])],
    "one period": lambda p: p.drop_duplicates("household_id"),
    "no rows": lambda p: p[:0],
    "repeated rows": lambda p: pd.concat([p, p[:3]]),
    "inf": lambda p: p.assign(spend_food=np.inf),
    "negative": lambda p: p.assign(spend_food=-1.0),
    "nothing known": lambda p: p.assign(**{c: np.nan for c in p if c.startswith("spend_")}),
    "a category never known, no total": lambda p: p.drop(columns="spend_total").assign(spend_health=np.nan),
    "two-month steps": lambda p: p.assign(period=p.period + pd.to_timedelta(np.arange(len(p)) % 4 * 400, unit="D")),
}


class Constant:
    "A model that forecasts what the training rows spent, whoever asks."
    def __init__(self, panel):
        from smart_money.features import FeatureEngineer, windows_from_panel
        w = windows_from_panel(panel)
        self.spec, self.width = {"feature_names": FeatureEngineer.for_histories(w.histories).feature_names, "targets": list(w.targets)}, len(w.targets)
    def fit(self, X, y, groups=None, periods=None): return self
    def predict_distribution(self, X):
        from smart_money.distributions import QuantileTable
        return QuantileTable([0.0, 1.0], np.tile([10.0, 4000.0], (len(X), self.width, 1)))


def attempts(panel, model):
    "What may be asked of a panel."
    from smart_money.evaluation import evaluate_panel, run_backtest
    from smart_money.tuning import tune as search
    return {"backtest": lambda: run_backtest(panel, "2014Q1", model), "evaluation": lambda: evaluate_panel(model, panel), "search": lambda: search(panel, max_evals=1)}


@pytest.mark.parametrize("case", PANELS)
@pytest.mark.parametrize("what", ["backtest", "evaluation", "search"])
def test_bad_panels_are_refused_with_a_reason(case, what):
    good = survey()
    attempt = attempts(PANELS[case](good), Constant(good))[what]
    if (case, what) == ("two households", "evaluation"): assert attempt().forecasts; return                 # enough to be judged on, if not to learn from
    with pytest.raises(InputError, match="expected"): attempt()


@pytest.mark.parametrize("change", [
    lambda p: p.drop(columns=[c for c in p if c.startswith("spend_") and c != "spend_food"]),               # one category
    lambda p: p.assign(**{c: 100.0 for c in p if c.startswith("spend_")}),                                  # nothing varies
    lambda p: p.assign(spend_tobacco=np.nan),                                                               # a category never known beside a known total
    lambda p: p.assign(monthly_income=np.nan),
    lambda p: p.drop(columns=["age", "household_size"]),
    lambda p: p[np.random.default_rng(0).random(len(p)) > 0.2],                                             # gaps
    lambda p: p.sample(frac=1, random_state=0),                                                             # any order
], ids=["one category", "constant", "a category never known", "no incomes", "no ages", "gaps", "shuffled"])
def test_odd_panels_get_a_whole_report(change):
    from smart_money.audit import audit, audit_report
    from smart_money.evaluation import evaluate_panel, run_backtest
    from smart_money.report import to_html
    panel = change(survey())
    model = Constant(panel)
    taken = audit(evaluate_panel(model, panel), n_resamples=10)
    page = re.sub(r'base64,[^"]*', "", to_html(audit_report([taken])))
    assert not re.search(r"\bnan\b", page, re.I) and json.dumps(taken.as_dict(), allow_nan=False)
    for found in (taken.evaluation, run_backtest(panel, "2014Q1", model)): assert np.isfinite(found.scores("total")["mae"]) and json.dumps(found.as_dict(), allow_nan=False)
