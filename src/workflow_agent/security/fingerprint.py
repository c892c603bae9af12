"""Are two values of a secret the same? A keyed digest tells, without the values.

The key is random and lies in the state folder, readable for its owner only. Who has the database without the key
cannot try guesses against a digest.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING, Final

from workflow_agent.model.errors import StoreError
from workflow_agent.security.kept_key import kept_key

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
        key = kept_key(
            path,
            lambda: secrets.token_bytes(_BYTES),
            what="the key of the secrets' digests",
            exposed="change secrets that are easy to guess",
        )
        if len(key) != _BYTES:
            raise StoreError(
                "the key of the secrets' digests is damaged",
                where=str(path),
                cause=f"it has not {_BYTES} bytes",
                hint="remove the file: a new key is made, and the next install takes every secret for a changed one",
            )
        return cls(key)

    def digest(self, name: str, value: str) -> str:
        """Give 64 hexadecimal characters that only the same name and value have under this key."""
        return hmac.new(self._key, f"{name}\0{value}".encode(), "sha256").hexdigest()
