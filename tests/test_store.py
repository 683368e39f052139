"""The store across processes and on both databases: killed writers, many writers, retries at once, first starts at once, and what each database must do the same.

Shorter here than what the changelog counts: STORE_KILLS=100 STORE_ROWS=500 runs all of it, and tests/store_workers.py any of it by hand."""
import datetime as dt
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from conftest import ROOT
from smart_money.database import StoreError, tables
from smart_money.feedback import UserWeights, prior_weights
from smart_money.schema import InputError
from smart_money.store import IdempotencyConflict, Store

WITH_ROOT = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
MARCH = dt.datetime(2025, 3, 31, 9, tzinfo=dt.timezone.utc)
SAID = dict(user_id="u-1", period="2025-03-10", currency="USD", rating=4, adherence=.5, overrides=dict(entertainment=180.25), budget=dict(entertainment=120, giving=30),
            actuals=dict(entertainment=200, giving=0), profile=dict(monthly_income=4800.5, age=34))


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path): return str(tmp_path/"store.sqlite3") if request.param == "sqlite" else request.getfixturevalue("postgres")


@pytest.fixture
def store(url):
    with Store(url) as opened: yield opened


def workers(what, url, *arguments):
    "Run tests/store_workers.py; gives what it counted."
    run = subprocess.run([sys.executable, ROOT/"tests"/"store_workers.py", what, url, *map(str, arguments)], capture_output=True, text=True, timeout=300,
                         env=WITH_ROOT)
    assert run.returncode == 0, run.stdout + run.stderr
    return json.loads(run.stdout)


def test_no_acknowledged_row_is_lost_to_kill_9(url):
    found = workers("kills", url, "--n", os.environ.get("STORE_KILLS", 10))
    assert (found["lost"], found["half_written"], found["sound"]) == (0, 0, True) and found["acknowledged"] >= found["kills"]


def test_the_audit_sees_a_lost_row(store, url):
    import store_workers
    number = store.record_feedback(store_workers.body("u-1"), idempotency_key="a/0").id
    assert store_workers.audit(url, {"a/0": number})["lost"] == 0
    assert store_workers.audit(url, {"a/0": number, "a/1": number + 1})["lost"] == 1
    store.record_feedback(dict(user_id="u-1", rating=3))
    assert store_workers.audit(url, {})["half_written"] > 0


def test_a_service_outlives_its_server(postgres_cluster, postgres):
    "The server is killed and started again: what was acknowledged is there, and the same store goes on."
    with Store(postgres, timeout=5) as store:
        for i in range(20): store.record_feedback(SAID, idempotency_key=f"before/{i}")
        postgres_cluster.kill()
        with pytest.raises(StoreError): store.record_feedback(SAID, idempotency_key="while it is gone")
        postgres_cluster.start()
        assert store.record_feedback(SAID, idempotency_key="before/19").replayed and not store.record_feedback(SAID, idempotency_key="while it is gone").replayed
        assert store.counts()["feedback"] == 21


def test_four_writers(url): assert workers("writers", url, "--n", 4, "--rows", os.environ.get("STORE_ROWS", 100))["errors"] == 0


def test_a_hundred_retries_at_once_make_one_row(url):
    assert workers("retries", url, "--n", 100) == dict(retries=100, numbers=1, new=1, rows=1, changed=100, conflicts=100)


def test_first_starts_at_once(url): assert workers("starts", url, "--n", 6)["revisions"] == ["0001"]


def test_migrations_make_the_tables(store):
    with store._engine.connect() as c: assert compare_metadata(MigrationContext.configure(c, opts=dict(compare_type=True)), tables) == []


def test_events_cannot_be_changed(store):
    store.record_feedback(SAID)
    for table, change in (("feedback", "rating = 1"), ("amounts", "cents = 0")):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), store._engine.begin() as c: c.exec_driver_sql(f"UPDATE {table} SET {change}")
    with pytest.raises(sa.exc.DBAPIError), store._engine.begin() as c: c.exec_driver_sql("INSERT INTO feedback (recorded_at, user_key, rating) VALUES (0, 'u', 6)")


