"""Whatever is done to an artefact, loading it executes nothing, crashes nothing, and never gives another model for the one that was asked for.

`LONG=1` tries ten thousand mutants and stores what became of them in tests/mutations.json."""
import json
import os
import subprocess
import sys
from collections import Counter

import pytest

from conftest import ROOT
from test_artifact_roundtrip import packed, rows, save  # noqa: F401, fixtures

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs pipes, alarms and resource limits")
LONG = os.environ.get("LONG") == "1"
COUNT, CHUNK = (10_000, 1000) if LONG else (240, 240)


def try_mutants(artefact, workplace, first, count):
    "Lines of a worker; if it dies, the mutant that killed it, and the rest with a new worker."
    found = []
    while count > 0:
        run = subprocess.run([sys.executable, "-W", "error::ResourceWarning", str(ROOT/"tests"/"mutants.py"), str(artefact), str(workplace), str(first), str(count)], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})
        lines = [json.loads(line) for line in run.stdout.splitlines()]
        found += [line for line in lines if "kind" in line]
        if run.returncode == 0: return found
        assert lines and lines[-1].get("about to try", -1) >= 0, run.stderr[-2000:]
        killer = lines[-1]["about to try"]
        found.append(dict(number=killer, kind="?", by_checksum=f"SIGNAL {run.returncode}: {run.stderr[-300:]}", by_path="", executed=[]))
        first, count = killer + 1, count - (killer + 1 - first)
    return found


@pytest.fixture(scope="module")
def mutants(packed, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("mutants")
    artefact = save(packed, folder/"sound")
    found = [m for first in range(0, COUNT, CHUNK) for m in try_mutants(artefact, folder/"work", first, CHUNK)]
    if LONG: store(found)
    return found


def store(found):
    table = {}
    for m in found: table.setdefault(m["kind"], Counter())[m["by_path"]] += 1
    summary = dict(mutants=len(found), executions=sum(bool(m["executed"]) for m in found), signals=sum("SIGNAL" in m["by_checksum"] for m in found), other_models_by_checksum=sum("another" in m["by_checksum"] for m in found),
                   by_checksum=dict(Counter(m["by_checksum"] for m in found).most_common()), by_path={kind: dict(c.most_common()) for kind, c in sorted(table.items())})
    (ROOT/"tests"/"mutations.json").write_text(json.dumps(summary, indent=1) + "\n")


def test_all_were_tried(mutants):
    assert sorted(m["number"] for m in mutants) == list(range(COUNT))
    assert len({m["kind"] for m in mutants}) == 8


def test_nothing_is_executed(mutants): assert not [m for m in mutants if m["executed"]]


def test_nothing_crashes_hangs_or_escapes(mutants):
    assert not [m for m in mutants if any(m[by].startswith(("SIGNAL", "HANGS", "ESCAPES", "INCOMPLETE")) for by in ("by_checksum", "by_path"))]


def test_who_asks_by_checksum_gets_that_model_or_an_error(mutants):
    "The registry and the service ask so."
    assert not [m for m in mutants if m["by_checksum"].startswith("another")]


def test_without_a_forger_no_other_model_comes_out(mutants):
    "Accidents do not recompute checksums."
    assert not [m for m in mutants if m["kind"] in ("bytes", "files") and m["by_path"].startswith("another")]


def test_the_trial_can_fail(mutants):
    "Mutants reach every gate, and some pass them all: harmless ones, and forgeries that are sound models of their own."
    outcomes = Counter(m["by_path"].partition(",")[0] for m in mutants)
    assert {"ArtifactCorrupt", "ArtifactSchemaMismatch", "the same model", "another model"} <= outcomes.keys(), outcomes


def test_the_watch_sees_an_execution(tmp_path):
    code = "import sys; sys.path.insert(0, 'tests')\nimport numpy as np, io, mutants\nw = mutants.Watch()\nb = io.BytesIO(); np.save(b, np.array([mutants.Executes()], dtype=object), allow_pickle=True); b.seek(0)\nimport os; os.chdir(sys.argv[1])\nwith w: np.load(b, allow_pickle=True)\nprint(w.seen)"
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd=ROOT)
    assert "os.system" in run.stdout and (tmp_path/"executed").exists(), run.stderr
