"""The improver agent: learns from how runs ended, and suggests. What it suggests is applied only when accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from workflow_agent.agents.improving_rules import failures_of, suggestion_for
from workflow_agent.agents.serving import Answer, Question, Verb
from workflow_agent.model.errors import WorkflowAgentError
from workflow_agent.model.event import RecordKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.agents.recovery_rules import Bounds
    from workflow_agent.integrations import Registry
    from workflow_agent.model.message import Message
    from workflow_agent.model.ports import Clock, History

__all__ = ["ImproverAgent", "LearnReply", "LearnRequest", "Suggestions"]


class Suggestions(Protocol):
    """Keeps suggestions."""

    async def suggest(self, suggestion: Mapping[str, Any], *, at: float) -> None:
        """Keep a suggestion; seen again, it is counted."""
        ...


class LearnRequest(Question):
    """Ask what there is to learn from a run that has an end."""

    run: str


class LearnReply(Answer):
    """The suggestions that follow from it, each with its id; none where nothing failed, or nothing is known to help."""

    suggestions: list[dict[str, Any]]


class ImproverAgent:
    """Recognises why attempts failed, by the recovery agent's table, and keeps what would help the next time.

    Args:
        history: What was done.
        registry: Integrations by name.
        kept: Where suggestions are kept.
        clock: Says when.
        bounds: How often is tried again now.
        script_s: How long a script may take now.
    """

    name = "improver"

    def __init__(
        self,
        history: History,
        registry: Registry,
        kept: Suggestions,
        clock: Clock,
        *,
        bounds: Bounds,
        script_s: float,
    ) -> None:
        self._history = history
        self._registry = registry
        self._kept = kept
        self._clock = clock
        self._bounds = bounds
        self._script_s = script_s

    def verbs(self) -> Mapping[str, Verb]:
        """Learn."""
        return {"learn": Verb(LearnRequest, LearnReply, self._learn)}

    async def _learn(self, request: LearnRequest, _: Message) -> tuple[Answer, Mapping[str, Any]]:
        run = await self._history.run(request.run)
        attempts = [record.data for record in await self._history.records(run["run_id"], RecordKind.ATTEMPT)]
        name = run["integration"]
        parameters, ports = self._ports(name, dict(run["inputs"].get("parameters") or {}))
        found: dict[str, dict[str, Any]] = {}
        for failure in failures_of(run, attempts):
            made = suggestion_for(
                failure,
                integration=name,
                parameters=parameters,
                ports=ports,
                bounds=self._bounds,
                script_s=self._script_s,
            )
            if made is not None:
                known = found.setdefault(made["improvement_id"], made)
                known["evidence"] += [one for one in made["evidence"] if one not in known["evidence"]]
        for made in found.values():
            await self._kept.suggest(made, at=self._clock.now())
        return LearnReply(suggestions=list(found.values())), {}

    def _ports(self, name: str | None, given: dict[str, Any]) -> tuple[dict[str, Any], Sequence[str]]:
        """Give the values with which an integration was to be installed, and which of them are ports."""
        if name is None:
            return given, ()
        try:
            manifest = self._registry.get(name)
        except WorkflowAgentError:  # it is gone by now: the rest can be learnt all the same
            return given, ()
        values = {key: spec.default for key, spec in manifest.parameters.items()} | given
        return values, [key for key, spec in manifest.parameters.items() if spec.type == "port"]
