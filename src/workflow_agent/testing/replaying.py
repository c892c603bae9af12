"""Replaying journals: whether a workflow, and this release, still decide as they did when a run was recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_agent.authoring.sdk.compiling import compile_workflow
from workflow_agent.engine.live import draft_of
from workflow_agent.engine.machine import decide
from workflow_agent.model.errors import JournalConflictError
from workflow_agent.model.event import Event, EventType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from workflow_agent.model.event import RunState
    from workflow_agent.model.workflow import Workflow

__all__ = ["replay"]

#: Data of records that time and chance made.
_MADE = frozenset({"due_at"})


def replay(journal: Path | str | Iterable[Mapping[str, Any]], workflow: Any) -> RunState:
    """Decide a recorded run anew and compare each decision with the record; nothing is carried out.

    Args:
        journal: Events as dictionaries (``WorkflowCase.events``), or a file of them, one line of JSON each, as
            ``workflow-agent run FILE --events`` writes it.
        workflow: The workflow as it is now.

    Returns:
        Where the run stood at the end of the journal.

    Raises:
        AssertionError: the workflow has become another one, or decides something else; the record is named.
    """
    events = [_event(data) for data in _read(journal) if data.get("type") in {*EventType} and data.get("seq")]
    if not events or events[0].type is not EventType.RUN_CREATED:
        raise AssertionError("the journal does not begin with RunCreated")
    definition: Workflow = compile_workflow(workflow)
    state: RunState | None = None
    for event in events:
        state = _followed(definition, state, event)
    recorded = events[0].data.get("workflow_hash")
    if recorded != definition.hash:
        raise AssertionError(
            f"`{definition.name}` is another definition than the one that was recorded ({definition.hash[:12]}, was "
            f"{str(recorded)[:12]}); its runs that have not ended cannot be taken up with it"
        )
    assert state is not None
    return state


def _read(journal: Path | str | Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    if isinstance(journal, Path | str):
        lines = Path(journal).read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.strip()]
    return journal


def _event(data: Mapping[str, Any]) -> Event:
    return Event(
        run_id=data["run_id"],
        seq=data["seq"],
        type=EventType(data["type"]),
        at=data["at"],
        step=data["step"],
        attempt=data["attempt"],
        data=data["data"],
    )


def _followed(definition: Workflow, state: RunState | None, event: Event) -> RunState:
    """Apply a record; where something else was due by what is decided now, say what."""
    due = None if state is None else state.work.due
    wanted = None if due is None else draft_of(due, event.at)
    place = f"record {event.seq}, {event.type}{f' of `{event.step}`' if event.step else ''}"
    if wanted is not None:
        now, then = _told(wanted.type, wanted.step, wanted.data), _told(event.type, event.step, event.data)
        if now != then:
            raise AssertionError(f"{place}: the run decided {then}, it would decide {now} now")
    try:
        return decide(definition, state, event)[0]
    except JournalConflictError as error:
        raise AssertionError(f"{place}: the workflow would not come to this now: {error.message}") from error


def _told(kind: EventType, step: str | None, data: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in data.items() if name not in _MADE}
    return f"{kind}{f' of `{step}`' if step else ''} {json.dumps(kept, sort_keys=True, default=str)}"
