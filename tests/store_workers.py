"""Processes that write to one store at the same time, and are killed while they do. Prints what was counted, as JSON; exits with 1 where something was lost.

    python tests/store_workers.py kills URL --n 100             SIGKILL for a writer, 100 times: are acknowledged rows lost?
    python tests/store_workers.py kills postgres --n 100 --server-kills 20      the same with a private PostgreSQL, which is killed too
    python tests/store_workers.py writers URL --n 4 --rows 500  four writers of 500 rows each
    python tests/store_workers.py retries URL --n 100           one key, 100 times at once from four processes
    python tests/store_workers.py starts URL --n 8              eight processes open a new store at once

URL may be `sqlite`: a new file in a temporary folder. Nothing here starts threads before it forks.
"""
import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time

from postgres import Cluster
from smart_money.database import amounts, feedback, idempotency
from smart_money.store import IdempotencyConflict, Store, StoreError
import sqlalchemy as sa


def body(user, rating=3): return dict(user_id=user, period="2025-03-01", currency="USD", rating=rating, overrides=dict(entertainment=180.25), actuals=dict(food_dining=612.4))


def fork(work):
    "Run `work(pipe)` in a new process; gives its number and the reading end."
    reading, writing = os.pipe()
    pid = os.fork()
    if pid: os.close(writing); return pid, reading
    status = 1
    try:
        os.close(reading)
        work(writing)
        status = 0
    except StoreError as error: os.write(2, f"{error}\n".encode())
    finally: os._exit(status)


def read_all(pipe, until=b""):
    "What is in a pipe till its end, or till `until` has appeared."
    data = b""
    while not (until and until in data):
        piece = os.read(pipe, 65536)
        if not piece: break
        data += piece
    return data


def write_forever(url, name):
    def work(pipe):
        store = Store(url, timeout=10)
        for i in range(1_000_000):
            stored = store.record_feedback(body(f"user-{i % 50}"), idempotency_key=f"{name}/{i}")
            os.write(pipe, f"{name}/{i} {stored.id}\n".encode()) # the acknowledgement: after this the row must be there
    return work


def audit(url, acknowledged):
    "Compare what was acknowledged with what is there."
    with Store(url) as store, store._engine.connect() as c:
        kept = {r.key: r.row_id for r in c.execute(sa.select(idempotency.c.key, idempotency.c.row_id))}
        whole = {r[0] for r in c.execute(sa.select(amounts.c.feedback_id).group_by(amounts.c.feedback_id).having(sa.func.count() == 2))}
        rows = {r[0] for r in c.execute(sa.select(feedback.c.id))}
        sound = c.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok" if c.dialect.name == "sqlite" else True
    lost = [key for key, number in acknowledged.items() if kept.get(key) != number or number not in whole]
    return dict(acknowledged=len(acknowledged), lost=len(lost), kept=len(rows), half_written=len(rows ^ whole) + len(rows ^ set(kept.values())), sound=sound)


def kills(url, n, server_kills=0, cluster=None, seed=0):
    chance, acknowledged, started = random.Random(seed), {}, time.monotonic()
    Store(url).close()
    for k in range(n + server_kills):
        pid, pipe = fork(write_forever(url, f"writer-{k}"))
        said = read_all(pipe, until=b"\n")
        time.sleep(chance.uniform(0, .1))
        if k < n: os.kill(pid, signal.SIGKILL)
        else: cluster.kill()
        said += read_all(pipe)
        os.close(pipe)
        os.waitpid(pid, 0)
        if k >= n: cluster.start()
        *lines, torn = said.decode().split("\n")
        acknowledged |= {key: int(number) for key, number in (line.split() for line in lines)}
    found = audit(url, acknowledged)
    return dict(kills=n, server_kills=server_kills) | found | dict(seconds=round(time.monotonic() - started, 1)), found["lost"] == found["half_written"] == 0 and found["sound"] and len(acknowledged) >= n


def writers(url, n, rows):
    Store(url).close()
    def write(name):
        def work(pipe):
            store, errors, slowest = Store(url), 0, 0.0
            for i in range(rows):
                begun = time.monotonic()
                try: store.record_feedback(body(f"user-{i % 50}"), idempotency_key=f"{name}/{i}")
                except StoreError: errors += 1
                slowest = max(slowest, time.monotonic() - begun)
            os.write(pipe, f"{errors} {slowest}\n".encode())
        return work
    started = time.monotonic()
    work = [fork(write(f"writer-{k}")) for k in range(n)]
    reports = [read_all(pipe).decode().split() for _, pipe in work]
    for pid, _ in work: os.waitpid(pid, 0)
    seconds, errors = time.monotonic() - started, sum(int(r[0]) for r in reports if r)
    with Store(url) as store: kept = store.counts()["feedback"]
    return dict(writers=n, rows=kept, errors=errors, seconds=round(seconds, 1), rows_per_second=round(kept / seconds), slowest_ms=round(1000 * max(float(r[1]) for r in reports if r))), \
        len([r for r in reports if r]) == n and errors == 0 and kept == n * rows


def retries(url, n, processes=4):
    Store(url).close()
    at = time.time() + 2
    def send(rating):
        def work(pipe):
            store, answers = Store(url), []
            def one():
                time.sleep(max(0, at - time.time()))
                try: answers.append("{0.id} {0.replayed:d}".format(store.record_feedback(body("u-1", rating), idempotency_key="one key")))
                except IdempotencyConflict: answers.append("conflict")
            threads = [threading.Thread(target=one) for _ in range(n // processes)]
            for t in threads: t.start()
            for t in threads: t.join()
            os.write(pipe, "\n".join(answers).encode())
        return work
    def round_of(rating):
        work = [fork(send(rating)) for _ in range(processes)]
        lines = [line for _, pipe in work for line in read_all(pipe).decode().split("\n")]
        for pid, _ in work: os.waitpid(pid, 0)
        return lines
    same, changed = round_of(3), round_of(4)
    with Store(url) as store: rows = store.counts()["feedback"]
    found = dict(retries=len(same), numbers=len({s.split()[0] for s in same}), new=sum(s.endswith(" 0") for s in same), rows=rows, changed=len(changed), conflicts=changed.count("conflict"))
    return found, found == dict(retries=n, numbers=1, new=1, rows=1, changed=n, conflicts=n)


def starts(url, n):
    at = time.time() + 1
    def open_store(pipe):
        time.sleep(max(0, at - time.time()))
        os.write(pipe, Store(url).revision.encode())
    work = [fork(open_store) for _ in range(n)]
    revisions = [read_all(pipe).decode() for _, pipe in work]
    for pid, _ in work: os.waitpid(pid, 0)
    return dict(starts=n, revisions=sorted(set(revisions))), len(set(revisions)) == 1 and "" not in revisions


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=("kills", "writers", "retries", "starts"))
    p.add_argument("url")
    p.add_argument("--n", type=int, required=True)
    p.add_argument("--rows", type=int, default=500)
    p.add_argument("--server-kills", type=int, default=0)
    a = p.parse_args()
    cluster = Cluster() if a.url == "postgres" else None
    url = cluster.url() if cluster else os.path.join(tempfile.mkdtemp(), "store.sqlite3") if a.url == "sqlite" else a.url
    try:
        found, good = {"kills": lambda: kills(url, a.n, a.server_kills, cluster), "writers": lambda: writers(url, a.n, a.rows), "retries": lambda: retries(url, a.n), "starts": lambda: starts(url, a.n)}[a.what]()
    finally:
        if cluster: cluster.close()
    print(json.dumps(found))
    return 0 if good else 1


if __name__ == "__main__": sys.exit(main())
