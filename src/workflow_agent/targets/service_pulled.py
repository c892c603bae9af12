"""Units that systemd starts beside a service: found before the start, let go when the service is taken back.

A start pulls in everything that the unit requires or wants, and what those want. What was not active before and
is needed by nobody else goes again with the service.

What belongs here: the relations between units. What does not: services themselves (``services``).
Source: systemd.unit(5), systemctl(1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_agent.model.records import dataclass
from workflow_agent.targets.service_systemd import Systemd, unit_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from typing import TypeAlias

    #: A unit that a start may pull in, and who did without it although it was active and names it.
    Pulled: TypeAlias = dict[str, list[str]]

__all__ = ["PulledUnits", "UnitRelations", "closure", "released"]

#: A start of the unit starts what these name.
_STARTING = ("Requires", "Wants", "BindsTo", "Upholds")
#: An active unit needs what these name, or would be stopped with it.
_NEEDING = (*_STARTING, "Requisite", "PartOf", "StopPropagatedFrom")
_PROPERTIES = ",".join(("Id", "LoadState", "ActiveState", "Job", *_NEEDING))
_IDLE = frozenset({"inactive", "failed"})
_QUERY_S = 30.0
_STOP_S = 90.0
#: The kernel starts and ends these, nobody else can.
_UNSTOPPABLE = (".device", ".scope")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitRelations:
    """What a unit is and names: `busy` is one that is active or has a job waiting."""

    busy: bool
    startable: bool = True
    starts: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()


def closure(names: Iterable[str], units: Mapping[str, UnitRelations]) -> Pulled:
    """Give what a start of units would start beside them and is not active, with the active units that name it.

    Source: systemd adds the dependencies of a unit to its transaction also where the unit is active already.
    """
    roots = set(names)
    seen, waiting = set(roots), list(roots)
    while waiting:
        unit = units.get(waiting.pop())
        new = (unit.starts if unit else frozenset()) - seen
        seen |= new
        waiting += new
    idle = sorted(name for name in seen - roots if name in units and units[name].startable and not units[name].busy)
    return {name: _needing(name, units, ()) for name in idle if not name.endswith(_UNSTOPPABLE)}


def released(pulled: Pulled, own: Collection[str], units: Mapping[str, UnitRelations]) -> dict[str, list[str]]:
    """Say of what was pulled in and is active who else needs it; where nobody does, it can go.

    Args:
        pulled: As recorded before the start.
        own: The services that are taken back.
        units: As they are now.
    """
    going = {name for name in pulled if name in units and units[name].busy}
    verdict = {name: list[str]() for name in sorted(going)}
    while True:
        kept = {name: needing for name in going if (needing := _needing(name, units, going | {*own, *pulled[name]}))}
        if not kept:
            return verdict
        verdict |= kept
        going -= kept.keys()


def _needing(name: str, units: Mapping[str, UnitRelations], without: Collection[str]) -> list[str]:
    """List the active units that name a unit."""
    return sorted(
        other for other, unit in units.items() if unit.busy and name in unit.needs and other not in {name, *without}
    )


class PulledUnits:
    """The relations of the units of the target of process `pid`, which runs systemd."""

    def __init__(self, pid: int) -> None:
        self._systemd = Systemd(pid)

    async def record(self, services: Sequence[str]) -> Pulled:
        """Find what a start of services will pull in; their unit files were changed.

        Raises:
            ServiceFailedError: systemd refuses to read its units.
            UnreachableError: systemd does not answer.
        """
        await self._systemd.reload_units()
        units, names = await self._relations(), await self._identities(services)
        asked: set[str] = set()
        # systemd lists what it holds in memory, and forgets at once what is only looked at
        while missing := {*names, *(name for unit in units.values() for name in unit.starts)} - units.keys() - asked:
            units |= await self._relations(*sorted(missing))
            asked |= missing
        return closure(names, units)

    async def narrow(self, pulled: Pulled) -> Pulled:
        """Keep of a record what the start really started."""
        units = await self._relations() if pulled else {}
        return {name: needing for name, needing in pulled.items() if name in units and units[name].busy}

    async def release(self, pulled: Pulled, services: Sequence[str]) -> list[Mapping[str, str]]:
        """Stop what was pulled in and nobody else needs; says what was done with each.

        A unit that cannot be stopped stays and is told: it stands in no way of the files.
        """
        if not pulled:
            return []
        verdict = released(pulled, await self._identities(services), await self._relations())
        going = [name for name, needing in verdict.items() if not needing]
        if going:  # systemd itself stops them in the reverse of the order in which it starts them
            await self._systemd.call("stop", "--", *going, timeout_s=_STOP_S)
        left = await self.narrow({name: [] for name in going})
        return [{"service": name, **_outcome(needing, stopped=name not in left)} for name, needing in verdict.items()]

    async def _identities(self, services: Sequence[str]) -> list[str]:
        """Give the units' own names."""
        shown = await self._systemd.show(services)
        return [shown[name].get("Id") or unit_name(name) for name in services]

    async def _relations(self, *names: str) -> dict[str, UnitRelations]:
        blocks = await self._systemd.show_units(names or ("*",), _PROPERTIES, timeout_s=_QUERY_S)
        return {block["Id"]: _relations_of(block) for block in blocks if block.get("Id")}


def _relations_of(block: Mapping[str, str]) -> UnitRelations:
    def named(properties: Iterable[str]) -> frozenset[str]:
        return frozenset(name for one in properties for name in block.get(one, "").split())

    waiting = block.get("Job", "0") not in {"", "0"}
    busy = waiting or block.get("ActiveState", "inactive") not in _IDLE
    startable = block.get("LoadState") == "loaded"
    return UnitRelations(busy=busy, startable=startable, starts=named(_STARTING), needs=named(_NEEDING))


def _outcome(needing: list[str], *, stopped: bool) -> dict[str, str]:
    if needing:
        return {"action": "left active", "reason": f"needed by {', '.join(needing)}"}
    return {"action": "stopped"} if stopped else {"action": "left active", "reason": "it does not stop"}
