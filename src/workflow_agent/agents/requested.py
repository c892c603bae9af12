"""What a script asked of the init system while it was captured: what is done after the commit, and what is left.

A recorder stood in for ``systemctl``, ``service`` and their kin. What only changes files (enable, mask) was done in the
capture; starts and restarts are carried out after the commit, where the target can; the rest is said, with the command.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING, Any

from workflow_agent.agents.serving import Answer, Question, plain
from workflow_agent.model.records import dataclass
from workflow_agent.model.system import Check, CheckStatus, InitKind, Service

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.model.ports import Target
    from workflow_agent.model.system import TargetFacts

__all__ = ["RequestedReply", "RequestedRequest", "Unit", "requested_services", "sort_requested"]

_START = frozenset({"start"})
_RESTART = frozenset({"restart", "reload-or-restart"})
#: Does nothing to a unit that does not run.
_IF_ACTIVE = frozenset(
    {
        "try-restart",
        "condrestart",
        "try-reload-or-restart",
        "reload-or-try-restart",
        "reload",
        "force-reload",
    }
)
#: Takes back what was asked before; what ran on the target was refused when the script ran.
_STOP = frozenset({"stop", "kill"})
#: Done by the real program in the capture: these only change files.
_FILES = frozenset(
    {
        "enable",
        "disable",
        "reenable",
        "preset",
        "preset-all",
        "mask",
        "unmask",
        "revert",
        "link",
        "add-wants",
        "add-requires",
        "set-default",
    }
)
#: Every start has systemd read its unit files.
_READS_UNITS = frozenset({"daemon-reload", "daemon-reexec"})
#: Forgetting a failure needs no transaction, and what was never started has none.
_HARMLESS = frozenset({"reset-failed"})
_SUFFIX = ".service"
#: One look: what is not so now is an answer as well.
_GLANCE_S = 0.05
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9:_.@\\-]{0,200}")
_GONE = ", not-found"
_MASKED = ", masked"


class RequestedRequest(Question):
    """Ask what becomes of the service actions that a script (its name) asked for. Without `start` none is done."""

    target: str
    script: str
    change_set: dict[str, Any]
    start: bool = True


class RequestedReply(Answer):
    """What is known of the target, and what is to be done after the commit.

    `services` are started, those in `restarts` again because they run. `left` is recorded and not done: ``{verb, unit,
    reason, command}``. `pending` says whether anything is to be done at all.
    """

    facts: dict[str, Any]
    services: list[dict[str, Any]]
    restarts: list[str]
    left: list[dict[str, Any]] = field(default_factory=list)
    pending: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What the target knows of a unit: whether there is one, once the changes are there, and whether it runs.

    Init scripts do not tell whether something runs: None. A `masked` one can be started by nobody.
    """

    known: bool
    active: bool | None
    masked: bool = False


async def requested_services(target: Target, request: RequestedRequest) -> RequestedReply:
    """Look at the target, and say what becomes of each action."""
    facts = await target.facts()
    asked = _asked(request.change_set.get("requested") or ())
    units = await _look(target, facts, sorted({unit for _, unit in asked if unit}), request.change_set)
    starts, restarts, left = sort_requested(asked, units, facts.init, start=request.start)
    services = [plain(Service(name=name)) for name in (*starts, *restarts)]
    return RequestedReply(
        facts=plain(facts),
        services=services,
        restarts=restarts,
        left=left,
        pending=bool(request.change_set.get("changes") or services),
    )


def sort_requested(
    asked: Sequence[tuple[str, str]], units: Mapping[str, Unit], init: InitKind, *, start: bool = True
) -> tuple[list[str], list[str], list[dict[str, Any]]]:
    """Sort recorded actions, each a verb and a unit (or none), in the order in which a script asked for them.

    Returns:
        Units to start, units to restart because they run, and what is left to a person.
    """
    wanted: dict[str, str] = {}
    left: list[dict[str, Any]] = []
    for verb, unit in asked:
        known = units.get(unit, Unit(known=False, active=False))
        if verb in _STOP and unit:
            wanted.pop(unit, None)
        elif reason := _hindrance(verb, unit, known, init):
            left.append(_left(verb, unit, init, reason))
        elif verb in _RESTART or (verb in _START and not known.active) or (verb in _IF_ACTIVE and known.active):
            wanted[unit] = "restart" if known.active else "start"
    if not start:
        left += [_left(verb, unit, init, "asked not to start services") for unit, verb in wanted.items()]
        wanted = {}
    if not wanted and any(verb in _READS_UNITS for verb, _ in asked) and init is InitKind.SYSTEMD:
        left.append(_left("daemon-reload", "", init, "no service is started, which would do it"))
    starts = [unit for unit, verb in wanted.items() if verb == "start"]
    return starts, [unit for unit in wanted if unit not in starts], _once(left)


