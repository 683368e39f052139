"""Trials of the service as it runs: how fast, how much memory, whether anything is dropped when it stops, and what it makes of thousands of odd requests.

    python tests/trials.py throughput | literal | stops [--times 20] | memory [--requests 50000] | oddities [--examples 100] | bodies | canary | retries

Each prints a line of JSON. The tests run the same functions for a shorter time, and nbs/benchmarks/service.ipynb keeps what they measured."""
import argparse
import asyncio
import contextlib
import http.client
import json
import logging
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from load import Crowd

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path: sys.path.insert(0, str(HERE.parent))
OPTIMIZE = "/api/v1/budget/optimize"
AS_SERVED = dict(planners=max(1, min(4, (os.cpu_count() or 1) - 1)))  # as `smart-money serve` takes them, but at least one


@dataclass
class Running:
    "A service in a process of its own."
    url: str
    process: subprocess.Popen
    log: Path

    def get(self, path): return json.loads(urllib.request.urlopen(self.url + path, timeout=60).read())

    def planners(self): return [int(p) for thread in Path(f"/proc/{self.process.pid}/task").iterdir() for p in (thread/"children").read_text().split()]

    def rss(self): return sum(_resident(p) for p in (self.process.pid, *self.planners()))

    def cpu(self): return sum(_processor_time(p) for p in (self.process.pid, *self.planners()))


