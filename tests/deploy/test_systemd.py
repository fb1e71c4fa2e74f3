"""The unit for systemd: against systemd's own checks, and against the gateway."""

import os
import re
import subprocess
import tempfile
import unittest
import urllib.request
from pathlib import Path

from gateway import BINARY, NAME, ROOT, SECRETS, check, is_good, run, running, simulator
from gateway import stop_seconds

FOLDER = ROOT / "deploy/systemd"
UNIT = (FOLDER / f"{NAME}.service").read_text()
DROP_INS = sorted(FOLDER.glob("*.conf"))
INSTALLED = f"/usr/bin/{NAME}"
# In tenths, as systemd-analyze expects. The remaining exposure is the network, which the gateway needs.
THRESHOLD = 11


def values(unit, key):
    return re.findall(rf"^{key}=(.*)$", unit, re.MULTILINE)


def analyze(verb, unit, *arguments, drop_ins=()):
    """Asks systemd-analyze about a unit that lies in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{NAME}.service"
        file.write_text(unit.replace(INSTALLED, BINARY))
        (Path(folder) / f"{file.name}.d").mkdir()
        for drop_in in drop_ins:
            (Path(folder) / f"{file.name}.d" / drop_in.name).write_text(drop_in.read_text())
        return subprocess.run(
            ["systemd-analyze", verb, *arguments, file],
            # An empty last part keeps systemd's own folders.
            env=os.environ | {"SYSTEMD_UNIT_PATH": f"{folder}:"},
            capture_output=True,
            text=True,
        )


def complaints(unit, drop_ins=()):
    verified = analyze("verify", unit, "--man=no", drop_ins=drop_ins)
    said = (verified.stdout + verified.stderr).strip()
    return said if verified.returncode == 0 else said or f"exit {verified.returncode}"


def exposure(unit):
    return analyze("security", unit, "--offline=true", f"--threshold={THRESHOLD}", "--no-pager")


class Installed:
    """The unit's command and variables, its files laid out in a folder of this machine."""

    def __init__(self, folder, *drop_ins, settings=()):
        text = UNIT + "".join(drop_in.read_text() for drop_in in drop_ins)
        self.folder = Path(folder)
        for line in values(text, "LoadCredential"):
            name, _, source = line.partition(":")
            (self.folder / name).write_text(SECRETS[Path(source).name])
        toml = (FOLDER / "gateway.toml").read_text() + "\n".join(settings)
        (self.folder / "gateway.toml").write_text(toml)
        self.variables = dict(
            self.here(line).split("=", 1) for line in values(text, "Environment")
        )
        (command,) = values(text, "ExecStart")
        self.arguments = command.removeprefix(f"{INSTALLED} ").split()

    def here(self, text):
        return text.replace("%d", str(self.folder)).replace(f"/etc/{NAME}", str(self.folder))


def allowed_calls():
    """The system calls that the unit's filter allows, with its groups expanded by systemd."""
    allowed = set()
    for line in values(UNIT, "SystemCallFilter"):
        names = set().union(*(calls_of(name) for name in line.lstrip("~").split()))
        allowed = allowed - names if line.startswith("~") else allowed | names
    return allowed


def calls_of(name):
    if not name.startswith("@"):
        return {name}
    listed = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager", name],
        capture_output=True, text=True, check=True,
    ).stdout
    members = [line.strip() for line in listed.splitlines()[1:]]
    members = [member for member in members if member and not member.startswith("#")]
    return set().union(*(calls_of(member) for member in members))


