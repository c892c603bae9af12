"""An integration in one file: a package, which holds data only and is checked before anything in it is read.

A package is a zip archive in exactly one form: members stored (never compressed), sorted, without times, rights, extra
fields or comments. What is read is put together again and compared with what was given, so that every byte of a file
counts: nothing can hide in it, nothing unpacks to more than it is, and a byte that changed is noticed.

Members: ``PACKAGE.json`` (names, sizes and SHA-256 of all files), ``PACKAGE.sig`` where it is signed
(``package_signing``), and the files.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
import unicodedata
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.integrations.folder_files import MANIFEST_FILE
from workflow_agent.model.errors import NotFoundError, ValidationError
from workflow_agent.model.identity import canonical_json
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "LIMITS",
    "SUFFIX",
    "Package",
    "PackageLimits",
    "check_files",
    "pack_folder",
    "package_of",
    "read_bounded",
    "read_package",
]

SUFFIX: Final = ".integration.zip"
SCHEMA: Final = "workflow-agent/package/1"
_INDEX, _SIGNATURE = "PACKAGE.json", "PACKAGE.sig"
_EPOCH = (1980, 1, 1, 0, 0, 0)
#: A segment of a path: begins with no dot or dash, so that no name means an option, a hidden file or a way up.
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@-]{0,99}")
_ALLOWED_TOP: Final = frozenset({MANIFEST_FILE, "README.md", "CHANGELOG.md", "LICENSE"})
_ALLOWED_FOLDERS: Final = ("templates/", "tests/")
_IGNORED: Final = frozenset({"__pycache__", ".git", ".gitignore", ".DS_Store"})
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_VERSION = re.compile(r"[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}(-[0-9a-z.]{1,40})?")
_DIGEST = re.compile(r"[0-9a-f]{64}")
#: The end of an archive: its members' count, and size and place of their list. Source: APPNOTE.TXT 4.3.16.
_END = struct.Struct("<4s4H2LH")
_DEPTH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageLimits:
    """How large packages may be."""

    package_bytes: int = 8 << 20
    file_bytes: int = 4 << 20
    files: int = 1000
    path_chars: int = 240


LIMITS: Final = PackageLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What a package holds. `signed` is what a signature is made over; `signature` is not verified yet."""

    name: str
    version: str
    files: Mapping[str, bytes]
    signed: bytes
    signature: bytes | None = None

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the list of all files with their digests: the identity of what is in it."""
        return hashlib.sha256(self.signed).hexdigest()

    def content(self) -> bytes:
        """Give the archive."""
        extra = {_SIGNATURE: self.signature} if self.signature is not None else {}
        return _archive({_INDEX: self.signed, **extra, **self.files})


def pack_folder(folder: Path) -> Package:
    """Make a package of an integration's folder.

    Raises:
        NotFoundError: the folder has no manifest.
        ManifestError: its manifest is not valid.
        ValidationError: it holds what no package can hold; `details` has all of it.
    """
    from workflow_agent.integrations.loading import load_manifest  # noqa: PLC0415  # late: pydantic, 36 ms

    folder = folder.absolute()
    manifest = load_manifest(folder)
    files = dict(_files_of(folder))
    check_files(files, where=str(folder))
    return _packed(manifest.name, manifest.version, files)


def package_of(files: Mapping[str, bytes], *, where: str) -> Package:
    """Make a package of files that came another way.

    Raises:
        ManifestError: the manifest is not valid.
        ValidationError: they hold what no package can hold.
    """
    from workflow_agent.authoring.yaml_source import load_yaml  # noqa: PLC0415  # late: yaml, 16 ms
    from workflow_agent.integrations.loading import manifest_error, parse_manifest  # noqa: PLC0415  # late: pydantic

    check_files(files, where=where)
    try:
        text = files[MANIFEST_FILE].decode()
    except UnicodeDecodeError as error:
        raise ValidationError("the manifest is not UTF-8", where=where) from error
    document = load_yaml(text, source=MANIFEST_FILE)
    manifest, problems = parse_manifest(document.data)
    if manifest is None or problems:
        raise manifest_error(document, problems)
    return _packed(manifest.name, manifest.version, files)


def _packed(name: str, version: str, files: Mapping[str, bytes]) -> Package:
    rows = [
        {"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for path, content in sorted(files.items())
    ]
    index = {"schema": SCHEMA, "name": name, "version": version, "files": rows}
    return Package(name=name, version=version, files=dict(sorted(files.items())), signed=canonical_json(index).encode())


def _files_of(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Give every file of a folder; what is neither file nor folder is refused."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if _IGNORED & set(parts):
            continue
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise _refused("/".join(parts), "is neither a file nor a folder", str(folder))
        if path.is_file():
            yield "/".join(parts), read_bounded(path, LIMITS.file_bytes)


def check_files(files: Mapping[str, bytes], *, where: str) -> None:
    """Refuse names and sizes that no package may have.

    Raises:
        ValidationError: says which file, and why.
    """
    if len(files) > LIMITS.files:
        raise _refused(f"{len(files)} files", f"are more than {LIMITS.files}", where)
    seen: dict[str, str] = {}
    for path, content in files.items():
        if why := _wrong_path(path):
            raise _refused(path, why, where)
        if len(content) > LIMITS.file_bytes:
            raise _refused(path, f"is larger than {LIMITS.file_bytes} bytes", where)
        other = seen.setdefault(_folded(path), path)
        if other != path:
            raise _refused(path, f"is the same file as `{other}` where upper and lower case are one", where)
    folded = seen.keys()
    for key, path in seen.items():
        if any(str(up) in folded for up in PurePosixPath(key).parents):
            raise _refused(path, "lies below a file", where)
    if MANIFEST_FILE not in files:
        raise _refused(MANIFEST_FILE, "is missing", where)


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


def _wrong_path(path: str) -> str | None:
    """Say what is wrong with a path; None when nothing is."""
    if len(path) > LIMITS.path_chars or path.count("/") >= _DEPTH:
        return "has too long a path"
    if not all(_SEGMENT.fullmatch(part) for part in path.split("/")):
        return "has a name that no package can have: letters, digits, `_.+@-`, with a letter or digit first"
    if path not in _ALLOWED_TOP and not path.startswith(_ALLOWED_FOLDERS):
        names = ", ".join(sorted(_ALLOWED_TOP))
        return f"has no place in a package, which holds data only: {names}, templates, tests"
    return None


def _refused(path: str, why: str, where: str) -> ValidationError:
    shown = "".join(char if char.isprintable() else "\ufffd" for char in path[:80])
    return ValidationError(f"`{shown}` {why}", where=where)


def _archive(members: Mapping[str, bytes]) -> bytes:
    """Put members together in the one form."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED, allowZip64=False) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system, info.external_attr = 3, 0o100644 << 16
            archive.writestr(info, data)
    return content.getvalue()


