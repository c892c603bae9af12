"""What a target notices of the running system around the start of services, and puts back; a part of `HostTarget`."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from workflow_agent.model.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from workflow_agent.targets.probes import Prober
    from workflow_agent.targets.transaction import Transaction, TransactionFolders

__all__ = ["Noticing"]

_T = TypeVar("_T")
#: In the record of services: a look that nothing was compared with yet, and what was found.
_LOOK, _FOUND = "running", "noticed"


class Noticing:
    """Looks at the running system before services start and when they work."""

    if TYPE_CHECKING:
        _pid: int
        _prober: Prober

        @property
        def _folders(self) -> TransactionFolders: ...
        async def _blocking(self, function: Callable[..., _T], *arguments: Any) -> _T: ...  # Any: the function's own

    _looking: asyncio.Task[dict[str, Any]] | None = None

    def _look_ahead(self) -> None:
        """Begin to look while files alone change: services will soon be started."""
        if self._looking is None:
            self._looking = asyncio.create_task(self._looked_now(), name="look ahead")

    async def _drop_look(self) -> None:
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.cancel()
            await asyncio.wait({looking})

    async def _look(self) -> dict[str, Any]:
        """Give what was looked at ahead, or look at the running system; nothing where it cannot be looked at."""
        looking, self._looking = self._looking, None
        return await (self._looked_now() if looking is None else looking)

    async def _looked_now(self) -> dict[str, Any]:
        try:
            return {_LOOK: await self._prober.running()}
        except UnreachableError:
            return {}

    async def noticed(self, transaction: str) -> list[Mapping[str, Any]]:
        """Say what differs in the running system since the services of a transaction were started; see the port."""
        plan = await self._blocking(self._folders.read, transaction)
        return list((await self._noticed(plan)).services.get(_FOUND, ()))

    async def _noticed(self, plan: Transaction) -> Transaction:
        before = plan.services.get(_LOOK)
        if before is None:
            return plan
        from workflow_agent.targets.running_changes import running_changes  # noqa: PLC0415  # late: after a start only

        try:
            found = running_changes(before, await self._prober.running(before["listeners"]))
        except UnreachableError:
            return plan
        record = {key: value for key, value in plan.services.items() if key != _LOOK} | {_FOUND: found}
        return await self._blocking(self._folders.write, replace(plan, services=record))

    async def _put_back(self, plan: Transaction) -> list[Mapping[str, Any]]:
        """Put back what was noticed, the services being stopped; gives what stays."""
        found = plan.services.get(_FOUND)
        if not found:
            return []
        from workflow_agent.targets.running_changes import put_back  # noqa: PLC0415  # late: few rollbacks need it

        try:
            return list(await put_back(self._pid, found, await self._prober.running()))
        except UnreachableError as error:
            return [{**one, "reason": error.cause or error.message} for one in found]
