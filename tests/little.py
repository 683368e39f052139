"A small model and its rows, for what only needs some model."
import numpy as np
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor
from sklearn.neural_network import MLPClassifier

NAMES, TARGETS = ("income", "last_food", "last_total", "age", "state"), ("food", "total")


def little_rows():
    "400 households with gaps: features and spending; every third spends what it spent last, every fifth buys no food."
    rng = np.random.default_rng(0)
    income, last = rng.lognormal(8, .5, 400), rng.lognormal(6, .7, (400, 2))
    X = np.column_stack([income, last, rng.uniform(18, 90, 400), rng.integers(0, 4, 400)])
    y = np.where(rng.random((400, 2)) < .3, last, last * rng.lognormal(0, .4, (400, 2)))
    y[rng.random(400) < .2, 0] = 0
    X[rng.random(X.shape) < .2] = np.nan
    return X, y


def little_pool():
    "Settings of an ensemble for these columns that trains at once."
    return dict(last_features=(1, 2), amount_features=(0, 1, 2), code_features=(4,), profile_features=(0, 3, 4), n_bins=10,
                gradient_boosting=HistGradientBoostingRegressor(loss="absolute_error", max_iter=10), random_forest=ExtraTreesRegressor(10, min_samples_leaf=10), neural_network=MLPClassifier((16,), max_iter=5))
