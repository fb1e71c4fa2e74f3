"""The manifests for Kubernetes: against its schemas, against each other and against the gateway."""

import copy
import functools
import re
import subprocess
import tempfile
import unittest
import urllib.request
from pathlib import Path

import kubernetes_validate
import yaml

from gateway import NAME, ROOT, SECRETS, check, image_environment, package_version
from gateway import is_good, running, simulator, stop_seconds

FOLDERS = ["base", "overlays/shared-cache", "overlays/own-key"]
# The oldest release whose fields the manifests use, and the newest whose schemas are here.
RELEASES = ["1.30", "1.37"]
SIZES = {"Mi": 2**20, "MiB": 2**20, "Gi": 2**30, "GiB": 2**30}


@functools.cache
def rendered(folder):
    made = subprocess.run(
        ["kubectl", "kustomize", ROOT / "deploy/kubernetes" / folder], capture_output=True, text=True
    )
    if made.returncode != 0 or made.stderr:
        raise AssertionError(f"{folder}: {made.stderr}")
    return list(yaml.safe_load_all(made.stdout))


def one(objects, kind, name=None):
    found = [o for o in objects if o["kind"] == kind and name in (None, o["metadata"]["name"])]
    if len(found) != 1:
        raise AssertionError(f"there are {len(found)} of {kind} {name or ''}")
    return copy.deepcopy(found[0])


def pod_of(objects):
    return one(objects, "Deployment")["spec"]["template"]


def size(text):
    number, unit = re.fullmatch(r"(\d+)(\w+)", text).groups()
    return int(number) * SIZES[unit]


def schema_problems(manifest, release):
    try:
        kubernetes_validate.validate(manifest, release, strict=True)
    except kubernetes_validate.ValidationError as error:
        return error.message
    return None


