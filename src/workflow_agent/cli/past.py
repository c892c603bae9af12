"""Questions about the past for commands: one event loop, one read-only application, nothing made on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from workflow_agent.app import App
    from workflow_agent.cli.invocation import Invocation

__all__ = ["ask", "find", "find_run", "tell"]

T = TypeVar("T")


def ask(invocation: Invocation, question: Callable[[App], Awaitable[T]]) -> T:
    """Ask the application something; raises what the question raises."""
    return _opened(invocation, question, read_only=True)


def tell(invocation: Invocation, question: Callable[[App], Awaitable[T]]) -> T:
    """As :func:`ask`, where the answer is kept: the store is opened for writing."""
    return _opened(invocation, question, read_only=False)


def _opened(invocation: Invocation, question: Callable[[App], Awaitable[T]], *, read_only: bool) -> T:
    import asyncio  # noqa: PLC0415  # late: 35 ms

    from workflow_agent.app import open_app  # noqa: PLC0415  # late: 60 ms

    async def asked() -> T:
        async with open_app(invocation.settings(), read_only=read_only) as app:
            return await question(app)

    return asyncio.run(asked())


def find(invocation: Invocation, prefix: str) -> dict[str, Any]:
    """Give what history says of a run; raises as :func:`find_run`."""

    async def found(app: App) -> dict[str, Any]:
        return await app.history.run(await app.history.resolve(prefix))

    return ask(invocation, found)


def find_run(invocation: Invocation, prefix: str) -> tuple[str, str]:
    """Complete a run id, and tell the run's target; raises NotFoundError or ConflictError with the candidates."""

    async def found(app: App) -> tuple[str, str]:
        run_id = await app.history.resolve(prefix)
        return run_id, str((await app.history.run(run_id))["target"] or "host")

    return ask(invocation, found)
