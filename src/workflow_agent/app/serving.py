"""The server as a whole: the application, the runs that it drives, the API on a socket; from start to stop."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.api.server import listener, listening, web_application
from workflow_agent.app.application import open_app
from workflow_agent.app.health import looked_at
from workflow_agent.app.served_runs import ServedRuns
from workflow_agent.model.records import dataclass
from workflow_agent.security.api_token import ApiToken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from workflow_agent.app.application import App
    from workflow_agent.app.flow_taking_up import TakenUp
    from workflow_agent.app.flows import Flows
    from workflow_agent.app.settings import Settings

__all__ = ["MOST_RUNS", "Serving", "serving"]

#: Runs that are driven at the same time for requests.
MOST_RUNS: Final = 100
#: Seconds for which an answer about health holds: who may ask without a token must not cost much.
_HOLDS_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A server that listens: where, which file holds its token, and the runs that it took up."""

    url: str
    token_file: Path
    taken_up: asyncio.Task[list[TakenUp]]


class _HealthyRuns(ServedRuns):
    """Runs, and whether what they need is there."""

    def __init__(self, app: App, flows: Flows, *, most: int) -> None:
        super().__init__(flows, most=most)
        self._app = app
        self._known: tuple[float, dict[str, Any]] | None = None
        self._looking = asyncio.Lock()

    async def health(self) -> dict[str, Any]:
        """Say whether what is needed is there; what was found holds for a moment."""
        async with self._looking:
            if self._known is None or time.monotonic() - self._known[0] > _HOLDS_S:
                self._known = (time.monotonic(), await looked_at(self._app))
            return self._known[1]


@asynccontextmanager
async def serving(settings: Settings, address: str, path: Path | None = None) -> AsyncIterator[Serving]:
    """Serve inside the block; when it ends, runs are left where they stand.

    Args:
        settings: From ``load_settings``.
        address: ``HOST:PORT``, of this machine only.
        path: A Unix socket, in place of an address.

    Raises:
        UsageError: the address can be reached from elsewhere, or is none.
        ConflictError: somebody listens there already.
        StoreError: the database or the token cannot be used.
    """
    with listener(address, path) as (sock, url):
        async with open_app(settings) as app:
            token = ApiToken.open(settings.paths.state)
            runs = _HealthyRuns(app, await app.flows(), most=MOST_RUNS)
            taken_up = runs.take_up()
            try:
                async with listening(web_application(runs, token), sock):
                    yield Serving(url=url, token_file=token.path, taken_up=taken_up)
            finally:
                await runs.stop()
