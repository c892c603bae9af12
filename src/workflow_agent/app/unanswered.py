"""Steps that ask for what no agent answers here: known before a run begins, not when it comes to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_agent.app.container import AGENTS
from workflow_agent.model.nearest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workflow_agent.app.settings import Settings
    from workflow_agent.model.workflow import Workflow

__all__ = ["unanswered"]


def unanswered(workflow: Workflow, settings: Settings) -> Iterator[tuple[str, str, str | None]]:
    """Give ``(path, message, hint)`` of each `uses` that nobody answers; an agent of one's own may have any verbs."""
    for step in workflow.steps:
        yield from _judged(f"steps.{step.id}.uses", step.uses, settings)
        if step.undo:
            yield from _judged(f"steps.{step.id}.undo.uses", str(step.undo["uses"]), settings)


def _judged(path: str, uses: str, settings: Settings) -> Iterator[tuple[str, str, str | None]]:
    agent, _, verb = uses.rpartition(".")
    if not agent or settings.agents.get(agent):
        return
    if agent not in AGENTS:
        yield path, f"there is no agent `{agent}`", did_you_mean(agent, AGENTS)
    elif verb not in AGENTS[agent]:
        yield path, f"the agent `{agent}` has no verb `{verb}`", did_you_mean(verb, AGENTS[agent])
