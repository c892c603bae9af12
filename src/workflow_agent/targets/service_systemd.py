"""Services under systemd: `systemctl` in the target's namespaces, its answers read property by property.

Source: systemctl(1), org.freedesktop.systemd1(5).
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from workflow_agent.model.errors import ServiceFailedError, UnreachableError
from workflow_agent.targets.live import LiveResult, run_live
from workflow_agent.targets.service_state import checked_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    from workflow_agent.targets.service_processes import RunningProcess

    #: Property name to text, as `systemctl show` prints it.
    Properties: TypeAlias = Mapping[str, str]

__all__ = ["Systemd", "in_unit", "is_enabled", "is_masked", "reload_program", "trouble_of", "unit_name"]

_PROPERTIES = (
    "Id,LoadState,ActiveState,SubState,UnitFileState,Type,MainPID,ControlGroup,NRestarts,NeedDaemonReload,"
    "Result,CanReload,ExecReload,ExecMainStatus,ConditionResult"
)
_SUFFIXES = (".service", ".socket", ".timer", ".path", ".target", ".mount", ".slice", ".scope", ".device")
_PROGRAM = re.compile(r"\bpath=(\S+)")
_QUERY_S = 30.0
#: Thousands of units, with what each names.
_ALL_UNITS_BYTES = 16 << 20
_STATUS_LINES = "20"
_ENABLED = {
    "enabled": True,
    "enabled-runtime": True,
    "linked": True,
    "linked-runtime": True,
    "disabled": False,
    "masked": False,
    "masked-runtime": False,
}


def unit_name(name: str) -> str:
    """Complete a service's name to a unit's."""
    return name if name.endswith(_SUFFIXES) else f"{name}.service"


def is_enabled(properties: Properties) -> bool | None:
    """Whether a unit starts by itself; None where it has nothing to enable (static, generated)."""
    return _ENABLED.get(properties.get("UnitFileState", ""))


def is_masked(properties: Properties) -> bool:
    """Whether a unit cannot be started by anybody."""
    masked = ("masked", "masked-runtime")
    return properties.get("UnitFileState") in masked or properties.get("LoadState") == "masked"


def reload_program(properties: Properties) -> str | None:
    """Give the program that reloads a unit; None when the unit cannot reload or does it without a program."""
    if properties.get("CanReload") != "yes":
        return None
    found = _PROGRAM.search(properties.get("ExecReload", ""))
    return found[1] if found else None


def in_unit(process: RunningProcess, control_group: str) -> bool:
    """Whether a process lives in a unit's control group or below it."""
    if not control_group or control_group == "/":
        return False
    return any(
        line.endswith(control_group) or f"{control_group}/" in line for line in process.control_groups.splitlines()
    )


def trouble_of(before: Properties, now: Properties) -> str | None:
    """Say why a unit that was started is not running well, None when it is.

    A unit in a restart loop is `active` at most moments: its restart counter betrays it. One that systemd skips,
    because a condition of its own does not hold, is as it should be: whoever needs it running has a check for that.
    """
    state, sub = now.get("ActiveState", "unknown"), now.get("SubState", "unknown")
    finished = now.get("Type") == "oneshot" and now.get("Result") == "success"
    if sub == "auto-restart" or _number(now, "NRestarts") > _number(before, "NRestarts"):
        return f"it keeps restarting ({_number(now, 'NRestarts')} times so far)"
    skipped = state == "inactive" and now.get("Result") == "success" and now.get("ConditionResult") == "no"
    if state in ("active", "reloading") or finished or skipped:
        return None
    return f"it is {state} ({sub}), result {now.get('Result')}, exit status {now.get('ExecMainStatus')}"


def _number(properties: Properties, name: str) -> int:
    text = properties.get(name, "0")
    return int(text) if text.isdigit() else 0


