"""The whole application on a target in memory, for tests of pipelines: everything else is real."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from workflow_agent.testing.fake_target import FakeTargets, FakeWorld

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from workflow_agent.app import App
    from workflow_agent.app.container import Container
    from workflow_agent.model.ports import Clock, Journal

__all__ = ["open_fake_app"]


@asynccontextmanager
async def open_fake_app(
    folder: Path,
    world: FakeWorld | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    journal: Callable[[Journal], Journal] | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[App]:
    """Open an application whose one target, ``host``, is in memory.

    Args:
        folder: Where its state and configuration are; a second application on the same folder sees the same history.
        world: The target; a new one when None.
        overrides: Settings by ``section.key``.
        journal: Takes the store's journal; what it gives is the one that the driver writes.
        clock: Says when events happen; the usual one when None.
    """
    from dependency_injector import providers  # noqa: PLC0415  # late: as below

    from workflow_agent.app.application import App  # noqa: PLC0415  # late: 150 ms
    from workflow_agent.app.container import build_container  # noqa: PLC0415
    from workflow_agent.app.settings import load_settings  # noqa: PLC0415
    from workflow_agent.store import SqliteStore  # noqa: PLC0415

    places = {f"paths.{name}": str(folder / name) for name in ("state", "config", "runtime")}
    settings = load_settings(None, {**places, **(overrides or {})}, {})
    store = await SqliteStore.open(settings.paths.state)
    try:
        container = build_container(settings, store)
        if clock is not None:
            container.clock.override(providers.Object(clock))
        _replace(container, FakeTargets(world), journal(store.journal) if journal else store.journal)
        app = App(settings, store, container)
        try:
            yield app
        finally:
            await app.close()
    finally:
        await store.close()


def _replace(container: Container, targets: FakeTargets, journal: Journal) -> None:
    from dependency_injector import providers  # noqa: PLC0415  # late: as above

    from workflow_agent.engine import Driver  # noqa: PLC0415

    container.targets.override(providers.Object(targets))
    container.driver.override(providers.Singleton(Driver, container.bus, journal, container.clock))
