"""Look at the services of a target: state, processes, and whether a service that was started stays.

What belongs here: reading. What does not: starting (``service_start``) and stopping (``services``).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from workflow_agent.model.errors import ServiceFailedError
from workflow_agent.model.system import InitKind, Service
from workflow_agent.targets.service_processes import (
    RunningProcess,
    executable_of,
    inner_ids,
    is_listening,
    is_running,
    processes_of,
    without_lifeline,
)
from workflow_agent.targets.service_state import ServiceKind, ServiceState, checked_name
from workflow_agent.targets.service_supervised import Supervised
from workflow_agent.targets.service_systemd import Systemd, in_unit, is_enabled, is_masked
from workflow_agent.targets.service_sysvinit import InitScripts, exe_path, is_process_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from workflow_agent.targets.service_systemd import Properties

__all__ = ["ServiceView", "as_service", "failure", "tops"]

#: Most services listen after some milliseconds; who waits for a slow one need not look as often.
_FIRST_POLL_S = 0.002
_POLL_S = 0.02


class ServiceView:
    """The services of the target of process `pid`, as they are."""

    def __init__(self, pid: int, init: InitKind, runtime_dir: str) -> None:
        self.pid = pid
        self.init = init
        self.systemd = Systemd(pid)
        self.scripts = InitScripts(pid)
        self.supervised = Supervised(pid, runtime_dir)

    async def processes(self) -> list[RunningProcess]:
        """List the target's processes."""
        return await asyncio.to_thread(processes_of, self.pid)

    async def units(self, services: Sequence[Service]) -> dict[str, Properties]:
        """Read the units of services; empty where systemd does not run."""
        if self.init is not InitKind.SYSTEMD:
            return {}
        return await self.systemd.show([service.name for service in services])

    async def states(self, services: Sequence[Service]) -> dict[str, ServiceState]:
        """Look at services, with one look at systemd and procfs for all."""
        units = await self.units(services)
        processes = await self.processes()
        return {one.name: self.state(one, units.get(one.name), processes) for one in services}

    def state(self, service: Service, unit: Properties | None, processes: list[RunningProcess]) -> ServiceState:
        """Put together what is known of one service."""
        name = service.name
        if unit is not None and unit.get("LoadState") != "not-found":
            return self.unit_state(name, unit, processes)
        kept = self.supervised.members(name, processes)
        if self.supervised.supervisor(name) is not None:
            return ServiceState(name=name, kind=ServiceKind.SUPERVISED, active=bool(kept), main_pids=tops(kept))
        found = self.scripts.members(service, without_lifeline(self.pid, processes))
        scripted = self.init is not InitKind.SYSTEMD and self.scripts.has(name)
        return ServiceState(
            name=name,
            kind=ServiceKind.SYSVINIT if scripted else ServiceKind.ABSENT,
            active=bool(found),
            enabled=self.scripts.is_enabled(name) if scripted else None,
            main_pids=tops(found),
        )

    def unit_state(self, name: str, unit: Properties, processes: list[RunningProcess]) -> ServiceState:
        """Put together what is known of a unit."""
        main = inner_ids(self.pid, processes).get(int(unit.get("MainPID") or "0"))
        return ServiceState(
            name=name,
            kind=ServiceKind.SYSTEMD,
            active=unit.get("ActiveState") in ("active", "reloading"),
            enabled=is_enabled(unit),
            masked=is_masked(unit),
            main_pids=(main.pid,) if main else (),
        )

    def attributed(
        self,
        service: Service,
        unit: Properties | None,
        processes: list[RunningProcess],
    ) -> list[RunningProcess]:
        """Pick every process of a service: by control group, by supervisor, by program.

        A program's process that another systemd unit keeps is not among them: it may be a second instance. Nor is what
        the target lives by.
        """
        others = without_lifeline(self.pid, processes)
        group = (unit or {}).get("ControlGroup", "")
        found = {one.pid: one for one in processes if in_unit(one, group)}
        found |= {one.pid: one for one in self.supervised.members(service.name, processes)}
        if unit is None:
            found |= {one.pid: one for one in self.scripts.members(service, others)}
        elif path := exe_path(service):
            program = executable_of(self.pid, path)
            found |= {
                one.pid: one
                for one in others
                if is_process_of(service, program, one) and not _in_other_unit(one, group)
            }
        return list(found.values())

    async def settle(
        self,
        service: Service,
        pick: Callable[[list[RunningProcess]], list[RunningProcess]],
        settle_s: float,
    ) -> list[RunningProcess]:
        """Watch a service's processes until they hold its ports or `settle_s` is over; empty: they ended."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + settle_s
        pause = _FIRST_POLL_S
        found = pick(await self.processes())
        while found and clock() < deadline:
            if service.listens and is_listening(found, service.listens):
                return found
            await asyncio.sleep(pause)
            pause = min(2 * pause, _POLL_S)
            if not all(is_running(one) for one in found):
                found = pick(await self.processes())
        return pick(await self.processes())


def as_service(service: str | Service) -> Service:
    """Take a name for a service of which nothing else is known.

    Raises:
        ParameterError: It is no name.
    """
    one = Service(name=service) if isinstance(service, str) else service
    checked_name(one.name)
    return one


def tops(processes: Iterable[RunningProcess]) -> tuple[int, ...]:
    """Give the ids of those that are no children of another one of them."""
    listed = list(processes)
    ids = {one.pid for one in listed}
    return tuple(one.pid for one in listed if one.parent not in ids)


def failure(service: Service, trouble: str, words: str, reason: str | None = None) -> ServiceFailedError:
    """Make the error of a service: what is wrong, its last words, what was tried before."""
    return ServiceFailedError(
        f"`{service.name}` does not run as it should: {trouble}",
        cause=words or trouble,
        state=reason,
        details={"service": service.name, "trouble": trouble},
    )


def _in_other_unit(process: RunningProcess, group: str) -> bool:
    if group and in_unit(process, group):
        return False
    return any(line.rpartition("/")[2].endswith(".service") for line in process.control_groups.splitlines())
