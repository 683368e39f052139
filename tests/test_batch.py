"Files of households by the command: here and on Dask the same answers, every row accounted for; and training jobs on Dask through joblib."
import json
import os
import subprocess
import sys
import warnings

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPClassifier

from conftest import ROOT
from smart_money.ensemble import BudgetEnsembleModel, column_roles
from smart_money.features import FeatureEngineer, mask_histories, windows_from_panel
from smart_money.inference import pack
from smart_money.persistence import Metadata, ModelRegistry, save_artifact
from smart_money.synthetic import make_households

KEPT = ("housing", "food_dining", "healthcare")


def people(*size, seed):
    panel = make_households(*size, random_state=seed)
    return panel[[c for c in panel if not c.startswith("spend_") or c.removeprefix("spend_") in KEPT]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory): return tmp_path_factory.mktemp("batch")


@pytest.fixture(scope="module")
def registry(folder):
    "A registry with one small model."
    windows = windows_from_panel(people(60, 6, seed=0), min_history=0)
    histories = mask_histories(windows.histories, 0)
    engineer = FeatureEngineer.for_histories(histories)
    model = BudgetEnsembleModel(**column_roles(engineer.feature_names, engineer.feature_kinds, engineer.families, windows.targets), n_bins=8, n_folds=2, max_pool_rows=100, mean_learners=(), n_jobs=1,
                                gradient_boosting=HistGradientBoostingRegressor(loss="absolute_error", max_iter=4), random_forest=ExtraTreesRegressor(4, min_samples_leaf=20), neural_network=MLPClassifier((4,), max_iter=5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(engineer.transform(histories), windows.y, groups=windows.groups)
    packed = pack(model, feature_names=engineer.feature_names, targets=windows.targets)
    save_artifact(packed, folder/"model", metadata=Metadata(tuple(engineer.feature_names), tuple(windows.targets[:-1])), golden_rows=engineer.transform(histories)[:3])
    ModelRegistry(folder/"registry").promote(ModelRegistry(folder/"registry").add(folder/"model"))
    return folder/"registry"


@pytest.fixture(scope="module")
def panel(folder):
    "A panel in small row groups, some households with mistakes."
    table = people(400, 3, seed=1)
    table.loc[7, "age"], table.loc[100, "spend_housing"], table.loc[301, "risk_tolerance"] = 3, -1.0, "wild"
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), folder/"panel.parquet", row_group_size=250)
    return folder/"panel.parquet"


def command(*words):
    return subprocess.run([sys.executable, "-c", "from smart_money.cli import main; main()", *map(str, words)], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1"})


@pytest.fixture(scope="module")
def here(registry, panel, folder):
    "The answers of one process, and the summary."
    run = command("batch", panel, folder/"here.parquet", "--model", registry, "--rows", 100, "--json")
    assert run.returncode == 0, run.stderr
    return pq.read_table(folder/"here.parquet"), json.loads(run.stdout)


def test_every_household_has_its_row(here):
    table, summary = here
    answers = table.to_pandas()
    assert answers.household_id.tolist() == sorted(set(answers.household_id)) and len(answers) == 400 and answers.row.tolist() == list(range(0, 1200, 3))
    assert (summary["rows"], summary["households"], summary["errors"], summary["reasons"]) == (1200, 400, 3, {"age": 1, "spend_housing": 1, "risk_tolerance": 1})
    wrong = answers[answers.error.notna()]
    assert wrong.household_id.tolist() == ["US-000002", "US-000033", "US-000100"] and wrong.savings.isna().all()
    good = answers[answers.error.isna()]
    assert np.allclose(good.filter(like="budget_").sum(axis=1) + good.savings, good.income, atol=0.005)


def test_dask_writes_the_same_file(registry, panel, folder, here):
    run = command("batch", panel, folder/"dask.parquet", "--model", registry, "--rows", 100, "--dask", "local", "--json")
    assert run.returncode == 0, run.stderr
    assert pq.read_table(folder/"dask.parquet").equals(here[0])
    assert {k: v for k, v in json.loads(run.stdout).items() if k not in ("seconds", "rate", "file")} == {k: v for k, v in here[1].items() if k not in ("seconds", "rate", "file")}


@pytest.mark.parametrize("words, code, message", [
    (("batch", "nowhere.parquet", "out.parquet"), 2, "no such file"), (("batch", "panel.parquet", "panel.parquet"), 2, "the input itself"),
    (("batch", "panel.parquet", "out.parquet", "--month", "June"), 2, "such as 2024-06"), (("batch", "model/README.md", "out.parquet"), 2, "a Parquet file")])
def test_mistakes_are_one_line(registry, panel, folder, words, code, message):
    run = command(*(folder/w if "." in w and not w.startswith("--") else w for w in words), "--model", registry)
    assert run.returncode == code and message in run.stderr and run.stderr.count("\n") == 1 and "Traceback" not in run.stderr, run.stderr
    assert not list(folder.glob("out.*")) and not list(folder.glob(".*part"))


def test_a_registry_by_command(registry, folder):
    second = json.loads(command("model", "add", registry, folder/"model", "--name", "second", "--promote", "--json").stdout)
    listed = json.loads(command("model", "list", registry, "--json").stdout)
    assert second["current"] == "second" and [v["is_current"] for v in listed] == [False, True]
    back = json.loads(command("model", "rollback", registry, "--json").stdout)
    assert back["current"] == listed[0]["name"]
    assert "current" in command("model", "list", registry).stdout
    refused = command("model", "promote", registry, "third")
    assert refused.returncode == 2 and "second" in refused.stderr


@pytest.fixture(scope="module")
def cluster():
    from distributed import Client, LocalCluster
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as client: yield client


def test_search_and_cross_validation_run_on_dask(cluster):
    "The library hands its folds to joblib; joblib hands them to Dask. Nothing in the results tells where they were computed."
    from smart_money.cross_validation import validate_model
    from smart_money.model_selection import optimize_hyperparameters
    from smart_money.search_spaces import Real
    rng = np.random.default_rng(0)
    X, groups, periods = rng.random((200, 3)), np.arange(200) // 5, np.arange(200) % 5
    y = 100 * (1 + X.sum(1)) + rng.normal(0, 5, 200)
    def results():
        scores = validate_model(Ridge(), X, y, groups=groups, periods=periods, cv=3)
        found = optimize_hyperparameters(Ridge(), X, y, groups=groups, periods=periods, space={"alpha": Real(0.05, 20, log=True)}, max_evals=4, random_state=0)
        return {k: v for k, v in scores.items() if isinstance(v, float)}, found.best_params
    alone = results()
    before = len(cluster.get_task_stream())
    with joblib.parallel_config(backend="dask"): there = results()
    assert alone == there
    assert len(cluster.get_task_stream()) > before  # and it was the cluster that computed
