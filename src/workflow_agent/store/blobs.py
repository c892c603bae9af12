"""Large values as files named by the SHA-256 of their content: written once, never changed.

A file appears under its name complete and on disk, or not at all: temporary file, fsync, rename, fsync of the
directory. All of it happens before the record that refers to the blob is enqueued, so a stored record never refers to
a blob that a crash can take away. A crash in between leaves a file that no record names, which harms nobody.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from workflow_agent.model.errors import StoreError
from workflow_agent.model.failpoint import failpoint
from workflow_agent.store.faults import translated

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BlobFolder"]


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
            if not (self.path / name).exists():
                self._write(self.path / name, content)
            failpoint("store.blob-renamed")
            # Also for a blob that was there: whoever wrote it may have died before this.
            _sync_folder(self.path)
        return name

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


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
