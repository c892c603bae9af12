"""Services that stand still while files or data go back: the plan file says so until they run again.

Whoever takes the target next starts them where a process died in between. A part of `HostTarget`.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar

from workflow_agent.model.failpoint import failpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from workflow_agent.targets.live_services import LiveServices
    from workflow_agent.targets.transaction import Transaction, TransactionFolders

__all__ = ["StandingServices", "StillReason", "has_data_to_come", "is_standing", "standing"]

_T = TypeVar("_T")
_MARK: Final = "standing"


class StillReason(StrEnum):
    """Why services stand still: what else has to be done before they run again."""

    SERVICES = "services"
    DATA = "data"  # newer data were coming again: the copies come back first


def standing(record: Mapping[str, Any], why: StillReason = StillReason.SERVICES) -> dict[str, Any]:
    """Give a plan file's record of services with the mark that they stand still; one without services has none."""
    return dict(record) | ({_MARK: why.value} if record.get("before") else {})


def is_standing(plan: Transaction) -> bool:
    """Tell whether services of a transaction were stopped and nobody started them again."""
    return _MARK in plan.services


def has_data_to_come(plan: Transaction) -> bool:
    """Tell whether copies of data come back before services start."""
    return bool(plan.services.get(_MARK) == StillReason.DATA.value)


def _running(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != _MARK}


class StandingServices:
    """Starts again what stands still."""

    if TYPE_CHECKING:
        _root: int

        @property
        def _folders(self) -> TransactionFolders: ...
        async def _services(self) -> LiveServices: ...
        async def _bring_data_back(self, plan: Transaction, keep: Sequence[str]) -> None: ...
        async def _blocking(self, function: Callable[..., _T], *arguments: Any) -> _T: ...  # Any: the function's own

    async def _stand(self, transaction: str, why: StillReason = StillReason.SERVICES) -> Transaction:
        """Write down that the services of a transaction stand still from now on."""
        plan = await self._blocking(self._folders.read, transaction)
        return await self._blocking(self._folders.write, replace(plan, services=standing(plan.services, why)))

    async def _run_again(self, transaction: str) -> list[Mapping[str, Any]]:
        """Start the services that ran before, and write down that they do.

        Raises:
            ServiceFailedError: one does not start. It is said once: the mark goes all the same, or no command could
                take the target any more.
        """
        plan = await self._blocking(self._folders.read, transaction)
        failpoint("transaction.standing")
        if has_data_to_come(plan):
            await self._bring_data_back(plan, ())
        try:
            return await (await self._services()).restore(plan.services, self._root)
        finally:
            if is_standing(plan):
                await self._blocking(self._folders.write, replace(plan, services=_running(plan.services)))

    async def _run_what_stands(self, transactions: Sequence[str]) -> None:
        """Start what a process that died had stopped, of transactions whose files are all back."""
        for transaction in transactions:
            await self._run_again(transaction)