def test_everything_comes_back(store):
    store.record_feedback(SAID, recorded_at=MARCH)
    store.record_feedback(SAID | dict(rating=5, actuals=dict(giving=12.345)), recorded_at=MARCH)
    assert store.ratings().tolist() == [5] and store.adherence(("2025-03-31", "2025-03-31")).tolist() == [.5] and store.ratings(1).tolist() == []
    override = store.overrides("u-1")[0]
    assert (override.amount, override.budget, override.period, override.recorded_at) == (Decimal("180.25"), Decimal(120), dt.date(2025, 3, 1), MARCH)
    assert store.budget_outcomes()[["category", "budget", "actual"]].to_numpy().tolist() == [["entertainment", 120, 200], ["giving", 30, 12.34]]
    panel = store.actuals_panel()
    assert panel[["household_id", "monthly_income", "spend_entertainment", "spend_giving", "currency"]].to_numpy().tolist() == [["u-1", 4800.5, 200, 12.34, "USD"]]
    store.record_evaluation(dict(accuracy=.8, r2=np.float32(.5)), model_id="m")
    store.record_run("m", config=dict(size="quick"), figures=dict(n=np.int64(3)))
    assert store.latest_evaluation()["metrics"] == dict(accuracy=.8, r2=.5) and store.runs()[0]["figures"] == dict(n=3)
    assert store.record_experiment("e", dict(salt="s")) and not store.record_experiment("e", dict(salt="s"))
    assert store.record_assignments("e", {f"u-{i}": "on" for i in range(1200)}) == 1200 and store.record_assignments("e", {"u-7": "on", "u-x": "off"}) == 1
    with pytest.raises(IdempotencyConflict): store.record_assignments("e", {"u-y": "on", "u-7": "off"})
    assert len(store.assignments("e")) == 1201
    for _ in range(2): assert store.record_outcomes("e", [("u-1", "saved", 1.5, MARCH)], idempotency_key="k") == 1
    assert store.outcomes("e").iloc[0].tolist()[:3] == ["u-1", "saved", 1.5] and len(store.outcomes("e")) == 1
    assert len(store.exposures("e")) == 0 and str(store.exposures("e").dtypes["at"]) == "datetime64[ns, UTC]"


def test_export_and_erase(store, url):
    store.record_experiment("e", {})
    for user in ("u-1", "u-2"):
        store.record_feedback(SAID | dict(user_id=user), idempotency_key=user, learn=lambda state: prior_weights(), response=dict(user=user))
        store.record_assignments("e", {user: "on"})
        store.record_exposures("e", [(user, "on")])
        store.record_outcomes("e", [(user, "saved", 3.0)])
    export = json.loads(json.dumps(store.export_user("u-1"), allow_nan=False))
    assert export["feedback"][0]["actuals"] == dict(entertainment=200, giving=0) and export["feedback"][0]["profile"]["monthly_income"] == 4800.5
    assert [len(export[t]) for t in ("feedback", "user_weights", "assignments", "exposures", "outcomes", "idempotency")] == [1] * 6
    before, erased = store.counts(), store.erase_user("u-1")
    after = store.counts()
    assert erased.rows == 6 + 5 == sum(before[t] - after[t] for t in before if t != "erasures") and after["erasures"] == 1
    assert store.get_weights("u-1") is None and store.get_weights("u-2") is not None and store.erase_user("u-1").rows == 0
    assert not any(v for k, v in store.export_user("u-1").items() if k not in ("user_id", "kept_as"))
    if "sqlite" in url: assert b"u-1" not in b"".join(p.read_bytes() for p in Path(url).parent.glob("store.sqlite3*"))


def test_no_lesson_is_lost(store):
    "Every lesson sees the one before, from twenty threads at once."
    def learn(state): return UserWeights(("a",), np.zeros(1), np.zeros(1), np.eye(1), 1 + (state.n_overrides if state else 0))
    with ThreadPoolExecutor(20) as pool: list(pool.map(lambda i: store.record_feedback(dict(user_id="u-1", rating=3), learn=learn), range(60)))
    assert store.get_weights("u-1").n_overrides == 60 and store.counts()["user_weights"] == 60


def test_a_failed_lesson_leaves_nothing(store):
    before = store.counts()
    with pytest.raises(ZeroDivisionError): store.record_feedback(SAID, idempotency_key="k", learn=lambda state: 1 / 0)
    assert store.counts() == before
    assert not store.record_feedback(SAID, idempotency_key="k").replayed


def test_users_under_a_secret(url):
    with Store(url, secret="sixteen bytes or more") as store:
        store.record_feedback(SAID | dict(user_id="jane@example.org"))
        assert len(store.export_user("jane@example.org")["feedback"]) == 1 and "jane" not in store.actuals_panel().to_csv()
        with store._engine.connect() as c: assert not [r for t in tables.sorted_tables for r in c.execute(sa.select(t)) if "jane" in repr(r)]
        assert store.erase_user("jane@example.org").rows > 0
    for other in (None, "another sixteen bytes"):
        with pytest.raises(StoreError, match="another secret"): Store(url, secret=other)


