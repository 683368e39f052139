"""The service as it runs: in a process of its own, behind a socket, under load and under attack. (What a route answers is shown in the notebooks.)

`SMART_MONEY_TEST_LONG=1` runs the trials at full length: 2,000 odd requests, 20 stops under load, memory over 50,000 requests."""
import asyncio
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

import pytest

import trials
from conftest import ROOT
from load import Crowd
from trials import AS_SERVED, BROKEN, OPTIMIZE, ask, households, service, stored_model, with_income

LONG = bool(os.environ.get("SMART_MONEY_TEST_LONG"))
KEYS = dict(api_keys="a-key-for-clients-0001,another-key-for-clients", admin_keys="a-key-for-administrators")
HOME = dict(user_profile=dict(monthly_income=4800, age=34, location="Austin, TX"), expenses=[dict(category="housing", amount=1350)])


@pytest.fixture(scope="session", autouse=True)
def model(): stored_model()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with service(tmp_path_factory.mktemp("service")) as found: yield found


def is_problem(answer, status, *forbidden):
    "The answer is a problem document of this status that repeats nothing forbidden."
    code, headers, body = answer
    assert code == status, (code, body[:300])
    document = json.loads(body)
    assert headers["content-type"] == "application/problem+json" and document["status"] == status and document["title"] and document["detail"] and document["request_id"] == headers["x-request-id"]
    said = body.decode().replace(document["request_id"], "")  # a random number may hold anything
    assert not [word for word in forbidden if word in said]
    return document


def the_document(running): return json.loads(ask(running, "/openapi.json")[2])


# ---- examples, answers, page ---------------------------------------------------------------------------------------------------------------

def test_every_example_of_the_document_works_as_it_stands(running):
    from smart_money import messages
    document, tried = the_document(running), 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            examples = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("examples", {})
            for name, example in examples.items():
                status, headers, body = ask(running, path, example["value"], method.upper())
                assert status in (200, 201), (path, name, body[:500])
                answered = operation["responses"][str(status)]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                getattr(messages, answered).model_validate_json(body)
                tried += 1
    assert tried >= 9


def test_a_household_file_is_a_request(running):
    for file in sorted((ROOT/"data"/"examples").glob("household*.json")):
        status, _, body = ask(running, OPTIMIZE, file.read_bytes())
        plan, income = json.loads(body), json.loads(file.read_text())["user_profile"]["monthly_income"]
        assert status == 200 and round(100 * sum(plan["optimized_budget"].values())) + round(100 * plan["savings"]) == round(100 * income)
        assert plan["success"] is True and 0 <= plan["confidence_score"] <= 1 and plan["recommendations"]


def test_many_callers_get_what_one_gets(running):
    homes = households(40, seed=3)
    alone = [json.loads(ask(running, OPTIMIZE, h)[2])["optimized_budget"] for h in homes]
    with ThreadPoolExecutor(20) as pool: crowd = list(pool.map(lambda h: json.loads(ask(running, OPTIMIZE, h)[2])["optimized_budget"], homes))
    batch = json.loads(ask(running, OPTIMIZE + "/batch", homes)[2])["results"]
    assert alone == crowd == [r["optimized_budget"] for r in batch]


def test_a_batch_flags_what_is_impossible_and_names_what_is_wrong(running):
    hopeless = HOME | dict(preferences=dict(locked=dict(housing=9000)))
    found = json.loads(ask(running, OPTIMIZE + "/batch", [HOME, hopeless])[2])
    assert (found["success"], [r["success"] for r in found["results"]], found["results"][1]["feasible"]) == (False, [True, False], False)
    problem = is_problem(ask(running, OPTIMIZE + "/batch", [HOME, HOME | dict(expenses=[dict(category="rent", amount=1)])]), 422)
    assert problem["errors"][0]["pointer"] == "#/1/expenses/0/category" and "housing" in problem["errors"][0]["detail"]
    assert is_problem(ask(running, OPTIMIZE, hopeless), 422)["shortfall"] == 4200


