"""How durable runs are to be, as people say it."""

from __future__ import annotations

from workflow_agent.model.errors import ValidationError
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.workflow import Durability

__all__ = ["durability_of"]


def durability_of(said: str, *, where: str | None = None) -> Durability:
    """Give the mode of a name; raises ValidationError for another word."""
    names = [mode.value for mode in Durability]
    if said not in names:
        hint = did_you_mean(str(said), names) or f"it is one of {', '.join(names)}"
        raise ValidationError(f"there is no durability `{str(said)[:60]}`", where=where, hint=hint)
    return Durability(said)
