"A search that is killed, torn, cut or run twice at once continues as if nothing had happened, or says why not."
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from smart_money.model_selection import Choice, GroupedWindowSplit, Real, Whole, apply_params, make_splits, optimize_hyperparameters, propose, read_journal, specification_space, validate_model
from smart_money.splits import check_split

N_TRIALS = 24
SPACE = {"alpha": Real(1e-3, 1e3, log=True), "fit_intercept": Choice((True, False))}


class SlowRidge(Ridge):
    "Takes its time, so that a kill falls into a trial."
    def fit(self, X, y):
        time.sleep(float(os.environ.get("SLOW_SECONDS", 0)))
        return super().fit(X, y)


def table():
    "Sixty households in six months: features, spending, household and month."
    rng = np.random.default_rng(0)
    X = rng.normal(size=(360, 4))
    return X, 500 + X @ [50, 30, 0, 0] + rng.normal(0, 40, 360), np.repeat(np.arange(60), 6), np.tile(np.arange(6), 60)


def search(journal=None, max_evals=N_TRIALS, **options):
    X, y, who, when = table()
    return optimize_hyperparameters(SlowRidge(), X, y, **{**dict(space=SPACE, max_evals=max_evals, groups=who, periods=when, cv=3, batch_size=3, journal=journal), **options})


def compare(result): return result.trials.drop(columns="seconds")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    path = tmp_path_factory.mktemp("search")/"undisturbed.jsonl"
    return search(path), path.read_bytes()


