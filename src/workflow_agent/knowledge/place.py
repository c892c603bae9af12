"""A piece of a page with what stands around it: what readers of facts are given."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from workflow_agent.knowledge.facts import Fact, FactKind, provenance_of

if TYPE_CHECKING:
    from workflow_agent.knowledge.facts import SystemFamily
    from workflow_agent.knowledge.page import Element

__all__ = ["PATH", "PagePlace", "paths_in"]

_REMOVING: Final = re.compile(
    r"(?i)\b(remov(e|es|al|ing)|un-?install\w*|purg(e|ing)|clean(ing)? ?up|delet(e|ing) (it|the))\b"
)
_CHECKING: Final = re.compile(
    r"(?i)\b(verif(y|ies|ication|ying)|check(s|ing|ed)?|test(s|ing)?|health|is it running|does it work|"
    r"look whether|see whether|"
    r"see what it does|whether it (works|is)|ask (it|for)|confirm|make sure|status|smoke)\b"
)
#: What follows a block that shows whether something works ("… to see if everything is alright").
_PURPOSE: Final = re.compile(r"(to (see|check|verify|confirm|test)|should (print|show|say))\b")
#: What nobody has to do.
_OPTIONAL: Final = re.compile(
    r"(?i)(\boptional\w*\b|\bif you (?:want|need|prefer|wish|like|would|have|use|are|run|do)\b|\bin case you\b|"
    r"\bto (?:change|override|customi[sz]e|tune)\b|\bfor (?:example|instance)\b|\be\.g\.|\balternatively\b|"
    r"\bexample of\b|\byou (?:can|may|could|might) also\b|\bwhen you (?:want|need)\b)"
)
#: An absolute path below the folders that programs use, or below a person's own.
PATH: Final = re.compile(
    r"(?<![\w:/.\-}*$])((?:~/\.|/(?:etc|var|opt|srv|run|lib|root|home|usr/(?:local|share|lib|libexec)|mnt|"
    r"data/)(?:/|(?=[\s:,;'\"`)]|$)))[^\s'\"`,;:()<>|&{}\[\]*?$]*)"
)
_NO_FILES: Final = re.compile(
    r"^(/usr/s?bin|/home/[^/]+/?$|/(var|etc|opt|srv|run|usr|lib|root|home|data)/?$)|/nologin$|^/etc/(init\.d|hosts|passwd|resolv\.conf|fstab)$|^/var/log/(auth|syslog|messages|daemon)(\.log)?$|"
    r"^~/\.(bashrc|zshrc|profile|bash_profile|ssh)|^/usr/local(/sbin|/go/.*)?$|/(ba|da|z)?sh$"
)


def paths_in(text: str) -> list[str]:
    """List the paths of a product's files that a text names."""
    found = (path.rstrip("/.") for path in PATH.findall(text))
    return list(dict.fromkeys(path for path in found if path and not _NO_FILES.search(path) and "..." not in path))


def _without_flags(text: str) -> str:
    return re.sub(r"--?[\w.-]+", " ", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class PagePlace:
    """An element, the words right before and after it, and the families that it is about."""

    address: str
    element: Element
    before: str = ""
    after: str = ""
    platforms: tuple[SystemFamily, ...] = ()

    @property
    def is_removal(self) -> bool:
        """Whether it tells how to get rid of the thing."""
        section = self.element.sections[-1] if self.element.sections else ""
        return bool(_REMOVING.search(section) or _REMOVING.search(self.before))

    @property
    def is_check(self) -> bool:
        """Whether it tells how to see that the thing works."""
        section = self.element.sections[-1] if self.element.sections else ""
        if _CHECKING.search(section) or _CHECKING.search(_without_flags(self.before)):
            return True
        return bool(_PURPOSE.match(self.after))

    @property
    def is_optional(self) -> bool:
        """Whether it tells what one may do, and may as well leave: its section, or the sentence that leads to it."""
        sections = self.element.sections[1:]
        leads = self.before.rstrip().endswith(":") and self.may_be_optional
        return leads or any(_OPTIONAL.search(section) for section in sections)

    @property
    def may_be_optional(self) -> bool:
        """Whether the words before it speak of what one may do, perhaps of something else."""
        return self.speaks_of_choice(self.before)

    @staticmethod
    def speaks_of_choice(text: str) -> bool:
        """Tell whether some words are about what one may do."""
        return bool(_OPTIONAL.search(text))

    def fact(
        self,
        kind: FactKind,
        value: str,
        confidence: float,
        *,
        quote: str = "",
        platforms: tuple[SystemFamily, ...] | None = None,
        **details: str,
    ) -> Fact:
        """Make a fact that stands here."""
        return Fact(
            kind=kind,
            value=value,
            platforms=self.platforms if platforms is None else platforms,
            details={key: text for key, text in details.items() if text},
            provenance=provenance_of(self.address, self.element, confidence, quote),
        )
