"""A target in memory, for tests of pipelines: it keeps the promises of the port (a contract suite checks it).

:class:`FakeWorld` is what outlives a process: files, transactions, the lock, running services. :class:`FakeTarget` is a
process's view of it. Its "shell" knows ``echo TEXT``, ``exit N``, ``sleep SECONDS`` and ``rm PATH``, one per line and
not indented; other lines do nothing; files come from the script's `files` and go by its `removes`. Checks of the kind
``file`` look at the files, others hold unless their id is in `world.red`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.model.choice import NOTHING_CHOSEN
from workflow_agent.model.errors import (
    NotFoundError,
    PathConflictError,
    PrunedError,
    ScriptFailedError,
    ServiceFailedError,
    StepTimeoutError,
    TargetLockedError,
    TransactionError,
)
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.system import (
    Change,
    ChangeAction,
    ChangeSet,
    CheckResult,
    CheckStatus,
    InitKind,
    TargetFacts,
    Tier,
)
from workflow_agent.security.delivery import secret_path

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from workflow_agent.model.choice import ConflictChoice
    from workflow_agent.model.ports import OutputSink
    from workflow_agent.model.system import Check, Effect, Script, Service

__all__ = ["FakeTarget", "FakeTargets", "FakeTransaction", "FakeWorld"]

_POLL_S: Final = 0.01


@dataclass(slots=True)
class FakeTransaction:
    """What the plan file of a real target holds. `before` and `after` map paths to contents; None: no file."""

    id: str
    run_id: str
    state: str
    before: dict[str, str | None] = field(default_factory=dict)
    after: dict[str, str | None] = field(default_factory=dict)
    services: list[str] = field(default_factory=list)
    effects: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)


@dataclass(slots=True)
class FakeWorld:
    """What outlives a process.

    `hooks` are called when a verb begins (``prepare``, ``commit`` ...) and in the middle of an exchange
    (``commit.half``, ``rollback.half``); what they raise, the verb raises. `calls` lists the verbs in order,
    `secrets` are those that effects were given last.
    """

    files: dict[str, str] = field(default_factory=dict)
    transactions: dict[str, FakeTransaction] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    effects: set[str] = field(default_factory=set)
    secrets: dict[str, str] = field(default_factory=dict)
    red: set[str] = field(default_factory=set)
    holder: str | None = None
    hooks: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def crash(self) -> None:
        """Let the process end that worked on the target: the system gives its lock free."""
        self.holder = None
        self.hooks.clear()


class FakeTarget:
    """One process's view of a world."""

    def __init__(self, world: FakeWorld | None = None, name: str = "host") -> None:
        self.name = name
        self.world = world or FakeWorld()

    async def _enter(self, verb: str) -> None:
        if "." not in verb:
            self.world.calls.append(verb)
        hook = self.world.hooks.get(verb)
        if hook is not None:
            await hook()

    # -- facts and locks ---------------------------------------------------------------------------------------------

    async def facts(self) -> TargetFacts:
        """Give facts of a Debian 12 without an init system."""
        await self._enter("facts")
        return TargetFacts(
            target=self.name,
            hostname="fake",
            os_id="debian",
            os_version="12",
            os_codename="bookworm",
            os_like=(),
            architecture="x86_64",
            kernel="6.1",
            init=InitKind.NONE,
            package_manager="apt",
            is_root=True,
            tier=Tier.EXACT,
        )

    async def acquire(self, run_id: str, *, wait_s: float = 0.0) -> None:
        """Take the lock, undo interrupted exchanges and forget captures of other runs."""
        if self.world.holder == run_id:
            return
        deadline = asyncio.get_running_loop().time() + wait_s
        while self.world.holder is not None:
            if asyncio.get_running_loop().time() >= deadline:
                holder = self.world.holder
                raise TargetLockedError(f"the target `{self.name}` is held by run {holder}", details={"run_id": holder})
            await asyncio.sleep(_POLL_S)
        self.world.holder = run_id
        for transaction in list(self.world.transactions.values()):
            if transaction.state == "captured" and transaction.run_id != run_id:
                del self.world.transactions[transaction.id]
            elif transaction.state in {"committing", "rolling-back"}:
                self._put(transaction.before)
                self.world.running.update(transaction.stopped)
                transaction.state = "rolled-back"

    async def release(self, run_id: str) -> None:
        """Give the lock back."""
        if self.world.holder == run_id:
            self.world.holder = None

    async def release_package_locks(self) -> None:
        """Do nothing: there is no package manager."""
        await self._enter("release_package_locks")

    # -- a transaction -----------------------------------------------------------------------------------------------

    def expect_capture(self) -> None:
        """Do nothing: there is nothing to read ahead."""

    def fitted(self, script: Script, services: Sequence[Service]) -> Script:
        """Give a script as it is: anything may be changed here."""
        del services
        return script

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
        """Run the script's lines; its files are what it changes, but for what is to be kept."""
        await self._enter("prepare")
        del stops  # no line of the shell stops anything
        tail: list[str] = []

        def say(line: str) -> None:
            tail.append(line)
            on_output(line)

        try:
            async with asyncio.timeout(timeout_s):
                await _run_lines(
                    script.text, say, {secret_path(name): value for name, value in (secrets or {}).items()}
                )
        except TimeoutError as error:
            raise StepTimeoutError(f"the script did not end within {timeout_s:g} s", details={"tail": tail}) from error
        number = sum(each.run_id == run_id for each in self.world.transactions.values()) + 1
        after: dict[str, str | None] = {
            item.path: item.content for item in script.files if self.world.files.get(item.path) != item.content
        }
        after |= dict.fromkeys(_removed(script, self.world.files))
        after = {path: content for path, content in after.items() if not _is_below(path, keep)}
        before = {path: self.world.files.get(path) for path in after}
        transaction = FakeTransaction(f"{run_id}.{number}", run_id, "captured", before, after)
        self.world.transactions[transaction.id] = transaction
        changes = tuple(
            Change(
                path=path,
                action=_action(before[path], content),
                kind="file",
                aspects=("content",),
            )
            for path, content in after.items()
        )
        return transaction.id, ChangeSet(changes=changes)

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
        """Prepare it and forget it; what it says is approximate."""
        await self._enter("rehearse")
        note = "with the network" if network else "without a network"
        name, changes = await self.prepare(
            "rehearsal", script, timeout_s=timeout_s, on_output=on_output, keep=keep, secrets=secrets
        )
        del self.world.transactions[name]
        return replace(changes, tier=Tier.APPROXIMATE, notes=(note,))

    async def commit(
        self,
        transaction: str,
        *,
        stops: Sequence[Service] = (),
        owned: Sequence[str] = (),
        theirs: Sequence[str] = (),
        copies: Sequence[str] = (),
    ) -> Mapping[str, Any]:
        """Put the files in place; a captured or rolled-back transaction only."""
        await self._enter("commit")
        found = self._find(transaction)
        if found.state not in {"captured", "rolled-back"}:
            raise TransactionError(f"a transaction that is {found.state} cannot be committed", where=transaction)
        for path in [path for path in found.after if _is_below(path, theirs)]:
            del found.before[path], found.after[path]
        found.before |= {path: self.world.files.get(path) for path in found.before if _is_below(path, owned)}
        self._refuse_changed(found.before)
        found.state = "committing"
        found.stopped = [service.name for service in stops if service.name in self.world.running]
        self.world.running.difference_update(found.stopped)
        await self._enter("commit.half")
        self._put(found.after)
        found.state = "committed"
        told = [{"path": path, "entries": 1, "bytes": 0, "taken_at": 0.0} for path in copies]
        return {
            "operations": len(found.after),
            "check_ms": 0.0,
            "exchange_ms": 0.0,
            "sync_ms": 0.0,
            **({"copies": told} if told else {}),
        }

    async def activate(self, transaction: str, services: Sequence[Service]) -> list[Mapping[str, Any]]:
        """Say that services run."""
        await self._enter("activate")
        found = self._find(transaction)
        done: list[Mapping[str, Any]] = []
        for service in services:
            if not service.start:
                continue
            action = "restarted" if service.name in self.world.running else "started"
            if action == "started":
                found.services.append(service.name)
            self.world.running.add(service.name)
            done.append({"service": service.name, "by": "supervised", "action": action, "reason": None})
        return done

    async def noticed(self, transaction: str) -> list[Mapping[str, Any]]:
        """Notice nothing: there is no running system."""
        del transaction
        return []

    async def configure(
        self, transaction: str, effects: Sequence[Effect], *, secrets: Mapping[str, str] | None = None
    ) -> list[Mapping[str, Any]]:
        """Say that effects are there; those that were there before stay at a rollback."""
        self.world.secrets = dict(secrets or {})
        await self._enter("configure")
        found = self._find(transaction)
        done: list[Mapping[str, Any]] = []
        for effect in effects:
            if effect.do is not None:
                state = "found" if effect.id in self.world.effects - set(found.effects) else "done"
                if state == "done" and effect.id not in found.effects:
                    found.effects.append(effect.id)
                self.world.effects.add(effect.id)
                done.append({"effect": effect.id, "description": effect.description, "state": state})
        return done

    async def rollback(
        self,
        transaction: str,
        *,
        keep: Sequence[str] = (),
        plan_only: bool = False,
        after: Sequence[str] | None = None,
        choice: ConflictChoice = NOTHING_CHOSEN,
    ) -> Mapping[str, Any]:
        """Put the files back as they were, unless somebody else changed them; `keep` leaves new files alone."""
        await self._enter("preview" if plan_only else "rollback")
        found = self._find(transaction)
        was = found.state
        if was == "pruned":
            raise PrunedError(f"run {found.run_id} cannot be taken back exactly: its before-images were pruned")
        if was == "captured":
            await self.discard(transaction)
        if was in {"captured", "rolled-back"}:
            return _result(found, was, [])
        theirs = {path for name in after or () for path in self._find(name).after}
        theirs |= {path for path in found.after if path in choice.theirs}
        decided = [_decision(path, "theirs") for path in found.after if path in choice.theirs]
        expected = {path: content for path, content in found.after.items() if path not in theirs}
        changed = [path for path, content in expected.items() if self.world.files.get(path) != content]
        decided += [_decision(path, "before") for path in changed if choice.force or path in choice.back]
        self._refuse_changed({path: expected[path] for path in changed if not (choice.force or path in choice.back)})
        if plan_only:
            return _result(found, was, []) | {"decided": decided, "exact": not decided}
        found.state = "rolling-back"
        await self._enter("rollback.half")
        kept = [path for path in found.after if any(path.startswith(f"{folder}/") for folder in keep)]
        stay = {*kept, *choice.theirs}
        self._put({path: content for path, content in found.before.items() if path not in stay})
        self.world.effects.difference_update(found.effects)
        found.effects.clear()
        self.world.running.difference_update(found.services)
        found.services.clear()
        self.world.running.update(found.stopped)
        found.state = "rolled-back"
        return _result(found, was, kept) | {"decided": decided, "exact": not decided}

    async def discard(self, transaction: str) -> None:
        """Forget a capture."""
        await self._enter("discard")
        found = self.world.transactions.get(transaction)
        if found is not None and found.state == "captured":
            del self.world.transactions[transaction]

    # -- looking -----------------------------------------------------------------------------------------------------

    async def stay(self, transaction: str, *, for_s: float) -> None:
        """See that what was started is among what runs; nothing takes time here."""
        await self._enter("stay")
        gone = [name for name in self._find(transaction).services if name not in self.world.running]
        if gone:
            raise ServiceFailedError(f"`{gone[0]}` ended within {for_s:g} s")

    async def check(self, checks: Sequence[Check]) -> list[CheckResult]:
        """Look once at each check."""
        await self._enter("check")
        return [self._look(check) for check in checks]

    def _look(self, check: Check) -> CheckResult:
        holds = check.id not in self.world.red
        if check.kind == "file":
            holds = holds and (check.spec["path"] in self.world.files) is check.spec.get("exists", True)
        return CheckResult(
            id=check.id,
            kind=check.kind,
            status=CheckStatus.PASSED if holds else CheckStatus.FAILED,
            observed="as expected" if holds else "something else",
            expected="as declared",
            description=check.description,
        )

    async def missing_paths(self, transaction: str, *, earlier: Sequence[str] = ()) -> list[str]:
        """List committed files that are gone or different."""
        await self._enter("missing_paths")
        wanted: dict[str, str | None] = {}
        for name in (transaction, *earlier):
            wanted = self._find(name).after | wanted
        return [path for path, content in wanted.items() if self.world.files.get(path) != content]

    async def drift(
        self, transaction: str, *, earlier: Sequence[str] = (), data: Sequence[str] = ()
    ) -> list[Mapping[str, Any]]:
        """List committed files that are gone or different."""
        return [
            {
                "path": path,
                "state": "modified" if path in self.world.files else "missing",
                "aspects": ["content" if path in self.world.files else "existence"],
                "expected": {"kind": "file"},
                "observed": {"kind": "file"} if path in self.world.files else None,
                "diff": None,
            }
            for path in await self.missing_paths(transaction, earlier=earlier)
            if not any(path == folder or path.startswith(f"{folder}/") for folder in data)
        ]

    async def compare(self, transaction: str) -> list[Mapping[str, Any]]:
        """List the files that are not as the transaction found them."""
        found: list[Mapping[str, Any]] = []
        for path, content in self._find(transaction).before.items():
            live = self.world.files.get(path)
            if live != content:
                state = "left" if content is None else "missing" if live is None else "differs"
                sides = {"expected": content and {"kind": "file"}, "observed": live and {"kind": "file"}}
                aspects = ["content"] if state == "differs" else []
                found.append({"path": path, "state": state, "aspects": aspects, **sides})
        return found

    async def kept_transactions(self) -> list[str]:
        """List the transactions that the target holds and that are not pruned."""
        return sorted(name for name, one in self.world.transactions.items() if one.state != "pruned")

    async def prune(self, transactions: Sequence[str], *, plan_only: bool = False) -> list[Mapping[str, Any]]:
        """Mark committed transactions as pruned, forget those that were rolled back; an entry is ten bytes."""
        await self._enter("prune")
        done: list[Mapping[str, Any]] = []
        for name in sorted(transactions):
            found = self.world.transactions.get(name)
            was = "gone" if found is None else found.state
            pruned = was in {"committed", "rolled-back"} and not plan_only
            entries = 0 if found is None or was == "pruned" else len(found.before)
            done.append({"transaction": name, "was": was, "bytes": entries * 10, "entries": entries, "pruned": pruned})
            if found is not None and pruned:
                found.state = "pruned"
                if was == "rolled-back":
                    del self.world.transactions[name]
        return done

    async def close(self) -> None:
        """Give the lock back."""
        self.world.holder = None

    # -- files -------------------------------------------------------------------------------------------------------

    def _find(self, transaction: str) -> FakeTransaction:
        found = self.world.transactions.get(transaction)
        if found is None:
            raise NotFoundError(f"the target holds no transaction `{transaction}`")
        return found

    def _refuse_changed(self, expected: Mapping[str, str | None]) -> None:
        changed = [path for path, content in expected.items() if self.world.files.get(path) != content]
        if changed:
            raise PathConflictError(
                f"changed in between: {', '.join(changed)}",
                where=changed[0],
                state="nothing was changed",
                details={"conflicts": [{"path": path} for path in changed]},
            )

    def _put(self, contents: Mapping[str, str | None]) -> None:
        for path, content in contents.items():
            if content is None:
                self.world.files.pop(path, None)
            else:
                self.world.files[path] = content


