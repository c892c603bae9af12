"""When snapshots of a run are taken: beside its work, one at a time, and never in its way.

A snapshot that could not be kept is said in the log and tried again after as many records more; the run goes on.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from workflow_agent.engine.snapshots import EVERY, encoded, fold_version, may_be_kept, weight_of
from workflow_agent.model.errors import WorkflowAgentError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.engine.live import LiveRun
    from workflow_agent.model.event import RunState
    from workflow_agent.model.ports import Journal

__all__ = ["Snapshotting"]

logger = logging.getLogger(__name__)


class Snapshotting:
    """Takes snapshots of runs.

    Args:
        journal: Keeps them.
        every: Records between two of one run, at least.
    """

    def __init__(self, journal: Journal, every: int = EVERY) -> None:
        self._journal = journal
        self._every = every

    def begin(self, run: LiveRun, created: Mapping[str, Any], seq: int | None) -> None:
        """Let a run's snapshots begin; `seq` is the record of the one that it was taken up from."""
        run.created = created
        state = run.state
        run.snapshot_due = self._every if seq is None or state is None else seq + max(self._every, weight_of(state))

    def look(self, run: LiveRun) -> None:
        """Take a snapshot of what is on disk, if it is time."""
        if run.head < run.snapshot_due or run.snapshot is not None:
            return
        state = run.state
        if state is None or not may_be_kept(state):
            return
        run.snapshot_due = state.head + max(self._every, weight_of(state))
        run.snapshot = asyncio.create_task(self._take(run, state, run.created))
        run.tasks.add(run.snapshot)
        run.snapshot.add_done_callback(run.tasks.discard)

    async def _take(self, run: LiveRun, state: RunState, created: Mapping[str, Any]) -> None:
        try:
            fold = fold_version()
            if fold:
                await self._journal.keep_snapshot(run.run_id, state.head, fold, partial(encoded, state, created))
        except WorkflowAgentError as error:
            logger.warning("no snapshot of run %s was kept at record %d: %s", run.run_id, state.head, error)
        finally:
            run.snapshot = None
