"""A random text or key that is made once and then read from its file, which nobody but its owner may read."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from workflow_agent.model.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["kept_key"]

_MOST_BYTES = 4096


def kept_key(path: Path, make: Callable[[], bytes], *, what: str, exposed: str) -> bytes:
    """Give what the file holds; one that is not there is made.

    Args:
        path: The file, in a folder that exists.
        make: Gives fresh content.
        what: What it is, for errors: "the key of the secrets' digests".
        exposed: What to do besides when others could read it.

    Raises:
        StoreError: it cannot be made or read, or others may read it.
    """
    try:
        if not path.exists():
            _write(path, make())
        return _read(path, what, exposed)
    except OSError as error:
        raise StoreError(f"{what} cannot be used", where=str(path), cause=error.strerror or str(error)) from error


def _write(path: Path, content: bytes) -> None:
    """Write it beside its place and link it there: of two processes that do so at once, one wins."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()


def _read(path: Path, what: str, exposed: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as stream:
        mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
        content = stream.read(_MOST_BYTES)
    if mode & 0o077:
        raise StoreError(
            f"others may read {what}",
            where=str(path),
            cause=f"its mode is {mode:04o}",
            hint=f"`chmod 600 {path}`, and {exposed}",
        )
    return content
