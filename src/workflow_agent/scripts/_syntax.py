"""The shell's syntax tree (tree-sitter-bash). The only module that knows which parser is used."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tree_sitter import Language, Node, Tree

__all__ = ["node_text", "parse_shell", "walk"]

#: The parser asks of what follows these whether it is a digit, in a table of 256 entries: anything beyond makes it read
#: foreign memory, and mostly ends the process. Source: github.com/tree-sitter/tree-sitter-bash/issues/337, pull 348.
_BEYOND_ITS_TABLE = re.compile(r"(\{[0-9]*\.{0,2}[0-9]*)([^\x00-\xff])")
_READ_WRITE = re.compile(rb"(?<=[\s0-9])<>(?=[\s/&\"'$\w])")
_HERE = re.compile(rb"<<-?[ \t]*\\?(['\"]?)(\w+)\1")
_FOR_ARGUMENTS = re.compile(rb"(\bfor[ \t]+\w+)[ \t](?=[ \t]*do\b)")
_PART_BY_VARIABLE = re.compile(rb"(\$\{\w+:)\$(\w+)(?=[:}])")
_QUIET_ASSIGNMENT = re.compile(rb"^([ \t]*\w+=.*?)((?:2>|&>|>)[ \t]*/dev/null)(?=[ \t]*(?:$|;|&&|\|\|))", re.MULTILINE)
_DOLLAR = re.compile(rb"(?<=\w)\$(?=[ \t]*\))")
_EXTENDED = re.compile(rb"([!@?*+])\(([^()\s]*)\)")
_LETTERS = b"ZQXJKVWYBPGFMUCDLHRSNIOATE_"


@cache
def _language() -> Language:
    import tree_sitter_bash  # noqa: PLC0415 - late: 30 ms with tree_sitter
    from tree_sitter import Language  # noqa: PLC0415 - late: 30 ms

    return Language(tree_sitter_bash.language())


def parse_shell(text: str) -> Tree:
    """Parse bash text; broken parts are ERROR nodes in the tree. Never raises for any text."""
    from tree_sitter import Parser  # noqa: PLC0415 - late: 30 ms

    parser = Parser(_language())
    raw = _BEYOND_ITS_TABLE.sub(_letters, text).encode("utf-8", "replace")
    first = tree = parser.parse(raw)
    for rewritten in _PLAINER:
        if not tree.root_node.has_error:
            return tree
        plainer = rewritten(raw)
        if plainer != raw:
            raw, tree = plainer, parser.parse(plainer)
    return first if tree.root_node.has_error else tree


def _without_extended_patterns(raw: bytes) -> bytes:
    return _EXTENDED.sub(_plain_pattern, raw) if b"extglob" in raw else raw


def _blank(found: re.Match[bytes]) -> bytes:
    return found[1] + b" " * len(found[2])


def _plain_pattern(found: re.Match[bytes]) -> bytes:
    """Write `!(…)`, all but a few, as stars, `/@(a|b)` as `//{a,b}`, others as a name: as long as before."""
    if found[1] == b"!":
        return b"*" * len(found[0])
    if found[1] == b"@" and b"|" in found[2] and found.string[: found.start()].endswith(b"/"):
        return b"/{" + found[2].replace(b"|", b",") + b"}"
    return b"x" * len(found[0])


def _distinct_ends(raw: bytes) -> bytes:
    """Rename ends of here-documents with which a line of their text begins; every place stays where it is."""
    at = 0
    while match := _HERE.search(raw, at):
        at, word = match.end(), match[2]
        end = re.compile(rb"^\t*(" + word + rb")$", re.MULTILINE).search(raw, at)
        lines = raw[at : end.start(1)].split(b"\n")[1:] if end else []
        if end is None or not any(line.lstrip(b"\t").startswith(word) for line in lines):
            continue
        free = (bytes([letter]) * len(word) for letter in _LETTERS)
        new = next((one for one in free if not any(line.lstrip(b"\t").startswith(one) for line in lines)), word)
        raw = raw[: match.start(2)] + new + raw[match.end(2) : end.start(1)] + new + raw[end.end(1) :]
        at = end.end(1)
    return raw


#: What the grammar does not know, written as it does know it, and the same to the rules; every place stays.
_PLAINER: tuple[Callable[[bytes], bytes], ...] = (
    lambda raw: _READ_WRITE.sub(b">>", raw),
    _distinct_ends,  # it takes a line for a here-document's end that only begins like it
    _without_extended_patterns,  # known only where `case` and `[[` compare
    lambda raw: _FOR_ARGUMENTS.sub(rb"\1;", raw),
    lambda raw: _PART_BY_VARIABLE.sub(rb"\1 \2", raw),
    lambda raw: _QUIET_ASSIGNMENT.sub(_blank, raw),
    lambda raw: _DOLLAR.sub(b".", raw),
)


def _letters(found: re.Match[str]) -> str:
    """Give letters in place of a character, with as many bytes: positions stay, and it is part of a word as before."""
    return found[1] + "x" * len(found[2].encode("utf-8", "replace"))


def node_text(node: Node) -> str:
    """The source text of a node."""
    return (node.text or b"").decode("utf-8", "replace")


def walk(node: Node) -> Iterator[Node]:
    """Give a node and all below it, in document order, without recursion."""
    stack = [node]
    while stack:
        current = stack.pop()
        yield current
        stack.extend(reversed(current.children))
