"""What a Debian package says of itself, as far as a first draft of an integration needs it.

Asks apt on this machine, which downloads the package into a temporary folder; it is unpacked in memory and nothing of
it is run. Without apt, or for a package that apt does not know, there is nothing to tell.
"""

from __future__ import annotations

import io
import shlex
import subprocess
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["PackageLook", "UnitLook", "look_at", "read_unit"]

_TIMEOUT_S = 60.0
_UNIT_FOLDERS: Final = ("lib/systemd/system", "usr/lib/systemd/system")
_PROGRAM_FOLDERS: Final = ("usr/sbin", "usr/bin", "sbin", "bin")
_LARGEST_UNIT = 64 * 1024
#: Signs before a command line of a unit. Source: systemd.service(5), "COMMAND LINES".
_PREFIXES = "@-:+!|"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitLook:
    """A service that a package brings: its program, and how its unit starts it (words that are variables left out)."""

    name: str
    exe: str
    argv: tuple[str, ...]
    user: str = "root"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageLook:
    """A package's own words; `units` has those that can be started by themselves."""

    name: str
    description: str = ""
    homepage: str = ""
    units: tuple[UnitLook, ...] = ()


def look_at(package: str) -> PackageLook | None:
    """Ask apt about a package; None when it cannot be told, for whatever reason."""
    fields = _fields(_output(["apt-cache", "show", "--no-all-versions", "--", package]) or "")
    if not fields:
        return None
    units = _units(package)
    description = fields.get("Description-en") or fields.get("Description") or ""
    return PackageLook(
        name=package,
        description=description,
        homepage=fields.get("Homepage", ""),
        units=tuple(units),
    )


def read_unit(name: str, text: str, programs: Iterable[str] = ()) -> UnitLook | None:
    """Read a service from its unit; None when it starts nothing by itself.

    Args:
        name: Without the suffix.
        text: Of the unit.
        programs: Absolute paths of the package's programs; one named like the unit is what a wrapper starts.
    """
    section = ""
    found: dict[str, str] = {}
    for line in map(str.strip, text.replace("\\\n", " ").splitlines()):
        if line.startswith("["):
            section = line
        elif section == "[Service]" and "=" in line:
            key, _, value = line.partition("=")
            found.setdefault(key.strip(), value.strip())
    try:
        words = shlex.split(found.get("ExecStart", "").lstrip(_PREFIXES))
    except ValueError:
        return None
    if not words or not words[0].startswith("/") or found.get("Type") == "oneshot":
        return None
    argv = tuple(word for word in words if "$" not in word and "%" not in word)
    exe = _program(name, words[0], programs)
    return UnitLook(name=name, exe=exe, argv=argv, user=_user(found.get("User", "root")))


def _user(name: str) -> str:
    return name if name.replace("-", "").replace("_", "").isalnum() and name.islower() else "root"


def _program(name: str, started: str, programs: Iterable[str]) -> str:
    known = list(programs)
    if started in known:
        return started
    return next((path for path in known if PurePosixPath(path).name in {name, f"{name}d"}), started)


def _fields(text: str) -> Mapping[str, str]:
    pairs = (line.partition(": ") for line in text.splitlines() if line[:1].isalpha())
    return {key: value for key, _, value in pairs}


def _units(package: str) -> list[UnitLook]:
    with tempfile.TemporaryDirectory() as folder:
        if _output(["apt-get", "download", "-q", "--", package], folder=folder) is None:
            return []
        files = list(Path(folder).glob("*.deb"))
        content = _bytes(["dpkg-deb", "--fsys-tarfile", str(files[0])], folder) if files else None
    return _units_in(content) if content else []


def _units_in(content: bytes) -> list[UnitLook]:
    texts: dict[str, str] = {}
    programs: list[str] = []
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            path = PurePosixPath(member.name.removeprefix("./"))
            if str(path.parent) in _PROGRAM_FOLDERS and (member.isfile() or member.issym()):
                programs.append(f"/{path}")
            is_unit = str(path.parent) in _UNIT_FOLDERS and path.suffix == ".service" and "@" not in path.name
            if is_unit and member.isfile() and member.size <= _LARGEST_UNIT:
                file = archive.extractfile(member)
                texts[path.stem] = file.read().decode("utf-8", "replace") if file is not None else ""
    units = [read_unit(name, text, programs) for name, text in sorted(texts.items())]
    return [unit for unit in units if unit is not None]


def _output(argv: list[str], folder: str | None = None) -> str | None:
    found = _bytes(argv, folder)
    return None if found is None else found.decode("utf-8", "replace")


def _bytes(argv: list[str], folder: str | None = None) -> bytes | None:
    try:
        done = subprocess.run(
            argv, check=False, capture_output=True, stdin=subprocess.DEVNULL, cwd=folder, timeout=_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
