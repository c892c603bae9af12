"""The application on a journal in memory and a virtual clock: what people's workflows are tested in.

Real are the engine, the agents and people's code; there is no database, no network and no Docker.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from workflow_agent.client.connection import blocking
from workflow_agent.testing.virtual_time import VirtualClock, VirtualLoop, counted_threads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from workflow_agent.app.flows import Flows
    from workflow_agent.store.places import SqlitePlaces
    from workflow_agent.testing.memory import MemoryJournal

__all__ = ["MemoryStore", "in_virtual_time", "open_world"]

_T = TypeVar("_T")


class MemoryStore:
    """Stands where the store stands.

    Args:
        folder: For files of runs.
        journal: Their events.
    """

    def __init__(self, folder: Path, journal: MemoryJournal) -> None:
        self.folder = folder
        self.journal = journal
        #: There is no history of what is in memory only: the journal has it all.
        self.history: Any = None
        self._places: SqlitePlaces | None = None

    @property
    def places(self) -> SqlitePlaces:
        """Who has which lock."""
        if self._places is None:
            from workflow_agent.store.places import SqlitePlaces  # noqa: PLC0415  # late: few workflows have locks

            self._places = SqlitePlaces(self.folder)
        return self._places

    def artifacts_dir(self, run_id: str) -> Path:
        """Give the folder for a run's files."""
        path = self.folder / "artifacts" / run_id
        path.mkdir(parents=True, exist_ok=True)
        return path


@asynccontextmanager
async def open_world(
    folder: Path, journal: MemoryJournal, clock: VirtualClock, deployer: object
) -> AsyncIterator[Flows]:
    """Open the application on a journal and a clock.

    Args:
        folder: For files of runs.
        journal: Events of runs, those before included.
        clock: Times of records.
        deployer: Plays containers.
    """
    from dependency_injector import providers  # noqa: PLC0415  # late: as the application imports it

    from workflow_agent.app.application import App  # noqa: PLC0415  # late: 150 ms
    from workflow_agent.app.container import build_container  # noqa: PLC0415  # late: with it
    from workflow_agent.app.settings import load_settings  # noqa: PLC0415  # late: with it
    from workflow_agent.testing.flows import AnySecret  # noqa: PLC0415  # it imports this module

    places = {f"paths.{name}": str(folder / name) for name in ("state", "config", "runtime")}
    settings = load_settings(None, places, {})
    store: Any = MemoryStore(folder, journal)
    container = build_container(settings, store)
    container.clock.override(providers.Object(clock))
    container.deployer.override(providers.Object(deployer))
    container.vault.override(providers.Singleton(AnySecret))
    app = App(settings, store, container)
    try:
        with counted_threads():
            yield await app.flows()
    finally:
        await app.close()


def in_virtual_time(clock: VirtualClock, work: Callable[[], Awaitable[_T]]) -> _T:
    """Do asynchronous work on a virtual clock, to its end; also where an event loop runs already.

    Raises:
        StandstillError: it waits for something that never comes.
    """

    async def awaited() -> _T:
        return await work()

    def done() -> _T:
        with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:
            return runner.run(awaited())

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return done()

    async def elsewhere() -> _T:
        return await asyncio.to_thread(done)

    return blocking(elsewhere)
