"""Trials of the service as it runs: how fast, how much memory, whether anything is dropped when it stops, and what it makes of thousands of odd requests.

    python tests/trials.py throughput | stops [--times 20] | memory [--requests 50000] | oddities [--examples 100]

Each prints a line of JSON. The tests run the same functions for a shorter time, and nbs/benchmarks/service.ipynb keeps what they measured."""
import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from load import Crowd

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path: sys.path.insert(0, str(HERE.parent))
OPTIMIZE = "/api/v1/budget/optimize"


@dataclass
class Running:
    "A service in a process of its own."
    url: str
    process: subprocess.Popen
    log: Path

    def get(self, path): return json.loads(urllib.request.urlopen(self.url + path, timeout=60).read())

    def rss(self): return next(int(line.split()[1]) for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines() if line.startswith("VmRSS")) * 1024

    def cpu(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stored_model():
    "Folder of the model that the trials use: the default one, trained now if there is none yet, or the one that SMART_MONEY_TEST_MODEL names."
    if named := os.environ.get("SMART_MONEY_TEST_MODEL"): return Path(named)
    from smart_money.training import default_model, default_path
    default_model()
    return default_path()


@contextlib.contextmanager
def service(folder, *words, ready=True, **settings):
    "`smart-money serve` on a free port, its data in `folder`; settings by name, as `rate=''`."
    log = Path(folder)/"service.log"
    env = {k: v for k, v in os.environ.items() if not k.startswith("SMART_MONEY_") or k == "SMART_MONEY_CACHE"} | {"PYTHONPATH": str(HERE.parent), "OMP_NUM_THREADS": "1"}
    env |= {f"SMART_MONEY_{k.upper()}": str(v) for k, v in (dict(data=folder, rate="", model=stored_model()) | settings).items()}
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


def ask(url, bodies=None, **how):
    "Load from a process of its own, so that it shares nothing with whoever measures."
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder)/"bodies.json"
        if bodies is not None: file.write_text(json.dumps(bodies))
        words = [w for k, v in how.items() for w in (["--" + k] if v is True else ["--" + k, str(v)])]
        run = subprocess.run([sys.executable, HERE/"load.py", url, *([file] if bodies is not None else []), *words], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


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
def program(code, path="/async"):
    "A FastAPI application from a few lines, at an address that is taken before it starts: its first word is the number of the socket."
    import socket
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = subprocess.Popen([sys.executable, "-c", code, str(listener.fileno())], pass_fds=[listener.fileno()], env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parent)})
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
    found = ask(running.url + path, bodies, **how)
    return dict(per_second=found["per_second"], cpu_us=round(1e6 * (running.cpu() - before) / max(1, found["requests"])), p50_ms=found["p50_ms"], p99_ms=found["p99_ms"], statuses=found["statuses"])


def throughput(seconds=4.0, connections=32, rounds=3):
    "The model behind the whole service beside a trivial route of a bare FastAPI application, in turns; the best round of each."
    rows, best = {}, lambda name, row: rows.__setitem__(name, max(rows.get(name, row), row, key=lambda r: r["per_second"]))
    how = dict(seconds=seconds, connections=connections)
    with tempfile.TemporaryDirectory() as folder, service(folder) as running, program(TRIVIAL) as bare:
        for _ in range(rounds):
            best("trivial, async", measured(bare, "/async", **how))
            best("trivial, in a thread", measured(bare, "/thread", **how))
            best("/livez of the service", measured(running, "/livez", **how))
            best("optimize", measured(running, OPTIMIZE, households(), **how))
            best("optimize, one at a time", measured(running, OPTIMIZE, households(), seconds=seconds, connections=1))
    return rows


def stop_once(folder, *, connections=16, keep_alive=True, drain=1.0):
    "Tell a service to stop while it is asked as fast as it can."
    async def trial(running):
        crowd = Crowd(running.url + OPTIMIZE, households(100), seconds=60, connections=connections, keep_alive=keep_alive)
        asking = asyncio.create_task(crowd.run())
        while len(crowd.times) < 50 and not asking.done(): await asyncio.sleep(0.05)
        running.process.send_signal(signal.SIGTERM)
        return await asking
    with service(folder, drain=drain) as running:
        found = asyncio.run(trial(running))
        return found | dict(exit_code=running.process.wait(60))


def stops(times=20):
    "Requests answered and dropped over many stops, half of them with a connection per request."
    found = []
    for i in range(times):
        with tempfile.TemporaryDirectory() as folder: found.append(stop_once(folder, keep_alive=i % 2 == 0))
    statuses = {}
    for f in found:
        for k, n in f["statuses"].items(): statuses[k] = statuses.get(k, 0) + n
    return dict(stops=times, answered=sum(f["requests"] for f in found), dropped=sum(f["dropped"] for f in found), statuses=statuses, exit_codes=sorted({f["exit_code"] for f in found}))


def memory(requests=50_000, warm=5_000, steps=10):
    "Resident memory after each tenth of the requests, MB."
    sizes = []
    with tempfile.TemporaryDirectory() as folder, service(folder) as running:
        bodies = households()
        ask(running.url + OPTIMIZE, bodies, seconds=3600, most=warm)
        for _ in range(steps):
            sizes.append(round(running.rss() / 1e6, 1))
            ask(running.url + OPTIMIZE, bodies, seconds=3600, most=requests // steps)
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


def main():
    parser = argparse.ArgumentParser(description="Trials of the service as it runs.")
    trials = parser.add_subparsers(dest="trial", required=True)
    trials.add_parser("throughput").add_argument("--seconds", type=float, default=4)
    trials.add_parser("stops").add_argument("--times", type=int, default=20)
    trials.add_parser("memory").add_argument("--requests", type=int, default=50_000)
    trials.add_parser("oddities").add_argument("--examples", type=int, default=100)
    words = vars(parser.parse_args())
    found = globals()[words.pop("trial")](**words)
    report = found.pop("report", "")
    print(report, json.dumps(found), sep="\n" if report else "")


if __name__ == "__main__": main()
