"""A demo gateway with a Redis, some traffic, and a real Prometheus that scrapes it."""

import contextlib
import json
import os
import re
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml
from websockets.sync.client import connect

ROOT = Path(__file__).resolve().parents[2]
BINARY = os.environ["SCREEN_RECORD_GATEWAY"]
PROMETHEUS = ROOT / "deploy/observability/prometheus"
TOKEN = {"X-Auth-Token": "demo-token"}
NO_CACHE = {"Cache-Control": "no-cache"}
# How long a change may take to be seen.
PATIENCE = 30


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(what, holds):
    """Waits until a check is true; returns its result."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if answer := holds():
                return answer
        time.sleep(0.1)
    raise AssertionError(f"{what} did not come within {PATIENCE} s")


def fetch(url, body=None, headers=None):
    """The text at an address, whatever its status."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | (headers or {})
    request = urllib.request.Request(url, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.read().decode()


@contextlib.contextmanager
def process(arguments, **options):
    started = subprocess.Popen(arguments, stderr=subprocess.DEVNULL, text=True, **options)
    try:
        yield started
    finally:
        started.terminate()
        if started.stdout:
            started.stdout.close()
        started.wait(timeout=30)


class Gateway:
    """The demo: its simulated upstream has ids that fail in every documented way."""

    def __init__(self, printed):
        self.graphql = re.search(r"http://\S+/graphql", printed)[0]
        self.admin = re.search(r"(http://\S+)/readyz", printed)[1]
        self.project, self.record = re.search(
            r'projectId: \\"([^"\\]+)\\" id: \\"([^"\\]+)\\"', printed
        ).groups()

    def page(self):
        """The metrics page, in the format that Prometheus prefers."""
        return fetch(f"{self.admin}/metrics", headers={"Accept": "application/openmetrics-text"})

    def classic_page(self):
        """The metrics page for a client that does not ask for OpenMetrics."""
        return fetch(f"{self.admin}/metrics")

    def query(self, document, **headers):
        return json.loads(fetch(self.graphql, {"query": document}, TOKEN | headers))

    def record_of(self, id, fields="id status"):
        return f'{{ screenRecord(projectId: "{self.project}", id: "{id}") {{ {fields} }} }}'

    def use(self):
        """Ordinary traffic: existing records, missing ones, and invalid queries."""
        good = self.record_of(self.record)
        for _ in range(3):
            self.query(good, **{"apollographql-client-name": "observed"})
        self.query(good, **NO_CACHE)
        page = "totalCount nodes { id downloadUrl operations(first: 2) { totalCount } }"
        listed = f'{{ screenRecords(projectId: "{self.project}", first: 5) {{ {page} }} }}'
        self.expect(listed, None)
        # From the response cache.
        for _ in range(2):
            self.expect(f'{{ screenRecords(projectId: "{self.project}") {{ nodes {{ id }} }} }}', None)
        self.expect("{ nonsense }", "GRAPHQL_VALIDATION_FAILED")
        self.expect(good, "UNAUTHENTICATED", **{"X-Auth-Token": ""})
        self.expect(self.record_of("fault-apigw-0308-throttled-429"), "RATE_LIMITED")
        self.expect(self.record_of("fault-shape-e-html-200"), "UPSTREAM_INVALID_RESPONSE")
        fetch(f"{self.admin}/purge", {"all": True})

    def ask_too_often(self):
        """A caller over its rate; other callers notice nothing."""
        greedy = {"X-Auth-Token": "greedy"}
        answers = (self.query("{ __typename }", **greedy) for _ in range(500))
        expect_code(next(answer for answer in answers if "errors" in answer), "RATE_LIMITED")

    def keep_waiting(self):
        """Calls that get no answer hold all permits of the caller, so further ones are rejected."""
        silent = [self.record_of(id) for id in ("fault-no-answer", "fault-slow-body")]
        with ThreadPoolExecutor() as asking:
            asked = [asking.submit(self.query, document, **NO_CACHE) for document in silent]
            until("two calls", lambda: "gateway_cache_loads_in_flight 2" in self.page())
            for _ in range(4):
                self.query(self.record_of(self.record), **NO_CACHE)
            for answer in asked:
                expect_code(answer.result(), "UPSTREAM_TIMEOUT")

    def break_down(self):
        """An upstream that fails until the circuit opens, and then recovers."""
        broken = self.record_of("fault-apigw-0601-internal-500")

        def opened():
            self.query(broken)
            refused = [line for line in self.page().splitlines()
                       if line.startswith("gateway_upstream_breaker_refused_total{")]
            return any(not line.endswith(" 0") for line in refused)

        until("the circuit's opening", opened)
        good = self.record_of(self.record)
        until("the circuit's closing", lambda: "errors" not in self.query(good, **NO_CACHE))

    def change_settings(self, settings):
        """Invalid settings, and then valid ones, one of them pending a restart."""
        settings.write_text("limits.max_depth = 'deep'\n")
        until("a refusal", lambda: "gateway_config_last_reload_successful 0" in self.page())
        settings.write_text("limits.max_depth = 9\ncache.max_bytes = '1MiB'\n")
        until("the change", lambda: "gateway_config_settings_pending_restart 1" in self.page())

    def expect(self, document, code, **headers):
        expect_code(self.query(document, **headers), code)

    @contextlib.contextmanager
    def watching(self):
        """A client that watches a recording over a socket."""
        watched = json.loads(fetch(self.graphql, {"query": self.recording()}, TOKEN))
        id = watched["data"]["screenRecords"]["nodes"][0]["id"]
        address = self.graphql.replace("http", "ws", 1)
        with connect(address, subprotocols=["graphql-transport-ws"]) as socket:
            socket.send(json.dumps({"type": "connection_init", "payload": TOKEN}))
            expect(socket, "connection_ack")
            payload = {"query": f"subscription {self.record_of(id)}"}
            socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
            expect(socket, "next")
            yield

    def recording(self):
        of = f'projectId: "{self.project}", filter: {{ status: RECORDING }}, first: 1'
        return f"{{ screenRecords({of}) {{ nodes {{ id }} }} }}"


def expect_code(answer, code):
    errors = [error["extensions"]["code"] for error in answer.get("errors", [])]
    if set(errors) != ({code} if code else set()):
        raise AssertionError(f"{code} was to come: {answer}")


def expect(socket, kind):
    message = json.loads(socket.recv(timeout=PATIENCE))
    if message["type"] != kind:
        raise AssertionError(f"{kind} was to come, and not {message}")


class Prometheus:
    def __init__(self, address):
        self.address = address

    def ask(self, path, **parameters):
        query = urllib.parse.urlencode(parameters)
        answer = json.loads(fetch(f"{self.address}/api/v1/{path}?{query}"))
        if answer["status"] != "success":
            raise AssertionError(f"{parameters}: {answer}")
        return answer["data"]

    def rises(self, expression):
        """Whether a query gave more than 0 at any time since the start."""
        now = time.time()
        asked = {"query": expression, "start": now - 100, "end": now, "step": 1}
        found = self.ask("query_range", **asked)["result"]
        return any(float(value) > 0 for one in found for _, value in one["values"])

    def numbers(self, expression):
        """The current values of a query, without NaN."""
        found = self.ask("query", query=expression)["result"]
        return [one for one in found if one["value"][1] != "NaN"]


@contextlib.contextmanager
def redis():
    """A Redis: its address, and the process to end."""
    port = free_port()
    arguments = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with process(arguments, stdout=subprocess.DEVNULL) as server:
        until("Redis", lambda: socket.create_connection(("127.0.0.1", port)).close() or True)
        yield f"redis://127.0.0.1:{port}", server


class TakesTraces(BaseHTTPRequestHandler):
    """A receiver of traces that looks at none."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def receiver():
    """A receiver of traces: its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), TakesTraces)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@contextlib.contextmanager
