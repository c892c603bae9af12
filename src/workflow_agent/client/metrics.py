"""Figures over the runs of one workflow."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from workflow_agent.model.records import dataclass
from workflow_agent.model.status import TERMINAL_RUN, RunStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["WorkflowMetrics", "summed_up"]

_PERCENT = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowMetrics:
    """What became of the runs of a workflow in a span of time.

    Attributes:
        workflow_name: The workflow.
        total_executions: Runs that began, those that have no end yet too.
        succeeded: Runs that ended well.
        failed: Runs that ended in another way.
        running: Runs without an end.
        success_rate: Percent of the ended runs that ended well; None when none has ended.
        avg_duration: Mean time from beginning to end; None when none has ended.
    """

    workflow_name: str
    total_executions: int
    succeeded: int
    failed: int
    running: int
    success_rate: float | None
    avg_duration: timedelta | None


def summed_up(name: str, runs: Iterable[Mapping[str, Any]]) -> WorkflowMetrics:
    """Sum runs up, each as history gives it."""
    found = list(runs)
    ended = [run for run in found if run["status"] in TERMINAL_RUN]
    well = sum(run["status"] == RunStatus.SUCCEEDED for run in ended)
    seconds = [run["finished_at"] - (run["started_at"] or run["created_at"]) for run in ended]
    return WorkflowMetrics(
        workflow_name=name,
        total_executions=len(found),
        succeeded=well,
        failed=len(ended) - well,
        running=len(found) - len(ended),
        success_rate=_PERCENT * well / len(ended) if ended else None,
        avg_duration=timedelta(seconds=sum(seconds) / len(seconds)) if seconds else None,
    )
