"""Starts the services of a step's container and waits until each can be used."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from workflow_agent.model.errors import StepTimeoutError

if TYPE_CHECKING:
    from workflow_agent.authoring.sdk.containers import AgentRequest, ServiceRequest
    from workflow_agent.targets.step_services import StepServices

__all__ = ["begin_services"]

#: Seconds between two looks at a service.
_LOOK_S: Final = 0.2


async def begin_services(services: StepServices, request: AgentRequest) -> None:
    """Start the services of a container; gives back when all are ready.

    Raises:
        UnreachableError: no engine answers, or it refused.
        StepFailedError: one has ended.
        StepTimeoutError: one was not ready in time.
    """
    started = [await _started(services, each) for each in request.services]
    waited: list[str] = [each.name for each in request.services]
    try:
        async with asyncio.timeout(request.ready_timeout_s):
            for container, each in zip(started, request.services, strict=True):
                while not await asyncio.to_thread(services.is_ready, container, each.name, each.ready):  # noqa: ASYNC110  # nobody tells
                    await asyncio.sleep(_LOOK_S)
                waited.remove(each.name)
    except TimeoutError:
        raise StepTimeoutError(
            f"the service `{waited[0]}` was not ready within {request.ready_timeout_s:g} s",
            where=f"{request.step} › {request.name}",
            hint="give it more time (`ready_timeout`), or look at its `ready` command",
        ) from None


async def _started(services: StepServices, wanted: ServiceRequest) -> str:
    """Start one; who is cancelled meanwhile waits for the thread: what it starts must be there to be removed."""
    starting = asyncio.ensure_future(
        asyncio.to_thread(services.start, wanted.name, image=wanted.image, env=wanted.env, command=wanted.command)
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait({starting})
        raise
