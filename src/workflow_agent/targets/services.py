"""Services of a target: started, watched, stopped and proven gone, under whichever init works there.

systemd where it runs; init scripts where they do what they say; our own supervisor for the rest. No exit
code is believed: a start is done when the service's own processes stay, a stop when they are gone.

What belongs here: the public face, stopping, putting back. What does not: starting (``service_start``),
looking (``service_view``), each init's ways (``service_systemd``, ``service_sysvinit``,
``service_supervised``), procfs (``service_processes``).
"""

from __future__ import annotations

import os
import shlex
import signal
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from workflow_agent.model.errors import ServiceFailedError
from workflow_agent.targets.live import run_live
from workflow_agent.targets.service_processes import (
    RunningProcess,
    end_processes,
    executable_of,
    is_running,
    wait_until_gone,
)
from workflow_agent.targets.service_start import ServiceStart, stop_supervisor
from workflow_agent.targets.service_state import (
    ServiceKind,
    ServiceState,
    StartOutcome,
    StopNeed,
    StopOutcome,
)
from workflow_agent.targets.service_stay import see_stay
from workflow_agent.targets.service_systemd import reload_program
from workflow_agent.targets.service_view import ServiceView, as_service, failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from workflow_agent.model.system import InitKind, Service
    from workflow_agent.targets.service_systemd import Properties

__all__ = ["ServiceControl"]

_START_S = 90.0
_STOP_S = 120.0
_CHANGE_S = 60.0
#: A process must stay this long, unless it opens its ports earlier, which proves more.
_SETTLE_S = 0.3
_AFTER_STOP_S = 1.0
_AFTER_RELOAD_S = 0.1
_IDLE = "inactive"


