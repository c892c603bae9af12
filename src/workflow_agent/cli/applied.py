"""What the plan of a person's own script is shown from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.cli.planned import planned_tier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from workflow_agent.cli.session import Ended
    from workflow_agent.cli.style import Style

__all__ = ["planned_apply"]


def planned_apply(ended: Ended) -> tuple[dict[str, Any], bool, Callable[[Style], Iterator[str]]]:
    """Give the plan of a script, whether anything would be done, and how it is written."""
    outputs = ended.outputs
    script = (outputs.get("take") or {}).get("script") or {}
    requested = outputs.get("requested") or {}
    facts = requested.get("facts") or {}
    change_set = (outputs.get("prepare") or {}).get("change_set")
    plan = {
        "action": "apply",
        "script": (script.get("provenance") or {}).get("template"),
        "hash": script.get("hash"),
        "target": facts.get("target") or "host",
        **planned_tier(facts, change_set),
        "services": requested.get("services") or [],
        "restarts": requested.get("restarts") or [],
        "left": requested.get("left") or [],
        "findings": (outputs.get("validate") or {}).get("findings") or [],
        "change_set": change_set,
    }

    def write(style: Style) -> Iterator[str]:
        from workflow_agent.cli.plan_view import plan_lines  # noqa: PLC0415  # late

        return plan_lines(plan, style)

    return plan, bool(requested.get("pending")), write
