"""Ports: what the engine and the agents need from the world. Implementations live in lower rows of ``app``.

Small on purpose (2 to 6 methods each); every implementation passes the port's contract test suite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from workflow_agent.model.choice import NOTHING_CHOSEN

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from typing import TypeAlias

    from workflow_agent.model.choice import ConflictChoice
    from workflow_agent.model.errors import WorkflowAgentError
    from workflow_agent.model.event import Event, Record, Snapshot
    from workflow_agent.model.message import Message
    from workflow_agent.model.places import Standing, Wanted
    from workflow_agent.model.system import (
        ChangeSet,
        Check,
        CheckResult,
        Effect,
        Generation,
        Script,
        Service,
        TargetFacts,
    )
    from workflow_agent.model.workflow import Workflow

    #: Handles one message; what it returns is the reply's data (None: an empty reply, if one is wanted).
    Handler: TypeAlias = Callable[[Message], Awaitable[Mapping[str, Any] | None]]
    #: Takes one line of a script's output (secrets masked, no line end).
    OutputSink: TypeAlias = Callable[[str], None]

__all__ = [
    "Asked",
    "Bus",
    "Clock",
    "History",
    "Journal",
    "Memory",
    "Places",
    "Subscription",
    "Target",
    "TargetRegistry",
    "WorkflowCatalogue",
]


class Clock(Protocol):
    """Wall clock, for records only; waiting uses the running loop's clock."""

    def now(self) -> float:
        """Give UTC seconds since the epoch."""
        ...


class Memory(Protocol):
    """Results that need not be computed again. Losing them costs time, nothing else."""

    def recall(self, key: str) -> Any:  # Any: a JSON value
        """Give what was kept for a key by this release; None where there is nothing of use. Never raises."""
        ...

    def keep(self, key: str, value: Any) -> None:  # Any: a JSON value
        """Keep a result, where that can be done; never raises for where it cannot."""
        ...


class Places(Protocol):
    """What only so many may have at the same time. Calls take well below a millisecond and never wait."""

    def enter(self, wanted: Wanted) -> Standing:
        """Take a place, or stand in line for it; asked again, say how it stands. A start is taken once.

        Raises:
            ConflictError: too many stand in line already.
            StoreError: it cannot be kept who has what.
        """
        ...

    def leave(self, wanted: Wanted) -> None:
        """Give a place back, or leave the line."""
        ...

    def asked_to_leave(self) -> list[str]:
        """List the runs of this process that are asked to give their place to another one."""
        ...

    def waiting(self, run_id: str) -> list[Standing]:
        """List what a run, of whatever process, waits for."""
        ...

    def close(self) -> None:
        """Give back all places of this process."""
        ...


class Subscription(Protocol):
    """A live subscription."""

    async def close(self) -> None:
        """Stop receiving; messages already queued are handled first."""
        ...


class Asked(Protocol):
    """A request that calls a function when it is answered."""

    def done(self) -> bool:
        """Say whether it was answered, or given up."""
        ...

    async def wait(self, timeout_s: float) -> bool:
        """Wait until it is answered, for so many seconds at most; says whether it is."""
        ...

    async def give_up(self) -> None:
        """Want no answer any more, and wait for the handler to end, as long as the bus waits for that."""
        ...


class Bus(Protocol):
    """Carrier of messages. Subjects follow NATS rules: tokens split by dots, ``*`` one token, ``>`` the rest."""

    async def publish(self, message: Message) -> None:
        """Return when the message is in every matching subscriber's queue; blocks on a full one."""
        ...

    def is_heard(self, subject: str) -> bool:
        """Say whether anybody subscribed to a subject: what nobody hears need not be said. True where unknown."""
        ...

    async def subscribe(
        self,
        pattern: str,
        handler: Handler,
        *,
        queue: str | None = None,
        limit: int = 1024,
        concurrency: int = 1,
    ) -> Subscription:
        """Call `handler` for each matching message; within a `queue` group one member gets each message."""
        ...

    async def request(self, message: Message, *, timeout_s: float | None = None) -> Message:
        """Send and wait for the reply.

        Raises:
            NoResponderError: nobody subscribed; at once.
            DeadlineExceededError: no reply in time.
            WorkflowAgentError: the handler raised it; any other exception arrives as InternalError.
        """
        ...

    def ask(self, message: Message, answered: Callable[[Message | WorkflowAgentError], None]) -> Asked:
        """Send, and call a function with the first reply or with why there is none; no deadline is kept.

        Raises:
            NoResponderError: nobody subscribed.
        """
        ...

    async def drain(self) -> None:
        """Take nothing new, let queued messages be handled, stop."""
        ...


