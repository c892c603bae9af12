"""The recovery agent: decides what becomes of a run that failed, and asks the executor to do it."""

from __future__ import annotations

import dataclasses
from dataclasses import field
from typing import TYPE_CHECKING, Any

from workflow_agent.agents.serving import Answer, Question, Verb
from workflow_agent.model.errors import (
    CheckFailedError,
    DeclinedError,
    InterruptedRunError,
    NotFoundError,
    PathConflictError,
    RollbackIncompleteError,
    UnreachableError,
    WorkflowAgentError,
)
from workflow_agent.model.message import PRIORITY_HIGH, Message
from workflow_agent.model.status import RunStatus, StepStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.model.ports import Bus

__all__ = ["RecoverReply", "RecoverRequest", "RecoveryAgent", "RunTransaction"]

#: A person stopped the run: that is no failure.
_STOPPED = frozenset({InterruptedRunError.code, DeclinedError.code})
#: Decisions by which nothing is done.
_NOTHING_DONE = frozenset({"nothing", "keep"})


class RunTransaction(Question):
    """A transaction of the run, of something that it installed or takes back.

    `committed` says whether a commit was begun, `taken_back` that the run was itself taking it back; then
    `checks_after` hold where that succeeded. Data in the folders `keep` stay where a person asked for that.
    """

    integration: str | None = None
    transaction: str | None = None
    committed: bool = False
    taken_back: bool = False
    checks_after: list[dict[str, Any]] | None = None
    started_after: bool | None = None
    keep: list[str] | None = None


class RecoverRequest(Question):
    """What failed, and what there is to take back: the `parts` of the run, the newest first.

    Before its commit a transaction that is `captured` by this run is discarded. Where the run was taking those of `run`
    back, `undoes` are the runs that this ends, `also` names what else belongs to it, begun or not, `keep_data` says
    that the data of its services stay, and `theirs`, `back` and `force` say what was decided about conflicts. A
    workflow with one part may write it without a list.
    """

    target: str
    failure: dict[str, Any] | None
    parts: list[RunTransaction] = field(default_factory=list)
    transaction: str | None = None
    captured: bool = True
    committed: bool = False
    taken_back: bool = False
    run: str | None = None
    undoes: list[str] = field(default_factory=list)
    also: list[str] = field(default_factory=list)
    keep_data: bool = False
    theirs: list[str] = field(default_factory=list)
    back: list[str] = field(default_factory=list)
    force: bool = False
    keep_on_failure: bool = False

    def begun(self) -> list[RunTransaction]:
        """List the parts in which something was begun on the target."""
        only = RunTransaction(transaction=self.transaction, committed=self.committed, taken_back=self.taken_back)
        return [
            part
            for part in self.parts or [only]
            if part.transaction is not None and (self.captured or part.committed or part.taken_back)
        ]


