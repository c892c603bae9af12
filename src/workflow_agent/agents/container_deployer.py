"""Starts containers for Python steps. The engine's client blocks, so it works in threads."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from workflow_agent.agents.service_start import begin_services
from workflow_agent.authoring.sdk.containers import AgentResult
from workflow_agent.model.errors import StepFailedError, StepTimeoutError
from workflow_agent.targets.step_containers import StepContainers
from workflow_agent.targets.step_services import StepServices

if TYPE_CHECKING:
    from workflow_agent.authoring.sdk.containers import AgentRequest, Measure
    from workflow_agent.targets.step_containers import EndedContainer, StepContainer

__all__ = ["ContainerDeployer"]

_TAIL = 20
_SHOWN = 200


class ContainerDeployer:
    """Starts containers on the local Docker engine, or finds what an earlier attempt of the run started."""

    def __init__(self) -> None:
        self._containers = StepContainers()

    async def deploy(self, request: AgentRequest, measure: Measure) -> _Deployed:
        """Start a container and what runs beside it; `measure` is given what it used when it has ended.

        Raises:
            UnreachableError: no engine answers, or it refused.
            StepFailedError: a service ended.
            StepTimeoutError: a service was not ready in time.
        """
        services: StepServices | None = None
        if request.services:
            services = StepServices(request.run_id, request.step, request.name, outbound=request.outbound)
        if services is None:
            return await self._deployed(request, None, measure)
        try:
            await begin_services(services, request)
            return await self._deployed(request, services, measure)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(services.remove))
            raise

    async def _deployed(self, request: AgentRequest, services: StepServices | None, measure: Measure) -> _Deployed:
        starting = asyncio.ensure_future(
            asyncio.to_thread(
                self._containers.start,
                run_id=request.run_id,
                step=request.step,
                name=request.name,
                image=request.image,
                env=request.env,
                command=request.command,
                cpu=request.resources.cpu,
                memory_bytes=request.resources.memory_bytes,
                pids=request.resources.pids,
                network=services.network if services is not None else None if request.outbound else "none",
            )
        )
        try:
            container = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # The thread goes on: what it starts must not stay.
            started = await asyncio.gather(starting, return_exceptions=True)
            if not isinstance(started[0], BaseException):
                await asyncio.to_thread(self._containers.remove, started[0].id)
            raise
        return _Deployed(self._containers, container, request, services, measure)


class _Deployed:
    """A container of a step; see ``authoring.sdk.containers.Deployed``."""

    def __init__(
        self,
        containers: StepContainers,
        container: StepContainer,
        request: AgentRequest,
        services: StepServices | None,
        measure: Measure,
    ) -> None:
        self._containers = containers
        self._container = container
        self._request = request
        self._services = services
        self._measure = measure
        self._result: AgentResult | None = None
        self.id = container.id

    async def wait(self) -> AgentResult:
        if self._result is None:
            self._result = await self._ended()
        return self._result

    async def stop(self) -> None:
        await asyncio.to_thread(self._gone)

    def _gone(self) -> None:
        """Remove the container and what runs beside it."""
        self._containers.remove(self.id)
        if self._services is not None:
            self._services.remove()

    async def _ended(self) -> AgentResult:
        limit = max(0.0, self._request.timeout_s - self._container.age_s)
        waiting = asyncio.ensure_future(asyncio.to_thread(self._containers.wait, self.id))
        try:
            async with asyncio.timeout(limit):
                code = (await asyncio.shield(waiting)).code
            lines = await asyncio.to_thread(self._containers.lines, self.id)
        except TimeoutError:
            lines = await asyncio.to_thread(self._containers.lines, self.id)
            raise StepTimeoutError(
                f"the container `{self._request.name}` took longer than {self._request.timeout_s:g} s",
                where=self._place(),
                details={"tail": lines[-_TAIL:]},
            ) from None
        finally:
            await self._removed(waiting)
        if code != 0:
            raise StepFailedError(
                f"the container `{self._request.name}` ended with code {code}",
                where=self._place(),
                cause="\n".join(lines[-_TAIL:]) or None,
                details={"exit_code": code, "tail": lines[-_TAIL:]},
            )
        return AgentResult(self._output(lines), exit_code=code, lines=tuple(lines))

    async def _removed(self, waiting: asyncio.Future[EndedContainer]) -> None:
        """Remove the container whatever happened; its end ends the thread that waits for it and sees what it used."""
        await asyncio.shield(asyncio.to_thread(self._gone))
        (ended,) = await asyncio.gather(waiting, return_exceptions=True)
        if isinstance(ended, BaseException) or ended.usage is None:
            return
        tags = {"container": self._request.name, "image": self._request.image}
        self._measure("container_cpu_s", ended.usage.cpu_s, tags)
        self._measure("container_memory_bytes", float(ended.usage.memory_bytes), tags)

    def _output(self, lines: list[str]) -> Any:  # Any: a JSON value
        last = next((line for line in reversed(lines) if line.strip()), None)
        if last is None:
            return None
        try:
            return json.loads(last)
        except ValueError as error:
            raise StepFailedError(
                f"the last line of the container `{self._request.name}` is not JSON",
                where=self._place(),
                cause=f"{error}: {last[:_SHOWN]}",
                hint="let it write its result as one line of JSON, the last one on stdout",
            ) from None

    def _place(self) -> str:
        return f"{self._request.step} › {self._request.name} ({self._request.image})"
