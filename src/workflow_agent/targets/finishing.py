"""Work that is never left half done: a cancellation waits until it has ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["blocking", "complete"]

_T = TypeVar("_T")


async def complete(work: Awaitable[_T]) -> _T:
    """Let work that must not be left half done end, and pass a cancellation on afterwards.

    A thread cannot be stopped anyway: going on beside it would remove folders in which it still works.
    """
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError from task.exception()
    return task.result()


async def blocking(function: Callable[..., _T], *arguments: Any) -> _T:  # Any: the function's own
    """Run a function in a thread to its end."""
    return await complete(asyncio.to_thread(function, *arguments))
