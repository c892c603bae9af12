"""Edges and joins: whether a step follows on the end of another, and whether enough of them have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workflow_agent.model.status import TERMINAL_STEP, StepStatus

if TYPE_CHECKING:
    from workflow_agent.model.event import StepState
    from workflow_agent.model.workflow import Step

__all__ = ["ENDS", "FAILED", "follows", "why_not"]

#: Ends that every step can have; others are names of cases of a choice.
ENDS: Final = ("success", "failure", "skip", "always")
FAILED: Final = frozenset({StepStatus.FAILED, StepStatus.UNKNOWN, StepStatus.CANCELLED})
_WELL = frozenset({StepStatus.SUCCEEDED, StepStatus.UNCHANGED, StepStatus.UNDONE})


def follows(step: Step, need: str, cell: StepState) -> bool:
    """Say whether the end of a need, or a fan-out of which enough is done, counts for a step that joins some."""
    end = step.edges.get(need)
    if cell.status not in TERMINAL_STEP:
        return end in {None, "success", "always"}
    match end:
        case None | "success":
            return cell.status in _WELL
        case "failure":
            return cell.status in FAILED
        case "skip":
            return cell.status is StepStatus.SKIPPED
        case "always":
            return True
    output = cell.output if isinstance(cell.output, dict) else {}
    return cell.status in _WELL and end in output.get("chosen", ())


def why_not(step: Step, need: str, cell: StepState) -> str | None:
    """Say why a step that waits for all of its needs does not follow on the end of one; None where it does."""
    end = step.edges.get(need)
    if end is None or follows(step, need, cell):
        return None
    said = {"success": "did not succeed", "failure": "did not fail", "skip": "was not skipped"}
    return f"`{need}` {said[end]}" if end in said else f"`{need}` did not choose `{end}`"
