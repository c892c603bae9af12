"""Which systems a piece of a page is about: by its tab, the headings above it, or the words before it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from workflow_agent.knowledge.facts import SystemFamily

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from workflow_agent.knowledge.page import Element

__all__ = ["MANAGERS", "platforms_of", "platforms_said"]

_WORDS: Final = (
    (SystemFamily.DEBIAN, r"debian|ubuntu|mint|raspbian|raspberry pi os|\bdeb\b|\bapt\b"),
    (
        SystemFamily.RHEL,
        r"rhel|red ?hat|centos|fedora|rocky|alma(linux)?|oracle linux|amazon linux|\brpm\b|\byum\b|\bdnf\b",
    ),
    (SystemFamily.SUSE, r"suse|sles|zypper"),
    (SystemFamily.ALPINE, r"\balpine\b"),
    (SystemFamily.ARCH, r"\barch( linux)?\b|manjaro"),
    (SystemFamily.MACOS, r"mac ?os|os x|homebrew"),
    (SystemFamily.WINDOWS, r"windows|powershell"),
    (SystemFamily.CONTAINER, r"docker|podman|kubernetes|helm|compose|containers?\b"),
    (SystemFamily.ARCHIVE, r"tarball|archive|binary|binaries|from source"),
)
_PATTERNS: Final = tuple((platform, re.compile(rf"(?i)(?<![\w-])(?:{words})")) for platform, words in _WORDS)
#: The family that has a package manager.
MANAGERS: Final[Mapping[str, SystemFamily]] = {
    "apt": SystemFamily.DEBIAN,
    "dnf": SystemFamily.RHEL,
    "yum": SystemFamily.RHEL,
    "zypper": SystemFamily.SUSE,
    "apk": SystemFamily.ALPINE,
    "pacman": SystemFamily.ARCH,
    "brew": SystemFamily.MACOS,
    "pip": SystemFamily.PYTHON,
}


def platforms_said(text: str) -> tuple[SystemFamily, ...]:
    """List the families that some words name."""
    return tuple(platform for platform, pattern in _PATTERNS if pattern.search(text))


def platforms_of(element: Element, before: Iterable[str] = ()) -> tuple[SystemFamily, ...]:
    """List the families that an element is about; none where the page does not say.

    Args:
        element: Its tabs come first, then the nearest heading that names one.
        before: The words right before it, which name one where they introduce it ("Debian:").
    """
    for text in (*reversed(element.tabs), *before, *reversed(element.sections)):
        if found := platforms_said(text):
            return found
    return ()
