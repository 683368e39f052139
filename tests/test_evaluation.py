"""Metrics against independent libraries on random data, splits under random panels, and the naive rules on the real survey."""
import numpy as np
import pytest

from smart_money import metrics
from smart_money.distributions import QuantileTable
from smart_money.splits import ExpandingWindowSplit, GroupedTimeSplit, HouseholdKFold, check_split

from conftest import shared


@pytest.mark.parametrize("seed", range(5))
def test_point_metrics_agree_with_sklearn_with_unknown_rows_left_out(seed):
    oracle = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    y, p, w = rng.gamma(2, 300, 400), rng.gamma(2, 300, 400), rng.random(400)
    gaps = np.where(rng.random(400) < 0.3, np.nan, y)
    k = ~np.isnan(gaps)
    for ours, theirs in ((metrics.mse, "mean_squared_error"), (metrics.rmse, "root_mean_squared_error"), (metrics.mae, "mean_absolute_error"), (metrics.r2, "r2_score")):
        assert np.isclose(ours(gaps, p, sample_weight=w), getattr(oracle, theirs)(y[k], p[k], sample_weight=w[k]))
    for level in (0.05, 0.5, 0.9):
        assert np.isclose(metrics.pinball_loss(gaps, p, level=level, sample_weight=w), oracle.mean_pinball_loss(y[k], p[k], alpha=level, sample_weight=w[k]))


METRICS = [metrics.mse, metrics.rmse, metrics.mae, metrics.wmape, metrics.accuracy, metrics.r2, metrics.within_tolerance, metrics.budget_adherence_rate,
           metrics.share_not_exceeding, metrics.savings_achievement_rate, metrics.savings_achievement_ratio]


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.__name__)
def test_many_weightings_at_once_are_the_single_ones_and_counts_are_repeats(metric):
    rng = np.random.default_rng(0)
    y, p, counts = rng.gamma(2, 300, 60), rng.gamma(2, 300, 60), rng.integers(0, 4, (3, 2, 60))
    at_once = metric(y, p, sample_weight=counts)
    assert at_once.shape == (3, 2)
    for i in np.ndindex(3, 2):
        assert np.isclose(at_once[i], metric(y, p, sample_weight=counts[i]))
        assert np.isclose(at_once[i], metric(np.repeat(y, counts[i]), np.repeat(p, counts[i])))
    assert np.isnan(metric(np.full(3, np.nan), p[:3]))


def test_parity_is_the_kolmogorov_smirnov_distance_in_fairlearn_s_groups():
    stats, frames = pytest.importorskip("scipy.stats"), pytest.importorskip("fairlearn.metrics")
    rng = np.random.default_rng(1)
    share, group = rng.beta(2, 3, 500), rng.integers(0, 4, 500)
    by_group = frames.MetricFrame(metrics=lambda y, p: stats.ks_2samp(p, share).statistic, y_true=share, y_pred=share, sensitive_features=group).by_group
    assert np.allclose(metrics.demographic_parity(share, group).by_group, by_group)


def test_sample_crps_is_the_table_s():
    rng = np.random.default_rng(2)
    draws, y = rng.gamma(2, 100, (20, 50)), rng.gamma(2, 100, 20)
    assert np.isclose(metrics.crps_from_samples(y, draws), QuantileTable.from_samples(draws).crps(y).mean())


def test_equal_odds_and_parity_see_no_gap_where_there_is_none():
    y = np.tile(np.linspace(100, 1000, 200), 2)
    group = np.repeat(["a", "b"], 200)
    assert metrics.equalized_odds(y, y * 1.05, group).gap == 0
    assert metrics.demographic_parity(y / 1000, group).gap == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_no_splitter_leaks_on_random_panels(seed):
    rng = np.random.default_rng(seed)
    households, periods = rng.integers(0, 40, 300), np.datetime64("2020-01") + rng.integers(0, 9, 300)
    for train, test in ExpandingWindowSplit(3, test_periods=2 if seed % 2 else 1, gap=seed % 2, periods=periods).split(households): check_split(train, test, periods=periods)
    tested = np.concatenate([test for train, test in HouseholdKFold(5, random_state=seed).split(None, None, households, periods=periods) if check_split(train, test, groups=households) is None])
    assert np.array_equal(np.sort(tested), np.arange(300))
    for train, test in GroupedTimeSplit(4, test_periods=2, random_state=seed).split(None, None, households, periods=periods): check_split(train, test, periods=periods, groups=households)


