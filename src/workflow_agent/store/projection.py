"""Events and records become rows of the history tables, in the transaction that stores them.

One function per event type and per record kind, in two tables. What belongs here: which columns follow from which
data (`docs/history.md` says it for people). What does not: the SQL (``sql/``), the exact data (``events``,
``records``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from workflow_agent.model.errors import InternalError
from workflow_agent.model.event import Event, EventType, RecordKind
from workflow_agent.model.status import RunStatus, StepStatus
from workflow_agent.model.system import ChangeAction
from workflow_agent.store.encoding import column

if TYPE_CHECKING:
    from workflow_agent.store.statements import Executes, Statements

__all__ = ["project_event", "project_record", "store_definition"]

#: Takes the statements, the event, the record's row id and the record's data.
_RecordRule: TypeAlias = Callable[["Statements", Event, int, Mapping[str, Any]], None]
_EventRule: TypeAlias = Callable[["Executes", Event], None]


def project_event(db: Executes, event: Event) -> None:
    """Bring `runs` and `steps` up to an event; raises InternalError when its data lacks a part."""
    rule = _EVENT_RULES.get(event.type)
    if rule is not None:
        _apply(rule, event.type, db, event)


def project_record(db: Statements, event: Event, record_id: int, kind: str, data: Mapping[str, Any]) -> None:
    """Put a record into the table of its kind; a kind without a table stays in `records` alone.

    Raises:
        InternalError: its data lacks a part.
    """
    rule = _RECORD_RULES.get(kind)
    if rule is not None:
        _apply(rule, kind, db, event, record_id, data)


def _apply(rule: Callable[..., None], name: str, *values: object) -> None:
    """Call a rule; data of a wrong shape is a defect of the agent that gave it, named here."""
    try:
        rule(*values)
    except (LookupError, TypeError, ValueError, AttributeError) as problem:
        raise InternalError(
            f"the data of `{name}` is not of the shape that history stores",
            cause=f"{type(problem).__name__}: {problem}",
        ) from problem


def _flag(value: object) -> int | None:
    return None if value is None else int(bool(value))


# -- events ------------------------------------------------------------------------------------------------------


def _run_created(db: Executes, event: Event) -> None:
    data = event.data
    workflow = data.get("workflow", "")
    meta = data.get("meta") or {}
    names = ("action", "integration", "version", "target", "undoes", "user", "host")
    db.execute(
        "insert_run",
        {name: meta.get(name) for name in names}
        | {
            "run_id": event.run_id,
            # The definition itself, or its name.
            "workflow": workflow["name"] if isinstance(workflow, Mapping) else workflow,
            "workflow_hash": data.get("workflow_hash", ""),
            "inputs": data.get("inputs") or {},
            "origin": (data.get("origin") or {}).get("run"),
            "at": event.at,
        },
    )
    tags = meta.get("tags") or {}
    kept = (data.get("kept") or {}).get("steps") or {}
    for name, done in kept.items():
        _put_step(
            db, replace(event, step=name, attempt=0), done["status"], started_at=done.get("started_at"),
            finished_at=done.get("finished_at"), reason=f"kept from {data['origin']['run']}",
        )  # fmt: skip
    for name in tags:
        db.execute("insert_tag", {"run_id": event.run_id, "name": name, "value": tags[name]})


def store_definition(db: Executes, data: Mapping[str, Any]) -> None:
    """Keep a definition under its hash; raises InternalError when a part is lacking."""

    def store(data: Mapping[str, Any]) -> None:
        db.execute("insert_definition", {"hash": data["hash"], "data": data["definition"]})

    _apply(store, RecordKind.DEFINITION, data)


def _run_started(db: Executes, event: Event) -> None:
    db.execute("start_run", {"run_id": event.run_id, "phase": event.data.get("phase"), "at": event.at})


def _run_finished(db: Executes, event: Event) -> None:
    status = str(event.data["status"])
    values = {"status": status, "error": event.data.get("error"), "changed": _flag(event.data.get("changed"))}
    db.execute("finish_run", values | {"run_id": event.run_id, "at": event.at})
    db.execute("give_up_waits", {"run_id": event.run_id, "at": event.at})
    db.execute("drop_snapshot", {"run_id": event.run_id})
    if status == RunStatus.ROLLED_BACK:
        _settle(db, event.run_id)


def _put_step(db: Executes, event: Event, status: str, **values: Any) -> None:  # Any: columns
    row = {
        "run_id": event.run_id, "step": event.step, "seq": event.seq, "status": status, "attempt": event.attempt,
        "started_at": None, "finished_at": None, "error": None, "reason": None,
    }  # fmt: skip
    row.update(values)
    db.execute("put_step", row)


def _step_started(db: Executes, event: Event) -> None:
    db.execute("set_phase", {"run_id": event.run_id, "phase": event.data.get("phase") or RunStatus.RUNNING})
    _put_step(db, event, event.data.get("status") or StepStatus.RUNNING, started_at=event.at)


def _step_succeeded(db: Executes, event: Event) -> None:
    status, started_at = event.data.get("status") or StepStatus.SUCCEEDED, event.data.get("started_at")
    # In the order of `put_done_step`. The one that nearly all events need: of no value it says that there is none,
    # because the driver asks for each null who could adapt it.
    row = (event.run_id, column(event.step), event.seq, column(status), event.attempt, column(started_at), event.at)
    db.execute_rows("put_done_step", [row])


def _step_failed(db: Executes, event: Event) -> None:
    status = event.data.get("status") or StepStatus.FAILED
    started_at = event.data.get("started_at")
    _put_step(db, event, status, started_at=started_at, finished_at=event.at, error=event.data.get("error"))


def _step_skipped(db: Executes, event: Event) -> None:
    status = event.data.get("status") or StepStatus.SKIPPED
    _put_step(db, event, status, finished_at=event.at, reason=event.data.get("reason"))


def _paused(db: Executes, event: Event) -> None:
    db.execute("set_phase", {"run_id": event.run_id, "phase": RunStatus.PAUSED})


def _resumed(db: Executes, event: Event) -> None:
    db.execute("set_phase", {"run_id": event.run_id, "phase": RunStatus.RUNNING})


def _retry_scheduled(db: Executes, event: Event) -> None:
    _put_step(db, event, StepStatus.WAITING, reason=event.data.get("reason"))


_EVENT_RULES: Final[Mapping[EventType, _EventRule]] = {
    EventType.RUN_CREATED: _run_created,
    EventType.RUN_STARTED: _run_started,
    EventType.RUN_FINISHED: _run_finished,
    EventType.STEP_STARTED: _step_started,
    EventType.STEP_SUCCEEDED: _step_succeeded,
    EventType.STEP_FAILED: _step_failed,
    EventType.STEP_SKIPPED: _step_skipped,
    EventType.RETRY_SCHEDULED: _retry_scheduled,
    EventType.RUN_PAUSED: _paused,
    EventType.RUN_RESUMED: _resumed,
}


# -- records -----------------------------------------------------------------------------------------------------


def _pick(data: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: data.get(name) for name in names}


def _script(db: Statements, event: Event, record_id: int, data: Mapping[str, Any]) -> None:
    provenance = data.get("provenance") or {}
    source = {**data, **provenance}
    names = ("hash", "integration", "action", "version", "template", "template_hash", "interpreter")
    db.execute("insert_script", _pick(source, *names) | {"record_id": record_id, "run_id": event.run_id})


def _finding(db: Statements, event: Event, record_id: int, data: Mapping[str, Any]) -> None:
    values = _pick(data, "rule", "severity", "message", "line", "column", "source", "excerpt", "hint")
    key = {"record_id": record_id, "run_id": event.run_id, "allowed": _flag(data.get("allowed"))}
    db.execute("insert_finding", values | key)


def _output(db: Statements, event: Event, record_id: int, data: Mapping[str, Any]) -> None:
    values = _pick(data, "path", "bytes") | {"step": data.get("step") or event.step}
    key = {"record_id": record_id, "run_id": event.run_id, "truncated": _flag(data.get("truncated"))}
    db.execute("insert_output", values | key)


def _change_set(db: Statements, event: Event, record_id: int, data: Mapping[str, Any]) -> None:
    changes = data.get("changes") or ()
    counts = Counter(str(change["action"]) for change in changes)
    key = {"record_id": record_id, "run_id": event.run_id}
    totals = {action.value: counts[action.value] for action in ChangeAction}
    db.execute("insert_change_set", key | totals | {"bytes_added": data.get("bytes_added")})
    names = ("path", "action", "kind", "aspects", "before", "after")
    db.execute_many("insert_change", (_pick(change, *names) | key for change in changes))


def _check(db: Statements, event: Event, record_id: int, data: Mapping[str, Any]) -> None:
    names = ("kind", "status", "observed", "expected", "description", "duration_s", "attempts")
    key = {"record_id": record_id, "run_id": event.run_id, "check_id": data.get("id")}
    db.execute("insert_check", _pick(data, *names) | key)


def _transaction(db: Statements, event: Event, record_id: int, data: Mapping[str, Any]) -> None:
    values = {name: data[name] for name in ("transaction", "target", "state")}
    tier = data.get("tier")
    more = {"run_id": event.run_id, "tier": tier, "at": event.at, "record_id": record_id}
    db.execute("put_transaction", values | more)
    if tier is not None:
        db.execute("set_tier", {"run_id": event.run_id, "tier": tier})


def _pruned(db: Statements, event: Event, _record_id: int, data: Mapping[str, Any]) -> None:
    values = {name: data[name] for name in ("transaction", "target")}
    db.execute("prune_transaction", values | {"run_id": event.run_id})


def _generation(db: Statements, event: Event, _record_id: int, data: Mapping[str, Any]) -> None:
    names = ("target", "integration", "parameter_hash", "parameters", "manifest_version", "manifest_hash")
    run_id = data.get("run_id") or event.run_id
    values = {name: data[name] for name in names} | {"run_id": run_id, "transaction": data.get("transaction")}
    db.execute("put_generation", values | {"created_at": data.get("created_at") or event.at})
    _settle(db, run_id)


def _generation_ended(db: Statements, event: Event, _record_id: int, data: Mapping[str, Any]) -> None:
    generation = data["generation"]
    values = {"generation": generation, "run_id": event.run_id, "reason": data.get("reason")}
    db.execute("remove_generation", values)
    _settle(db, generation)


def _subject(db: Statements, event: Event, _record_id: int, data: Mapping[str, Any]) -> None:
    names = {"integration": data["integration"], "version": data["version"]}
    if data.get("required_by"):
        return  # a requirement of what the run is about
    db.execute("set_subject", names | {"run_id": event.run_id})


def _undone(db: Statements, event: Event, _record_id: int, data: Mapping[str, Any]) -> None:
    db.execute("undo_run", {"run": data["run"], "by": event.run_id})
    db.execute("set_undoes", {"run": data["run"], "by": event.run_id})
    _settle(db, data["run"])


def _redone(db: Statements, event: Event, _record_id: int, data: Mapping[str, Any]) -> None:
    db.execute("set_undoes_undoer", {"run": data["run"], "by": event.run_id})
    db.execute("undo_undoer", {"run": data["run"], "by": event.run_id})
    db.execute("redo_run", {"run": data["run"]})
    _settle(db, data["run"])


def _settle(db: Executes, run_id: str) -> None:
    # Which generation is live follows from all runs of an integration, so it is computed, never stepped.
    db.execute("settle_generations", {"run": run_id})


_RECORD_RULES: Final[Mapping[str, _RecordRule]] = {
    RecordKind.SCRIPT: _script,
    RecordKind.FINDING: _finding,
    RecordKind.OUTPUT: _output,
    RecordKind.CHANGE_SET: _change_set,
    RecordKind.CHECK: _check,
    RecordKind.TRANSACTION: _transaction,
    RecordKind.GENERATION: _generation,
    RecordKind.GENERATION_ENDED: _generation_ended,
    RecordKind.SUBJECT: _subject,
    RecordKind.PRUNED: _pruned,
    RecordKind.UNDONE: _undone,
    RecordKind.REDONE: _redone,
}