def start(path, *, n_jobs, slow):
    "The search in a process of its own."
    env = {**os.environ, "SLOW_SECONDS": str(slow), "PYTHONPATH": os.pathsep.join([str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen([sys.executable, __file__, str(path), str(n_jobs)], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_killed_in_mid_search_it_continues_to_the_same_end(tmp_path, undisturbed, n_jobs):
    path = tmp_path/"journal.jsonl"
    process = start(path, n_jobs=n_jobs, slow=0.05)
    deadline = time.monotonic() + 300
    while not path.exists() or path.read_bytes().count(b"\n") < 6:
        assert process.poll() is None, f"the search ended before it could be killed: {process.communicate()}"
        assert time.monotonic() < deadline, "the search hung before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close(), process.stderr.close()
    _, done, _ = read_journal(path)
    assert 5 <= len(done) < N_TRIALS
    with start(path, n_jobs=n_jobs, slow=0) as process: said, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    said = json.loads(said)
    assert said["n_resumed"] == len(done) and said["n_trials"] == N_TRIALS
    assert (said["best_params"], said["best_score"]) == (undisturbed[0].best_params, undisturbed[0].best_score)
    resumed = search(path)
    assert resumed.n_resumed == N_TRIALS and compare(resumed).equals(compare(undisturbed[0]))


def test_a_journal_cut_anywhere_leads_to_the_same_end(tmp_path, undisturbed):
    expected, whole = undisturbed
    for i, cut in enumerate([0, 1, 7, *np.random.default_rng(0).integers(8, len(whole), 12), len(whole) - 1]):
        path = tmp_path/f"{i}.jsonl"
        path.write_bytes(whole[:cut])
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            resumed = search(path)
        torn = cut > 0 and whole[cut - 1:cut] != b"\n"
        assert any("is torn" in str(w.message) for w in said) == torn
        assert compare(resumed).equals(compare(expected)) and len(read_journal(path)[1]) == N_TRIALS


def test_a_longer_search_begins_like_the_shorter(tmp_path, undisturbed):
    path = tmp_path/"journal.jsonl"
    search(path, max_evals=10)
    assert compare(search(path)).equals(compare(undisturbed[0]))
    assert search(path, max_evals=5).n_resumed == N_TRIALS                                                  # trials that were paid for count


def test_processes_change_nothing_and_batches_do(undisturbed):
    assert compare(search(n_jobs=2)).equals(compare(undisturbed[0]))
    assert not compare(search(batch_size=1)).equals(compare(undisturbed[0]))


def test_two_searches_do_not_share_a_file(tmp_path):
    path = tmp_path/"journal.jsonl"
    def intrude(share, what):
        with pytest.raises(ValueError, match="another search is writing"): search(path)
    assert len(search(path, max_evals=3, progress=intrude).trials) == 3


@pytest.mark.parametrize("change, names", [(dict(random_state=1), "random_state"), (dict(batch_size=2), "batch_size"), (dict(scoring="mae"), "scoring"), (dict(cv=2), "splits"),
                                           (dict(space={"alpha": Real(1, 2)}), "space")])
def test_another_search_does_not_continue_the_file(tmp_path, change, names):
    path = tmp_path/"journal.jsonl"
    search(path, max_evals=2)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"another search .*{names}"): search(path, max_evals=3, **change)
    assert path.read_bytes() == before


def test_damage_in_the_middle_is_refused_by_line(tmp_path, undisturbed):
    path = tmp_path/"journal.jsonl"
    lines = undisturbed[1].split(b"\n")
    path.write_bytes(b"\n".join([*lines[:4], lines[4][:20], *lines[5:]]))
    with pytest.raises(ValueError, match="line 5 cannot be read"): search(path)


def test_every_trial_is_reproducible_from_the_record(tmp_path):
    path = tmp_path/"journal.jsonl"
    search(path)
    X, y, who, when = table()
    for trial in read_journal(path)[1][::5]:
        again = validate_model(apply_params(Ridge(), trial.params), X, y, groups=who, periods=when, cv=3, scoring=["mse"])
        assert again["test_mse"] == trial.score and tuple(again["folds"]["test_mse"]) == trial.fold_scores


def test_proposals_do_not_depend_on_the_hash_seed():
    code = f"""
import sys; sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(__file__).resolve().parents[1])!r}]
from smart_money.model_selection import propose, default_space
told = []
for i in range(14): told.append((propose(default_space(), told, i), float(i % 5)))
print(told)"""
    said = {subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": str(seed)}, capture_output=True, text=True, check=True).stdout for seed in (1, 2)}
    assert len(said) == 1


def test_proposals_stay_inside_and_reach_the_ends():
    space = {"r": Real(-1, 1), "w": Whole(2, 4), "v": Whole(1, 100, log=True), "c": Choice((None, "a", (1, 2)))}
    seen = [propose(space, [], i) for i in range(120)]
    assert all(p[k] in span for p in seen for k, span in space.items())
    assert {p["w"] for p in seen} == {2, 3, 4} and {p["c"] for p in seen} == {None, "a", (1, 2)}
    assert all(type(p["w"]) is int and type(p["r"]) is float for p in seen)


@pytest.mark.parametrize("seed", range(20))
def test_windows_never_leak(seed):
    rng = np.random.default_rng(seed)
    n_households, n_periods, n_splits = rng.integers(30, 80), rng.integers(4, 15), rng.integers(2, 4)
    first = rng.integers(0, n_periods, n_households)
    who, when = np.array([(h, p) for h in range(n_households) for p in range(first[h], min(n_periods, first[h] + rng.integers(2, n_periods + 2)))]).T
    order = rng.permutation(len(who))
    who, when = who[order], when[order]
    try: splits = make_splits(GroupedWindowSplit(int(n_splits)), n=len(who), groups=who, periods=when)
    except ValueError as e:
        assert "but expected" in str(e) or "household(s) for" in str(e)
        return
    for train, test in splits: check_split(train, test, groups=who, periods=when)


def test_frames_pipelines_and_weights():
    pd, (pipeline, StandardScaler) = pytest.importorskip("pandas"), (pytest.importorskip("sklearn.pipeline"), pytest.importorskip("sklearn.preprocessing").StandardScaler)
    X, y, who, when = table()
    told = dict(groups=who, periods=when, cv=3)
    plain = validate_model(Ridge(), X, y, **told)
    assert validate_model(Ridge(), pd.DataFrame(X), pd.Series(y, name="food"), **told)["test_mse"] == plain["test_mse"]
    framed = validate_model(pipeline.make_pipeline(StandardScaler(), Ridge()), pd.DataFrame(X).add_prefix("f"), pd.DataFrame({"food": y, "rent": 2 * y}), **told)
    assert list(framed["targets"].index) == ["food", "rent"] and np.isclose(framed["targets"].loc["rent", "test_mae"], 2 * framed["targets"].loc["food", "test_mae"])
    counts = np.random.default_rng(1).integers(1, 4, len(y))
    again = np.repeat(np.arange(len(y)), counts)
    splits = make_splits(3, n=len(y), groups=who, periods=when)
    repeated = [tuple(np.flatnonzero(np.isin(again, side)) for side in split) for split in splits]
    weighted, copied = validate_model(Ridge(), X, y, sample_weight=counts, cv=splits), validate_model(Ridge(), X[again], y[again], cv=repeated)
    assert all(np.isclose(weighted[k], copied[k]) for k in ("test_mse", "test_mae", "test_r2", "budget_adherence"))


def test_a_model_s_own_progress_stays_at_home():
    class Loud(Ridge):
        def __init__(self, alpha=1.0, progress=None): super().__init__(alpha=alpha); self.progress = progress
        def fit(self, X, y):
            if self.progress: raise AssertionError("talked")
            return super().fit(X, y)
    X, y, _, when = table()
    loud = Loud(progress=print)
    assert optimize_hyperparameters(loud, X, y, space={"alpha": Real(0.1, 1)}, max_evals=2, periods=when, cv=2).n_failed == 0
    assert loud.progress is print


def test_forecasts_without_a_number_fail_their_trial_and_say_where():
    class Lost(Ridge):
        def predict(self, X): return np.where(X[:, 0] > 0, np.nan, 1.0) if self.alpha > 0.5 else super().predict(X)
    X, y, _, when = table()
    with pytest.warns(UserWarning, match="trials failed.*missing prediction"):
        result = optimize_hyperparameters(Lost(alpha=0.1), X, y, space={"alpha": Choice((0.2, 0.9))}, max_evals=8, periods=when, cv=2)
    assert result.n_failed > 0 and result.best_params["alpha"] < 0.5 and result.trials["score"].isna().sum() == result.n_failed


def test_a_factory_needs_no_parameters():
    X, y, _, when = table()
    result = optimize_hyperparameters(lambda params: Ridge(alpha=10 ** params["power"]), X, y, space={"power": Whole(-3, 3)}, max_evals=6, periods=when, cv=2, n_jobs=2)
    assert result.best_model().alpha == 10 ** result.best_params["power"]
    assert validate_model(result.best_model(), X, y, periods=when, cv=2, scoring=["mse"])["test_mse"] == result.best_score


def test_the_specification_s_space_fits_the_ensemble():
    from smart_money.ensemble import BudgetEnsembleModel
    rng = np.random.default_rng(0)
    X = rng.lognormal(5, 1, (300, 3))
    small = {**specification_space(), "neural_network__hidden_layer_sizes": Choice(((4,), (4, 2)))}
    result = optimize_hyperparameters(BudgetEnsembleModel(n_folds=2, n_bins=6), X, X * rng.lognormal(0, .2, X.shape), space=small, max_evals=2, cv=[(np.arange(240), np.arange(240, 300))], scoring="crps")
    assert result.n_failed == 0 and set(result.best_params) == set(specification_space())
    assert result.trials.loc[0, "random_forest__n_estimators"] == BudgetEnsembleModel().fit(X, X).forests_[0].forest.n_estimators


if __name__ == "__main__":
    found = search(sys.argv[1], n_jobs=int(sys.argv[2]))
    print(json.dumps({"best_params": found.best_params, "best_score": found.best_score, "n_resumed": found.n_resumed, "n_trials": len(found.trials)}))
