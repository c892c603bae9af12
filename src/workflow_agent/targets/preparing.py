"""What a script would change: it is run in a capture, and what it did there becomes a plan; a part of `HostTarget`."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from workflow_agent.model.errors import CaptureError, WorkflowAgentError
from workflow_agent.model.system import Tier
from workflow_agent.targets.entries import walk_file_system
from workflow_agent.targets.finishing import complete
from workflow_agent.targets.mounts import captured_points
from workflow_agent.targets.paths import stat_in_root
from workflow_agent.targets.transaction import Transaction, TransactionState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

    from workflow_agent.model.ports import OutputSink
    from workflow_agent.model.system import ChangeSet, Script, Service
    from workflow_agent.targets.baseline_ahead import BaselineAhead
    from workflow_agent.targets.capture import CaptureHome, CaptureProgram, CaptureResult
    from workflow_agent.targets.entries import Baseline
    from workflow_agent.targets.live_services import LiveServices
    from workflow_agent.targets.mounts import Mount, MountUse
    from workflow_agent.targets.package_locks import PackageLocks
    from workflow_agent.targets.plan import Plan
    from workflow_agent.targets.quota import CaptureQuota, CopyScope
    from workflow_agent.targets.target_lock import TargetLock
    from workflow_agent.targets.transaction import TransactionFolders

__all__ = ["Preparing"]

_T = TypeVar("_T")
#: A script has begun by then, and for as long as it runs nobody waits for us.
_LOAD_AFTER_S = 0.02


class Preparing:
    """Captures what scripts do to a target."""

    if TYPE_CHECKING:
        name: str
        _pid: int
        _root: int
        _quota: CaptureQuota
        _copy_scope: CopyScope
        _lock_wait_s: float
        _brings_units: bool
        _base: bytes

        @property
        def identity(self) -> str:
            """Which system it is."""

        @property
        def _folders(self) -> TransactionFolders: ...
        @property
        def _locks(self) -> PackageLocks: ...
        def _open(self) -> tuple[TransactionFolders, TargetLock, PackageLocks]: ...
        def _require_root(self) -> None: ...
        def _static_reason(self, mounts: list[tuple[Mount, MountUse]]) -> str | None: ...
        async def _services(self) -> LiveServices: ...
        def _mounts(self) -> list[tuple[Mount, MountUse]]: ...
        async def _blocking(self, function: Callable[..., _T], *arguments: Any) -> _T: ...  # Any: the function's own

    #: Whether a script's effects are staged on the target itself.
    _stages_there = True
    #: Whether it has a kernel of its own, which boots from its files.
    _boots = True
    _ahead: BaselineAhead | None = None
    _starting: asyncio.Task[CaptureProgram] | None = None

    def expect_capture(self) -> None:
        """Begin to read what is there, and start the program that captures: a script will come soon (see the port)."""
        if self._ahead is None and self._may_capture():
            # late: installations only
            from workflow_agent.targets.baseline_ahead import BaselineAhead  # noqa: PLC0415
            from workflow_agent.targets.walking import walk_beside  # noqa: PLC0415

            points = captured_points(self._mounts())
            walk = partial(walk_beside, self._root, points, self._hidden_folders())
            self._ahead = BaselineAhead(self._root, self._folders, walk)
            if self._stages_there:
                from workflow_agent.targets.capture import CaptureProgram  # noqa: PLC0415  # late, as above

                self._starting = asyncio.create_task(CaptureProgram().__aenter__(), name="capture program")

    def _may_capture(self) -> bool:
        try:
            self._open()
            self._require_root()
            return self._static_reason(self._mounts()) is None
        except (WorkflowAgentError, OSError):  # what captures then says why it cannot be
            return False

    @asynccontextmanager
    async def _program(self) -> AsyncIterator[CaptureProgram | None]:
        """Give the program that captures, started ahead if that could be; None where it needs to know more first."""
        # late: 10 ms, which a run that finds everything unchanged does not pay
        from workflow_agent.targets.capture import CaptureProgram  # noqa: PLC0415

        starting, self._starting = self._starting, None
        if not self._stages_there:
            yield None
        elif starting is None:
            async with CaptureProgram() as program:  # it gets ready while the baseline is walked
                yield program
        else:
            program = await starting
            try:
                yield program
            finally:
                await program.__aexit__()

    async def _drop_ahead(self) -> None:
        """End what was begun for a script that did not come."""
        async with self._program() if self._starting is not None else nullcontext():
            pass
        if self._ahead is not None:
            await self._ahead.drop()

    def _baselines(self, mounts: list[tuple[Mount, MountUse]]) -> dict[bytes, Baseline]:
        return {point: self._walk(point) for point in captured_points(mounts)}

    async def _baselines_now(self, mounts: list[tuple[Mount, MountUse]]) -> dict[bytes, Baseline]:
        """Give what was read ahead if that is still so; reads it else. The locks are held."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and (found := await ahead.take()) is not None:
            return found
        return await self._blocking(self._baselines, mounts)

    def fitted(self, script: Script, services: Sequence[Service]) -> Script:
        """Give a script as it is prepared here; see the port."""
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
        """Run the script in a capture; gives the transaction's id and what it would change (see the port)."""
        self._require_root()
        mounts = self._mounts()
        if reason := self._static_reason(mounts):
            raise CaptureError(
                f"nothing can be captured here: the tier is {Tier.LOGICAL.value}, in which no script is run",
                cause=reason,
                state="nothing was changed",
                hint="`workflow-agent doctor` says what this system lacks",
                details={"tier": Tier.LOGICAL.value},
            )
        self._require_interpreter(script.interpreter)
        await self._locks.acquire(wait_s=self._lock_wait_s)
        run: dict[str, Any] = {"timeout_s": timeout_s, "on_output": on_output, "secrets": secrets or {}}
        try:
            transaction = await self._blocking(self._folders.new_id, run_id)
            async with self._program() as program:
                run["program"] = program
                changes = await self._capture(transaction, run_id, mounts, script, stops=stops, keep=keep, run=run)
            return transaction, changes
        except BaseException:
            self._locks.release()
            raise

    async def _capture(
        self,
        transaction: str,
        run_id: str,
        mounts: list[tuple[Mount, MountUse]],
        script: Script,
        *,
        stops: Sequence[str],
        keep: Sequence[str],
        run: dict[str, Any],
    ) -> ChangeSet:
        # late: 10 ms, which a run that finds everything unchanged does not pay
        from workflow_agent.targets.capture import capture_script  # noqa: PLC0415
        from workflow_agent.targets.shims import shims_on  # noqa: PLC0415

        points = captured_points(mounts)
        baselines = await self._baselines_now(mounts)
        shims = await self._blocking(shims_on, self._root)
        await self._make_folders(transaction, points)
        store_fd: int | None = None
        loading = asyncio.get_running_loop().call_later(_LOAD_AFTER_S, _load_what_follows)
        try:
            store_fd = await self._blocking(self._open_store, transaction)
            result = await capture_script(
                target_pid=self._pid,
                root_fd=self._root,
                transaction=transaction,
                mounts=mounts,
                shims=shims,
                script=script,
                quota=self._quota,
                store_fd=store_fd,
                home=self._home(),
                **run,
            )
            from workflow_agent.targets.plan import make_plan  # noqa: PLC0415  # late: it came while the script ran

            stand_ins = {shim["text"].encode() for shim in shims}
            left_alone = baselines, stand_ins, [os.fsencode(path) for path in keep]
            writing = asyncio.create_task(self._blocking(self._folders.write_out, points), name="write out")
            try:
                plan = await self._blocking(
                    partial(make_plan, self._root, transaction, *left_alone, staged_fd=store_fd)
                )
                await self._blocking(self._bring_in, plan, transaction, baselines)
                change_set = await self._kept(
                    transaction,
                    run_id,
                    plan,
                    result,
                    points=points,
                    stops=stops,
                    secrets=run["secrets"].values(),
                    has_uninstall=script.provenance.integration is not None,
                )
            finally:
                await complete(writing)
        except BaseException as error:
            if isinstance(error, WorkflowAgentError):
                from workflow_agent.targets.evidence import note_evidence  # noqa: PLC0415  # late: only here

                await self._blocking(note_evidence, error, self._root, transaction, points, store_fd)
            await self._blocking(self._folders.remove, transaction, points)
            if isinstance(error, OSError):
                raise CaptureError(
                    "what the script did cannot be read", cause=str(error), state="nothing was changed"
                ) from error
            raise
        finally:
            loading.cancel()
            await self._blocking(self._drop_store)
        return change_set

    async def _kept(
        self,
        transaction: str,
        run_id: str,
        plan: Plan,
        result: CaptureResult,
        *,
        points: tuple[bytes, ...],
        stops: Sequence[str],
        secrets: Collection[str],
        has_uninstall: bool,
    ) -> ChangeSet:
        """Write down what a script did, and give it as people read it."""
        # late, with the capture only
        from workflow_agent.targets.change_report import ChangeReporter  # noqa: PLC0415
        from workflow_agent.targets.kept_inodes import kept_inode_notes  # noqa: PLC0415

        looking = asyncio.create_task(self._blocking(kept_inode_notes, plan.operations), name="kept inodes")
        noting = asyncio.create_task(self._blocking(self._note, transaction, plan, secrets), name="note contents")
        try:
            reporter = ChangeReporter(self._root, transaction, boots=self._boots)
            report = partial(reporter.report, has_uninstall=has_uninstall)
            change_set = await self._blocking(report, plan, result.requested, result.outside)
            await (await self._services()).refuse_stopped_units(change_set, stops)
            self._brings_units = bool(change_set.units)
            await self._blocking(self._folders.drop_work, transaction, points)
            captured = Transaction(
                id=transaction,
                run_id=run_id,
                state=TransactionState.CAPTURED,
                points=points,
                operations=tuple(plan.operations),
                links=tuple(plan.links),
                identity=self.identity,
            )
            await self._blocking(self._folders.write, captured)
        finally:
            await asyncio.wait({noting, looking})
        edits, said = noting.result()
        return replace(change_set, edits=edits, notes=change_set.notes + said + looking.result() + self._notes())

    def _note(
        self, transaction: str, plan: Plan, secrets: Collection[str]
    ) -> tuple[tuple[dict[str, object], ...], tuple[str, ...]]:
        """Note what is staged on the target, for drift; gives edits that it would end, and what is said of them."""
        # late: with the capture only
        from workflow_agent.targets.noted_contents import note_contents  # noqa: PLC0415
        from workflow_agent.targets.overwritten_edits import edit_notes, overwritten_edits  # noqa: PLC0415

        note_contents(self._root, transaction, plan.operations, secrets, base=self._base)
        edits = overwritten_edits(self._root, self._folders, transaction, plan.operations)
        return edits, edit_notes(edits)

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
        """Run the script in a clone made of a copy of this host's files; see the port."""
        from workflow_agent.targets.host_copy import HostCopy  # noqa: PLC0415  # late: few ask for it
        from workflow_agent.targets.rehearsal import rehearse  # noqa: PLC0415  # late

        self._open()
        self._require_interpreter(script.interpreter)
        copy = HostCopy(self.name, pid=self._pid, scope=self._copy_scope)
        run: dict[str, Any] = {"timeout_s": timeout_s, "on_output": on_output, "quota": self._quota}
        return await rehearse(copy, script, keep=keep, secrets=secrets or {}, network=network, **run)

    def _require_interpreter(self, path: str) -> None:
        try:
            stat_in_root(self._root, path)
        except OSError as error:
            raise CaptureError(
                f"`{self.name}` has no {path}, which runs the script",
                where=path,
                cause=str(error),
                state="nothing was changed",
                hint=f"install the package of {path.rpartition('/')[2]} there first, or use an image that has it",
            ) from error

    async def _make_folders(self, transaction: str, points: tuple[bytes, ...]) -> None:
        made: list[bytes] = []
        try:
            for point in points:
                made.append(point)
                await self._blocking(self._folders.create, transaction, point)
        except FileExistsError as error:  # not ours: nothing of it is removed
            raise CaptureError(
                f"there is a transaction `{transaction}` already", state="nothing was changed"
            ) from error
        except OSError as error:
            await self._blocking(self._folders.remove, transaction, tuple(made))
            raise CaptureError(
                "there is no room for a capture", cause=str(error), state="nothing was changed"
            ) from error
        except BaseException:
            await self._blocking(self._folders.remove, transaction, tuple(made))
            raise

    # -- what other targets do in their own way --------------------------------------------------------------------

    def _home(self) -> CaptureHome | None:
        """Give the home folder to which a capture is confined, for people without root."""
        return None

    def _open_store(self, transaction: str) -> int | None:
        """Open the folder in which effects are staged when that cannot be on the target."""
        del transaction
        return None

    def _bring_in(self, plan: Plan, transaction: str, baselines: Mapping[bytes, Baseline]) -> None:
        """Bring what was staged elsewhere to the target's transaction folder."""

    def _drop_store(self) -> None:
        """Forget what was staged elsewhere."""

    def _notes(self) -> tuple[str, ...]:
        """Say what a person should know of every plan for this target."""
        return ()

    def _hidden_folders(self) -> frozenset[bytes]:
        """Give folders that scripts do not see."""
        return frozenset()

    def _walk(self, point: bytes) -> Baseline:
        """Record what a file system holds."""
        return walk_file_system(self._root, point, self._hidden_folders())


def _load_what_follows() -> None:
    """Load modules with which a capture is read and its services are started, 20 ms."""
    import workflow_agent.targets.change_report  # noqa: PLC0415  # late: while a script runs
    import workflow_agent.targets.kept_inodes  # noqa: PLC0415
    import workflow_agent.targets.live_services  # noqa: PLC0415
    import workflow_agent.targets.overwritten_edits  # noqa: PLC0415
    import workflow_agent.targets.plan  # noqa: PLC0415
    import workflow_agent.targets.running_changes  # noqa: F401, PLC0415