def demo(redis_url, settings, traces_url):
    arguments = [
        BINARY, "demo", f"--config={settings}", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0",
        f"--cache-redis-url={redis_url}", "--cache-key-secret=for the checks of metrics only",
        # Small enough that each limit is reached within moments.
        "--limits-rate=50/s", "--upstream-max-concurrency=3", "--upstream-attempt-timeout=2s",
        "--upstream-deadline=4s", "--upstream-breaker-window=3s", "--upstream-breaker-min-calls=6",
        "--upstream-breaker-open-for=2s",
    ]
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": traces_url, "OTEL_BSP_SCHEDULE_DELAY": "500"}
    with process(arguments, env=environment, stdout=subprocess.PIPE) as started:
        printed = ""
        while "/readyz" not in printed:
            line = started.stdout.readline()
            if not line:
                raise AssertionError(f"the demo ended: {printed}")
            printed += line
        yield Gateway(printed)


@contextlib.contextmanager
def prometheus(gateway):
    """Prometheus with the deployed settings, except for the target and a shorter interval."""
    settings = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (job,) = settings["scrape_configs"]
    job["static_configs"] = [{"targets": [gateway.admin.removeprefix("http://")]}]
    settings["rule_files"] = [str(PROMETHEUS / file) for file in settings["rule_files"]]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "prometheus.yml"
        file.write_text(yaml.safe_dump(settings))
        address = f"127.0.0.1:{free_port()}"
        arguments = [
            "prometheus", f"--config.file={file}", f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address={address}",
        ]
        with process(arguments, stdout=subprocess.DEVNULL):
            server = Prometheus(f"http://{address}")
            ready = f"{server.address}/-/ready"
            until("Prometheus", lambda: "is Ready" in fetch(ready))
            # Later counts must rise above the first scrape.
            until("the first scrape", lambda: server.numbers("gateway_ready == 1"))
            yield server


@contextlib.contextmanager
def all_of_it():
    """Gateway and Prometheus, after successes and failures, and while a client watches a recording."""
    with contextlib.ExitStack() as running:
        redis_url, redis_server = running.enter_context(redis())
        settings = Path(running.enter_context(tempfile.TemporaryDirectory())) / "gateway.toml"
        settings.write_text("")
        traces_url = running.enter_context(receiver())
        gateway = running.enter_context(demo(redis_url, settings, traces_url))
        server = running.enter_context(prometheus(gateway))
        until("the shared cache", lambda: "gateway_shared_cache_up 1" in gateway.page())
        gateway.use()
        gateway.ask_too_often()
        gateway.keep_waiting()
        gateway.break_down()
        gateway.change_settings(settings)
        running.enter_context(gateway.watching())
        redis_server.terminate()
        redis_server.wait(timeout=PATIENCE)
        fetch(f"{gateway.admin}/purge", {"all": True})
        until("a scrape of all", lambda: server.numbers("gateway_shared_cache_undelivered_news > 0"))
        yield gateway, server
