"An experiment from the lottery through the store to a decision, with and without pseudonyms."
import datetime as dt

import numpy as np
import pytest

pytest.importorskip("sqlalchemy", reason="the store's extra is not installed")
store = pytest.importorskip("smart_money.store")

from smart_money.ab_analysis import AnalysisPlan, Metric
from smart_money.assignment import Experiment, assign
from smart_money.experiments import ABTestFramework, StoredBehavior

TEST = Experiment("ranges", traffic=.9)
PLAN = AnalysisPlan((Metric("spent", role="primary", higher_is_better=False, covariates=("spent_before",)),))
USERS = [f"u{k}" for k in range(500)]


@pytest.mark.parametrize("secret", [None, "a secret of some length"])
def test_from_the_store_to_a_decision(tmp_path, secret):
    rng, start = np.random.default_rng(1), dt.datetime(2025, 1, 1, tzinfo=dt.timezone.utc)
    arms = {u: a for u, a in zip(USERS, assign(TEST, USERS)) if a is not None}
    exposed = {u: start + dt.timedelta(days=float(rng.uniform(0, 5))) for u in arms if rng.random() < .8}
    usual = {u: rng.gamma(4, 60) for u in exposed}
    events = [(u, "spent", float(usual[u] * rng.lognormal(0, .2) * (.8 if d >= 0 and arms[u] == "treatment" else 1)), at + dt.timedelta(days=d)) for u, at in exposed.items() for d in (-5, 3)]
    with store.Store(tmp_path/"store.db", secret=secret) as s:
        s.record_experiment(TEST.name, TEST.as_dict())
        s.record_assignments(TEST.name, arms)
        s.record_exposures(TEST.name, [(u, arms[u], at) for u, at in exposed.items()])
        s.record_outcomes(TEST.name, events)
        test, assignments = Experiment(**s.experiment(TEST.name)["config"]), s.assignments(TEST.name)
        behavior = StoredBehavior(s.exposures(TEST.name), s.outcomes(TEST.name), absent={"spent": 0}, assignments=assignments if secret else None, as_of="2025-03-01")
    assert test == TEST
    result = ABTestFramework(object(), behavior=behavior, experiment=test, plan=PLAN).run_ab_test(assignments["user_id"].tolist() if secret else USERS, duration_days=10)
    assert sum(result.report.n_units.values()) == len(exposed) and not result.simulated
    assert (result.decision.action, result.decision.arm) == ("ship", "treatment"), result.decision
    effect = result.report.findings[0].effect
    assert effect.relative_low < -.2 < effect.relative_high
