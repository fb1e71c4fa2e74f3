"""Builds the image, starts docker-compose.yml with its observability profile, and asks it as a client would."""

import json
import os
import shutil
import signal
import tempfile
import threading
import unittest
import urllib.error
import urllib.request
from pathlib import Path

import images
from engine import ROOT, Engine, Project, until

PROJECT = "089b2f9a3d80d3062f24c00ca4ed5cbd"
COMPOSE = [
    "--env-file=deploy/observability/compose.env",
    "--file=docker-compose.yml",
    "--file=tests/containers/compose.override.yml",
    "--profile=observability",
]
# The services of docker-compose.yml, and the images of those that are not built from the Dockerfile.
SERVICES = {
    "gateway": None,
    "simulator": None,
    "cache": "valkey/valkey",
    "prometheus": "prom/prometheus",
    "grafana": "grafana/grafana",
    "jaeger": "jaegertracing/jaeger",
}

# What is changed in deploy/compose.
DEPLOYED = f"""
services:
  gateway:
    image: {images.GATEWAY}
    ports: !override ["127.0.0.1::8080", "127.0.0.1::8081"]
"""
# What podman-compose does not know: `configs` of a service, and that there is a default network.
DEPLOYED_BY_PODMAN = """
    volumes: ["./gateway.toml:/etc/screen-record-gateway/gateway.toml:ro"]
networks:
  default: {}
"""

engine = project = None


def setUpModule():
    global engine, project
    engine = Engine()
    absent = images.provide(engine)
    left_out = [service for service, image in SERVICES.items() if image and any(image in name for name in absent)]
    for service in left_out:
        print(f"{service} is left out: no registry gives its image, and Debian has no package of it")
    images.build(engine)
    project = Project(engine, "screen-record-gateway-test", *COMPOSE)
    unittest.addModuleCleanup(project.down)
    project.up("--scale=gateway=2", *(service for service in SERVICES if service not in left_out))
    project.until_healthy("simulator", "gateway")


