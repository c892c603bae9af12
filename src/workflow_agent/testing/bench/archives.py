"""Archives that targets of a test offer, made from folders of text.

Nothing of a vendor lies in an integration. A folder below ``tests/archives`` whose name ends in ``.tar.gz`` or
``.whl`` becomes that file on the target, at the same path: ``tests/archives/srv/x-1.0.tar.gz/x-1.0/bin/x`` is the
member ``x-1.0/bin/x`` of ``/srv/x-1.0.tar.gz``. The same folder gives the same bytes each time. Members that begin with
``#!`` can be executed.
"""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import zipfile
import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ARCHIVES", "archives_of", "write_archives"]

ARCHIVES: Final = "tests/archives"
_TIME: Final = (1980, 1, 1, 0, 0, 0)
#: An empty gzip header: no name, no time. Source: RFC 1952.
_GZIP: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


def archives_of(folder: Path) -> dict[str, bytes]:
    """Make the archives of an integration's folder: absolute path on the target → content."""
    top = folder / ARCHIVES
    found = sorted(one for one in top.rglob("*") if one.is_dir() and one.name.endswith((".tar.gz", ".whl")))
    made = {}
    for one in found:
        files = {str(file.relative_to(one)): file.read_bytes() for file in sorted(one.rglob("*")) if file.is_file()}
        made[f"/{one.relative_to(top)}"] = _wheel(files) if one.suffix == ".whl" else _tarball(files)
    return made


def write_archives(folder: Path, root: Path) -> None:
    """Write the archives of an integration's folder below a target's root."""
    for path, content in archives_of(folder).items():
        file = root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def _tarball(files: dict[str, bytes]) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755 if content.startswith(b"#!") else 0o644
            archive.addfile(member, io.BytesIO(content))
    return _stored(plain.getvalue())


def _stored(content: bytes) -> bytes:
    """Write gzip whose blocks are stored as they are: compressors differ in their bytes, and digests are kept."""
    limit = 0xFFFF
    pieces = [content[start : start + limit] for start in range(0, len(content), limit)]
    blocks = b"".join(
        bytes([number == len(pieces)])
        + len(piece).to_bytes(2, "little")
        + (len(piece) ^ limit).to_bytes(2, "little")
        + piece
        for number, piece in enumerate(pieces, 1)
    )
    return _GZIP + blocks + zlib.crc32(content).to_bytes(4, "little") + (len(content) % 2**32).to_bytes(4, "little")


def _wheel(files: dict[str, bytes]) -> bytes:
    """Write a wheel; its RECORD is made here. Source: PEP 427."""
    info = next(name.partition("/")[0] for name in files if ".dist-info/" in name)
    record = f"{info}/RECORD"
    rows = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in {**files, record: "\n".join([*rows, f"{record},,", ""]).encode()}.items():
            archive.writestr(zipfile.ZipInfo(name, _TIME), data)
    return content.getvalue()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
