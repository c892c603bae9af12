"""What a page says is to stand in a file: the block, where it goes, and whether it is all of the file.

A destination is taken from where pages put it: the sentence before the block, a caption, a first line that is a
comment, an editor that is opened on it, a here-document. Whether the block is the whole file is said by the sentence
("create the file", "replace its contents"); what adds to a file, and what does not say which, is told apart from that.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from workflow_agent.knowledge.facts import FactKind
from workflow_agent.knowledge.place import paths_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from workflow_agent.knowledge.facts import Fact, PageCommand
    from workflow_agent.knowledge.place import PagePlace

__all__ = ["Extent", "command_contents", "content_facts", "edited_path"]


class Extent(StrEnum):
    """How much of a file a block is."""

    WHOLE = "whole"
    PART = "part"
    UNCLEAR = "unclear"


_CONFIDENCE: Final = {Extent.WHOLE: 0.9, Extent.PART: 0.6, Extent.UNCLEAR: 0.5}
_ALL: Final = (
    r"(?:(?:the|its|a|an|all|of|any|new|whole|entire|complete|full|default|existing|current|shipped|old|own)\s+)*"
)
_THING: Final = r"(?:[\w-]+\s+){0,2}(?:contents?|files?|everything|it)\b"
_WHOLE: Final = re.compile(
    rf"(?i)\b(?:creat(?:e|ing)\s+{_ALL}(?:{_THING}|\S*/\S+)|add\s+(?:a|the)\s+(?:new\s+)?(?:[\w-]+\s+)?file\b|"
    rf"(?:overwrit(?:e|ing)|replac(?:e|ing))\s+{_ALL}(?:{_THING}(?:\s+of)?|\S*/\S+)|"
    r"(?:save|write|store)\s+[^.]{0,60}\bas\s+\S*/\S+|\bnew file\b|"
    r"(?:save|write)\s+(?:the|a|this)\s+(?:[\w-]+\s+){0,2}\S*/\S+|"
    r"should\s+(?:then\s+)?(?:contain|consist of|read)\s+(?:only|exactly|nothing but))"
)
_PUT: Final = re.compile(r"(?i)\b(?:put|writ(?:e|ing)|sav(?:e|ing)|plac(?:e|ing)|drop(?:ping)?)\b")
_PART: Final = re.compile(
    r"(?i)\b(?:add(?:ing)?|append\w*|insert\w*|uncomment\w*|chang(?:e|ing)|edit(?:ing)?|modify\w*|adjust\w*|adapt\w*|"
    r"set(?:ting)?|enabl(?:e|ing)|extend\w*|sections?|blocks?|stanzas?|snippets?|excerpts?|parts? of|"
    r"at the (?:end|bottom|top|beginning)|below|above|lines?)\b"
)
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+(?=[A-Z`])")
_CLAUSE: Final = re.compile(r";\s+|(?<=[.!?])\s+(?=[A-Z`])")
_CAPTION: Final = re.compile(r"(?i)^(?:file(?:name)?|path|title)?\s*:?\s*[`'\"]?(/[\w./@+-]+)[`'\"]?\s*:?$")
_COMMENT: Final = re.compile(
    r"^\s*(?:[#;]+|//|/\*|<!--)\s*(?:file(?:name)?\s*:?\s*)?(/[\w./@+-]+)\s*(?:\*/|-->)?\s*$", re.IGNORECASE
)
_DROP_IN: Final = re.compile(r"/[\w.-]+\.d/[\w.@+-]+$")
_HEREDOC: Final = re.compile(r"<<-?\s*(?P<quote>['\"\\]?)\w+")
_WRITTEN: Final = re.compile(
    r"(?:^|\|\s*)(?:sudo\s+)?(?:cat\s[^|]*?>\s*|tee\s+(?!-))['\"]?(/[\w./@+-]+)['\"]?(?=[\s;|<>]|$)"
)
_ADDED: Final = re.compile(r">>\s*['\"]?(/[\w./@+-]+)|\btee\s+(?:-a|--append)\s+['\"]?(/[\w./@+-]+)")
_EXPANDED: Final = re.compile(r"[$`]")
_EDITOR: Final = re.compile(
    r"^(?:nano|vi|vim|emacs|gedit|micro|sudoedit|editor|\$EDITOR|\"?\$\{EDITOR[^}]*\}\"?)\s+(/[\w./@+-]+)$"
)


def content_facts(
    place: PagePlace, earlier: Sequence[str], edited: str = "", section: Sequence[str] = ()
) -> Iterator[Fact]:
    """Give what a block of configuration puts into a file.

    Args:
        place: The block.
        earlier: The paragraphs before it in its section, the nearest first; blocks between end the list.
        edited: The file that an editor was opened on right before.
        section: All paragraphs before it in its section, for one that is to be put somewhere: the only file that they
            name may be it.
    """
    path, said = _destination(place.element.text, earlier, edited)
    named = _named(" ".join(section))
    if path:
        yield _fact(place, path, place.element.text, _extent(said, path), " ".join(said) or path)
    elif len(named) == 1:
        yield _fact(place, named.pop(), place.element.text, Extent.UNCLEAR, place.before)


def command_contents(place: PagePlace, command: PageCommand) -> Iterator[Fact]:
    """Give what a here-document puts into a file; the shell would expand one whose end is not quoted."""
    heredoc = _HEREDOC.search(command.text)
    if heredoc is None or not command.body:
        return
    added, written = _ADDED.search(command.text), _WRITTEN.search(command.text)
    if added:
        yield _fact(place, added[1] or added[2], command.body, Extent.PART, command.text)
    elif written:
        is_plain = bool(heredoc["quote"]) or not _EXPANDED.search(command.body)
        extent = Extent.WHOLE if is_plain else Extent.UNCLEAR
        yield _fact(place, written[1], command.body, extent, command.text)


def edited_path(text: str) -> str:
    """Give the file that a command opens in an editor; empty where it does not."""
    found = _EDITOR.match(text.strip())
    return found[1] if found else ""


def _fact(place: PagePlace, path: str, text: str, extent: Extent, quote: str) -> Fact:
    if extent is Extent.WHOLE and place.may_be_optional and not place.is_optional:
        extent = Extent.UNCLEAR
    content = "\n".join(line.rstrip() for line in text.strip("\n").split("\n")) + "\n"
    optional = "yes" if place.is_optional else ""
    sure = _CONFIDENCE[extent]
    return place.fact(
        FactKind.CONTENT, path, sure, quote=quote, content=content, extent=extent.value, optional=optional
    )


def _destination(text: str, earlier: Sequence[str], edited: str) -> tuple[str, list[str]]:
    """Find where a block goes, and the sentences that say so."""
    first = _COMMENT.match(text.lstrip("\n").split("\n", 1)[0])
    caption = _CAPTION.match(earlier[0]) if earlier else None
    said = list(earlier[1:2] if caption else earlier[:1])
    clauses = [clause for text in said for clause in _CLAUSE.split(text)]
    named = next((paths for clause in reversed(clauses) if (paths := _named(clause))), set())
    if caption:
        return caption[1], said
    if first:
        return first[1], said
    if len(named) == 1:
        return named.pop(), said
    # a block that follows another thing entirely is not what the editor was opened for
    return (edited, said) if edited and not named else ("", said)


def _named(text: str) -> set[str]:
    return {path for path in paths_in(text) if path.startswith("/etc/")}


def _extent(said: Sequence[str], path: str) -> Extent:
    sentences = [sentence for text in said for sentence in _SENTENCE.split(text)]
    whole = [sentence for sentence in sentences if _WHOLE.search(sentence)]
    if whole:
        return Extent.UNCLEAR if any(_PART.search(_WHOLE.sub(" ", sentence)) for sentence in whole) else Extent.WHOLE
    if any(_PART.search(sentence) for sentence in sentences):
        return Extent.PART
    is_put = any(_PUT.search(sentence) for sentence in sentences)
    return Extent.WHOLE if is_put and _DROP_IN.search(path) else Extent.UNCLEAR
