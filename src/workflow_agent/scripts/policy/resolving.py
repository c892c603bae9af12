"""What a word of a script can be: every text that constants allow, unknown parts as marker characters.

Deliberately insensitive to order: a variable can be whatever the script ever assigns to it. That finds more than
it should, never less; the number of combinations is capped.
"""

from __future__ import annotations

import re
from itertools import chain, islice, product
from typing import TYPE_CHECKING

from workflow_agent.scripts._syntax import node_text
from workflow_agent.scripts.policy.ansi import ansi_text, changed
from workflow_agent.scripts.policy.markers import KNOWN, MARKERS, MAYBE, SPLIT
from workflow_agent.scripts.policy.scopes import MAX_VALUES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tree_sitter import Node

    from workflow_agent.scripts.policy.scopes import Scope

__all__ = ["resolve"]

_MAX_DEPTH = 8
_MAX_LENGTH = 64 * 1024
_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
_KEY = re.compile(r"^\[[^\]]*\]=")  # ([NAME]=VALUE …)
_NEVER_EMPTY = frozenset(("?", "#", "$", "!", "0", "-", "PWD", "RANDOM", "UID", "EUID", "HOSTNAME", "LINENO"))
_DEFAULTS = {"HOME": "/root", "IFS": " "}


def resolve(node: Node, scope: Scope, *, quoted: bool = False, depth: int = 0) -> list[str]:
    """Give the texts that a word can be, at least one, most likely ones first."""
    if depth > _MAX_DEPTH:
        return [MAYBE]
    handler = _HANDLERS.get(node.type)
    found = handler(node, scope, quoted, depth) if handler else [MAYBE]
    return list(dict.fromkeys(text[:_MAX_LENGTH] for text in found))[:MAX_VALUES] or [""]


def _join(parts: list[list[str]]) -> list[str]:
    return ["".join(choice) for choice in islice(product(*parts), MAX_VALUES)]


def _word(node: Node, scope: Scope, quoted: bool, depth: int) -> list[str]:
    del scope, quoted, depth
    return _expand_braces(re.sub(r"\\(\n|.)", lambda found: found[1].strip("\n"), node_text(node), flags=re.DOTALL))


def _expand_braces(text: str) -> list[str]:
    found = _BRACES.search(text)
    if found is None:
        return [text]
    rest = [text[: found.start()] + item + text[found.end() :] for item in found[1].split(",")]
    return [SPLIT.join(part for item in rest[:MAX_VALUES] for part in _expand_braces(item)[:1])]


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
    items = [[_KEY.sub("", text) for text in resolve(child, scope, depth=depth + 1)] for child in node.named_children]
    return [SPLIT.join(choice) for choice in islice(product(*items), MAX_VALUES)]


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
    if sign == "!":
        values = _named(values, node, scope, depth)
    elif sign:
        values = _changed(values, node_text(node))
    return _split(values, quoted)


def _named(names: list[str], node: Node, scope: Scope, depth: int) -> list[str]:
    """Give what ``${!NAME}`` can be: the values of the variables that NAME names."""
    if depth >= _MAX_DEPTH or not re.fullmatch(r"\$\{!\w+\}", node_text(node)):
        return [MAYBE]
    values = [_variable(name, node, scope, depth + 1) for name in names if name.isidentifier()]
    return [text for texts in values for text in texts] or [MAYBE]


def _changed(values: list[str], expansion: str) -> list[str]:
    """Change each value as an expansion says; one of which a part is unknown can become anything."""
    known = [value.split(SPLIT) for value in values if not (MARKERS - {SPLIT}) & set(value)]
    parts = [changed(pieces, expansion) for pieces in known]
    found = [SPLIT.join(pieces) for pieces in parts if pieces is not None]
    return found if found and len(found) == len(values) else [*found, MAYBE]


def _never_empty(value: str) -> str:
    return KNOWN if value in ("", MAYBE) else value


def _simple_expansion(node: Node, scope: Scope, quoted: bool, depth: int) -> list[str]:
    return _split(_variable(node_text(node)[1:], node, scope, depth), quoted)


def _split(values: list[str], quoted: bool) -> list[str]:
    return values if quoted else [re.sub(r"[ \t\n]+", SPLIT, value) for value in values]


def _variable(name: str, node: Node, scope: Scope, depth: int) -> list[str]:
    if name.isdigit() and name != "0":
        return _positional(int(name), node, scope, depth)
    if name == "0" and scope.arguments:
        return [scope.arguments[0]]
    if name in ("@", "*"):
        return _all_positional(node, scope, depth)
    recipes = scope.lookup(name)
    if name in scope.references and depth < _MAX_DEPTH:
        others = {text for node in scope.references[name] for text in resolve(node, scope, depth=depth + 1)} - {name}
        return [text for other in sorted(others) for text in _variable(other, node, scope, depth + 1)] or [MAYBE]
    if recipes is None:
        return [_DEFAULTS.get(name, KNOWN if name in _NEVER_EMPTY else MAYBE)]
    return scope.remember(("variable", name), (_recipe(recipe, scope, depth) for recipe in recipes[:MAX_VALUES]))


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