def test_pages_load_nothing_from_elsewhere(running):
    for path in ("/", "/docs"):
        status, headers, body = ask(running, path)
        assert status == 200 and headers["content-security-policy"].startswith("default-src 'none'") and "http" not in re.sub(r"http-equiv", "", body.decode())
        for link in re.findall(r'(?:src|href)="([^"#]+)"', body.decode()): assert ask(running, "/" + link.lstrip("./"))[0] == 200, link


def test_a_bank_file_becomes_expenses_and_an_analysis(running):
    file = (ROOT/"data"/"examples"/"bank_export.csv").read_bytes()
    status, _, body = ask(running, "/api/v1/statements/import?filename=bank_export.csv", file, type="application/octet-stream")
    found = json.loads(body)
    assert status == 200 and {"housing", "food_dining"} <= {e["category"] for e in found["expenses"]}
    status, _, body = ask(running, "/api/v1/budget/analyze", dict(transactions=found["transactions"]))
    assert status == 200 and json.loads(body)["insights"]
    is_problem(ask(running, "/api/v1/statements/import", b"\x89PNG\r\n\x1a\n" + bytes(200), type="application/octet-stream"), 422)
    is_problem(ask(running, "/api/v1/statements/import?filename=../x", b"a,b", type="application/octet-stream"), 422)


# ---- errors ----------------------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", BROKEN)
def test_what_no_client_should_send(running, name):
    body, status = BROKEN[name]
    answer = ask(running, OPTIMIZE, body)
    if status is None: assert answer[0] in (200, 422), answer
    else: is_problem(answer, status, "<", "4800", "household\"", "1e400", "ud800")


def test_every_other_error_has_the_same_form(running):
    is_problem(ask(running, "/nowhere/<script>"), 404, "script")
    assert is_problem(ask(running, OPTIMIZE, method="PATCH"), 405) and ask(running, "/api/v1/users/x/data", method="PUT")[1]["allow"] == "DELETE, GET"
    is_problem(ask(running, OPTIMIZE, b"a=1", type="application/x-www-form-urlencoded"), 415)
    is_problem(ask(running, OPTIMIZE, json.dumps(HOME).encode(), type=None), 415)
    is_problem(ask(running, "/api/v1/feedback", dict(user_id="x", rating=3), Idempotency_Key="k" * 300), 422)
    is_problem(ask(running, "/api/v1/users/%3Cscript%3E/data"), 422, "script")
    is_problem(ask(running, OPTIMIZE, HOME, Host="evil.example"), 421)


def said(running, sent):
    "Status, headers and body of the answer to raw bytes."
    at = urllib.parse.urlsplit(running.url)
    with socket.create_connection((at.hostname, at.port), timeout=60) as line:
        line.sendall(sent)
        answer = http.client.HTTPResponse(line)
        answer.begin()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x02\x00hello over there\r\n\r\n", b"GET /" + b"a" * 300_000 + b" HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 50_000 + b"\r\n", b"GET / HTTP/1.1\r\nno header\r\n\r\n",
                                  b"POST /api/v1/feedback HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n", b"POST /api/v1/feedback HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n"],
                         ids=["TLS", "a long address", "many headers", "no header", "no length", "no chunk"])
def test_what_is_no_http_is_told_so(running, sent):
    answer = said(running, sent)
    is_problem(answer, 400)
    assert answer[1]["connection"] == "close" and answer[1]["x-content-type-options"] == "nosniff"


def test_bodies_have_an_end_whatever_they_claim(running):
    is_problem(ask(running, OPTIMIZE, b" " * 2_000_001), 413)
    is_problem(ask(running, OPTIMIZE, iter([b" " * 100_000] * 25)), 413)
    is_problem(ask(running, OPTIMIZE, b"{}", Content_Length="99999999999"), 413)
    is_problem(ask(running, "/livez", b" " * 2_000_001, "GET"), 413)
    assert ask(running, OPTIMIZE, iter([json.dumps(HOME).encode()]))[0] == 200


