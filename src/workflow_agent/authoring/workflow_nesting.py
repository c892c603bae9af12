"""Scopes as people write them, one inside the other, and as the model has them: one list, each step with its scope.

::

    - id: payment
      uses: flow.scope
      steps: [...]
      catch: [...]
      finally: [...]

What belongs here: flattening, and where a flat step stands in the text. What does not: what a scope may hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from workflow_agent.authoring.problem import Problem
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Way: TypeAlias = tuple[str | int, ...]

__all__ = ["MAX_SCOPES", "Flat", "flattened"]

#: Scopes may be in scopes so deep.
MAX_SCOPES = 16
_PARTS = {"steps": "body", "catch": "catch", "finally": "finally"}
_STEPS = "steps"


@dataclass(frozen=True, slots=True)
class Flat:
    """A definition whose steps are one list. `ways` says where each stands in the text."""

    data: Mapping[str, Any]
    ways: tuple[Way, ...]
    problems: tuple[Problem, ...]

    def way(self, way: Way) -> Way:
        """Give the place in the text of a place in the flat definition."""
        if way[:1] == (_STEPS,) and len(way) > 1 and isinstance(way[1], int):
            return (*self.ways[way[1]], *way[2:])
        return way

    def placed(self, problems: Iterable[Problem]) -> list[Problem]:
        """Give problems of the flat definition with their places in the text."""
        return [Problem(self.way(each.way), each.message, each.hint, each.at_key) for each in problems]


def flattened(data: Mapping[str, Any], key: str = "id") -> Flat:
    """Give a definition as one list of steps; `key` is where a step has its name."""
    steps = data.get(_STEPS)
    if not isinstance(steps, list):
        return Flat(data, (), ())
    found = [*_walk(steps, (_STEPS,), {}, key, 0)]
    problems = tuple(each for each in found if isinstance(each, Problem))
    flat = [each for each in found if not isinstance(each, Problem)]
    return Flat({**data, _STEPS: [step for step, _ in flat]}, tuple(way for _, way in flat), problems)


def _walk(
    steps: list[Any], way: Way, inherited: Mapping[str, str], key: str, depth: int
) -> Iterator[tuple[Any, Way] | Problem]:
    for index, step in enumerate(steps):
        here = (*way, index)
        held = [part for part in _PARTS if isinstance(step, dict) and part in step]
        if not held or not isinstance(step.get(key), str):
            yield ({**step, **inherited} if isinstance(step, dict) else step), here
            continue
        yield {name: value for name, value in step.items() if name not in _PARTS} | dict(inherited), here
        for part in held:
            if not isinstance(step[part], list):
                yield Problem((*here, part), "must be a list of steps")
            elif depth == MAX_SCOPES:
                yield Problem((*here, part), f"scopes are nested deeper than {MAX_SCOPES}", at_key=True)
            else:
                own = {"scope": step[key]} | ({} if part == _STEPS else {"part": _PARTS[part]})
                yield from _walk(step[part], (*here, part), own, key, depth + 1)
