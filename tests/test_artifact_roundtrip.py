"A packed model survives its folder to the last bit; what does not fit together is refused."
import json
import subprocess
import sys
import warnings

import numpy as np
import pytest

from conftest import ROOT
from little import NAMES, TARGETS, little_pool, little_rows
from smart_money.ensemble import BudgetEnsembleModel
from smart_money.inference import PackedModel, pack, probe_rows
from smart_money.persistence import ArtifactCorrupt, ArtifactSchemaMismatch, ArtifactTruncated, Metadata, load_artifact, save_artifact
from smart_money.uncertainty import MondrianCalibrator


@pytest.fixture(scope="module")
def rows(): return little_rows()


@pytest.fixture(scope="module")
def packed(rows):
    X, y = rows
    model = BudgetEnsembleModel(**little_pool(), calibrator=MondrianCalibrator((0,), 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
    return pack(model, X, feature_names=NAMES, targets=TARGETS)


def save(packed, folder, **changed):
    model = PackedModel({n: changed.get(n, a) for n, a in packed.arrays.items()}, packed.spec)
    return save_artifact(model, folder, metadata=Metadata(NAMES, TARGETS[:-1]), golden_rows=None if changed else probe_rows(packed, 5))


def test_round_trip(packed, rows, tmp_path):
    loaded = load_artifact(save(packed, tmp_path/"model"), feature_names=NAMES, categories=TARGETS[:-1])
    assert loaded.spec == packed.spec
    for name, a in packed.arrays.items(): assert a.dtype == loaded.arrays[name].dtype and np.array_equal(a, loaded.arrays[name])
    assert np.array_equal(loaded.predict_distribution(rows[0]).values, packed.predict_distribution(rows[0]).values)
    again = save(loaded, tmp_path/"again")
    assert {p.name for p in again.iterdir()} == {p.name for p in (tmp_path/"model").iterdir()}  # named by content


def test_a_fresh_process_needs_numpy_only(packed, rows, tmp_path):
    folder = save(packed, tmp_path/"model")
    np.save(tmp_path/"X.npy", rows[0][:7])
    code = ("import json, sys, numpy as np\nfrom smart_money.persistence import load_artifact\n"
            "print(json.dumps([load_artifact(sys.argv[1]).predict(np.load(sys.argv[2])).tolist(), sorted({m.partition('.')[0] for m in sys.modules})]))")
    run = subprocess.run([sys.executable, "-c", code, str(folder), str(tmp_path/"X.npy")], capture_output=True, text=True, cwd=ROOT, check=True)
    mean, modules = json.loads(run.stdout)
    assert np.allclose(mean, packed.predict(rows[0][:7]), rtol=1e-9)
    assert not {"sklearn", "scipy", "pandas", "joblib", "pydantic"} & set(modules)


@pytest.mark.parametrize("name", ["location.left", "forest.members", "forest.codes", "inputs.kept", "network0.coef0", "profile.threshold", "calibration.read_at", "ridge_dense.flagged"])
def test_a_crafted_artefact_is_refused(packed, tmp_path, name):
    "Checksums agree, for whoever wrote this wrote them too; but an index points nowhere or a number is none."
    a = packed.arrays[name].copy()
    if a.dtype.kind == "f": a.ravel()[0] = np.nan
    else: a = a.astype(np.int64) + 70_000
    folder = save(packed, tmp_path/"model", **{name: a})
    with pytest.raises(ArtifactSchemaMismatch, match="Not a packed model"): load_artifact(folder)


def test_every_flipped_byte_is_noticed(packed, tmp_path):
    folder = save(packed, tmp_path/"model")
    file = next(folder.glob("arrays-*.npz"))
    data, rng = file.read_bytes(), np.random.default_rng(0)
    for at in rng.integers(len(data), size=40):
        file.write_bytes(data[:at] + bytes([data[at] ^ 1 << rng.integers(8)]) + data[at + 1:])
        with pytest.raises(ArtifactCorrupt): load_artifact(folder)
    file.write_bytes(data[:-100])
    with pytest.raises(ArtifactTruncated): load_artifact(folder)


def test_random_arrays_never_crash_the_check(packed):
    "Whatever single entry is changed: refused with a ValueError, or a model that still answers with finite numbers."
    rng, X = np.random.default_rng(1), probe_rows(packed, 4)
    for _ in range(400):
        name = rng.choice(list(packed.arrays))
        a = packed.arrays[name].copy()
        if not a.size: continue
        value = rng.choice([0, -1, 1, 1e9, np.nan, np.inf, 255, 0.5])
        with np.errstate(invalid="ignore", over="ignore"): a.ravel()[rng.integers(a.size)] = np.array(value).astype(a.dtype)
        arrays = {**packed.arrays, name: a}
        try: PackedModel.check_bounds(arrays, packed.spec)
        except ValueError as error:
            assert str(error).startswith("Not a packed model")
            continue
        with np.errstate(all="ignore"): 
            try: assert np.isfinite(PackedModel.from_arrays(arrays, packed.spec).predict_distribution(X).values).all()
            except ValueError as error: assert "finite" in str(error)  # amounts beyond all numbers are refused by the table
