"""Programs that a process which died had started for its steps: they are ended before the run goes on."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from workflow_agent.agents.process_tree import end_marked, marks_of_runs
from workflow_agent.engine.units import parse_unit
from workflow_agent.model.errors import ConflictError
from workflow_agent.model.status import TERMINAL_STEP

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from workflow_agent.model.event import RunState

__all__ = ["end_left_behind"]

_log = logging.getLogger(__name__)
#: Seconds that a killed program has to be gone; one that waits for a disk takes its time.
_GONE_S: Final = 10.0
_PAUSE_S: Final = 0.01


async def end_left_behind(
    run_ids: Collection[str], state_of: Callable[[str], Awaitable[RunState]]
) -> dict[str, ConflictError]:
    """End what was started for steps that have not ended, and see it gone; the runs are owned by this process.

    What a step started that ended before stays. Programs of other process namespaces are not seen.

    Args:
        run_ids: The runs.
        state_of: Folds a run's journal; it is asked only for a run that left something.

    Returns:
        Runs that cannot go on, because a program does not end.
    """
    refused: dict[str, ConflictError] = {}
    found = await asyncio.to_thread(marks_of_runs, run_ids)
    for run_id, marks in found.items():
        steps = (await state_of(run_id)).steps
        for unit, mark in sorted(marks):
            step = steps.get(parse_unit(unit)[0])
            if step is None or step.status not in TERMINAL_STEP:
                try:
                    await asyncio.to_thread(_end, run_id, unit, mark)
                except ConflictError as error:
                    refused[run_id] = error
    return refused


def _end(run_id: str, unit: str, mark: str) -> None:
    end = time.monotonic() + _GONE_S
    while count := end_marked(mark):
        if time.monotonic() > end:
            raise ConflictError(
                f"a program that `{unit}` started before its process died does not end",
                run_id=run_id,
                cause=f"{count} processes are there {_GONE_S:.0f} s after they were killed",
                state="the run stands where it stood",
                hint="see what they wait for (`ps`), then try it again",
            )
        time.sleep(_PAUSE_S)
    _log.info("what `%s` of run %s had left was ended", unit, run_id)
