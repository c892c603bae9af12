"""A Docker engine for lab containers: Debian's package, started where none answers, and images from the lab's disks.

No registry is asked: an image is the tree of the disk that a lab host of the same kind starts from (``image``).
What belongs here: the engine and its images. What does not: containers (``container``).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_agent.model.errors import PermissionDeniedError, UnreachableError
from workflow_agent.testing.lab.image import DEFAULT_PACKAGES, LabKind, base_image, cache_folder
from workflow_agent.testing.lab.setup import install_packages

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["container_image", "docker", "engine_obstacle", "ensure_engine", "install_engine"]

_PACKAGES = ("docker.io", "iptables")
_LOG = Path("/var/log/workflow-agent-lab-dockerd.log")
_START_TIMEOUT_S = 60.0
_POLL_S = 0.05
_LOG_LINES = 15
_TAG_LENGTH = 128
#: In a mount namespace of its own: whatever happens, nothing stays mounted.
_ALONE = ("unshare", "--mount", "--propagation", "private")


def docker(*arguments: str, check: bool = True, timeout_s: float = 120.0) -> str:
    """Run the docker command on the local engine; gives what it wrote.

    Raises:
        UnreachableError: It failed and `check` is true.
    """
    try:
        done = subprocess.run(
            ["docker", *arguments],
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env={key: value for key, value in os.environ.items() if not key.startswith("DOCKER_")},
            timeout=timeout_s,
        )
    except OSError as error:
        raise UnreachableError("docker could not be started", cause=str(error)) from error
    if check and done.returncode != 0:
        raise UnreachableError(f"docker {arguments[0]} failed", cause=(done.stdout + done.stderr).strip()[-2000:])
    return done.stdout


def _answers() -> bool:
    if shutil.which("docker") is None:
        return False
    return bool(docker("version", "--format", "{{.Server.Version}}", check=False).strip())


def install_engine() -> list[str]:
    """Install Debian's engine where it is missing; gives the packages that were installed.

    Raises:
        PermissionDeniedError: It is missing and this is not root.
        UnreachableError: apt failed.
    """
    if _answers() or (shutil.which("dockerd") and shutil.which("docker") and shutil.which("iptables")):
        return []
    if os.geteuid() != 0:
        raise PermissionDeniedError("installing docker.io needs root", hint=f"apt-get install {' '.join(_PACKAGES)}")
    install_packages(_PACKAGES)
    return list(_PACKAGES)


def ensure_engine() -> None:
    """Start the engine when none answers; it stays when we end, for the next tests. Never a second one.

    Raises:
        UnreachableError: It does not come up; the error carries the last lines of its log.
    """
    if _answers():
        return
    with _one_at_a_time("engine.lock"):
        if _answers():
            return
        with _LOG.open("ab") as log:
            engine = subprocess.Popen(
                ["dockerd"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
            )
        end = time.monotonic() + _START_TIMEOUT_S
        while not _answers():
            if engine.poll() is not None or time.monotonic() > end:
                lines = _LOG.read_text(encoding="utf-8", errors="replace").splitlines()
                raise UnreachableError("the Docker engine did not start", cause="\n".join(lines[-_LOG_LINES:]))
            time.sleep(_POLL_S)
        engine.returncode = 0  # it outlives us on purpose: no warning that it still runs


def engine_obstacle() -> str | None:
    """Say in one sentence why no lab container can run here; starts the engine when it is installed."""
    if os.geteuid() != 0:
        return "a lab container needs root (its image is made from a disk)"
    if shutil.which("docker") is None or (shutil.which("dockerd") is None and not _answers()):
        return "docker is missing: python -m workflow_agent.testing.lab setup installs it"
    try:
        ensure_engine()
    except UnreachableError as error:
        return f"{error.message}: {error.cause}"
    return None


def container_image(kind: LabKind | str, *, packages: tuple[str, ...] = DEFAULT_PACKAGES) -> str:
    """Give the name of the image for a kind of container; it is made from the lab's disk on the first call.

    Raises:
        UnreachableError: The disk or the image cannot be made.
    """
    disk = base_image(kind, packages=packages)
    name = f"workflow-agent-lab:{disk.stem[:_TAG_LENGTH]}"
    if docker("image", "ls", "--quiet", name).strip():
        return name
    with _one_at_a_time("import.lock"):
        if not docker("image", "ls", "--quiet", name).strip():
            _import(disk, name)
    return name


def _import(disk: Path, name: str) -> None:
    with tempfile.TemporaryDirectory(prefix="workflow-agent-lab-") as folder:
        pipeline = 'mount -o loop,ro,noload "$0" "$1" && tar -C "$1" --one-file-system -c . | docker import - "$2"'
        done = subprocess.run(
            [*_ALONE, "bash", "-o", "pipefail", "-c", pipeline, str(disk), folder, name],
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
    if done.returncode != 0:
        raise UnreachableError("a lab image could not be imported", where=name, cause=done.stderr.strip()[-2000:])


@contextmanager
def _one_at_a_time(name: str) -> Iterator[None]:
    with (cache_folder() / name).open("w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