class ServiceControl:
    """The services of the target of process `pid` (0: our own).

    Args:
        pid: A process of the target.
        init: What starts services there.
        runtime_dir: Folder of the target in which supervisors keep their files.
        grace_s: How long a process may take to end when it is asked to, before it is killed.
    """

    def __init__(
        self,
        pid: int,
        init: InitKind,
        runtime_dir: str = "/run/workflow-agent",
        *,
        grace_s: float = 10.0,
    ) -> None:
        self._view = ServiceView(pid, init, runtime_dir)
        self._grace_s = grace_s

    def __repr__(self) -> str:
        return f"ServiceControl(pid={self._view.pid}, init={self._view.init.value})"

    async def state(self, names: Sequence[str | Service]) -> dict[str, ServiceState]:
        """Look at services; an unknown one is `absent`. One look at systemd and procfs for all.

        Pass a :class:`Service` where it is known: its program identifies its processes under sysvinit.

        Raises:
            ParameterError: A name is none.
            UnreachableError: systemd does not answer.
        """
        return await self._view.states([as_service(name) for name in names])

    async def _state_of(self, service: Service) -> ServiceState:
        return (await self._view.states([service]))[service.name]

    async def reload_units(self) -> None:
        """Let systemd read its unit files again; nothing to do where it does not run.

        Raises:
            ServiceFailedError: It refuses.
        """
        if self._view.init.value == ServiceKind.SYSTEMD.value:
            await self._view.systemd.reload_units()

    async def start(
        self,
        service: Service,
        *,
        units_changed: bool = False,
        settle_s: float = _SETTLE_S,
        timeout_s: float = _START_S,
    ) -> StartOutcome:
        """Start a service and see that it stays; one that runs already is left alone.

        It has settled when its processes hold all its ports open, or have stayed for `settle_s`.

        Args:
            service: What to start.
            units_changed: Unit files were changed: systemd reads them first. It does so too where it says
                itself that it should (it compares times, so it overlooks files that were put back).
            settle_s: How long to look for an early end.
            timeout_s: For the init system's command.

        Raises:
            ServiceFailedError: It did not start or did not stay; the cause has its last lines.
        """
        one = ServiceStart(self._view, as_service(service), settle_s=settle_s, timeout_s=timeout_s)
        return await one.run(units_changed=units_changed)

    async def stop(self, service: str | Service, *, timeout_s: float = _STOP_S) -> StopOutcome:
        """Stop a service through what keeps it, and prove that its processes are gone.

        Its processes are those of its control group, of its supervisor, and those that run its program
        (but not where another systemd unit keeps them). What stays gets SIGTERM, then SIGKILL.

        Raises:
            ServiceFailedError: A process survives even that.
        """
        one = as_service(service)
        unit = (await self._view.units([one])).get(one.name)
        processes = await self._view.processes()
        state = self._view.state(one, unit, processes)
        mine = self._view.attributed(one, unit, processes)
        busy = bool(mine) or state.kind is ServiceKind.SUPERVISED
        busy = busy or (unit is not None and unit.get("ActiveState", _IDLE) != _IDLE)
        if busy:
            await self._stop_by_init(one, state, timeout_s=timeout_s)
        needed = await self._prove_gone(one, unit, mine)
        if needed is StopNeed.NOTHING and busy:
            needed = StopNeed.INIT
        return StopOutcome(kind=state.kind, needed=needed, ended=tuple(gone.pid for gone in mine))

    async def _stop_by_init(self, service: Service, state: ServiceState, *, timeout_s: float) -> None:
        await stop_supervisor(self._view, service.name)
        if state.kind is ServiceKind.SYSTEMD:
            await self._view.systemd.stop(service.name, timeout_s=timeout_s)
        elif state.kind is ServiceKind.SYSVINIT and service.sysvinit:
            await self._view.scripts.call(service.name, "stop", timeout_s=timeout_s)

    async def _prove_gone(
        self,
        service: Service,
        unit: Properties | None,
        before: list[RunningProcess],
    ) -> StopNeed:
        """See that nothing of the service runs; end what does. Says what that took."""
        await wait_until_gone(before, _AFTER_STOP_S)
        now = self._view.attributed(service, unit, await self._view.processes())
        known = {one.pid for one in now}
        left = [*now, *(one for one in before if one.pid not in known and is_running(one))]
        if not left:
            return StopNeed.NOTHING
        killed, survivors = await end_processes(left, grace_s=self._grace_s)
        if survivors:
            raise ServiceFailedError(
                f"`{service.name}` cannot be stopped",
                cause=f"processes survive SIGKILL: {', '.join(str(one.pid) for one in survivors)}",
                hint="they wait for a device or a file system; look with `cat /proc/PID/wchan`",
                details={"service": service.name, "pids": [one.pid for one in survivors]},
            )
        return StopNeed.KILL if killed else StopNeed.TERM

    async def stay(self, services: Sequence[Service], for_s: float, *, since: float) -> None:
        """See that services which were started at `since` still run, `for_s` seconds after their processes began.

        Raises:
            ServiceFailedError: One ended meanwhile, or was started again.
        """
        await see_stay(self._view, services, for_s, since)

    async def restart(self, service: Service, *, units_changed: bool = False) -> StartOutcome:
        """Stop a service, prove it, start it: afterwards it runs the program that lies there now.

        Raises:
            ServiceFailedError: It does not stop, start or stay.
        """
        stopped = await self.stop(service)
        outcome = await self.start(service, units_changed=units_changed)
        return replace(outcome, was_active=stopped.needed is not StopNeed.NOTHING)

    async def reload(self, service: Service) -> None:
        """Let a running service read its configuration again.

        A unit that can reload does, if the program that it needs exists; else `service.reload` is a signal
        (``HUP``) for its main processes, a command, or ``restart``, which is also what happens without it.

        Raises:
            ServiceFailedError: It does not run, refuses, or ends over it.
        """
        state = await self._state_of(service)
        if not state.active:
            raise failure(service, "there is no process that could read its configuration again", "")
        if state.kind is ServiceKind.SYSTEMD:
            unit = (await self._view.systemd.show([service.name]))[service.name]
            program = reload_program(unit)
            # Many units reload with /bin/kill, which a minimal system does not have.
            if unit.get("CanReload") == "yes" and (program is None or self._exists(program)):
                await self._view.systemd.change("reload", service.name, timeout_s=_CHANGE_S)
                return
        if not service.reload or service.reload == "restart":
            await self.restart(service)
            return
        await self._reload_by(service, service.reload, state.main_pids)

    def _exists(self, program: str) -> bool:
        return executable_of(self._view.pid, program).inode is not None

    async def _reload_by(self, service: Service, way: str, main_pids: Iterable[int]) -> None:
        number = _signal(way)
        if number is None:
            result = await run_live(self._view.pid, shlex.split(way), timeout_s=_CHANGE_S)
            if not result.ok:
                raise failure(service, f"`{way}` ended with {result.exit_code}", result.last_lines())
        for pid in main_pids if number is not None else ():
            with suppress(ProcessLookupError):
                os.kill(pid, number or 0)
        mains = [one for one in await self._view.processes() if one.pid in set(main_pids)]
        if len(await wait_until_gone(mains, _AFTER_RELOAD_S)) < len(set(main_pids)):
            words = self._view.supervised.last_words(service.name)
            raise failure(service, "it ended when it read its configuration again", words)

    async def restore(self, before: ServiceState, service: Service | None = None) -> None:
        """Put back whether a service was masked, enabled and running. What agrees already is not touched.

        Args:
            before: As recorded.
            service: Needed where it has to be started without an init system.

        Raises:
            ServiceFailedError: It cannot be put back.
        """
        one = as_service(service or before.name)
        now = await self._state_of(one)
        if now.active and not before.active:
            await self.stop(one)
        if before.kind is ServiceKind.SYSTEMD:
            await self._restore_unit(before, now)
        elif before.kind is ServiceKind.SYSVINIT and before.enabled not in (None, now.enabled):
            verb = "enable" if before.enabled else "disable"
            await run_live(self._view.pid, ("update-rc.d", one.name, verb), timeout_s=_CHANGE_S)
        if before.active and not now.active:
            await self.start(one, units_changed=before.kind is ServiceKind.SYSTEMD)

    async def _restore_unit(self, before: ServiceState, now: ServiceState) -> None:
        systemd, name = self._view.systemd, before.name
        enabled = now.enabled
        if before.masked is not None and bool(now.masked) != before.masked:
            verb = "mask" if before.masked else "unmask"
            await systemd.change(verb, name, timeout_s=_CHANGE_S)
            enabled = (await self._state_of(as_service(name))).enabled
        if not before.masked and before.enabled is not None and enabled != before.enabled:
            verb = "enable" if before.enabled else "disable"
            await systemd.change(verb, name, timeout_s=_CHANGE_S)

    async def leftover_processes(self, exe_inodes: AbstractSet[tuple[int, int]]) -> list[RunningProcess]:
        """List the target's processes whose program is one of these files, by (device, inode).

        For rollback: nothing that a transaction brought may go on running.
        """
        return [one for one in await self._view.processes() if one.exe in exe_inodes]


def _signal(way: str) -> signal.Signals | None:
    name = way.upper()
    name = name if name.startswith("SIG") else f"SIG{name}"
    return signal.Signals.__members__.get(name)