def test_errors_say_nothing_of_users(store, url):
    "Not the parameters of a statement, not PostgreSQL's DETAIL, not a password."
    store.record_experiment("e", {})
    def spoil(state): raise sa.exc.IntegrityError("INSERT", dict(user_key="canary-user"), Exception("duplicate key\nDETAIL: Key (user_key)=(canary-user) exists"))
    with pytest.raises(StoreError) as caught: store.record_feedback(SAID | dict(user_id="canary-user"), learn=spoil)
    assert "canary" not in str(caught.value) and "duplicate key" in str(caught.value)
    with pytest.raises(InputError) as caught: store.record_feedback(SAID | dict(user_id="canary user@example.org"))
    assert "canary" not in str(caught.value)


def test_readers_do_not_wait_for_a_writer(store):
    store.record_feedback(SAID)
    with store._write() as c:
        c.execute(sa.delete(tables.tables["amounts"]))
        started = time.monotonic()
        assert len(store.overrides("u-1")) == 1 and store.ratings().tolist() == [4]
        assert time.monotonic() - started < 15 # waiting would take 30
        c.rollback()


def test_a_locked_file_is_an_error_in_time(tmp_path):
    path = tmp_path/"store.sqlite3"
    with Store(path, timeout=.3) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        with pytest.raises(StoreError, match="locked"): store.record_feedback(SAID)
        assert time.monotonic() - started < 10
        other.execute("ROLLBACK")
        assert store.record_feedback(SAID).id == 1
        other.close()


def test_a_full_disk_is_an_error_and_nothing_half(tmp_path):
    with Store(tmp_path/"store.sqlite3") as store:
        pages = lambda c, *_: c.execute("PRAGMA max_page_count=60")
        sa.event.listen(store._engine, "connect", pages)
        store._engine.dispose()
        with pytest.raises(StoreError, match="full"):
            for i in range(5000): store.record_feedback(SAID)
        rows = store.counts()
        assert rows["amounts"] == 5 * rows["feedback"] > 0 and store.ratings().tolist() == [4]


def test_an_unreachable_server_is_one_line_without_its_password():
    with pytest.raises(StoreError) as caught: Store("postgresql://budget:hunter2@127.0.0.1:1/money", timeout=2)
    assert "hunter2" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_store_of_the_future_is_refused(url):
    with Store(url) as store, store._engine.begin() as c: c.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="Upgrade smart_money"): Store(url)


def test_without_sqlalchemy_the_extra_is_named(tmp_path):
    for module, extra in (("store", "store"), ("events", "store"), ("database", "store")):
        code = f"import sys; sys.modules['sqlalchemy'] = None\ntry: import smart_money.{module}\nexcept ImportError as error: print(error)"
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=WITH_ROOT)
        assert f"pip install 'smart_money[{extra}]'" in run.stdout, run.stderr


def test_default_place(tmp_path, monkeypatch):
    monkeypatch.setenv("SMART_MONEY_DATA", str(tmp_path/"data"))
    with Store() as store: assert Path(store.url.removeprefix("sqlite:///")) == tmp_path/"data"/"store.sqlite3"
    assert (tmp_path/"data").stat().st_mode & 0o777 == 0o700


def test_threads_share_a_store(store):
    errors = []
    def work(k):
        try:
            for i in range(10): store.record_feedback(SAID | dict(user_id=f"u-{k}"), idempotency_key=f"{k}/{i}"); store.ratings(); store.overrides(f"u-{k}")
        except Exception as error: errors.append(error)
    threads = [threading.Thread(target=work, args=(k,)) for k in range(16)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert not errors and store.counts()["feedback"] == 160


def test_a_store_does_not_survive_a_fork(tmp_path):
    code = """if True:
        import os
        from smart_money.store import Store, StoreError
        store = Store('store.sqlite3')
        if os.fork() == 0:
            try: store.ping()
            except StoreError as error: print(error, flush=True)
            os._exit(0)
        os.wait()
        store.ping()"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=WITH_ROOT)
    assert run.returncode == 0 and "Each process opens its own" in run.stdout, run.stderr


def test_opening_does_not_wait_for_a_writer(store, url):
    with store._write(), Store(url, timeout=5) as second: assert second.ratings().tolist() == [] # waiting would be an error
