"""Services of a transaction: recorded before, started after the commit, put back by a rollback."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import CaptureError, ParameterError, ServiceFailedError
from workflow_agent.model.system import InitKind, Service
from workflow_agent.targets.linux import open_beneath
from workflow_agent.targets.live import make_ready, run_live
from workflow_agent.targets.live_tree import LiveTree
from workflow_agent.targets.operations import OperationKind
from workflow_agent.targets.paths import open_root
from workflow_agent.targets.runtime_folders import asked_folders, missing_folders, remove_folders
from workflow_agent.targets.service_processes import end_processes
from workflow_agent.targets.service_pulled import PulledUnits
from workflow_agent.targets.service_state import checked_name
from workflow_agent.targets.services import ServiceControl

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from workflow_agent.model.system import ChangeSet
    from workflow_agent.targets.operations import Operation

__all__ = ["LiveServices"]

_EXECUTABLE = 0o111
#: Recorded actions after which a running service would not run any more.
_STOPPING = frozenset({"stop", "kill"})
_GRACE_S = 10.0
_MAKE_S = 60.0


class LiveServices:
    """What a transaction does to the services of the target of process `pid`.

    The record is JSON that the plan file keeps: ``before`` is ``{name: {service, state, missing}}`` (the
    folders that a start makes in ``/run``), ``pulled`` the units that a start brings along, ``created_directories``
    what a supervisor needed, ``asked`` the folders in ``/run`` that packages ask systemd-tmpfiles for, ``began`` when
    they were started (seconds since 1970).
    """

    def __init__(self, pid: int, init: InitKind) -> None:
        self._pid = pid
        self._init = init
        self._control = ServiceControl(pid, init)
        self._pulled = PulledUnits(pid) if init is InitKind.SYSTEMD else None

    async def make_ready(self) -> None:
        """Begin what the next start or stop needs, so that it is there when it comes to it (``live.drop_ready``)."""
        if self._init is not InitKind.NONE:
            await make_ready()

    async def refuse_stopped_units(self, change_set: ChangeSet, expected: Collection[str] = ()) -> None:
        """Refuse a script that wanted to stop what runs on the target: its data would move under it (rule 3).

        Services that are `expected` to stop are those that the commit stops itself.

        Raises:
            CaptureError: names the services.
        """
        asked = {str(item["unit"]) for item in change_set.requested if item["verb"] in _STOPPING}
        # what is no name can be no service that runs
        names = {name for name in asked if _is_name(name) and name.removesuffix(".service") not in expected}
        states = await self._control.state(sorted(names)) if names else {}
        running = sorted(name for name, state in states.items() if state.active)
        if running:
            raise CaptureError(
                f"the script stops what runs on the target: {', '.join(running)}",
                cause="inside the capture it goes on running, and would not see what is changed under it",
                state="nothing was changed",
                hint=f"stop it first (`service {running[0]} stop`), then run the command again",
            )

    async def record(self, services: Sequence[Service]) -> dict[str, Any]:
        """Look at services before anything is done to them."""
        states = await self._control.state(services)
        with open_root(self._pid) as root_fd:
            return {
                service.name: {
                    "service": asdict(service),
                    "state": asdict(states[service.name]),
                    "missing": missing_folders(root_fd, service),
                }
                for service in services
            }

    async def record_pulled(self, services: Sequence[Service]) -> dict[str, Any]:
        """Look which units that are not active a start would bring along, before it."""
        names = [service.name for service in services if service.start]
        return await self._pulled.record(names) if self._pulled and names else {}

    async def narrow_pulled(self, pulled: dict[str, Any]) -> dict[str, Any]:
        """Keep of such a record what the start did bring along: the rest is not ours, whoever starts it later."""
        return await self._pulled.narrow(pulled) if self._pulled else {}

    def asked_folders(self, settings: Sequence[str]) -> list[str]:
        """List the folders in ``/run`` that files for systemd-tmpfiles ask for and that are not there."""
        if self._pulled is None or not settings:
            return []
        with open_root(self._pid) as root_fd:
            return asked_folders(root_fd, settings)

    async def make_asked(self, settings: Sequence[str]) -> None:
        """Let systemd-tmpfiles make what is asked for in ``/run``: what a package did so while captured is lost.

        Raises:
            ServiceFailedError: it cannot; no service was started.
        """
        argv = ["systemd-tmpfiles", "--create", "--prefix=/run", *settings]
        result = await run_live(self._pid, argv, timeout_s=_MAKE_S)
        if not result.ok:
            trouble = f"exit status {result.exit_code}"
            raise ServiceFailedError(
                f"`{' '.join(argv[:3])}` failed: {trouble}", where=settings[0], cause=result.last_lines() or trouble
            )

    async def start(self, services: Sequence[Service]) -> tuple[list[Mapping[str, Any]], list[str]]:
        """Start services, restart those that run; gives what was done and which folders were made for it.

        Raises:
            ServiceFailedError: one did not start or did not stay.
        """
        done: list[Mapping[str, Any]] = []
        created: list[str] = []
        states = await self._control.state(services)
        if services and not any(service.start for service in services):
            await self._control.reload_units()  # none of them is there any more: let it be seen
        for service in services:
            if not service.start:
                continue
            if states[service.name].active:
                outcome = await self._control.restart(service, units_changed=True)
            else:
                outcome = await self._control.start(service, units_changed=True)
            created += outcome.created_directories
            done.append(
                {
                    "service": service.name,
                    "by": outcome.kind.value,
                    "action": "restarted" if states[service.name].active else "started",
                    "reason": outcome.reason,
                }
            )
        return done, created

    async def stay(self, record: Mapping[str, Any], for_s: float) -> None:
        """See that what a record says was started still runs, `for_s` seconds after it began; see ServiceControl."""
        before = record.get("before", {})
        services = [_service(before[name]["service"]) for name in record.get("started", ()) if name in before]
        if services := [service for service in services if service.start]:
            await self._control.stay(services, for_s, since=float(record.get("began", 0)))

    async def stop(self, record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Stop every service of a record, those that ran before too: they start again when their files are back.

        Raises:
            ServiceFailedError: one cannot be stopped; those that were stopped run again.
        """
        stopped: list[Mapping[str, Any]] = []
        for name, entry in record.get("before", {}).items():
            try:
                outcome = await self._control.stop(_service(entry["service"]))
            except ServiceFailedError:
                await self.start_again(record, stopped)
                raise
            stopped.append({"service": name, "action": "stopped", "needed": outcome.needed.value})
        pulled = record.get("pulled", {})
        if self._pulled and pulled:
            stopped += await self._pulled.release(pulled, list(record.get("before", {})))
        return stopped

    async def start_again(self, record: Mapping[str, Any], stopped: Iterable[Mapping[str, Any]]) -> None:
        """Start the services of a record that a stop found running, as it gave them."""
        for one in stopped:
            if one["service"] in record.get("before", {}) and one["needed"] != "nothing":
                with suppress(ServiceFailedError):  # the first failure is the one to report
                    await self._control.start(_service(record["before"][one["service"]]["service"]))

    async def end_leftovers(self, root_fd: int, operations: Iterable[Operation]) -> None:
        """End what still runs a program that the transaction brought: nothing of it may go on."""
        with LiveTree(root_fd) as tree:
            programs = {
                (entry.dev, entry.ino)
                for operation in operations
                for entry in _brought(tree, operation)
                if stat.S_ISREG(entry.mode) and entry.mode & _EXECUTABLE
            }
        left = await self._control.leftover_processes(programs)
        if left:
            await end_processes(left, grace_s=_GRACE_S)

    async def restore(self, record: Mapping[str, Any], root_fd: int) -> list[Mapping[str, Any]]:
        """Start again what ran before, after the files are back; whether it is enabled or masked is files, too."""
        before = record.get("before", {})
        if not before:
            return []
        await self._control.reload_units()
        restored: list[Mapping[str, Any]] = []
        for name, entry in before.items():
            if entry["state"]["active"]:
                service = _service(entry["service"])
                outcome = await self._control.start(service, units_changed=True)
                if outcome.was_active:  # its socket woke it since it was stopped: perhaps from files that are gone now
                    await self._control.restart(service)
                restored.append({"service": name, "action": "started again"})
        for path in sorted(record.get("created_directories", ()), reverse=True):
            _remove_if_empty(root_fd, os.fsencode(path))
        missing = [path for entry in before.values() for path in entry.get("missing", ())]
        if missing := [*missing, *record.get("asked", ())]:
            remove_folders(root_fd, missing)
        return restored


def _brought(tree: LiveTree, operation: Operation) -> Iterable[Any]:
    if operation.after is None or operation.kind not in {OperationKind.CREATE, OperationKind.EXCHANGE}:
        return ()
    if operation.after.is_dir:
        return tree.below(operation.path).values()
    return (operation.after,)


def _is_name(text: str) -> bool:
    try:
        checked_name(text)
    except ParameterError:
        return False
    return True


def _service(data: Mapping[str, Any]) -> Service:
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    return Service(**fields)


def _remove_if_empty(root_fd: int, path: bytes) -> None:
    parent, _, name = path.strip(b"/").rpartition(b"/")
    with suppress(OSError):
        parent_fd = open_beneath(root_fd, parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.rmdir(name, dir_fd=parent_fd)
        finally:
            os.close(parent_fd)
