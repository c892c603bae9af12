"""What a client talks to, while somebody uses it: opened by the first, closed after the last."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from workflow_agent.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

__all__ = ["Connection", "blocking"]

_T = TypeVar("_T")


class Connection(Generic[_T]):
    """Shares one open thing among all that use a client in one event loop.

    Args:
        open_it: Opens it.
    """

    def __init__(self, open_it: Callable[[], AbstractAsyncContextManager[_T]]) -> None:
        self._open = open_it
        self._users = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._opened: _T | None = None

    @asynccontextmanager
    async def use(self) -> AsyncIterator[_T]:
        """Use it inside the block.

        Raises:
            UsageError: another event loop uses it.
            StoreError: it cannot be opened.
        """
        opened = await self._taken()
        try:
            yield opened
        finally:
            await self._given_back()

    async def _taken(self) -> _T:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._users:
                raise UsageError("this client is in use by another event loop", hint="make a client for each loop")
            self._loop, self._lock = loop, asyncio.Lock()
        self._users += 1
        try:
            async with self._lock:
                if self._opened is None:
                    self._opened = await self._stack.enter_async_context(self._open())
                return self._opened
        except BaseException:
            self._users -= 1
            raise

    async def _given_back(self) -> None:
        self._users -= 1
        async with self._lock:
            if self._users == 0:
                stack, self._stack, self._opened = self._stack, AsyncExitStack(), None
                await stack.aclose()


def blocking(make: Callable[[], Awaitable[_T]]) -> _T:
    """Wait for something asynchronous, also where an event loop runs: in a thread with a loop of its own."""
    found: list[_T] = []
    problem: list[BaseException] = []

    async def wait() -> _T:
        return await make()

    def work() -> None:
        try:
            found.append(asyncio.run(wait()))
        except BaseException as error:  # noqa: BLE001  # border: raised again in the caller's thread
            problem.append(error)

    thread: Any = threading.Thread(target=work, name="workflow-agent client")
    thread.start()
    thread.join()
    if problem:
        raise problem[0]
    return found[0]