class Journal(Protocol):
    """Append-only truth. Appending returns only when the events are on disk."""

    async def append(self, run_id: str, expected_head: int, events: Sequence[Event]) -> int:
        """Append events whose `seq` follow `expected_head`; gives the new head.

        Records of the events are written to history in the same transaction.

        Raises:
            JournalConflictError: the run's head is another one.
            OutcomeUnknownError: the commit was not confirmed.
        """
        ...

    async def events(self, run_id: str, *, after: int = 0) -> list[Event]:
        """Read a run's events in order, without their records; an unknown run gives an empty list."""
        ...

    async def events_of(self, run_ids: Sequence[str]) -> dict[str, list[Event]]:
        """Read the events of several runs at once, as :meth:`events` does; unknown runs are left out."""
        ...

    async def keep_snapshot(self, run_id: str, seq: int, fold: str, make: Callable[[], Mapping[str, Any]]) -> None:
        """Keep where a run that has no end stands after a record that is on disk, in place of what was kept before.

        Args:
            run_id: The run.
            seq: The record's number.
            fold: Which fold it is of.
            make: Gives what is to be kept, ``{"state": …, "values": […]}``; may be called in another thread.

        Raises:
            StoreError: it was not kept; the run's records are as before.
            OutcomeUnknownError: the commit was not confirmed.
        """
        ...

    async def snapshots(self, run_ids: Sequence[str]) -> dict[str, Snapshot]:
        """Give what was kept of runs; what is damaged is left out, with a warning in the log."""
        ...

    async def definition(self, workflow_hash: str) -> Mapping[str, Any] | None:
        """Give the canonical form of the definition that runs with this `workflow_hash` were created with, if kept.

        It is kept by a record of the kind ``definition`` of a RunCreated.
        """
        ...


class History(Protocol):
    """Questions about the past. Read only."""

    def reading(self) -> AbstractAsyncContextManager[None]:
        """Share between the questions that are asked inside what it takes to answer one; each sees what is then."""
        ...

    async def resolve(self, prefix: str) -> str:
        """Complete a unique prefix of a run id; raises NotFoundError or ConflictError (with candidates)."""
        ...

    async def runs(
        self,
        *,
        limit: int = 20,
        status: str | None = None,
        integration: str | None = None,
        target: str | None = None,
        action: str | None = None,
        tags: Mapping[str, str | None] | None = None,
    ) -> list[dict[str, Any]]:
        """List runs, newest first, each as `run` gives it; with `tags`, those that have all (None: of any value)."""
        ...

    async def unfinished(self, target: str) -> list[dict[str, Any]]:
        """List the runs on a target that have no end, oldest first: run_id, workflow."""
        ...

    async def unfinished_of(self, action: str) -> list[dict[str, Any]]:
        """List the runs of an action that have no end, oldest first: run_id, workflow, status."""
        ...

    async def run(self, run_id: str) -> dict[str, Any]:
        """Give one run; raises NotFoundError.

        Keys: run_id, action, integration, version, target, status, changed, tier, error, undoes, undone_by, pruned_by
        (the run that gave up its before-images), workflow, workflow_hash, inputs, user, host, origin (the run that it
        was made from), created_at, started_at, finished_at, tags (values by name), steps (list of id, status, attempt,
        started_at, finished_at, error, reason).
        """
        ...

    async def records(self, run_id: str, kind: str | None = None) -> list[Record]:
        """List a run's records in the order in which they were written."""
        ...

    async def run_figures(self) -> list[dict[str, Any]]:
        """Count all runs by workflow, state and duration.

        Keys: workflow, state (that with which it ended), ended, up_to (a bound of durations, in seconds; None without
        an end, or above all), runs, seconds (the sum of their durations), first (the smaller, the older the workflow).
        """
        ...

    async def measured(self, action: str) -> list[tuple[str, dict[str, Any]]]:
        """List what steps of the newest runs of an action measured, newest first, each with its workflow.

        Keys: at, step, name, value, tags.
        """
        ...

    async def generations(
        self, target: str | None, integration: str | None = None, *, live_only: bool = True
    ) -> list[Generation]:
        """List generations, newest first; without a target those of all targets."""
        ...

    async def standing(self, target: str) -> list[dict[str, Any]]:
        """List the runs with committed transactions on a target that were not undone, the last committed first.

        Keys: run_id, action, integration, version, status, redone (it was rolled back once, and is in force again).
        """
        ...

    async def transactions(self, target: str) -> list[dict[str, Any]]:
        """List the transactions on a target that are committed or rolled back, the one that last became so first.

        Keys: transaction, run_id, state, pruned_by (the run that gave up its before-images, or None), updated_at.
        """
        ...

    async def latest_transaction(self, target: str) -> dict[str, Any] | None:
        """Give the newest committed transaction on a target whose run was not undone, or None.

        Keys: transaction, run_id, target, state, tier, action, integration, version, status, created_at.
        """
        ...


