"""What a page tells to do that nothing here does: such a step is shown, and never left out silently.

Blocks stand for packages, services, files that are written and looks; a command that is none of them, where a page
says how something is installed, is a step that a person has to decide about.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from workflow_agent.knowledge.command_lines import program_of, words_of
from workflow_agent.knowledge.facts import FactKind, SystemFamily
from workflow_agent.knowledge.file_contents import edited_path
from workflow_agent.knowledge.place import paths_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from workflow_agent.knowledge.facts import Fact, PageCommand
    from workflow_agent.knowledge.place import PagePlace

__all__ = ["is_block_left_out", "is_left_out", "is_of_debian", "is_statement_left_out", "told_edits"]

#: Sections about what comes after an installation, or beside it.
_LATER: Final = re.compile(
    r"(?i)\b(trouble\s?-?shoot\w*|upgrad\w*|migrat\w*|debug\w*|back-?ups?|restor\w*|usage|examples?|optional\w*|"
    r"advanced|tuning|next steps|further|see also|faq|develop\w*|contribut\w*|reference|un-?install\w*|"
    r"removal|removing|alternative\w*)\b"
)
#: Facts that a block, or a question of their own, stands for.
_COVERED: Final = frozenset(
    {FactKind.PACKAGE, FactKind.REPOSITORY, FactKind.SERVICE, FactKind.VERIFICATION, FactKind.CONTENT}
)
#: A sentence about the end of all of it, not of a part that is in the way.
_GOES: Final = re.compile(
    r"(?i)\b(un-?install\w*|purg\w+|get rid of|(remov|delet)\w+ (it|everything|all|the (\w+ )?"
    r"(package|program|software|agent|exporter|server|service|daemon)s?))\b"
)
_SENTENCE: Final = re.compile(r"(?<=[.!?;:])\s+")
#: A sentence that tells to change something.
_EDITS: Final = re.compile(
    r"(?i)\W*(?:(?:then|now|next|first|finally|also|and)\b\W*)?"
    r"(?:edit|change|modify|adjust|open|set|add|append|insert|uncomment|comment|configure|enable|disable|put|update|"
    r"replace|in|inside)\b"
)
_STATEMENT: Final = re.compile(r"(?i)^\s*(CREATE|GRANT|ALTER|INSERT|UPDATE|DELETE|DROP|FLUSH|SET)\b", re.MULTILINE)
#: A sentence about what is there already.
_SHOWN: Final = re.compile(
    r"(?i)\b(defaults?|ship(s|ped)?|looks? (like|so)|as installed|already|comes with|contains)\b"
)
_LOOKS: Final = frozenset([
    "cd", "ls", "cat", "less", "more", "clear", "exit", "journalctl", "tail", "head", "ps", "ss", "netstat", "grep",
    "which", "whereis", "id", "pwd", "apt-cache", "dpkg-query", "hostnamectl", "lsb_release", "uname", "getent", "stat",
    "jq", "wc", "sort", "cut", "awk", "column",
])  # fmt: skip
_OWN_MANAGERS: Final = frozenset({"apt", "apt-get", "aptitude"})
_MANAGERS: Final = _OWN_MANAGERS | {"dpkg", "userdel", "deluser"}
_REFRESHES: Final = frozenset({"update", "upgrade", "full-upgrade", "dist-upgrade", "policy", "show", "search", "list"})
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_TEES: Final = re.compile(r"\|\s*(?:sudo\s+)?tee\s+(?:-a\s+)?/(?!dev/null)")
_TELLS: Final = re.compile(r"\s(--?version|-[vV]|--?help|-h|version)$")
_WRITES: Final = re.compile(r"[^0-9&<]>\s*/(?!dev/null)")


def is_of_debian(platforms: Sequence[SystemFamily]) -> bool:
    """Tell whether something is for every system, or for those of Debian's family."""
    return not platforms or SystemFamily.DEBIAN in platforms


def is_left_out(place: PagePlace, command: PageCommand, facts: Sequence[Fact]) -> bool:
    """Tell whether a command is a step of the installation that no block stands for.

    Args:
        place: Its block.
        command: Itself.
        facts: What is read out of it.
    """
    if not is_of_debian(command.platforms) or _is_beside(place):
        return False
    if edited_path(command.text):
        return False  # what is changed there is told by a block, or by nobody: see `told_edits`
    kinds = {fact.kind for fact in facts}
    if _TEES.search(_QUOTED.sub("''", command.text)) and not kinds & {FactKind.CONTENT, FactKind.REPOSITORY}:
        return True
    if kinds & _COVERED or (FactKind.REMOVAL in kinds and (program_of(command.text) in _MANAGERS or _goes(place))):
        return False
    return not _changes_nothing(command.text)


def is_statement_left_out(place: PagePlace) -> bool:
    """Tell whether a query is a step: one of SQL that changes something."""
    return is_of_debian(place.platforms) and not _is_beside(place) and bool(_STATEMENT.search(place.element.text))


def is_block_left_out(place: PagePlace) -> bool:
    """Tell whether a block of configuration is to be put somewhere, and nobody knows where."""
    if not is_of_debian(place.platforms) or _is_beside(place):
        return False
    last = _SENTENCE.split(place.before.strip())[-1]
    return not _SHOWN.search(last) or bool(_EDITS.match(last))


def _is_beside(place: PagePlace) -> bool:
    return place.is_optional or _is_later(place)


def told_edits(place: PagePlace) -> Iterator[tuple[str, str]]:
    """Give the files that a paragraph tells to change, each with the sentence: "Set `Port` in /etc/x.conf to 80"."""
    if not is_of_debian(place.platforms) or _is_later(place):
        return
    for sentence in _SENTENCE.split(place.element.text):
        if _EDITS.match(sentence) and not place.speaks_of_choice(sentence):
            yield from ((path, sentence) for path in paths_in(sentence) if path.startswith("/etc/"))


def _goes(place: PagePlace) -> bool:
    return bool(_GOES.search(place.before))


def _is_later(place: PagePlace) -> bool:
    """Tell whether a section is about something else than installing; a page's own title says nothing about that."""
    return any(_LATER.search(section) for section in place.element.sections[1:])


def _changes_nothing(text: str) -> bool:
    """Tell whether every part of a pipeline only looks at something, or refreshes what package managers know."""
    return all(_looks_only(part.strip()) for part in _QUOTED.sub("''", text).split("|"))


def _looks_only(text: str) -> bool:
    if _WRITES.search(text):
        return False
    program, words = program_of(text), [word for word in words_of(text) if not word.startswith("-")]
    if program in _OWN_MANAGERS:
        return bool(_REFRESHES.intersection(words[1:2]))
    if program == "systemctl":
        return words[1:2] in (["daemon-reload"], ["list-units"], ["--version"])
    if program == "dpkg":
        return bool(re.search(r"\s(-l|-s|-L|--list|--status|--listfiles)\b", text))
    return program in _LOOKS or program in {"echo", "printf"} or bool(_TELLS.search(text))
