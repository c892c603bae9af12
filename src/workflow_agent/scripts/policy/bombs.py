"""Fork bombs: functions and scripts that start copies of themselves without end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_agent.scripts.policy.hits import Hit
from workflow_agent.scripts.policy.resolving import node_text, walk

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
            if name is not None and body is not None and _multiplies(body, (node_text(name),)):
                yield Hit("fork-bomb", node)
    if _multiplies(shell.root, _SELF):
        yield Hit("fork-bomb", shell.root)


def _multiplies(body: Node, names: tuple[str, ...]) -> bool:
    for node in walk(body):
        if node.type == "pipeline" and sum(_calls(child, names) for child in node.named_children) > 1:
            return True
        following = node.next_sibling
        if following is not None and following.type == "&" and _calls(node, names):
            return True
    return False


def _calls(node: Node, names: tuple[str, ...]) -> bool:
    if node.type in ("redirected_statement", "negated_command"):
        return any(_calls(child, names) for child in node.named_children)
    name = node.child_by_field_name("name") if node.type == "command" else None
    return name is not None and node_text(name) in names
