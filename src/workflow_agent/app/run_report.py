"""A run as everybody reads it: the JSON of CONTRACTS, put together from history."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from workflow_agent.model.event import RecordKind
from workflow_agent.model.status import RunStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.model.ports import History

__all__ = ["report_run"]

_WHOLE = ("steps", "error", "user", "host", "undoes", "undone_by", "pruned_by", "workflow", "origin", "tags")
_ACTIONS = ("created", "modified", "deleted", "appended")


async def report_run(history: History, run_id: str) -> dict[str, Any]:
    """Describe one run.

    Keys of the contract: run_id, action, integration, version, target, status, changed, tier, changes {created,
    modified, deleted, appended, items}, checks, generation, rollback_command, started_at, finished_at; of a person's
    own script also script {name, hash, interpreter, arguments}, started (services) and left (asked of them, not done);
    of a script that has them also told (hooks, validations, and the facts of which it was composed);
    beside them requirements (what came with it or was there), change_set (without its changes), broken (what was wrong
    before), drift (where the target is not as it was left, of a run that looked for it), accuracy (of each transaction
    how many paths its plan named, and where the target was otherwise once it worked), metrics (what steps of
    one's own workflow measured), tool_calls (what agents called), decisions (which side won where
    somebody had changed what a run left), running (what services changed in the running system: items, and what a
    rollback left of it: stays), pruned (what it gave up: runs, bytes), remainder (what is not as
    before, after a rollback that was not exact), findings, attempts (that failed), transaction, output, steps, error,
    user, host, undoes, undone_by, pruned_by, workflow, origin (the run that it was made from), tags, altered
    (what people changed while it stood still).

    Raises:
        NotFoundError: there is no such run.
    """
    run = await history.run(run_id)
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for record in await history.records(run_id):
        by_kind.setdefault(record.kind, []).append(dict(record.data))
    sets = by_kind.get(RecordKind.CHANGE_SET, [])
    change_set = sets[-1] if sets else {}
    decisions = by_kind.get(RecordKind.DECISION, [])
    items = _without_kept(_changes(sets) if sets else await _taken_back(history, run), decisions)
    counts = Counter(item["action"] for item in items)
    return {
        **{key: run[key] for key in ("run_id", "action", "integration", "version", "target", "status")},
        **_own_script(by_kind, run),
        **_told(by_kind),
        "changed": bool(run["changed"]),
        "tier": run["tier"],
        "changes": {action: counts[action] for action in _ACTIONS} | {"items": items},
        "checks": by_kind.get(RecordKind.CHECK, []),
        "generation": await _generation(history, run, _own(by_kind, RecordKind.GENERATION, run)),
        "rollback_command": _rollback_command(run, _last(by_kind, RecordKind.TRANSACTION)),
        "started_at": run["started_at"] or run["created_at"],
        "finished_at": run["finished_at"],
        "requirements": _requirements(by_kind, run),
        "change_set": {key: value for key, value in change_set.items() if key != "changes"},
        "pruned": _pruned(by_kind),
        "altered": by_kind.get(RecordKind.CHANGED, []),
        "remainder": _last(by_kind, RecordKind.REMAINDER),
        "broken": _last(by_kind, RecordKind.BROKEN),
        "drift": _last(by_kind, RecordKind.DRIFT),
        "accuracy": by_kind.get(RecordKind.ACCURACY, []),
        "metrics": by_kind.get(RecordKind.METRIC, []),
        "tool_calls": by_kind.get(RecordKind.TOOL_CALL, []),
        "decisions": decisions,
        "running": _running(by_kind),
        "copied": [item for record in by_kind.get(RecordKind.COPIED, ()) for item in record["items"]],
        "findings": [_finding(item, run) for item in by_kind.get(RecordKind.FINDING, [])],
        "attempts": by_kind.get(RecordKind.ATTEMPT, []),
        "transaction": _last(by_kind, RecordKind.TRANSACTION),
        "output": _last(by_kind, RecordKind.OUTPUT),
        **{key: run[key] for key in _WHOLE},
    }


def _own_script(by_kind: Mapping[str, Sequence[Mapping[str, Any]]], run: Mapping[str, Any]) -> dict[str, Any]:
    """Say which script of a person's own the run is about; empty where it is about an integration."""
    script = next(
        (data for data in by_kind.get(RecordKind.SCRIPT, ()) if data["provenance"]["integration"] is None), None
    )
    if script is None:
        return {}
    subject = next((data for data in by_kind.get(RecordKind.SUBJECT, ()) if data.get("script")), {})
    told = {"name": script["provenance"]["template"], "hash": script["hash"]}
    told |= {"interpreter": " ".join([script["interpreter"], *script["options"]]), "arguments": script["arguments"]}
    names = [str(service["name"]) for service in subject.get("services", ())]
    begun = any(step["id"] == "activate" and step["status"] == "succeeded" for step in run["steps"])
    return {"script": told, "started": names if begun else [], "left": subject.get("left", [])}


