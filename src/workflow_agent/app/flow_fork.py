"""A run that is made from another one: ``retry`` and ``fork``. It has an id of its own, and so new idempotency keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.app.flow_run import check_steps
from workflow_agent.authoring.flow_lowering import INPUT, is_open
from workflow_agent.engine import replay
from workflow_agent.engine.keeping import Again, kept_of
from workflow_agent.model.errors import ConflictError
from workflow_agent.model.identity import new_run_id
from workflow_agent.model.records import dataclass
from workflow_agent.model.status import TERMINAL_RUN, RunStatus

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from workflow_agent.app.flow_records import StoredFlowRecords
    from workflow_agent.model.event import RunState

__all__ = ["Fork", "fork_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """A run that is not begun yet, made from the run `origin`; `again` are the steps whose effects may repeat."""

    run_id: str
    origin: str
    inputs: Mapping[str, Any]
    meta: Mapping[str, Any]
    beginning: Mapping[str, Any]
    again: tuple[Again, ...]
    kept: tuple[str, ...]


async def fork_of(
    records: StoredFlowRecords,
    run_id: str,
    first: str | None,
    *,
    how: str,
    given: Mapping[str, Any] | None = None,
    break_before: Collection[str] = (),
) -> Fork:
    """Say what a run would be that is made from another one. Nothing is begun.

    Args:
        records: What is known of runs.
        run_id: The other one.
        first: The step from which on all is done again; None: only what did not end well.
        how: ``retry``: it must have ended; ``fork``: it need not.
        given: Inputs that are other ones.
        break_before: Steps before which the new run pauses.

    Raises:
        NotFoundError: there is no such run or step.
        ConflictError: a run that is to be retried has not ended, or succeeded and no step is named.
    """
    definition, events = await records.known(run_id)
    state, _ = replay(definition, events)
    if how == "retry":
        _require_end(state, first)
    check_steps(definition, break_before)
    kept = kept_of(definition, state, events, first)
    meta = {name: value for name, value in events[0].data["meta"].items() if name not in {"idempotency_key", "parent"}}
    inputs = dict(state.inputs)
    if given:
        inputs = {**inputs, INPUT: {**inputs[INPUT], **given}} if is_open(definition) else {**inputs, **given}
    beginning: dict[str, Any] = {"kept": kept.to_dict(), "origin": {"run": run_id, "step": first, "how": how}}
    if break_before:
        beginning["break_before"] = sorted(break_before)
    return Fork(
        run_id=new_run_id(),
        origin=run_id,
        inputs=inputs,
        meta=meta,
        beginning=beginning,
        again=kept.again,
        kept=tuple(kept.steps),
    )


def _require_end(state: RunState, first: str | None) -> None:
    run_id = state.run_id
    if state.status not in TERMINAL_RUN:
        hint = f"`workflow-agent resume {run_id}` lets it go on, `workflow-agent fork {run_id}` makes another one of it"
        raise ConflictError(
            f"run {run_id} has not ended", cause=f"it is {state.status.value}", hint=hint, run_id=run_id
        )
    if state.status is RunStatus.SUCCEEDED and first is None:
        hint = "`--from STEP` does a step again and all that waits for it"
        raise ConflictError(f"run {run_id} succeeded", hint=hint, run_id=run_id)
