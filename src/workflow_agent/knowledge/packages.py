"""Debian packages as a source: control data, conffiles, units, maintainer scripts. Read, never unpacked or executed.

A package is more than what its documentation says of it: it is what will be installed. Facts of it are trusted before
prose. Source: deb(5), deb-control(5), deb-conffiles(5).
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from workflow_agent.knowledge.facts import Extraction, Fact, FactKind, FactSource, SourceKind, SystemFamily
from workflow_agent.model.errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["PackageData", "package_extraction", "parse_deb", "read_installed"]

_MAGIC: Final = b"!<arch>\n"
_HEADER: Final = 60
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
#: Bytes of an unpacked part that are looked at; what is beyond is no metadata.
_LARGEST: Final = 256 << 20
_LARGEST_FILE: Final = 1 << 20
_MEMBERS: Final = 100_000
_SCRIPTS: Final = ("preinst", "postinst", "prerm", "postrm")
_UNIT: Final = re.compile(r"^(?:/usr)?/lib/systemd/system/([\w@.-]+)\.service$")
_SYSV: Final = re.compile(r"^/etc/init\.d/([\w.-]+)$")
_ACCOUNT: Final = re.compile(r"(?m)^[^#\n]*\b(?:adduser|useradd)\s+((?:[^\n\\]|\\\n)*)")
_NAME: Final = re.compile(r"^[a-z_][a-z0-9_-]{0,31}$")
_WITH_VALUE: Final = frozenset(
    {"--home", "--shell", "--gecos", "--comment", "--ingroup", "--gid", "--uid", "-d", "-s", "-g", "-c", "-u"}
)
_QUOTE: Final = 160
_EXEC_PORT: Final = re.compile(r"--?[\w.-]*(?:port|listen-address|listen|bind)[ =](?:[\w.\[\]:]*:)?(\d{2,5})\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageData:
    """What a package says of itself: fields of its control file, paths, and the text of scripts, units and defaults."""

    control: Mapping[str, str]
    conffiles: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    scripts: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)


def parse_deb(content: bytes, where: str) -> PackageData:
    """Read a `.deb` file.

    Raises:
        ValidationError: It is none, is damaged, or is larger than any package.
    """
    parts = dict(_members(content, where))
    control = next((body for name, body in parts.items() if name.startswith("control.tar")), None)
    data = next((body for name, body in parts.items() if name.startswith("data.tar")), None)
    if control is None or data is None:
        raise ValidationError("this is no Debian package: a part is missing", where=where)
    inner = {name: text for name, text, _ in _files(control, where, every=True)}
    listed = list(_files(data, where, every=False))
    return PackageData(
        control=_control(inner.get("/control", "")),
        conffiles=tuple(
            line
            for line in inner.get("/conffiles", "").split("\n")
            if line.startswith("/") and ".." not in line.split("/")
        ),
        paths=tuple(name for name, _, is_file in listed if is_file),
        scripts={name: inner[f"/{name}"] for name in _SCRIPTS if f"/{name}" in inner},
        texts={name: text for name, text, _ in listed if text},
    )


def read_installed(root: Path, name: str) -> PackageData:
    """Read what the package database of a system says about an installed package.

    Raises:
        ValidationError: it is not installed there, or the name is none.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9+.-]{1,99}", name):
        raise ValidationError(f"`{name[:60]}` is no name of a Debian package", where=f"deb:{name[:60]}")
    status = _text(root / "var/lib/dpkg/status", 64 << 20)
    block = next((part for part in status.split("\n\n") if re.match(rf"Package: {re.escape(name)}\n", part)), "")
    if "Status: install ok installed" not in block:
        raise ValidationError(
            f"the package `{name}` is not installed", where=f"deb:{name}", hint="give the `.deb` file"
        )
    control = _control(block)
    info = root / "var/lib/dpkg/info"
    stems = (name, f"{name}:{control.get('Architecture', '')}")
    paths = next((text for stem in stems if (text := _text(info / f"{stem}.list"))), "").split("\n")
    conffiles = [line.split()[0] for line in control.get("Conffiles", "").split("\n") if line.strip().startswith("/")]
    scripts = {kind: text for kind in _SCRIPTS for stem in stems if (text := _text(info / f"{stem}.{kind}"))}
    texts = {path: text for path in paths if _is_text(path) and (text := _text(root / path.lstrip("/")))}
    return PackageData(
        control=control,
        conffiles=tuple(conffiles),
        paths=tuple(path for path in paths if path),
        scripts=scripts,
        texts=texts,
    )


def package_extraction(data: PackageData, address: str) -> Extraction:
    """Give what a package says as facts; each names the file of the package where it stands."""
    name, version = data.control.get("Package", ""), data.control.get("Version", "")
    told = repr(
        (sorted(data.control.items()), data.conffiles, sorted(data.scripts.items()), sorted(data.texts.items()))
    )
    return Extraction(
        address=address,
        title=f"{name} {version}".strip(),
        sha256=hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest(),
        facts=tuple({(fact.kind, fact.value): fact for fact in reversed(list(_facts(data, address)))}.values())[::-1],
    )


def _facts(data: PackageData, address: str) -> Iterator[Fact]:
    for part in (_control_facts, _path_facts, _text_facts, _script_facts):
        yield from part(data, address)


def _fact(
    address: str, kind: FactKind, value: str, place: str, quote: str, *, confidence: float = 1.0, **details: str
) -> Fact:
    where = FactSource(
        address=address,
        selector=place,
        text_sha256=hashlib.sha256(quote.encode("utf-8", "surrogatepass")).hexdigest(),
        quote=" ".join(quote.split())[:_QUOTE] or value,
        confidence=confidence,
        source=SourceKind.PACKAGE,
    )
    said = {key: text for key, text in details.items() if text}
    return Fact(kind=kind, value=value, provenance=where, platforms=(SystemFamily.DEBIAN,), details=said)