def _told(by_kind: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Say what of its scripts is no shell text, and whence the facts are of which they were composed; often nothing."""
    found = [data for data in by_kind.get(RecordKind.SCRIPT, ()) if data.keys() & {"before", "after", "sources"}]
    if not found:
        return {}
    from workflow_agent.agents.script_setup import told  # noqa: PLC0415  # late: few scripts have any

    items = [one for data in found for one in told(data)]
    return {"told": items} if items else {}


def _running(by_kind: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[Any]]:
    """Say what services changed beside files, and what of it a rollback had to leave."""
    records = by_kind.get(RecordKind.RUNNING, ())
    return {key: [item for record in records for item in record[key]] for key in ("items", "stays")}


def _pruned(by_kind: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any] | None:
    """Say of which runs a run gave up the before-images, and how many bytes on disk that freed."""
    records = by_kind.get(RecordKind.PRUNED, ())
    if not records:
        return None
    runs = dict.fromkeys(str(record["transaction"]).rpartition(".")[0] for record in records)
    return {"runs": list(runs), "bytes": sum(record["bytes"] for record in records)}


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
    decisions = [record.data for record in await history.records(source["run_id"], RecordKind.DECISION)]
    changes = _without_kept(_changes([record.data for record in records]), decisions)
    items = [item for item in changes if item["action"] != "appended"]
    return [_inverse(item) for item in items] if depth % 2 else items


def _without_kept(items: list[dict[str, Any]], decisions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Leave out what stayed as somebody else had left it, with everything below it."""
    stay = {str(one["path"]) for one in decisions if one["decision"] == "theirs" and not one["records"]}

    def stays(path: str) -> bool:
        return any(path == one or path.startswith(one + "/") for one in stay)

    return [item for item in items if not stays(str(item["path"]))]


def _changes(sets: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """List the changes of all parts of a run; where there are several, each change says what it belongs to."""
    return [
        {**item, "integration": part.get("integration")} if len(sets) > 1 else dict(item)
        for part in sets
        for item in part.get("changes", ())
    ]


def _requirements(by_kind: Mapping[str, Sequence[Mapping[str, Any]]], run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List what the run's integration requires: installed by the run, present, adopted, or not installed."""

    def named(kind: RecordKind) -> set[str]:
        return {str(data.get("integration")) for data in by_kind.get(kind, ())}

    installed, adopted, checked = (
        named(kind) for kind in (RecordKind.GENERATION, RecordKind.ADOPTED, RecordKind.CHECK)
    )
    found = []
    for subject in by_kind.get(RecordKind.SUBJECT, ()):
        name = str(subject["integration"])
        if not subject.get("required_by"):
            continue
        stays = run["status"] not in {RunStatus.ROLLED_BACK, RunStatus.FAILED, RunStatus.CANCELLED}
        state = "adopted" if name in adopted else "present" if name in checked else "not-installed"
        if name in installed:
            state = "installed" if stays else "not-installed"
        keys = ("integration", "version", "required_by")
        found.append({key: subject.get(key) for key in keys} | {"state": state})
    return found


def _finding(item: dict[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    """Add who allowed a finding: whoever started the run that names its rule."""
    return item | {"allowed_by": run["user"]} if item.get("allowed") else item


def _inverse(item: dict[str, Any]) -> dict[str, Any]:
    action = {"created": "deleted", "deleted": "created"}.get(item["action"], item["action"])
    return item | {"action": action, "before": item["after"], "after": item["before"]}


def _last(by_kind: dict[str, list[dict[str, Any]]], kind: RecordKind) -> dict[str, Any] | None:
    records = by_kind.get(kind)
    return records[-1] if records else None


def _own(by_kind: dict[str, list[dict[str, Any]]], kind: RecordKind, run: Mapping[str, Any]) -> dict[str, Any] | None:
    """Give the last record of the integration that the run is about."""
    own = [data for data in by_kind.get(kind, []) if data.get("integration") == run["integration"]]
    return own[-1] if own else None


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
    if not (done and run["changed"]) or run["undone_by"] or run["pruned_by"] or transaction is None:
        return None
    target = "" if run["target"] == "host" else f" --target {run['target']}"
    return f"workflow-agent rollback {run['run_id']}{target}"
