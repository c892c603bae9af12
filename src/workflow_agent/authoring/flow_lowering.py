"""A flow becomes the model's workflow: the same one for the same flow, whatever it was written in.

A Python callable becomes a step that uses ``python.call``; everything that it reads is in its ``with``, so that the
definition says what a step depends on. A condition in Python becomes a step of its own before it, because its answer
must be kept: a run that is taken up again does not ask twice.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from workflow_agent.authoring.problem import schema_problems
from workflow_agent.authoring.workflow_soundness import soundness
from workflow_agent.model.errors import ValidationError
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.sequence import stable_order
from workflow_agent.model.workflow import Backoff, InputSpec, Step, Workflow

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from workflow_agent.authoring.flow import Flow, FlowStep
    from workflow_agent.authoring.problem import Problem

__all__ = ["GUARD_SUFFIX", "INPUT", "INSTANCE", "PYTHON", "WITH_ENVIRONMENT", "is_open", "lowered"]

#: The verb that calls Python.
PYTHON = "python.call"
#: Input that holds whatever a run was given, of a workflow that declares no inputs.
INPUT = "input"
#: Input that holds what the workflow's class was made with.
INSTANCE = "instance"
#: A step's condition in Python is a step of this name after the step's own.
GUARD_SUFFIX = "__when"

#: Verbs that give what a step does an environment.
WITH_ENVIRONMENT = frozenset({PYTHON, "shell.run", "container.run"})

_ID = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_LONGEST_GUARDED = 64 - len(GUARD_SUFFIX)
_ITEM = {"item": "${{ item }}", "index": "${{ index }}", "total": "${{ total }}"}


def lowered(flow: Flow) -> Workflow:
    """Give the model's form of a flow.

    Raises:
        ValidationError: `where` is the place of the first problem; ``details.problems`` lists all of them (where,
            message, hint).
    """
    problems = list(_problems(flow))
    if not problems:
        workflow, wrong = _shaped(flow, _workflow(flow))
        found = wrong or soundness(workflow)
        problems = [(_place(flow, workflow, each.way), each.message, each.hint) for each in found]
        if not problems:
            return workflow
    where, message, hint = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    listed = [dict(zip(("where", "message", "hint"), problem, strict=True)) for problem in problems]
    raise ValidationError(message + more, where=where, hint=hint, details={"problems": listed})


def is_open(workflow: Workflow) -> bool:
    """Say whether a workflow takes any input, as one object under the name ``input``."""
    return bool(workflow.inputs) and set(workflow.inputs) <= {INPUT, INSTANCE} and INPUT in workflow.inputs


# -- what can be wrong -----------------------------------------------------------------------------------------------


def _problems(flow: Flow) -> Iterator[tuple[str, str, str | None]]:
    if not _ID.fullmatch(flow.name):
        hint = "a name is lower case: letters, digits, `-` and `_`, a letter first"
        yield flow.where, f"`{flow.name[:64]}` is no name of a workflow", hint
    known: dict[str, FlowStep] = {}
    for step in (*flow.steps, *flow.on_failure):
        if step.id in known:
            yield step.where, f"there are two steps `{step.id[:64]}`", f"the other one is at {known[step.id].where}"
        known.setdefault(step.id, step)
        yield from _wrong_name(step)
    for name in flow.inputs or {}:
        if name in {INPUT, INSTANCE}:
            yield flow.where, f"`{name}` cannot be the name of an input", "it holds all that a run is given"
    for step in known.values():
        yield from _wrong_needs(step, known)
        yield from _wrong_fan(step, known)
        yield from _wrong_credentials(step)
    if all(need in known for step in known.values() for need in step.needs):
        yield from _cycle(flow, known)


def _wrong_name(step: FlowStep) -> Iterator[tuple[str, str, str | None]]:
    if not _ID.fullmatch(step.id) or step.id.endswith(GUARD_SUFFIX):
        hint = "a step's name is lower case: letters, digits, `-` and `_`, a letter first"
        yield step.where, f"`{step.id[:64]}` is no name of a step", hint
    elif step.has_guard and len(step.id) > _LONGEST_GUARDED:
        yield step.where, f"the name of `{step.id}` is too long for a step with a condition in Python", None


def _wrong_needs(step: FlowStep, known: Mapping[str, FlowStep]) -> Iterator[tuple[str, str, str | None]]:
    for need in step.needs:
        if need not in known:
            others = [name for name in known if name != step.id]
            message = f"`{step.id}` depends on `{need[:64]}`, and there is no such step"
            yield step.where, message, did_you_mean(need, others)
        elif known[need].always and not step.always:
            yield step.where, f"`{step.id}` depends on `{need}`, which runs at the end in every case", None


def _wrong_fan(step: FlowStep, known: Mapping[str, FlowStep]) -> Iterator[tuple[str, str, str | None]]:
    where = step.where
    if step.max_workers is not None and (isinstance(step.max_workers, bool) or step.max_workers < 1):
        yield where, f"`max_workers` of `{step.id}` is a whole number from 1 on", None
    elif step.dynamic and not step.parallel:
        yield where, f"`{step.id}` is dynamic and not parallel", "add `parallel=True`"
    elif step.dynamic and len(step.needs) != 1:
        yield where, f"`{step.id}` takes the list of one step and depends on {len(step.needs)}", None
    elif step.parallel and not step.dynamic and step.each is None and step.max_workers is None:
        hint = "say `max_workers`, or `dynamic=True` for a list that the step before returns"
        yield where, f"nothing says how often `{step.id}` runs in parallel", hint
    if step.reduce and not any(known[need].parallel for need in step.needs if need in known):
        yield where, f"`{step.id}` reduces, and depends on no parallel step", None


def _wrong_credentials(step: FlowStep) -> Iterator[tuple[str, str, str | None]]:
    for name in step.credentials:
        if not isinstance(name, str) or not _ID.fullmatch(name):
            hint = "`workflow-agent secrets list` lists them"
            yield step.where, f"`{str(name)[:64]}` is no name of a set of credentials", hint
    if step.credentials and step.function is None and step.uses not in WITH_ENVIRONMENT:
        hint = "commands, functions and containers have one; elsewhere name a secret where its value is to stand"
        message = f"`{step.id}` uses `{step.uses}`, which has no environment for `credentials`"
        yield step.where, message, hint


def _cycle(flow: Flow, known: Mapping[str, FlowStep]) -> Iterator[tuple[str, str, str | None]]:
    try:
        stable_order({name: step.needs for name, step in known.items()})
    except ValidationError as error:
        yield known[error.details["cycle"][0]].where or flow.where, error.message, None


def _place(flow: Flow, workflow: Workflow, way: tuple[str | int, ...]) -> str:
    """Say where a problem of the model's form stands in what the author wrote."""
    by_name = {step.id: step.where for step in (*flow.steps, *flow.on_failure)}
    match way:
        case ("steps" | "on_failure" as group, int() as index, *rest):
            name = getattr(workflow, group)[index].id
            place = by_name.get(name.removesuffix(GUARD_SUFFIX)) or flow.where
            return " › ".join([place, name, *(str(part) for part in rest)])
        case _:
            return " › ".join([flow.where, *(str(part) for part in way)])


