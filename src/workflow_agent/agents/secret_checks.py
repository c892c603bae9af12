"""Checks that need secrets: values go to the prober by message, at the last moment."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from workflow_agent.model.records import dataclass
from workflow_agent.model.system import CheckResult, CheckStatus
from workflow_agent.security.marks import marked_names
from workflow_agent.security.sources import how_to_give

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workflow_agent.model.ports import Target
    from workflow_agent.model.system import Check
    from workflow_agent.security.vault import Vault

__all__ = ["Sorted", "check_with_secrets", "hint_of", "sort_checks"]


@dataclass(frozen=True, slots=True)
class Sorted:
    """Checks that can be carried out, values in their places, and those that lack secrets, with their names."""

    ready: list[Check]
    lacking: dict[str, frozenset[str]]


def sort_checks(checks: Sequence[Check], vault: Vault, run_id: str | None) -> Sorted:
    """Fill in what there is, and say what is missing."""
    given = vault.names(run_id)
    lacking = {check.id: missing for check in checks if (missing := marked_names(check.spec) - given)}
    ready = [replace(check, spec=vault.filled(run_id, check.spec)) for check in checks if check.id not in lacking]
    return Sorted(ready, lacking)


async def check_with_secrets(
    target: Target, checks: Sequence[Check], vault: Vault, run_id: str | None
) -> list[CheckResult]:
    """Carry checks out, in the order asked; one that lacks a secret cannot be, which is no pass."""
    found = sort_checks(checks, vault, run_id)
    if not found.lacking:
        return await target.check(found.ready)
    results = {result.id: result for result in await target.check(found.ready)} if found.ready else {}
    return [results.get(check.id) or _lacking(check, found.lacking[check.id]) for check in checks]


def _lacking(check: Check, names: frozenset[str]) -> CheckResult:
    listed = " and ".join(f"`{name}`" for name in sorted(names))
    return CheckResult(
        id=check.id,
        kind=check.kind,
        status=CheckStatus.ERROR,
        observed=f"not looked at: it needs the secret {listed}, which is not stored and was not given",
        expected="the secret is given",
        description=check.description,
        attempts=0,
    )


def hint_of(checks: Sequence[Check], vault: Vault, run_id: str | None) -> str | None:
    """Say how to give what checks lack; None when they lack nothing."""
    names = frozenset[str]().union(*sort_checks(checks, vault, run_id).lacking.values())
    return f"give it: {how_to_give(min(names))}" if names else None
