"""What a target does with copies of state data (`data_copies`): when they are taken, and when they come back.

A part of `HostTarget`, in a module of its own. `data_copies` is loaded when it comes to that: few runs have any.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any, TypeVar

from workflow_agent.targets.standing import StillReason
from workflow_agent.targets.transaction import TransactionState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from workflow_agent.targets.committing import Committer
    from workflow_agent.targets.live_services import LiveServices
    from workflow_agent.targets.transaction import Transaction, TransactionFolders

__all__ = ["CopyingData"]

_T = TypeVar("_T")


class CopyingData:
    """Takes copies of state data and brings them back."""

    if TYPE_CHECKING:
        _root: int

        @property
        def _folders(self) -> TransactionFolders: ...
        async def _stand(self, transaction: str, why: StillReason = ...) -> Transaction: ...
        async def _run_again(self, transaction: str) -> list[Mapping[str, Any]]:
            """Start the services that ran before; see `StandingServices`."""

        async def _services(self) -> LiveServices: ...
        async def _blocking(self, function: Callable[..., _T], *arguments: Any) -> _T: ...  # Any: the function's own

    #: Whether folders of data can be exchanged as a whole; else they are left alone, and no copy is taken.
    _copies_data = True

    def _take_copies(self, plan: Transaction, paths: Sequence[str]) -> list[dict[str, Any]]:
        """Copy data whose services have stopped; gives what was copied. Blocking."""
        from workflow_agent.targets.data_copies import take_copies  # noqa: PLC0415  # late: see above

        taken = take_copies(self._root, plan, map(os.fsencode, paths), now=time.time())
        return [copy.told() for copy in taken]

    def _drop_copies(self, plan: Transaction) -> None:
        """Forget the copies of a commit that did not come to anything: the data are what they were. Blocking."""
        from workflow_agent.targets.data_copies import drop_copies  # noqa: PLC0415  # late: see above

        drop_copies(self._root, plan)

    async def _data_coming(self, plan: Transaction, keep: Sequence[str]) -> list[dict[str, Any]]:
        """List the copies that a rollback brings back; the data in `keep` stay."""
        from workflow_agent.targets.data_copies import coming  # noqa: PLC0415  # late: see above

        found = await self._blocking(coming, self._root, plan, list(map(os.fsencode, keep)))
        return [copy.told() for copy in found]

    async def _bring_data_back(self, plan: Transaction, keep: Sequence[str]) -> None:
        """Bring copies back; their services do not run."""
        from workflow_agent.targets.data_copies import bring_back  # noqa: PLC0415  # late: see above

        await self._blocking(bring_back, self._root, plan, list(map(os.fsencode, keep)))

    async def _end_data(self, plan: Transaction, keep: Sequence[str]) -> None:
        """Bring copies back where a rollback died before it did, with their services stopped."""
        if await self._data_coming(plan, keep):
            await self._stand(plan.id)
            await (await self._services()).stop(plan.services)
            await self._bring_data_back(plan, keep)
            await self._run_again(plan.id)

    def _data_are_back(self, transaction: str) -> bool:
        """Tell whether a rollback brought copies back, which go when the transaction comes again. Blocking."""
        plan = self._folders.read(transaction)
        if plan.state is not TransactionState.ROLLED_BACK:
            return False
        from workflow_agent.targets.data_copies import are_back  # noqa: PLC0415  # late: see above

        return are_back(self._root, plan)

    async def _commit_again(self, committer: Committer, transaction: str) -> Mapping[str, Any]:
        """Commit what was rolled back with its data: the newer ones come again; where it is refused they go again."""
        from workflow_agent.targets.data_copies import set_aside  # noqa: PLC0415  # late: see above

        plan = await self._stand(transaction, StillReason.DATA)
        await (await self._services()).stop(plan.services)
        await self._blocking(set_aside, self._root, plan)
        try:
            return await asyncio.to_thread(committer.commit, transaction)
        except Exception:
            await self._run_again(transaction)
            raise