def _resident(pid): return next(int(line.split()[1]) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")) * 1024


def _processor_time(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stored_model():
    "Folder of the model that the trials use: the default one, trained now if there is none yet, or the one that SMART_MONEY_TEST_MODEL names."
    if named := os.environ.get("SMART_MONEY_TEST_MODEL"): return Path(named)
    from smart_money.training import default_model, default_path
    default_model()
    return default_path()


@contextlib.contextmanager
def service(folder, *words, ready=True, **settings):
    "`smart-money serve` on a free port, its data in `folder`; settings by name, as `rate=''`. Unless told otherwise it plans in its own process, which starts sooner."
    log = Path(folder)/"service.log"
    env = {k: v for k, v in os.environ.items() if not k.startswith("SMART_MONEY_") or k == "SMART_MONEY_CACHE"} | {"PYTHONPATH": str(HERE.parent), "OMP_NUM_THREADS": "1"}
    env |= {f"SMART_MONEY_{k.upper()}": str(v) for k, v in (dict(data=folder, rate="", model=stored_model(), planners=0) | settings).items()}
    with open(log, "wb") as out:
        process = subprocess.Popen([sys.executable, "-c", "from smart_money.cli import main; main()", "serve", "--port", "0", *words], env=env, stdout=out, stderr=out, cwd=folder)
    running = Running(_announced(process, log), process, log)
    try:
        if ready: wait_until_ready(running)
        yield running
    finally:
        if process.poll() is None: process.terminate()
        try: process.wait(60)
        except subprocess.TimeoutExpired: process.kill()


def _announced(process, log, seconds=240):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = re.search(r"answers at (http\S+)", log.read_text(errors="replace"))
        if found: return found[1]
        if process.poll() is not None: raise RuntimeError(log.read_text(errors="replace"))
        time.sleep(0.02)
    raise RuntimeError("no address announced")


def wait_until_ready(running, seconds=240):
    "The first time, the default model is trained."
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try: return running.get("/readyz")
        except urllib.error.HTTPError: time.sleep(0.1)
    raise RuntimeError(running.log.read_text(errors="replace")[-3000:])


def households(n=500, seed=0):
    "Bodies that differ."
    r = random.Random(seed)
    names = ["housing", "utilities", "food_dining", "transportation", "healthcare", "insurance", "entertainment", "shopping"]
    who = lambda: dict(monthly_income=round(r.uniform(2500, 9000), 2), age=r.randint(20, 80), location=r.choice(["Austin, TX", "California", "Ohio", "Mumbai"]), household_size=r.randint(1, 5))
    what = lambda: [dict(category=c, amount=round(r.uniform(20, 900), 2), frequency=r.choice(["monthly", "monthly", "weekly"])) for c in r.sample(names, r.randint(2, 7))]
    return [dict(user_profile=who(), expenses=what()) for _ in range(n)]


def load(url, bodies=None, **how):
    "Load from a process of its own, so that it shares nothing with whoever measures."
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder)/"bodies.json"
        if bodies is not None: file.write_text(json.dumps(bodies))
        words = [w for k, v in how.items() for w in (["--" + k] if v is True else ["--" + k, str(v)])]
        run = subprocess.run([sys.executable, HERE/"load.py", url, *([file] if bodies is not None else []), *words], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


def ask(running, path, body=None, method=None, type="application/json", **headers):
    "Status, headers and body of an answer; `body` is bytes, an iterable of bytes (sent in chunks, without a length), or anything JSON."
    at = urllib.parse.urlsplit(running.url)
    line = http.client.HTTPConnection(at.hostname, at.port, timeout=60)
    sent = body if body is None or isinstance(body, bytes) or hasattr(body, "__next__") else json.dumps(body).encode()
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused while sending: the answer is there all the same, or getresponse fails
            line.request(method or ("GET" if body is None else "POST"), path, sent, ({"Content-Type": type} if sent is not None and type else {}) | {k.replace("_", "-"): v for k, v in headers.items()}, encode_chunked=hasattr(body, "__next__"))
        answer = line.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally: line.close()


def with_income(text): return b'{"user_profile": {"monthly_income": %s, "age": 34}}' % text

BROKEN = {
    "NaN": (with_income(b"NaN"), 400), "infinity": (with_income(b"-Infinity"), 400), "too large for a float": (with_income(b"1e400"), 422), "five thousand digits": (with_income(b"1" * 5000), 400),
    "lone surrogate": (b'{"user_profile": {"monthly_income": 1, "age": 34, "location": "\\ud800"}}', 400), "no UTF-8": (b'{"user_profile": "\xff"}', 400), "nothing": (b"", 422), "half of it": (b'{"user_profile": ', 400),
    "deep lists": (b"[" * 100_000, 400), "deep tables": (b'{"a":' * 100_000, 400), "just too deep": (b"[" * 17 + b"]" * 17, 400), "a million items": (b'{"expenses": [' + b"1," * 900_000 + b"1]}", 422),
    "a list": (b"[]", 422), "a number": (b"5", 422), "null": (b"null", 422), "text": (b'"household"', 422), "unknown name": (b'{"user_profile": {"monthly_income": 1, "age": 34, "<b onload=x>": 1}}', 422),
    "negative": (with_income(b"-5"), 422), "true": (with_income(b"true"), 422), "quoted": (with_income(b'"4800"'), 422), "less than a cent": (with_income(b"5e-324"), 422), "squares to nothing": (b'{"user_profile": {"monthly_income": 5000, "age": 34}, "expenses": [{"category": "housing", "amount": 1e-300}]}', None),
}


TRIVIAL = """
import socket, sys, uvicorn
from fastapi import FastAPI
app = FastAPI()
@app.get("/async")
async def trivial_async(): return {"ok": True}
@app.get("/thread")
def trivial_in_a_thread(): return {"ok": True}
uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run([socket.socket(fileno=int(sys.argv[1]))])
"""


@contextlib.contextmanager
def program(code, path="/async", words=()):
    "A FastAPI application from a few lines, at an address that is taken before it starts: its first word is the number of the socket."
    import socket
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = subprocess.Popen([sys.executable, "-c", code, str(listener.fileno()), *map(str, words)], pass_fds=[listener.fileno()], env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parent)})
        running = Running(f"http://127.0.0.1:{listener.getsockname()[1]}", process, None)
    try:
        for _ in range(3000):
            try: urllib.request.urlopen(running.url + path); break
            except OSError: time.sleep(0.1)
        yield running
    finally: process.terminate(); process.wait(30)


