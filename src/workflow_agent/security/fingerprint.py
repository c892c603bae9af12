"""Are two values of a secret the same? A keyed digest tells, without the values.

The key is random and lies in the state folder, readable for its owner only. Who has the database without the key
cannot try guesses against a digest.
"""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from workflow_agent.model.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FingerprintKey"]

_FILE: Final = "secret-key"
_BYTES: Final = 32


class FingerprintKey:
    """The key of one state folder."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def open(cls, folder: Path) -> FingerprintKey:
        """Read the key of a state folder; the first time it is made.

        Raises:
            StoreError: it cannot be read or made, is damaged, or others may read it.
        """
        path = folder / _FILE
        try:
            if not path.exists():
                _make(path)
            return cls(_read(path))
        except OSError as error:
            raise StoreError(
                "the key of the secrets' digests cannot be used", where=str(path), cause=error.strerror or str(error)
            ) from error

    def digest(self, name: str, value: str) -> str:
        """Give 64 hexadecimal characters that only the same name and value have under this key."""
        return hmac.new(self._key, f"{name}\0{value}".encode(), "sha256").hexdigest()


def _make(path: Path) -> None:
    """Write a fresh key beside its place and link it there: of two processes that do so at once, one wins."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
        key = stream.read(_BYTES + 1)
    if mode & 0o077:
        raise StoreError(
            "others may read the key of the secrets' digests",
            where=str(path),
            cause=f"its mode is {mode:04o}",
            hint=f"`chmod 600 {path}`, and change secrets that are easy to guess",
        )
    if len(key) != _BYTES:
        raise StoreError(
            "the key of the secrets' digests is damaged",
            where=str(path),
            cause=f"it has not {_BYTES} bytes",
            hint="remove the file: a new key is made, and the next install takes every secret for a changed one",
        )
    return key
