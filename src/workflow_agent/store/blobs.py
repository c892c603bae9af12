"""Large values as files named by the SHA-256 of their content: written once, never changed.

A file appears under its name complete and on disk, or not at all: temporary file, fsync, rename, fsync of the
directory. All of it happens before the record that refers to the blob is enqueued, so a stored record never refers to
a blob that a crash can take away. A crash in between leaves a file that no record names; so does a snapshot that a
newer one replaces. These are collected: by the writer alone, which holds the file lock, when they are a day old.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from workflow_agent.model.errors import StoreError
from workflow_agent.model.failpoint import failpoint
from workflow_agent.store.faults import translated

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

__all__ = ["BLOBS", "BlobFolder"]

#: Name of the folder, beside the database.
BLOBS: Final = "blobs"
#: Seconds for which a file stays that no record names: its record may be on its way. As often they are looked for.
_GRACE_S: Final = 86_400.0
#: When they were looked for last.
_STAMP: Final = ".collected"


class BlobFolder:
    """The folder of blobs. Methods block on the disk: call them in a thread."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"BlobFolder({str(self.path)!r})"

    def put(self, content: bytes) -> str:
        """Store `content`; gives its name when it is on disk. Storing the same content again is no error.

        Raises:
            StoreError: it could not be written; nothing refers to it.
        """
        name = hashlib.sha256(content).hexdigest()
        with translated(self.path):
            self.path.mkdir(mode=0o700, exist_ok=True)
            with self._locked(fcntl.LOCK_SH) as folder:
                try:
                    os.utime(self.path / name)  # it is needed from now on
                except FileNotFoundError:
                    self._write(self.path / name, content)
                failpoint("store.blob-renamed")
                # Also for a blob that was there: whoever wrote it may have died before this.
                os.fsync(folder)
        return name

    def collect(self, named: Callable[[], Collection[str]], now: float | None = None) -> int:
        """Remove files of a day ago that no record names, once a day; gives how many there were.

        For the writer, which holds the file lock, so that no record is stored meanwhile.

        Args:
            named: Gives the names of all blobs that records have; asked only where there are old files.
            now: The time, UTC seconds.

        Raises:
            OSError: the folder cannot be read or changed.
        """
        now = time.time() if now is None else now
        stamp = self.path / _STAMP
        if not self.path.is_dir() or (stamp.exists() and now - stamp.stat().st_mtime < _GRACE_S):
            return 0
        old = self._older_than(now - _GRACE_S)
        known = named() if old else ()
        count = 0
        with self._locked(fcntl.LOCK_EX):
            # Looked at again: one that was stored anew since then has a new time.
            for name in self._older_than(now - _GRACE_S) & (old - {*known}):
                (self.path / name).unlink()
                count += 1
        stamp.touch(mode=0o600)
        os.utime(stamp, (now, now))
        return count

    def _older_than(self, time_: float) -> set[str]:
        with os.scandir(self.path) as entries:
            return {each.name for each in entries if each.name != _STAMP and each.stat().st_mtime < time_}

    @contextmanager
    def _locked(self, how: int) -> Iterator[int]:
        """Hold the folder: together with others that store, or alone; gives its descriptor."""
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, how)
            yield folder
        finally:
            os.close(folder)

    def _write(self, path: Path, content: bytes) -> None:
        temporary = self.path / f".new-{os.urandom(8).hex()}"
        # Not by the tempfile module, whose import alone takes longer than a query.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            failpoint("store.blob-written")
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def get(self, name: str) -> bytes:
        """Read a blob and check it against its name; raises StoreError when it is missing or damaged."""
        path = self.path / name
        try:
            content = path.read_bytes()
        except OSError as problem:
            raise StoreError(
                "a part of the history cannot be read",
                where=str(path),
                cause=str(problem),
                hint="put a copy of the file back",
            ) from problem
        if hashlib.sha256(content).hexdigest() != name:
            raise StoreError(
                "a part of the history is damaged",
                where=str(path),
                cause="its content does not have the hash that it is named by",
                hint="put a copy of the file back",
            )
        return content
