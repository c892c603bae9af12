"""Taking a committed transaction back: what stands against it, the exchange, and what is tried out before.

A part of `HostTarget`, in a module of its own.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from workflow_agent.model.choice import NOTHING_CHOSEN
from workflow_agent.model.errors import PathConflictError, ServiceFailedError
from workflow_agent.targets.finishing import complete
from workflow_agent.targets.live_tree import LiveTree
from workflow_agent.targets.mounts import captured_points
from workflow_agent.targets.pruning import refuse_pruned
from workflow_agent.targets.standing import is_standing, standing
from workflow_agent.targets.transaction import TransactionState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from workflow_agent.model.choice import ConflictChoice
    from workflow_agent.model.system import Effect
    from workflow_agent.targets.committing import Committer
    from workflow_agent.targets.entries import Entry
    from workflow_agent.targets.live_effects import LiveEffects
    from workflow_agent.targets.live_services import LiveServices
    from workflow_agent.targets.mounts import Mount, MountUse
    from workflow_agent.targets.package_locks import PackageLocks
    from workflow_agent.targets.quota import CaptureQuota
    from workflow_agent.targets.rollback_look import Looked
    from workflow_agent.targets.target_lock import TargetLock
    from workflow_agent.targets.transaction import Transaction, TransactionFolders

__all__ = ["RollingBack"]

_T = TypeVar("_T")
#: Where libraries are, as ldconfig(8) found them, and what it remembers of them.
_LIBRARIES, _LIBRARIES_SEEN = b"/etc/ld.so.cache", b"/var/cache/ldconfig/aux-cache"
_CACHE_S = 60.0


class RollingBack:
    """Takes the transactions of a target back."""

    if TYPE_CHECKING:
        _pid: int
        _root: int
        _quota: CaptureQuota
        _lock_wait_s: float

        @property
        def _folders(self) -> TransactionFolders: ...
        @property
        def _locks(self) -> PackageLocks: ...
        @property
        def _committer(self) -> Committer: ...
        def _open(self) -> tuple[TransactionFolders, TargetLock, PackageLocks]: ...
        def _require_root(self) -> None: ...
        def _read_plan(self, transaction: str) -> Transaction: ...
        async def _services(self) -> LiveServices: ...
        async def _make_services_ready(self) -> None: ...
        def _effects(self, plan: Transaction) -> LiveEffects: ...
        def _mounts(self) -> list[tuple[Mount, MountUse]]: ...
        async def _make_folders(self, transaction: str, points: tuple[bytes, ...]) -> None: ...
        def _open_store(self, transaction: str) -> int | None: ...
        def _drop_store(self) -> None: ...
        async def _noticed(self, plan: Transaction) -> Transaction: ...
        async def _data_coming(self, plan: Transaction, keep: Sequence[str]) -> list[dict[str, Any]]: ...
        async def _bring_data_back(self, plan: Transaction, keep: Sequence[str]) -> None: ...
        async def _end_data(self, plan: Transaction, keep: Sequence[str]) -> None: ...
        async def _run_again(self, transaction: str) -> list[Mapping[str, Any]]:
            """Start the services that ran before; see `StandingServices`."""

        async def _put_back(self, plan: Transaction) -> list[Mapping[str, Any]]: ...
        async def discard(self, transaction: str) -> None:
            """Forget a capture; see the port."""

        async def _blocking(self, function: Callable[..., _T], *arguments: Any) -> _T: ...  # Any: the function's own

    async def rollback(
        self,
        transaction: str,
        *,
        keep: Sequence[str] = (),
        plan_only: bool = False,
        after: Sequence[str] | None = None,
        choice: ConflictChoice = NOTHING_CHOSEN,
    ) -> Mapping[str, Any]:
        """Take a committed transaction back and look whether it is back (see the port)."""
        # late: only rollbacks need it
        from workflow_agent.targets.rolled_back import refuse_left_effects, refuse_left_paths, rolled_back  # noqa: PLC0415

        self._require_root()
        plan = await self._blocking(self._read_plan, transaction)
        refuse_pruned(plan)
        if plan.state is TransactionState.CAPTURED:
            await self.discard(transaction)
            return rolled_back(plan)
        if plan.state is TransactionState.ROLLED_BACK:
            return rolled_back(plan, kept=[] if plan_only else await self._end_rollback(plan, keep))
        if plan_only:
            looked = await self._look_before_rollback(plan, after, choice)
            if plan.effects:
                await self._effects(plan).look_before_taking_back()
            merged = await self._blocking(self._committer.merges, looked.plan)
            return rolled_back(looked.plan, looked.owned, merged=merged) | {"data": await self._data_coming(plan, keep)}
        # First the locks: waiting for them may take long, and their holder changes things.
        await self._locks.acquire(wait_s=self._lock_wait_s)
        try:
            if plan.services:
                await self._make_services_ready()
            looked = await self._look_before_rollback(plan, choice=choice)
            data = await self._data_coming(plan, keep)
            decided, merged = await self._blocking(self._committer.rebase, looked)
            kept, services, effects_left, stays = await complete(self._roll_back(decided, keep, plan))
        finally:
            self._locks.release()
        differences = await self._blocking(self._committer.differences, decided)
        refuse_left_paths(differences, kept, [str(copy["path"]) for copy in data])
        refuse_left_effects(effects_left)
        return rolled_back(decided, looked.owned, kept, services, merged) | {"stays": stays, "data": data}

    async def _end_rollback(self, plan: Transaction, keep: Sequence[str]) -> list[str]:
        """Do what was left of a rollback whose files are back: data that stay, effects; gives what was put back."""
        # late: only a rollback needs them
        from workflow_agent.targets.rolled_back import refuse_left_effects  # noqa: PLC0415
        from workflow_agent.targets.state_data import keep_data  # noqa: PLC0415

        kept = await self._blocking(keep_data, self._root, plan, keep)
        await complete(self._end_data(plan, keep))
        if is_standing(await self._blocking(self._folders.read, plan.id)):
            await complete(self._run_again(plan.id))
        if plan.effects:  # what could not be taken back then perhaps can be now
            refuse_left_effects(await complete(self._effects(plan).take_back()))
        return kept

    async def _roll_back(
        self, plan: Transaction, keep: Sequence[str], found: Transaction
    ) -> tuple[list[str], list[Mapping[str, Any]], list[Effect], list[Mapping[str, Any]]]:
        """Take effects back, stop services, exchange, start services: begun, it is ended.

        `found` is the plan as it was before anybody decided anything about it: that stands where nothing comes of it.
        """
        # late: only a rollback needs them
        from workflow_agent.targets.rolled_back import refuse_held_databases  # noqa: PLC0415
        from workflow_agent.targets.state_data import keep_data  # noqa: PLC0415

        control = await self._services()
        # Where its run ended before it could: the services still run.
        plan = replace(plan, services=(await self._noticed(found)).services)
        # Written down before the first service stops: a crash from here on is settled as a rollback.
        marked = replace(plan, services=standing(plan.services))
        rolling = await self._blocking(self._folders.move, marked, TransactionState.ROLLING_BACK)
        effects_left: list[Effect] = []
        if plan.effects:  # while the services run to which they belong
            effects_left = await self._effects(rolling).take_back()
            rolling = await self._blocking(self._folders.read, plan.id)
        stopped: list[Mapping[str, Any]] = []
        try:
            stopped += await control.stop(plan.services)
            await self._blocking(refuse_held_databases, self._root, plan)
        except (ServiceFailedError, PathConflictError):
            await control.start_again(plan.services, stopped)
            undecided = found.operations if plan.decided else rolling.operations
            again = replace(
                rolling, state=plan.state, operations=undecided, decided=found.decided, services=plan.services
            )
            await self._blocking(self._folders.write, again)
            if plan.effects:
                await self._effects(again).do_again(plan.effects)
            raise
        await control.end_leftovers(self._root, plan.operations)
        stays = await self._put_back(plan)
        await self._blocking(self._committer.undo, rolling)
        await self._make_anew(rolling)
        kept = await self._blocking(keep_data, self._root, plan, keep)
        await self._bring_data_back(plan, keep)
        restored = await self._run_again(plan.id)
        return kept, stopped + restored, effects_left, stays

    async def _look_before_rollback(
        self, plan: Transaction, after: Sequence[str] | None = None, choice: ConflictChoice = NOTHING_CHOSEN
    ) -> Looked:
        """Find what stands against a rollback, all at once; gives what would be done.

        Raises:
            PathConflictError: paths, records, later runs or packages that stay stand against it.
            RollbackIncompleteError: before-images are missing.
        """
        if plan.state is TransactionState.ROLLING_BACK:
            # Looked at when it began. Its own moves change the times of files that have more names.
            from workflow_agent.targets.rollback_look import Looked  # noqa: PLC0415  # late: after an interruption only

            return Looked(plan=plan, owned=[])
        is_own = self._open()[1].holder == plan.run_id
        look = partial(self._committer.look_before_rollback, plan, tuple(after or ()), choice, is_own=is_own)
        try:
            looked = await self._blocking(look)
        except PathConflictError as error:
            if after is None and all("run_id" in conflict for conflict in error.details["conflicts"]):
                await self._add_dependants(error, plan)  # else a cascade would learn of them one by one
            raise
        if after is None:  # one of several is tried out in its turn, when those before it are off
            await self._refuse_unsound(looked.plan)
        return looked

    async def _add_dependants(self, error: PathConflictError, plan: Transaction) -> None:
        try:
            await self._refuse_unsound(plan)
        except PathConflictError as other:
            error.message += f"; {other.message}"
            error.details["conflicts"] = [*error.details["conflicts"], *other.details["conflicts"]]

    # -- what many owners share ------------------------------------------------------------------------------------

    async def _refuse_unsound(self, plan: Transaction) -> None:
        """Try a rollback out in an overlay where others installed packages since; refuse what breaks them (rule 24).

        Raises:
            PathConflictError: packages that stay would lack something; they are named.
            CaptureError: it cannot be tried out.
        """
        script = await self._blocking(self._committer.trial, plan)
        if script is None:
            return
        from workflow_agent.targets.soundness import audit_script, dependants_error, problems  # noqa: PLC0415  # late

        found = problems(await self._try_out(plan.id, script))
        if found:  # what is broken already stands against nothing
            known = problems(await self._try_out(plan.id, audit_script()))
            found = [problem for problem in found if problem not in known]
        if found:
            raise dependants_error(found, await self._blocking(self._committer.others, plan.id))

    async def _try_out(self, name: str, text: str) -> list[str]:
        """Run a script in an overlay that is thrown away; gives its output."""
        from workflow_agent.targets.capture import capture_output  # noqa: PLC0415  # late: 10 ms

        transaction = f"try-{name}"
        mounts = self._mounts()
        points = captured_points(mounts)
        await self._blocking(self._folders.remove, transaction, points)  # what a crash left
        await self._make_folders(transaction, points)
        try:
            store_fd = await self._blocking(self._open_store, transaction)
            return await capture_output(
                text,
                target_pid=self._pid,
                root_fd=self._root,
                transaction=transaction,
                mounts=mounts,
                quota=self._quota,
                store_fd=store_fd,
            )
        finally:
            await self._blocking(self._drop_store)
            await self._blocking(self._folders.remove, transaction, points)

    async def _make_anew(self, plan: Transaction, *, is_gone: bool = True) -> None:
        """Make the cache of libraries anew where others wrote it since: it lists those that are there (rule 12).

        Best effort: what is not in it is looked for in the folders of libraries. Where the transaction `is_gone`, its
        libraries are in no later one's before-image any more, and these are told what their cache is now.
        """
        if all(operation.path != _LIBRARIES for operation in plan.rebased):
            return
        from workflow_agent.targets.live import run_live  # noqa: PLC0415  # late: few rollbacks need it

        def look() -> dict[bytes, Entry | None]:
            with LiveTree(self._root) as tree:
                return {path: tree.read(path) for path in (_LIBRARIES, _LIBRARIES_SEEN)}

        seen = await self._blocking(look)
        await run_live(self._pid, ["ldconfig"], timeout_s=_CACHE_S)
        if is_gone:
            await self._blocking(self._committer.made_anew, plan.id, seen)
