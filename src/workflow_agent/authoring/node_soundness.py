"""What must hold of nodes, edges, joins and scopes: what a step says that is none of its kind, or can never happen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from workflow_agent.authoring.problem import Problem
from workflow_agent.model.errors import ExpressionError
from workflow_agent.model.expression import parse
from workflow_agent.model.nearest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from workflow_agent.model.workflow import Step

    Way: TypeAlias = tuple[str | int, ...]

__all__ = ["NodeCheck"]

_ENDS: Final = ("success", "failure", "skip", "always")
_SCOPE: Final = "flow.scope"
_PARTS: Final = ("body", "catch", "finally")
#: What a verb of the engine takes, and what of it it cannot do without (one of each group).
_TAKES: Final[Mapping[str, tuple[frozenset[str], tuple[tuple[str, ...], ...]]]] = {
    "flow.choice": (frozenset({"cases", "default", "every"}), (("cases",),)),
    "flow.emit": (frozenset({"name", "data"}), (("name",),)),
    "flow.end": (frozenset({"status", "output", "reason"}), ()),
    _SCOPE: (frozenset(), ()),
    "wait.timer": (frozenset({"seconds", "until"}), (("seconds", "until"),)),
    "wait.signal": (frozenset({"name", "transient"}), ()),
    "workflow.run": (frozenset({"workflow", "inputs"}), (("workflow",),)),
}


class NodeCheck:
    """Checks one definition.

    Args:
        steps: All steps by id.
        places: Where each is.
    """

    def __init__(self, steps: Mapping[str, Step], places: Mapping[str, Way]) -> None:
        self._steps = steps
        self._places = places

    def problems(self) -> Iterator[Problem]:
        """List what is wrong; ids and needs are known to be good."""
        holders = {(step.scope, step.part) for step in self._steps.values()}
        for name, step in self._steps.items():
            place = self._places[name]
            yield from _inputs(step, place)
            if step.uses == "model.act":
                from workflow_agent.authoring.agent_parts import acting_problems  # noqa: PLC0415  # late: few steps do

                yield from acting_problems(step.with_, (*place, "with"))
            yield from self._keys(step, place)
            yield from self._edges(step, place)
            yield from self._scope(step, place)
            yield from self._cancels(step, place)
            yield from self._reach(step, place)
            if step.uses == _SCOPE and (name, "body") not in holders:
                yield Problem(place, f"the scope `{name}` holds no steps", "say `steps`: the list of them")

    # -- keys --------------------------------------------------------------------------------------------------------

    def _keys(self, step: Step, place: Way) -> Iterator[Problem]:
        if step.uses.startswith("flow."):
            said = [key for key in ("each", "until", "undo", "rate") if getattr(step, key) is not None]
            said += ["lock"] if step.lock is not None and step.uses != _SCOPE else []
            said += ["retry"] if step.retry.attempts > 1 else []
            for key in said:
                yield Problem((*place, key), f"a step that the engine carries out (`{step.uses[:64]}`) has no `{key}`")
            if (step.always or place[0] != "steps") and step.uses in {_SCOPE, "flow.end"}:
                yield Problem((*place, "uses"), f"`{step.uses}` is for the main steps")
        if step.each is None:
            for key in ("enough", "grows"):
                if getattr(step, key):
                    yield Problem((*place, key), "only a step with `each` has items")
        if step.rest != "stop" and step.enough is None:
            yield Problem((*place, "rest"), "only a step with `enough` leaves a rest")
        yield from _join(step, place)

    def _edges(self, step: Step, place: Way) -> Iterator[Problem]:
        for need, end in step.edges.items():
            way = (*place, "edges", need)
            if need not in step.needs:
                hint = did_you_mean(need, step.needs) or f"say `needs: [{need[:64]}]` too"
                yield Problem(way, f"`{step.id}` does not need `{need[:64]}`", hint, at_key=True)
                continue
            known = [*_ENDS, *_cases(self._steps[need])]
            if end not in known:
                message = f"`{need}` has no end `{end[:64]}`"
                hint = did_you_mean(end, known) or f"known are {', '.join(known)}"
                yield Problem(way, message, hint)

    # -- scopes ------------------------------------------------------------------------------------------------------

    def _scope(self, step: Step, place: Way) -> Iterator[Problem]:
        if step.scope is None:
            if step.part != "body":
                yield Problem((*place, "part"), "only a step of a scope belongs to a part of one")
            return
        scope = self._steps.get(step.scope)
        if scope is None or scope.uses != _SCOPE:
            known = [name for name, each in self._steps.items() if each.uses == _SCOPE]
            hint = did_you_mean(step.scope, known)
            yield Problem((*place, "scope"), f"there is no scope `{step.scope[:64]}`", hint)
        elif step.always or place[0] != "steps":
            yield Problem((*place, "scope"), "a step of a scope is one of the main steps")
        elif step.id in (around := self._around(step)):
            yield Problem((*place, "scope"), "scopes are in each other: " + " → ".join([step.id, *around]))

    def _around(self, step: Step) -> list[str]:
        found: list[str] = []
        while step.scope is not None and step.scope not in found and step.scope in self._steps:
            found.append(step.scope)
            step = self._steps[step.scope]
        return found

    def _cancels(self, step: Step, place: Way) -> Iterator[Problem]:
        for index, name in enumerate(step.cancels):
            way = (*place, "cancels", index)
            if name not in self._steps:
                yield Problem(way, f"there is no step `{name[:64]}`", did_you_mean(name, self._steps))
            elif name == step.id:
                yield Problem(way, "a step cannot cancel itself")
            elif not all(self._is_main(each) for each in (name, step.id)):
                yield Problem(way, "only main steps cancel, and are cancelled")

    def _is_main(self, name: str) -> bool:
        return self._places[name][0] == "steps" and not self._steps[name].always

    # -- what can never happen ---------------------------------------------------------------------------------------

    def _reach(self, step: Step, place: Way) -> Iterator[Problem]:
        for index, need in enumerate(step.needs):
            other = self._steps[need]
            if (other.scope, other.part) != (step.scope, step.part):
                hint = "steps of one part of a scope need each other; those outside need the scope"
                yield Problem((*place, "needs", index), f"`{step.id}` and `{need}` are not in the same scope", hint)
            if other.uses == "flow.end" and step.edges.get(need) in {None, "success", "always"} and step.join == "all":
                message = f"`{step.id}` never runs: `{need}` ends the run"
                yield Problem((*place, "needs", index), message)
        if step.when is not None and _never(step.when):
            yield Problem((*place, "when"), f"`{step.id}` never runs: its condition never holds")


def _join(step: Step, place: Way) -> Iterator[Problem]:
    if step.join_until is not None:
        if step.join != "all":
            yield Problem((*place, "join_until"), "a step says `join` or `join_until`, not both")
        if not step.needs:
            yield Problem((*place, "join_until"), "a step that waits until something holds has `needs`")
    if isinstance(step.join, int) and step.join > len(step.needs):
        message = f"`{step.id}` never runs: it waits for {step.join} of {len(step.needs)} needs"
        yield Problem((*place, "join"), message)


def _inputs(step: Step, place: Way) -> Iterator[Problem]:
    known, wanted = _TAKES.get(step.uses, (frozenset(step.with_), ()))
    for group in wanted:
        if not any(name in step.with_ for name in group):
            names = " or ".join(f"`{name}`" for name in group)
            yield Problem(place, f"`{step.uses}` needs {names}", "write it under `with`")
    for name in step.with_:
        if name not in known:
            hint = did_you_mean(name, known)
            yield Problem((*place, "with", name), f"`{step.uses}` has no `{name[:64]}`", hint, at_key=True)
    if step.uses == "flow.choice":
        yield from _choice(step, place)


def _choice(step: Step, place: Way) -> Iterator[Problem]:
    cases = step.with_.get("cases")
    if not isinstance(cases, list):
        return
    for index, case in enumerate(cases):
        way = (*place, "with", "cases", index)
        if not isinstance(case, dict) or set(case) != {"name", "when"} or not isinstance(case["name"], str):
            yield Problem(way, "a case has a `name` and a `when`")
        elif isinstance(case["when"], str) and "${{" not in case["when"]:
            hint = "write `when: ${{ … }}`"
            yield Problem((*way, "when"), "a case's `when` is a text, which is not true or false", hint)
        elif case["name"] in _ENDS:
            yield Problem((*way, "name"), f"`{case['name']}` is an end that every step can have, no name of a case")


def _cases(step: Step) -> list[str]:
    if step.uses != "flow.choice":
        return []
    cases: Any = step.with_.get("cases")
    names = [each.get("name") for each in (cases if isinstance(cases, list) else ()) if isinstance(each, dict)]
    return [name for name in (*names, step.with_.get("default")) if isinstance(name, str)]


def _never(condition: str) -> bool:
    try:
        expression = parse(condition)
        return not expression.references and not expression.holds({})
    except ExpressionError:
        return False  # it is told at its place what is wrong with it