def fetch(address, path, body=None):
    """Status and text of an answer."""
    headers = {"Content-Type": "application/json", "X-Auth-Token": "demo-token"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{address}{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def ask(container, query):
    """The data that a gateway answers with at its published port."""
    _, text = fetch(engine.address(container, 8080), "/graphql", {"query": query})
    answer = json.loads(text)
    assert "errors" not in answer, answer
    return answer["data"]


def read_record(container, record):
    query = f'{{ screenRecord(projectId: "{PROJECT}", id: "{record}") {{ id status }} }}'
    data = ask(container, query)
    assert data["screenRecord"]["id"] == record, data
    return data["screenRecord"]


def upstream(path):
    """An answer of the simulated upstream, asked past the gateway."""
    _, text = fetch(engine.address(project.containers("simulator")[0], 8090), path)
    return json.loads(text)


def calls_upstream():
    """How many requests the upstream got so far."""
    return upstream("/__stats")["requests"]


def process_of(container):
    """What the kernel says of the first process of a container."""
    pid = engine.inspect(container, ".State.Pid")
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def metric(container, name):
    _, page = fetch(engine.address(container, 8081), "/metrics")
    values = [line.split()[-1] for line in page.splitlines() if line.startswith(f"{name} ")]
    return float(values[0])


class TheImage(unittest.TestCase):
    def test_prints_its_version(self):
        printed = engine.run("run", "--rm", images.GATEWAY, "--version")

        self.assertTrue(printed.startswith("screen-record-gateway "), printed)

    def test_has_no_shell(self):
        with self.assertRaisesRegex(AssertionError, "no such file"):
            engine.run("run", "--rm", "--entrypoint=/bin/sh", images.GATEWAY, "-c", "true")

    def test_reports_a_wrong_setting_and_exits_with_2(self):
        with self.assertRaisesRegex(AssertionError, "exit code 2\n(?s:.*)upstream.region"):
            engine.run("run", "--rm", images.GATEWAY, "serve", "--upstream-region=nowhere!")


class TheComposeFile(unittest.TestCase):
    def setUp(self):
        self.first, self.second = project.containers("gateway")

    @classmethod
    def setUpClass(cls):
        # Each test reads one that no gateway has cached.
        rows = upstream(f"/v2/{PROJECT}/screen-records?limit=10")["screen_records"]
        cls.records = [row["id"] for row in rows]

    def test_answers_a_query_through_the_published_port(self):
        record = read_record(self.first, self.records.pop())

        self.assertIn("status", record)

    def test_runs_as_user_65532(self):
        self.assertEqual(set(process_of(self.first)["Uid"].split()), {"65532"})

    def test_has_no_capabilities_and_can_gain_none(self):
        status = process_of(self.first)

        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            self.assertEqual(int(status[kind], 16), 0, kind)
        self.assertEqual(status["NoNewPrivs"], "1")

    def test_cannot_write_to_its_root(self):
        with self.assertRaisesRegex(AssertionError, "Read-only file system"):
            engine.run("exec", self.first, "/bin/wget", "-q", "-O", "/file", "http://127.0.0.1:8081/livez")

    def test_limits_its_memory(self):
        self.assertEqual(engine.inspect(self.first, ".HostConfig.Memory"), str(512 * 1024 * 1024))

    def test_a_record_that_one_gateway_read_is_a_hit_in_the_other(self):
        record = self.records.pop()
        written = 'gateway_shared_cache_writes_total{outcome="written"}'
        earlier = metric(self.first, written)
        read_record(self.first, record)
        until("the write to Valkey", lambda: metric(self.first, written) > earlier)
        before = calls_upstream()

        read_record(self.second, record)

        self.assertEqual(calls_upstream(), before)

    def test_a_purge_at_one_gateway_reaches_the_other(self):
        record = self.records.pop()
        read_record(self.second, record)
        before = calls_upstream()

        status, _ = fetch(engine.address(self.first, 8081), "/purge", {"projectId": PROJECT, "id": record})

        self.assertEqual(status, 200)
        until("the second gateway reads anew", lambda: read_record(self.second, record) and calls_upstream() > before, 4)

    def test_stopping_lets_a_request_in_progress_finish(self):
        answers = []
        record = self.records.pop()
        slow = threading.Thread(target=lambda: answers.append(read_record(self.first, record)))
        slow.start()
        until("the request is in progress", lambda: metric(self.first, "gateway_http_requests_in_flight") > 0)
        self.addCleanup(self.start_again, self.first)

        engine.run("stop", "--time=25", self.first)
        slow.join()

        self.assertEqual(len(answers), 1)
        self.assertEqual(engine.inspect(self.first, ".State.ExitCode"), "0")

    def start_again(self, container):
        engine.run("start", container)
        project.until_healthy("gateway")

    def test_a_killed_gateway_is_restarted(self):
        pid = int(engine.inspect(self.second, ".State.Pid"))

        os.kill(pid, signal.SIGKILL)

        until("another process", lambda: engine.inspect(self.second, ".State.Pid") not in (str(pid), "0"))
        project.until_healthy("gateway")
        self.assertIn("status", read_record(self.second, self.records.pop()))

    def test_prometheus_scrapes_the_gateway(self):
        address = engine.address(project.containers("prometheus")[0], 9090)

        def is_up():
            _, text = fetch(address, "/api/v1/query?query=up%7Bjob%3D%22screen-record-gateway%22%7D")
            return [sample["value"][1] for sample in json.loads(text)["data"]["result"]] == ["1"]

        until("the gateway is up in Prometheus", is_up)


class TheDeployedComposeFile(unittest.TestCase):
    """deploy/compose has no simulated upstream, so no query can be answered: the gateway must be ready."""

    def test_starts_with_its_settings_its_secret_and_its_valkey(self):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        for file in (ROOT / "deploy/compose").iterdir():
            shutil.copy(file, folder)
        (folder / "key-secret").write_text("a secret for the test only\n")
        (folder / "changes.yml").write_text(DEPLOYED + ("" if engine.is_docker else DEPLOYED_BY_PODMAN))
        files = (f"--file={folder / name}" for name in ("docker-compose.yml", "changes.yml"))
        deployed = Project(engine, "screen-record-gateway-deployed", *files)
        self.addCleanup(deployed.down)

        deployed.up()

        deployed.until_healthy("gateway")
        [gateway] = deployed.containers("gateway")
        until("Valkey is connected", lambda: metric(gateway, "gateway_shared_cache_up") == 1)


if __name__ == "__main__":
    unittest.main()
