"""The order of steps: one stable topological order for the engine, the pictures and the checks."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from workflow_agent.model.errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["find_cycle", "stable_order"]


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
        raise ValidationError("steps need each other: " + " → ".join(cycle), details={"cycle": cycle})
    return tuple(order)


def find_cycle(waits: Mapping[str, Collection[str]]) -> list[str]:
    """Give one cycle (first name repeated at the end) where every name waits for another one of the mapping."""
    name = next(iter(waits))
    seen: dict[str, int] = {}
    while name not in seen:
        seen[name] = len(seen)
        name = min(need for need in waits[name] if need in waits)
    return [*list(seen)[seen[name] :], name]
