"""The target in which a process lives: this machine, a lab host, later a container.

Puts the parts together: lock, baseline, capture, plan, exchange, services, probes. Blocking work on files runs
in a thread; what a commit or a rollback has begun, it ends, also when the caller is cancelled.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from workflow_agent.model.errors import (
    NotFoundError,
    PermissionDeniedError,
    TransactionError,
    UnreachableError,
)
from workflow_agent.targets.capture_tier import static_reason
from workflow_agent.targets.committing import Committer
from workflow_agent.targets.copying_data import CopyingData
from workflow_agent.targets.facts import read_facts
from workflow_agent.targets.finishing import blocking, complete
from workflow_agent.targets.image_keeping import ImageKeeping
from workflow_agent.targets.late_services import LateServices
from workflow_agent.targets.live_tree import LiveTree
from workflow_agent.targets.mounts import captured_points, plan_mounts, read_mounts
from workflow_agent.targets.noticing import Noticing
from workflow_agent.targets.package_locks import PackageLocks
from workflow_agent.targets.paths import root_folder
from workflow_agent.targets.preparing import Preparing
from workflow_agent.targets.probes import Prober
from workflow_agent.targets.quota import CaptureQuota, CopyScope
from workflow_agent.targets.rolling_back import RollingBack
from workflow_agent.targets.runtime_folders import brought_settings
from workflow_agent.targets.standing import StandingServices, has_data_to_come, is_standing
from workflow_agent.targets.target_lock import TargetLock
from workflow_agent.targets.transaction import Transaction, TransactionFolders, TransactionState
from workflow_agent.targets.writable_disks import require_writable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from workflow_agent.model.system import Check, CheckResult, Effect, Service, TargetFacts
    from workflow_agent.targets.live_effects import LiveEffects
    from workflow_agent.targets.mounts import Mount, MountUse

__all__ = ["HostTarget"]

_T = TypeVar("_T")
#: Plan files that say this are settled by whoever takes the target next, services included.
_BEGUN = frozenset({TransactionState.COMMITTING, TransactionState.ROLLING_BACK})
_PACKAGE_LOCK_WAIT_S = 120.0


class HostTarget(Preparing, ImageKeeping, RollingBack, CopyingData, StandingServices, Noticing, LateServices):
    """A system that is changed by transactions; implements the port ``Target``.

    Args:
        name: As people call it (``host``).
        pid: A process that lives in it; 0 is this machine as we see it.
        quota: How much a script may stage.
        package_lock_wait_s: How long to wait for apt, dpkg or useradd of somebody else.
        copy_scope: What of it is copied for a rehearsal.
    """

    def __init__(
        self,
        name: str = "host",
        *,
        pid: int = 0,
        quota: CaptureQuota | None = None,
        package_lock_wait_s: float = _PACKAGE_LOCK_WAIT_S,
        copy_scope: CopyScope | None = None,
    ) -> None:
        self.name = name
        self._pid = pid
        self._quota = quota or CaptureQuota()
        self._lock_wait_s = package_lock_wait_s
        self._copy_scope = copy_scope or CopyScope()
        self._root = -1
        self._opened: tuple[TransactionFolders, TargetLock, PackageLocks] | None = None
        self._prober = Prober(pid)
        self._facts: TargetFacts | None = None
        self._brings_units = False

    # -- the parts, opened late ------------------------------------------------------------------------------------

    def _open(self) -> tuple[TransactionFolders, TargetLock, PackageLocks]:
        if self._opened is None:
            try:
                self._root = os.open(root_folder(self._pid), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError as error:
                raise UnreachableError(
                    f"the target `{self.name}` cannot be reached",
                    cause=str(error),
                    hint="check the setting `targets.host_pid`" if self._pid else None,
                ) from error
            self._opened = (
                TransactionFolders(self._root, self._base),
                TargetLock(self._root, self.name, self._base),
                self._package_locks(),
            )
        return self._opened

    @property
    def _folders(self) -> TransactionFolders:
        return self._open()[0]

    @property
    def _locks(self) -> PackageLocks:
        return self._open()[2]

    @property
    def _committer(self) -> Committer:
        folders = self._folders
        return Committer(self._root, folders, lambda: [mount.point for mount, _ in self._mounts()])

    def _require_root(self) -> None:
        if os.geteuid() != 0:
            raise PermissionDeniedError(
                "changing this system needs root",
                cause="effects are captured with overlay mounts, which only root may make",
                state="nothing was changed",
                hint="run it as root, or rehearse it in a copy: `workflow-agent plan NAME --isolation container`",
            )

    # -- facts and locks ---------------------------------------------------------------------------------------------

    async def facts(self) -> TargetFacts:
        """Read facts; the tier is what the kernel and the file systems allow, tried only by `prepare`."""
        self._open()

        async def unsupported() -> str | None:
            return self._static_reason(self._mounts())

        read = partial(read_facts, self.name, self._pid, prober=self._prober, try_overlay=unsupported)
        self._facts = await read(needs_root=self._home() is None)
        return self._facts

    async def try_capture(self) -> str | None:
        """Really set a capture up and take it down; gives why it cannot be done, None when it can."""
        from workflow_agent.targets.capture import overlay_reason  # noqa: PLC0415  # late: 10 ms

        self._require_root()
        transaction = f"try-{os.getpid()}"
        mounts = self._mounts()
        if reason := self._static_reason(mounts):
            return reason
        points = captured_points(mounts)
        try:
            for point in points:
                await self._blocking(self._folders.create, transaction, point)
            store_fd = await self._blocking(self._open_store, transaction)
            return await overlay_reason(self._pid, transaction, mounts, self._home(), store_fd)
        finally:
            await self._blocking(self._drop_store)
            await self._blocking(self._folders.remove, transaction, points)

    async def acquire(self, run_id: str, *, wait_s: float = 0.0) -> None:
        """Take the target for a run and settle what a crash left; raises TargetLockedError."""
        self._require_root()
        folders, lock, _ = self._open()
        if lock.holder == run_id:
            return
        await self._blocking(self._make_ready_to_lock, folders)
        await lock.acquire(run_id, wait_s=wait_s)
        try:
            await complete(self._settle(run_id))
        except BaseException:
            lock.release(run_id)
            raise

    def _make_ready_to_lock(self, folders: TransactionFolders) -> None:
        require_writable(self._root, self._base)
        try:
            folders.ensure_state_folder(self._base)
        except OSError as error:
            raise TransactionError(
                "the target's folder for transactions cannot be made", cause=str(error), state="nothing was changed"
            ) from error

    async def release(self, run_id: str) -> None:
        """Give the target and the package locks back."""
        if self._opened is not None:
            _, lock, locks = self._opened
            if lock.holder == run_id:
                locks.release()
            lock.release(run_id)

    async def _settle(self, run_id: str) -> None:
        """Undo what a crash interrupted: stop its services, take the files back, start what ran before."""
        for plan in await self._blocking(self._committer.interrupted):
            control = await self._services()
            if plan.effects:
                await self._effects(plan).take_back()  # what stays stays in the plan file, and is said by its run
            if not is_standing(plan):
                await self._stand(plan.id)
            await control.stop(plan.services)
            await control.end_leftovers(self._root, plan.operations)
            await self._put_back(plan)
        undone = await self._blocking(self._committer.settle, run_id, captured_points(self._mounts()))
        for plan in undone:
            if plan.state is TransactionState.COMMITTING and not has_data_to_come(plan):
                await self._blocking(self._drop_copies, plan)
            await self._make_anew(plan)  # with what a killed rollback did not come to
        await self._run_what_stands(await self._blocking(self._committer.standing))

    # -- what a container does in its own way ----------------------------------------------------------------------

    @property
    def identity(self) -> str:
        """Which system it is, where another one may come to have its name."""
        return ""

    @property
    def is_there(self) -> bool:
        """Whether it is the system that it was when it was looked up."""
        return True

    @property
    def is_held(self) -> bool:
        """Whether a run holds it."""
        return self._opened is not None and self._opened[1].holder is not None

    #: Where plan files and the lock are: the outermost of the file systems that take part.
    _base = b"/"

    def _package_locks(self) -> PackageLocks:
        return PackageLocks(self._root)

    def _static_reason(self, mounts: list[tuple[Mount, MountUse]]) -> str | None:
        """Say what can be seen to stand against a capture."""
        return static_reason(mounts)

    def _belongs(self, plan: Transaction) -> None:
        """Refuse a transaction of another system."""

    def _missing_cause(self) -> str | None:
        """Say why the target may hold no transaction of a run."""
        return None

    def _read_plan(self, transaction: str) -> Transaction:
        try:
            plan = self._folders.read(transaction)
        except NotFoundError as error:
            raise NotFoundError(error.message, cause=self._missing_cause() or error.cause, hint=error.hint) from error
        self._belongs(plan)
        return plan

    async def release_package_locks(self) -> None:
        """Let others install while a person thinks; `commit` takes the locks again and compares (rule 5)."""
        self._locks.release()

    # -- commit ------------------------------------------------------------------------------------------------------

    async def commit(
        self,
        transaction: str,
        *,
        stops: Sequence[Service] = (),
        owned: Sequence[str] = (),
        theirs: Sequence[str] = (),
        copies: Sequence[str] = (),
    ) -> Mapping[str, Any]:
        """Bring captured (or once more rolled-back) effects to the target; gives timings and counts."""
        self._require_root()
        await self._locks.acquire(wait_s=self._lock_wait_s)
        try:
            if theirs:
                await self._blocking(self._leave, transaction, theirs)
            committer = self._committer
            if self._brings_units:
                await self._make_services_ready()
            copies = copies if self._copies_data else ()
            if stops or copies:
                figures = await complete(self._commit_stopped(committer, transaction, stops, owned, copies))
            elif await self._blocking(self._data_are_back, transaction):
                figures = await complete(self._commit_again(committer, transaction))
            else:
                if self._brings_units:
                    self._look_ahead()
                figures = await self._blocking(committer.commit, transaction)
            if committer.came_again is not None:
                await complete(self._make_anew(committer.came_again, is_gone=False))
            return figures
        finally:
            self._locks.release()

    def _leave(self, transaction: str, paths: Sequence[str]) -> None:
        """Leave paths out of a capture: they stay as somebody left them. The plan file alone says so afterwards."""
        from workflow_agent.targets.leaving_edits import without_paths  # noqa: PLC0415  # late: few commits need it

        with LiveTree(self._root) as tree:
            self._folders.write(without_paths(tree, self._folders.read(transaction), paths))

    async def _commit_stopped(
        self,
        committer: Committer,
        transaction: str,
        stops: Sequence[Service],
        owned: Sequence[str],
        copies: Sequence[str],
    ) -> Mapping[str, Any]:
        """Commit with services stopped, and data copied; where it is refused they run again."""
        control = await self._services()
        plan = await self._blocking(self._folders.read, transaction)
        record = {"before": await control.record(stops), "started": []}
        plan = await self._blocking(self._folders.write, replace(plan, services=record))
        # Goes with the services for which it came; it is no part of the record: they bring it along again.
        pulled = await self._blocking(self._folders.pulled_by_others, transaction, list(record["before"]))
        loop = asyncio.get_running_loop()

        taken: list[dict[str, Any]] = []

        def stop() -> None:  # in the committer's thread, once the plan file says that the commit has begun
            asyncio.run_coroutine_threadsafe(control.stop(record | {"pulled": pulled}), loop).result()
            if copies:
                taken.extend(self._take_copies(plan, copies))

        paths = [os.fsencode(path) for path in owned]
        try:
            figures = await asyncio.to_thread(committer.commit, transaction, before_exchange=stop, owned=paths)
            return figures | ({"copies": taken} if taken else {})
        except Exception:
            if (await self._blocking(self._folders.read, transaction)).state not in _BEGUN:
                await control.restore(record, self._root)
            raise

    # -- activate ----------------------------------------------------------------------------------------------------

    async def activate(self, transaction: str, services: Sequence[Service]) -> list[Mapping[str, Any]]:
        """Start services, or restart those that run already; what they were before is recorded first."""
        control = await self._services()
        plan = await self._blocking(self._folders.read, transaction)
        before = await control.record(services)
        merged = before | plan.services.get("before", {})  # the first record is the one to go back to
        earlier, pulled = plan.services.get("pulled", {}), await control.record_pulled(services)
        started = [service.name for service in services]
        settings = brought_settings(plan.operations)
        asked = [*plan.services.get("asked", ()), *await self._blocking(control.asked_folders, settings)]
        record = {
            "before": merged,
            "pulled": pulled | earlier,
            "started": started,
            "asked": asked,
            "began": time.time(),
        }
        record |= await self._look() if services else {}
        plan = replace(plan, services=record)
        await self._blocking(self._folders.write, plan)
        if asked:
            await control.make_asked(settings)
        outcomes, created = await control.start(services)
        found = plan.services | {"pulled": await control.narrow_pulled(pulled) | earlier}
        if created:
            found |= {"created_directories": created}
        if found != plan.services:
            await self._blocking(self._folders.write, replace(plan, services=found))
        return outcomes

    async def stay(self, transaction: str, *, for_s: float) -> None:
        """See that the services which the transaction started stay (see the port)."""
        plan = await self._blocking(self._folders.read, transaction)
        if plan.services.get("started"):
            await (await self._services()).stay(plan.services, for_s)

    # -- configure ---------------------------------------------------------------------------------------------------

    async def configure(
        self, transaction: str, effects: Sequence[Effect], *, secrets: Mapping[str, str] | None = None
    ) -> list[Mapping[str, Any]]:
        """Carry out effects on what runs now; each is written down before (see the port)."""
        plan = await self._blocking(self._folders.read, transaction)
        earlier = await self._blocking(self._folders.effects_of_others, transaction)
        return await complete(self._effects(plan, earlier, secrets).carry_out(effects))

    def _effects(
        self,
        plan: Transaction,
        earlier: Sequence[Mapping[str, Any]] = (),
        secrets: Mapping[str, str] | None = None,
    ) -> LiveEffects:
        """Give the effects of a transaction; what is done to them goes to its plan file, and nothing else of `plan`."""
        # late: few integrations have effects
        from workflow_agent.targets.live_effects import LiveEffects  # noqa: PLC0415

        async def keep(entries: tuple[Mapping[str, Any], ...]) -> None:
            await self._blocking(self._folders.write, replace(plan, effects=entries))

        return LiveEffects(self._pid, plan.effects, keep, earlier, secrets or {})

    # -- forgetting ------------------------------------------------------------------------------------------------

    async def discard(self, transaction: str) -> None:
        """Forget a capture; a committed transaction is never forgotten by this."""
        self._locks.release()

        def remove() -> None:
            try:
                plan = self._folders.read(transaction)
            except NotFoundError:
                self._folders.remove(transaction, captured_points(self._mounts()))
                return
            if plan.state is TransactionState.CAPTURED:
                self._folders.remove(transaction, plan.points)

        await self._blocking(remove)

    # -- looking -----------------------------------------------------------------------------------------------------

    async def check(self, checks: Sequence[Check]) -> list[CheckResult]:
        """Poll checks through the probe program; results in the order asked."""
        return await self._prober.check(checks)

    async def snapshot(self) -> Mapping[str, Any]:
        """List processes and listeners."""
        return await self._prober.snapshot()

    async def missing_paths(self, transaction: str, *, earlier: Sequence[str] = ()) -> list[str]:
        """List committed paths that are missing or replaced now, also of earlier transactions it stands upon."""
        return await self._blocking(self._committer.missing, transaction, tuple(earlier))

    async def drift(
        self, transaction: str, *, earlier: Sequence[str] = (), data: Sequence[str] = ()
    ) -> list[Mapping[str, Any]]:
        """List where the target is no longer as the transaction and the earlier ones left it (see the port)."""
        folders = [os.fsencode(path).rstrip(b"/") for path in data]
        found: list[Mapping[str, Any]] = []
        found += await self._blocking(self._committer.drift, transaction, tuple(earlier), folders)
        return found

    async def close(self) -> None:
        """End the probe program and give every lock back."""
        await self._drop_ready()
        await self._drop_ahead()
        await self._drop_look()
        await self._prober.close()
        if self._opened is not None:
            folders, lock, locks = self._opened
            locks.release()
            if lock.holder is not None:
                lock.release(lock.holder)
            folders.close()
            os.close(self._root)
            self._opened = None

    # -- running blocking work -----------------------------------------------------------------------------------------

    def _mounts(self) -> list[tuple[Mount, MountUse]]:
        return plan_mounts(read_mounts(self._pid))

    async def _blocking(self, function: Callable[..., _T], *arguments: Any) -> _T:  # Any: the function's own
        return await blocking(function, *arguments)