class FakeTargets:
    """A registry with one target, ``host``."""

    def __init__(self, world: FakeWorld | None = None) -> None:
        self._target = FakeTarget(world)
        self._opened: list[str] = []

    def get(self, name: str) -> FakeTarget:
        """Give the target; raises NotFoundError for another name."""
        if name != self._target.name:
            raise NotFoundError(f"there is no target `{name[:80]}`", hint=did_you_mean(name, [self._target.name]))
        if name not in self._opened:
            self._opened.append(name)
        return self._target

    def opened(self) -> list[str]:
        """List the names of targets that were given so far."""
        return list(self._opened)

    async def close(self) -> None:
        """Close the target where it was given."""
        if self._opened:
            await self._target.close()


def _removed(script: Script, files: Mapping[str, str]) -> list[str]:
    """List the files that go: named by an `rm` line, or below what the script declares as removed."""
    named = [line.removeprefix("rm ") for line in script.text.splitlines() if line.startswith("rm ")]
    return [path for path in files if path in named or _is_below(path, script.removes)]


def _is_below(path: str, folders: Sequence[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def _action(before: str | None, after: str | None) -> ChangeAction:
    if after is None:
        return ChangeAction.DELETED
    return ChangeAction.CREATED if before is None else ChangeAction.MODIFIED


async def _run_lines(text: str, say: OutputSink, secrets: Mapping[str, str]) -> None:
    tail: list[str] = []
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "echo":
            tail.append(rest)
            say(rest)
        elif word == "cat":
            tail.append(secrets[rest])
            say(secrets[rest])
        elif word == "sleep":
            await asyncio.sleep(float(rest))
        elif word == "exit" and int(rest) != 0:
            raise ScriptFailedError(
                f"the script ended with exit code {rest}",
                cause=tail[-1] if tail else None,
                state="nothing was changed",
                details={"exit_code": int(rest), "tail": tail},
            )


def _decision(path: str, side: str) -> dict[str, Any]:
    return {"path": path, "decision": side, "group": None, "records": [], "aside": None}


def _result(transaction: FakeTransaction, was: str, kept: list[str]) -> dict[str, Any]:
    created = [path for path, content in transaction.before.items() if content is None]
    return {
        "transaction": transaction.id,
        "was": was,
        "restored": len(transaction.before) - len(created),
        "removed": len(created),
        "attributes": 0,
        "appended": [],
        "owned": [],
        "kept": kept,
        "services": [],
        "left": [],
        "merged": [],
        "decided": [],
        "exact": True,
    }
