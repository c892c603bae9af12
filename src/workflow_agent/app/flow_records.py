"""What is known of runs of people's own workflows: their state, their definition, their result. Read only."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from workflow_agent.app.application import open_app
from workflow_agent.app.ownership import RunOwnership
from workflow_agent.app.run_errors import error_of_run
from workflow_agent.app.settings import load_settings
from workflow_agent.authoring import read_definition
from workflow_agent.authoring.sdk.outcome import result_of
from workflow_agent.engine import pasts_of, state_of
from workflow_agent.model.errors import NotFoundError
from workflow_agent.model.status import RunStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from workflow_agent.app.application import App
    from workflow_agent.engine import Past
    from workflow_agent.model.event import Event, RunState
    from workflow_agent.model.places import Standing
    from workflow_agent.model.ports import History, Journal
    from workflow_agent.model.workflow import Workflow
    from workflow_agent.store import SqliteStore

__all__ = ["StoredFlowRecords", "open_flow_records", "records_of"]


class StoredFlowRecords:
    """Looks at runs.

    Args:
        store: Journal and history.
        ownership: Which process drives which run.
    """

    def __init__(self, store: SqliteStore, ownership: RunOwnership) -> None:
        self._store = store
        self._ownership = ownership

    @property
    def journal(self) -> Journal:
        """Events of runs."""
        return self._store.journal

    @property
    def history(self) -> History:
        """Questions about runs."""
        return self._store.history

    def artifacts(self, run_id: str) -> Path:
        """Give the folder of a run's files."""
        return self._store.artifacts_dir(run_id)

    def waits_of(self, run_id: str) -> list[Standing]:
        """List the places for which a run stands in line, and who has them."""
        return self._store.places.waiting(run_id)

    def is_driven(self, run_id: str) -> bool:
        """Say whether a process drives a run now."""
        return self._ownership.owner(run_id) is not None

    async def scraped(self, *, with_process: bool = True) -> str:
        """Give figures of all runs, of what their steps measured and of this process, as Prometheus reads them."""
        from workflow_agent.app.scraping import scraped_figures  # noqa: PLC0415  # late: few are scraped

        return await scraped_figures(self._store, with_process=with_process)

    async def state(self, run_id: str) -> RunState:
        """Fold a run's journal; raises NotFoundError."""
        definition, past = await self.past(run_id)
        return await state_of(self.journal, definition, past)

    async def definition(self, run_id: str) -> Workflow:
        """Give the definition that a run was created with; raises NotFoundError."""
        return (await self.past(run_id))[0]

    async def known(self, run_id: str) -> tuple[Workflow, list[Event]]:
        """Give a run's definition and all of its events; raises as :meth:`past` does."""
        definition, past = await self.past(run_id)
        return definition, [*past.events] if past.snapshot is None else await self.journal.events(run_id)

    async def past(self, run_id: str) -> tuple[Workflow, Past]:
        """Give a run's definition and what is needed of its journal to say where it stands.

        Raises:
            NotFoundError: there is no such run, or its definition was not kept.
        """
        past = (await pasts_of(self.journal, [run_id])).get(run_id)
        if past is None:
            raise NotFoundError(f"there is no run `{run_id[:40]}`", hint="`workflow-agent history` lists runs")
        return await self.kept_definition(str(past.created["workflow_hash"]), run_id), past

    async def kept_definition(self, workflow_hash: str, run_id: str) -> Workflow:
        """Give the definition with which a run was created; raises NotFoundError where it was not kept."""
        kept = await self.journal.definition(workflow_hash)
        if kept is None:
            raise NotFoundError("the definition of the run was not kept", run_id=run_id)
        return read_definition(kept)

    def outcome(self, definition: Workflow, state: RunState) -> Any:  # Any: a JSON value
        """Give a finished run's result.

        Raises:
            WorkflowAgentError: it did not succeed.
        """
        if state.status is not RunStatus.SUCCEEDED:
            raise error_of_run(state)
        return result_of(definition, state)


def records_of(app: App) -> StoredFlowRecords:
    """Give what is known of runs, of an application that is open."""
    return StoredFlowRecords(app.store, RunOwnership(app.store.artifacts_dir))


@asynccontextmanager
async def open_flow_records(overrides: Mapping[str, object] | None = None) -> AsyncIterator[StoredFlowRecords]:
    """Open what is known of runs; nothing is created on disk.

    Args:
        overrides: Settings by ``section.key``, above the environment.

    Raises:
        StoreError: the database cannot be opened.
    """
    async with open_app(load_settings(None, overrides or {}, os.environ), read_only=True) as app:
        yield records_of(app)