def test_who_is_refused_while_sending_can_send_to_the_end_and_read_why(running):
    at = urllib.parse.urlsplit(running.url)
    for n, host, status in ((30_000_000, at.netloc, 413), (3_000_000, "evil.example", 421), (50_000, "evil.example", 421)):
        with socket.create_connection((at.hostname, at.port), timeout=60) as line:
            line.sendall(f"POST {OPTIMIZE} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {n}\r\n\r\n".encode())
            for _ in range(n // 10_000): line.sendall(b" " * 10_000)  # fails if the door is slammed
            answer = http.client.HTTPResponse(line)
            answer.begin()
            document = json.loads(answer.read())
            assert (answer.status, document["status"], answer.getheader("connection")) == (status, status, "close" if n > 100_000 else None)


def test_slow_bodies_rates_waiting_and_loading_have_an_end(tmp_path):
    with service(tmp_path, rate="5/minute", timeout=4, max_waiting=2) as running:
        at = urllib.parse.urlsplit(running.url)
        line = http.client.HTTPConnection(at.hostname, at.port, timeout=20)
        line.putrequest("POST", OPTIMIZE); line.putheader("Content-Type", "application/json"); line.putheader("Content-Length", "100"); line.endheaders(b"{")
        answer = line.getresponse()
        assert (answer.status, answer.getheader("content-type")) == (408, "application/problem+json")
        answers = [ask(running, OPTIMIZE, HOME) for _ in range(10)]
        limited = is_problem(answers[-1], 429)
        assert 1 <= int(answers[-1][1]["retry-after"]) <= 61 and "Try again" in limited["detail"] and {a[0] for a in answers} == {200, 429}
        assert [ask(running, path)[0] for path in ("/livez", "/readyz")] == [200, 200]


# ---- who may come in -----------------------------------------------------------------------------------------------------------------------

def test_keys(tmp_path):
    with service(tmp_path, **KEYS) as running:
        for path, body in ((OPTIMIZE, HOME), ("/api/v1/model/performance", None), ("/metrics", None)):
            refused = ask(running, path, body)
            is_problem(refused, 401)
            assert refused[1]["www-authenticate"].startswith("Bearer")
            is_problem(ask(running, path, body, Authorization="Bearer a-key-for-clients-0002"), 401)
            assert [ask(running, path, body, **h)[0] for h in (dict(Authorization="Bearer a-key-for-clients-0001"), dict(X_API_Key="another-key-for-clients"), dict(X_API_Key="a-key-for-administrators"))] == [200] * 3
        for method, path in (("POST", "/api/v1/model/reload"), ("GET", "/api/v1/users/x/data"), ("DELETE", "/api/v1/users/x/data")):
            is_problem(ask(running, path, method=method, X_API_Key="another-key-for-clients"), 403)
            assert ask(running, path, method=method, X_API_Key="a-key-for-administrators")[0] == 200
        assert [ask(running, path)[0] for path in ("/", "/page.js", "/livez", "/readyz", "/openapi.json")] == [200] * 5
        assert "access-control-allow-origin" not in ask(running, "/livez", Origin="https://evil.example")[1]
        assert "security" in the_document(running)


def serve(*words, **settings):
    env = {k: v for k, v in os.environ.items() if not k.startswith("SMART_MONEY_")} | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "200"} | {f"SMART_MONEY_{k.upper()}": v for k, v in settings.items()}
    return subprocess.run([sys.executable, "-c", "from smart_money.cli import main; main()", "serve", *words], capture_output=True, text=True, env=env, timeout=60)


def test_the_command_refuses_what_would_be_unsafe_or_cannot_work(tmp_path, running):
    taken = running.url.rpartition(":")[2]
    for words, settings, said in ((["--host", "0.0.0.0"], {}, ["SMART_MONEY_API_KEYS"]), ([], dict(rate="often", prot="8000", api_keys="hunter2"), ["SMART_MONEY_RATE", "Did you mean 'port'", "not shown"]),
                                  (["--model", str(tmp_path/"no")], {}, ["the folder of a model"]), (["--port", taken], dict(data=str(tmp_path)), ["free port"]),
                                  (["--port", "0"], dict(database_url="sqlite:////proc/no/store.db"), ["SMART_MONEY_DATABASE_URL"])):
        run = serve(*words, **settings)
        assert run.returncode == 2 and all(s in run.stderr for s in said) and "Traceback" not in run.stderr and "hunter2" not in run.stderr, run.stderr


