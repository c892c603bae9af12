"""The executor agent: the only one that changes a target, through its transactions."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from workflow_agent.agents.diagnosing import Diagnostician
from workflow_agent.agents.edits import kept_edit
from workflow_agent.agents.logical import CompareReply, CompareRequest, compared
from workflow_agent.agents.masking import masked
from workflow_agent.agents.output_log import OutputLog
from workflow_agent.agents.pruning import PruneReply, PruneRequest, give_up
from workflow_agent.agents.recovery_rules import Bounds
from workflow_agent.agents.secret_files import filled_script
from workflow_agent.agents.serving import Answer, Question, Verb, plain
from workflow_agent.agents.ways_out import name_tier, name_ways_out
from workflow_agent.model.choice import ConflictChoice
from workflow_agent.model.errors import PathConflictError, ScriptFailedError, ValidationError, WorkflowAgentError
from workflow_agent.model.event import RecordKind
from workflow_agent.model.exact import Within
from workflow_agent.model.system import Effect, Script, Service, Tier  # the annotations are read
from workflow_agent.scripts import explain_failure
from workflow_agent.security.marks import marked_names
from workflow_agent.security.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from workflow_agent.model.message import Message
    from workflow_agent.model.ports import Bus, TargetRegistry

__all__ = [
    "ActivateReply",
    "ActivateRequest",
    "CommitReply",
    "CommitRequest",
    "ConfigureReply",
    "ConfigureRequest",
    "DiscardReply",
    "ExecutorAgent",
    "PrepareReply",
    "PrepareRequest",
    "RollbackReply",
    "RollbackRequest",
    "TransactionRequest",
]


#: Seconds to wait for a target that another run holds.
Wait = Annotated[float, Within(ge=0)]


class PrepareRequest(Question):
    """Run a script in a capture. `hold_locks` keeps the host's package locks until the commit.

    The script may ask that the services `stops` end: the commit does it. What it does to the paths `keep` is left out.
    The `services` are started afterwards: a person without root learns before that it takes root.
    With the isolation `container` it runs in a clone of the target instead, which has a `network` only on request, and
    there is no transaction.
    """

    target: str
    script: Script
    timeout_s: Annotated[float, Within(gt=0)] = 900.0
    wait_s: Wait = 0.0
    hold_locks: bool = True
    stops: list[str] = field(default_factory=list)
    keep: list[str] = field(default_factory=list)
    services: list[Service] = field(default_factory=list)
    isolation: Literal["auto", "transaction", "container"] = "auto"
    network: bool = False


class PrepareReply(Answer):
    """The transaction and what it would change; a rehearsal in a clone has no transaction."""

    transaction: str | None
    change_set: dict[str, Any]


class TransactionRequest(Question):
    """Names a transaction."""

    target: str
    transaction: str


class CommitRequest(TransactionRequest):
    """Commit a capture, or a transaction that was rolled back; the services `stops` end before.

    What these wrote meanwhile below the paths `owned` is no conflict where they go altogether. The paths `theirs` are
    left out of it: they stay as somebody left them. The data `copies` are copied once the services stopped.
    """

    stops: list[Service] = field(default_factory=list)
    owned: list[str] = field(default_factory=list)
    theirs: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)
    wait_s: Wait = 0.0


class CommitReply(Answer):
    """Counts and milliseconds, and the `copies` of data that were taken: ``{path, entries, bytes, taken_at}``."""

    transaction: str
    operations: int
    check_ms: float
    exchange_ms: float
    sync_ms: float
    copies: list[dict[str, Any]] = field(default_factory=list)


class ActivateRequest(TransactionRequest):
    """Start the services; `start: false` leaves them alone."""

    services: list[Service]
    start: bool = True


class ActivateReply(Answer):
    """What was done to each service."""

    services: list[dict[str, Any]]


class ConfigureRequest(TransactionRequest):
    """Carry out the effects that the manifest declares on running services."""

    effects: list[Effect]


class ConfigureReply(Answer):
    """What became of each: ``{effect, description, state}``.

    `state` is done, found (it was there already), held (there by an earlier run), kept (not ours to take away).
    """

    done: list[dict[str, Any]]


class RollbackRequest(TransactionRequest):
    """Take a transaction back, which ends the runs `undoes`; `plan_only` only looks.

    With `keep_data` the data in the folders `keep` stays. Where somebody changed what it left, `theirs` stay as they
    are, `back` get what was there before, and with `force` everything else does. `run` is the one that was asked for,
    `way` what takes it back logically.
    """

    keep: list[str] = field(default_factory=list)
    keep_data: bool = False
    plan_only: bool = False
    theirs: list[str] = field(default_factory=list)
    back: list[str] = field(default_factory=list)
    force: bool = False
    run: str | None = None
    way: str | None = None
    undoes: list[str] = field(default_factory=list)
    wait_s: Wait = 0.0


class RollbackReply(Answer):
    """What went back, what went, what stayed. `was` is the transaction's state before, such as committed.

    `stays` is what services changed in the running system and nobody could put back, each with its `reason`. `data` are
    the copies of data that came back, as in the reply of `commit`.
    """

    transaction: str
    was: str
    restored: int
    removed: int
    attributes: int
    appended: list[str]
    owned: list[str]
    kept: list[str]
    services: list[dict[str, Any]]
    left: list[dict[str, Any]]
    merged: list[str]
    decided: list[dict[str, Any]]
    exact: bool
    stays: list[dict[str, Any]] = field(default_factory=list)
    data: list[dict[str, Any]] = field(default_factory=list)


class DiscardReply(Answer):
    """The transaction that is forgotten."""

    transaction: str


class ExecutorAgent:
    """Thin: takes the target for the run and asks it. Whoever started the run gives the target back at its end.

    Args:
        targets: Gives targets by name.
        bus: Carries a script's output to whoever watches.
        artifacts: Gives the folder for a run's files.
        output_limit: How much of a script's output is kept, in bytes.
        vault: Has the secrets of runs.
        bounds: How often and how long a failed attempt before the commit is repeated.
    """

    name = "executor"

    def __init__(
        self,
        targets: TargetRegistry,
        bus: Bus,
        artifacts: Callable[[str], Path],
        *,
        output_limit: int,
        vault: Vault | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        self._targets = targets
        self._bus = bus
        self._artifacts = artifacts
        self._output_limit = output_limit
        self._vault = vault or Vault()
        self._diagnostician = Diagnostician(targets, artifacts, self._vault, bounds or Bounds())

    def verbs(self) -> Mapping[str, Verb]:
        """prepare, commit, activate, configure, rollback, discard, prune, compare."""
        verbs = {
            "prepare": Verb(PrepareRequest, PrepareReply, self._prepare),
            "commit": Verb(CommitRequest, CommitReply, self._commit),
            "activate": Verb(ActivateRequest, ActivateReply, self._activate),
            "configure": Verb(ConfigureRequest, ConfigureReply, self._configure),
            "rollback": Verb(RollbackRequest, RollbackReply, self._rollback),
            "discard": Verb(TransactionRequest, DiscardReply, self._discard),
            "prune": Verb(PruneRequest, PruneReply, self._prune),
            "compare": Verb(CompareRequest, CompareReply, self._compare),
        }
        return masked(self._vault, self._diagnostician.diagnosed(verbs))

    async def _prepare(self, request: PrepareRequest, message: Message) -> tuple[Answer, Mapping[str, Any]]:
        target = self._targets.get(request.target)
        run_id = _run_of(message)
        script = filled_script(request.script, self._vault, run_id)
        secrets = {name: self._vault.reveal(run_id, name) for name in script.secrets}
        rehearsed = request.isolation == "container"
        if not rehearsed:  # a clone needs nothing of the target
            script = target.fitted(script, request.services)
            await target.acquire(run_id, wait_s=request.wait_s)
        masker = self._vault.masker(run_id)
        output = OutputLog(self._bus, self._artifacts(run_id), message, limit=self._output_limit, masker=masker)
        try:
            async with output:
                given: dict[str, Any] = {"timeout_s": request.timeout_s, "on_output": output.line}
                given |= {"keep": request.keep, "secrets": secrets}
                transaction: str | None = None
                if rehearsed:
                    change_set = await target.rehearse(script, network=request.network, **given)
                else:
                    transaction, change_set = await target.prepare(run_id, script, stops=request.stops, **given)
        except WorkflowAgentError as error:
            # What a script said before it failed is the evidence; secrets over several lines are hidden there only.
            if "tail" in error.details and masker is not None:
                error.details["tail"] = output.tail
                error.cause = next((line for line in reversed(output.tail) if line.strip()), None)
            error.details["_records"] = [{"kind": RecordKind.OUTPUT, "data": output.summary()}]
            if request.script.provenance.integration is None and isinstance(error, ScriptFailedError):
                explain_failure(error, request.script)
            raise
        if not request.hold_locks and not rehearsed:
            await target.release_package_locks()
        data = plain(change_set)
        integration = request.script.provenance.integration
        records = [
            {"kind": RecordKind.OUTPUT, "data": output.summary()},
            {"kind": RecordKind.CHANGE_SET, "data": data | {"integration": integration}},
        ]
        if transaction is not None:
            about = {"tier": change_set.tier.value, "integration": integration}
            records.append(_transaction_record(transaction, "captured", request.target, **about))
        return PrepareReply(transaction=transaction, change_set=data), {"_records": records}

    async def _commit(self, request: CommitRequest, message: Message) -> tuple[Answer, Mapping[str, Any]]:
        try:
            target = self._targets.get(request.target)
            await target.acquire(_run_of(message), wait_s=request.wait_s)
        except WorkflowAgentError as error:
            error.details["begun"] = False  # a target that is gone cannot be asked any more
            raise
        figures = await target.commit(
            request.transaction,
            stops=request.stops,
            owned=request.owned,
            theirs=request.theirs,
            copies=request.copies,
        )
        records = [_transaction_record(request.transaction, "committed", request.target)]
        records += [{"kind": RecordKind.DECISION, "data": kept_edit(path)} for path in request.theirs]
        reply = CommitReply(transaction=request.transaction, **figures)
        if reply.copies:
            copied = {"target": request.target, "transaction": request.transaction, "items": reply.copies}
            records.append({"kind": RecordKind.COPIED, "data": copied})
        # Where all of it was there already, nothing is changed: what we only found is not ours to take back. Another
        # part of the run may have changed something.
        return reply, {"_records": records, **({"_changed": True} if reply.operations > 0 else {})}

    async def _activate(self, request: ActivateRequest, message: Message) -> tuple[Answer, Mapping[str, Any]]:
        if not request.start:
            return ActivateReply(services=[]), {}
        target = self._targets.get(request.target)
        await target.acquire(_run_of(message))
        outcomes = await target.activate(request.transaction, request.services)
        # A service that did not run and does now is a change, also where every file was there already.
        started = any(outcome["action"] == "started" for outcome in outcomes)
        special = {"_changed": True} if started else {}
        return ActivateReply(services=[dict(outcome) for outcome in outcomes]), special

    async def _configure(self, request: ConfigureRequest, message: Message) -> tuple[Answer, Mapping[str, Any]]:
        if all(effect.do is None for effect in request.effects):
            return ConfigureReply(done=[]), {}
        target = self._targets.get(request.target)
        await target.acquire(_run_of(message))
        names = marked_names([effect.do.stdin for effect in request.effects if effect.do is not None])
        given = names & self._vault.names(message.run_id)  # what is there already needs none
        secrets = {name: self._vault.reveal(message.run_id, name) for name in given}
        done = await target.configure(request.transaction, request.effects, secrets=secrets)
        return ConfigureReply(done=[dict(each) for each in done]), {}

    async def _rollback(self, request: RollbackRequest, message: Message) -> tuple[Answer, Mapping[str, Any]]:
        target = self._targets.get(request.target)
        await target.acquire(_run_of(message), wait_s=request.wait_s)
        keep = request.keep if request.keep_data else []
        choice = ConflictChoice(theirs=tuple(request.theirs), back=tuple(request.back), force=request.force)
        try:
            result = await target.rollback(request.transaction, keep=keep, plan_only=request.plan_only, choice=choice)
        except PathConflictError as error:
            name_ways_out(error, request.run, request.target)
            if request.plan_only:
                name_tier(error, request.run, request.target, request.way)
            raise
        special: dict[str, Any] = {}
        if not request.plan_only:
            records = [_transaction_record(request.transaction, "rolled-back", request.target)]
            records += [{"kind": RecordKind.DECISION, "data": dict(one)} for one in result["decided"]]
            records += [{"kind": RecordKind.UNDONE, "data": {"run": run}} for run in request.undoes]
            if result.get("stays"):
                records.append({"kind": RecordKind.RUNNING, "data": {"items": [], "stays": result["stays"]}})
            special = {"_records": records, "_changed": True}
        return RollbackReply(**result), special

    async def _discard(self, request: TransactionRequest, _: Message) -> tuple[Answer, Mapping[str, Any]]:
        await self._targets.get(request.target).discard(request.transaction)
        records = [_transaction_record(request.transaction, "discarded", request.target)]
        return DiscardReply(transaction=request.transaction), {"_records": records}

    async def _prune(self, request: PruneRequest, message: Message) -> tuple[Answer, Mapping[str, Any]]:
        target = self._targets.get(request.target)
        await target.acquire(_run_of(message), wait_s=request.wait_s)
        return await give_up(target, request)

    async def _compare(self, request: CompareRequest, message: Message) -> tuple[Answer, Mapping[str, Any]]:
        target = self._targets.get(request.target)
        await target.acquire(_run_of(message))
        return await compared(target, request)


def _run_of(message: Message) -> str:
    if message.run_id is None:
        raise ValidationError("a request to the executor belongs to a run", where=message.subject)
    return message.run_id


def _transaction_record(transaction: str, state: str, target: str, **more: str | None) -> dict[str, Any]:
    data = {"transaction": transaction, "state": state, "target": target, "tier": Tier.EXACT.value, **more}
    return {"kind": RecordKind.TRANSACTION, "data": data}
