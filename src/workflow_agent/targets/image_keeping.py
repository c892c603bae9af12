"""What a target tells of its transactions beside carrying them out, and giving up their before-images.

A part of `HostTarget`, in a module of its own: nothing here is needed to commit or to roll back.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from workflow_agent.targets.finishing import blocking, complete
from workflow_agent.targets.live_tree import LiveTree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.targets.committing import Committer
    from workflow_agent.targets.transaction import Transaction, TransactionFolders

__all__ = ["ImageKeeping"]


class ImageKeeping:
    """Lists, compares and prunes the transactions of a target."""

    if TYPE_CHECKING:
        _root: int

        @property
        def _folders(self) -> TransactionFolders: ...
        @property
        def _committer(self) -> Committer: ...
        def _require_root(self) -> None: ...
        def _read_plan(self, transaction: str) -> Transaction: ...

    async def interrupted(self) -> list[str]:
        """List the transactions whose commit or rollback was begun and is not over."""
        self._require_root()
        return [plan.id for plan in await blocking(self._committer.interrupted)]

    async def compare(self, transaction: str) -> list[Mapping[str, Any]]:
        """List where the target is not as a transaction found it (see the port)."""
        from workflow_agent.targets.remainder import remainder  # noqa: PLC0415  # late: few rollbacks need it

        plan = await blocking(self._read_plan, transaction)

        def look() -> list[Mapping[str, Any]]:
            with LiveTree(self._root) as tree:
                return list(remainder(tree, plan))

        return await blocking(look)

    async def kept_transactions(self) -> list[str]:
        """List the transactions whose before-images the target holds; raises PermissionDeniedError."""
        from workflow_agent.targets.pruning import kept_ids  # noqa: PLC0415  # late: few commands ask

        self._require_root()
        return await blocking(kept_ids, self._folders)

    async def prune(self, transactions: Sequence[str], *, plan_only: bool = False) -> list[Mapping[str, Any]]:
        """Give up the before-images of transactions; gives what each takes on disk (see the port)."""
        from workflow_agent.targets.pruning import prune_transactions  # noqa: PLC0415  # late: few commands ask

        self._require_root()
        folders = self._folders  # opens the root
        act = partial(prune_transactions, self._root, folders, transactions, plan_only=plan_only)
        return list(await complete(blocking(act)))
