"""The knowledge agent: what is known about an integration, a target, and an earlier run."""

from __future__ import annotations

import asyncio
from dataclasses import field
from typing import TYPE_CHECKING, Any, Literal

from workflow_agent.agents.documented import accepted_parameters, documented
from workflow_agent.agents.lifecycle import (
    copied_parts,
    differences,
    given_parameters,
    manifest_action,
    refuse_not_installed,
    refuse_required,
    refuse_upgrade,
)
from workflow_agent.agents.locating import LocateReply, LocateRequest, RunLocator
from workflow_agent.agents.logical import LOGICAL, InverseReply, InverseRequest, inverse_of
from workflow_agent.agents.manifest_answers import bound_parameters, resolved_parts
from workflow_agent.agents.parts import parts_of, source_of, subject_of
from workflow_agent.agents.pruning import PrunableReply, PrunableRequest, what_to_prune
from workflow_agent.agents.requested import RequestedReply, RequestedRequest, requested_services
from workflow_agent.agents.serving import Answer, Question, Verb, plain
from workflow_agent.model.errors import ConflictError
from workflow_agent.model.event import RecordKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.agents.documented import Documented
    from workflow_agent.agents.serving import Reply, VerbHandler
    from workflow_agent.integrations import Brief, Registry
    from workflow_agent.model.message import Message
    from workflow_agent.model.ports import History, Target, TargetRegistry
    from workflow_agent.model.system import Generation, TargetFacts

__all__ = ["KnowledgeAgent", "LocateReply", "LocateRequest", "LookupReply", "LookupRequest"]


#: Parts of a lookup that history keeps with the run.
_KEPT = ("services", "checks", "negative_checks", "state_data", "effects", "requires", "removes")


class LookupRequest(Question):
    """Ask what an action of an integration means on a target. `integration` is a name or a folder's path.

    With `purge` an uninstall takes configuration and state data with it. What others of the run require (`required_by`)
    is looked up with the parameters with which it is installed.
    """

    integration: str
    target: str
    action: Literal["install", "plan", "verify", "upgrade", "repair", "uninstall"] = "install"
    parameters: dict[str, Any] = field(default_factory=dict)
    purge: bool = False
    required_by: list[str] = field(default_factory=list)


class LookupReply(Answer):
    """Everything that later steps need, interpolated; JSON forms of the model's values.

    `installed` is the live generation, if any, `earlier` the transactions it stands upon, and `differences` what is
    another one than in it. An uninstall `stops` services, leaves the state data in `keep` alone, and `removes` the rest
    of it; of the data in `copies` a copy is taken while the services `halts` do not run. `knowledge` is what
    documentation says about it, and whether the manifest says the same.
    """

    integration: str
    action: str
    version: str
    description: str
    manifest_hash: str
    parameters: dict[str, Any]
    parameter_hash: str
    facts: dict[str, Any]
    template: str
    folder: str
    context: dict[str, Any]
    files: list[dict[str, Any]]
    services: list[dict[str, Any]]
    checks: list[dict[str, Any]]
    negative_checks: list[dict[str, Any]]
    state_data: list[dict[str, Any]]
    effects: list[dict[str, Any]]
    requires: list[str]
    required_by: list[str]
    stops: list[str]
    keep: list[str]
    removes: list[str]
    installed: dict[str, Any] | None
    earlier: list[str]
    differences: dict[str, Any] | None
    soak_s: float
    multiline: list[str]
    network: bool
    copies: list[str] = field(default_factory=list)
    halts: list[dict[str, Any]] = field(default_factory=list)
    setup: dict[str, Any] = field(default_factory=dict)
    knowledge: list[dict[str, Any]] = field(default_factory=list)


