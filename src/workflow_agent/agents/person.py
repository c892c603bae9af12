"""The person agent: asks whoever started the run. Without anybody to ask, it refuses.

It asks whether what is shown may be done, and which version of a configuration file it shall be where somebody edited
it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, TypeAlias

from workflow_agent.agents.edits import open_edits, refused_edits
from workflow_agent.agents.serving import Answer, Question, Verb
from workflow_agent.model.errors import ConsentError, DeclinedError

if TYPE_CHECKING:
    from workflow_agent.model.message import Message

__all__ = ["ApproveReply", "ApproveRequest", "Approver", "DecideReply", "DecideRequest", "Decider", "PersonAgent"]

#: Shows a summary to a person and gives the answer. One that has a method `decide` is asked about edits as well.
Approver: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[bool]]
#: Asks a person about each edit; gives the paths of those that stay.
Decider: TypeAlias = Callable[[Sequence[Mapping[str, Any]]], Awaitable[Sequence[str]]]


class ApproveRequest(Question):
    """Ask for approval of what `summary` shows."""

    summary: dict[str, Any]


class ApproveReply(Answer):
    """Approved; a refusal is an error."""

    approved: bool


class DecideRequest(Question):
    """Decide about `edits` of configuration files (see `ChangeSet`) that an action writes over.

    The paths `theirs` stay; with `force` the others do not. About the rest a person is asked where `ask` says so.
    """

    action: str
    integration: str
    target: str = "host"
    edits: list[dict[str, Any]]
    theirs: list[str] = field(default_factory=list)
    force: bool = False
    ask: bool = True


class DecideReply(Answer):
    """Which paths stay as somebody left them; about the others it was decided that they do not."""

    theirs: list[str]


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
        """Approve, decide."""
        return {
            "approve": Verb(ApproveRequest, ApproveReply, self._approve),
            "decide": Verb(DecideRequest, DecideReply, self._decide),
        }

    async def _decide(self, request: DecideRequest, message: Message) -> tuple[Answer, Mapping[str, Any]]:
        stay, left = open_edits(request.edits, request.theirs, force=request.force)
        if left:
            decider: Decider | None = getattr(self._approvers.get(message.run_id or ""), "decide", None)
            if not request.ask or decider is None:
                raise refused_edits(left, request.action, request.integration, request.target)
            stay += await decider(left)
        return DecideReply(theirs=stay), {}

    async def _approve(self, request: ApproveRequest, message: Message) -> tuple[Answer, Mapping[str, Any]]:
        approver = self._approvers.get(message.run_id or "")
        if approver is None:
            raise ConsentError(run_id=message.run_id, state="nothing was changed")
        if not await approver(request.summary):
            raise DeclinedError(run_id=message.run_id, state="nothing was changed")
        return ApproveReply(approved=True), {}
