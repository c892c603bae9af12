"""Which systems a piece of a page is about: by its tab, the headings above it, or the words before it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from workflow_agent.knowledge.facts import Platform

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from workflow_agent.knowledge.page import Element

__all__ = ["MANAGERS", "platforms_of", "platforms_said"]

_WORDS: Final = (
    (Platform.DEBIAN, r"debian|ubuntu|mint|raspbian|raspberry pi os|\bdeb\b|\bapt\b"),
    (
        Platform.RHEL,
        r"rhel|red ?hat|centos|fedora|rocky|alma(linux)?|oracle linux|amazon linux|\brpm\b|\byum\b|\bdnf\b",
    ),
    (Platform.SUSE, r"suse|sles|zypper"),
    (Platform.ALPINE, r"\balpine\b"),
    (Platform.ARCH, r"\barch( linux)?\b|manjaro"),
    (Platform.MACOS, r"mac ?os|os x|homebrew"),
    (Platform.WINDOWS, r"windows|powershell"),
    (Platform.CONTAINER, r"docker|podman|kubernetes|helm|compose|containers?\b"),
    (Platform.ARCHIVE, r"tarball|archive|binary|binaries|from source"),
)
_PATTERNS: Final = tuple((platform, re.compile(rf"(?i)(?<![\w-])(?:{words})")) for platform, words in _WORDS)
#: The family that has a package manager.
MANAGERS: Final[Mapping[str, Platform]] = {
    "apt": Platform.DEBIAN,
    "dnf": Platform.RHEL,
    "yum": Platform.RHEL,
    "zypper": Platform.SUSE,
    "apk": Platform.ALPINE,
    "pacman": Platform.ARCH,
    "brew": Platform.MACOS,
    "pip": Platform.PYTHON,
}


def platforms_said(text: str) -> tuple[Platform, ...]:
    """List the families that some words name."""
    return tuple(platform for platform, pattern in _PATTERNS if pattern.search(text))


def platforms_of(element: Element, before: Iterable[str] = ()) -> tuple[Platform, ...]:
    """List the families that an element is about; none where the page does not say.

    Args:
        element: Its tabs come first, then the nearest heading that names one.
        before: The words right before it, which name one where they introduce it ("Debian:").
    """
    for text in (*reversed(element.tabs), *before, *reversed(element.sections)):
        if found := platforms_said(text):
            return found
    return ()
