"""Start a service and see that it stays.

systemd where it has the unit; else the init script, if a process of the service appears and stays; else our
own supervisor. No exit code is believed.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from workflow_agent.model.errors import ServiceFailedError
from workflow_agent.model.system import InitKind
from workflow_agent.targets.service_processes import end_processes
from workflow_agent.targets.service_state import ServiceKind, StartOutcome
from workflow_agent.targets.service_systemd import in_unit, trouble_of
from workflow_agent.targets.service_view import failure, tops

if TYPE_CHECKING:
    from workflow_agent.model.system import Service
    from workflow_agent.targets.service_systemd import Properties
    from workflow_agent.targets.service_view import ServiceView

__all__ = ["ServiceStart", "stop_supervisor"]

#: An init script that returned 0 may leave its daemon to appear this much later.
_APPEAR_S = 2.0
_APPEAR_AFTER_FAILURE_S = 0.3
_POLL_S = 0.02


class ServiceStart:
    """One start of one service.

    Args:
        view: The target's services.
        service: What to start.
        settle_s: How long to look for an early end.
        timeout_s: For the init system's command.
    """

    def __init__(self, view: ServiceView, service: Service, *, settle_s: float, timeout_s: float) -> None:
        self._view = view
        self._service = service
        self._settle_s = settle_s
        self._timeout_s = timeout_s
        self._began = time.time()

    async def run(self, *, units_changed: bool) -> StartOutcome:
        """Start the service, or leave it alone when it runs.

        Raises:
            ServiceFailedError: It did not start or did not stay.
        """
        init, name = self._view.init, self._service.name
        reason: str | None = None
        if init is InitKind.SYSTEMD:
            outcome = await self._by_unit(units_changed=units_changed)
            if outcome is not None:
                return outcome
            reason = f"systemd has no unit for `{name}`"
        state = self._view.state(self._service, None, await self._view.processes())
        if state.active:
            return StartOutcome(kind=state.kind, was_active=True, main_pids=state.main_pids)
        if init is InitKind.SYSVINIT:
            outcome, reason = await self._by_script()
            if outcome is not None:
                return outcome
        return await self._by_supervisor(reason)

    async def _by_unit(self, *, units_changed: bool) -> StartOutcome | None:
        """Start under systemd; None when it has no such unit."""
        name, systemd = self._service.name, self._view.systemd
        before = (await systemd.show([name]))[name]
        if units_changed or before.get("NeedDaemonReload") == "yes" or before["LoadState"] != "loaded":
            await systemd.reload_units()
            before = (await systemd.show([name]))[name]
        if before["LoadState"] == "not-found":
            return None
        was_active = before["ActiveState"] == "active"
        if not was_active:
            await systemd.change("start", name, timeout_s=self._timeout_s)
        now = await self._settled_unit(before)
        state = self._view.unit_state(name, now, await self._view.processes())
        return StartOutcome(kind=ServiceKind.SYSTEMD, was_active=was_active, main_pids=state.main_pids)

    async def _settled_unit(self, before: Properties) -> Properties:
        name, systemd = self._service.name, self._view.systemd
        group = (await systemd.show([name]))[name].get("ControlGroup", "")
        await self._view.settle(
            self._service, lambda seen: [one for one in seen if in_unit(one, group)], self._settle_s
        )
        now = (await systemd.show([name]))[name]
        trouble = trouble_of(before, now)
        if trouble:
            raise failure(self._service, trouble, await systemd.last_words(name, self._began))
        return now

    async def _by_script(self) -> tuple[StartOutcome | None, str | None]:
        """Start by init script; without an outcome the reason says why it did not work."""
        name, scripts = self._service.name, self._view.scripts
        if not self._service.sysvinit:
            return None, "its init script is known not to work"
        if not scripts.has(name):
            return None, f"there is no init script `/etc/init.d/{name}`"
        result = await scripts.call(name, "start", timeout_s=self._timeout_s)
        if await self._appears(_APPEAR_S if result.ok else _APPEAR_AFTER_FAILURE_S):
            found = await self._view.settle(
                self._service, lambda seen: scripts.members(self._service, seen), self._settle_s
            )
            if found:
                kind = ServiceKind.SYSVINIT
                return StartOutcome(kind=kind, was_active=False, main_pids=tops(found)), None
        ending = "ran out of time" if result.timed_out else f"returned {result.exit_code}"
        reason = f"`service {name} start` {ending}, but no process of it stays"
        said = result.last_lines()
        return None, f"{reason}: {said}" if said else reason

    async def _appears(self, patience_s: float) -> bool:
        clock = asyncio.get_running_loop().time
        deadline = clock() + patience_s
        while not self._view.scripts.members(self._service, await self._view.processes()):
            if clock() >= deadline:
                return False
            await asyncio.sleep(_POLL_S)
        return True

    async def _by_supervisor(self, reason: str | None) -> StartOutcome:
        name, supervised = self._service.name, self._view.supervised
        await stop_supervisor(self._view, name)  # one that waits before its next try: begin anew
        try:
            created = await supervised.launch(self._service)
        except ServiceFailedError as error:
            error.state = reason
            raise
        found = await self._view.settle(self._service, lambda seen: supervised.members(name, seen), self._settle_s)
        trouble = supervised.trouble(name) or (None if found else "it ended at once")
        if trouble:
            await stop_supervisor(self._view, name)
            raise failure(self._service, trouble, supervised.last_words(name), reason)
        return StartOutcome(
            kind=ServiceKind.SUPERVISED,
            was_active=False,
            main_pids=tops(found),
            reason=reason,
            created_directories=created,
        )


async def stop_supervisor(view: ServiceView, name: str) -> None:
    """End a service's supervisor, which ends the service; nothing to do where there is none."""
    supervisor = view.supervised.supervisor(name)
    if supervisor is not None:
        seen = [one for one in await view.processes() if one.pid == supervisor]
        await end_processes(seen, grace_s=view.supervised.patience_s)
