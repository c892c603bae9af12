"""The knowledge agent: what is known about an integration, a target, and an earlier run."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from workflow_agent.agents.documented import accepted_parameters, documented
from workflow_agent.agents.lifecycle import (
    differences,
    given_parameters,
    manifest_action,
    refuse_not_installed,
    refuse_required,
    refuse_upgrade,
)
from workflow_agent.agents.logical import LOGICAL, InverseReply, InverseRequest, inverse_of
from workflow_agent.agents.manifest_answers import bound_parameters, resolved_parts
from workflow_agent.agents.parts import parts_of, source_of, subject_of
from workflow_agent.agents.pruning import PrunableReply, PrunableRequest, refuse_pruned, what_to_prune
from workflow_agent.agents.requested import RequestedReply, RequestedRequest, requested_services
from workflow_agent.agents.serving import Answer, Question, Verb, plain
from workflow_agent.model.errors import ConflictError, NotFoundError
from workflow_agent.model.event import RecordKind
from workflow_agent.model.exact import Within

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.agents.documented import Documented
    from workflow_agent.agents.serving import Reply, VerbHandler
    from workflow_agent.integrations import Brief, Registry
    from workflow_agent.model.message import Message
    from workflow_agent.model.ports import History, TargetRegistry
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
    of it. `knowledge` is what documentation says about it, and whether the manifest says the same.
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
    setup: dict[str, Any] = field(default_factory=dict)
    knowledge: list[dict[str, Any]] = field(default_factory=list)


class LocateRequest(Question):
    """Ask what a rollback of a run means; an empty `run` is the newest that can be rolled back on the target.

    A run that installed requirements too has several transactions; `part` counts from the newest.
    """

    run: str = ""
    target: str
    part: Annotated[int, Within(ge=0)] = 0


class LocateReply(Answer):
    """Which transaction goes back (`undo`) or comes again (`redo`), and how to look whether it did.

    `run` is the run that is taken back, `source` the one whose transaction it is about, `undoes` both where a
    rollback ends more than one run. `checks_after` hold when it is undone: that the integration is gone, or that what
    was installed before works again, where that had been started (`started_after`). Where the source is an uninstall
    (`leaving`), a redo `stops` its services first; what they wrote below `owned` goes with it.

    Of several parts, one is `first` and asks for all of them (`also` names the others), and the last one says that runs
    are undone (`ends`) or in force again (`redoes`).
    """

    run: str
    source: str
    undoes: list[str]
    ends: list[str]
    redoes: str | None
    first: bool
    also: list[str]
    direction: str
    transaction: str
    integration: str | None
    version: str | None
    script: str | None
    target: str
    services: list[dict[str, Any]]
    effects: list[dict[str, Any]]
    checks: list[dict[str, Any]]
    checks_after: list[dict[str, Any]]
    started_after: bool
    keep: list[str]
    leaving: bool
    stops: list[dict[str, Any]]
    owned: list[str]
    generation: dict[str, Any] | None
    tier: str


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
        given = given_parameters(
            "verify" if request.required_by else request.action, known.parameters, request.parameters, installed
        )
        if self._known is not None and request.action in {"install", "plan"}:
            given = await accepted_parameters(self._known, known.name) | given
        bound = bound_parameters(self._registry, request.integration, given)
        facts = await target.facts()
        action = manifest_action(known, request.action)
        purge = request.purge if request.action == "uninstall" else None
        parts = resolved_parts(self._registry, request.integration, action, bound["parameters"], facts, purge=purge)
        composed = await self._composed(request, known.name, facts, installed, parts)
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
            **parts,
        )
        if installed is None and request.action in {"install", "plan"}:
            target.expect_capture()
        # What a rollback of the run needs to know later, when the manifest may be another one.
        kept = {name: getattr(reply, name) for name in _KEPT}
        kept |= {"required_by": request.required_by} if request.required_by else {}
        kept |= {"composed": composed} if composed else {}
        kept |= {"knowledge": reply.knowledge} if reply.knowledge else {}
        return reply, _subject(known.name, known.version, kept)

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
        parts["setup"] = {**parts["setup"], "sources": found["sources"]}
        return {"packages": found["packages"], "sources": found["sources"]}

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
                if manifest.name in await self._required_by(generation)
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

    async def _required_by(self, generation: Generation) -> list[str]:
        """List what an installed integration requires: as it was known when it was installed."""
        known = (await subject_of(self._history, generation.run_id, generation.integration)).get("requires")
        if known is None and self._registry.knows(generation.integration):
            known = self._registry.brief(generation.integration).requires
        return list(known or ())

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
        run = await self._run_to_undo(LocateRequest(run=request.run, target=request.target))
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
        await self._refuse_uninstalled(source, source["integration"])
        await self._refuse_required(source, [item.integration for item in parts])
        is_first = await self._before(source, source["integration"]) is None
        reply = await inverse_of(self._history, self._registry, target, source, parts, is_first=is_first)
        return reply, _subject(source["integration"], source["version"])

    # -- locate ------------------------------------------------------------------------------------------------------

    async def _locate(self, request: LocateRequest, _: Message) -> tuple[Answer, Mapping[str, Any]]:
        run = await self._run_to_undo(request)
        source, direction = await source_of(self._history, run)
        undo = direction == "undo"
        if undo and source["undone_by"]:
            raise _undone_already(source)
        refuse_pruned(source, undo=undo)
        logical = source["workflow"] == LOGICAL  # it has a transaction of its own, which ended another run
        if logical and not undo:
            raise _once_only(source)
        parts = await parts_of(self._history, source)
        part = parts[request.part]
        lookup, leaving = part.subject, logical or source["action"] == "uninstall"
        if undo:
            await self._refuse_uninstalled(source, part.integration)
            await self._refuse_required(source, [item.integration for item in parts])
        before = await self._before(source, part.integration)
        if logical:
            before = await self._history.run(source["undoes"])
        after: Mapping[str, Any] = {"checks": lookup.get("negative_checks", [])}
        if before is not None:
            after = await subject_of(self._history, before["run_id"], part.integration)
        if part.broken:
            after = {}  # it did not work then either
        undoes = list(dict.fromkeys([source["run_id"], run["run_id"]]))
        first, last = (0, len(parts) - 1) if undo else (len(parts) - 1, 0)
        return (
            LocateReply(
                run=run["run_id"],
                source=source["run_id"],
                undoes=undoes,
                ends=undoes if undo and request.part == last else [],
                redoes=_comes_again(source, undo=undo, logical=logical) if request.part == last else None,
                first=request.part == first,
                also=[item.integration for item in parts if item is not part and item.integration],
                direction=direction,
                transaction=part.transaction,
                integration=part.integration,
                version=part.version,
                script=lookup.get("script"),
                target=request.target,
                services=lookup.get("services", []),
                effects=lookup.get("effects", []),
                checks=lookup.get("checks", []),
                checks_after=after.get("checks", []),
                started_after=before is None or bool(before["inputs"].get("start", True)),
                keep=[item["path"] for item in lookup.get("state_data", []) if item["policy"] == "keep"],
                leaving=leaving,
                stops=lookup.get("services", []) if leaving else [],
                owned=lookup.get("removes", []) if leaving else [],
                generation=dict(part.generation) if part.generation else None,
                tier=source["tier"] or "exact",
            ),
            _subject(source["integration"], source["version"]),
        )

    async def _run_to_undo(self, request: LocateRequest) -> dict[str, Any]:
        if not request.run:
            latest = await self._history.latest_transaction(request.target)
            if latest is None:
                raise NotFoundError(
                    f"there is nothing to roll back on `{request.target}`",
                    hint="`workflow-agent history` lists what was done",
                )
            return await self._history.run(latest["run_id"])
        run = await self._history.run(await self._history.resolve(request.run))
        if run["undone_by"]:
            raise _undone_already(run)
        if run["status"] not in {"succeeded", "needs-attention"} or not run["changed"]:
            raise ConflictError(
                f"run {run['run_id']} changed nothing that could be rolled back ({run['status']})",
                run_id=run["run_id"],
                hint="`workflow-agent history` lists what was done",
            )
        if run["target"] != request.target:
            raise ConflictError(
                f"run {run['run_id']} was on `{run['target']}`, not on `{request.target}`",
                hint=f"add `--target {run['target']}`",
            )
        return run

    async def _refuse_required(self, source: Mapping[str, Any], integrations: Sequence[str | None]) -> None:
        """Refuse to take something back that a later run's installation requires."""
        live = await self._history.generations(source["target"])
        own = {generation.integration for generation in live if generation.run_id == source["run_id"]}
        for name in own.intersection(integrations):
            if await self._before(source, name) is not None:
                continue  # what was there before stays
            others = [other for other in live if other.run_id != source["run_id"]]
            needed_by = [other for other in others if name in await self._required_by(other)]
            if needed_by:
                names = ", ".join(other.integration for other in needed_by)
                raise ConflictError(
                    f"`{name}`, which run {source['run_id']} installed, is required by {names}",
                    run_id=source["run_id"],
                    state="nothing was changed",
                    hint=f"first `workflow-agent rollback {needed_by[0].run_id}`",
                    details={"required_by": [other.integration for other in needed_by]},
                )

    async def _refuse_uninstalled(self, source: Mapping[str, Any], integration: str | None) -> None:
        """Refuse to take an installation back that an uninstall stands upon."""
        if integration is None:
            return
        for generation in await self._history.generations(source["target"], integration, live_only=False):
            ended_by = generation.ended_by if generation.run_id == source["run_id"] else None
            if ended_by is None or (await self._history.run(ended_by))["action"] != "uninstall":
                continue
            raise ConflictError(
                f"what run {source['run_id']} installed was uninstalled by run {ended_by}",
                run_id=source["run_id"],
                state="nothing was changed",
                hint=f"first `workflow-agent rollback {ended_by}`",
                details={"run_id": ended_by},
            )

    async def _before(self, source: Mapping[str, Any], integration: str | None) -> dict[str, Any] | None:
        """Find the run whose installation of an integration is in force again without `source`."""
        if integration is None:
            return None
        generations = await self._history.generations(source["target"], integration, live_only=False)
        for generation in generations:  # newest first
            # Ids sort by time; what ended otherwise meanwhile does not come back.
            if generation.run_id < source["run_id"] and not await self._ended_between(generation, source["run_id"]):
                run = await self._history.run(generation.run_id)
                if not run["undone_by"]:
                    return run
        return None

    async def _ended_between(self, generation: Generation, run_id: str) -> bool:
        """Tell whether something else than the run `run_id` uninstalled what was there before it."""
        ended_by = generation.ended_by
        if ended_by is None or ended_by >= run_id:
            return False
        return bool((await self._history.run(ended_by))["action"] == "uninstall")


def _comes_again(source: Mapping[str, Any], *, undo: bool, logical: bool) -> str | None:
    """Name the run that is in force again afterwards."""
    if not undo:
        return str(source["run_id"])
    return str(source["undoes"]) if logical else None


def _once_only(source: Mapping[str, Any]) -> ConflictError:
    return ConflictError(
        f"run {source['run_id']} was a logical rollback: it does not come again",
        run_id=source["run_id"],
        state="nothing was changed",
        hint=f"`workflow-agent rollback {source['undoes']} --logical` does it anew",
    )


def _undone_already(run: Mapping[str, Any]) -> ConflictError:
    by = run["undone_by"]
    again = f"to have it again: `workflow-agent rollback {by}`"
    return ConflictError(
        f"run {run['run_id']} was rolled back already" + (f", by run {by}" if by != run["run_id"] else ""),
        run_id=run["run_id"],
        hint=again if by != run["run_id"] else "it took itself back when it failed",
    )


def _subject(integration: str | None, version: str | None, kept: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Tell history what the run is about, by its real name."""
    data = {"integration": integration, "version": version, **(kept or {})}
    return {"_records": [{"kind": RecordKind.SUBJECT, "data": data}]}