class Systemd:
    """The service manager of the target of process `pid`."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    async def show(self, names: Sequence[str]) -> dict[str, Properties]:
        """Read the properties of units, by the names asked for, in one call.

        Raises:
            UnreachableError: The service manager does not answer.
        """
        if not names:
            return {}
        units = [unit_name(checked_name(name)) for name in names]
        result = await self.call("show", "-p", _PROPERTIES, "--", *units, timeout_s=_QUERY_S)
        blocks = [_properties(block) for block in result.stdout.strip().split("\n\n")]
        if not result.ok or len(blocks) != len(names):
            raise UnreachableError("systemd does not answer on the target", cause=result.last_lines())
        return dict(zip(names, blocks, strict=True))

    async def show_units(self, units: Sequence[str], properties: str, *, timeout_s: float) -> list[Properties]:
        """Read properties of units; ``*`` stands for every unit that systemd holds in memory.

        Raises:
            UnreachableError: The service manager does not answer.
        """
        argv = ("systemctl", "--no-pager", "show", "-p", properties, "--all", "--", *units)
        result = await run_live(self._pid, argv, timeout_s=timeout_s, output_limit=_ALL_UNITS_BYTES)
        if not result.ok:
            raise UnreachableError("systemd does not answer on the target", cause=result.last_lines())
        return [_properties(block) for block in result.stdout.strip().split("\n\n")]

    async def call(self, verb: str, *arguments: str, timeout_s: float) -> LiveResult:
        """Run `systemctl` with one verb."""
        argv = ("systemctl", "--no-pager", "--no-ask-password", verb, *arguments)
        return await run_live(self._pid, argv, timeout_s=timeout_s)

    async def change(self, verb: str, name: str, *, timeout_s: float) -> None:
        """Carry out a verb on a unit.

        Raises:
            ServiceFailedError: systemd refuses or fails; the cause has the unit's last lines.
        """
        began = time.time()
        result = await self.call(verb, "--", unit_name(name), timeout_s=timeout_s)
        if result.ok:
            return
        ending = f"did not end within {timeout_s:g} s" if result.timed_out else "failed"
        raise ServiceFailedError(
            f"`systemctl {verb} {name}` {ending}",
            cause=await self.last_words(name, began) or result.last_lines(),
            hint=f"look with `systemctl status {name}`",
            details={"service": name, "output": result.last_lines(20)},
        )

    async def stop(self, name: str, *, timeout_s: float) -> LiveResult:
        """Stop a unit and forget that it failed, else it stays listed for ever, also after its files are gone."""
        script = 'systemctl stop -- "$1"; code=$?; systemctl reset-failed -- "$1" 2>/dev/null; exit $code'
        return await run_live(self._pid, ("sh", "-c", script, "sh", unit_name(name)), timeout_s=timeout_s)

    async def reload_units(self) -> None:
        """Let systemd read its unit files again.

        Raises:
            ServiceFailedError: It refuses.
        """
        result = await self.call("daemon-reload", timeout_s=_QUERY_S * 3)
        if not result.ok:
            raise ServiceFailedError("systemd cannot read its units again", cause=result.last_lines())

    async def last_words(self, name: str, since: float) -> str:
        """Give the last lines that a unit wrote after a time (seconds since 1970), or what `systemctl status` says.

        What an earlier installation of that name wrote would tell of another failure.
        """
        unit = unit_name(name)
        argv = ("journalctl", "--no-pager", "-q", "-o", "cat", "-n", _STATUS_LINES, f"--since=@{since:.3f}", "-u", unit)
        journal = await run_live(self._pid, argv, timeout_s=_QUERY_S)
        if journal.ok and journal.stdout.strip():
            return journal.stdout.strip()
        status = await self.call("status", "-l", "-n", _STATUS_LINES, "--", unit, timeout_s=_QUERY_S)
        return status.stdout.strip()


def _properties(block: str) -> dict[str, str]:
    return dict(line.partition("=")[::2] for line in block.splitlines())