class Container:
    """The gateway's container, its volumes laid out in a folder of this machine."""

    def __init__(self, objects, folder):
        self.objects, self.folder = objects, Path(folder)
        pod = pod_of(objects)["spec"]
        (self.container,) = pod["containers"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        self.mounts = {m["mountPath"]: volumes[m["name"]] for m in self.container["volumeMounts"]}
        for path, volume in self.mounts.items():
            self.lay(path, self.files(volume))

    def files(self, volume):
        if "configMap" in volume:
            return one(self.objects, "ConfigMap", volume["configMap"]["name"])["data"]
        made = f"secret generic {volume['secret']['secretName']} "
        for file in (ROOT / "deploy/kubernetes/overlays").glob("*/kustomization.yaml"):
            text = file.read_text()
            if made in text:
                return {name: SECRETS[name] for name in re.findall(r"--from-file=(\S+)", text)}
        raise AssertionError(f"no overlay says how to make {made}")

    def lay(self, path, files):
        folder = self.folder / path.lstrip("/")
        folder.mkdir(parents=True)
        for name, text in files.items():
            (folder / name).write_text(self.here(text))

    def here(self, text):
        for path in self.mounts:
            text = text.replace(path, str(self.folder / path.lstrip("/")))
        return text

    @property
    def settings(self):
        """The arguments after the command."""
        return [self.here(argument) for argument in self.container["args"][1:]]

    @property
    def environment(self):
        own = {v["name"]: self.here(v["value"]) for v in self.container.get("env", [])}
        return image_environment() | own


def in_each_folder(test):
    """Runs a test with the manifests of every folder."""

    @functools.wraps(test)
    def run_all(self):
        for folder in FOLDERS:
            with self.subTest(folder):
                test(self, rendered(folder))

    return run_all


class Manifests(unittest.TestCase):
    def test_every_folder_is_checked(self):
        there = {str(f.parent.relative_to(ROOT / "deploy/kubernetes"))
                 for f in (ROOT / "deploy/kubernetes").rglob("kustomization.yaml")}

        self.assertEqual(there, set(FOLDERS))

    @in_each_folder
    def test_every_manifest_follows_its_schema(self, objects):
        for manifest in objects:
            for release in RELEASES:
                self.assertIsNone(schema_problems(manifest, release), manifest["kind"])

    def test_the_schemas_know_a_misspelt_field_and_a_wrong_type(self):
        deployment = one(rendered("base"), "Deployment")
        misspelt, mistyped = copy.deepcopy(deployment), copy.deepcopy(deployment)
        misspelt["spec"]["template"]["spec"]["terminationGracePeriod"] = 35
        mistyped["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = "35"

        for release in RELEASES:
            self.assertIn("terminationGracePeriod", schema_problems(misspelt, release))
            self.assertIn("35", schema_problems(mistyped, release))

    @in_each_folder
    def test_selectors_find_the_pods(self, objects):
        labels = pod_of(objects)["metadata"]["labels"].items()
        selectors = [one(objects, "Service")["spec"]["selector"]]
        for kind in ("Deployment", "PodDisruptionBudget"):
            selectors.append(one(objects, kind)["spec"]["selector"]["matchLabels"])
        for policy in (o for o in objects if o["kind"] == "NetworkPolicy"):
            selectors.append(policy["spec"]["podSelector"]["matchLabels"])
        for spread in pod_of(objects)["spec"]["topologySpreadConstraints"]:
            selectors.append(spread["labelSelector"]["matchLabels"])

        for selector in selectors:
            self.assertLessEqual(selector.items(), labels)

    @in_each_folder
    def test_names_lead_to_what_is_there(self, objects):
        pod = pod_of(objects)["spec"]
        target = one(objects, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
        ports = {port["name"] for port in pod["containers"][0]["ports"]}
        used = {port["targetPort"] for port in one(objects, "Service")["spec"]["ports"]}
        for rule in one(objects, "NetworkPolicy", NAME)["spec"]["ingress"]:
            used |= {port["port"] for port in rule["ports"]}

        one(objects, "ServiceAccount", pod["serviceAccountName"])
        one(objects, target["kind"], target["name"])
        self.assertLessEqual(used, ports)

    @in_each_folder
    def test_a_pod_has_time_to_drain(self, objects):
        pod = pod_of(objects)["spec"]
        pause = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]

        self.assertGreater(pause, 0)
        self.assertGreater(pod["terminationGracePeriodSeconds"], pause + stop_seconds())

    @in_each_folder
    def test_a_budget_never_holds_the_last_pod_and_an_apply_never_scales(self, objects):
        scaler = one(objects, "HorizontalPodAutoscaler")["spec"]
        budget = one(objects, "PodDisruptionBudget")["spec"]

        self.assertGreater(scaler["minReplicas"], budget["maxUnavailable"])
        self.assertNotIn("replicas", one(objects, "Deployment")["spec"])

    @in_each_folder
    def test_pods_keep_to_the_restricted_standard(self, objects):
        pod = pod_of(objects)["spec"]
        (container,) = pod["containers"]

        self.assertTrue(pod["securityContext"]["runAsNonRoot"])
        self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
        self.assertFalse(pod["automountServiceAccountToken"])
        self.assertFalse(one(objects, "ServiceAccount")["automountServiceAccountToken"])
        self.assertEqual(
            container["securityContext"],
            {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
        )
        for name in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
            self.assertNotIn(name, pod)

    @in_each_folder
    def test_the_cache_fits_into_the_memory_of_its_container(self, objects):
        limits = pod_of(objects)["spec"]["containers"][0]["resources"]["limits"]
        (settings,) = [o for o in objects if o["kind"] == "ConfigMap"]
        cache = re.search(r'max_bytes = "(.+)"', settings["data"]["gateway.toml"])[1]

        self.assertLessEqual(size(cache) * 2, size(limits["memory"]))

    @in_each_folder
    def test_the_image_is_that_of_this_version(self, objects):
        image = pod_of(objects)["spec"]["containers"][0]["image"]

        self.assertEqual(image, f"{NAME}:{package_version()}")


class Settings(unittest.TestCase):
    """Tests the settings of the manifests with the real binary."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def test_every_setting_is_known_and_works(self):
        with simulator() as upstream:
            for number, folder in enumerate(FOLDERS):
                with self.subTest(folder):
                    container = Container(rendered(folder), f"{self.folder}/{number}")

                    checked = check(container.settings, container.environment, upstream)

                    self.assertTrue(is_good(checked), checked.stdout + checked.stderr)

    def test_a_name_that_is_no_setting_is_noticed(self):
        objects = copy.deepcopy(rendered("base"))
        (settings,) = [o for o in objects if o["kind"] == "ConfigMap"]
        settings["data"]["gateway.toml"] += "maximum_bytes = 1\n"
        container = Container(objects, self.folder)
        container.container["env"] = [{"name": "GATEWAY_LISTENER", "value": "x"}]

        with simulator() as upstream:
            checked = check(container.settings, container.environment, upstream)

        self.assertEqual(checked.returncode, 2, checked.stdout + checked.stderr)
        for name in ("cache.maximum_bytes", "GATEWAY_LISTENER"):
            self.assertIn(f"{name} ", checked.stderr)

    def test_every_probe_asks_for_what_the_gateway_answers(self):
        container = Container(rendered("base"), self.folder)
        probes = [v["httpGet"] for k, v in container.container.items() if k.endswith("Probe")]
        free = ["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"]

        with simulator() as upstream:
            given = [*container.settings, *free, f"--upstream-endpoint={upstream['Upstream']}"]
            with running(["serve", *given], container.environment) as gateway:
                base = gateway["Admin"].removesuffix("/readyz")
                answers = [urllib.request.urlopen(base + probe["path"]).status for probe in probes]

        self.assertEqual(answers, [200] * 3)
        self.assertEqual({probe["port"] for probe in probes}, {"admin"})

    def test_ports_are_those_that_the_image_listens_on(self):
        (container,) = pod_of(rendered("base"))["spec"]["containers"]
        ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
        listen = {k: v.rpartition(":")[2] for k, v in image_environment().items()}

        self.assertEqual(ports["http"], listen["GATEWAY_LISTEN"])
        self.assertEqual(ports["admin"], listen["GATEWAY_ADMIN_LISTEN"])


if __name__ == "__main__":
    unittest.main()
