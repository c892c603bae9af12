"""What a word of a script can be: every text that constants allow, unknown parts as marker characters.

Deliberately insensitive to order: a variable can be whatever the script ever assigns to it. That finds more than
it should, never less; the number of combinations is capped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import chain, islice, product
from typing import TYPE_CHECKING

from workflow_agent.scripts.policy.ansi import ansi_text, cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tree_sitter import Node

__all__ = [
    "DECODED",
    "KNOWN",
    "MARKERS",
    "MAYBE",
    "NET",
    "SPLIT",
    "Scope",
    "collect_scope",
    "node_text",
    "resolve",
    "walk",
    "without_markers",
]

#: Stand for unknown text: perhaps empty, surely not empty, fetched from a network, decoded; and for a blank at
#: which an unquoted expansion is split. Taken from the private-use area; :func:`without_markers` keeps scripts
#: from writing them.
MAYBE, KNOWN, NET, DECODED, SPLIT = "\ue000", "\ue001", "\ue002", "\ue003", "\ue004"
MARKERS = frozenset((MAYBE, KNOWN, NET, DECODED, SPLIT))

_MAX_VALUES = 24
_MAX_DEPTH = 8
_MAX_LENGTH = 64 * 1024
_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
_NEVER_EMPTY = frozenset(("?", "#", "$", "!", "0", "-", "PWD", "RANDOM", "UID", "EUID", "HOSTNAME", "LINENO"))
_CUT = re.compile(r"\$\{\w+(%%?|##?|//?)([^${}`\\]*)\}")
_MAX_CUT = 256
_DEFAULTS = {"HOME": "/root", "IFS": " "}


def without_markers(text: str) -> str:
    """Replace marker characters that a script contains itself."""
    return "".join("\ufffd" if char in MARKERS else char for char in text)


def node_text(node: Node) -> str:
    """The source text of a node."""
    return (node.text or b"").decode("utf-8", "replace")


@dataclass(slots=True)
class Scope:
    """Assignments of a script: name → the value nodes it was given (None: an unknown text)."""

    values: dict[str, list[tuple[Node | None, ...]]] = field(default_factory=dict)
    calls: dict[str, list[list[Node]]] = field(default_factory=dict)  # function (or "" for `set --`) → arguments
    functions: set[str] = field(default_factory=set)
    aliases: dict[str, list[Node]] = field(default_factory=dict)
    #: The script's own arguments, ``$0`` first, where a command gives them: ``sh -c TEXT $0 $1 …``.
    arguments: tuple[str, ...] = ()
    #: Says what `read` can get from its standard input.
    piped: Callable[[Node, int], list[str]] = lambda _node, _depth: [MAYBE]
    #: Says what a command substitution or a process substitution gives.
    substitution: Callable[[Node, int], list[str]] = lambda _node, _depth: [MAYBE]
    outer: Scope | None = None
    #: What has been worked out already: texts by variable, positional parameter or substitution. A variable
    #: that is defined by itself sees what is known of it so far.
    known: dict[object, list[str]] = field(default_factory=dict)

    def remember(self, key: object, parts: Iterator[list[str]]) -> list[str]:
        """Give the texts under `key`, worked out once from `parts`."""
        if key not in self.known:
            texts: list[str] = []
            self.known[key] = texts
            for part in parts:
                texts.extend(text for text in part if text not in texts)
                del texts[_MAX_VALUES:]
        return list(self.known[key]) or [MAYBE]

    def lookup(self, name: str) -> list[tuple[Node | None, ...]] | None:
        """Give the values of a name here or further out; None when nothing assigns it."""
        if name in self.values:
            return self.values[name]
        return self.outer.lookup(name) if self.outer else None


def collect_scope(nodes: list[Node], outer: Scope | None = None) -> Scope:
    """Gather assignments, functions and their calls from all nodes of a tree, in document order."""
    scope = Scope(outer=outer)
    if outer is not None:
        scope.substitution = outer.substitution
    for node in nodes:
        if node.type == "function_definition":
            name = node.child_by_field_name("name")
            scope.functions.add(node_text(name) if name else "")
    for node in nodes:
        if node.type == "variable_assignment":
            _assign(scope, node)
        elif node.type == "for_statement":
            name = node.child_by_field_name("variable")
            values = node.children_by_field_name("value")
            scope.values.setdefault(node_text(name) if name else "", []).extend((item,) for item in values)
        elif node.type == "command":
            _note_command(scope, node)
    return scope


def _assign(scope: Scope, node: Node) -> None:
    target = node.child_by_field_name("name")
    if target is None:
        return
    base = target.child_by_field_name("name") if target.type == "subscript" else target
    known = scope.values.setdefault(node_text(base or target), [])
    value = node.child_by_field_name("value")
    recipe: tuple[Node | None, ...] = (value,) if value is not None else ()
    if any(child.type == "+=" for child in node.children):
        known += [(*before, *recipe) for before in known[:_MAX_VALUES]]
    known.append(recipe)


def _note_command(scope: Scope, node: Node) -> None:
    name = node_text(node.child_by_field_name("name") or node)
    arguments = node.children_by_field_name("argument")
    if name in scope.functions:
        scope.calls.setdefault(name, []).append(arguments)
    elif name == "set" and arguments and node_text(arguments[0]) == "--":
        scope.calls.setdefault("", []).append(arguments[1:])
    elif name == "printf" and len(arguments) > 2 and node_text(arguments[0]) == "-v":  # noqa: PLR2004 - -v NAME FORMAT
        scope.values.setdefault(node_text(arguments[1]), []).append((node,))
    elif name in ("read", "mapfile", "readarray", "getopts"):
        for argument in arguments:
            scope.values.setdefault(node_text(argument), []).append((None if name == "getopts" else node,))
    elif name == "alias":
        for argument in arguments:
            scope.aliases.setdefault(node_text(argument).partition("=")[0], []).append(argument)


def resolve(node: Node, scope: Scope, *, quoted: bool = False, depth: int = 0) -> list[str]:
    """Give the texts that a word can be, at least one, most likely ones first."""
    if depth > _MAX_DEPTH:
        return [MAYBE]
    handler = _HANDLERS.get(node.type)
    found = handler(node, scope, quoted, depth) if handler else [MAYBE]
    return list(dict.fromkeys(text[:_MAX_LENGTH] for text in found))[:_MAX_VALUES] or [""]


def _join(parts: list[list[str]]) -> list[str]:
    return ["".join(choice) for choice in islice(product(*parts), _MAX_VALUES)]


def _word(node: Node, scope: Scope, quoted: bool, depth: int) -> list[str]:
    del scope, quoted, depth
    return _expand_braces(re.sub(r"\\(\n|.)", lambda found: found[1].strip("\n"), node_text(node), flags=re.DOTALL))


def _expand_braces(text: str) -> list[str]:
    found = _BRACES.search(text)
    if found is None:
        return [text]
    rest = [text[: found.start()] + item + text[found.end() :] for item in found[1].split(",")]
    return [SPLIT.join(part for item in rest[:_MAX_VALUES] for part in _expand_braces(item)[:1])]


def _raw_string(node: Node, scope: Scope, quoted: bool, depth: int) -> list[str]:
    del scope, quoted, depth
    return [node_text(node)[1:-1]]


def _ansi_string(node: Node, scope: Scope, quoted: bool, depth: int) -> list[str]:
    del scope, quoted, depth
    return [ansi_text(node_text(node)[2:-1])]


def _string(node: Node, scope: Scope, quoted: bool, depth: int) -> list[str]:
    del quoted
    inner = [child for child in node.named_children if child.type != "string_content"]
    parts: list[list[str]] = []
    position = node.start_byte + 1
    raw = node.text or b""
    for child in inner:
        parts.append([_unescape(raw[position - node.start_byte : child.start_byte - node.start_byte])])
        parts.append(resolve(child, scope, quoted=True, depth=depth + 1))
        position = child.end_byte
    parts.append([_unescape(raw[position - node.start_byte : -1])])
    return _join(parts)


def _unescape(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace")
    return re.sub(r'\\(["\\$`\n])', lambda found: found[1].strip("\n"), text)


def _concatenation(node: Node, scope: Scope, quoted: bool, depth: int) -> list[str]:
    joined = _join([resolve(child, scope, quoted=quoted, depth=depth + 1) for child in node.children])
    return [text for item in joined for text in _expand_braces(item)]


def _array(node: Node, scope: Scope, quoted: bool, depth: int) -> list[str]:
    del quoted
    items = [resolve(child, scope, depth=depth + 1) for child in node.named_children]
    return [SPLIT.join(choice) for choice in islice(product(*items), _MAX_VALUES)]


def _expansion(node: Node, scope: Scope, quoted: bool, depth: int) -> list[str]:
    names = [
        child for child in node.named_children if child.type.endswith("variable_name") or child.type == "subscript"
    ]
    if not names:
        return [MAYBE]
    operator = node.child_by_field_name("operator")
    sign = node_text(operator) if operator else ""
    if sign == "#" and operator is not None and operator.start_byte < names[0].start_byte:
        return [KNOWN]
    name = names[0].child_by_field_name("name") if names[0].type == "subscript" else names[0]
    values = _variable(node_text(name or names[0]), node, scope, depth)
    if sign in (":?", "?"):
        return [_never_empty(value) for value in values]
    if sign in (":-", "-", ":=", "=", ":+", "+"):
        words = [child for child in node.named_children if child.start_byte > names[0].end_byte]
        instead = _join([resolve(word, scope, depth=depth + 1) for word in words])
        return _split([value for value in values if value != MAYBE] + instead, quoted)
    trimmed = _CUT.fullmatch(node_text(node))
    if trimmed and not any(MARKERS & set(value) for value in values):
        return _split([cut(value[:_MAX_CUT], trimmed[1], trimmed[2].strip("\"'")) for value in values], quoted)
    return [MAYBE] if sign else _split(values, quoted)


def _never_empty(value: str) -> str:
    return KNOWN if value in ("", MAYBE) else value


def _simple_expansion(node: Node, scope: Scope, quoted: bool, depth: int) -> list[str]:
    return _split(_variable(node_text(node)[1:], node, scope, depth), quoted)


def _split(values: list[str], quoted: bool) -> list[str]:
    return values if quoted else [re.sub(r"[ \t\n]+", SPLIT, value) for value in values]


def _variable(name: str, node: Node, scope: Scope, depth: int) -> list[str]:
    if name.isdigit() and name != "0":
        return _positional(int(name), node, scope, depth)
    if name in ("@", "*"):
        return _all_positional(node, scope, depth)
    recipes = scope.lookup(name)
    if recipes is None:
        return [_DEFAULTS.get(name, KNOWN if name in _NEVER_EMPTY else MAYBE)]
    return scope.remember(("variable", name), (_recipe(recipe, scope, depth) for recipe in recipes[:_MAX_VALUES]))


def _recipe(recipe: tuple[Node | None, ...], scope: Scope, depth: int) -> list[str]:
    return _join([[MAYBE] if part is None else resolve(part, scope, quoted=True, depth=depth + 1) for part in recipe])


def _function(node: Node) -> str:
    current = node.parent
    while current is not None and current.type != "function_definition":
        current = current.parent
    name = current.child_by_field_name("name") if current is not None else None
    return node_text(name) if name else ""


def _positional(index: int, node: Node, scope: Scope, depth: int) -> list[str]:
    function = _function(node)
    given = (call[index - 1] for call in scope.calls.get(function, []) if index <= len(call))
    values = [[text] for text in scope.arguments[index : index + 1] if not function]
    return scope.remember(
        ("positional", function, index),
        chain(values, (resolve(argument, scope, quoted=True, depth=depth + 1) for argument in given)),
    )


def _all_positional(node: Node, scope: Scope, depth: int) -> list[str]:
    function = _function(node)
    own = [[SPLIT.join(scope.arguments[1:])]] if scope.arguments[1:] and not function else []
    values = (
        [SPLIT.join(resolve(argument, scope, quoted=True, depth=depth + 1)[0] for argument in arguments)]
        for arguments in scope.calls.get(function, [])
    )
    return scope.remember(("positional", function, "@"), chain(own, values))


def _substitution(node: Node, scope: Scope, quoted: bool, depth: int) -> list[str]:
    texts = scope.remember(("substitution", node.id), iter([scope.substitution(node, depth)]))
    return _split(texts, quoted)


def _read(node: Node, scope: Scope, quoted: bool, depth: int) -> list[str]:
    del quoted
    return scope.remember(("read", node.id), iter([scope.piped(node, depth)]))


def _known(node: Node, scope: Scope, quoted: bool, depth: int) -> list[str]:
    del node, scope, quoted, depth
    return [KNOWN]


def _literal(node: Node, scope: Scope, quoted: bool, depth: int) -> list[str]:
    del scope, quoted, depth
    return [node_text(node)]


def _children(node: Node, scope: Scope, quoted: bool, depth: int) -> list[str]:
    return _join([resolve(child, scope, quoted=quoted, depth=depth + 1) for child in node.named_children])


_HANDLERS: dict[str, Callable[[Node, Scope, bool, int], list[str]]] = {
    "word": _word,
    "command": _read,
    "number": _literal,
    "variable_name": _literal,
    "command_name": _children,
    "raw_string": _raw_string,
    "string": _string,
    "translated_string": _children,
    "ansi_c_string": _ansi_string,
    "concatenation": _concatenation,
    "array": _array,
    "expansion": _expansion,
    "simple_expansion": _simple_expansion,
    "command_substitution": _substitution,
    "process_substitution": _substitution,
    "arithmetic_expansion": _known,
    "brace_expression": _known,
    "extglob_pattern": _literal,
    "regex": _literal,
    "test_operator": _literal,
    "string_content": _literal,
}


def walk(node: Node) -> Iterator[Node]:
    """Give a node and all below it, in document order, without recursion."""
    stack = [node]
    while stack:
        current = stack.pop()
        yield current
        stack.extend(reversed(current.children))
