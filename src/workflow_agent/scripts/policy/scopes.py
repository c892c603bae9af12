"""What a script gives its variables, functions and aliases, wherever it does."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workflow_agent.scripts._syntax import node_text
from workflow_agent.scripts.policy.markers import MAYBE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tree_sitter import Node

__all__ = ["MAX_VALUES", "Scope", "collect_scope"]

#: So many texts of one word are looked at.
MAX_VALUES = 24
_DECLARES = frozenset(("declare", "typeset", "local"))


@dataclass(slots=True)
class Scope:
    """Assignments of a script: name → the value nodes it was given (None: an unknown text)."""

    values: dict[str, list[tuple[Node | None, ...]]] = field(default_factory=dict)
    calls: dict[str, list[list[Node]]] = field(default_factory=dict)  # function (or "" for `set --`) → arguments
    functions: dict[str, Node] = field(default_factory=dict)
    aliases: dict[str, list[Node]] = field(default_factory=dict)
    #: Variables that stand for others (``declare -n``): what names them.
    references: dict[str, list[Node]] = field(default_factory=dict)
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
                del texts[MAX_VALUES:]
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
            scope.functions[node_text(name) if name else ""] = node
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
    if value is not None and _refers(node):
        scope.references.setdefault(node_text(target), []).append(value)
        return
    recipe: tuple[Node | None, ...] = (value,) if value is not None else ()
    if any(child.type == "+=" for child in node.children):
        known += [(*before, *recipe) for before in known[:MAX_VALUES]]
    known.append(recipe)


def _refers(assignment: Node) -> bool:
    """``declare -n NAME=OTHER``: a variable that stands for another one."""
    declaration = assignment.parent
    if declaration is None or declaration.type != "declaration_command":
        return False
    words = declaration.children
    options = (node_text(word) for word in words[1:] if word.type == "word")
    return words[0].type in _DECLARES and any(re.fullmatch(r"-\w*n\w*", word) for word in options)


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
    elif name == "hash" and [node_text(argument) for argument in arguments[:1]] == ["-p"]:
        scope.aliases.setdefault(node_text(arguments[-1]), []).append(arguments[1])
    elif name == "alias":
        for argument in arguments:
            scope.aliases.setdefault(node_text(argument).partition("=")[0], []).append(argument)
