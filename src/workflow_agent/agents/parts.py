"""The parts of a run that are taken back one by one: a transaction each, with what it was about.

What belongs here: reading them from history. What does not: which of them is looked at now, and what that means
(``knowledge``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import ConflictError, NotFoundError
from workflow_agent.model.event import RecordKind
from workflow_agent.model.records import dataclass
from workflow_agent.model.system import Tier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.model.event import Record
    from workflow_agent.model.ports import History

__all__ = ["RunPart", "lower_tier", "parts_of", "refuse_lower_tier", "source_of", "subject_of"]

#: The workflow of `agents.logical`.
_LOGICAL = "rollback-logical"
#: A transaction of a run that says this of it is none that could be taken back.
_OVER = frozenset({"discarded", "rolled-back"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPart:
    """One transaction of a run: of what was asked for, or of something that it requires.

    `subject` is what its lookup said then, `generation` what it installed; `broken` says that it was there to put
    something right that did not work.
    """

    transaction: str
    integration: str | None
    version: str | None
    subject: Mapping[str, Any]
    generation: Mapping[str, Any] | None = None
    broken: bool = False


async def source_of(history: History, run: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Give the run whose transactions a rollback of `run` is about, and the direction: ``undo`` or ``redo``.

    A rollback is taken back by doing again what it undid, and so on; a logical one has a transaction of its own.
    """
    source, depth = dict(run), 0
    while source["undoes"] and source["workflow"] != _LOGICAL:
        source = await history.run(source["undoes"])
        depth += 1
    return source, "redo" if depth % 2 else "undo"


async def parts_of(history: History, run: Mapping[str, Any]) -> list[RunPart]:
    """List the parts of a run, the newest first; at least one.

    Raises:
        NotFoundError: the run has no transaction.
    """
    run_id = run["run_id"]
    last: dict[str, dict[str, Any]] = {}
    for record in await history.records(run_id, RecordKind.TRANSACTION):
        name = str(record.data["transaction"])
        last[name] = {"integration": run["integration"], **last.get(name, {}), **record.data}
    if not last:
        raise NotFoundError(f"run {run_id} has no transaction", run_id=run_id)
    chosen = [entry for entry in last.values() if entry["state"] not in _OVER] or list(last.values())[-1:]
    subjects = await history.records(run_id, RecordKind.SUBJECT)
    generations = await history.records(run_id, RecordKind.GENERATION)
    broken = await history.records(run_id, RecordKind.BROKEN)
    parts = []
    for entry in reversed(chosen):
        integration = entry["integration"]
        subject = _latest(subjects, integration) or {}
        asked = integration == run["integration"]
        parts.append(
            RunPart(
                transaction=str(entry["transaction"]),
                integration=integration,
                version=run["version"] if asked else subject.get("version"),
                subject=subject,
                generation=_latest(generations, integration),
                broken=any(record.data.get("integration", integration) == integration for record in broken),
            )
        )
    return parts


async def lower_tier(history: History, run: Mapping[str, Any]) -> str | None:
    """Say why a run is not taken back exactly although its before-images are there; None where it is."""
    if (run["tier"] or Tier.EXACT) == Tier.EXACT:
        return None
    records = await history.records(run["run_id"], RecordKind.CHANGE_SET)
    reasons = [str(record.data["tier_reason"]) for record in records if record.data.get("tier_reason")]
    return reasons[-1] if reasons else f"its tier is {run['tier']}"


async def refuse_lower_tier(history: History, run: Mapping[str, Any]) -> None:
    """Refuse to exchange files back where that is not what takes a run back (rule 17)."""
    reason = await lower_tier(history, run)
    if reason is not None:
        run_id = run["run_id"]
        raise ConflictError(
            f"run {run_id} is not taken back by its before-images: {reason}",
            run_id=run_id,
            state="nothing was changed",
            hint=f"by the inverse of what it installed: `workflow-agent rollback {run_id} --logical`; by its "
            "before-images all the same: `--force`, and see to it that the machine still finds a kernel to boot",
            details={"tier": run["tier"]},
        )


async def subject_of(history: History, run_id: str, integration: str | None) -> Mapping[str, Any]:
    """Give what a run said of an integration when it looked it up; empty when it did not."""
    return _latest(await history.records(run_id, RecordKind.SUBJECT), integration) or {}


def _latest(records: Sequence[Record], integration: str | None) -> Mapping[str, Any] | None:
    own = [record.data for record in records if record.data["integration"] == integration]
    return own[-1] if own else None
