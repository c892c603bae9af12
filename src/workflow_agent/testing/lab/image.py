"""Disk images of lab hosts: built once with debootstrap, kept in the user's cache, copied for every host.

An image holds a minimal Debian and a package repository of its own, so that a host without any network can install the
packages named when the image was built. What belongs here: the machine's own package sources, the build, the cache.
What does not: starting a host (``host``).
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import itertools
import os
import platform
import re
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_agent.model.errors import UnreachableError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "CATALOGUE_PACKAGES",
    "DEFAULT_PACKAGES",
    "DISK_BYTES",
    "DISK_NAME",
    "SUITE",
    "LabKind",
    "base_image",
    "cache_folder",
    "copy_disk",
]

SUITE = "bookworm"
DISK_BYTES = 3 * 1024**3
DISK_NAME = "lab-disk-"
DEFAULT_PACKAGES = ("nginx", "prometheus-node-exporter")
#: What every integration of the catalogue installs; a larger image, for tests and measurements of all of them.
CATALOGUE_PACKAGES = (
    *DEFAULT_PACKAGES,
    "redis-server",
    "prometheus-redis-exporter",
    "postgresql",
    "prometheus-postgres-exporter",
)

_BUILD = Path(__file__).with_name("build.sh")
_FALLBACK_MIRROR = "http://deb.debian.org/debian"
_APT_SETTINGS = re.compile(r"Acquire::(https?::|Check-|Retries|ForceIPv)", re.IGNORECASE)
_PACKAGE_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
# From linux/fs.h
_FICLONE = 0x40049409
_numbers = itertools.count(1)
_LOG_LINES = 15
_PLENTY_BYTES = 2 * 1024**3


class LabKind(StrEnum):
    """What a lab host runs as its first process."""

    PLAIN = "plain"
    SYSTEMD = "systemd"


def cache_folder() -> Path:
    """Give the folder of the images, made when missing: ``$XDG_CACHE_HOME/workflow-agent/lab``."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(base, "workflow-agent", "lab")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def base_image(kind: LabKind | str, *, packages: tuple[str, ...] = DEFAULT_PACKAGES) -> Path:
    """Give the image of a kind of host; build it on the first call (about a minute, needs the package archive).

    Args:
        kind: What the host runs as its first process.
        packages: What can be installed on the host without a network, besides their dependencies.

    Returns:
        A sparse file with an ext4 file system of ``DISK_BYTES``. Never write to it: copy it with :func:`copy_disk`.

    Raises:
        ValidationError: A name that no package can have.
        UnreachableError: The build failed; the error carries the last lines of its log.
    """
    kind = LabKind(kind)
    for name in packages:
        if not _PACKAGE_NAME.fullmatch(name):
            message = f"{name!r} is not a package name"
            raise ValidationError(message)
    wanted = " ".join(sorted(packages))
    image = _image_path(kind, wanted)
    if image.exists():
        return image
    with _locked(image.with_suffix(".lock")):
        if not image.exists():
            _build(image, _bootstrap(), phase="kind", kind=kind, packages=wanted)
    return image


def copy_disk(image: Path, *, size: int = DISK_BYTES, in_memory: bool | None = None) -> int:
    """Copy an image into a new file without a name; it vanishes with the last descriptor.

    Args:
        image: What :func:`base_image` gave.
        size: Bytes of the new disk; another size than the image's costs a resize.
        in_memory: Keep the disk in memory (writing and dropping 200 MB costs a real disk seconds) or beside the
            image, for measurements that have to pay for every flush; None takes memory when there is plenty.

    Returns:
        An open descriptor, readable and writable, not inheritable.
    """
    if in_memory is None:
        in_memory = _free_memory() >= _PLENTY_BYTES
    if in_memory:
        number = os.memfd_create(f"{DISK_NAME}{os.getpid()}-{next(_numbers)}")
    else:
        number, name = tempfile.mkstemp(prefix=DISK_NAME, dir=image.parent)
        Path(name).unlink()
    try:
        with image.open("rb") as source:
            _copy_sparse(source.fileno(), number)
        if size != DISK_BYTES:
            _resize(number, size)
    except BaseException:
        os.close(number)
        raise
    return number


def _free_memory() -> int:
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))


def _copy_sparse(source: int, target: int) -> None:
    """Share the blocks where the file system can, else copy only the parts that hold data."""
    size = os.fstat(source).st_size
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        os.ftruncate(target, size)
        position = 0
        while (found := _next_data(source, position)) is not None:
            position = os.lseek(source, found, os.SEEK_HOLE)
            os.lseek(target, found, os.SEEK_SET)
            while found < position:
                found += os.sendfile(target, source, found, position - found)


