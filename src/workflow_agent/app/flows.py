"""Runs of people's own workflows: forward to their end, whatever process began them.

What belongs here: what a run holds while it is driven, and its children. What does not: which run it is (``flow_run``),
how it proceeds (``engine``), how a client tells it (``client``).
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_agent.app.application import open_app
from workflow_agent.app.flow_credentials import credentials_of
from workflow_agent.app.flow_run import FlowRun, check_same, child_id, missing_secrets, prepared
from workflow_agent.app.flow_taking_up import TakenUp, TakingUp, most_at_once
from workflow_agent.app.flow_words import FlowWords
from workflow_agent.app.left_behind import end_left_behind
from workflow_agent.app.settings import load_settings
from workflow_agent.authoring.sdk.compiling import compile_workflow
from workflow_agent.authoring.sdk.live import LiveFlow
from workflow_agent.authoring.sdk.loading import load_module
from workflow_agent.authoring.sdk.values import as_json
from workflow_agent.engine import pasts_of
from workflow_agent.model.errors import ConflictError, NotFoundError
from workflow_agent.model.status import OWN_ACTION, TERMINAL_RUN
from workflow_agent.security.secret import Secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from contextlib import AbstractContextManager

    from workflow_agent.app.container import Container
    from workflow_agent.app.flow_fork import Fork
    from workflow_agent.app.ownership import RunOwnership
    from workflow_agent.client import WorkflowExecution
    from workflow_agent.model.event import Event, RunState
    from workflow_agent.model.ports import Bus
    from workflow_agent.model.workflow import Workflow
    from workflow_agent.security.credentials import CredentialSet
    from workflow_agent.store import SqliteStore

__all__ = ["Flows", "open_flows"]

#: Seconds that a child has to stop with its parent's step.
_CHILD_STOP_S = 15.0


class Flows(FlowWords):
    """Drives runs in this process, and looks at those of others.

    Args:
        parts: Driver, vault, bus.
        store: Journal and history.
        ownership: Which process drives which run.
    """

    def __init__(self, parts: Container, store: SqliteStore, ownership: RunOwnership) -> None:
        super().__init__(store, ownership, parts.driver(), parts.clock())
        self._vault = parts.vault()
        self._credentials: Mapping[str, CredentialSet] = parts.settings().credentials
        if self._credentials:
            from workflow_agent.security.credentials import source_variables  # noqa: PLC0415  # late: few have one

            self._vault.withheld = source_variables(self._credentials.values())
        self._live = parts.live_flows()
        self._live.children = self
        self._driver.around_child = self._child_at_hand
        self._bus: Bus = parts.bus()

    @property
    def bus(self) -> Bus:
        """Tells what happens, at once."""
        return self._bus

    def prepare(self, workflow: Any, given: Mapping[str, Any], **wanted: Any) -> FlowRun:
        """Say which run is wanted; `wanted` is what :func:`prepared` takes besides."""
        return prepared(workflow, given, **wanted)

    async def run(self, run: FlowRun) -> RunState:
        """Drive a run to its end; one that the journal knows is taken up where it stands, or only read.

        Raises:
            ConflictError: another process drives it, or the id belongs to a run of something else.
            ValidationError: the inputs do not fit the definition.
            StoreError: the journal cannot be written.
        """
        past = (await pasts_of(self.journal, [run.run_id])).get(run.run_id)
        if past is not None:
            check_same(run, past.created)
            if (state := await self.state(run.run_id)).status in TERMINAL_RUN:
                return state
        async with self._socket.listening() as name:
            with self._ownership.held(run.run_id, name):
                return await self._driven(run, is_known=past is not None)

    async def _driven(self, run: FlowRun, *, is_known: bool) -> RunState:
        with self.at_hand(run.run_id, run.definition, run.secrets, run.instance, may_lack=run.is_ending):
            if is_known:
                for error in (await end_left_behind([run.run_id], self.state)).values():
                    raise error
                return await self._driver.resume(run.definition, run.run_id)
            return await self._driver.start(
                run.definition,
                run.inputs,
                run.meta,
                run.run_id,
                beginning=run.beginning,
                durability=run.durability,
            )

    @contextmanager
    def at_hand(
        self,
        run_id: str,
        definition: Workflow,
        secrets: Mapping[str, Secret],
        instance: object | None = None,
        *,
        may_lack: bool = False,
    ) -> Iterator[None]:
        """Have inside the block what the steps of a run ask this process for; with `may_lack`, what can be had.

        Raises:
            NotFoundError: a step names credentials that the settings do not have.
            ParameterError: a value of credentials cannot be read.
            ValidationError: credentials of one step have the same variable.
        """
        sets = credentials_of(definition, self._credentials, os.environ, may_lack=may_lack)
        self._vault.hold(run_id, secrets)
        self._vault.hold_sets(run_id, sets)
        self._live.runs[run_id] = LiveFlow(workflow=definition.name, workflow_hash=definition.hash, instance=instance)
        try:
            yield
        finally:
            self._live.runs.pop(run_id, None)
            self._vault.drop(run_id)

    async def resume(
        self, run_id: str, secrets: Mapping[str, Secret] | None = None, *, one_step: bool = False
    ) -> RunState:
        """Drive a run to its end whose process died; one that was paused goes on.

        Args:
            run_id: The run.
            secrets: Values of the secrets that it was given.
            one_step: Let a paused run pause again after one step.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: another process drives it.
            ParameterError: it was given a secret that is not here, or credentials of its steps cannot be read; what it
                did stays, and it can be resumed.
        """
        definition, past = await self.past(run_id)
        if (owner := await self.owner(run_id)) is not None:
            raise ConflictError(f"process {owner.pid} drives the run", run_id=run_id)
        missing_secrets(past.first, secrets or {})
        credentials_of(definition, self._credentials, os.environ)  # before it is said that it goes on
        await self._let_go_on(run_id, one_step=one_step)
        return await self._taken_up(definition, past.first, secrets or {})

    async def resume_all(self, secrets: Mapping[str, Secret] | None = None) -> list[TakenUp]:
        """Drive all runs to their end whose processes died, many at the same time; runs that are paused stay so.

        A run that is a step of another one is taken up by that.

        Args:
            secrets: Values of secrets by name; each run gets those that it was begun with.

        Returns:
            What became of each, in the order in which they were begun; a run that was left has a reason.

        Raises:
            StoreError: the journal cannot be used.
        """
        rows = await self.history.unfinished_of(OWN_ACTION)
        async with self._socket.listening() as socket:
            taking = TakingUp(
                self, self._driver, self._ownership, secrets=secrets or {}, socket=socket, most=most_at_once()
            )
            return await taking.all(rows)

    async def end(self, run_id: str, reason: str) -> RunState:
        """Cancel a run whose process died: what it does after a cancel and at the end in every case, it does now.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: another process drives it, or it has ended.
        """
        definition, past = await self.past(run_id)
        await self._note_cancel(run_id, reason)
        return await self._taken_up(definition, past.first, {}, is_ending=True)

    async def begin_fork(self, fork: Fork, secrets: Mapping[str, Secret] | None = None) -> RunState:
        """Drive a run to its end that is made from another one (``fork_of``).

        Raises:
            ParameterError: the other one was given a secret that is not here.
            ValidationError: the changed inputs do not fit.
        """
        definition, past = await self.past(fork.origin)
        missing_secrets(past.first, secrets or {})
        self.load(fork.meta)
        return await self.run(
            FlowRun(
                run_id=fork.run_id,
                definition=definition,
                inputs=fork.inputs,
                instance=None,
                secrets=secrets or {},
                meta=fork.meta,
                beginning=fork.beginning,
            )
        )

    @staticmethod
    def load(meta: Mapping[str, Any]) -> None:
        """Load the file that a run came from: what its functions are called only means something then."""
        source = meta.get("source")
        if source and source.endswith(".py"):
            load_module(Path(source))

    async def _taken_up(
        self, definition: Workflow, created: Event, secrets: Mapping[str, Secret], *, is_ending: bool = False
    ) -> RunState:
        self.load(created.data["meta"])
        run = FlowRun(
            run_id=created.run_id,
            definition=definition,
            inputs=created.data["inputs"],
            instance=None,
            secrets=secrets,
            meta=created.data["meta"],
            is_ending=is_ending,
        )
        return await self.run(run)

    # -- children ----------------------------------------------------------------------------------------------------

    async def run_child(
        self, workflow: Any, given: Mapping[str, Any], *, parent: str, step: str, number: int, wait: bool
    ) -> Any:
        """Run a workflow as part of a step; gives its result, or without `wait` the task that drives it.

        Raises:
            WorkflowAgentError: it did not succeed.
        """
        definition = compile_workflow(workflow)
        run_id = child_id(parent, step, definition, as_json(dict(given), what="the input"), number)
        secrets = self._secrets_of(parent)
        run = prepared(workflow, given, run_id=run_id, secrets=secrets, parent={"run_id": parent, "step": step})
        driving = asyncio.ensure_future(self.run(run))
        if not wait:
            return self._execution(run_id, definition, driving)
        try:
            return self.outcome(definition, await asyncio.shield(driving))
        except asyncio.CancelledError:
            await self._stop_child(run_id, driving)
            raise

    def _secrets_of(self, run_id: str) -> dict[str, Secret]:
        return {name: Secret(self._vault.reveal(run_id, name)) for name in self._vault.names(run_id)}

    def _child_at_hand(self, run_id: str, definition: Workflow, parent: str) -> AbstractContextManager[None]:
        """Have at hand what the steps of a run ask for that a step with ``workflow.run`` asks for."""
        return self.at_hand(run_id, definition, self._secrets_of(parent))

    def _execution(self, run_id: str, definition: Workflow, driving: asyncio.Future[RunState]) -> WorkflowExecution:
        from workflow_agent.client import WorkflowExecution  # noqa: PLC0415  # late: few ask for it
        from workflow_agent.client.embedded import EmbeddedRuns  # noqa: PLC0415  # late: as above
        from workflow_agent.client.port import KnownRun  # noqa: PLC0415  # late: as above

        known = KnownRun(
            run_id=run_id,
            workflow_name=definition.name,
            workflow_hash=definition.hash,
            definition=definition,
            driving=driving,
        )
        return WorkflowExecution(EmbeddedRuns(lambda: nullcontext(self), lambda: nullcontext(self)), known)

    async def _stop_child(self, run_id: str, driving: asyncio.Future[RunState]) -> None:
        with suppress(NotFoundError):
            await self._driver.cancel(run_id, "the step that ran it was stopped")
        await asyncio.wait({driving}, timeout=_CHILD_STOP_S)
        driving.cancel()


@asynccontextmanager
async def open_flows(overrides: Mapping[str, object] | None = None) -> AsyncIterator[Flows]:
    """Open the application for runs of people's own workflows.

    Args:
        overrides: Settings by ``section.key``, above the environment.

    Raises:
        StoreError: the database cannot be opened.
    """
    async with open_app(load_settings(None, overrides or {}, os.environ)) as app:
        yield await app.flows()
