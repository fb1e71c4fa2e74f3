"""The commands of docs/DEPLOYMENT.md, and the compose file."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import yaml

from gateway import BINARY, NAME, ROOT, SECRETS, check, image_environment, package_version
from gateway import is_good, simulator, stop_seconds

PAGE = (ROOT / "docs/DEPLOYMENT.md").read_text()
COMPOSE = ROOT / "deploy/compose"


class Commands(unittest.TestCase):
    """The commands that are marked to run, in a folder with `deploy` and the binary in its path."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        shutil.copytree(ROOT / "deploy", cls.folder / "deploy")
        (cls.folder / "bin").mkdir()
        (cls.folder / "bin" / NAME).symlink_to(BINARY)
        blocks = re.findall(r"^<!-- run -->\n```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
        path = f"{cls.folder}/bin:{os.environ['PATH']}"
        with simulator() as upstream:
            endpoint = upstream["Upstream"]
            environment = {"PATH": path, "GATEWAY_UPSTREAM__ENDPOINT": endpoint}
            cls.runs = [
                subprocess.run(
                    ["bash", "-euo", "pipefail", "-c", block],
                    cwd=cls.folder, env=environment, capture_output=True, text=True,
                )
                for block in blocks
            ]

    def test_each_marked_block_runs_without_a_complaint(self):
        self.assertEqual(len(self.runs), 3)
        for ran in self.runs:
            self.assertEqual((ran.returncode, ran.stderr), (0, ""), ran.args)

    def test_the_check_says_that_the_gateway_is_ready(self):
        self.assertIn("ready: ", self.runs[0].stdout)

    def test_the_secrets_that_are_made_are_good_ones(self):
        with simulator() as upstream:
            given = [
                "--inbound-auth=api-key",
                f"--inbound-api-keys-file={self.folder}/callers.toml",
                "--cache-redis-url=redis://cache.example",
                f"--cache-key-secret-file={self.folder}/key-secret",
            ]
            checked = check(given, {}, upstream)

        self.assertTrue(is_good(checked), checked.stderr)
        self.assertEqual((self.folder / "key-secret").stat().st_mode & 0o077, 0)

    def test_an_overlay_of_ones_own_sets_what_differs(self):
        objects = list(yaml.safe_load_all(self.runs[2].stdout))

        self.assertEqual({o["metadata"]["namespace"] for o in objects}, {"recordings"})
        (deployment,) = [o for o in objects if o["kind"] == "Deployment"]
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        self.assertEqual(
            container["image"], f"registry.example.com/{NAME}:{package_version()}"
        )


class Page(unittest.TestCase):
    def test_every_file_that_is_named_is_there(self):
        targets = re.findall(r"\]\(([^)#:]+)\)", PAGE)

        self.assertGreater(len(targets), 5)
        for target in targets:
            self.assertTrue((ROOT / "docs" / target).exists(), target)

    def test_every_drop_in_and_folder_is_described(self):
        described = set(re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE))
        drop_ins = {file.name for file in (ROOT / "deploy/systemd").glob("*.conf")}
        overlays = {f"overlays/{f.name}" for f in (ROOT / "deploy/kubernetes/overlays").iterdir()}

        self.assertLessEqual(drop_ins | overlays | {"base"}, described)


class Compose(unittest.TestCase):
    def setUp(self):
        self.services = yaml.safe_load((COMPOSE / "docker-compose.yml").read_text())["services"]

    def test_the_settings_are_known_and_work(self):
        gateway = self.services["gateway"]
        with tempfile.TemporaryDirectory() as folder, simulator() as upstream:
            (Path(folder) / "key-secret").write_text(SECRETS["key-secret"])
            text = (COMPOSE / "gateway.toml").read_text().replace("/run/secrets", folder)
            (Path(folder) / "gateway.toml").write_text(text)
            (target,) = [config["target"] for config in gateway["configs"]]
            arguments = [
                argument.replace(target, f"{folder}/gateway.toml") for argument in gateway["command"]
            ]

            checked = check(arguments[1:], image_environment(), upstream)

        self.assertTrue(is_good(checked), checked.stdout + checked.stderr)

    def test_every_compose_file_waits_until_the_gateway_has_drained(self):
        trial = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
        for service in (self.services["gateway"], trial["gateway"]):
            grace = int(service["stop_grace_period"].removesuffix("s"))

            self.assertGreater(grace, stop_seconds())

    def test_the_image_is_that_of_this_version(self):
        self.assertEqual(self.services["gateway"]["image"], f"{NAME}:{package_version()}")
        self.assertIn(f"--tag {NAME}:{package_version()} ", PAGE)


if __name__ == "__main__":
    unittest.main()
