"""What an integration needs of others: all of it, in the order in which it has to be there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_agent.model.errors import ConflictError, NotFoundError
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from workflow_agent.integrations.brief import Requiring

__all__ = ["Requirement", "requirements_of"]

_ARROW = " → "


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """An integration that has to be there first; `required_by` names those that say so."""

    name: str
    required_by: tuple[str, ...]


def requirements_of(manifest: Requiring, get: Callable[[str], Requiring]) -> tuple[Requirement, ...]:
    """List everything that an integration requires, directly or not, in the order in which it has to be there.

    Args:
        manifest: Of the integration, or its brief.
        get: Gives that of a name.

    Raises:
        NotFoundError: a required integration does not exist; the cause is the chain that leads to it.
        ConflictError: they require each other, or two of them exclude each other; the message has the chain.
        ManifestError: a manifest is not valid.
    """
    found: dict[str, Requiring] = {}
    order: list[str] = []

    def visit(current: Requiring, chain: tuple[str, ...]) -> None:
        for name in current.requires:
            if name in chain:
                cycle = [*chain[chain.index(name) :], name]
                raise ConflictError(
                    f"integrations require each other: {_ARROW.join(cycle)}",
                    where=manifest.name,
                    details={"cycle": cycle},
                )
            if name not in found:
                found[name] = _load(name, get, chain)
                visit(found[name], (*chain, name))
                order.append(name)

    visit(manifest, (manifest.name,))
    everything = {manifest.name: manifest} | found
    _refuse_conflicts(manifest.name, everything)
    return tuple(
        Requirement(name=name, required_by=tuple(other for other, item in everything.items() if name in item.requires))
        for name in order
    )


def _load(name: str, get: Callable[[str], Requiring], chain: tuple[str, ...]) -> Requiring:
    try:
        return get(name)
    except NotFoundError as error:
        raise NotFoundError(
            f"`{chain[-1]}` requires `{name}`, which does not exist",
            where=chain[0],
            cause=_ARROW.join([*chain, name]),
            hint=error.hint,
        ) from error


def _refuse_conflicts(asked: str, everything: Mapping[str, Requiring]) -> None:
    for name, item in everything.items():
        for other in item.conflicts:
            if other in everything:
                chains = [_ARROW.join(_chain(asked, end, everything)) for end in (name, other)]
                raise ConflictError(
                    f"`{name}` cannot be installed together with `{other}`",
                    where=asked,
                    cause="; ".join(chains),
                    details={"conflict": [name, other]},
                )


def _chain(asked: str, end: str, everything: Mapping[str, Requiring]) -> list[str]:
    """Give one way from what was asked for to what it leads to."""
    ways = [[asked]]
    while ways[0][-1] != end:
        way = ways.pop(0)
        ways += [[*way, name] for name in everything[way[-1]].requires]
    return ways[0]