class RecoverReply(Answer):
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

    async def _recover(self, request: RecoverRequest, message: Message) -> tuple[Answer, Mapping[str, Any]]:
        ended, parts = _ended(request.failure), request.begun()
        if not parts:
            return _decided("nothing", "nothing was begun on the target", ended)
        if any(part.taken_back for part in parts):
            return await self._settle_rollback(request, parts, message, ended)
        if request.keep_on_failure and any(part.committed for part in parts):
            reason = "asked to keep what was done for inspection"
            return _decided("keep", reason, RunStatus.NEEDS_ATTENTION, changed=True)
        return await self._take_back(request, parts, message, ended)

    async def _take_back(
        self, request: RecoverRequest, parts: Sequence[RunTransaction], message: Message, ended: RunStatus
    ) -> tuple[Answer, Mapping[str, Any]]:
        """Take back what was committed and forget what was not, the newest first; the first that cannot be ends it."""
        done: list[RunTransaction] = []
        records: list[Mapping[str, Any]] = []
        result: dict[str, Any] = {}
        was_committed = False
        parts = _as_begun(parts, request.failure)
        for part in parts:
            try:
                result, new = await self._ask("rollback" if part.committed else "discard", request, part, message)
            except NotFoundError as error:
                # Whoever took the target next forgot the capture; what had reached the target would still be known.
                result, new = error.to_dict(), []
            except WorkflowAgentError as error:
                if not part.committed and part is parts[-1] and isinstance(error, UnreachableError):
                    reason = "nothing was committed; whoever takes the target next forgets the capture"
                    return _decided("discard", reason, ended, error.to_dict(), records)
                if len(parts) > 1:
                    raise _stuck(part, done, parts, error, records) from error
                reason = "not everything could be taken back"
                return _decided("rollback", reason, RunStatus.NEEDS_ATTENTION, error.to_dict(), changed=True)
            # A commit that refused before its first exchange, or took itself back, is as good as none.
            was_committed |= result.get("was", "captured") != "captured"
            records += new
            done.append(part)
        if was_committed:
            reason = "the commit had begun: everything is taken back"
            return _decided("rollback", reason, RunStatus.ROLLED_BACK, result, records)
        return _decided("discard", "nothing was committed", ended, result, records)

    async def _settle_rollback(
        self, request: RecoverRequest, parts: Sequence[RunTransaction], message: Message, ended: RunStatus
    ) -> tuple[Answer, Mapping[str, Any]]:
        """Find out how far a rollback came, and whether all is well where it came to its end."""
        unknown = "what was taken back is not known"
        if (request.failure or {}).get("code") == RollbackIncompleteError.code:
            return _decided("nothing", unknown, RunStatus.NEEDS_ATTENTION, changed=True)
        back: list[RunTransaction] = []
        result: dict[str, Any] = {}
        for part in parts:
            try:
                result, _ = await self._ask("rollback", request, part, message, plan_only=True)
            except PathConflictError as error:
                result = error.to_dict() | {"was": "committed"}
            except WorkflowAgentError as error:
                return _decided("nothing", unknown, RunStatus.NEEDS_ATTENTION, error.to_dict(), changed=True)
            if result["was"] == "rolled-back":
                back.append(part)
            elif result["was"] != "committed":
                return _decided("nothing", unknown, RunStatus.NEEDS_ATTENTION, result, changed=True)
        if not back:
            return _decided("nothing", "nothing was taken back", ended, result)
        if left := _left(request, parts, back):
            if request.run is None or not _is_orphaned(request.failure):
                raise _half_back(request, back, left)
            await self._go_on(request, back, message)
        return await self._end_rollback(request, back, message)

    async def _go_on(self, request: RecoverRequest, back: list[RunTransaction], message: Message) -> None:
        """Take back what is left of a run, the newest first: nothing failed, the process that did it died.

        Raises:
            RollbackIncompleteError: one of them cannot be taken back.
        """
        for number in range(1 + len(request.also)):
            data = {"target": request.target, "run": request.run, "part": number, "force": True}  # it has begun
            try:
                located = (await self._bus.request(_message("knowledge.locate", data, message))).data
                names = ("integration", "transaction", "checks_after", "started_after", "keep")
                part = RunTransaction(taken_back=True, **{name: located[name] for name in names})
                if part.transaction in {one.transaction for one in back}:
                    continue
                await self._ask("rollback", request, part, message, **_kept(request, part))
            except WorkflowAgentError as error:
                left = [name for name in request.also if name not in _names(back)]
                raise _half_back(request, back, left, error) from error
            back.append(part)

    async def _end_rollback(
        self, request: RecoverRequest, back: Sequence[RunTransaction], message: Message
    ) -> tuple[Answer, Mapping[str, Any]]:
        """Record that all is back; the checks say whether all is well, too."""
        result: dict[str, Any] = {}
        records: list[Mapping[str, Any]] = []
        for part, undoes in zip(back, [request.undoes, *([] for _ in back[1:])], strict=True):
            # Asked once more: the process may have died before it recorded that, or put the data back that stay.
            more = {"undoes": undoes, **_kept(request, part)}
            result, new = await self._ask("rollback", request, part, message, **more)
            records += new
        try:
            for part in back:
                records += await self._look(request, part, message)
        except WorkflowAgentError as error:
            reason = f"the files are as before, but what came after that failed: {error.message}"
            return _decided("record", reason, RunStatus.NEEDS_ATTENTION, result, records, changed=True)
        reason = "everything was taken back, and the checks hold"
        return _decided("record", reason, RunStatus.SUCCEEDED, result, records, changed=True)

    async def _look(self, request: RecoverRequest, part: RunTransaction, message: Message) -> list[Mapping[str, Any]]:
        """Ask the verifier whether what should hold after a rollback holds; gives the records of its checks."""
        if part.checks_after is None or part.started_after is None:
            raise CheckFailedError("nobody looked whether all is well")
        data = {"target": request.target, "checks": part.checks_after, "started": part.started_after}
        reply = await self._bus.request(_message("verifier.verify", data, message))
        return list(reply.data.get("_records", ()))

    async def _ask(
        self, verb: str, request: RecoverRequest, part: RunTransaction, message: Message, **more: Any
    ) -> tuple[dict[str, Any], list[Mapping[str, Any]]]:
        """Ask the executor; gives its reply, and the records that belong to it."""
        data = {"target": request.target, "transaction": part.transaction, **more}
        reply = await self._bus.request(_message(f"executor.{verb}", data, message))
        records = list(reply.data.get("_records", ()))
        return {key: value for key, value in reply.data.items() if not key.startswith("_")}, records


