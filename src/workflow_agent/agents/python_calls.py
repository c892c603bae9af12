"""Calling people's Python: async functions on the loop, others in a thread of their own, whatever they raise."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import traceback
from typing import TYPE_CHECKING, Any

from workflow_agent.agents.step_threads import StepThreads
from workflow_agent.model.errors import InterruptedRunError, StepFailedError, WorkflowAgentError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["THREADS", "call"]

_FRAMES = 12
#: Where functions run that are not async; tests put others here, to know when none is at work.
THREADS = StepThreads()


async def call(function: Callable[..., Any], named: dict[str, Any], *, name: str) -> Any:  # Any: what it returns
    """Call a function and wait for its end.

    A thread cannot be stopped: when the caller is cancelled, what the function does goes on without anybody waiting.

    Raises:
        WorkflowAgentError: the function raised it.
        StepFailedError: it raised anything else, also what would end the process; `where` is the line.
        InterruptedRunError: it raised ``CancelledError`` of its own accord.
    """
    try:
        if inspect.iscoroutinefunction(inspect.unwrap(function)):
            return await function(**named)
        result = await _in_thread(function, named, name)
        # a function that returns a coroutine is async in all but name
        return await result if inspect.isawaitable(result) else result
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise InterruptedRunError(f"`{name}` gave up by itself", where=name) from None
    except WorkflowAgentError:
        raise
    except BaseException as error:  # noqa: BLE001  # border: people's code, which may raise SystemExit
        raise _failure(error, name) from None


async def _in_thread(function: Callable[..., Any], named: dict[str, Any], name: str) -> Any:
    """Call in a thread that the process does not wait for at its end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def settle(result: Any, error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(_carried(error, name))

    def work() -> None:
        result, problem = None, None
        try:
            result = context.run(function, **named)
        except BaseException as error:  # noqa: BLE001  # border: handed on to the loop
            problem = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, problem)

    THREADS.run(work, f"step {name}")
    return await done


def _carried(error: BaseException, name: str) -> BaseException:
    """Give an error that a future can hold: some would end the loop, or mean something else there."""
    if isinstance(error, WorkflowAgentError):
        return error
    if isinstance(error, asyncio.CancelledError):
        return InterruptedRunError(f"`{name}` gave up by itself", where=name)
    return _failure(error, name)


def _failure(error: BaseException, name: str) -> StepFailedError:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename != __file__]
    last = own[-1] if own else None
    kind = type(error)
    title = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
    return StepFailedError(
        f"`{name}` raised {title}" + (f": {error}" if str(error) else ""),
        where=f"{last.filename}:{last.lineno}" if last is not None else name,
        cause=last.line if last is not None else None,
        details={
            "exception": title,
            "traceback": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in own[-_FRAMES:]],
        },
    )
