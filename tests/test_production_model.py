"A model prepared for production answers alike with and without a compiler, and survives its folder."
import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.neural_network import MLPRegressor

from conftest import ROOT
from little import NAMES, TARGETS, little_pool, little_rows
from smart_money.ensemble import BudgetEnsembleModel
from smart_money.inference import ModelOptimizer, Packed, pack_any, quantise
from smart_money.persistence import Metadata, load_artifact, save_artifact

SCRIPT = """
import json, sys, numpy as np
if sys.argv[3] == "without": sys.modules["numba"] = None  # as if it were not installed
from smart_money.inference import MissingCompiler, ModelOptimizer, Packed, compile_model
from smart_money.persistence import load_artifact
model = load_artifact(sys.argv[1], model_class=Packed)
served = ModelOptimizer(rounding=None).optimize_for_production(model)
try: refused = "" if compile_model(model) else "?"
except MissingCompiler as error: refused = str(error)
np.save(sys.argv[2], served.predict_distribution(np.load(sys.argv[2])).values)
print(json.dumps([served.report.kernel, refused]))
"""


@pytest.fixture(scope="module")
def rows(): return little_rows()


@pytest.fixture(scope="module", params=["pool", "specification"])
def packed(rows, request):
    learners = little_pool() | dict(mean_learners=())
    if request.param == "specification":
        learners = dict(preset="specification", gradient_boosting=GradientBoostingRegressor(n_estimators=10), random_forest=RandomForestRegressor(10), neural_network=MLPRegressor(hidden_layer_sizes=(16,), max_iter=5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pack_any(BudgetEnsembleModel(**learners).fit(*rows), feature_names=NAMES, targets=TARGETS)


def in_a_fresh_process(folder, X, compiler, tmp_path):
    np.save(tmp_path/"X.npy", X)
    run = subprocess.run([sys.executable, "-c", SCRIPT, str(folder), str(tmp_path/"X.npy"), compiler], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    return np.load(tmp_path/"X.npy"), *json.loads(run.stdout)


def test_with_and_without_a_compiler(packed, rows, tmp_path):
    X, expected = rows[0][:100], packed.predict_distribution(rows[0][:100]).values
    folder = save_artifact(packed, tmp_path/"model", metadata=Metadata(NAMES, TARGETS[:-1]))
    values, kernel, refused = in_a_fresh_process(folder, X, "without", tmp_path)
    assert kernel.startswith("numpy: Compiled kernels need numba: pip install") and refused == kernel.removeprefix("numpy: ")
    assert np.array_equal(values, expected)
    pytest.importorskip("numba", reason="the compiled kernels need numba, which is not installed here")
    values, kernel, refused = in_a_fresh_process(folder, X, "with", tmp_path)
    assert (kernel, refused) == ("compiled", "")
    assert np.allclose(values, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["float16", "int16", "int8"])
def test_a_rounded_model_survives_its_folder(packed, rows, tmp_path, kind):
    small = quantise(packed, kind)
    loaded = load_artifact(save_artifact(small, tmp_path/"model", metadata=Metadata(NAMES, TARGETS[:-1]), golden_rows=rows[0][:5]), model_class=Packed)
    assert np.array_equal(loaded.predict_distribution(rows[0]).values, small.predict_distribution(rows[0]).values)
    assert sum(a.nbytes for a in loaded.arrays.values()) < sum(a.nbytes for a in packed.arrays.values())


def test_a_served_model_can_be_stored(packed, rows, tmp_path):
    served = ModelOptimizer(compiled=False).optimize_for_production(packed, *rows)
    loaded = load_artifact(save_artifact(served, tmp_path/"model", metadata=Metadata(NAMES, TARGETS[:-1])), model_class=Packed)
    assert np.array_equal(loaded.predict_distribution(rows[0]).values, served.predict_distribution(rows[0]).values)


def test_damaged_arrays_are_refused_or_harmless(packed, rows):
    "Whatever single entry is changed: refused with a ValueError, or a model that still answers with finite numbers."
    small, rng = quantise(packed), np.random.default_rng(1)
    for _ in range(200):
        name = rng.choice(list(small.arrays))
        a = small.arrays[name].copy()
        if not a.size: continue
        with np.errstate(invalid="ignore", over="ignore"): a.ravel()[rng.integers(a.size)] = np.array(rng.choice([0, -1, 1, 1e9, np.nan, np.inf, 255, 0.5])).astype(a.dtype)
        arrays = {**small.arrays, name: a}
        try: Packed.check_bounds(arrays, small.spec)
        except ValueError as error:
            assert str(error).startswith("Not a packed model")
            continue
        with np.errstate(all="ignore"):
            try: assert np.isfinite(Packed.from_arrays(arrays, small.spec).predict_distribution(rows[0][:4]).values).all()
            except ValueError as error: assert "finite" in str(error)
