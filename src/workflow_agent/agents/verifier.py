"""The verifier agent: looks at the world, and says whether it is as claimed."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from dataclasses import field
from typing import TYPE_CHECKING, Annotated, Any

from workflow_agent.agents.comparing import accuracy_record, find_drift
from workflow_agent.agents.masking import masked
from workflow_agent.agents.red_checks import failure_of, red_of, trouble_of_services
from workflow_agent.agents.secret_checks import check_with_secrets, hint_of, sort_checks
from workflow_agent.agents.serving import Answer, Question, Verb, plain
from workflow_agent.model.errors import ConflictError, DriftFoundError, NotFoundError
from workflow_agent.model.event import RecordKind
from workflow_agent.model.exact import Within
from workflow_agent.model.system import Check, CheckResult, CheckStatus, Generation  # read by their models
from workflow_agent.security.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.model.errors import ServiceFailedError
    from workflow_agent.model.message import Message
    from workflow_agent.model.ports import Clock, Target, TargetRegistry

__all__ = [
    "AbsentReply",
    "AbsentRequest",
    "CurrentReply",
    "CurrentRequest",
    "NewGeneration",
    "VerifierAgent",
    "VerifyReply",
    "VerifyRequest",
]

#: Kinds of checks that hold whether or not a service runs.
_STATIC_KINDS = frozenset({"file", "package", "command"})
#: Kinds of checks that show what a service does; the others show that it is there.
_SHOWING_KINDS = frozenset({"http", "metric", "tcp", "snmp", "log", "command"})
#: To see that something is there takes one look; not to see it is confirmed by another.
_GLANCE_S = 0.5
#: What works answers now; what has only just been started is waited for elsewhere.
_NOW_S = 4.0
#: Between two looks while something new soaks.
_SOAK_PAUSE_S = 1.0
#: Paths that a sentence names.
_NAMED = 5


class NewGeneration(Question):
    """What is installed once everything holds."""

    integration: str
    parameters: dict[str, Any]
    parameter_hash: str
    manifest_version: str
    manifest_hash: str


class VerifyRequest(Question):
    """Checks to hold on a target, and a transaction (with `earlier` ones) whose paths must all be there.

    Once everything holds, `generation` is recorded as live, the generation of the run `ends` as uninstalled, and the
    run `redoes`, which was rolled back, as in force again. Without `started` only what does not need a running service
    is looked at. For `soak_s` seconds more everything must hold, at every look. With `stays` the services that the
    transaction started must still run by then, and have run for a while (settings ``timeouts.stay_s`` and
    ``stay_proven_s``). With
    `without_secrets` the checks that need secrets which the run has not are left out; else they are no pass. With
    `drift` every path of the transactions is compared with what they left there, but for `state_data`. Where
    what is `installed` is the same, and the commit had no `operations` (what was repaired is a service that had
    stopped), that stays live: nothing new is installed. With `notice` it is compared what the started services
    changed beside files. With `planned`, how many paths the plan named, it is recorded where the target is otherwise
    than the plan said; the paths `theirs` were left out of it.
    """

    target: str
    checks: list[Check]
    started: bool = True
    transaction: str | None = None
    earlier: list[str] = field(default_factory=list)
    generation: NewGeneration | None = None
    redoes: str | None = None
    ends: str | None = None
    soak_s: Annotated[float, Within(ge=0, le=3600)] = 0.0
    stays: bool = False
    without_secrets: bool = False
    drift: bool = False
    state_data: list[dict[str, Any]] = field(default_factory=list)
    integration: str | None = None
    installed: Generation | None = None
    operations: int | None = None
    notice: bool = False
    planned: int | None = None
    theirs: list[str] = field(default_factory=list)


class VerifyReply(Answer):
    """Results, none of them red. `left_out`: checks that need secrets which the run has not, ``{id, secrets}``.

    `drift` says of a run that looked for it what was compared: none was found.
    """

    checks: list[dict[str, Any]]
    left_out: list[dict[str, Any]] = field(default_factory=list)
    drift: dict[str, Any] | None = None


class CurrentRequest(Question):
    """Ask whether an installed generation is what is wanted, and works; only an `upgrade` takes another manifest.

    What others of the run require (`required_by`) is wanted as it is, whoever installed it, as long as it works. Paths
    of its transaction have to be there, and of the `earlier` ones it stands upon. A `repair` looks for drift as well.
    """

    action: str = "install"
    target: str
    integration: str = ""
    installed: Generation | None
    earlier: list[str] = field(default_factory=list)
    state_data: list[dict[str, Any]] = field(default_factory=list)
    required_by: list[str] = field(default_factory=list)
    version: str
    manifest_hash: str
    parameter_hash: str
    checks: list[Check]


class CurrentReply(Answer):
    """`unchanged` or the reason why not: manifest, parameters, missing-paths, checks, absent.

    What works without having been installed by us is `adopted`. The paths that drifted are among the `missing`, but for
    those that were to be gone.
    """

    unchanged: bool
    adopted: bool = False
    reason: str | None
    missing: list[str]
    checks: list[dict[str, Any]]
    drift: list[dict[str, Any]] = field(default_factory=list)


class AbsentRequest(Question):
    """Ask whether there is anything to uninstall; `checks` hold when there is not."""

    target: str
    installed: Generation | None
    checks: list[Check]


class AbsentReply(Answer):
    """`unchanged` where nothing is there; `adopted` where something is that we did not install."""

    unchanged: bool
    adopted: bool
    checks: list[dict[str, Any]]


class VerifierAgent:
    """Carries checks out through the target's prober; a check that cannot be carried out is no pass."""

    name = "verifier"

    def __init__(
        self,
        targets: TargetRegistry,
        clock: Clock,
        vault: Vault | None = None,
        *,
        stay_s: float = 0.0,
        stay_proven_s: float = 0.0,
        check_s: float = math.inf,
    ) -> None:
        self._targets = targets
        self._clock = clock
        self._vault = vault or Vault()
        self._stay_s = stay_s
        self._stay_proven_s = stay_proven_s
        self._check_s = check_s

    def verbs(self) -> Mapping[str, Verb]:
        """verify, current, absent."""
        verbs = {
            "verify": Verb(VerifyRequest, VerifyReply, self._verify),
            "current": Verb(CurrentRequest, CurrentReply, self._current),
            "absent": Verb(AbsentRequest, AbsentReply, self._absent),
        }
        return masked(self._vault, verbs)

    async def _verify(self, request: VerifyRequest, message: Message) -> tuple[Answer, Mapping[str, Any]]:
        target = self._targets.get(request.target)
        checks = _within(request.checks, self._check_s)
        if not request.started:
            checks = [check for check in checks if check.kind in _STATIC_KINDS and not check.spec.get("live")]
        left_out: list[dict[str, Any]] = []
        if request.without_secrets:
            lacking = sort_checks(checks, self._vault, message.run_id).lacking
            left_out = [{"id": check, "secrets": sorted(names)} for check, names in lacking.items()]
            checks = [check for check in checks if check.id not in lacking]
        results = await check_with_secrets(target, checks, self._vault, message.run_id)
        if request.soak_s and request.started:
            results = await self._soaked(request.soak_s, target, checks, results, message.run_id)
        trouble, missing, told = await self._once_checked(target, request, results)
        data = [plain(result) for result in results]
        failed = red_of(results)
        about = {"integration": request.generation.integration} if request.generation else {}
        records = [{"kind": RecordKind.CHECK, "data": item | about} for item in data]
        drift: dict[str, Any] | None = None
        if request.drift:
            found = await find_drift(target, request.transaction, request.earlier, request.state_data)
            drift = {"integration": request.integration, **found}
            records.append({"kind": RecordKind.DRIFT, "data": drift})
        if failed or missing or trouble:
            error = failure_of(request.target, failed, missing, records, trouble)
            error.hint = hint_of(checks, self._vault, message.run_id) or error.hint
            raise error
        if drift is not None and drift["items"]:
            raise _drifted(request, drift["items"], records)
        records += told
        records += self._declared(request, message)
        return VerifyReply(checks=data, left_out=left_out, drift=drift), {"_records": records}

    async def _once_checked(
        self, target: Target, request: VerifyRequest, results: Sequence[CheckResult]
    ) -> tuple[ServiceFailedError | None, list[str], list[dict[str, Any]]]:
        """Give trouble of the services, paths that are missing, and what history keeps if there is neither."""
        transaction = request.transaction
        if not transaction:
            return None, [], []
        failed = red_of(results)
        telling = None if failed else asyncio.create_task(_told(target, request, transaction), name="tell of it")
        trouble: ServiceFailedError | None = None
        try:
            if request.stays and request.started:
                shown = any(result.kind in _SHOWING_KINDS for result in results)
                for_s = self._stay_proven_s if shown else self._stay_s
                trouble = await trouble_of_services(target, transaction, 0.0 if failed else for_s)
            missing = [] if request.drift else await target.missing_paths(transaction, earlier=request.earlier)
        finally:
            if telling is not None:
                await asyncio.gather(telling, return_exceptions=True)
        return trouble, missing, telling.result() if telling is not None and not trouble and not missing else []

    async def _soaked(
        self, soak_s: float, target: Target, checks: list[Check], results: list[CheckResult], run_id: str | None
    ) -> list[CheckResult]:
        """Look again and again until the time is over; gives the first results that are red, else the last ones."""
        clock = asyncio.get_running_loop().time
        end = clock() + soak_s
        while (left := end - clock()) > 0 and not red_of(results):
            await asyncio.sleep(min(_SOAK_PAUSE_S, left))
            results = await check_with_secrets(target, _glances(checks), self._vault, run_id)
        return results

    def _declared(self, request: VerifyRequest, message: Message) -> list[dict[str, Any]]:
        """Give the records of what is so once everything holds."""
        records: list[dict[str, Any]] = []
        if request.redoes is not None:
            records.append({"kind": RecordKind.REDONE, "data": {"run": request.redoes}})
        if request.ends is not None:
            ended = {"generation": request.ends, "reason": "uninstalled"}
            records.append({"kind": RecordKind.GENERATION_ENDED, "data": ended})
        if request.generation is not None and not _is_the_same(request):
            generation = request.generation.model_dump(mode="json") | {
                "target": request.target,
                "run_id": message.run_id,
                "live": True,
                "transaction": request.transaction,
                "created_at": self._clock.now(),
            }
            records.append({"kind": RecordKind.GENERATION, "data": generation})
        return records

    async def _current(self, request: CurrentRequest, message: Message) -> tuple[Answer, Mapping[str, Any]]:
        installed = request.installed
        if installed is None:
            return await self._found(request)
        if installed.manifest_hash != request.manifest_hash and not request.required_by:
            if request.action == "upgrade":
                return CurrentReply(unchanged=False, reason="manifest", missing=[], checks=[]), {}
            raise _outdated(installed, request)
        if installed.parameter_hash != request.parameter_hash and not request.required_by:
            return CurrentReply(unchanged=False, reason="parameters", missing=[], checks=[]), {}
        target = self._targets.get(request.target)
        missing = await self._missing(target, installed, request.earlier)
        drift: list[dict[str, Any]] = []
        if request.action == "repair" and installed.transaction:
            found = await find_drift(target, installed.transaction, request.earlier, request.state_data)
            drift = found["items"]
            missing = sorted({*missing, *(item["path"] for item in drift if item["state"] != "returned")})
        results: Sequence[CheckResult] = []
        if not missing:
            results = await check_with_secrets(target, _within(request.checks, _NOW_S), self._vault, message.run_id)
        data = [plain(result) for result in results]
        reason = "missing-paths" if missing else "checks" if red_of(results) else None
        reply = CurrentReply(unchanged=reason is None, reason=reason, missing=missing, checks=data, drift=drift)
        if reason is not None:
            if installed.manifest_hash != request.manifest_hash:
                raise _outdated(installed, request)
            broken = reply.model_dump(mode="json", exclude=frozenset({"unchanged", "adopted"}))
            broken["integration"] = installed.integration
            return reply, {"_records": [{"kind": RecordKind.BROKEN, "data": broken}]}
        records = [{"kind": RecordKind.CHECK, "data": item | {"integration": installed.integration}} for item in data]
        return reply, {"_records": records, "_status": "unchanged"}

    async def _found(self, request: CurrentRequest) -> tuple[Answer, Mapping[str, Any]]:
        """Look whether something works that we did not install."""
        results = await self._targets.get(request.target).check(_within(request.checks, _GLANCE_S))
        data = [plain(result) for result in results]
        if red_of(results) or not any(result.status is CheckStatus.PASSED for result in results):
            return CurrentReply(unchanged=False, reason="absent", missing=[], checks=data), {}
        about = {"integration": request.integration}
        records = [{"kind": RecordKind.CHECK, "data": item | about} for item in data]
        adopted = about | {"version": request.version, "required_by": request.required_by}
        records.append({"kind": RecordKind.ADOPTED, "data": adopted})
        reply = CurrentReply(unchanged=True, adopted=True, reason=None, missing=[], checks=data)
        return reply, {"_records": records, "_status": "unchanged"}

    async def _absent(self, request: AbsentRequest, _: Message) -> tuple[Answer, Mapping[str, Any]]:
        if request.installed is not None:
            return AbsentReply(unchanged=False, adopted=False, checks=[]), {}
        results = await self._targets.get(request.target).check(_within(request.checks, _GLANCE_S))
        data = [plain(result) for result in results]
        if red_of(results):
            return AbsentReply(unchanged=False, adopted=True, checks=data), {}
        records = [{"kind": RecordKind.CHECK, "data": item} for item in data]
        reply = AbsentReply(unchanged=True, adopted=False, checks=data)
        return reply, {"_records": records, "_status": "unchanged", "_changed": False}

    @staticmethod
    async def _missing(target: Target, installed: Generation, earlier: Sequence[str]) -> list[str]:
        if not installed.transaction:
            return []
        try:
            return await target.missing_paths(installed.transaction, earlier=earlier)
        except NotFoundError:
            return []  # its before-images were pruned: the checks decide


