"""Which files of an integration's folder take part in what it does, and what they hold."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["MANIFEST_FILE", "file_hashes", "folder_hash"]

#: The file that makes a folder an integration.
MANIFEST_FILE: Final = "integration.yaml"
#: What changes nothing about what an integration does, and so nothing about its hash.
_BESIDES: Final = frozenset({MANIFEST_FILE, "README.md", "CHANGELOG.md", "LICENSE", "tests", "__pycache__"})


def file_hashes(folder: Path) -> dict[str, str]:
    """Hash the files that take part, but for the manifest: SHA-256 (hex) by path below the folder."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for entry in sorted(folder.iterdir())
        if entry.name not in _BESIDES
        for file in (_files(entry) if entry.is_dir() and not entry.is_symlink() else (entry,))
        if file.is_file()
    }


def folder_hash(folder: Path) -> str:
    """Hash everything that takes part, byte by byte, and where it lies; raises OSError."""
    hashes = file_hashes(folder) | {MANIFEST_FILE: hashlib.sha256((folder / MANIFEST_FILE).read_bytes()).hexdigest()}
    lines = [f"{value} {name!r}" for name, value in sorted(hashes.items())]
    return hashlib.sha256("\n".join([repr(str(folder)), *lines]).encode("utf-8", "surrogateescape")).hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and not entry.is_symlink():
            yield from _files(entry)
        elif entry.is_file():
            yield entry
