"""The token of the HTTP API: 256 random bits in a file of the state folder, readable for its owner only."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING, Final

from workflow_agent.model.errors import StoreError
from workflow_agent.security.kept_key import kept_key

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ApiToken"]

_FILE: Final = "api-token"
_BYTES: Final = 32
#: So that whoever finds one, in a log or a repository, knows what it opens.
_PREFIX: Final = "wfa_"
_SHAPE: Final = re.compile(rf"{_PREFIX}[0-9a-f]{{{2 * _BYTES}}}")


class ApiToken:
    """The token of one state folder. Of its text only the digest is kept in memory; it shows nowhere.

    Args:
        path: The file that holds it.
        text: Its text.
    """

    __slots__ = ("_digest", "path")

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self._digest = _digest(text)

    @classmethod
    def open(cls, folder: Path) -> ApiToken:
        """Read it; a folder without one gets a fresh one.

        Raises:
            StoreError: it cannot be made or read, is damaged, or others may read it.
        """
        path = folder / _FILE
        content = kept_key(
            path,
            _fresh,
            what="the token of the API",
            exposed="remove the file: a new token is made",
        )
        text = content.decode("ascii", "replace").strip()
        if not _SHAPE.fullmatch(text):
            hint = "remove the file: a new one is made"
            raise StoreError("the token of the API is damaged", where=str(path), hint=hint)
        return cls(path, text)

    def is_same(self, given: str) -> bool:
        """Compare, in the same time wherever two texts differ."""
        return hmac.compare_digest(self._digest, _digest(given))


def _fresh() -> bytes:
    return f"{_PREFIX}{secrets.token_hex(_BYTES)}\n".encode()


def _digest(text: str) -> bytes:
    # A digest of 256 random bits needs no slow hash: there is nothing to guess.
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