async def _told(target: Target, request: VerifyRequest, transaction: str) -> list[dict[str, Any]]:
    """Give what history keeps of a transaction that works: what its services changed, how near its plan came."""
    found = await asyncio.gather(_noticed(target, request, transaction), _measured(target, request, transaction))
    return [record for records in found for record in records]


async def _noticed(target: Target, request: VerifyRequest, transaction: str) -> list[dict[str, Any]]:
    """Give the record of what started services changed beside files."""
    if not (request.notice and request.started):
        return []
    items = [dict(one) for one in await target.noticed(transaction)]
    return [{"kind": RecordKind.RUNNING, "data": {"items": items, "stays": []}}] if items else []


async def _measured(target: Target, request: VerifyRequest, transaction: str) -> list[dict[str, Any]]:
    """Give the record of how near the plan came."""
    if request.planned is None:
        return []
    about: dict[str, Any] = {"planned": request.planned, "theirs": request.theirs, "state_data": request.state_data}
    about["integration"] = request.generation.integration if request.generation else None
    return [await accuracy_record(target, transaction, **about)]


def _is_the_same(request: VerifyRequest) -> bool:
    """Whether what is installed already is what is declared, and nothing was committed."""
    installed, declared = request.installed, request.generation
    if installed is None or declared is None or request.operations != 0:
        return False
    return (installed.manifest_hash, installed.parameter_hash) == (declared.manifest_hash, declared.parameter_hash)


