"""The target's files, reached by physical paths relative to its root; folders are opened once."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Self

from workflow_agent.targets.entries import Entry, read_entry, read_xattrs
from workflow_agent.targets.linux import open_beneath

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from workflow_agent.targets.operations import Operation

__all__ = ["LiveTree", "staged_path", "transaction_folder"]

#: A rename needs two at once: the one that was used last is never closed for another.
_MAX_OPEN = 400


@lru_cache(maxsize=64)  # asked for with every path
def transaction_folder(point: bytes, transaction: str) -> bytes:
    """Place of a transaction's files on the file system mounted at `point`."""
    return point.rstrip(b"/") + b"/.workflow-agent/tx/" + transaction.encode()


def staged_path(operation: Operation, transaction: str) -> bytes:
    """Where the other side of an operation lies, absolute on the target."""
    return transaction_folder(operation.point, transaction) + b"/" + operation.staged


class LiveTree:
    """Opens folders below a root and keeps them open while it lives; not thread-safe."""

    def __init__(self, root_fd: int) -> None:
        self.root_fd = root_fd
        self._folders: dict[bytes, int] = {}
        self._seen: dict[bytes, Entry | None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.forget()

    def forget(self) -> None:
        """Close what is open, because folders may have moved."""
        for descriptor in self._folders.values():
            os.close(descriptor)
        self._folders.clear()

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Nothing is changed in here: what was read once is not read again."""
        self._seen = {}
        try:
            yield
        finally:
            self._seen = None

    def folder(self, path: bytes) -> int:
        """Open a folder, or give it when it is open.

        The descriptor stays ours. It is good until as many others were asked for as may be open: where there are too
        many, the one that was not used for the longest time is closed.
        """
        folders = self._folders
        descriptor = folders.get(path)
        if descriptor is None:
            if len(folders) >= _MAX_OPEN:
                os.close(folders.pop(next(iter(folders))))
            descriptor = folders[path] = open_beneath(self.root_fd, path.strip(b"/"), os.O_RDONLY | os.O_DIRECTORY)
        elif len(folders) > _MAX_OPEN // 2:  # before that the order does not matter: none is closed
            folders[path] = folders.pop(path)
        return descriptor

    def open_ahead(self, *paths: bytes) -> None:
        """Open folders that will be asked for, while there is room; one that cannot be opened says so when it is."""
        for path in paths:
            if len(self._folders) < _MAX_OPEN // 2:
                with suppress(OSError):
                    self.folder(path)

    def place(self, path: bytes) -> tuple[int, bytes]:
        """Give the open folder and the name of an entry; the root itself is ``.`` in itself."""
        parent, _, name = path.rpartition(b"/")
        descriptor = self._folders.get(parent) if len(self._folders) <= _MAX_OPEN // 2 else None
        return self.folder(parent) if descriptor is None else descriptor, name or b"."

    def read(self, path: bytes, expected: Entry | None = None) -> Entry | None:
        """Read the state of an entry; None when it or a folder above it is missing.

        Where nothing happened to what is `expected` there, that is given itself: then nobody needs to compare.
        """
        seen = self._seen
        if seen is None:
            return self._read(path, expected)
        if path not in seen:
            seen[path] = self._read(path, expected)
        return seen[path]

    def _read(self, path: bytes, expected: Entry | None) -> Entry | None:
        try:
            return read_entry(*self.place(path), expected)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def status(self, path: bytes) -> os.stat_result | None:
        """Read the status of an entry, without its handle; None as above."""
        try:
            folder_fd, name = self.place(path)
            return os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def xattrs(self, path: bytes) -> dict[str, bytes]:
        """Read the extended attributes of an entry."""
        folder_fd, name = self.place(path)
        return read_xattrs(f"/proc/self/fd/{folder_fd}/{os.fsdecode(name)}")

    def below(self, path: bytes) -> dict[bytes, Entry]:
        """Read everything below a folder by path relative to it; a missing folder is empty."""
        result: dict[bytes, Entry] = {}
        pending = [b""]
        while pending:
            relative = pending.pop()
            with suppress(FileNotFoundError, NotADirectoryError):
                descriptor = open_beneath(
                    self.root_fd, (path + b"/" + relative).strip(b"/"), os.O_RDONLY | os.O_DIRECTORY
                )
                try:
                    for text in os.listdir(descriptor):
                        name = os.fsencode(text)
                        entry = read_entry(descriptor, name)
                        if entry is None:
                            continue
                        inner = relative + b"/" + name if relative else name
                        result[inner] = entry
                        if entry.is_dir:
                            pending.append(inner)
                finally:
                    os.close(descriptor)
        return result
