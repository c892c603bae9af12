"""Generated programs, killed at random moments: nothing is lost, nothing that must not repeat is done twice."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from workflow_agent.engine import fold
from workflow_agent.engine.units import idempotency_key
from workflow_agent.model.event import Event, EventType
from workflow_agent.model.status import RunStatus

if TYPE_CHECKING:
    from tests.integration.killed_programs import expected, program, run_id_of, trial, wrong

    from workflow_agent.model.event import RunState
else:
    from killed_programs import expected, program, run_id_of, trial, wrong


def test_programs_that_are_killed_end_as_they_would_have() -> None:
    result = trial(40, seed=7, seconds=20)

    assert result.problems == []
    assert result.kills > 0
    assert result.runs > 0


@pytest.mark.long
def test_programs_that_are_killed_ten_thousand_times_end_as_they_would_have() -> None:
    result = trial(10_000, seed=8)

    assert result.problems == []
    assert result.kills >= 10_000


def test_the_ledger_tells_what_is_lost_doubled_or_wrong() -> None:
    """The judge is no good where it cannot say no."""
    seed = next(seed for seed in range(100) if any(step.effect != "at_least_once" for step in program(seed).steps))
    workflow, run_id = program(seed), run_id_of(seed)
    outputs, units = expected(workflow)
    whole = {idempotency_key(run_id, unit): 1 for unit in units}
    created = Event(run_id=run_id, seq=1, type=EventType.RUN_CREATED, at=1.0, data={"machine": 2})
    state = fold(workflow, [created])
    once = next(step.id for step in workflow.steps if step.effect != "at_least_once")

    assert wrong(workflow, _ended(state, RunStatus.SUCCEEDED), whole) == []
    assert wrong(workflow, _ended(state, RunStatus.SUCCEEDED), {**whole, idempotency_key(run_id, once): 2})
    assert wrong(workflow, _ended(state, RunStatus.SUCCEEDED), {})
    assert wrong(workflow, _ended(state, RunStatus.FAILED), whole)
    assert outputs


def _ended(state: RunState, status: RunStatus) -> RunState:
    return replace(state, status=status)
