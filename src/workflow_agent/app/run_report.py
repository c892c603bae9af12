"""A run as everybody reads it: the JSON of CONTRACTS, put together from history."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from workflow_agent.model.event import RecordKind
from workflow_agent.model.status import RunStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.model.ports import History

__all__ = ["report_run"]

_ACTIONS = ("created", "modified", "deleted", "appended")


async def report_run(history: History, run_id: str) -> dict[str, Any]:
    """Describe one run.

    Keys of the contract: run_id, action, integration, version, target, status, changed, tier, changes {created,
    modified, deleted, appended, items}, checks, generation, rollback_command, started_at, finished_at; beside them
    change_set (without its changes), broken (what was wrong before), findings, transaction, output, steps, error,
    user, host, undoes, undone_by, workflow.

    Raises:
        NotFoundError: there is no such run.
    """
    run = await history.run(run_id)
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for record in await history.records(run_id):
        by_kind.setdefault(record.kind, []).append(dict(record.data))
    change_set = _last(by_kind, RecordKind.CHANGE_SET) or {}
    items = change_set.get("changes", []) if change_set else await _taken_back(history, run)
    counts = Counter(item["action"] for item in items)
    return {
        **{key: run[key] for key in ("run_id", "action", "integration", "version", "target", "status")},
        "changed": bool(run["changed"]),
        "tier": run["tier"],
        "changes": {action: counts[action] for action in _ACTIONS} | {"items": items},
        "checks": by_kind.get(RecordKind.CHECK, []),
        "generation": await _generation(history, run, _last(by_kind, RecordKind.GENERATION)),
        "rollback_command": _rollback_command(run, _last(by_kind, RecordKind.TRANSACTION)),
        "started_at": run["started_at"] or run["created_at"],
        "finished_at": run["finished_at"],
        "change_set": {key: value for key, value in change_set.items() if key != "changes"},
        "broken": _last(by_kind, RecordKind.BROKEN),
        "findings": [_finding(item, run) for item in by_kind.get(RecordKind.FINDING, [])],
        "transaction": _last(by_kind, RecordKind.TRANSACTION),
        "output": _last(by_kind, RecordKind.OUTPUT),
        **{key: run[key] for key in ("steps", "error", "user", "host", "undoes", "undone_by", "workflow")},
    }


async def _taken_back(history: History, run: dict[str, Any]) -> list[dict[str, Any]]:
    """List what a rollback changed: the changes of the run that it is about, the other way round.

    Log lines that the first run appended stay, so they are in neither.
    """
    source, depth = run, 0
    while source["undoes"]:
        source = await history.run(source["undoes"])
        depth += 1
    if depth == 0 or not run["changed"]:
        return []
    records = await history.records(source["run_id"], RecordKind.CHANGE_SET)
    items = [item for item in (records[-1].data["changes"] if records else ()) if item["action"] != "appended"]
    return [_inverse(item) for item in items] if depth % 2 else items


def _finding(item: dict[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    """Add who allowed a finding: whoever started the run that names its rule."""
    return item | {"allowed_by": run["user"]} if item.get("allowed") else item


def _inverse(item: dict[str, Any]) -> dict[str, Any]:
    action = {"created": "deleted", "deleted": "created"}.get(item["action"], item["action"])
    return item | {"action": action, "before": item["after"], "after": item["before"]}


def _last(by_kind: dict[str, list[dict[str, Any]]], kind: RecordKind) -> dict[str, Any] | None:
    records = by_kind.get(kind)
    return records[-1] if records else None


async def _generation(
    history: History, run: Mapping[str, Any], recorded: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """Give the generation that the run made; `live` is what holds now, not what held then."""
    if recorded is None:
        return None
    live = await history.generations(run["target"], run["integration"])
    return {**recorded, "live": any(generation.run_id == run["run_id"] for generation in live)}


def _rollback_command(run: dict[str, Any], transaction: dict[str, Any] | None) -> str | None:
    """Give the exact command that takes the run back, where there is something to take back."""
    done = run["status"] in {RunStatus.SUCCEEDED, RunStatus.NEEDS_ATTENTION}
    if not (done and run["changed"]) or run["undone_by"] or transaction is None:
        return None
    target = "" if run["target"] == "host" else f" --target {run['target']}"
    return f"workflow-agent rollback {run['run_id']}{target}"
