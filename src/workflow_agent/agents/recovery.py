"""The recovery agent: decides what becomes of a run that failed, and asks the executor to do it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.agents.serving import Reply, Request, Verb
from workflow_agent.model.errors import NotFoundError, WorkflowAgentError
from workflow_agent.model.message import PRIORITY_HIGH, Message
from workflow_agent.model.status import RunStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.model.ports import Bus

__all__ = ["RecoverReply", "RecoverRequest", "RecoveryAgent"]


class RecoverRequest(Request):
    """What failed, and what there is to take back. `committed` says whether a commit was begun."""

    target: str
    failure: dict[str, Any] | None
    transaction: str | None = None
    committed: bool = False
    keep_on_failure: bool = False


class RecoverReply(Reply):
    """What was decided (`nothing`, `discard`, `rollback`, `keep`), why, and what came of it."""

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
        if request.transaction is None:
            return _decided("nothing", "nothing was begun on the target", {}, RunStatus.FAILED, changed=False)
        if not request.committed:
            result = await self._ask("discard", request, message)
            reason = "the captured effects were never committed"
            return _decided("discard", reason, result, RunStatus.FAILED, changed=False)
        if request.keep_on_failure:
            reason = "asked to keep what was done for inspection"
            return _decided("keep", reason, {}, RunStatus.NEEDS_ATTENTION, changed=True)
        return await self._roll_back(request, message)

    async def _roll_back(self, request: RecoverRequest, message: Message) -> tuple[Reply, Mapping[str, Any]]:
        reason = "the commit had begun: everything is taken back"
        try:
            result = await self._ask("rollback", request, message)
        except NotFoundError as error:  # settled already when the target was taken: the capture is gone
            return _decided("rollback", reason, error.to_dict(), RunStatus.ROLLED_BACK, changed=False)
        except WorkflowAgentError as error:
            return _decided(
                "rollback",
                "not everything could be taken back",
                error.to_dict(),
                RunStatus.NEEDS_ATTENTION,
                changed=True,
            )
        if result["was"] == "captured":  # the commit refused before its first exchange, or took itself back
            return _decided("discard", "nothing was committed", result, RunStatus.FAILED, changed=False)
        return _decided("rollback", reason, result, RunStatus.ROLLED_BACK, changed=False)

    async def _ask(self, verb: str, request: RecoverRequest, message: Message) -> dict[str, Any]:
        reply = await self._bus.request(
            Message(
                subject=f"agent.executor.{verb}",
                data={"target": request.target, "transaction": request.transaction},
                source=self.name,
                correlation_id=message.correlation_id,
                causation_id=message.id,
                run_id=message.run_id,
                step_id=message.step_id,
                priority=PRIORITY_HIGH,
            )
        )
        return {key: value for key, value in reply.data.items() if not key.startswith("_")}


def _decided(
    decision: str, reason: str, result: dict[str, Any], status: RunStatus, *, changed: bool
) -> tuple[Reply, Mapping[str, Any]]:
    reply = RecoverReply(decision=decision, reason=reason, result=result)
    return reply, {"_run_status": status.value, "_changed": changed}
