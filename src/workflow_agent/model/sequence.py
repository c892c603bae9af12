"""The order of steps: one stable topological order for the engine, the pictures and the checks."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import chain
from typing import TYPE_CHECKING

from workflow_agent.model.errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from workflow_agent.model.workflow import Step

__all__ = ["PARTS", "find_cycle", "scoped_order", "stable_order"]

#: Parts of a scope, in their order.
PARTS = ("body", "catch", "finally")
#: Steps of a cycle that people read; of a longer one the middle is left out.
_SAID = 20


def stable_order(needs: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """Order names so that each comes after what it needs, otherwise as they are written.

    Args:
        needs: Name to the names that it needs, in the order of writing; names that are no key are ignored.

    Raises:
        ValidationError: they form a cycle (`details`: ``cycle``).

    Source: Kahn 1962, with a heap of positions; O((n + e) log n).
    """
    position = {name: index for index, name in enumerate(needs)}
    waits = {name: {need for need in wanted if need in position} for name, wanted in needs.items()}
    followers: dict[str, list[str]] = {name: [] for name in needs}
    for name, wanted in waits.items():
        for need in wanted:
            followers[need].append(name)
    names = list(needs)
    ready = [position[name] for name in names if not waits[name]]
    heapify(ready)
    order: list[str] = []
    while ready:
        name = names[heappop(ready)]
        order.append(name)
        for follower in followers[name]:
            waits[follower].discard(name)
            if not waits[follower]:
                heappush(ready, position[follower])
    if len(order) < len(names):
        cycle = find_cycle({name: wanted for name, wanted in waits.items() if wanted})
        raise ValidationError("steps need each other: " + " → ".join(_short(cycle)), details={"cycle": cycle})
    return tuple(order)


def _short(cycle: list[str]) -> list[str]:
    """Leave the middle of a long cycle out of what people read."""
    if len(cycle) <= _SAID:
        return cycle
    return [*cycle[: _SAID - 4], f"({len(cycle) - _SAID} more)", *cycle[-4:]]


def scoped_order(steps: Iterable[Step]) -> tuple[str, ...]:
    """Order steps by their needs; those of a scope come right after it, part by part.

    Raises:
        ValidationError: they form a cycle (`details`: ``cycle``), or a scope is in itself or not there.
    """
    groups: dict[tuple[str | None, str], dict[str, tuple[str, ...]]] = {}
    for step in steps:
        groups.setdefault((step.scope, step.part), {})[step.id] = step.needs
    order: list[str] = []
    todo = [iter(stable_order(groups.pop((None, "body"), {})))]
    while todo:
        name = next(todo[-1], None)
        if name is None:
            todo.pop()
            continue
        order.append(name)
        parts = [groups.pop((name, part), {}) for part in PARTS]
        if any(parts):
            todo.append(chain.from_iterable([stable_order(part) for part in parts]))
    if groups:
        scope, _ = next(iter(groups))
        raise ValidationError(f"steps are in the scope `{scope}`, which is in itself or not there")
    return tuple(order)


def find_cycle(waits: Mapping[str, Collection[str]]) -> list[str]:
    """Give one cycle (first name repeated at the end) where every name waits for another one of the mapping."""
    name = next(iter(waits))
    seen: dict[str, int] = {}
    while name not in seen:
        seen[name] = len(seen)
        name = min(need for need in waits[name] if need in waits)
    return [*list(seen)[seen[name] :], name]
