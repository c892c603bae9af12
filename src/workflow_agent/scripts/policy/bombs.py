"""Fork bombs: functions and scripts that start copies of themselves without end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_agent.scripts._syntax import node_text, walk
from workflow_agent.scripts.policy.hits import Hit
from workflow_agent.scripts.policy.unwrapping import SHELLS, program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

    from workflow_agent.scripts.policy.calls import ShellText

__all__ = ["match_bombs"]

_SELF = ("$0", '"$0"', "${0}", '"${0}"', "$BASH_SOURCE", '"$BASH_SOURCE"')


def match_bombs(shell: ShellText) -> Iterator[Hit]:
    """Match functions that call themselves in a pipe or in the background, and scripts that do so with ``$0``."""
    for node in shell.nodes:
        if node.type == "function_definition":
            name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
            if name is not None and body is not None and _multiplied(body, (node_text(name),)) is not None:
                yield Hit("fork-bomb", node)
    again = _multiplied(shell.root, _SELF)
    if again is not None:
        yield Hit("fork-bomb", again)


def _multiplied(body: Node, names: tuple[str, ...]) -> Node | None:
    """Give the first place where one of the names starts itself without waiting for itself."""
    for node in walk(body):
        if node.type == "pipeline" and sum(_calls(child, names) for child in node.named_children) > 1:
            return node
        following = node.next_sibling
        if following is not None and following.type == "&" and _calls(node, names):
            return node
    return None


def _calls(node: Node, names: tuple[str, ...]) -> bool:
    if node.type in ("redirected_statement", "negated_command"):
        return any(_calls(child, names) for child in node.named_children)
    name = node.child_by_field_name("name") if node.type == "command" else None
    if name is None:
        return False
    if program(node_text(name)) in SHELLS:  # `bash "$0" &`
        return any(node_text(word) in names for word in node.children_by_field_name("argument")[:1])
    return node_text(name) in names
