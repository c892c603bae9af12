"""What is known, one statement at a time, with its source: facts, flags, and what a page gives altogether."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.knowledge.page import Element

__all__ = [
    "TRUST",
    "BlockKind",
    "Extraction",
    "Fact",
    "FactKind",
    "FactSource",
    "Flag",
    "FlagKind",
    "PageCommand",
    "SourceKind",
    "SystemFamily",
    "provenance_of",
]


class FactKind(StrEnum):
    """Classes of facts."""

    PACKAGE = "package"
    REPOSITORY = "repository"
    FILE = "file"
    SERVICE = "service"
    PORT = "port"
    USER = "user"
    SETTING = "setting"
    METRIC = "metric"
    VERIFICATION = "verification"
    REMOVAL = "removal"
    DEPENDENCY = "dependency"
    VERSION = "version"
    CONTENT = "content"


class BlockKind(StrEnum):
    """What a block of code is."""

    COMMAND = "command"
    OUTPUT = "output"
    CONFIGURATION = "configuration"
    UNIT = "unit"
    QUERY = "query"


class SystemFamily(StrEnum):
    """Families of systems that pages tell apart."""

    DEBIAN = "debian"
    RHEL = "rhel"
    SUSE = "suse"
    ALPINE = "alpine"
    ARCH = "arch"
    MACOS = "macos"
    WINDOWS = "windows"
    CONTAINER = "container"
    PYTHON = "python"
    ARCHIVE = "archive"


class SourceKind(StrEnum):
    """Where a fact is from; :data:`TRUST` orders them."""

    MEASURED = "measured"
    PACKAGE = "package-metadata"
    STRUCTURED = "structured-file"
    PROSE = "documentation"


#: The most trusted first.
TRUST = (SourceKind.MEASURED, SourceKind.PACKAGE, SourceKind.STRUCTURED, SourceKind.PROSE)


class FlagKind(StrEnum):
    """What a person must look at."""

    PLACEHOLDER = "placeholder"
    FOREGROUND = "foreground"
    LINK = "command-behind-link"
    STEP = "step"


@dataclass(frozen=True, slots=True, kw_only=True)
class FactSource:
    """Where a statement stands: page, place in it, SHA-256 (hex) of the text there, and how sure it is (0 to 1)."""

    address: str
    selector: str
    text_sha256: str
    quote: str
    confidence: float
    source: SourceKind = SourceKind.PROSE

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON."""
        return {name: getattr(self, name) for name in self.__slots__} | {"source": self.source.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One statement: `value` says it (a package, a path, a key …), `details` the rest (manager, default …)."""

    kind: FactKind
    value: str
    provenance: FactSource
    platforms: tuple[SystemFamily, ...] = ()
    details: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON."""
        return {
            "kind": self.kind.value,
            "value": self.value,
            "platforms": [item.value for item in self.platforms],
            "details": dict(self.details),
            "provenance": self.provenance.to_dict(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """Something that nobody may use as it stands."""

    kind: FlagKind
    text: str
    provenance: FactSource

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON."""
        return {"kind": self.kind.value, "text": self.text, "provenance": self.provenance.to_dict()}


@dataclass(frozen=True, slots=True, kw_only=True)
class PageCommand:
    """A command of a page, without prompt and `sudo`; `body` is the text that a here-document gives it."""

    text: str
    body: str = ""
    platforms: tuple[SystemFamily, ...] = ()
    provenance: FactSource

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON."""
        return {
            "text": self.text,
            "body": self.body,
            "platforms": [item.value for item in self.platforms],
            "provenance": self.provenance.to_dict(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """All that a source says."""

    address: str
    title: str
    sha256: str
    facts: tuple[Fact, ...]
    commands: tuple[PageCommand, ...] = ()
    flags: tuple[Flag, ...] = ()

    def of(self, kind: FactKind) -> list[Fact]:
        """List the facts of one class."""
        return [fact for fact in self.facts if fact.kind is kind]

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON."""
        return {
            "address": self.address,
            "title": self.title,
            "sha256": self.sha256,
            "facts": [fact.to_dict() for fact in self.facts],
            "commands": [command.to_dict() for command in self.commands],
            "flags": [flag.to_dict() for flag in self.flags],
        }


_QUOTE = 160


def provenance_of(address: str, element: Element, confidence: float, quote: str = "") -> FactSource:
    """Say where in a page a statement stands."""
    return FactSource(
        address=address,
        selector=element.selector,
        text_sha256=hashlib.sha256(element.text.encode("utf-8", "surrogatepass")).hexdigest(),
        quote=" ".join((quote or element.text).split())[:_QUOTE],
        confidence=confidence,
    )
