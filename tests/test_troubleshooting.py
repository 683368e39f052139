"Faults are planted, one by one, in copies of what is healthy: each must be named, with the stage and the place, and what is healthy must give no finding."
import getpass
import json
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from conftest import ROOT
from smart_money import installation, troubleshooting
from smart_money.budgeting import BudgetOptimizer
from smart_money.persistence import _manifest_hash
from smart_money.training import default_model, default_path

NOISE = ("latency", "environment")  # the machine that runs the tests may be busy or full


@pytest.fixture(scope="session")
def model(): return default_model()


@pytest.fixture
def folder(model, tmp_path):
    "A copy of the default model."
    return Path(shutil.copytree(default_path(), tmp_path/"model"))


def codes(findings): return [f.code for f in findings if not f.code.startswith(NOISE)]


def one(folder, pattern): return next(folder.glob(pattern))


def remake(folder, change):
    "Change the manifest as a program would that writes one."
    manifest = json.loads((folder/"manifest.json").read_text())
    change(manifest)
    manifest["checksum"] = _manifest_hash(manifest)
    (folder/"manifest.json").write_text(json.dumps(manifest))


def flip(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


def truncate(file, n=100): file.write_bytes(file.read_bytes()[:n])


MODELS = {  # what is done to the folder → what must be found, and in which file
    "the folder is gone": (lambda f: shutil.rmtree(f), "loading.missing", "model"),
    "the folder is empty": (lambda f: [p.unlink() for p in f.iterdir()], "loading.missing", "manifest.json"),
    "no arrays": (lambda f: one(f, "arrays-*").unlink(), "loading.incomplete", "arrays-"),
    "no description": (lambda f: one(f, "spec-*").unlink(), "loading.incomplete", "spec-"),
    "arrays cut off": (lambda f: truncate(one(f, "arrays-*")), "loading.truncated", "arrays-"),
    "arrays empty": (lambda f: truncate(one(f, "arrays-*"), 0), "loading.truncated", "arrays-"),
    "manifest cut off": (lambda f: truncate(f/"manifest.json"), "loading.truncated", "manifest.json"),
    "manifest empty": (lambda f: truncate(f/"manifest.json", 0), "loading.truncated", "manifest.json"),
    "a bit of the arrays": (lambda f: flip(one(f, "arrays-*")), "loading.corrupt", "arrays-"),
    "a bit of the proof": (lambda f: flip(one(f, "golden-*")), "loading.corrupt", "golden-"),
    "a manifest edited by hand": (lambda f: (f/"manifest.json").write_text((f/"manifest.json").read_text().replace('"US"', '"UK"')), "loading.corrupt", "manifest.json"),
    "a manifest that is a picture": (lambda f: (f/"manifest.json").write_bytes(b"\x89PNG\r\n\x1a\n" * 9), "loading.corrupt", "manifest.json"),
    "a format to come": (lambda f: remake(f, lambda m: m.update(format_version=2)), "loading.version", "manifest.json"),
    "another numpy": (lambda f: remake(f, lambda m: m["libraries"].update(numpy="99.1.0")), "loading.libraries", "numpy"),
    "a manifest that cannot be read": (lambda f: ((f/"manifest.json").unlink(), (f/"manifest.json").symlink_to("manifest.json")), "loading.unreadable", "manifest.json"),
    "a manifest without a part": (lambda f: remake(f, lambda m: m["files"].pop("spec")), "loading.corrupt", "manifest.json"),
}


@pytest.mark.parametrize("fault", MODELS)
def test_a_broken_model_is_named(fault, folder):
    how, code, where = MODELS[fault]
    how(folder)
    found = troubleshooting.Findings(installation.diagnose_model_loading(folder))
    assert codes(found) == [code] and where in found[0].where and found[0].remedy
    seen = installation.examine(model=folder)
    assert codes(seen.findings) == [code]


def test_a_sound_model_gives_no_finding(folder):
    assert installation.diagnose_model_loading(folder) == [] and installation.diagnose_model_loading() == []


def test_a_pickle_is_not_loaded(tmp_path):
    (tmp_path/"model.pkl").write_bytes(b"\x80\x04cos\nsystem\n")
    assert codes(installation.diagnose_model_loading(tmp_path/"model.pkl")) == ["loading.pickle"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_without_the_right_to_read_it(folder):
    one(folder, "arrays-*").chmod(0)
    assert codes(installation.diagnose_model_loading(folder)) == ["loading.unreadable"]


@pytest.mark.skipif(not installation.requirements(), reason="the library is not installed, so nobody knows what it requires")
@pytest.mark.parametrize("package", ["hyperopt", "sklearn", "platformdirs"])
def test_a_missing_package(package):
    "A process in which the package cannot be imported."
    script = f"import sys; sys.modules[{package!r}] = None\nfrom smart_money.cli import main; main(['diagnose', '--json'])"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert run.returncode == 1, run.stderr
    assert ("loading.package", package) in {(f["code"], f["where"]) for f in json.loads(run.stdout)["findings"]}


def test_no_room_for_a_model(tmp_path, monkeypatch):
    (tmp_path/"a_file").write_text("")
    monkeypatch.setenv("SMART_MONEY_CACHE", str(tmp_path/"a_file"/"models"))
    seen = installation.examine()
    assert seen.findings.codes.count("environment.cache") == 1 and "loading.training" in seen.findings.codes


def test_data_that_were_not_installed(monkeypatch, tmp_path):
    monkeypatch.setattr(installation, "data_path", lambda name: tmp_path/name)
    found = installation.diagnose_model_loading()
    assert set(codes(found)) == {"loading.data"} and found[0].where == "data/enterprise_training_data.csv"


class Broken:
    "A model with one method that fails."
    def __init__(self, model, part):
        self.model, self.part, self.spec = model, part, model.spec
    def calibration_(self, X):
        if self.part == "calibration_": raise ArithmeticError("no levels")
        return self.model.calibration_(X)
    def predict_distribution(self, X):
        if self.part == "predict_distribution": raise MemoryError
        return self.model.predict_distribution(X)


STAGES = {"feature_engineering": "features.error", "model_prediction": "model.error", "uncertainty": "uncertainty.calibration", "allocation": "allocation.error"}


@pytest.mark.parametrize("stage", STAGES)
def test_the_stage_that_fails_is_named_and_the_later_ones_are_not_reached(stage, model, monkeypatch):
    def fails(*args, **kwargs): raise ArithmeticError("planted")
    if stage == "feature_engineering": monkeypatch.setattr(troubleshooting, "histories_from_household", fails)
    if stage == "allocation": monkeypatch.setattr(troubleshooting, "plan_budgets", fails)
    faulty = Broken(model, dict(model_prediction="predict_distribution", uncertainty="calibration_").get(stage))
    home = troubleshooting.create_sample_request()
    stages = troubleshooting.diagnose_prediction_errors(home.user_profile, home.expenses, home.preferences, optimizer=BudgetOptimizer(faulty))
    assert codes(stages.findings) == [STAGES[stage]]
    place = list(stages).index(stage)
    assert [s.status for s in stages.values()] == ["success"] * place + ["error"] + ["not reached"] * (4 - place)


@pytest.mark.parametrize("guilty", [0, 3, 7])
def test_the_one_expense_that_cannot_be_computed_with(guilty, model):
    expenses = [dict(category=c, amount=0) for c in ("housing", "utilities", "food_dining", "shopping", "giving", "others", "education", "healthcare")]
    expenses[guilty]["amount"] = 1e-300
    found = troubleshooting.diagnose_prediction_errors(dict(monthly_income=5000, age=30), expenses, optimizer=BudgetOptimizer(model)).findings
    assert [(f.code, f.where) for f in found] == [("features.error", f"expenses[{guilty}]")]


def test_slow_code_is_told_from_a_slow_machine(model):
    now = [0.0]
    def dawdle(): now[0] += 0.4
    class Slow(Broken):
        def predict_distribution(self, X):
            dawdle()
            return self.model.predict_distribution(X)
    found = lambda floor: troubleshooting.diagnose_latency_issues(BudgetOptimizer(Slow(model, "")), floor=floor, clock=lambda: now[0])
    assert [(f.code, f.where.split(".")[-1]) for f in found(0.02)] == [("latency.stage", "model_prediction"), ("latency.function", "dawdle")]
    assert found(0.4).codes == ["latency.machine"]
    assert found(0.11).codes == ["latency.machine"]
    assert troubleshooting.diagnose_latency_issues(BudgetOptimizer(model), floor=0.02, clock=lambda: 0.0) == []


CANARY = {"user_profile": {"monthly_income": 7654.32, "age": 61, "location": "Zanzibarville", "currency": "EUR"},
          "expenses": [{"category": "housing", "amount": 98765.43, "description": "Aunt Clarabel"}, {"category": "shopping", "amount": 31337.5, "date": "2091-11-23"}],
          "preferences": {"locked": {"housing": 55443.21}}}
BROKEN = {"sound": {}, "unknown field": {"user_profile": {**CANARY["user_profile"], "clarabel": 1}}, "unknown category": {"expenses": [{"category": "Clarabel", "amount": 98765.43}]},
          "a bad place": {"user_profile": {**CANARY["user_profile"], "location": 98765.43}}, "a category in preferences": {"preferences": {"locked": {"Clarabel": 55443.21}}}}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_bundle_tells_nothing_of_its_sender(kind, tmp_path, folder):
    (tmp_path/"clarabel.json").write_text(json.dumps(CANARY | BROKEN[kind]))
    named = folder.rename(tmp_path/"clarabels_model")
    for which in (None, named, tmp_path/"no_clarabel"):
        seen = installation.examine(tmp_path/"clarabel.json", which)
        assert codes(seen.findings)
        bundle = installation.write_bundle(seen, tmp_path/"bundle.zip")
        told = bundle.read_bytes() + b"".join(name.encode() + zipfile.ZipFile(bundle).read(name) for name in zipfile.ZipFile(bundle).namelist())
        for word in ("7654", "7,654", "98765", "98,765", "31337", "31,337", "55443", "55,443", "2091", "zanzi", "clarabel", str(tmp_path), str(Path.home()), platform.node(), "/tmp"):
            assert not word or word.lower().encode() not in told.lower(), word
        if len(getpass.getuser()) > 4: assert getpass.getuser().encode() not in told
        assert {"README.txt", "findings.json", "environment.json"} <= set(zipfile.ZipFile(bundle).namelist())


def test_the_command(tmp_path):
    run = lambda *words: subprocess.run([sys.executable, "-c", "from smart_money.cli import main; main()", "diagnose", *map(str, words)], capture_output=True, text=True, encoding="utf-8", cwd=tmp_path,
                                        env=os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1"})
    (tmp_path/"home.json").write_text(json.dumps(CANARY))
    said = run(tmp_path/"home.json", "--bundle", "bundle.zip")
    assert said.returncode == 1 and "preferences.locked.housing" in said.stdout and "Lower them by" in said.stdout and "bundle.zip" in said.stdout, said.stderr
    assert (tmp_path/"bundle.zip").exists() and not list(tmp_path.glob(".*part"))
    healthy = run("--json")
    assert healthy.returncode == 0 and codes_of(json.loads(healthy.stdout)) == []
    refused = run("--bundle", "bundle.txt")
    assert refused.returncode == 2 and "ending in .zip" in refused.stderr and not refused.stdout


def codes_of(answer): return [f["code"] for f in answer["findings"] if not f["code"].startswith(NOISE)]


def test_every_fault_of_the_catalogue_can_be_found():
    "No code without a place in the library that gives it."
    source = "".join((ROOT/"smart_money"/f"{m}.py").read_text(encoding="utf-8") for m in ("troubleshooting", "installation", "drift"))
    lost = [c for c in troubleshooting.FAULTS if f'"{c}"' not in source and not (c.startswith("loading.") and f'"{c.partition(".")[2]}"' in source)]
    assert not lost
