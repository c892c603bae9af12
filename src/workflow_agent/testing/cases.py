"""One test's runs of workflows, without a database, in virtual time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

from workflow_agent.model.errors import StoreError
from workflow_agent.testing.flows import MockDeployer, forget_mocks
from workflow_agent.testing.memory import MemoryJournal
from workflow_agent.testing.virtual_time import VirtualClock
from workflow_agent.testing.worlds import in_virtual_time, open_world

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from workflow_agent.app.flow_run import FlowRun
    from workflow_agent.app.flows import Flows
    from workflow_agent.model.event import RunState
    from workflow_agent.model.status import RunStatus
    from workflow_agent.model.workflow import Workflow

__all__ = ["Run", "WorkflowCase", "drive"]


class Run:
    """A run that has ended, or came to nothing."""

    def __init__(self, definition: Workflow, state: RunState, outcome: Any, error: Exception | None) -> None:
        self.definition = definition
        self.run_id = state.run_id
        #: How it ended.
        self.status: RunStatus = state.status
        #: What its steps kept in ``ctx.state``.
        self.state = dict(state.state)
        #: How each step ended.
        self.steps = {name: cell.status.value for name, cell in state.steps.items()}
        self.error = error
        self._outcome = outcome

    def __repr__(self) -> str:
        return f"<Run {self.run_id} of {self.definition.name}, {self.status}>"

    @property
    def result(self) -> Any:
        """What it gave; raises the error of one that did not succeed."""
        if self.error is not None:
            raise self.error
        return self._outcome


class WorkflowCase:
    """Runs workflows for a test; used by the fixture ``workflow_case``, or in a ``with`` block.

    Args:
        clock: The clock; a virtual one of its own when None.
        journal: Where the events go; a fresh one in memory when None.
    """

    def __init__(self, clock: VirtualClock | None = None, journal: MemoryJournal | None = None) -> None:
        self.clock = clock or VirtualClock()
        self.journal = journal or MemoryJournal()
        self._folder = TemporaryDirectory(prefix="workflow-agent-test-")
        self._deployer = MockDeployer()
        #: The last run.
        self.last: Run | None = None

    def __enter__(self) -> Self:
        forget_mocks()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        forget_mocks()
        self._folder.cleanup()
        if kind is None and self._deployer.unexpected:
            raise AssertionError(f"nobody plays the containers {', '.join(self._deployer.unexpected)}")

    def run(
        self,
        workflow: Any,
        input: Mapping[str, Any] | None = None,  # noqa: A002  # as it is called everywhere
        *,
        secrets: Mapping[str, str] | None = None,
        signals: Iterable[tuple[str, Any]] = (),
        idempotency_key: str | None = None,
        run_id: str | None = None,
    ) -> Run:
        """Run a workflow to its end, whatever that is.

        Args:
            workflow: A workflow in any of its forms.
            input: The run's input.
            secrets: Values by name; a made-up one stands for each that is not given.
            signals: Names and data, told when the run has begun, in this order; a person's answer is
                ``("step", {"approved": True})``.
            idempotency_key: The run with this key is begun once.
            run_id: Id of the run; one that the journal knows is taken up.

        Raises:
            StandstillError: it waits for something that never comes.
            StoreError: the journal says so.
        """
        folder = Path(self._folder.name)

        async def work() -> Run:
            async with open_world(folder, self.journal, self.clock, self._deployer) as flows:
                more: Any = {} if run_id is None else {"run_id": run_id}
                run = flows.prepare(workflow, input or {}, secrets=secrets, idempotency_key=idempotency_key, **more)
                return await drive(flows, run, signals)

        self.last = in_virtual_time(self.clock, work)
        return self.last

    def events(self, run_id: str | None = None) -> list[dict[str, Any]]:
        """Give the journal of a run, of the last one when None: what :func:`replay` takes."""
        wanted = run_id or (self.last.run_id if self.last else "")

        async def read() -> list[dict[str, Any]]:
            return [event.to_dict() for event in await self.journal.events(wanted)]

        return in_virtual_time(VirtualClock(), read)


async def drive(flows: Flows, run: FlowRun, signals: Iterable[tuple[str, Any]]) -> Run:
    """Drive a prepared run to its end and tell it signals; raises StoreError."""
    task = asyncio.ensure_future(flows.run(run))
    telling = asyncio.ensure_future(_tell(flows, run.run_id, signals, task))
    try:
        state = await task
    finally:
        telling.cancel()
    try:
        return Run(run.definition, state, flows.outcome(run.definition, state), None)
    except StoreError:
        raise
    except Exception as error:  # noqa: BLE001  # border: whatever the run failed of is what the test looks at
        return Run(run.definition, state, None, error)


async def _tell(flows: Flows, run_id: str, signals: Iterable[tuple[str, Any]], task: asyncio.Future[RunState]) -> None:
    for name, data in signals:
        while not task.done() and not await flows.journal.events(run_id):  # noqa: ASYNC110  # a journal tells nobody
            await asyncio.sleep(0)
        if not task.done():
            await flows.signal(run_id, name, data)
