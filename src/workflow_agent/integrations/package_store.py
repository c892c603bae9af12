"""Packages that were brought in: which sources are trusted, what was unpacked, and a lock file that pins it.

Below the state folder: ``packages/NAME`` (the files), ``packages.lock.json`` (version, digest, source of each) and
``package-sources.json`` (sources to which somebody said yes). A folder that is not what the lock says is refused.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.integrations.package_file import Package, pack_folder
from workflow_agent.model.errors import ConflictError, NotFoundError, ValidationError, WorkflowAgentError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PackageStore"]

_LOCK: Final = "packages.lock.json"
_SOURCES: Final = "package-sources.json"


class PackageStore:
    """The packages of a state folder.

    Args:
        state: The state folder; made when something is written.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        self.folder = state / "packages"

    def trusts(self, source: str) -> bool:
        """Say whether somebody said yes to a source."""
        return source in self._read(_SOURCES)

    def trust(self, source: str, *, name: str) -> None:
        """Record that somebody said yes to a source, because of which integration, and when."""
        known = self._read(_SOURCES)
        known.setdefault(source, {"first": name, "at": int(time.time())})
        self._write(_SOURCES, known)

    def listed(self) -> dict[str, Any]:
        """Give the lock: by name, version, digest and source."""
        return self._read(_LOCK)

    def add(self, package: Package, *, source: str) -> Path:
        """Unpack a package and pin it; gives its folder. Another one of its name is replaced.

        Raises:
            ManifestError: its manifest is not valid; nothing was changed.
            ValidationError: the manifest says another name or version than the package.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        work = Path(tempfile.mkdtemp(prefix=".new-", dir=self.folder))
        try:
            made = work / package.name
            for path, content in package.files.items():
                _write_new(made, path, content)
            again = pack_folder(made)  # reads the manifest: of nothing but files that were checked
            if again.signed != package.signed:
                raise ValidationError(
                    f"the manifest says `{again.name}` {again.version}, the package `{package.name}` {package.version}",
                    state="nothing was brought in",
                )
            self._put(made, work, package, source)
        except WorkflowAgentError as error:
            error.state = error.state or "nothing was brought in"
            raise
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return self.folder / package.name

    def _put(self, made: Path, work: Path, package: Package, source: str) -> None:
        place = self.folder / package.name
        lock = self.listed()
        lock[package.name] = {"version": package.version, "digest": package.digest, "source": source}
        if place.exists():
            place.rename(work / "before")
        # between the two a lock that says something else refuses the folder: never is an unpinned one used
        self._write(_LOCK, lock)
        made.rename(place)

    def check(self, name: str) -> None:
        """Look whether an integration is what was brought in; nothing for one that was not.

        Raises:
            ConflictError: its files were changed since, or it is not in the lock.
        """
        if not (self.folder / name).is_dir():
            return
        try:
            found = pack_folder(self.folder / name).digest
        except (ValidationError, NotFoundError) as error:
            found, why = "", error.message
        else:
            why = "its files are not those that the lock names"
        if found != self.listed().get(name, {}).get("digest"):
            raise ConflictError(
                f"`{name}` was changed after it was brought in",
                where=str(self.folder / name),
                cause=why,
                state="nothing was begun",
                hint="bring it in again with `workflow-agent integrations add`",
            )

    def _read(self, name: str) -> dict[str, Any]:
        file = self._state / name
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise ConflictError(f"`{file.name}` cannot be read", where=str(file), cause=str(error)[:200]) from error
        if not isinstance(found, dict):
            raise ConflictError(f"`{file.name}` is not what we wrote", where=str(file))
        return found

    def _write(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a file whole or not at all."""
        self._state.mkdir(parents=True, exist_ok=True)
        number, work = tempfile.mkstemp(prefix=f".{name}-", dir=self._state)
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(json.dumps(value, indent=2, sort_keys=True) + "\n")
            file.flush()
            os.fsync(file.fileno())
        Path(work).replace(self._state / name)


def _write_new(folder: Path, path: str, content: bytes) -> None:
    """Write a file that is not there: an exclusive create, which follows no link."""
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(number, "wb") as stream:
        stream.write(content)