def _next_data(source: int, position: int) -> int | None:
    try:
        return os.lseek(source, position, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing but a hole until the end
            return None
        raise


def _resize(number: int, size: int) -> None:
    path = f"/proc/{os.getpid()}/fd/{number}"
    if size > DISK_BYTES:
        os.ftruncate(number, size)
    _command("e2fsck", "-f", "-y", path, accepted=(0, 1))
    _command("resize2fs", path, f"{size // 1024}K")
    os.ftruncate(number, size)


def _image_path(name: str, packages: str) -> Path:
    """Name an image after everything that decides what is in it."""
    recipe = "\0".join((_BUILD.read_text(encoding="utf-8"), name, packages, SUITE, str(DISK_BYTES)))
    digest = hashlib.sha256(recipe.encode()).hexdigest()[:16]
    return cache_folder() / f"{name}-{platform.machine()}-{digest}.ext4"


def _bootstrap() -> Path:
    """Give the image of the minimal system that all kinds start from."""
    image = _image_path("bootstrap", "")
    with _locked(image.with_suffix(".lock")):  # other kinds are built meanwhile
        if not image.exists():
            _build(image, None, phase="bootstrap", kind=LabKind.PLAIN, packages="")
    return image


def _build(image: Path, start: Path | None, *, phase: str, kind: LabKind, packages: str) -> None:
    partial = image.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    if start is None:
        with partial.open("wb") as file:
            file.truncate(DISK_BYTES)
        _command("mkfs.ext4", "-q", "-F", "-L", "lab", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(partial))
    else:
        with start.open("rb") as source, partial.open("xb") as target:
            _copy_sparse(source.fileno(), target.fileno())
    sources = _debian_sources()
    # a folder for temporary files of this machine is not there in the new tree
    environment = {name: value for name, value in os.environ.items() if name != "TMPDIR"} | {
        "LAB_IMAGE": str(partial),
        "LAB_PHASE": phase,
        "LAB_KIND": kind,
        "LAB_SUITE": SUITE,
        "LAB_MIRROR": next(line.split()[1] for line in sources if line.split()[2] == SUITE),
        "LAB_SOURCES": "\n".join(sources),
        "LAB_APT_CONF": _apt_settings(),
        "LAB_PACKAGES": packages,
    }
    unshare = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private")
    _command(*unshare, "bash", str(_BUILD), environment=environment)
    with suppress(UnreachableError):  # only saves space: zeroed blocks become holes
        _command("fallocate", "--dig-holes", str(partial))
    partial.replace(image)


def _debian_sources() -> list[str]:
    """Read from apt which sources of this machine are Debian's own archive, as lines of a sources.list."""
    sources = _known_sources()
    if not any(line.split()[2] == SUITE for line in sources):
        _command(
            "apt-get", "update", "-q", accepted=(0, 100)
        )  # a fresh machine has no lists yet; foreign sources may fail
        sources = _known_sources()
    if not any(line.split()[2] == SUITE for line in sources):
        return [f"deb {_FALLBACK_MIRROR} {SUITE} main"]
    return sources


def _known_sources() -> list[str]:
    listing = "deb $(REPO_URI) $(RELEASE) $(COMPONENT)"
    told = _command("apt-get", "indextargets", "--format", listing, "Created-By: Packages", "Origin: Debian")
    return sorted({line for line in told.splitlines() if line.split()[2].startswith(SUITE)})


def _apt_settings() -> str:
    """Read how apt reaches the archive on this machine (proxies, retries), as lines of an apt.conf."""
    told = _command("apt-config", "dump", "Acquire").splitlines()
    return "\n".join(line for line in told if _APT_SETTINGS.match(line))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one builder in at a time; the others wait and find the image made."""
    with path.open("w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _command(*arguments: str, environment: dict[str, str] | None = None, accepted: tuple[int, ...] = (0,)) -> str:
    try:
        done = subprocess.run(arguments, check=False, capture_output=True, stdin=subprocess.DEVNULL, env=environment)
    except OSError as error:
        message = f"{arguments[0]} could not be started"
        hint = "workflow_agent.testing.lab setup installs what is missing"
        raise UnreachableError(message, cause=str(error), hint=hint) from error
    if done.returncode not in accepted:
        log = (done.stdout + done.stderr).decode(errors="replace").splitlines()
        message = f"{arguments[0]} ended with status {done.returncode}"
        raise UnreachableError(message, where=" ".join(arguments), cause="\n".join(log[-_LOG_LINES:]))
    return done.stdout.decode(errors="replace")