class Unit(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def test_systemd_reads_the_unit_and_each_drop_in_without_a_word(self):
        self.assertEqual(complaints(UNIT), "")
        for drop_in in DROP_INS:
            self.assertEqual(complaints(UNIT, [drop_in]), "", drop_in.name)

    def test_systemd_notices_a_misspelt_key_and_a_command_that_is_not_there(self):
        misspelt = UNIT.replace("NoNewPrivileges=", "NoNewPrivilege=")
        missing = UNIT.replace(INSTALLED, "/usr/bin/no-such-gateway")

        self.assertIn("NoNewPrivilege", complaints(misspelt))
        self.assertIn("no-such-gateway", complaints(missing))

    def test_the_service_is_exposed_to_little(self):
        judged = exposure(UNIT)

        self.assertEqual(judged.returncode, 0, judged.stdout)

    def test_a_service_with_a_wall_taken_down_is_over_the_threshold(self):
        for wall in ("PrivateUsers", "SystemCallFilter", "CapabilityBoundingSet"):
            judged = exposure(re.sub(rf"^{wall}=.*$", "", UNIT, flags=re.MULTILINE))

            self.assertNotEqual(judged.returncode, 0, wall)

    def test_systemd_waits_until_the_gateway_has_drained(self):
        (stop,) = values(UNIT, "TimeoutStopSec")

        self.assertGreater(int(stop), stop_seconds())

    def test_the_settings_are_known_and_work(self):
        with simulator() as upstream:
            installed = Installed(self.folder)
            _, *rest = installed.arguments

            checked = check(rest, installed.variables, upstream)

        self.assertTrue(is_good(checked), checked.stdout + checked.stderr)
        self.assertIn("upstream.region = ap-southeast-1 ", checked.stdout)

    def test_each_drop_in_gives_its_secret_to_a_setting_that_takes_it(self):
        modes = {"own-key": ["credentials = 'aksk'"], "shared-cache": [],
                 "password": ["credentials = 'password'", "[iam]", "user = 'user'",
                              "domain = 'account'"]}
        self.assertEqual({drop_in.stem for drop_in in DROP_INS}, modes.keys())
        for drop_in in DROP_INS:
            with self.subTest(drop_in.name), simulator() as upstream:
                installed = Installed(self.folder, drop_in, settings=modes[drop_in.stem])

                checked = check([], installed.variables, upstream)

                self.assertTrue(is_good(checked), checked.stdout + checked.stderr)
                (first, *_) = values(drop_in.read_text(), "LoadCredential")
                shown = str(self.folder) + "/" + first.partition(":")[0]
                self.assertIn(shown, checked.stdout + str(installed.variables))

    def test_a_reload_has_the_settings_read_again_and_ends_nothing(self):
        (reload,) = values(UNIT, "ExecReload")
        with simulator() as upstream:
            installed = Installed(self.folder)
            arguments = [*installed.arguments, "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0",
                         f"--upstream-endpoint={upstream['Upstream']}"]
            with running(arguments, installed.variables) as gateway:
                pid = str(gateway["process"].pid)

                subprocess.run(reload.replace("$MAINPID", pid).split(), check=True)

                page = gateway["Admin"].replace("/readyz", "/metrics")
                read = 'gateway_config_reloads_total{outcome="success"} 1'
                while read not in urllib.request.urlopen(page, timeout=30).read().decode():
                    self.assertIsNone(gateway["process"].poll())

    def test_settings_that_are_refused_are_not_tried_again(self):
        (stops,) = values(UNIT, "RestartPreventExitStatus")

        refused = run(["serve"], {"GATEWAY_NO_SUCH_SETTING": "1"})

        self.assertEqual(refused.returncode, int(stops))

    def test_the_gateway_needs_no_call_and_no_socket_that_the_unit_forbids(self):
        trace = Path(self.folder) / "trace"
        # With -D the gateway itself is what is started and stopped.
        strace = ["strace", "-D", "-f", "-qq", "-o", str(trace)]
        installed = Installed(self.folder, *[d for d in DROP_INS if d.stem == "shared-cache"])
        free = ["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"]

        with simulator() as upstream:
            # By name, so that the name is resolved.
            address = upstream["Upstream"].replace("127.0.0.1", "localhost")
            arguments = [*installed.arguments, *free, f"--upstream-endpoint={address}"]
            with running(arguments, installed.variables, strace) as gateway:
                query = '{"query":"{ screenRecord(projectId: \\"p\\", id: \\"i\\") { id } }"}'
                request = urllib.request.Request(
                    gateway["GraphQL"],
                    query.encode(),
                    {"Content-Type": "application/json", "X-Auth-Token": "token"},
                )
                answer = urllib.request.urlopen(request).read().decode()

        lines = [line.split(maxsplit=1)[1] for line in trace.read_text().splitlines()]
        calls = set(re.findall(r"^(?:<\.\.\. )?(\w+)", "\n".join(lines), re.MULTILINE))
        families = set(re.findall(r"socket\((AF_\w+)", "\n".join(lines)))
        self.assertIn("extensions", answer)
        self.assertGreater(len(calls), 20)
        # The first program is put in place before the filter holds.
        self.assertEqual(calls - allowed_calls() - {"execve"}, set())
        self.assertLessEqual(families, set(values(UNIT, "RestrictAddressFamilies")[0].split()))
        self.assertNotRegex("\n".join(lines), r"PROT_WRITE\|PROT_EXEC")


if __name__ == "__main__":
    unittest.main()