def _hindrance(verb: str, unit: str, known: Unit, init: InitKind) -> str | None:
    """Say why an action is not done; None where it is, or where nothing is to be done."""
    if verb in _FILES | _HARMLESS | _READS_UNITS:
        return None
    if not unit or verb not in _START | _RESTART | _IF_ACTIVE:
        return "it reaches past files and services"
    if init is InitKind.NONE:
        return "nothing on the target starts services"
    if not known.known:
        return "the target has no such service"
    if known.masked:
        return "it is masked: nobody can start it"
    return "it cannot be seen whether it runs" if known.active is None and verb in _IF_ACTIVE else None


def _asked(requested: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    return [(str(item["verb"]), str(item["unit"]).removesuffix(_SUFFIX)) for item in requested]


def _left(verb: str, unit: str, init: InitKind, reason: str) -> dict[str, Any]:
    by_unit = init is InitKind.SYSTEMD or not unit
    words = ["systemctl", verb, unit] if by_unit else ["service", unit, verb]
    return {"verb": verb, "unit": unit or None, "reason": reason, "command": " ".join(word for word in words if word)}


def _once(left: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({item["command"]: item for item in left}.values())


async def _look(
    target: Target, facts: TargetFacts, names: Sequence[str], change_set: Mapping[str, Any]
) -> dict[str, Unit]:
    """Look which units there are and which run; those that the changes bring are there as well."""
    coming = {str(unit["name"]).removesuffix(_SUFFIX) for unit in change_set.get("units") or () if _stays(unit)}
    masked: dict[str, bool] = {}
    if facts.init is InitKind.SYSTEMD:
        found = await _systemd_units(target, names)
        units = [unit for unit in change_set.get("units") or () if unit.get("masked") is not None]
        masked = {str(unit["name"]).removesuffix(_SUFFIX): unit["masked"] for unit in units}
    else:
        found = await _init_scripts(target, names)
    return {
        name: Unit(
            known=unit.known or _is_among(name, coming),
            active=unit.active,
            masked=masked.get(name, unit.masked),
        )
        for name, unit in found.items()
    }


def _stays(unit: Mapping[str, Any]) -> bool:
    return unit.get("action") != "removed"


def _is_among(name: str, coming: set[str]) -> bool:
    """Tell whether a unit comes: itself, or the template that it is an instance of."""
    base, at, _ = name.partition("@")
    return name in coming or (bool(at) and f"{base}@" in coming)


async def _systemd_units(target: Target, names: Sequence[str]) -> dict[str, Unit]:
    # systemctl completes a name without a suffix itself
    checks = [Check(id=name, kind="unit", spec={"name": name}, timeout_s=_GLANCE_S) for name in names if _is_name(name)]
    results = {result.id: result for result in await target.check(checks)} if checks else {}
    return {
        name: Unit(
            known=_GONE not in result.observed,
            active=result.status is CheckStatus.PASSED,
            masked=_MASKED in result.observed,
        )
        for name, result in results.items()
    }


async def _init_scripts(target: Target, names: Sequence[str]) -> dict[str, Unit]:
    checks = [
        Check(id=name, kind="file", spec={"path": f"/etc/init.d/{name}"}, timeout_s=_GLANCE_S)
        for name in names
        if _is_name(name)
    ]
    results = {result.id: result for result in await target.check(checks)} if checks else {}
    return {name: Unit(known=result.status is CheckStatus.PASSED, active=None) for name, result in results.items()}


def _is_name(name: str) -> bool:
    """Recorded names come from scripts, and may be anything."""
    return _NAME.fullmatch(name) is not None