# -- the model's form ------------------------------------------------------------------------------------------------


def _workflow(flow: Flow) -> Workflow:
    known = {step.id: step for step in (*flow.steps, *flow.on_failure)}
    calls = [step for step in known.values() if step.function is not None]
    inputs = dict(flow.inputs or {})
    if flow.inputs is None and calls:
        inputs[INPUT] = InputSpec(type="object", default={})
    if any(step.is_method for step in calls):
        inputs[INSTANCE] = InputSpec(type="object")
    return Workflow(
        name=flow.name,
        version=flow.version,
        description=flow.description,
        inputs=inputs,
        steps=tuple(made for step in flow.steps for made in _steps(flow, step, known)),
        on_failure=tuple(made for step in flow.on_failure for made in _steps(flow, step, known)),
        timeout_s=flow.timeout_s,
        durability=flow.durability,
        **flow.more,
    )


def _shaped(flow: Flow, workflow: Workflow) -> tuple[Workflow, list[Problem]]:
    """Check the shape of what only the model knows, and give it its canonical form: durations, what is left out."""
    if not flow.more and not any(step.more for step in (*flow.steps, *flow.on_failure)):
        return workflow, []
    import pydantic  # noqa: PLC0415  # late: 36 ms

    from workflow_agent.authoring.workflow_schema import WorkflowDefinition, keys_at  # noqa: PLC0415  # late

    data = workflow.to_dict() | {"description": workflow.description}
    for group in ("steps", "on_failure"):
        told = [{**step.to_dict(), "description": step.description} for step in getattr(workflow, group)]
        data |= {group: told} if told else {}
    for name, spec in workflow.inputs.items():
        data["inputs"][name]["description"] = spec.description
    try:
        return WorkflowDefinition.model_validate(data).build(), []
    except pydantic.ValidationError as error:
        return workflow, [*schema_problems(error, keys_at)]