def test_the_command_shows_its_settings_and_no_secret():
    run = serve("--show-config", database_url="postgresql://me:canary-password@db/money", store_secret="canary-secret-0001", **KEYS)
    assert run.returncode == 0 and "SMART_MONEY_DATABASE_URL" in run.stdout and "********" in run.stdout
    assert "canary" not in run.stdout + run.stderr and "a-key-for" not in run.stdout
    shown = json.loads(serve("--show-config", "--json", "--port", "9000").stdout)
    assert shown["port"] == dict(name="port", variable="SMART_MONEY_PORT", value="9000", is_set=True, meaning=shown["port"]["meaning"])


def test_without_the_extra_it_says_what_to_install():
    code = "import sys; sys.modules[{!r}] = None; import smart_money.api"
    for package in ("fastapi", "pydantic_settings"):
        run = subprocess.run([sys.executable, "-c", code.format(package)], capture_output=True, text=True, cwd=ROOT)
        assert run.returncode and "pip install 'smart_money[api]'" in run.stderr, (package, run.stderr[-500:])


# ---- nothing gets out ------------------------------------------------------------------------------------------------------------------------

def test_a_canary_in_settings_and_exceptions_is_in_no_answer_and_no_log():
    found = trials.canary()
    assert found["answers"] > 150 and {"200", "401", "422", "500"} <= found["statuses"].keys() and found["faults_logged"] > 0, found
    assert found["answers_with_it"] == found["log_lines_with_it"] == [], found


def test_logs_are_json_and_hold_nobody(tmp_path):
    with service(tmp_path, log_level="debug") as running:
        ask(running, OPTIMIZE + "?name=Jane", HOME | dict(user_id="jane-doe-77"), User_Agent="Janes-Browser")
        ask(running, "/api/v1/users/jane-doe-77/data")
        ask(running, OPTIMIZE, with_income(b'"Jane"'))
    text = re.sub('"request_id": "[0-9a-f]{16}"', '"request_id": ""', running.log.read_text())
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    requests = [l for l in lines if l.get("event") == "request"]
    assert {"time", "level", "request_id", "method", "route", "status", "ms"} <= requests[0].keys() and "/api/v1/users/{user_id}/data" in {r["route"] for r in requests}
    assert not [word for word in ("jane", "Jane", "4800", "Austin", "127.0.0.1") if word in text.partition("Ctrl+C")[2]]


# ---- feedback ------------------------------------------------------------------------------------------------------------------------------------

def test_a_hundred_retries_are_one_record(running):
    assert trials.retries(running, "retry-1") == dict(retries=100, created=100, different_answers=1, replayed=99, rows=1, changed_body=409)
    stored = json.loads(ask(running, "/api/v1/users/retry-1/data")[2])
    assert json.dumps(stored).count("135000") + json.dumps(stored).count("1350.0") + json.dumps(stored).count('"1350') == 1, stored
    assert json.loads(ask(running, "/api/v1/users/retry-1/data", method="DELETE")[2])["rows"] >= 1
    assert "1350" not in ask(running, "/api/v1/users/retry-1/data")[2].decode()


def test_ratings_count_at_once_and_nothing_is_claimed_before(tmp_path):
    with service(tmp_path) as running:
        before = running.get("/api/v1/model/performance")
        for i, rating in enumerate((5, 4, 3)): ask(running, "/api/v1/feedback", dict(user_id=f"u{i}", rating=rating, adherence=.5))
        after = running.get("/api/v1/model/performance")
    assert (before["user_satisfaction"], before["n_ratings"], before["budget_adherence"]) == ("not available", 0, "not available")
    assert (after["user_satisfaction"], after["n_ratings"], after["budget_adherence"], after["source"]) == (4, 3, .5, "training") and 0 < after["accuracy"] < 1


