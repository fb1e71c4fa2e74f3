"""The gateway's image, and its base images: from a registry, or made from Debian's packages."""

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from engine import ROOT, WORK

GATEWAY = "screen-record-gateway:test"
# The image is built in the quick profile here: what the tests check does not depend on optimisation.
PROFILE = "dev"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


@dataclass
class StandIn:
    """How an image is made that cannot be pulled."""

    packages: str
    # What is unlike the image of the registry.
    unlike: str
    suite: str = "bookworm"
    # mmdebstrap's `extract` unpacks packages and their libraries only: no shell, no package manager.
    variant: str = "extract"
    # Shell commands; `$1` is the root of the image.
    script: str = ":"
    # Instructions of a Dockerfile.
    instructions: tuple = ()


def rust_mounts():
    """What the stand-in for Rust's image gets from this machine while it builds."""
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], cwd=ROOT, capture_output=True, text=True, check=True)
    mounts = [(sysroot.stdout.strip(), "/usr/local/rust"), (CERTIFICATES, CERTIFICATES)]
    settings = Path.home() / ".cargo/config.toml"
    if settings.exists():
        mounts.append((settings, "/usr/local/cargo/config.toml"))
    return [f"--volume={source}:{target}:ro" for source, target in mounts]


def copied(file, to=None):
    to = to or file
    return f'mkdir -p "$1{Path(to).parent}" && cp -L {file} "$1{to}"'


def stand_ins():
    """By name without the tag, which is the one of the Dockerfile or the compose file."""
    return {
        "rust": StandIn(
            packages="gcc,libc6-dev",
            variant="apt",
            instructions=("ENV PATH=/usr/local/rust/bin:/usr/sbin:/usr/bin:/sbin:/bin", "ENV CARGO_HOME=/usr/local/cargo"),
            unlike="a bare Debian with gcc and this machine's Rust toolchain",
        ),
        "debian": StandIn(packages="", variant="apt", unlike="mmdebstrap's variant apt"),
        "gcr.io/distroless/cc-debian12": StandIn(
            packages="libc6,libgcc-s1,tzdata",
            script=f"""{copied(CERTIFICATES)}
                echo 'nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin' >"$1/etc/passwd"
                mkdir -p "$1/tmp" && chmod 1777 "$1/tmp" """,
            instructions=("USER 65532", "ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin"),
            unlike="the same libraries from Debian, with this machine's certificates",
        ),
        "valkey/valkey": StandIn(
            packages="valkey-server",
            suite="trixie",
            instructions=("ENV PATH=/usr/bin",),
            unlike="Debian 13's Valkey on glibc in place of the release's on musl",
        ),
        "prom/prometheus": StandIn(
            packages="libc6",
            script=f'{copied("/usr/bin/prometheus", "/bin/prometheus")}; mkdir -p "$1/prometheus"; chown 65534 "$1/prometheus"',
            instructions=('ENTRYPOINT ["/bin/prometheus"]', "USER 65534"),
            unlike="Debian 12's Prometheus 2.42, without its pages",
        ),
    }


def images_in(file, pattern):
    return re.findall(pattern, (ROOT / file).read_text(), re.MULTILINE)


def wanted():
    """Every image that a registry would have to give."""
    bases = images_in("Dockerfile", r"^FROM (\S+)")
    services = r"^ +image: (\S+/\S+:\S+)"
    composed = images_in("docker-compose.yml", services) + images_in("deploy/compose/docker-compose.yml", services)
    return [*bases, *composed]


def full_name(image):
    """The name that an engine gives to an image without a registry."""
    first, slash, _ = image.partition("/")
    if not slash:
        return f"docker.io/library/{image}"
    return image if "." in first else f"docker.io/{image}"


def provide(engine):
    """Pulls the images, or makes them; returns those that neither gives."""
    if engine.is_docker:
        # Docker pulls what it needs, and the user's images keep their names.
        return []
    missing = [image for image in wanted() if not engine.has(full_name(image))]
    with ThreadPoolExecutor() as pool:
        pool.map(lambda image: provide_one(engine, image), missing)
    absent = []
    for image in wanted():
        if not engine.has(full_name(image)):
            absent.append(image)
        elif "unlike" in (labels := engine.inspect(full_name(image), "json .Config.Labels")):
            print(f"{image} is a stand-in: {json.loads(labels)['unlike']}")
    return absent


def provide_one(engine, image):
    name = image.rpartition(":")[0]
    if not engine.pull(full_name(image)) and name in (made := stand_ins()):
        make(engine, image, made[name])


def make(engine, image, made):
    archive = WORK / f"{re.sub('[^a-z0-9]', '-', image)}.tar"
    command = ["mmdebstrap", "--quiet", f"--variant={made.variant}", "--skip=check/empty"]
    if made.packages:
        command.append(f"--include={made.packages}")
    if made.variant == "extract":
        command.append('--setup-hook=cd "$1" && mkdir -p usr/bin usr/sbin usr/lib usr/lib64 && ln -s usr/* .')
    # The hook that runs for each variant, once the packages are unpacked.
    command.append(f"--extract-hook=set -eu\n{made.script}")
    engine.finish([*command, made.suite, str(archive)], timeout=900)
    instructions = [*made.instructions, f'LABEL unlike="{made.unlike}"']
    changes = [part for instruction in instructions for part in ("--change", instruction)]
    engine.run("import", *changes, archive, full_name(image), timeout=600)
    archive.unlink()


def build(engine):
    """Builds the gateway's image from the Dockerfile; only a change of dependencies takes minutes."""
    arguments = ["build", "--quiet", "--build-arg", f"PROFILE={PROFILE}"]
    if not engine.is_docker:
        arguments += rust_mounts()
    # Tagged, so that the layers of the dependencies outlive the pruning below.
    engine.run(*arguments, "--target", "build", "--tag", f"{GATEWAY}-build", ".", timeout=3600)
    engine.run(*arguments, "--tag", GATEWAY, ".", timeout=3600)
    if not engine.is_docker:
        engine.run("image", "prune", "--force")
