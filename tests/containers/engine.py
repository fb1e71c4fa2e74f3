"""The container engine of the tests: Docker if it runs, else podman with storage of its own."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# podman's images and layers stay here, so that the next run is short.
WORK = Path(os.environ["CARGO_TARGET_DIR"]) / "containers"
# State of what runs, for this storage only. Its path must be short, because it holds sockets.
RUN = Path("/run") / f"screen-record-gateway-{hashlib.sha256(bytes(WORK)).hexdigest()[:8]}"

# podman's defaults need systemd, for cgroups, events and the timers of health checks (`is_healthy` runs
# the checks instead), and the right to raise limits, which a sandbox may refuse.
PODMAN_SETTINGS = f"""
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
env = ["DISABLE_HC_SYSTEMD=true"]
events_logger = "file"
lock_type = "file"
runtime = "runc"
tmp_dir = "{RUN}/tmp"
[network]
network_backend = "netavark"
network_config_dir = "{WORK}/networks"
"""
DRIVER = "overlay" if "\toverlay\n" in Path("/proc/filesystems").read_text() else "vfs"
PODMAN_STORAGE = f"""
[storage]
driver = "{DRIVER}"
graphroot = "{WORK}/storage"
runroot = "{RUN}/storage"
"""


class Engine:
    """Runs commands of the engine and of compose."""

    def __init__(self):
        self.environment = dict(os.environ)
        self.is_docker = succeeds(["docker", "info"])
        if self.is_docker:
            self.program, self.compose_program = ["docker"], ["docker", "compose"]
            return
        if os.geteuid() != 0:
            raise AssertionError("no Docker engine answers, and podman needs root here: run ./test as root")
        self.program = ["podman"]
        self.compose_program = [str(Path(sys.executable).parent / "podman-compose"), "--in-pod=false"]
        self.set_podman_up()

    def set_podman_up(self):
        WORK.mkdir(parents=True, exist_ok=True)
        # Two runs in one storage would remove each other's containers. Held until the process ends.
        self.lock = open(WORK / "lock", "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        settings, storage = WORK / "containers.conf", WORK / "storage.conf"
        settings.write_text(PODMAN_SETTINGS)
        storage.write_text(PODMAN_STORAGE)
        self.environment |= {
            "CONTAINERS_CONF": str(settings),
            "CONTAINERS_STORAGE_CONF": str(storage),
            # The only image format that has health checks.
            "BUILDAH_FORMAT": "docker",
        }
        # What an interrupted run has left.
        self.remove(self.run("ps", "--all", "--quiet").split())

    def remove(self, containers):
        """Removes containers from podman's storage, and the volumes and networks that none uses then."""
        for container in containers:
            # Others that depend on it go with it.
            self.run("rm", "--force", "--ignore", "--depend", "--time=1", "--volumes", container)
        self.run("volume", "prune", "--force")
        self.run("network", "prune", "--force")

    def run(self, *arguments, **options):
        """The output of a command, which must succeed."""
        return self.finish([*self.program, *map(str, arguments)], **options)

    def finish(self, command, timeout=120, **options):
        ended = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=timeout, **options
        )
        if ended.returncode != 0:
            raise AssertionError(f"{' '.join(command)}: exit code {ended.returncode}\n{ended.stdout}{ended.stderr}")
        return ended.stdout.strip()

    def has(self, image):
        return succeeds([*self.program, "image", "inspect", image], self.environment)

    def pull(self, image):
        """Whether a registry gives the image."""
        return succeeds([*self.program, "pull", "--quiet", image], self.environment)

    def inspect(self, name, template):
        return self.run("inspect", "--format", "{{" + template + "}}", name)

    def is_healthy(self, container):
        if not self.is_docker:
            subprocess.run([*self.program, "healthcheck", "run", container], env=self.environment, capture_output=True)
        return self.inspect(container, ".State.Health.Status") == "healthy"

    def address(self, container, port):
        """Where a port of a container is published."""
        return self.run("port", container, f"{port}/tcp").splitlines()[0]


class Project:
    """The services of compose files, under a name of their own."""

    def __init__(self, engine, name, *arguments):
        self.engine, self.name = engine, name
        self.command = [*engine.compose_program, f"--project-name={name}", *arguments]

    def up(self, *arguments):
        self.engine.finish([*self.command, "up", "--detach", "--no-build", *arguments], timeout=300)

    def down(self):
        if self.engine.is_docker:
            self.engine.finish([*self.command, "down", "--volumes", "--timeout=1"])
        else:
            # podman-compose forgets the second container of a service.
            self.engine.remove(self.labelled(project=self.name))

    def containers(self, service):
        """The containers of a service, by name."""
        return self.labelled(project=self.name, service=service)

    def labelled(self, **labels):
        filters = [f"--filter=label=com.docker.compose.{label}={value}" for label, value in labels.items()]
        return sorted(self.engine.run("ps", "--all", *filters, "--format={{.Names}}").split())

    def until_healthy(self, *services):
        for container in [name for service in services for name in self.containers(service)]:
            until(f"{container} is healthy", lambda: self.engine.is_healthy(container))


def succeeds(command, environment=None):
    if not shutil.which(command[0]):
        return False
    return subprocess.run(command, env=environment, capture_output=True).returncode == 0


def until(what, holds, seconds=60):
    """Waits until a check is true; returns its result."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if answer := holds():
                return answer
        except OSError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"{what}: not within {seconds} s")
