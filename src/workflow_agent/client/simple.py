"""``Client``: the smallest client, for programs without an event loop: a result, or the events of a run."""

from __future__ import annotations

import asyncio
import queue
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from workflow_agent.client.client import WorkflowClient

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from workflow_agent.client.events import WorkflowEvent
    from workflow_agent.security.secret import Secret

__all__ = ["Client"]

#: Events that wait for who iterates; the run does not wait for him.
_END = None


class Client:
    """Runs workflows in this process, or with a key at a server, as :class:`WorkflowClient` does.

    Args:
        api_key: The token of a server.
        api_url: Its address; as :class:`WorkflowClient` has it when None.
        settings: Settings by ``section.key`` for runs of this process.

    Raises:
        UsageError: as :class:`WorkflowClient` says.
    """

    def __init__(
        self, api_key: str | None = None, *, api_url: str | None = None, settings: Mapping[str, object] | None = None
    ) -> None:
        self._open = partial(WorkflowClient, api_url=api_url, api_token=api_key, settings=settings)
        self._open()  # refused now, not when it is used

    def execute_workflow(
        self,
        workflow: Any,
        stream: bool = False,
        *,
        input: Mapping[str, Any] | None = None,  # noqa: A002  # as it is called everywhere
        secrets: Mapping[str, str | Secret] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Any:  # Any: a JSON value, or an iterator of events
        """Run a workflow to its end.

        Args:
            workflow: What :meth:`WorkflowClient.run_workflow` takes; it is not changed.
            stream: Give its events as they come, in place of the result. The run has begun with the first of them, and
                goes on to its end also when nobody takes any more.
            input: What steps see as ``ctx.input``.
            secrets: What steps see as ``ctx.secrets``.
            tags: Kept with the run.

        Raises:
            WorkflowAgentError: it did not succeed; with `stream`, after the last event.
        """
        said: dict[str, Any] = {"input": input, "secrets": secrets, "tags": tags}
        return self._events(workflow, said) if stream else self._open().run(workflow, **said)

    def _events(self, workflow: Any, said: Mapping[str, Any]) -> Iterator[WorkflowEvent]:
        found: queue.SimpleQueue[WorkflowEvent | BaseException | None] = queue.SimpleQueue()

        async def run() -> None:
            async with self._open() as client:
                execution = await client.run_workflow(workflow, "async", **said)
                async for event in execution.stream_events():
                    found.put(event)
                await execution.get_result()

        def work() -> None:
            try:
                asyncio.run(run())
            except BaseException as error:  # noqa: BLE001  # border: raised again where the events are read
                found.put(error)
            else:
                found.put(_END)

        thread = threading.Thread(target=work, name="workflow-agent client")
        thread.start()
        while (event := found.get()) is not _END:
            if isinstance(event, BaseException):
                thread.join()
                raise event
            yield event
        thread.join()