def measured(running, path, bodies=None, **how):
    "Requests per second, and processor time per request."
    before = running.cpu()
    found = load(running.url + path, bodies, **how)
    return dict(per_second=found["per_second"], cpu_us=round(1e6 * (running.cpu() - before) / max(1, found["requests"])), p50_ms=found["p50_ms"], p99_ms=found["p99_ms"], statuses=found["statuses"])


def throughput(seconds=1.5, connections=32, rounds=12):
    "The model behind the whole service, on as many processors as it takes here, beside a trivial route of a bare FastAPI application, in turns; every round of each. What is asked before is asked in the same words."
    rows, how = {}, dict(seconds=seconds, connections=connections)
    keep = lambda name, row: rows.setdefault(name, []).append(row)
    with tempfile.TemporaryDirectory() as folder, service(folder, **AS_SERVED) as running, program(TRIVIAL) as bare:
        for k in range(rounds):
            keep("trivial, async", measured(bare, "/async", **how))
            keep("trivial, in a thread", measured(bare, "/thread", **how))
            keep("/livez of the service", measured(running, "/livez", **how))
            keep("optimize", measured(running, OPTIMIZE, households(20_000, seed=k), **how))
            keep("optimize, one at a time", measured(running, OPTIMIZE, households(10_000, seed=1000 + k), seconds=seconds, connections=1))
            keep("optimize, asked before", measured(running, OPTIMIZE, households(), **how))
    return rows


LITERAL = """
import joblib, numpy as np, socket, sys, uvicorn
from fastapi import FastAPI
from smart_money.features import histories_from_household
from smart_money.schema import Household
engineer, model, names = joblib.load(sys.argv[2])
app = FastAPI()
@app.get("/async")
async def alive(): return {"ok": True}
@app.post("/api/v1/budget/optimize")
async def optimize_budget(home: Household):
    found = model.predict(engineer.transform(histories_from_household(home.user_profile, home.expenses)))[0]
    return {"success": True, "optimized_budget": dict(zip(names, found.tolist()))}
@app.post("/ensemble")
async def ensemble_alone(home: Household): return {"success": bool(np.isfinite(model.predict(row)).all())}
row = engineer.transform(histories_from_household(Household(user_profile=dict(monthly_income=4800, age=34)).user_profile, ()))
uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run([socket.socket(fileno=int(sys.argv[1]))])
"""


def literal_model(path, n_households=800):
    "The specification's ensemble in its sizes (100 trees of depth 12, 100 boosting rounds of depth 8 per category, 128-64-32), taught by made households."
    import joblib
    from smart_money.features import FeatureEngineer, windows_from_panel
    from smart_money.literal import SpecificationEnsemble
    from smart_money.synthetic import make_households
    windows = windows_from_panel(make_households(n_households, 4, "US", random_state=0))
    last = windows.take(windows.periods == windows.periods.max())
    engineer = FeatureEngineer.for_histories(last.histories)
    model = SpecificationEnsemble(random_state=0).fit(engineer.transform(last.histories), last.y)
    joblib.dump((engineer, model, list(last.targets)), path)


def literal(seconds=6.0, connections=32):
    "The specification's ensemble as it is written, behind FastAPI as it is sketched: the whole request, and the ensemble alone."
    with tempfile.TemporaryDirectory() as folder:
        literal_model(Path(folder)/"literal.joblib")
        with program(LITERAL, words=[Path(folder)/"literal.joblib"]) as running:
            return {name: measured(running, path, households(), seconds=seconds, connections=connections) for name, path in (("literal", OPTIMIZE), ("literal, the ensemble alone", "/ensemble"))}


def stop_once(folder, *, connections=16, keep_alive=True, drain=1.0, **settings):
    "Tell a service to stop while it is asked as fast as it can."
    async def trial(running):
        crowd = Crowd(running.url + OPTIMIZE, households(100), seconds=60, connections=connections, keep_alive=keep_alive)
        asking = asyncio.create_task(crowd.run())
        while len(crowd.times) < 50 and not asking.done(): await asyncio.sleep(0.05)
        running.process.send_signal(signal.SIGTERM)
        return await asking
    with service(folder, drain=drain, **settings) as running:
        found = asyncio.run(trial(running))
        return found | dict(exit_code=running.process.wait(60))


