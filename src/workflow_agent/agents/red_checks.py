"""What the verifier says of that which does not hold: which checks, of which class, and a service's last words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from workflow_agent.agents.failure_classes import FailureClass, diagnose_checks
from workflow_agent.agents.recovery_rules import diagnose
from workflow_agent.model.errors import CheckFailedError, ServiceFailedError
from workflow_agent.model.event import RecordKind
from workflow_agent.model.status import CHECK_IS_NOT_RED
from workflow_agent.model.system import CheckStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workflow_agent.model.errors import StepFailedError
    from workflow_agent.model.ports import Target
    from workflow_agent.model.system import CheckResult

__all__ = ["failure_of", "red_of", "trouble_of_services"]

#: Paths that a sentence names.
_NAMED: Final = 5


def red_of(results: Sequence[CheckResult]) -> list[CheckResult]:
    """Give the results that are no pass, of checks that apply."""
    return [result for result in results if result.status not in CHECK_IS_NOT_RED]


async def trouble_of_services(target: Target, transaction: str, for_s: float) -> ServiceFailedError | None:
    """Say what is wrong with the services that a transaction started, `for_s` seconds after they began."""
    try:
        await target.stay(transaction, for_s=for_s)
    except ServiceFailedError as error:
        return error
    return None


def failure_of(
    target: str,
    failed: Sequence[CheckResult],
    missing: Sequence[str],
    records: list[dict[str, Any]],
    trouble: ServiceFailedError | None = None,
) -> StepFailedError:
    """Make the error of what does not hold; it carries its class (``details.failure``) and all results."""
    checks = [record["data"] for record in records if record["kind"] == RecordKind.CHECK]
    error: StepFailedError
    if trouble is not None and not failed and not missing:
        error = trouble
    else:
        made = [check for check in checks if check["status"] != CheckStatus.NOT_APPLICABLE]
        error = _of_checks(target, failed, missing, len(made))
        if trouble is not None:
            error.cause = "; ".join(filter(None, (error.cause, f"{trouble.message}: {trouble.cause}")))
    error.details |= {"checks": checks, "missing": list(missing), "_records": records}
    found = diagnose_checks(checks)
    said = diagnose(trouble.to_dict()) if trouble is not None else found
    if found.failure is FailureClass.UNKNOWN or said.failure is not FailureClass.NOT_RUNNING:
        found = said
    if found.failure is not FailureClass.UNKNOWN:
        source = found.source and found.source.value
        error.details["failure"] = {"class": found.failure.value, "source": source, "evidence": found.evidence}
    return error


def _of_checks(target: str, failed: Sequence[CheckResult], missing: Sequence[str], checked: int) -> CheckFailedError:
    names = [result.id for result in failed]
    first = failed[0] if failed else None
    return CheckFailedError(
        f"{len(names)} of {checked} checks failed: {', '.join(names)}"
        if names
        else f"{len(missing)} installed paths are missing or were replaced: {', '.join(missing[:_NAMED])}",
        where=f"{target} › {names[0] if names else missing[0]}",
        cause=f"expected {first.expected}, observed {first.observed}" if first else None,
    )
