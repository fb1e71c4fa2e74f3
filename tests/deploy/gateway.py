"""Shared by the tests of the deployment files: the binary, its simulated upstream, the drain."""

import contextlib
import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = os.environ["SCREEN_RECORD_GATEWAY"]
NAME = "screen-record-gateway"

# The contents of secret files while the settings that name them are tested.
ACCESS_KEY = ("DEPLOYTESTAK00000001", "deploy-test-secret-key")
# The project that the simulated records belong to.
PROJECT = "089b2f9a3d80d3062f24c00ca4ed5cbd"
SECRETS = {
    "credentials": "[basic]\nak = {}\nsk = {}\n".format(*ACCESS_KEY),
    "callers.toml": f'[[key]]\nname = "one"\nsha256 = "{"0" * 64}"\nprojects = ["*"]\n',
    "redis-url": "redis://gateway:password@redis:6379\n",
    "key-secret": "a secret for the checks only\n",
    "iam-password": "password\n",
}


def run(arguments, environment=None):
    """Runs the gateway to its end, with exactly this environment."""
    return subprocess.run(
        [BINARY, *arguments], env=environment or {}, capture_output=True, text=True, timeout=30
    )


def check(arguments, environment, upstream):
    """Runs `check` with settings, with the simulated upstream in place of the real one."""
    address = upstream["Upstream"]
    simulated = {"HUAWEICLOUD_SDK_PROJECT_ID": PROJECT, "HUAWEICLOUD_SDK_IAM_ENDPOINT": address}
    return run(["check", *arguments, f"--upstream-endpoint={address}"], environment | simulated)


def is_good(checked):
    """Whether a check found only one problem: the shared cache at a made-up address does not answer."""
    wrong = [line for line in checked.stderr.splitlines() if line.startswith("  wrong: ")]
    only_the_cache = len(wrong) == 1 and wrong[0].startswith("  wrong: the shared cache at ")
    return checked.returncode == 0 or (checked.returncode == 1 and only_the_cache)


@contextlib.contextmanager
def running(arguments, environment=None, wrapper=()):
    """Runs a command that serves; gives the addresses it prints, by the word before each, and the process."""
    process = subprocess.Popen(
        [*wrapper, BINARY, *arguments],
        env=environment or {},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        addresses = {"process": process}
        for line in process.stdout:
            word, _, address = line.strip().partition(" ")
            addresses[word] = address.strip()
            if word in ("Admin", "Faults"):
                break
        yield addresses
    finally:
        process.terminate()
        process.stdout.close()
        process.wait(timeout=30)


def simulator():
    """The simulated upstream, which accepts the access key above."""
    pair = ":".join(ACCESS_KEY)
    return running(
        ["simulate", "--listen=127.0.0.1:0", f"--access-key={pair}", "--iam-user=user:password:account"]
    )


def stop_seconds():
    """The longest time that the gateway takes to stop, from its source."""
    return seconds("src/http/server/mod.rs", "LONGEST_DRAIN") + seconds("src/app/mod.rs", "TASKS_END_WITHIN")


def seconds(file, name):
    source = (ROOT / file).read_text()
    return int(re.search(rf"const {name}: Duration = Duration::from_secs\((\d+)\)", source)[1])


def package_version():
    return re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]


def image_environment():
    """The settings of the image."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    return dict(re.findall(r"(GATEWAY_\w+)=(\S+)", dockerfile))