def _message(verb: str, data: Mapping[str, Any], cause: Message) -> Message:
    return Message(
        subject=f"agent.{verb}",
        data=data,
        source=RecoveryAgent.name,
        correlation_id=cause.correlation_id,
        causation_id=cause.id,
        run_id=cause.run_id,
        step_id=cause.step_id,
        priority=PRIORITY_HIGH,
    )


def _as_begun(parts: Sequence[RunTransaction], failure: Mapping[str, Any] | None) -> list[RunTransaction]:
    """Give the parts as they are where the commit of the newest was refused before it reached the target."""
    first, *rest = parts
    refused = ((failure or {}).get("details") or {}).get("begun") is False
    return [dataclasses.replace(first, committed=False) if refused else first, *rest]


def _names(parts: Sequence[RunTransaction]) -> list[str]:
    return [part.integration or str(part.transaction) for part in parts]


def _left(request: RecoverRequest, parts: Sequence[RunTransaction], back: Sequence[RunTransaction]) -> list[str]:
    """Name what is not back: parts in which nothing was taken back, and those that were never begun."""
    names = dict.fromkeys([*_names([part for part in parts if part not in back]), *request.also])
    return [name for name in names if name not in _names(back)]


def _stuck(
    part: RunTransaction,
    done: Sequence[RunTransaction],
    parts: Sequence[RunTransaction],
    error: WorkflowAgentError,
    records: Sequence[Mapping[str, Any]],
) -> RollbackIncompleteError:
    """Say exactly what is back and what is not."""
    left = _names([other for other in parts if other not in done])
    taken = f"; {', '.join(_names(done))} was taken back" if done else ""
    return RollbackIncompleteError(
        f"`{_names([part])[0]}` could not be taken back: {error.message}",
        where=error.where,
        cause=error.cause,
        state=f"still there: {', '.join(left)}{taken}",
        hint=error.hint,
        details={"left": left, "back": _names(done), "_records": list(records)},
    )


def _half_back(
    request: RecoverRequest,
    back: Sequence[RunTransaction],
    left: Sequence[str],
    error: WorkflowAgentError | None = None,
) -> RollbackIncompleteError:
    run = request.undoes[0] if request.undoes else "RUN"
    cause = error.message if error else str((request.failure or {}).get("message") or "") or None
    return RollbackIncompleteError(
        f"only a part of the run was taken back: {', '.join(_names(back))}",
        cause=cause,
        state=f"still there: {', '.join(left)}",
        hint=f"once that is put right, `workflow-agent rollback {run}` goes on",
        details={"left": list(left), "back": _names(back)},
    )


def _kept(request: RecoverRequest, part: RunTransaction) -> dict[str, Any]:
    chosen = {"theirs": request.theirs, "back": request.back, "force": request.force}
    return {"keep": part.keep or [], "keep_data": request.keep_data, **chosen}


def _is_orphaned(failure: Mapping[str, Any] | None) -> bool:
    """Tell whether nothing failed but the process that drove the run."""
    return bool(((failure or {}).get("details") or {}).get("orphaned"))


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
) -> tuple[Answer, Mapping[str, Any]]:
    reply = RecoverReply(decision=decision, reason=reason, result=dict(result or {}))
    # Where nothing was taken back, the step claims no success.
    step = StepStatus.UNCHANGED if decision in _NOTHING_DONE else StepStatus.SUCCEEDED
    special = {"_status": step.value, "_run_status": status.value, "_changed": changed, "_records": list(records)}
    return reply, special
