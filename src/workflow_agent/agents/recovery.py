"""The recovery agent: decides what becomes of a run that failed, and asks the executor to do it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from workflow_agent.agents.serving import Reply, Request, Verb
from workflow_agent.model.errors import (
    DeclinedError,
    InterruptedRunError,
    NotFoundError,
    PathConflictError,
    RollbackIncompleteError,
    WorkflowAgentError,
)
from workflow_agent.model.message import PRIORITY_HIGH, Message
from workflow_agent.model.status import RunStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.model.ports import Bus

__all__ = ["RecoverReply", "RecoverRequest", "RecoveryAgent"]

#: A person stopped the run: that is no failure.
_STOPPED = frozenset({InterruptedRunError.code, DeclinedError.code})


class RecoverRequest(Request):
    """What failed, and what there is to take back.

    `committed` says whether a commit was begun; before it a transaction that is `captured` by this run is discarded.
    `taken_back` says that the run was itself taking the transaction back, which ends the runs `undoes`.
    """

    target: str
    failure: dict[str, Any] | None
    transaction: str | None = None
    captured: bool = True
    committed: bool = False
    taken_back: bool = False
    undoes: list[str] = Field(default_factory=list)
    keep_on_failure: bool = False


class RecoverReply(Reply):
    """What was decided (`nothing`, `discard`, `rollback`, `keep`, `record`), why, and what came of it."""

    decision: str
    reason: str
    result: dict[str, Any]


class RecoveryAgent:
    """Takes back what was begun; where that fails, says what is left, and never that all is well."""

    name = "recovery"

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def verbs(self) -> Mapping[str, Verb]:
        """Recover."""
        return {"recover": Verb(RecoverRequest, RecoverReply, self._recover)}

    async def _recover(self, request: RecoverRequest, message: Message) -> tuple[Reply, Mapping[str, Any]]:
        ended = _ended(request.failure)
        if request.transaction is None or not (request.captured or request.committed or request.taken_back):
            return _decided("nothing", "nothing was begun on the target", ended)
        if request.taken_back:
            return await self._settle_rollback(request, message, ended)
        if not request.committed:
            return await self._discard(request, message, ended)
        if request.keep_on_failure:
            reason = "asked to keep what was done for inspection"
            return _decided("keep", reason, RunStatus.NEEDS_ATTENTION, changed=True)
        return await self._roll_back(request, message, ended)

    async def _discard(
        self, request: RecoverRequest, message: Message, ended: RunStatus
    ) -> tuple[Reply, Mapping[str, Any]]:
        result, records = await self._ask("discard", request, message)
        return _decided("discard", "the captured effects were never committed", ended, result, records)

    async def _roll_back(
        self, request: RecoverRequest, message: Message, ended: RunStatus
    ) -> tuple[Reply, Mapping[str, Any]]:
        reason = "the commit had begun: everything is taken back"
        try:
            result, records = await self._ask("rollback", request, message)
        except NotFoundError as error:
            # Whoever took the target next forgot the capture; what had reached the target would still be known.
            return _decided("discard", "nothing was committed", ended, error.to_dict())
        except WorkflowAgentError as error:
            reason = "not everything could be taken back"
            return _decided("rollback", reason, RunStatus.NEEDS_ATTENTION, error.to_dict(), changed=True)
        if result["was"] == "captured":  # the commit refused before its first exchange, or took itself back
            return _decided("discard", "nothing was committed", ended, result, records)
        return _decided("rollback", reason, RunStatus.ROLLED_BACK, result, records)

    async def _settle_rollback(
        self, request: RecoverRequest, message: Message, ended: RunStatus
    ) -> tuple[Reply, Mapping[str, Any]]:
        """Find out how far a rollback came; what it took back is recorded, and a person is told to look."""
        unknown = "what was taken back is not known"
        if (request.failure or {}).get("code") == RollbackIncompleteError.code:
            return _decided("nothing", unknown, RunStatus.NEEDS_ATTENTION, changed=True)
        try:
            result, records = await self._ask("rollback", request, message, plan_only=True)
            if result["was"] == "rolled-back":
                result, records = await self._ask("rollback", request, message, undoes=request.undoes)
        except PathConflictError as error:
            return _decided("nothing", "nothing was taken back", ended, error.to_dict())
        except WorkflowAgentError as error:
            return _decided("nothing", unknown, RunStatus.NEEDS_ATTENTION, error.to_dict(), changed=True)
        if result["was"] == "committed":
            return _decided("nothing", "nothing was taken back", ended, result, records)
        if result["was"] != "rolled-back":
            return _decided("nothing", unknown, RunStatus.NEEDS_ATTENTION, result, changed=True)
        reason = "the files are as before, but what came after that failed"
        return _decided("record", reason, RunStatus.NEEDS_ATTENTION, result, records, changed=True)

    async def _ask(
        self, verb: str, request: RecoverRequest, message: Message, **more: Any
    ) -> tuple[dict[str, Any], list[Mapping[str, Any]]]:
        """Ask the executor; gives its reply, and the records that belong to it."""
        reply = await self._bus.request(
            Message(
                subject=f"agent.executor.{verb}",
                data={"target": request.target, "transaction": request.transaction, **more},
                source=self.name,
                correlation_id=message.correlation_id,
                causation_id=message.id,
                run_id=message.run_id,
                step_id=message.step_id,
                priority=PRIORITY_HIGH,
            )
        )
        records = list(reply.data.get("_records", ()))
        return {key: value for key, value in reply.data.items() if not key.startswith("_")}, records


def _ended(failure: Mapping[str, Any] | None) -> RunStatus:
    """Say how a run ended that left nothing behind."""
    return RunStatus.CANCELLED if failure is not None and failure.get("code") in _STOPPED else RunStatus.FAILED


def _decided(
    decision: str,
    reason: str,
    status: RunStatus,
    result: Mapping[str, Any] | None = None,
    records: Sequence[Mapping[str, Any]] = (),
    *,
    changed: bool = False,
) -> tuple[Reply, Mapping[str, Any]]:
    reply = RecoverReply(decision=decision, reason=reason, result=dict(result or {}))
    return reply, {"_run_status": status.value, "_changed": changed, "_records": list(records)}
