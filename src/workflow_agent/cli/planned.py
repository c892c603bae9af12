"""What a plan is shown from: outputs of the steps of a run that changed nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from workflow_agent.cli.session import Ended
    from workflow_agent.cli.style import Style

__all__ = ["planned_rollback", "planned_script", "planned_tier"]


def planned_script(ended: Ended) -> tuple[dict[str, Any], bool, Callable[[Style], Iterator[str]]]:
    """Give the plan of a verb that runs a script; an unchanged integration has no changes."""
    required = [_plan_of(_of_block(ended.outputs, prefix)) for prefix in _blocks(ended.outputs)]
    plan = _plan_of(ended.outputs) | {"requirements": required}

    def write(style: Style) -> Iterator[str]:
        from workflow_agent.cli.plan_view import plan_lines  # noqa: PLC0415  # late

        for one in required:
            yield from plan_lines(one, style)
            yield ""
        yield from plan_lines(plan, style)

    return plan, any(_pending(one) for one in (*required, plan)), write


def _blocks(outputs: Mapping[str, Any]) -> list[str]:
    """Name what the steps of requirements begin with, in their order."""
    return [step.removesuffix("lookup") for step in outputs if step.endswith("_lookup")]


def _of_block(outputs: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {step.removeprefix(prefix): output for step, output in outputs.items() if step.startswith(prefix)}


def _plan_of(outputs: Mapping[str, Any]) -> dict[str, Any]:
    lookup = outputs.get("lookup") or {}
    facts = lookup.get("facts") or {}
    change_set = (outputs.get("prepare") or {}).get("change_set")
    current, absent = outputs.get("current") or {}, outputs.get("absent") or {}
    return {
        "action": lookup.get("action"),
        "integration": lookup.get("integration"),
        "version": lookup.get("version"),
        "target": facts.get("target") or "host",
        **planned_tier(facts, change_set),
        "services": lookup.get("services") or [],
        "effects": lookup.get("effects") or [],
        "unchanged": bool(current.get("unchanged") or absent.get("unchanged")),
        "findings": (outputs.get("validate") or {}).get("findings") or [],
        "told": (outputs.get("build") or {}).get("told") or [],
        "change_set": change_set,
        "differences": lookup.get("differences"),
        "current": current or None,
        "keep": lookup.get("keep") or [],
        "adopted": bool(absent.get("adopted")),
        "required_by": lookup.get("required_by") or [],
    }


def planned_tier(facts: Mapping[str, Any], change_set: Mapping[str, Any] | None) -> dict[str, Any]:
    """Give the `tier` of a plan and its `tier_reason`: what was captured tells more than what the target allows."""
    told = facts if (change_set or {}).get("tier", "exact") == "exact" else change_set or {}
    return {"tier": told.get("tier"), "tier_reason": told.get("tier_reason")}


def _pending(plan: Mapping[str, Any]) -> bool:
    """Tell whether anything would be done; services may need a start although every file is as it should be."""
    return bool((plan["change_set"] or {}).get("changes")) or (plan["current"] or {}).get("reason") == "checks"


def planned_rollback(ended: Ended) -> tuple[dict[str, Any], bool, Callable[[Style], Iterator[str]]]:
    """Give the plan of a rollback: the same summary as is asked about."""
    located = ended.outputs.get("locate") or {}
    keys = ("direction", "integration", "version", "script", "target", "tier", "services", "leaving", "also")
    plan = {key: located.get(key) for key in keys}
    plan |= {"undoes": located.get("run"), "preview": ended.outputs.get("preview")}

    def write(style: Style) -> Iterator[str]:
        from workflow_agent.cli.plan_view import rollback_lines  # noqa: PLC0415  # late

        return rollback_lines(plan, style)

    return plan, True, write
