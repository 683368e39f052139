"Effects agree with two libraries that share no code with them: frozen figures of gbstats (it needs numpy < 2), and tea-tasting live."
import json
from pathlib import Path

import numpy as np
import pytest

from smart_money.ab_statistics import Ratio, adjusted_arms, confidence_sequence, moments, sample_ratio_test, welch

GOLDEN = json.loads((Path(__file__).parent/"gbstats_golden.json").read_text(encoding="utf-8"))
CASES = [(case, kind) for case in GOLDEN["cases"] for kind in case["gbstats"]]
CLOSE = dict(rtol=0, atol=1e-8)


def our_effect(case, kind):
    y, x, d, arm = (np.array(case[k]) for k in ("values", "covariate", "denominator", "arm"))
    arms = adjusted_arms(Ratio(y, d) if kind == "ratio" else y, arm, [0, 1], covariates=[x] if kind == "cuped" else []).moments.values()
    level = case["confidence_level"]
    return confidence_sequence(*arms, tuned_for=case["tuned_for"], confidence_level=level) if kind == "sequential" else welch(*arms, confidence_level=level)


@pytest.mark.parametrize("case, kind", CASES, ids=[f"{case['name']}-{kind}" for case, kind in CASES])
def test_agrees_with_gbstats(case, kind):
    theirs, ours = case["gbstats"][kind]["absolute"], our_effect(case, kind)
    np.testing.assert_allclose((ours.difference, ours.low, ours.high, ours.p_value), [theirs[k] for k in ("estimate", "low", "high", "p_value")], **CLOSE)
    if "relative" in case["gbstats"][kind]:  # its p-value there is that of the relative difference: another test
        theirs = case["gbstats"][kind]["relative"]
        np.testing.assert_allclose((ours.relative, ours.relative_low, ours.relative_high), [theirs[k] for k in ("estimate", "low", "high")], **CLOSE)


@pytest.mark.parametrize("case", GOLDEN["sample_ratio"], ids=lambda case: "-".join(map(str, case["counts"])))
def test_sample_ratio_agrees_with_gbstats(case):
    ours = sample_ratio_test(dict(enumerate(case["counts"])), dict(enumerate(case["weights"])))
    np.testing.assert_allclose(ours.p_value, case["p_value"], **CLOSE)


@pytest.mark.parametrize("seed", range(20))
def test_agrees_with_tea_tasting(seed):
    tt, pd = pytest.importorskip("tea_tasting"), pytest.importorskip("pandas")
    rng = np.random.default_rng(seed)
    n, level = int(rng.integers(20, 400)), float(rng.choice([.8, .95, .99]))
    usual = rng.lognormal(rng.uniform(-2, 8), rng.uniform(.1, 1.5), n)
    units = pd.DataFrame(dict(variant=(rng.random(n) < rng.uniform(.2, .8)).astype(int), y=usual * rng.lognormal(0, .5, n), x=usual * rng.lognormal(0, .5, n), d=rng.integers(1, 9, n), e=rng.integers(1, 9, n)))
    with tt.config_context(confidence_level=level):  # read when a metric is made
        asked = dict(mean=(tt.Mean("y"), units.y, []), cuped=(tt.Mean("y", "x"), units.y, [units.x]), ratio=(tt.RatioOfMeans("y", "d"), Ratio(units.y, units.d), []),
                     ratio_cuped=(tt.RatioOfMeans("y", "d", "x", "e"), Ratio(units.y, units.d), [Ratio(units.x, units.e)]))
    theirs = tt.Experiment({name: metric for name, (metric, *_) in asked.items()}).analyze(units)
    for name, (_, values, covariates) in asked.items():
        ours, other = welch(*adjusted_arms(values, units.variant, [0, 1], covariates=covariates).moments.values(), confidence_level=level), theirs[name]
        scale = max(1, abs(other.control))
        np.testing.assert_allclose(np.array([ours.difference, ours.low, ours.high]) / scale, np.array([other.effect_size, other.effect_size_ci_lower, other.effect_size_ci_upper]) / scale, **CLOSE)
        np.testing.assert_allclose((ours.p_value, ours.relative) if np.isfinite(ours.relative) else (ours.p_value,), (other.pvalue, other.rel_effect_size)[:1 + np.isfinite(ours.relative)], **CLOSE)


def test_a_wrong_figure_would_be_seen():
    case = GOLDEN["cases"][0]
    plain, adjusted = our_effect(case, "mean"), our_effect(case, "cuped")
    assert abs(plain.low - adjusted.low) > 1  # the cases are far enough apart for 1e-8 to mean something
    assert moments(case["values"]).variance > 100