def _drifted(
    request: VerifyRequest, items: Sequence[Mapping[str, Any]], records: list[dict[str, Any]]
) -> DriftFoundError:
    named = [f"{item['path']} ({item['state']})" for item in items]
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    there = "" if request.target == "host" else f" --target {request.target}"
    return DriftFoundError(
        f"{len(named)} {'path' if len(named) == 1 else 'paths'} drifted: {', '.join(named[:_NAMED])}{more}",
        where=f"{request.target} › {items[0]['path']}",
        state="nothing was changed",
        hint=f"`workflow-agent repair {request.integration}{there} --plan` shows what a repair would bring back",
        details={"paths": [item["path"] for item in items], "_records": records},
    )


def _outdated(installed: Generation, request: CurrentRequest) -> ConflictError:
    before = installed.manifest_version
    return ConflictError(
        f"version {before} of `{installed.integration}` is installed, this is version {request.version}"
        if before != request.version
        else f"the manifest of `{installed.integration}` is another one than when it was installed",
        state="nothing was changed",
        hint=f"`workflow-agent upgrade {installed.integration}`",
    )


def _glances(checks: Sequence[Check]) -> list[Check]:
    """Let checks be looked at once; a command may take as long as one that works takes on a busy machine."""
    return [_within([check], _NOW_S if check.kind == "command" else _GLANCE_S)[0] for check in checks]


def _within(checks: Sequence[Check], limit_s: float) -> list[Check]:
    """Let checks be polled no longer than this."""
    return [dataclasses.replace(check, timeout_s=min(check.timeout_s, limit_s)) for check in checks]
