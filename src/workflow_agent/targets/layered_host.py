"""A system whose root is an overlay, as a container's or that of a machine started from an image (rules 20, 27).

The kernel takes no overlay whose staged tree lies on another overlay: what a script does is staged in a folder of this
machine, on a disk, and copied in afterwards, so that commit and rollback are the renames that they are everywhere. What
belongs to it is its root; what else is mounted is outside. Layers are no disk (``layers``).
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import CaptureError
from workflow_agent.targets.host import HostTarget
from workflow_agent.targets.linux import open_beneath
from workflow_agent.targets.live_tree import transaction_folder
from workflow_agent.targets.mounts import LAYERS, MountUse, plan_mounts, read_mounts
from workflow_agent.targets.transaction import TransactionFolders, clone_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from workflow_agent.targets.entries import Baseline
    from workflow_agent.targets.mounts import Mount
    from workflow_agent.targets.plan import Plan

__all__ = ["LayeredHostTarget"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class LayeredHostTarget(HostTarget):
    """A host with a root of layers; implements the port ``Target``.

    Args:
        name: As people call it.
        store: Folder of this machine in which effects are staged, on a disk.
        options: As of :class:`HostTarget`.
    """

    _stages_there = False
    #: A folder of a lower layer cannot be renamed, and what else is mounted is outside.
    _copies_data = False
    #: What it is called in notes.
    _what = "the root"

    def __init__(self, name: str = "host", *, store: Path, **options: Any) -> None:
        super().__init__(name, **options)
        self._store = store
        self._store_fd = -1

    async def try_capture(self) -> str | None:
        """Try a capture, beside the folder in which a run may stage at this moment; see :class:`HostTarget`."""
        own = self._store.with_name(f"{self._store.name}.try-{os.getpid()}")
        trial = LayeredHostTarget(self.name, store=own, pid=self._pid)
        try:
            return await super(LayeredHostTarget, trial).try_capture()
        except CaptureError as error:
            return f"{error.message}: {error.cause}"
        finally:
            await trial.close()

    # -- what differs from a host on one disk ------------------------------------------------------------------------

    def _mounts(self) -> list[tuple[Mount, MountUse]]:
        return plan_mounts(read_mounts(self._pid), root_only=True)

    def _static_reason(self, mounts: list[tuple[Mount, MountUse]]) -> str | None:
        reason = super()._static_reason(mounts)
        if reason is None and _lies_on_layers(self._store):
            return (
                f"the root is an overlay, and so is the place where effects would be staged, {self._store}: "
                "have the setting `paths.state` name a folder on a disk, such as a volume"
            )
        return reason

    def _outside(self) -> Sequence[bytes]:
        """List what is mounted and does not belong to it."""
        return [mount.point for mount, use in self._mounts() if use is MountUse.READ_ONLY]

    def _notes(self) -> tuple[str, ...]:
        outside = ", ".join(map(os.fsdecode, self._outside()))
        if not outside:
            return ()
        return (f"outside {self._what}, so read-only for the script and never taken back: {outside}",)

    # -- staging -----------------------------------------------------------------------------------------------------

    def _open_store(self, transaction: str) -> int:
        """Make the folders on this machine in which a script's effects are staged."""
        try:
            self._drop_store()  # what a crash left
            self._store.mkdir(mode=0o700, parents=True)
            self._store_fd = os.open(self._store, _FOLDER)
            self._make_folders_in_store(transaction)
        except OSError as error:
            raise CaptureError(
                "nothing can be staged on this machine",
                where=str(self._store),
                cause=str(error),
                state="nothing was changed",
                hint="the state folder (setting `paths.state`) has to be on a disk with room",
            ) from error
        return self._store_fd

    def _make_folders_in_store(self, transaction: str) -> None:
        folders = TransactionFolders(self._store_fd)
        try:
            folders.create(transaction, b"/")
        finally:
            folders.close()
        upper = (transaction_folder(b"/", transaction) + b"/upper").strip(b"/")
        upper_fd = open_beneath(self._store_fd, upper, _FOLDER)
        root_fd = os.open(f"/proc/self/fd/{self._root}", _FOLDER)  # ours names the place only
        try:
            clone_folder(root_fd, upper_fd)
        finally:
            os.close(root_fd)
            os.close(upper_fd)

    def _bring_in(self, plan: Plan, transaction: str, baselines: Mapping[bytes, Baseline]) -> None:
        from workflow_agent.targets.copy_in import bring_in  # noqa: PLC0415  # late: with the capture only
        from workflow_agent.targets.layers import shared_names, spread_folders  # noqa: PLC0415  # late

        plan.operations = spread_folders(plan.operations)
        plan.links = shared_names(baselines[b"/"], plan.operations)
        plan.operations = bring_in(self._root, self._store_fd, transaction, plan.operations)

    def _drop_store(self) -> None:
        """Forget what is staged on this machine."""
        if self._store_fd >= 0:
            os.close(self._store_fd)
            self._store_fd = -1
        with suppress(FileNotFoundError, NotADirectoryError):
            shutil.rmtree(self._store)


def _lies_on_layers(folder: Path) -> bool:
    """Tell whether a folder of this machine, or where it would be made, is on an overlay."""
    there = next(each for each in (folder, *folder.parents) if each.exists()).resolve()
    around = [mount for mount in read_mounts(0) if there.is_relative_to(os.fsdecode(mount.point))]
    return bool(around) and max(around, key=lambda mount: len(mount.point)).kind == LAYERS