# ---- the model -----------------------------------------------------------------------------------------------------------------------------------

def test_health_is_measured(running):
    health = running.get("/api/v1/model/health")
    assert health["status"] == "healthy" and health["checks"]["prediction_latency"] > 0 and health["model_version"]
    assert "smart_money_requests_total" in ask(running, "/metrics")[2].decode()


def test_a_reload_drops_nothing_and_a_damaged_model_changes_nothing(tmp_path):
    import shutil
    source, planners = stored_model(), 2
    shutil.copytree(source, tmp_path/"model")
    with service(tmp_path, model=tmp_path/"model", planners=planners, answer_cache=0) as running, ThreadPoolExecutor(5) as pool:
        version, bodies = running.get("/api/v1/model/health")["model_version"], households(50)
        crowd = Crowd(running.url + OPTIMIZE, bodies, seconds=300, connections=8)
        load = pool.submit(lambda: asyncio.run(crowd.run()))
        while len(crowd.times) < 20 and not load.done(): time.sleep(.02)
        reloads = [json.loads(ask(running, "/api/v1/model/reload", method="POST")[2]) for _ in range(3)]
        arrays = next((tmp_path/"model").glob("arrays-*"))
        arrays.write_bytes(arrays.read_bytes()[:-100])
        is_problem(ask(running, "/api/v1/model/reload", method="POST"), 503, str(tmp_path), "arrays-")
        crowd.end = 0
        found = load.result()
        assert [r["model_version"] for r in reloads] == [version] * 3 and running.get("/api/v1/model/health")["model_version"] == version
        assert found["dropped"] == 0 and set(found["statuses"]) == {"200"} and found["requests"] > 20
        end = time.monotonic() + 20
        while len(running.planners()) > planners and time.monotonic() < end: time.sleep(.1)  # old planners end when they have answered
        assert len(running.planners()) == planners


def test_a_planner_that_is_killed_is_replaced(tmp_path):
    with service(tmp_path, planners=1, answer_cache=0) as running:
        (first,) = running.planners()
        os.kill(first, signal.SIGTERM)  # not its own decision: the service is told to stop, not its planners
        assert ask(running, OPTIMIZE, HOME)[0] == 200 and running.planners() == [first]
        os.kill(first, signal.SIGKILL)
        statuses, end = [], time.monotonic() + 60
        while (running.planners() in ([], [first]) or statuses[-1:] != [200]) and time.monotonic() < end:
            statuses.append(ask(running, OPTIMIZE, HOME)[0])
            time.sleep(.1)
        assert set(statuses) <= {200, 503} and statuses[-1] == 200 and len(running.planners()) == 1 and running.planners() != [first]
        assert running.get("/readyz")["status"] == "ready"


# ---- trials ----------------------------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("keep_alive", [True, False])
def test_a_stop_under_load_drops_nothing(tmp_path, keep_alive):
    if LONG and keep_alive: found = trials.stops(20); assert (found["dropped"], found["exit_codes"]) == (0, [0]), found
    found = trials.stop_once(tmp_path, keep_alive=keep_alive, **(AS_SERVED if keep_alive else {}))
    assert found["dropped"] == 0 and set(found["statuses"]) == {"200"} and found["requests"] > 10 and found["exit_code"] == 0, found
    assert '"event": "draining"' in (tmp_path/"service.log").read_text()


def test_odd_requests_are_answered_properly():
    found = trials.oddities(examples=60) if LONG else trials.oddities(examples=16, phases="examples,fuzzing", seconds=240)
    assert found["failures"] == 0 and found["exit_code"] == 0 and found["cases"] >= (2000 if LONG else 100), found["report"][-6000:] or found


def test_memory_stays_flat():
    found = trials.memory(50_000) if LONG else trials.memory(1_500, warm=500, steps=3, answer_cache=2_000_000)
    assert found["growth_mb"] < 12, found
