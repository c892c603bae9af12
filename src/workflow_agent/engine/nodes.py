"""Steps that the engine itself carries out at once: they ask nobody and take no time.

``flow.pass`` does nothing: a place where branches meet. ``flow.choice`` chooses among ``cases`` (a list of ``{name,
when}``): the first that holds, with ``every`` all that hold, else the ``default``; edges name what was chosen.
``flow.emit`` sends a signal to the run itself. ``flow.end`` ends the run, or fails it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.engine.commands import Command, EndStep, FailStep
from workflow_agent.model.errors import ConflictError, ExpressionError, StepFailedError

if TYPE_CHECKING:
    from workflow_agent.engine.scratch import Scratch
    from workflow_agent.model.workflow import Step

__all__ = ["MAX_NESTING", "SIGNALS", "node", "signal_sent"]

#: Signals of a run that nobody waited for so far.
SIGNALS: Final = 1000
#: Levels of lists and objects in what a node gives: each may put what another gave into one more, and the journal's
#: encoder, which recurses, has to end.
MAX_NESTING: Final = 500


def node(s: Scratch, step: Step, inputs: Mapping[str, Any]) -> Command:
    """Give the record that carries a node out; raises ExpressionError where what it says has no sense."""
    if _is_nested_deeper(inputs, MAX_NESTING):
        raise _wrong(s, step, f"what it puts together is nested deeper than {MAX_NESTING} levels")
    match step.uses:
        case "flow.choice":
            return _chosen(s, step, inputs)
        case "flow.emit":
            return _sent(s, step, inputs)
        case "flow.end":
            return _over(s, step, inputs)
    return EndStep(step.id, dict(inputs))


def _is_nested_deeper(value: Any, levels: int) -> bool:  # Any: a JSON value
    inside = [value]
    for _ in range(levels + 1):
        containers = [each for each in inside if isinstance(each, Mapping | list)]
        inside = [item for each in containers for item in (each.values() if isinstance(each, Mapping) else each)]
        if not inside:
            return False
    return True


def _chosen(s: Scratch, step: Step, inputs: Mapping[str, Any]) -> Command:
    cases, default = inputs.get("cases"), inputs.get("default")
    if not isinstance(cases, list) or not all(_is_case(each) for each in cases):
        raise _wrong(s, step, "a choice has `cases`: a list of `name` and `when`, which is true or false")
    chosen = [str(each["name"]) for each in cases if each["when"]]
    if not inputs.get("every"):
        chosen = chosen[:1]
    if not chosen and isinstance(default, str):
        chosen = [default]
    if not chosen and not inputs.get("every"):
        error = StepFailedError(f"no case of `{step.id}` holds", hint="say what is chosen then: `default`")
        return FailStep(step.id, error.to_dict())
    return EndStep(step.id, {"chosen": chosen})


def _is_case(found: Any) -> bool:  # Any: a JSON value
    is_object = isinstance(found, dict) and isinstance(found.get("name"), str)
    return is_object and (found.get("when") is None or isinstance(found["when"], bool))


def _sent(s: Scratch, step: Step, inputs: Mapping[str, Any]) -> Command:
    name = inputs.get("name")
    if not isinstance(name, str) or not name:
        raise _wrong(s, step, "what is sent has a `name`")
    if len(s.signals) >= SIGNALS:
        return FailStep(step.id, ConflictError("too many signals wait for the run").to_dict())
    return EndStep(step.id, {"name": name, "data": inputs.get("data")})


def signal_sent(number: int, output: Mapping[str, Any]) -> tuple[int, str, Any]:
    """Give the signal that a ``flow.emit`` sent with the record of this number."""
    return number, str(output["name"]), output.get("data")


def _over(s: Scratch, step: Step, inputs: Mapping[str, Any]) -> Command:
    match inputs.get("status", "succeeded"):
        case "succeeded":
            return EndStep(step.id, {"output": inputs.get("output")})
        case "failed":
            reason = inputs.get("reason")
            error = StepFailedError(str(reason) if reason else f"`{step.id}` ended the run")
            return FailStep(step.id, error.to_dict())
    raise _wrong(s, step, "the `status` with which a run ends is succeeded or failed")


def _wrong(s: Scratch, step: Step, message: str) -> ExpressionError:
    where = f"{s.plan.workflow.name} › {step.id} › with"  # the separator of all our places
    return ExpressionError(message, where=where)