# -- reading ---------------------------------------------------------------------------------------------------------


def read_bounded(path: Path, limit: int) -> bytes:
    """Read a file that may not be larger than a limit.

    Raises:
        NotFoundError: it cannot be read.
        ValidationError: it is larger, or no plain file.
    """
    try:
        if not path.is_file():
            raise NotFoundError(f"there is no file `{path}`")
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise NotFoundError(f"`{path}` cannot be read", cause=error.strerror) from error
    if len(content) > limit:
        raise ValidationError(f"`{path.name}` is larger than {limit} bytes", where=str(path))
    return content


def read_package(path: Path) -> Package:
    """Read a package; every file is what its list says. Nothing of it is parsed or run but that list.

    Raises:
        NotFoundError: there is none.
        ValidationError: it is no package in the one form.
    """
    content = read_bounded(path, LIMITS.package_bytes)
    where = str(path)
    members = _members(content, where)
    index = members.pop(_INDEX, None)
    signature = members.pop(_SIGNATURE, None)
    if index is None:
        raise ValidationError("this is no package of an integration", where=where, cause=f"it has no {_INDEX}")
    check_files(members, where=where)
    package = _listed(index, members, where)
    package = Package(name=package.name, version=package.version, files=members, signed=index, signature=signature)
    if package.content() != content:
        raise _other_form(where)
    return package


def _other_form(where: str) -> ValidationError:
    return ValidationError(
        "this is no package in the one form that `integrations pack` writes",
        where=where,
        hint="it was changed, or made by another program: take it as a folder instead",
    )


def _members(content: bytes, where: str) -> dict[str, bytes]:
    """Take an archive apart, as far as it can be one of ours; costs no more than it is long."""
    if len(content) < _END.size:
        raise _other_form(where)
    magic, *numbers = _END.unpack(content[-_END.size :])
    count, listing = numbers[3], numbers[4]
    # one entry of the list is 46 bytes and a name; zipfile reads as many as the list's size says
    most = (LIMITS.files + 2) * (46 + LIMITS.path_chars)
    if magic != b"PK\x05\x06" or count > LIMITS.files + 2 or listing > most:
        raise _other_form(where)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            infos = archive.infolist()
            names = [info.filename for info in infos]
            if len(set(names)) != len(names) or sum(info.file_size for info in infos) > len(content):
                raise _other_form(where)
            if any(info.compress_type != zipfile.ZIP_STORED or info.flag_bits & ~0x800 for info in infos):
                raise _other_form(where)
            return {info.filename: archive.read(info) for info in infos}
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, struct.error, RuntimeError) as error:
        raise _other_form(where) from error


def _listed(index: bytes, files: Mapping[str, bytes], where: str) -> Package:
    """Compare the files with their list, which has to be exactly the one that these files give."""
    try:
        told: Any = json.loads(index.decode("ascii"))
        name, version = str(told["name"]), str(told["version"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValidationError(f"{_INDEX} cannot be read", where=where) from error
    if not _NAME.fullmatch(name) or not _VERSION.fullmatch(version):
        raise ValidationError(f"{_INDEX} has no name or version that an integration can have", where=where)
    package = _packed(name, version, files)
    if package.signed == index:
        return package
    for row in told["files"] if isinstance(told.get("files"), list) else ():
        path = row.get("path") if isinstance(row, dict) else None
        if isinstance(path, str) and path in files and row.get("sha256") != hashlib.sha256(files[path]).hexdigest():
            raise _refused(str(path), "is not what the package's list says", where)
    raise ValidationError(f"{_INDEX} does not list what the package holds", where=where)
