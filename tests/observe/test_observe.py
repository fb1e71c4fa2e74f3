"""Metrics page, alerts and dashboard: against promtool, and against a Prometheus that scrapes a gateway."""

import contextlib
import json
import re
import subprocess
import unittest

import promql_parser
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as classic_metric_families

from observed import BINARY, PROMETHEUS, ROOT, all_of_it, until

DEPLOYED = ROOT / "deploy/observability"
HERE = ROOT / "tests/observe"
RULES = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())
RULES = [rule for group in RULES["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in RULES if "alert" in rule]
DASHBOARD = json.loads((DEPLOYED / "grafana/dashboards/gateway.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
PAGE = (ROOT / "docs/METRICS.md").read_text()
RUNBOOK = (ROOT / "docs/RUNBOOK.md").read_text()
# Suffixes of sample names that the metric's own name lacks.
SUFFIXES = {"counter": "_total", "info": "_info"}
# Labels of the format, not of the metric.
OF_THE_FORMAT = {"le"}

# Panels that read 0 throughout, and why.
STILL = {
    "Access denied": "callers of the demo do not authenticate, so none is denied anything",
    "Rows scanned": "no caller of the demo has constraints",
    "Log lines that waited": "the log of the demo is read at once",
    "Audit events": "the demo has no audit log",
    "Reasons for not ready": "the demo has no credentials that the upstream could refuse, and no token keys to fetch",
    "Invalidations received": "no other gateway shares the demo's cache",
    "Connections ended": "no client of the demo is slow",
    "TLS handshakes": "the demo speaks no TLS",
    "Certificate expires in": "the demo has no certificate",
}

running = contextlib.ExitStack()
gateway = server = None


def setUpModule():
    global gateway, server
    gateway, server = running.enter_context(all_of_it())
    unittest.addModuleCleanup(running.close)


def promtool(*arguments, text=None):
    return subprocess.run(["promtool", *map(str, arguments)], input=text, capture_output=True, text=True)


def shown(page):
    """Every metric of a page: its type, its labels with their values, its meaning."""
    metrics = {}
    for family in text_string_to_metric_families(page):
        labels = {}
        for sample in family.samples:
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)
        labels = {name: values for name, values in labels.items() if name not in OF_THE_FORMAT}
        name = family.name + SUFFIXES.get(family.type, "")
        metrics[name] = (family.type, labels, family.documentation.removesuffix("."))
    return metrics


def documented(text):
    """The same of the table in docs/METRICS.md."""
    rows = re.findall(r"^\| `(gateway_\w+)` \| (\w+) \| (.+?) \| (.+) \|$", text, re.MULTILINE)
    return {name: (kind, labels_of(labels), meaning) for name, kind, labels, meaning in rows}


def labels_of(cell):
    listed = (part.split(": ", 1) for part in cell.split("; ") if part != "–")
    return {name.strip("`"): values_of(values) for name, values in listed}


def values_of(text):
    """The values that are listed; nothing where they are described and not listed."""
    return None if text.startswith("any") else set(text.split(", "))


def differences(described, page):
    """Differences between a table and a page, in both directions."""
    found = [f"{name} is not in the table" for name in page.keys() - described.keys()]
    for name, (kind, labels, meaning) in described.items():
        if name not in page:
            found.append(f"{name} is not on the page")
            continue
        shown_kind, shown_labels, shown_meaning = page[name]
        if (kind, meaning) != (shown_kind, shown_meaning):
            found.append(f"{name} is a {shown_kind}: {shown_meaning}")
        if labels.keys() != shown_labels.keys():
            found.append(f"{name} has the labels {sorted(shown_labels)}")
            continue
        for label, values in labels.items():
            if values is not None and values != shown_labels[label]:
                found.append(f"{name}: {label} is one of {sorted(shown_labels[label])}")
    return sorted(found)


def selectors_of(expression):
    """The parts of a query, each as its own query."""
    found = set()

    def visit(node):
        if isinstance(node, promql_parser.VectorSelector):
            found.add(node.prettify())

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


def queries_of(panel):
    """A panel's queries, with what Grafana puts in place of its variables."""
    given = {"$job": ".*", "$instance": ".*", "$__rate_interval": "5m"}
    for target in panel["targets"]:
        expression = target["expr"]
        for variable, value in given.items():
            expression = expression.replace(variable, value)
        yield expression


class Metrics(unittest.TestCase):
    def test_the_table_and_the_page_have_the_same_metrics(self):
        self.assertEqual(differences(documented(PAGE), shown(gateway.page())), [])

    def test_a_metric_more_or_less_or_of_another_kind_label_or_meaning_is_noticed(self):
        page = shown(gateway.page())
        for line, changed in [
            ("| `gateway_ready` |", "| `gateway_steady` |"),
            ("`gateway_ready` | gauge", "`gateway_ready` | counter"),
            ("`scope`: all, ", "`scope`: "),
            ("`scope`: all", "`reach`: all"),
            ("GraphQL errors, by code", "GraphQL errors"),
        ]:
            self.assertIn(line, PAGE)

            found = differences(documented(PAGE.replace(line, changed)), page)

            self.assertNotEqual(found, [], changed)

    def test_names_and_helps_are_as_prometheus_wants_them(self):
        linted = promtool("check", "metrics", text=gateway.classic_page())

        self.assertEqual((linted.returncode, linted.stdout, linted.stderr), (0, "", ""))

    def test_both_formats_have_the_same_samples(self):
        def samples(families):
            return {(sample.name, *sorted(sample.labels.items())) for family in families for sample in family.samples}

        openmetrics = samples(text_string_to_metric_families(gateway.page()))
        classic = samples(classic_metric_families(gateway.classic_page()))

        self.assertEqual(classic, openmetrics)

    def test_a_bad_name_is_noticed(self):
        page = gateway.classic_page().replace("_duration_seconds", "_duration_milliseconds")

        linted = promtool("check", "metrics", text=page)

        self.assertNotEqual(linted.returncode, 0)
        self.assertIn("use base unit", linted.stdout + linted.stderr)

    def test_no_label_tells_who_asked_or_for_what(self):
        page = gateway.page()

        for secret in (gateway.project, gateway.record, "demo-token"):
            self.assertNotIn(secret, page)


class Rules(unittest.TestCase):
    def test_settings_and_rules_are_good(self):
        for what, file in [("config", "prometheus.yml"), ("rules", "rules.yml")]:
            checked = promtool("check", what, "--lint-fatal", PROMETHEUS / file)

            self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_alerts_fire_when_they_should_and_only_then(self):
        tested = promtool("test", "rules", *HERE.glob("alerts*.yml"))

        self.assertEqual(tested.returncode, 0, tested.stdout + tested.stderr)

    def test_every_alert_is_tried_with_series_that_make_it_fire_and_series_that_do_not(self):
        tried = {(alert["alert"], fires) for alert in ALERTS for fires in (True, False)}

        cases = [yaml.safe_load(file.read_text())["tests"] for file in HERE.glob("alerts*.yml")]
        cases = [case for tests in cases for test in tests for case in test.get("alert_rule_test", [])]

        self.assertEqual({(c["alertname"], bool(c["exp_alerts"])) for c in cases}, tried)

    def test_every_alert_has_its_part_in_the_runbook_and_the_runbook_no_other(self):
        parts = re.split(r"^## ", RUNBOOK, flags=re.MULTILINE)[1:]
        titles = [part.split("\n", 1)[0] for part in parts]

        self.assertEqual(titles, [alert["alert"] for alert in ALERTS])
        for alert in ALERTS:
            anchor = f"docs/RUNBOOK.md#{alert['alert'].lower()}"
            self.assertEqual(alert["annotations"]["runbook"], anchor)
            self.assertIn(alert["labels"]["severity"], ("page", "ticket"))
        for part in parts:
            for said in ("**it means**", "**look at**", "**do**"):
                self.assertIn(said, part.lower())

    def test_every_panel_and_alert_that_the_runbook_names_is_there(self):
        titles = {panel["title"] for panel in PANELS} | {DASHBOARD["title"]}
        anchors = {alert["alert"].lower() for alert in ALERTS}

        named = set(re.findall(r"(?<!\*)\*([A-Z][^*]+)\*(?!\*)", RUNBOOK.replace("\n", " ")))
        linked = set(re.findall(r"\]\(#(\w+)\)", RUNBOOK))

        self.assertGreater(len(named), 10)
        self.assertLessEqual(named, titles)
        self.assertLessEqual(linked, anchors)

    def test_every_series_that_a_rule_asks_for_is_there(self):
        asked = {selector for rule in RULES for selector in selectors_of(rule["expr"])}

        self.assertGreater(len(asked), 20)
        for selector in sorted(asked):
            with self.subTest(selector):
                until(selector, lambda: server.numbers(selector))

    def test_every_rule_is_evaluated_without_a_fault(self):
        groups = server.ask("rules")["groups"]

        evaluated = [rule for group in groups for rule in group["rules"]]

        self.assertEqual(len(evaluated), len(RULES))
        for rule in evaluated:
            self.assertEqual((rule["health"], rule.get("lastError")), ("ok", None), rule["name"])


class Dashboard(unittest.TestCase):
    def test_no_panel_is_empty(self):
        for panel in PANELS:
            for query in queries_of(panel):
                with self.subTest(panel=panel["title"], query=query):
                    until(query, lambda: server.numbers(query))

    def test_every_panel_shows_what_happened_but_those_where_nothing_did(self):
        for panel in PANELS:
            with self.subTest(panel["title"]):
                if panel["title"] in STILL:
                    self.assertFalse(any(map(server.rises, queries_of(panel))))
                else:
                    until(panel["title"], lambda: any(map(server.rises, queries_of(panel))))

    def test_a_query_of_what_is_not_there_or_no_number_is_empty(self):
        self.assertEqual(server.numbers("gateway_nothing_total"), [])
        self.assertEqual(server.numbers("vector(0) / vector(0)"), [])

    def test_every_metric_is_on_a_panel(self):
        asked = " ".join(query for panel in PANELS for query in queries_of(panel))

        # Both parts of the words, so that one name is not found within a longer one.
        missing = [name for name in documented(PAGE) if not re.search(rf"\b{name}(_bucket)?\b", asked)]

        self.assertEqual(missing, [])

    def test_the_data_source_and_the_folder_are_provisioned(self):
        folder = DEPLOYED / "grafana/provisioning"
        (source,) = yaml.safe_load((folder / "datasources/prometheus.yml").read_text())["datasources"]
        (provider,) = yaml.safe_load((folder / "dashboards/gateway.yml").read_text())["providers"]
        variable = DASHBOARD["templating"]["list"][0]

        self.assertEqual((variable["type"], variable["query"]), ("datasource", source["type"]))
        self.assertEqual(variable["current"]["value"], source["uid"])
        volumes = COMPOSE["services"]["grafana"]["volumes"]
        dashboards = "./deploy/observability/grafana/dashboards"
        self.assertIn(f"{dashboards}:{provider['options']['path']}:ro", volumes)

    def test_every_panel_asks_the_data_source_that_is_chosen(self):
        for panel in PANELS:
            for part in (panel, *panel["targets"]):
                self.assertEqual(part["datasource"]["uid"], "${datasource}", panel["title"])

    def test_panels_are_described_and_do_not_overlap(self):
        taken = set()
        for panel in DASHBOARD["panels"]:
            place = panel["gridPos"]
            cells = {
                (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
            }
            self.assertFalse(cells & taken, panel["title"])
            self.assertLessEqual(place["x"] + place["w"], 24)
            taken |= cells
        self.assertTrue(all(panel["description"] for panel in PANELS))
        ids = [panel["id"] for panel in DASHBOARD["panels"]]
        self.assertEqual(len(set(ids)), len(ids))


COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
WATCHING = {
    name: service
    for name, service in COMPOSE["services"].items()
    if service.get("profiles") == ["observability"]
}


class Compose(unittest.TestCase):
    def test_the_profile_brings_what_watches_and_a_cache(self):
        self.assertEqual(set(WATCHING), {"cache", "prometheus", "grafana", "jaeger"})

    def test_its_services_are_pinned_hardened_and_open_to_this_machine_alone(self):
        for name, service in WATCHING.items():
            self.assertRegex(service["image"], r":v?\d+\.\d+\.\d+(-alpine)?$", name)
            self.assertEqual(
                (service["read_only"], service["cap_drop"], service["security_opt"]),
                (True, ["ALL"], ["no-new-privileges:true"]), name,
            )
            self.assertIn("memory", service["deploy"]["resources"]["limits"], name)
            for port in service.get("ports", []):
                self.assertTrue(port.startswith("127.0.0.1:"), port)

    def test_every_folder_that_is_mounted_is_there(self):
        mounts = [volume for service in WATCHING.values() for volume in service.get("volumes", [])]

        folders = [mount.split(":")[0] for mount in mounts if mount.startswith("./")]

        self.assertEqual(len(folders), 3)
        for folder in folders:
            self.assertTrue((ROOT / folder).is_dir(), folder)

    def test_prometheus_scrapes_the_admin_listener_of_the_gateway(self):
        settings = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
        (job,) = settings["scrape_configs"]
        host, port = job["static_configs"][0]["targets"][0].split(":")

        self.assertIn(f"127.0.0.1:{port}:{port}", COMPOSE["services"][host]["ports"])
        selector = f'job="{job["job_name"]}"'
        (down,) = [alert["expr"] for alert in ALERTS if alert["alert"] == "GatewayDown"]
        self.assertIn(selector, down)

    def test_the_gateway_is_joined_to_cache_and_traces_by_the_file_of_settings_alone(self):
        text = (DEPLOYED / "compose.env").read_text()
        given = dict(re.findall(r"^(\w+)=(.+)$", text, re.MULTILINE))
        environment = COMPOSE["services"]["gateway"]["environment"]

        # Without a value it is passed on from the surroundings, and unset where they have none.
        passed_on = {name for name, value in environment.items() if value is None}

        self.assertEqual(passed_on, set(given))
        command = [BINARY, "check", "--upstream-endpoint=http://127.0.0.1:1"]
        checked = subprocess.run(command, env=given, capture_output=True, text=True)
        # Nothing listens there, which is 1; settings that are refused are 2.
        self.assertEqual(checked.returncode, 1, checked.stderr)
        self.assertEqual(given["GATEWAY_CACHE__REDIS_URL"], "redis://cache:6379")
        self.assertEqual(given["OTEL_EXPORTER_OTLP_ENDPOINT"], "http://jaeger:4318")


if __name__ == "__main__":
    unittest.main()