class KnowledgeAgent:
    """Answers from manifests, the target itself, and history."""

    name = "knowledge"

    def __init__(
        self, registry: Registry, targets: TargetRegistry, history: History, known: Documented | None = None
    ) -> None:
        self._registry = registry
        self._known = known
        self._targets = targets
        self._history = history
        self._runs = RunLocator(history, registry)

    def verbs(self) -> Mapping[str, Verb]:
        """lookup, locate, requested, prunable, inverse."""
        return {
            "lookup": Verb(LookupRequest, LookupReply, self._reading(self._lookup)),
            "locate": Verb(LocateRequest, LocateReply, self._reading(self._locate)),
            "requested": Verb(RequestedRequest, RequestedReply, self._requested),
            "prunable": Verb(PrunableRequest, PrunableReply, self._prunable),
            "inverse": Verb(InverseRequest, InverseReply, self._inverse),
        }

    def _reading(self, handler: VerbHandler) -> VerbHandler:
        async def handle(request: Any, message: Message) -> tuple[Answer | Reply, Mapping[str, Any]]:  # Any: the verb's
            async with self._history.reading():
                return await handler(request, message)

        return handle

    # -- lookup ------------------------------------------------------------------------------------------------------

    async def _lookup(self, request: LookupRequest, _: Message) -> tuple[Answer, Mapping[str, Any]]:
        known = self._registry.brief(request.integration)
        target = self._targets.get(request.target)
        generations = await self._history.generations(request.target, known.name)
        installed = generations[0] if generations else None
        await self._refuse(request, known, installed)
        if installed is None and request.action in {"install", "plan"}:
            target.expect_capture()
        bound, facts = await self._bound_beside(target, request, known, installed)
        action = manifest_action(known, request.action)
        purge = request.purge if request.action == "uninstall" else None
        parts = resolved_parts(self._registry, request.integration, action, bound["parameters"], facts, purge=purge)
        composed = await self._composed(request, known.name, facts, installed, parts)
        copies = copied_parts(parts["state_data"], request.action, purge=request.purge) if installed else []
        reply = LookupReply(
            integration=known.name,
            action=request.action,
            version=known.version,
            description=known.description,
            manifest_hash=known.hash,
            parameters=bound["parameters"],
            parameter_hash=bound["hash"],
            facts=plain(facts),
            required_by=request.required_by,
            installed=plain(installed) if installed else None,
            earlier=await self._earlier(installed) if installed else [],
            differences=differences(known, bound["parameters"], installed) if installed else None,
            soak_s=known.upgrade.soak if request.action == "upgrade" else 0.0,
            multiline=[f"parameters.{name}" for name, spec in known.parameters.items() if spec.multiline],
            network=known.actions.get(action, False),
            knowledge=await documented(self._known, known.name, parts),
            copies=copies,
            halts=parts["services"] if copies else [],
            **parts,
        )
        # What a rollback of the run needs to know later, when the manifest may be another one.
        kept = {name: getattr(reply, name) for name in _KEPT}
        kept |= {"required_by": request.required_by} if request.required_by else {}
        kept |= {"composed": composed} if composed else {}
        kept |= {"knowledge": reply.knowledge} if reply.knowledge else {}
        return reply, _subject(known.name, known.version, kept)

    async def _bound_beside(
        self, target: Target, request: LookupRequest, known: Brief, installed: Generation | None
    ) -> tuple[Mapping[str, Any], TargetFacts]:
        """Give the parameters that hold, with their hash, and the facts: the target is asked while they are judged."""
        asking = asyncio.create_task(target.facts(), name="facts")
        try:
            await asyncio.sleep(0)  # so that it is asked
            given = given_parameters(
                "verify" if request.required_by else request.action, known.parameters, request.parameters, installed
            )
            if self._known is not None and request.action in {"install", "plan"}:
                given = await accepted_parameters(self._known, known.name) | given
            return bound_parameters(self._registry, request.integration, given), await asking
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _composed(
        self,
        request: LookupRequest,
        name: str,
        facts: TargetFacts,
        installed: Generation | None,
        parts: dict[str, Any],
    ) -> dict[str, Any]:
        """Compose what no template gives, into `parts`; gives what it was composed of."""
        if parts["template"] or request.action == "verify":
            return {}
        from workflow_agent.agents.composed import composed_parts  # noqa: PLC0415  # late: few have no template

        earlier = await subject_of(self._history, installed.run_id, name) if installed else {}
        found = await composed_parts(self._known, name, request.action, facts, earlier)
        parts["template"] = found["template"]
        parts["context"] = {"packages": found["packages"], **parts["context"]}
        written = {file["path"] for file in parts["files"]}
        sources = [one for one in found["sources"] if one["fact"] != "content" or one["value"] in written]
        parts["setup"] = {**parts["setup"], "sources": sources}
        return {"packages": found["packages"], "sources": sources}

    async def _earlier(self, installed: Generation) -> list[str]:
        """List the transactions of the generations that followed each other up to this one, newest first."""
        every = await self._history.generations(installed.target, installed.integration, live_only=False)
        found, later = [], installed.run_id
        for generation in every:
            if generation.ended_by == later and generation.run_id != later:
                later = generation.run_id
                found += [generation.transaction] if generation.transaction else []
        return found

    async def _refuse(self, request: LookupRequest, manifest: Brief, installed: Generation | None) -> None:
        """Refuse an action that what is installed does not allow."""
        refuse_not_installed(manifest, request.action, request.target, installed)
        if request.action == "upgrade" and installed is not None:
            refuse_upgrade(manifest, installed)
        if request.action != "uninstall" and not request.required_by:
            await self._refuse_together(request, manifest)
        if request.action == "uninstall":
            needed_by = [
                generation.integration
                for generation in await self._history.generations(request.target)
                if manifest.name in await self._runs.required_by(generation)
            ]
            refuse_required(manifest.name, request.target, needed_by)

    async def _refuse_together(self, request: LookupRequest, manifest: Brief) -> None:
        """Refuse what cannot be there together: among what it requires, and with what is installed."""
        if request.action == "verify" or not (manifest.requires or manifest.conflicts):
            return
        from workflow_agent.integrations import requirements_of  # noqa: PLC0415  # late: few require anything

        required = requirements_of(manifest, self._registry.brief)
        coming = [manifest, *(self._registry.brief(one.name) for one in required)]
        excluded = {other: one.name for one in coming for other in one.conflicts}
        for generation in await self._history.generations(request.target):
            there = generation.integration
            if there in excluded:
                raise ConflictError(
                    f"`{excluded[there]}` cannot be installed together with `{there}`",
                    where=manifest.name,
                    cause=f"run {generation.run_id} installed `{there}` on `{request.target}`",
                    state="nothing was changed",
                    hint=f"first `workflow-agent uninstall {there}`",
                )

    # -- requested ---------------------------------------------------------------------------------------------------

    async def _requested(self, request: RequestedRequest, _: Message) -> tuple[Answer, Mapping[str, Any]]:
        target = self._targets.get(request.target)
        reply = await requested_services(target, request)
        kept = {"script": request.script, "services": reply.services, "left": reply.left}
        # Nothing is changed so far; a commit that changes something says so.
        return reply, _subject(None, None, kept) | {"_changed": False}

    # -- prunable ----------------------------------------------------------------------------------------------------

    async def _prunable(self, request: PrunableRequest, message: Message) -> tuple[Answer, Mapping[str, Any]]:
        target = self._targets.get(request.target)
        if message.run_id is not None:  # nobody rolls anything back between the choice and its end
            await target.acquire(message.run_id, wait_s=request.wait_s)
        return await what_to_prune(self._history, target, request), {"_changed": False}

    # -- inverse -----------------------------------------------------------------------------------------------------

    async def _inverse(self, request: InverseRequest, message: Message) -> tuple[Answer, Mapping[str, Any]]:
        run = await self._runs.run_to_undo(LocateRequest(run=request.run, target=request.target))
        source, direction = await source_of(self._history, run)
        if direction == "redo" or source["workflow"] == LOGICAL:
            raise ConflictError(
                f"run {run['run_id']} is a rollback: it is taken back exactly, or not at all",
                run_id=run["run_id"],
                state="nothing was changed",
                hint="leave `--logical` out",
            )
        target = self._targets.get(request.target)
        if message.run_id is not None:
            await target.acquire(message.run_id, wait_s=request.wait_s)
        parts = await parts_of(self._history, source)
        await self._runs.refuse_uninstalled(source, source["integration"])
        await self._runs.refuse_required(source, [item.integration for item in parts])
        is_first = await self._runs.before(source, source["integration"]) is None
        more: dict[str, Any] = {"is_first": is_first, "allow": request.allow}
        reply = await inverse_of(self._history, self._registry, target, source, parts, **more)
        return reply, _subject(source["integration"], source["version"])

    # -- locate ------------------------------------------------------------------------------------------------------

    async def _locate(self, request: LocateRequest, _: Message) -> tuple[Answer, Mapping[str, Any]]:
        source, reply = await self._runs.locate(request)
        return reply, _subject(source["integration"], source["version"])


def _subject(integration: str | None, version: str | None, kept: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Tell history what the run is about, by its real name."""
    data = {"integration": integration, "version": version, **(kept or {})}
    return {"_records": [{"kind": RecordKind.SUBJECT, "data": data}]}