def _steps(flow: Flow, step: FlowStep, known: Mapping[str, FlowStep]) -> Iterator[Step]:
    """Give a step, and before it the step of its condition where that is Python."""
    needs = _needs(step, known)
    if step.has_guard:
        guard = {**_call(flow, step), "guard": True}
        name = step.id + GUARD_SUFFIX
        inside = {key: value for key, value in step.more.items() if key in {"scope", "part"}}
        asked = f"{step.id}?"
        yield Step(id=name, uses=PYTHON, with_=guard, needs=needs, always=step.always, description=asked, **inside)
        needs = (*needs, name)
    items = _items(step, known)
    with_ = dict(step.with_)
    if step.function is not None:
        with_ = _call(flow, step) | ({"arguments": with_} if with_ else {}) | (_ITEM if items is not None else {})
    if step.uses == "model.act":
        from workflow_agent.authoring.agent_parts import canonical_inputs  # noqa: PLC0415  # late: few steps do

        with_ = dict(canonical_inputs(with_))
    if step.credentials:
        with_["credentials"] = list(step.credentials)
    is_asked = not (step.uses or "").startswith("flow.")  # what the engine carries out by itself is not tried again
    yield Step(
        id=step.id,
        uses=step.uses or PYTHON,
        with_=with_,
        needs=needs,
        when=f"steps.{step.id}{GUARD_SUFFIX}.output.value" if step.has_guard else step.when,
        timeout_s=step.timeout_s,
        always=step.always,
        retry=step.retry or (flow.retry if is_asked else None) or Backoff(),
        each=items,
        max_workers=step.max_workers if items is not None else None,
        on_error="continue" if step.carry_on else "fail",
        pure=step.pure,
        description=step.description,
        **step.more,
    )


def _needs(step: FlowStep, known: Mapping[str, FlowStep]) -> tuple[str, ...]:
    """Leave out what has ended anyway: a step that runs at the end in every case comes after all others."""
    return tuple(need for need in step.needs if known[need].always is step.always)


def _items(step: FlowStep, known: Mapping[str, FlowStep]) -> str | None:
    """Give the expression of a parallel step's items; None for a step that runs once."""
    if not step.parallel:
        return None
    if step.each is not None:
        return step.each
    if step.dynamic:
        source = known[step.needs[0]]
        is_call = source.function is not None and not source.parallel
        return f"steps.{source.id}.output" + (".value" if is_call else "")
    return f"[{', '.join(map(str, range(step.max_workers or 0)))}]"


def _call(flow: Flow, step: FlowStep) -> dict[str, Any]:
    """Say what a callable is called with: everything that it can see of the run."""
    given: Any = "${{ inputs.input }}"  # Any: a JSON value
    if flow.inputs is not None:
        given = {name: f"${{{{ inputs.{name} }}}}" for name in flow.inputs}
    call: dict[str, Any] = {"function": step.function, "input": given, "state": "${{ state }}"}
    if step.is_method:
        call["instance"] = f"${{{{ inputs.{INSTANCE} }}}}"
    if step.needs:
        call["results"] = _results(step.needs)
    return call


def _results(needs: Sequence[str]) -> dict[str, str]:
    return {need: f"${{{{ steps.{need}.output }}}}" for need in needs}