def stops(times=20):
    "Requests answered and dropped over many stops, half of them with a connection per request, half of them with planners of their own."
    found = []
    for i in range(times):
        with tempfile.TemporaryDirectory() as folder: found.append(stop_once(folder, keep_alive=i % 2 == 0, **(AS_SERVED if i % 4 < 2 else {})))
    statuses = {}
    for f in found:
        for k, n in f["statuses"].items(): statuses[k] = statuses.get(k, 0) + n
    return dict(stops=times, answered=sum(f["requests"] for f in found), dropped=sum(f["dropped"] for f in found), statuses=statuses, exit_codes=sorted({f["exit_code"] for f in found}))


def memory(requests=50_000, warm=5_000, steps=10, **settings):
    "Resident memory of the service and its planners after each tenth of the requests, MB; all bodies differ."
    sizes = []
    with tempfile.TemporaryDirectory() as folder, service(folder, **AS_SERVED, **settings) as running:
        bodies = households(20_000)
        load(running.url + OPTIMIZE, bodies, seconds=3600, most=warm)
        for _ in range(steps):
            sizes.append(round(running.rss() / 1e6, 1))
            load(running.url + OPTIMIZE, bodies, seconds=3600, most=requests // steps)
        sizes.append(round(running.rss() / 1e6, 1))
    return dict(requests=requests, rss_mb=sizes, growth_mb=round(sizes[-1] - sizes[0], 1))


def oddities(examples=100, seed=1, phases="examples,coverage,fuzzing", seconds=None):
    "Schemathesis: thousands of valid and invalid requests made from the OpenAPI document, every answer checked."
    tool = Path(sys.executable).with_name("schemathesis")
    with tempfile.TemporaryDirectory() as folder, service(folder) as running:
        words = ["--config-file", HERE/"schemathesis.toml", "run", running.url + "/openapi.json", "--max-examples", str(examples), "--seed", str(seed), "--phases", phases, "--request-timeout", "60", "--no-color"]
        run = subprocess.run([tool, *words], capture_output=True, text=True, cwd=folder, timeout=seconds)
    text = re.sub(r"\x1b\[[0-9;]*m", "", run.stdout + run.stderr)
    cases = re.search(r"([\d,]+) generated", text)
    failures = re.search(r"(\d+) unique failures?", text)
    return dict(cases=int(cases[1].replace(",", "")) if cases else 0, failures=int(failures[1]) if failures else 0, exit_code=run.returncode, report=text if run.returncode else "")


def bodies():
    "What no client should send: the status of each answer."
    with tempfile.TemporaryDirectory() as folder, service(folder) as running: return {name: ask(running, OPTIMIZE, body)[0] for name, (body, _) in BROKEN.items()}


def retries(running=None, user="retry-1", n=100):
    "One piece of feedback sent n times at once under one key, then another one under that key."
    if running is None:
        with tempfile.TemporaryDirectory() as folder, service(folder) as running: return retries(running, user, n)
    said = dict(user_id=user, period="2024-03-01", currency="USD", actuals=dict(housing=1350))
    with ThreadPoolExecutor(n) as pool: answers = list(pool.map(lambda _: ask(running, "/api/v1/feedback", said, Idempotency_Key=f"key-of-{user}"), range(n)))
    changed = ask(running, "/api/v1/feedback", said | dict(rating=5), Idempotency_Key=f"key-of-{user}")
    stored = json.loads(ask(running, f"/api/v1/users/{user}/data")[2])
    return dict(retries=n, created=sum(a[0] == 201 for a in answers), different_answers=len({a[2] for a in answers}), replayed=sum(a[1].get("idempotency-replayed") == "true" for a in answers),
                rows=len(stored["feedback"]), changed_body=changed[0])


class Leaky:
    "A model whose every failure quotes a secret."
    def __init__(self, spec, secret): self.spec, self.secret = spec, secret
    def predict_distribution(self, X): raise RuntimeError(f"{self.secret} in {X.shape}") from KeyError(self.secret)


class Kept(logging.Handler):
    "Log lines, as the service writes them."
    def __init__(self):
        from smart_money.guards import JsonLines
        super().__init__("DEBUG")
        self.lines = []
        self.setFormatter(JsonLines())

    def emit(self, record): self.lines.append(self.format(record))


def canary(word="canary-5f3a9c"):
    "A secret in every setting that may hold one, and in every exception: where it shows."
    from smart_money.api import create_app
    from smart_money.budgeting import BudgetOptimizer
    from smart_money.service import LoadedModel, load_model
    from smart_money.settings import load_settings
    others, kept, logger = {k: os.environ.pop(k) for k in list(os.environ) if k.startswith("SMART_MONEY_") and not k.startswith(("SMART_MONEY_CACHE", "SMART_MONEY_TEST"))}, Kept(), logging.getLogger("smart_money")
    level = logger.level
    logger.addHandler(kept); logger.setLevel("DEBUG")
    try:
        with tempfile.TemporaryDirectory() as folder:
            key = f"{word}-a-long-enough-key"
            settings = load_settings(dict(rate="", api_keys=key, store_secret=f"{word}-and-more", database_url=f"sqlite:///{folder}/{word}.db", model=Path(folder)/word))
            app = create_app(settings, model=LoadedModel(BudgetOptimizer(Leaky(load_model(stored_model()).optimizer.model.spec, word)), "leaky"))
            answers = asyncio.run(_everything(app, word, key))
    finally:
        os.environ.update(others)
        logger.removeHandler(kept); logger.setLevel(level)
    statuses = {}
    for a in answers: statuses[str(a.status_code)] = statuses.get(str(a.status_code), 0) + 1
    return dict(answers=len(answers), statuses=dict(sorted(statuses.items())), answers_with_it=[a.request.url.path for a in answers if word in a.text or word in str(a.headers)],
                log_lines=len(kept.lines), faults_logged=sum("unforeseen" in l and "RuntimeError" in l for l in kept.lines), log_lines_with_it=[l for l in kept.lines if word in l])


async def _everything(app, word, key):
    "Every route with its examples, with odd bodies, with the right key, a wrong one and none."
    import httpx
    found = []
    await app.state.service.start()
    app.state.service.store.export_user = lambda user: 1 / len([word][1:])
    odd = {"x": word}, [word], word, dict(user_profile=dict(monthly_income=word, age=word, location=word + "\x00"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://localhost") as client:
        for path, methods in app.openapi()["paths"].items():
            for method, operation in methods.items():
                examples = [e["value"] for e in operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("examples", {}).values()]
                for body in [None, *examples, *odd]:
                    for auth in ({}, {"X-API-Key": key}, {"X-API-Key": word}):
                        found.append(await client.request(method, path.replace("{user_id}", "user-1"), json=body, headers=auth | {"Idempotency-Key": "é".encode() if body == word else b"one"}))
        for path in ("/", "/docs", "/openapi.json", "/page.json", f"/{word}"): found.append(await client.get(path))
    app.state.service.stop()
    return found


def main():
    parser = argparse.ArgumentParser(description="Trials of the service as it runs.")
    trials = parser.add_subparsers(dest="trial", required=True)
    trials.add_parser("throughput").add_argument("--seconds", type=float, default=1.5)
    trials.add_parser("stops").add_argument("--times", type=int, default=20)
    trials.add_parser("memory").add_argument("--requests", type=int, default=50_000)
    for name in ("literal", "bodies", "canary", "retries"): trials.add_parser(name)
    trials.add_parser("oddities").add_argument("--examples", type=int, default=100)
    words = vars(parser.parse_args())
    found = globals()[words.pop("trial")](**words)
    report = found.pop("report", "")
    print(report, json.dumps(found), sep="\n" if report else "")


if __name__ == "__main__": main()