class WorkflowCatalogue(Protocol):
    """The workflows that are known by name."""

    def names(self) -> list[str]:
        """List names, sorted."""
        ...

    def get(self, name: str) -> Workflow:
        """Give a workflow; raises NotFoundError with the nearest names."""
        ...


class Target(Protocol):
    """A system that can be changed. All methods are safe to cancel; what `commit` has begun, it ends."""

    name: str

    async def facts(self) -> TargetFacts:
        """Read facts from the target, never from a cache of an earlier run."""
        ...

    async def acquire(self, run_id: str, *, wait_s: float = 0.0) -> None:
        """Take the target's lock for a run and settle what a crashed run left; raises TargetLockedError."""
        ...

    async def release(self, run_id: str) -> None:
        """Give the target's lock back; a lock that is not held is no error."""
        ...

    def expect_capture(self) -> None:
        """Say that a script will soon be captured: what that needs to know is read meanwhile. A hint, never wrong."""
        ...

    def fitted(self, script: Script, services: Sequence[Service]) -> Script:
        """Give a script as it is prepared here, where `services` are started afterwards.

        Raises:
            PermissionDeniedError: it needs more than may be changed here; nothing was run.
        """
        ...

    async def prepare(
        self,
        run_id: str,
        script: Script,
        *,
        timeout_s: float,
        on_output: OutputSink,
        stops: Sequence[str] = (),
        keep: Sequence[str] = (),
        secrets: Mapping[str, str] | None = None,
    ) -> tuple[str, ChangeSet]:
        """Run the script in a capture; gives the transaction's id and what it would change.

        `stops` names services that the commit will stop, so that the script may ask for it. What the script does to
        the paths `keep`, and below them, is left out. While the script runs, each of the `secrets` is a file of mode
        0600 in memory: ``security.delivery`` says where.

        Raises:
            ScriptFailedError: it ended with an error (details: exit_code, tail).
            StepTimeoutError: it ran out of time; its processes are dead.
            CaptureError: its effects cannot be captured or committed exactly.
        """
        ...

    async def rehearse(
        self,
        script: Script,
        *,
        timeout_s: float,
        on_output: OutputSink,
        keep: Sequence[str] = (),
        secrets: Mapping[str, str] | None = None,
        network: bool = False,
    ) -> ChangeSet:
        """Run the script in a clone of the system; gives what it did there, which is approximate.

        Nothing of the system changes, and nothing of the clone stays. The script reaches the network with `network`
        only. Raises as `prepare` does; CaptureError where there is nothing that could be cloned.
        """
        ...

    async def release_package_locks(self) -> None:
        """Let others install while a person thinks; `commit` takes the locks again and compares."""
        ...

    async def commit(
        self,
        transaction: str,
        *,
        stops: Sequence[Service] = (),
        owned: Sequence[str] = (),
        theirs: Sequence[str] = (),
        copies: Sequence[str] = (),
    ) -> Mapping[str, Any]:
        """Bring the captured effects to the target; gives timings and counts.

        The data `copies` are copied once the services stopped, before anything changes: `copies` of the answer says
        which, ``{path, entries, bytes, taken_at}``. A rollback brings them back unless it is to keep them.

        The paths `theirs` are left out, with what lies below them: they are no part of the transaction any more.
        Services `stops` are stopped first, and start again where the commit is refused or taken back later. What they
        wrote below the paths `owned` meanwhile is no conflict where these go altogether.

        Raises:
            PathConflictError: the target changed meanwhile.
            CommitError: something refused; the target is as it was.
            ServiceFailedError: a service cannot be stopped.
        """
        ...

    async def activate(self, transaction: str, services: Sequence[Service]) -> list[Mapping[str, Any]]:
        """Start or restart services; gives what was done, with the state before. Raises ServiceFailedError."""
        ...

    async def stay(self, transaction: str, *, for_s: float) -> None:
        """See that the services which a transaction started still run, `for_s` seconds after they began.

        Raises ServiceFailedError: one ended meanwhile, or was started again; the cause has its last words.
        """
        ...

    async def noticed(self, transaction: str) -> list[Mapping[str, Any]]:
        """Say what differs in the running system since the services of a transaction were started.

        Returns:
            ``{kind: listener|module|sysctl|mount, name, action: added|removed|changed, value, before}``; a rollback
            puts it back as far as that can be done.
        """
        ...

    async def configure(
        self, transaction: str, effects: Sequence[Effect], *, secrets: Mapping[str, str] | None = None
    ) -> list[Mapping[str, Any]]:
        """Carry out effects beyond files that are not there yet; a rollback takes back what this did.

        The `secrets` take the places of their marks in what commands read, and are written down nowhere.
        Gives ``{effect, description, state: done | found | held | kept}`` of each. Raises EffectFailedError.
        """
        ...

    async def rollback(
        self,
        transaction: str,
        *,
        keep: Sequence[str] = (),
        plan_only: bool = False,
        after: Sequence[str] | None = None,
        choice: ConflictChoice = NOTHING_CHOSEN,
    ) -> Mapping[str, Any]:
        """Take a committed transaction back and check that it is back.

        A plan can be one of several: it tells what a rollback meets once those `after` which it comes, and which stand
        now, are taken back. Where somebody else changed what it left, `choice` says which side wins.

        Gives ``{transaction, was, restored, removed, attributes, appended, owned, kept, services, left, merged,
        decided, exact}``; `merged` names shared files in which the records of others stay, `decided` what became of
        conflicts: ``{path, decision: theirs | before, group, records, aside}``.
        Raises PathConflictError (by name, nothing touched) and RollbackIncompleteError.
        """
        ...

    async def discard(self, transaction: str) -> None:
        """Forget a capture that was not committed; one that is gone already is no error."""
        ...

    async def check(self, checks: Sequence[Check]) -> list[CheckResult]:
        """Poll each check until it holds or its time is over; results in the order asked."""
        ...

    async def missing_paths(self, transaction: str, *, earlier: Sequence[str] = ()) -> list[str]:
        """List committed paths that are missing or replaced now (owned data excluded).

        `earlier` are transactions that it stands upon, newest first; what later ones changed is left to these.
        """
        ...

    async def drift(
        self, transaction: str, *, earlier: Sequence[str] = (), data: Sequence[str] = ()
    ) -> list[Mapping[str, Any]]:
        """List where the target is no longer as the transaction and the `earlier` ones left it.

        Gives ``{path, state: missing | modified | replaced | attributes | returned, aspects, expected, observed,
        diff}``. Folders `data` are left out, and so are logs, caches, and what others in force left at a path.
        """
        ...

    async def compare(self, transaction: str) -> list[Mapping[str, Any]]:
        """List where the target is not as a transaction found it, whatever became of that since.

        Gives ``{path, state: left | missing | differs, aspects, expected, observed}``; inodes and times are not
        compared. Raises NotFoundError.
        """
        ...

    async def kept_transactions(self) -> list[str]:
        """List the transactions whose before-images the target holds; raises PermissionDeniedError."""
        ...

    async def prune(self, transactions: Sequence[str], *, plan_only: bool = False) -> list[Mapping[str, Any]]:
        """Give up before-images: a committed transaction stays and cannot be taken back any more, others are forgotten.

        Of each ``{transaction, was, bytes, entries, pruned}``; one that is begun and not over stays as it is. With
        `plan_only` nothing is given up.
        """
        ...

    async def close(self) -> None:
        """Stop helper processes and release locks."""
        ...


class TargetRegistry(Protocol):
    """Gives targets by name (``host``, ``docker:web``)."""

    def get(self, name: str) -> Target:
        """Give the target, the same object for the same name; raises NotFoundError."""
        ...

    def opened(self) -> list[str]:
        """List the names of targets that were given so far."""
        ...
