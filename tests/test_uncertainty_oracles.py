"""MAPIE and crepes as oracles of the conformal arithmetic: the same numbers from other people's code."""
import numpy as np
import pytest

from smart_money.distributions import LEVELS
from smart_money.uncertainty import MondrianCalibrator, conformal_levels


def residuals(n=999, seed=0):
    return np.random.default_rng(seed).standard_t(4, n)


@pytest.mark.parametrize("level", [0.1, 0.25, 0.75, 0.9, 0.95])
def test_split_conformal_agrees_with_crepes(level):
    """Reading a forecast N(0, 1)-like table at conformal levels gives crepes' percentiles of its predictive system."""
    crepes = pytest.importorskip("crepes", reason="crepes is not installed (dev requirements)")
    r = residuals()
    system = crepes.ConformalPredictiveSystem().fit(r)
    side = "lower_percentiles" if level < 0.5 else "higher_percentiles"
    theirs = float(np.ravel(system.predict_percentiles(np.zeros(1), **{side: [100 * level]}))[0])
    ranks = (np.argsort(np.argsort(r)) + 1) / (len(r) + 1)                        # PIT of a table that knows the residuals' ranks
    read = conformal_levels(ranks, np.array([level]))[0]
    ours = np.sort(r)[round(read * (len(r) + 1)) - 1]
    assert abs(ours - theirs) < 1e-12


def test_absolute_residuals_agree_with_mapie():
    """Half-width of split conformal at 90 %: MAPIE's, from a fixed regressor."""
    mapie = pytest.importorskip("mapie.regression", reason="MAPIE is not installed (dev requirements)")
    from sklearn.dummy import DummyRegressor
    r = residuals()
    X = np.zeros((len(r), 1))
    regressor = mapie.SplitConformalRegressor(DummyRegressor(strategy="constant", constant=0.0).fit(X, r), confidence_level=0.9, prefit=True).conformalize(X, r)
    _, interval = regressor.predict_interval(np.zeros((1, 1)))
    theirs = float(np.ravel(interval)[1])
    ordered = np.sort(np.abs(r))
    ranks = (np.argsort(np.argsort(np.abs(r))) + 1) / (len(r) + 1)
    ours = ordered[round(conformal_levels(ranks, np.array([0.9]))[0] * (len(r) + 1)) - 1]
    assert abs(ours - theirs) < 1e-12


def test_mondrian_groups_cover_like_crepes_bins():
    """Group-conditional coverage: ours within a point of crepes' Mondrian predictor, and both near the level that a marginal calibration misses."""
    crepes = pytest.importorskip("crepes", reason="crepes is not installed (dev requirements)")
    rng = np.random.default_rng(1)
    n, spread = 20_000, np.array([0.5, 1.0, 2.0])
    group = rng.integers(0, 3, n)
    y = rng.normal(0, spread[group])
    fit, new = slice(0, n // 2), slice(n // 2, n)
    theirs = crepes.ConformalRegressor().fit(np.abs(y[fit]), bins=group[fit])
    interval = theirs.predict_int(np.zeros(n // 2), bins=group[new], confidence=0.8)
    pit = np.clip(np.searchsorted(np.sort(rng.normal(0, 1.3, 50_000)), y) / 50_000, 0, 1)[:, None]   # one wrong forecast for all
    calibrator = MondrianCalibrator((0,), 3, prior_rows=0).fit(pit[fit], group[fit, None].astype(float))
    levels = calibrator(group[new, None].astype(float))[:, 0]
    low, high = (levels[:, np.argmin(np.abs(LEVELS - p))] for p in (0.1, 0.9))
    inside = (pit[new, 0] >= low) & (pit[new, 0] <= high)
    for g in range(3):
        rows = group[new] == g
        ours_covers = inside[rows].mean()
        theirs_covers = ((y[new] >= interval[:, 0]) & (y[new] <= interval[:, 1]))[rows].mean()
        assert abs(ours_covers - 0.8) < 0.02 and abs(theirs_covers - 0.8) < 0.02
