"""The verifier agent: looks at the world, and says whether it is as claimed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.agents.serving import Reply, Request, Verb, plain
from workflow_agent.model.errors import CheckFailedError, ConflictError, NotFoundError
from workflow_agent.model.event import RecordKind
from workflow_agent.model.system import Check, CheckResult, CheckStatus, Generation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.model.message import Message
    from workflow_agent.model.ports import Clock, Target, TargetRegistry

__all__ = ["CurrentReply", "CurrentRequest", "NewGeneration", "VerifierAgent", "VerifyReply", "VerifyRequest"]

#: Kinds of checks that hold whether or not a service runs.
_STATIC_KINDS = frozenset({"file", "package", "command"})


class NewGeneration(Request):
    """What is installed once everything holds."""

    integration: str
    parameters: dict[str, Any]
    parameter_hash: str
    manifest_version: str
    manifest_hash: str


class VerifyRequest(Request):
    """Checks to hold on a target, and a transaction whose paths must all be there.

    Once everything holds, `generation` is recorded as live, and the run `redoes`, which was rolled back, as in force
    again. Without `started` only what does not need a running service is looked at.
    """

    target: str
    checks: list[Check]
    started: bool = True
    transaction: str | None = None
    generation: NewGeneration | None = None
    redoes: str | None = None


class VerifyReply(Reply):
    """Results, all passed."""

    checks: list[dict[str, Any]]


class CurrentRequest(Request):
    """Ask whether an installed generation is what is wanted, and works."""

    target: str
    installed: Generation
    version: str
    manifest_hash: str
    parameter_hash: str
    checks: list[Check]


class CurrentReply(Reply):
    """`unchanged` or the reason why not: parameters, missing-paths, checks."""

    unchanged: bool
    reason: str | None
    missing: list[str]
    checks: list[dict[str, Any]]


class VerifierAgent:
    """Carries checks out through the target's prober; a check that cannot be carried out is no pass."""

    name = "verifier"

    def __init__(self, targets: TargetRegistry, clock: Clock) -> None:
        self._targets = targets
        self._clock = clock

    def verbs(self) -> Mapping[str, Verb]:
        """verify, current."""
        return {
            "verify": Verb(VerifyRequest, VerifyReply, self._verify),
            "current": Verb(CurrentRequest, CurrentReply, self._current),
        }

    async def _verify(self, request: VerifyRequest, message: Message) -> tuple[Reply, Mapping[str, Any]]:
        target = self._targets.get(request.target)
        checks = request.checks
        if not request.started:
            checks = [check for check in checks if check.kind in _STATIC_KINDS]
        results = await target.check(checks)
        data = [plain(result) for result in results]
        failed = [result for result in results if result.status is not CheckStatus.PASSED]
        missing = await target.missing_paths(request.transaction) if request.transaction else []
        records = [{"kind": RecordKind.CHECK, "data": item} for item in data]
        if failed or missing:
            raise _failure(request.target, failed, missing, records)
        if request.redoes is not None:
            records.append({"kind": RecordKind.REDONE, "data": {"run": request.redoes}})
        if request.generation is not None:
            generation = request.generation.model_dump(mode="json") | {
                "target": request.target,
                "run_id": message.run_id,
                "live": True,
                "transaction": request.transaction,
                "created_at": self._clock.now(),
            }
            records.append({"kind": RecordKind.GENERATION, "data": generation})
        return VerifyReply(checks=data), {"_records": records}

    async def _current(self, request: CurrentRequest, _: Message) -> tuple[Reply, Mapping[str, Any]]:
        installed = request.installed
        if installed.manifest_hash != request.manifest_hash:
            before = installed.manifest_version
            raise ConflictError(
                f"version {before} of `{installed.integration}` is installed, this is version {request.version}"
                if before != request.version
                else f"the manifest of `{installed.integration}` is another one than when it was installed",
                state="nothing was changed",
                hint=f"take the installed one back first: `workflow-agent rollback {installed.run_id}`",
            )
        if installed.parameter_hash != request.parameter_hash:
            return CurrentReply(unchanged=False, reason="parameters", missing=[], checks=[]), {}
        target = self._targets.get(request.target)
        missing = await self._missing(target, installed)
        results: Sequence[CheckResult] = []
        if not missing:
            results = await target.check(request.checks)
        data = [plain(result) for result in results]
        red = any(result.status is not CheckStatus.PASSED for result in results)
        reason = "missing-paths" if missing else "checks" if red else None
        reply = CurrentReply(unchanged=reason is None, reason=reason, missing=missing, checks=data)
        if reason is not None:
            return reply, {}
        records = [{"kind": RecordKind.CHECK, "data": item} for item in data]
        return reply, {"_records": records, "_status": "unchanged", "_changed": False}

    @staticmethod
    async def _missing(target: Target, installed: Generation) -> list[str]:
        if not installed.transaction:
            return []
        try:
            return await target.missing_paths(installed.transaction)
        except NotFoundError:
            return []  # its before-images were pruned: the checks decide


def _failure(
    target: str, failed: Sequence[CheckResult], missing: Sequence[str], records: list[dict[str, Any]]
) -> CheckFailedError:
    names = [result.id for result in failed]
    first = failed[0] if failed else None
    return CheckFailedError(
        f"{len(names)} of {len(records)} checks failed: {', '.join(names)}"
        if names
        else f"{len(missing)} installed paths are missing or were replaced: {', '.join(missing[:5])}",
        where=f"{target} › {names[0] if names else missing[0]}",
        cause=f"expected {first.expected}, observed {first.observed}" if first else None,
        details={
            "checks": [record["data"] for record in records],
            "missing": list(missing),
            "_records": records,
        },
    )