def _control_facts(data: PackageData, address: str) -> Iterator[Fact]:
    name, version = data.control.get("Package", ""), data.control.get("Version", "")
    yield _fact(address, FactKind.PACKAGE, name, "control", f"Package: {name}", manager="apt", version=version)
    yield _fact(address, FactKind.VERSION, version, "control", f"Version: {version}")
    for key in ("Pre-Depends", "Depends"):
        for item in re.split(r",\s*", data.control.get(key, "")):
            if found := re.match(r"([a-z0-9][a-z0-9+.-]+)(?::\w+)?\s*(?:\(([^)]*)\))?", item.strip()):
                yield _fact(address, FactKind.DEPENDENCY, found[1], "control", f"{key}: {item}", version=found[2] or "")


def _path_facts(data: PackageData, address: str) -> Iterator[Fact]:
    for path in data.conffiles:
        yield _fact(address, FactKind.FILE, path, "conffiles", path, use="configuration")
    services = {found[1]: path for path in data.paths if (found := _UNIT.match(path))}
    services |= {found[1]: path for path in data.paths if (found := _SYSV.match(path)) and found[1] not in services}
    for service, path in services.items():
        if not service.endswith("@"):
            yield _fact(address, FactKind.SERVICE, service, path, path)


def _text_facts(data: PackageData, address: str) -> Iterator[Fact]:
    for path, text in data.texts.items():
        if not _UNIT.match(path):
            continue
        for user in re.findall(r"(?m)^User=([a-z_][\w-]*)\s*$", text):
            yield _fact(address, FactKind.USER, user, path, f"User={user}")
        for line in re.findall(r"(?m)^ExecStart=(.*)$", text):
            for port in _EXEC_PORT.findall(line):
                yield _fact(address, FactKind.PORT, port, path, line, confidence=0.9)


def _script_facts(data: PackageData, address: str) -> Iterator[Fact]:
    for script, text in data.scripts.items():
        for line in _ACCOUNT.findall(text):
            if account := _account(line):
                yield _fact(address, FactKind.USER, account, script, line, confidence=0.9)


def _account(arguments: str) -> str:
    """Give the name of the account that a command of a maintainer script makes; nothing where it is a variable."""
    words = arguments.replace("\\\n", " ").split("||")[0].split(">")[0].split(";")[0].split()
    names, left = [], iter(words)
    for word in left:
        if word in _WITH_VALUE:
            next(left, None)
        elif not word.startswith("-") and _NAME.match(word):
            names.append(word)
    return names[0] if names else ""


def _control(text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    key = ""
    for line in text.split("\n"):
        if line[:1] in {" ", "\t"} and key:
            fields[key] += "\n" + line.strip()
        elif ":" in line:
            key, _, value = line.partition(":")
            fields[key] = value.strip()
    return fields


def _members(content: bytes, where: str) -> Iterator[tuple[str, bytes]]:
    """Give the parts of an `ar` archive."""
    if not content.startswith(_MAGIC):
        raise ValidationError("this is no Debian package", where=where)
    at = len(_MAGIC)
    while at + _HEADER <= len(content):
        header = content[at : at + _HEADER]
        size = header[48:58].strip()
        if header[58:60] != b"`\n" or not size.isdigit() or at + _HEADER + int(size) > len(content):
            raise ValidationError("the package is damaged", where=where)
        yield header[:16].decode("ascii", "replace").strip().rstrip("/"), content[at + _HEADER :][: int(size)]
        at += _HEADER + int(size) + int(size) % 2


def _unpacked(body: bytes, where: str) -> bytes:
    """Unpack one part, to a bound."""
    import lzma  # noqa: PLC0415  # late: few commands need it

    try:
        if body[:2] == b"\x1f\x8b":
            unpacked = zlib.decompressobj(31).decompress(body, _LARGEST + 1)
        elif body[:6] == b"\xfd7zXZ\0":
            unpacked = lzma.LZMADecompressor(memlimit=512 << 20).decompress(body, _LARGEST + 1)
        elif body[:4] == _ZSTD:
            raise ValidationError("the package is packed with zstd, which is not read", where=where)
        else:
            unpacked = body
    except (zlib.error, lzma.LZMAError, EOFError) as error:
        raise ValidationError("the package is damaged", where=where, cause=str(error)) from error
    if len(unpacked) > _LARGEST:
        raise ValidationError(f"a part of the package is larger than {_LARGEST >> 20} MiB", where=where)
    return unpacked


def _files(body: bytes, where: str, *, every: bool) -> Iterator[tuple[str, str, bool]]:
    """Give path, text (where it is wanted, small, and a plain file) and whether it is no folder, of a tar archive."""
    try:
        with tarfile.open(fileobj=io.BytesIO(_unpacked(body, where)), mode="r:") as archive:
            for number, member in enumerate(archive):
                if number > _MEMBERS:
                    raise ValidationError("the package has more files than any", where=where)
                path = "/" + member.name.removeprefix("./").lstrip("/")
                text = ""
                if member.isreg() and member.size <= _LARGEST_FILE and (every or _is_text(path)):
                    stream = archive.extractfile(member)  # reads; nothing is written
                    text = stream.read(_LARGEST_FILE).decode("utf-8", "replace") if stream else ""
                yield path, text, not member.isdir()
    except tarfile.TarError as error:
        raise ValidationError("the package is damaged", where=where, cause=str(error)) from error


def _is_text(path: str) -> bool:
    return bool(_UNIT.match(path)) or path.startswith("/etc/default/")


def _text(path: Path, largest: int = _LARGEST_FILE) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(largest).decode("utf-8", "replace")
    except OSError:
        return ""
