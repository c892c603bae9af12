"""`rollback RUN --logical`: the inverse of what a run installed, where it cannot be taken back exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.cli.running import RunRequest, done_or_planned, requested

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from workflow_agent.cli.invocation import Invocation
    from workflow_agent.cli.options import Consent, Where
    from workflow_agent.cli.outcome import Outcome
    from workflow_agent.cli.session import Ended
    from workflow_agent.cli.style import Style

__all__ = ["taken_back_logically"]


def taken_back_logically(
    invocation: Invocation, run: str, place: Where, consent: Consent, *, events: bool, keep_data: bool
) -> Outcome:
    """Take a run back by the uninstall of its integration, or by giving packages the versions that they had.

    Raises:
        CommandFailedError: it can be taken back exactly, or not at all; what is left is listed.
    """

    def request(plan_only: bool) -> RunRequest:
        return requested(
            invocation,
            "rollback-logical",
            (),
            place=place,
            events=events,
            run=run,
            keep_data=keep_data,
            approve=consent.yes,
            plan_only=plan_only,
        )

    return done_or_planned(invocation, consent, "roll back", request, _planned)


def _planned(ended: Ended) -> tuple[dict[str, Any], bool, Callable[[Style], Iterator[str]]]:
    inverse, lookup = ended.outputs.get("inverse") or {}, ended.outputs.get("lookup") or {}
    plan = {key: inverse.get(key) for key in ("integration", "version", "script", "way")}
    plan |= {key: lookup.get(key) or [] for key in ("services", "effects", "keep")}
    plan |= {
        "action": "rollback",
        "undoes": inverse.get("run"),
        "target": (lookup.get("facts") or {}).get("target") or "host",
        "tier": inverse.get("tier"),
        "tier_reason": inverse.get("tier_reason"),
        "findings": (ended.outputs.get("validate") or {}).get("findings") or [],
        "change_set": (ended.outputs.get("prepare") or {}).get("change_set"),
    }

    def write(style: Style) -> Iterator[str]:
        from workflow_agent.cli.plan_view import plan_lines  # noqa: PLC0415  # late

        # Of a plan `tier` says how it can be undone; here it says how well the run is.
        return plan_lines({**plan, "tier": None, "reach": plan["tier"], "reach_reason": plan["tier_reason"]}, style)

    return plan, True, write
