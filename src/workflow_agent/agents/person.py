"""The person agent: asks whoever started the run. Without anybody to ask, it refuses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from workflow_agent.agents.serving import Answer, Question, Verb
from workflow_agent.model.errors import ConsentError, DeclinedError

if TYPE_CHECKING:
    from workflow_agent.model.message import Message

__all__ = ["ApproveReply", "ApproveRequest", "Approver", "PersonAgent"]

#: Shows a summary to a person and gives the answer.
Approver: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[bool]]


class ApproveRequest(Question):
    """Ask for approval of what `summary` shows."""

    summary: dict[str, Any]


class ApproveReply(Answer):
    """Approved; a refusal is an error."""

    approved: bool


class PersonAgent:
    """Knows, for each run of this process, whom to ask."""

    name = "person"

    def __init__(self) -> None:
        self._approvers: dict[str, Approver] = {}

    def ask_for(self, run_id: str, approver: Approver | None) -> None:
        """Name whom to ask for a run; None forgets it."""
        if approver is None:
            self._approvers.pop(run_id, None)
        else:
            self._approvers[run_id] = approver

    def verbs(self) -> Mapping[str, Verb]:
        """Approve."""
        return {"approve": Verb(ApproveRequest, ApproveReply, self._approve)}

    async def _approve(self, request: ApproveRequest, message: Message) -> tuple[Answer, Mapping[str, Any]]:
        approver = self._approvers.get(message.run_id or "")
        if approver is None:
            raise ConsentError(run_id=message.run_id, state="nothing was changed")
        if not await approver(request.summary):
            raise DeclinedError(run_id=message.run_id, state="nothing was changed")
        return ApproveReply(approved=True), {}
