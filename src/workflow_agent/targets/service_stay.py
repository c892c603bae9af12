"""Services that were started have to stay: what dies a moment later did not start.

A start looks for a fraction of a second, and checks hold while a service that is about to die still answers. So
nothing is called installed before its services have run for a while, which is measured by the age of their processes.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

from workflow_agent.targets.service_processes import is_running
from workflow_agent.targets.service_systemd import trouble_of
from workflow_agent.targets.service_view import failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from workflow_agent.model.system import Service
    from workflow_agent.targets.service_processes import RunningProcess
    from workflow_agent.targets.service_systemd import Properties
    from workflow_agent.targets.service_view import ServiceView

__all__ = ["see_stay"]

_POLL_S = 0.05


async def see_stay(view: ServiceView, services: Sequence[Service], for_s: float, since: float) -> None:
    """See that services which were just started run, `for_s` seconds after their processes began.

    A unit that ended as it should (a ``oneshot``) has no process to wait for. What they said after `since` (seconds
    since 1970) are their last words.

    Raises:
        ServiceFailedError: One ended meanwhile, or was started again; the cause has its last words.
    """
    processes = await view.processes()
    units = await view.units(services)
    ids = {pid for one in services for pid in view.state(one, units.get(one.name), processes).main_pids}
    mains = [one for one in processes if one.pid in ids]
    clock = asyncio.get_running_loop().time
    end = clock() + max((for_s - age for age in _ages(mains)), default=0.0)
    while True:
        left = end - clock()
        if left <= 0 or not all(map(is_running, mains)):
            break
        await asyncio.sleep(min(_POLL_S, left))
    processes = await view.processes()
    units = await view.units(services)
    for service in services:
        trouble = _trouble(view, service, units.get(service.name), processes)
        if trouble is not None:
            raise failure(service, trouble, await _last_words(view, service, units.get(service.name), since))


def _ages(processes: Iterable[RunningProcess]) -> list[float]:
    """Give how long processes have run, in seconds."""
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    ticks = os.sysconf("SC_CLK_TCK")
    return [now - one.started / ticks for one in processes]


async def _last_words(view: ServiceView, service: Service, unit: Properties | None, since: float) -> str:
    """Give what it said; a log of ours says nothing about a service that somebody else keeps."""
    if unit is not None and unit.get("LoadState") != "not-found":
        return await view.systemd.last_words(service.name, since)
    return view.supervised.last_words(service.name) if view.supervised.supervisor(service.name) is not None else ""


def _trouble(
    view: ServiceView, service: Service, unit: Properties | None, processes: list[RunningProcess]
) -> str | None:
    if unit is not None and unit.get("LoadState") != "not-found":
        return trouble_of({}, unit)  # a start by us counts restarts from nothing
    if view.supervised.supervisor(service.name) is not None:
        return view.supervised.trouble(service.name)
    return None if view.state(service, unit, processes).active else "it ended a moment after its start"
