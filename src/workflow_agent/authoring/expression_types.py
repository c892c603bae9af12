"""Types of expressions, as far as they are known before a run: of inputs that are declared, and of constants.

What is not known is not judged: outputs of steps, `state`, an input of type ``any``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from workflow_agent.model._expression_syntax import Compare, FunctionCall, Items, Literal, Logic, Node, Not, Path
from workflow_agent.model.value_types import type_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    #: Gives the type of what a path reads, or None where it is not known.
    Known: TypeAlias = Mapping[tuple[str, str], str]

__all__ = ["clashes", "kind_of"]

_NUMBERS = frozenset({"integer", "number"})
_LENGTHS = frozenset({"string", "array", "object", "null"})
_CONTAINERS = {"string": frozenset({"string"}), "object": frozenset({"string"})}


def kind_of(node: Node, known: Known) -> str | None:
    """Give the type of an expression's value; None where it is not known."""
    kind: str | None = None
    match node:
        case Literal(value):
            kind = type_of(value)
        case Items():
            kind = "array"
        case Compare() | Not() | Logic():
            kind = "boolean"
        case FunctionCall("len"):
            kind = "integer"
        case FunctionCall(_, (first, second)):
            kinds = {kind_of(first, known), kind_of(second, known)}
            kind = kinds.pop() if len(kinds) == 1 else None
        case Path((str() as root, str() as name)):
            kind = known.get((root, name))
        case Path(("steps", _, "status")):
            kind = "string"
    return kind


def clashes(node: Node, known: Known) -> Iterator[str]:
    """Say where an expression does something with a value that its type does not let it do."""
    for child in _parts(node):
        yield from clashes(child, known)
    match node:
        case Path((str() as root, str() as name, part, *_)):
            kind = known.get((root, name))
            if kind not in {None, "array" if isinstance(part, int) else "object"}:
                yield f"`{root}.{name}` is of type {kind}, and has no part `{part}`"
        case Compare():
            yield from _compared(node, known)
        case FunctionCall("len", (value,)):
            kind = kind_of(value, known)
            if kind not in {None, *_LENGTHS}:
                yield f"a value of type {kind} has no length"
        case Not() | Logic():
            wrong = {kind_of(each, known) for each in _parts(node)} - {None, "boolean", "null"}
            for kind in sorted(map(str, wrong)):
                yield f"`and`, `or` and `not` take true or false, not a value of type {kind}"


def _parts(node: Node) -> tuple[Node, ...]:
    match node:
        case Compare():
            return node.left, node.right
        case Not():
            return (node.operand,)
        case Items(parts) | FunctionCall(_, parts) | Logic(_, parts):
            return parts
    return ()


def _compared(node: Compare, known: Known) -> Iterator[str]:
    left, right = kind_of(node.left, known), kind_of(node.right, known)
    if node.operator in {"==", "!="}:
        if None not in {left, right} and "null" not in {left, right} and _family(left) != _family(right):
            yield f"a value of type {left} is never equal to one of type {right}"
    elif node.operator == "in":
        if right in {"integer", "number", "boolean"}:
            yield f"nothing is in a value of type {right}"
        elif right in _CONTAINERS and left is not None and left not in _CONTAINERS[right]:
            yield f"a value of type {left} cannot be in one of type {right}"
    else:
        families = {_family(left), _family(right)} - {None}
        if not families <= {"number"} and not families <= {"string"}:
            yield f"`{node.operator}` compares two numbers or two texts, not {left or 'it'} and {right or 'it'}"


def _family(kind: str | None) -> str | None:
    return "number" if kind in _NUMBERS else kind
