"""Results that need not be computed again, as files named by what they follow from.

Nothing depends on them: what is missing, broken, of another release, or could have been written by somebody else is
as good as nothing, and a folder that cannot be written stays as it is. Never a pickle: JSON, with its own SHA-256
before it. There are at most a few hundred; the oldest go first.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

from workflow_agent._version import __version__

__all__ = ["RememberedResults", "this_release"]

_MAX_BYTES: Final = 4 << 20
_MOST: Final = 400
_WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH
_ROOT: Final = 0


@cache
def this_release() -> str:
    """Tell our version and code apart from any other, as Python does for compiled modules: by sizes and times."""
    package = Path(__file__).resolve().parents[1]
    parts = [__version__]
    for folder in sorted(entry.path for entry in os.scandir(package) if entry.is_dir()):
        files = sorted((entry.name, entry) for entry in os.scandir(folder) if entry.name.endswith(".py"))
        parts += [f"{name} {(found := entry.stat()).st_size} {found.st_mtime_ns}" for name, entry in files]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class RememberedResults:
    """Port ``Memory`` on a folder. Blocks for the time of one small file.

    Args:
        folder: Made when something is to be kept, if the folder that it is in is there.
        release: Results of another one are not seen; this one's when omitted.
    """

    def __init__(self, folder: Path, release: str | None = None) -> None:
        self._folder = folder
        self._release = release

    def __repr__(self) -> str:
        return f"RememberedResults({str(self._folder)!r})"

    def recall(self, key: str) -> Any:  # Any: a JSON value
        """Give what was kept for a key; None where there is nothing of use."""
        try:
            return self._content(self._path(key))
        except (OSError, ValueError):
            return None

    def keep(self, key: str, value: Any) -> None:  # Any: a JSON value
        """Keep a result, where that can be done."""
        body = json.dumps(value, separators=(",", ":")).encode()
        temporary = self._folder / f".new-{os.urandom(8).hex()}"
        with suppress(OSError):
            if not self._folder.is_dir():
                self._folder.mkdir(mode=0o700)
            self._drop_oldest()
            try:
                descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
                temporary.replace(self._path(key))
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise

    def _path(self, key: str) -> Path:
        release = self._release or this_release()
        return self._folder / hashlib.sha256(f"{release} {key}".encode()).hexdigest()

    def _content(self, path: Path) -> Any:
        _refuse_foreign(self._folder.lstat())
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(file.fileno())
            _refuse_foreign(found)
            if not stat.S_ISREG(found.st_mode) or found.st_size > _MAX_BYTES:
                raise ValueError("no file of ours")
            digest, _, body = file.read(_MAX_BYTES).partition(b"\n")
        if hashlib.sha256(body).hexdigest().encode() != digest:
            raise ValueError("its content was changed")
        return json.loads(body)

    def _drop_oldest(self) -> None:
        entries = list(os.scandir(self._folder))
        if len(entries) < _MOST:
            return
        for entry in sorted(entries, key=lambda entry: entry.stat(follow_symlinks=False).st_mtime_ns)[: _MOST // 2]:
            Path(entry.path).unlink(missing_ok=True)


def _refuse_foreign(found: os.stat_result) -> None:
    if found.st_uid not in {_ROOT, os.geteuid()} or found.st_mode & _WRITABLE_BY_OTHERS:
        raise ValueError("somebody else can write it")