def test_naive_rules_on_the_survey():
    """The figures of a survey that everyone can repeat: quarters from 2015Q1, after all before."""
    path = shared("real", "ce_panel_until_2015q2.csv.gz")
    from smart_money.collection import load_ce_panel
    from smart_money.evaluation import naive_forecasts, score_forecast
    from smart_money.features import windows_from_panel
    from smart_money.splits import train_test_split_by_period
    examples = windows_from_panel(load_ce_panel(path))
    train, test = (examples.take(rows) for rows in train_test_split_by_period(examples.periods, "2015Q1"))
    assert (len(train), len(test)) == (8276, 5352)
    naive = naive_forecasts(train, test)
    for rule, target, r2, mae, within in (("persistence", "total", .007, 1646, .283), ("persistence", "food", .289, 226, .211), ("persistence", "housing", .312, 492, .375),
                                          ("trailing_mean", "total", .097, 1604, .286), ("trailing_mean", "food", .290, 218, .218), ("trailing_mean", "housing", .370, 478, .364)):
        k = test.targets.index(target)
        scores = score_forecast(test.y[:, k], naive[rule][k])
        assert scores["r2"] == pytest.approx(r2, abs=.002) and scores["mae"] == pytest.approx(mae, abs=2) and scores["within_10"] == pytest.approx(within, abs=.002)
        assert .78 < scores["coverage_80"] < .84 and .88 < scores["coverage_90"] < .93


def test_backtest_of_the_ensemble_has_the_public_keys_and_sees_no_future(tmp_path):
    """A small ensemble on a small made survey: the dictionary of the contract, and forecasts that what came later cannot change."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.neural_network import MLPClassifier
    from smart_money.collection import load_ce_panel, make_ce_like
    from smart_money.evaluation import METHODS, default_model, run_backtest
    from smart_money.features import FeatureEngineer, windows_from_panel
    make_ce_like(200, random_state=3).to_csv(tmp_path / "made.csv", index=False)
    panel = load_ce_panel(tmp_path / "made.csv")
    examples = windows_from_panel(panel)
    small = default_model(FeatureEngineer.for_histories(examples.histories), examples.targets).set_params(
        gradient_boosting=HistGradientBoostingRegressor(loss="absolute_error", max_iter=10, early_stopping=False),
        neural_network=MLPClassifier((4,), max_iter=3, batch_size=16))
    steps = []
    first = run_backtest(panel, "2015Q1", small, progress=steps.append)
    result = first.as_dict()
    assert list(result) == ["test_from", "n_train", "n_test", "categories"] and result["n_train"] + result["n_test"] == len(examples)
    assert set(result["categories"]) == {*examples.targets} and all(set(c) == set(METHODS) for c in result["categories"].values())
    assert set(result["categories"]["total"]["model"]) == {"r2", "mae", "wmape", "within_10", "within_20", "coverage_80", "width_80", "coverage_90", "width_90", "crps"}
    assert any("%" in step for step in steps)
    later = panel.copy()
    late = later.period >= "2015-01-01"
    later.loc[late, [c for c in panel if c.startswith("spend_")]] *= 50
    again, same = run_backtest(later, "2015Q1", small), first.test.periods == np.datetime64("2015-01")
    for method in METHODS:
        for a, b in zip(first.forecasts[method], again.forecasts[method]): assert np.array_equal(a.table.values[same], b.table.values[same])
    assert again.total_points == first.total_points
