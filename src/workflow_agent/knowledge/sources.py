"""Several sources about one thing: who is trusted more, who says the same, who contradicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from workflow_agent.knowledge.facts import TRUST, FactKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["conflicts", "ranked", "trust_of"]

#: Classes of which a thing has one value for a key: what the key is, and what the value.
_SINGLE: Final = {FactKind.SETTING.value: "default", FactKind.PACKAGE.value: "version"}


def trust_of(fact: Mapping[str, Any]) -> tuple[int, float]:
    """Say how much a fact is trusted, as something to sort by: the most trusted first, then the surest."""
    source = str(fact["provenance"].get("source", ""))
    order = [kind.value for kind in TRUST]
    place = order.index(source) if source in order else len(order)
    return place, -float(fact["provenance"]["confidence"])


def ranked(facts: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Give each statement once, from the source that is trusted most; in the order of trust within a class."""
    best: dict[tuple[str, str, str], Mapping[str, Any]] = {}
    for fact in sorted(facts, key=trust_of):
        details = fact["details"]
        key = (fact["kind"], fact["value"], str(details.get("manager") or details.get("content", "")))
        best.setdefault(key, fact)
    kinds = [kind.value for kind in FactKind]
    return sorted(best.values(), key=lambda fact: (kinds.index(fact["kind"]), trust_of(fact)))


def conflicts(facts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """List what sources say differently: the default of a setting, the version of a package.

    Each as kind, value, `says`: what is said by whom, the most trusted first.
    """
    by_key: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for fact in sorted(facts, key=trust_of):
        detail = _SINGLE.get(fact["kind"])
        said = fact["details"].get(detail) if detail else None
        if said:
            by_key.setdefault((fact["kind"], fact["value"]), {}).setdefault(str(said), fact)
    return [
        {
            "kind": kind,
            "value": value,
            "says": [
                {"said": said, "source": fact["provenance"].get("source"), "address": fact["provenance"]["address"]}
                for said, fact in said_by.items()
            ],
        }
        for (kind, value), said_by in by_key.items()
        if len({fact["provenance"]["address"] for fact in said_by.values()}) > 1
    ]
