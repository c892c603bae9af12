"""Whether what runs need is there: the database, the agents, Docker. The same for a server and for this process."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, Final

from workflow_agent._version import __version__
from workflow_agent.app.application import open_app
from workflow_agent.app.container import AGENTS
from workflow_agent.app.settings import load_settings
from workflow_agent.client.runners import LOCAL, Runner
from workflow_agent.model.errors import WorkflowAgentError
from workflow_agent.targets.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.app.application import App
    from workflow_agent.app.settings import Settings

__all__ = ["known_runners", "local_health", "looked_at", "runners_of"]

_DOCKER_S: Final = 2.0


async def looked_at(app: App) -> dict[str, Any]:
    """Look at what runs need: status (ok, down), version, components by name."""
    components = {
        "database": await _database(app),
        "agents": {"status": "ok", "names": sorted(AGENTS)},
        "docker": await _docker(),
    }
    # Without Docker all but containers can be run: who needs it looks at the component.
    return {"status": components["database"]["status"], "version": __version__, "components": components}


async def _database(app: App) -> dict[str, Any]:
    try:
        await app.history.runs(limit=1)
    except WorkflowAgentError as error:
        return {"status": "down", "message": error.message}
    return {"status": "ok"}


async def _docker() -> dict[str, Any]:
    try:
        async with asyncio.timeout(_DOCKER_S):
            version = await asyncio.to_thread(lambda: Engine().version())
    except TimeoutError:
        return {"status": "absent", "message": f"the Docker engine did not answer in {_DOCKER_S:.0f} s"}
    except WorkflowAgentError as error:
        return {"status": "absent", "message": error.message}
    return {"status": "ok", "version": version}


async def local_health(overrides: Mapping[str, object] | None = None) -> dict[str, Any]:
    """Look at what runs of this process need; nothing is made on disk.

    Args:
        overrides: Settings by ``section.key``, above the environment.
    """
    async with open_app(load_settings(None, overrides or {}, os.environ), read_only=True) as app:
        return await looked_at(app)


def runners_of(settings: Settings) -> dict[str, Runner]:
    """Give all runners by name: this process first, then those of the settings."""
    own = Runner(name=LOCAL, description="this process")
    return {LOCAL: own} | {name: settings.runners[name] for name in sorted(settings.runners)}


def known_runners(overrides: Mapping[str, object] | None = None) -> dict[str, Runner]:
    """Give all runners by name, as :func:`runners_of` does; `overrides` as for :func:`local_health`."""
    return runners_of(load_settings(None, overrides or {}, os.environ))
