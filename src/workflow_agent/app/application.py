"""The application: opens everything in order, runs workflows, closes everything in the reverse order."""

from __future__ import annotations

import asyncio
import getpass
import os
import re
import socket
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from workflow_agent.app.ownership import RunOwnership
from workflow_agent.app.run_errors import error_of_run, without_end
from workflow_agent.app.run_report import report_run
from workflow_agent.app.watching import RunWatcher
from workflow_agent.model.choice import NOTHING_CHOSEN
from workflow_agent.model.errors import NotFoundError, StoreError, ValidationError, WorkflowAgentError
from workflow_agent.model.identity import new_run_id
from workflow_agent.model.status import OWN_ACTION, TERMINAL_RUN, RunStatus
from workflow_agent.store import SqliteStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from workflow_agent.agents.person import Approver
    from workflow_agent.agents.serving import ServedAgents
    from workflow_agent.app.container import Container
    from workflow_agent.app.flows import Flows
    from workflow_agent.app.ownership import Owner
    from workflow_agent.app.settings import Settings
    from workflow_agent.app.settling import Settler
    from workflow_agent.app.watching import OnEvent, OnOutput
    from workflow_agent.integrations import Registry
    from workflow_agent.model.choice import ConflictChoice
    from workflow_agent.model.ports import Bus, History, TargetRegistry, WorkflowCatalogue
    from workflow_agent.model.workflow import Workflow
    from workflow_agent.security.secret import Secret

__all__ = ["App", "current_user", "open_app"]

#: The target of a workflow that names none.
_TARGET = "host"
_RUN_ID = re.compile(r"r-[0-9A-HJKMNP-TV-Z]{26}")


class App:
    """Everything that a command or a program needs, opened by :func:`open_app`."""

    def __init__(self, settings: Settings, store: SqliteStore, container: Container | None) -> None:
        self.settings = settings
        self._store = store
        self._container = container
        self._served: ServedAgents | None = None
        self._starting = asyncio.Lock()
        self._ownership = RunOwnership(store.artifacts_dir)
        #: Sentences that a person should read, in the order in which they came up.
        self.warnings: list[str] = []

    # -- parts -------------------------------------------------------------------------------------------------------

    @property
    def history(self) -> History:
        """What was done."""
        return self._store.history

    @property
    def store(self) -> SqliteStore:
        """Journal, history and files of runs."""
        return self._store

    @property
    def _parts(self) -> Container:
        if self._container is None:
            from workflow_agent.app.container import build_container  # noqa: PLC0415  # late: 150 ms

            self._container = build_container(self.settings, self._store)
        return self._container

    @property
    def catalogue(self) -> WorkflowCatalogue:
        """Workflows by name."""
        return self._parts.catalogue()

    @property
    def registry(self) -> Registry:
        """Integrations by name."""
        return self._parts.registry()

    @property
    def bus(self) -> Bus:
        """The bus that the agents are on."""
        return self._parts.bus()

    @property
    def targets(self) -> TargetRegistry:
        """Targets by name."""
        return self._parts.targets()

    def agents(self) -> list[dict[str, Any]]:
        """List the agents: name, implementation, verbs with the schemas of requests and replies."""
        return [
            {
                "name": agent.name,
                "implementation": f"{type(agent).__module__}:{type(agent).__qualname__}",
                "verbs": sorted(agent.verbs()),
                "subjects": [f"agent.{agent.name}.{verb}" for verb in sorted(agent.verbs())],
                "schemas": {
                    name: {"request": verb.request.model_json_schema(), "reply": verb.reply.model_json_schema()}
                    for name, verb in sorted(agent.verbs().items())
                },
            }
            for agent in self._agents()
        ]

    def _agents(self) -> list[Any]:  # Any: Agent, of whatever class the settings name
        from workflow_agent.app.container import AGENTS  # noqa: PLC0415  # late: 150 ms

        return [getattr(self._parts, name.replace("-", "_"))() for name in AGENTS]

    # -- running -----------------------------------------------------------------------------------------------------

    async def run(
        self,
        workflow: str,
        inputs: Mapping[str, Any],
        *,
        run_id: str | None = None,
        definition: Workflow | None = None,
        approver: Approver | None = None,
        on_event: OnEvent | None = None,
        on_output: OnOutput | None = None,
        secrets: Mapping[str, Secret] | None = None,
    ) -> dict[str, Any]:
        """Run a workflow to its end.

        Args:
            workflow: Its name in the catalogue.
            inputs: Its inputs.
            run_id: The id, as ``new_run_id`` makes them; a fresh one when None.
            definition: As :meth:`definition` gave it for these inputs; asked for when None.
            approver: Asked for consent; without one, a run that needs consent fails.
            on_event: Called with each event (JSON form) and the run's status then, in order.
            on_output: Called with the step and each line of a script's output.
            secrets: Values of parameters that are secrets. They stay in this process's memory while the run lasts.

        Returns:
            The run, as :func:`report_run` gives it.

        Raises:
            WorkflowAgentError: the run did not succeed; `run_id` is set. See :func:`error_of_run`. Without a
                `run_id` the run was never created.
        """
        from workflow_agent.engine import checked_inputs  # noqa: PLC0415  # late: as the container

        definition = definition or await self.definition(workflow, inputs)
        run_id = _checked_run_id(run_id) if run_id is not None else new_run_id()
        values = self._referring(checked_inputs(definition, inputs), secrets or {})
        target = str(values.get("target") or _TARGET)
        await self._serve()
        if any(step.uses.startswith("executor.") for step in definition.steps):
            await self.settle(target)
        with self._ownership.held(run_id):
            self._ask_for(run_id, approver)
            self._parts.vault().hold(run_id, secrets or {})
            try:
                async with RunWatcher(self.bus, definition, run_id, on_event, on_output):
                    meta = self._meta(workflow, values, target)
                    state = await self._parts.driver().start(definition, values, meta, run_id)
            except StoreError as error:
                raise await without_end(error, self.history, run_id, target) from None
            finally:
                self._ask_for(run_id, None)
                self._parts.vault().drop(run_id)
                await self._release(run_id)
        if state.status is not RunStatus.SUCCEEDED:
            await self._learn(run_id)
            raise error_of_run(state)
        report = await self.report(run_id)
        if report.get("attempts"):
            await self._learn(run_id)
        return report

    async def _learn(self, run_id: str) -> None:
        """Let the improver look at a run in which something failed. What it cannot do stands in nobody's way."""
        from workflow_agent.model.message import Message  # noqa: PLC0415  # late: needed after failures only

        with suppress(WorkflowAgentError):
            await self.bus.request(Message(subject="agent.improver.learn", data={"run": run_id}, source="app"))

    def _referring(self, values: dict[str, Any], secrets: Mapping[str, Secret]) -> dict[str, Any]:
        """Put references in the place of secrets; without parameters there is nothing to look for."""
        if not secrets and not values.get("parameters"):
            return values
        from workflow_agent.app.run_secrets import referring_inputs  # noqa: PLC0415  # late: few runs have any

        return referring_inputs(values, secrets, self.registry, self.settings.paths.state)

    async def definition(self, workflow: str, inputs: Mapping[str, Any]) -> Workflow:
        """Give the definition that a run of a workflow with these inputs has: with the steps of all requirements.

        Raises:
            NotFoundError: there is no such workflow.
            ValidationError: its file is not valid.
            StoreError: history cannot be read.
        """
        from workflow_agent.app.expanding import expanded  # noqa: PLC0415  # late: as the container

        return await expanded(self.catalogue.get(workflow), inputs, lambda: self.registry, self.history)

    async def standing_on(
        self, run_id: str, *, wait_s: float = 0.0, choice: ConflictChoice = NOTHING_CHOSEN
    ) -> list[dict[str, Any]]:
        """List a run and the later ones that stand on it, in the order in which they can be taken back.

        Each as :func:`foresee_rollbacks` gives it; the run itself is the last one.

        Raises:
            PathConflictError: somebody else than a run changed paths since; they are named.
            NotFoundError: there is no such run, or it has no transaction.
            TargetLockedError: another run holds the target.
        """
        from workflow_agent.app.cascading import standing_on  # noqa: PLC0415  # late: as the container
        from workflow_agent.app.going_back import foresee_rollbacks  # noqa: PLC0415  # late: as the container

        name = str((await self.history.run(run_id))["target"] or _TARGET)
        await self.settle(name)
        runs = await standing_on(self.history, self.targets.get(name), run_id, wait_s=wait_s, choice=choice)
        return await foresee_rollbacks(self.history, self.targets, name, runs, choice) if len(runs) > 1 else runs

    async def disputed(self, run_id: str, target: str, *, wait_s: float = 0.0) -> tuple[str, list[dict[str, Any]]]:
        """Give a run (where none is named: the newest of the target) and what stands against taking it back.

        Raises:
            NotFoundError: there is no such run, or it has no transaction.
            TargetLockedError: another run holds the target.
        """
        from workflow_agent.app.disputes import disputed  # noqa: PLC0415  # late: as the container

        await self.settle(target)
        latest = None if run_id else await self.history.latest_transaction(target)
        found = run_id or str((latest or {}).get("run_id") or "")
        if not found:
            return "", []  # the run says that there is nothing to take back
        return found, await disputed(self.history, self.targets.get(target), found, wait_s=wait_s)

    async def cancel(self, run_id: str, reason: str) -> bool:
        """Ask a run of this process to stop; it takes back what it did. False when it is past that."""
        with suppress(NotFoundError):  # past that
            return await self._parts.driver().cancel(run_id, reason)
        return False

    async def report(self, run_id: str) -> dict[str, Any]:
        """Describe a run; raises NotFoundError."""
        async with self.history.reading():
            return await report_run(self.history, run_id)

    async def settle(self, target: str) -> list[str]:
        """End the runs on a target whose process died: what they had begun is taken back.

        Returns:
            Their ids. What a person should know about them is added to `warnings`.

        Raises:
            StoreError: the journal cannot be used.
        """
        if not await self.history.unfinished(target):
            return []
        settled, warnings = await (await self._settler()).settle(target)
        self.warnings += warnings
        return settled

    async def resume(self, run_id: str) -> dict[str, Any]:
        """Drive a run on whose process died: one of a person's own workflow to its end, any other is taken back.

        Returns:
            The run, as :func:`report_run` gives it, whatever became of it.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: it has an end, its process lives, or the target cannot be taken now.
            StoreError: the journal cannot be used.
        """
        if (await self.history.run(run_id))["action"] != OWN_ACTION:
            return await self.take_back(run_id)
        await (await self.flows()).resume(run_id)
        return await self.report(run_id)

    async def take_back(self, run_id: str) -> dict[str, Any]:
        """End a run whose process died: what it had begun is taken back, or found to be done.

        Returns:
            The run, as :func:`report_run` gives it, whatever became of it.

        Raises:
            NotFoundError: there is no such run.
            ConflictError: it has an end, its process lives, or the target cannot be taken now.
            StoreError: the journal cannot be used.
        """
        run = await self.history.run(run_id)
        if run["action"] == OWN_ACTION:
            await (await self.flows()).end(run_id, "the process that drove the run ended")
            return await self.report(run_id)
        warning = await (await self._settler()).settle_run(run_id, run["workflow"], run["target"] or _TARGET)
        self.warnings += [warning] if warning else []
        return await self.report(run_id)

    def owner(self, run_id: str) -> Owner | None:
        """Tell which process drives a run now, of this machine; raises PermissionDeniedError."""
        return self._ownership.owner(run_id)

    def orphans(self, runs: Sequence[Mapping[str, Any]]) -> list[str]:
        """List those of some runs that have no end although no process drives them."""
        unfinished = [run["run_id"] for run in runs if run["status"] not in TERMINAL_RUN]
        return [run_id for run_id in unfinished if self.owner(run_id) is None]

    async def _settler(self) -> Settler:
        from workflow_agent.app.settling import Settler  # noqa: PLC0415  # late: needed after crashes only

        await self._serve()
        parts = self._parts
        return Settler(
            driver=parts.driver(),
            journal=self._store.journal,
            history=self.history,
            catalogue=self.catalogue,
            targets=self.targets,
            clock=parts.clock(),
            ownership=self._ownership,
        )

    async def flows(self) -> Flows:
        """Give the runs of people's own workflows."""
        from workflow_agent.app.flows import Flows  # noqa: PLC0415  # late: the Python front end

        await self._serve()
        return Flows(self._parts, self._store, self._ownership)

    async def recover(self, target: str, *, wait_s: float = 0.0) -> dict[str, Any]:
        """Take back what was interrupted on a target: its transactions, and the runs that ended by it.

        Raises:
            TargetLockedError: a run holds the target.
            RollbackIncompleteError: something cannot be taken back.
        """
        from workflow_agent.app.recovering import recover_target  # noqa: PLC0415  # late: one command needs it

        return await recover_target(self, target, wait_s=wait_s)

    async def recovery_unit(self, *, install: bool) -> dict[str, Any]:
        """Have the host recover when it boots, or no more: path, state, init, installed.

        Raises:
            UsageError: nothing starts services there.
            OSError: it cannot be written.
        """
        from workflow_agent.app.recovering import put_unit  # noqa: PLC0415  # late: one command needs it

        return await put_unit(self, install=install)

    async def doctor(self) -> list[dict[str, Any]]:
        """Look whether everything that is needed is there: check, status (ok, warn, fail), observed, fix.

        Never raises: what cannot be looked at is a check that failed.
        """
        from workflow_agent.app.doctor import examine  # noqa: PLC0415  # late: one command needs it

        return await examine(self)

    def _ask_for(self, run_id: str, approver: Approver | None) -> None:
        """Tell the person agent whom to ask; one of somebody else's knows that by itself."""
        person = self._parts.person()
        if hasattr(person, "ask_for"):
            person.ask_for(run_id, approver)

    async def _release(self, run_id: str) -> None:
        """Give back what a run holds, also where it ended without an end."""
        for name in self.targets.opened():
            await self.targets.get(name).release(run_id)

    @staticmethod
    def _meta(workflow: str, inputs: Mapping[str, Any], target: str) -> dict[str, Any]:
        """Say who, where and what for, as history lists it."""
        return {
            # A pipeline that serves several verbs is told which one it is.
            "action": inputs.get("action") or workflow,
            "integration": inputs.get("integration"),
            "target": target,
            "user": current_user(),
            "host": socket.gethostname(),
        }

    # -- start and stop ----------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        async with self._starting:
            if self._served is None:
                from workflow_agent.agents.serving import serve  # noqa: PLC0415  # late: pydantic, 36 ms
                from workflow_agent.app.container import late_agents  # noqa: PLC0415  # late: 150 ms

                self._served = await serve(self.bus, *late_agents(self._parts, self.settings))

    async def close(self) -> None:
        """Stop the agents, the bus and the targets; the store is closed by whoever opened it."""
        if self._container is None:
            return
        try:
            if self._served is not None:
                await self._served.close()
                await self.bus.drain()
        finally:
            await self._container.targets().close()


def current_user() -> str:
    """Name the person who runs this: who became root by sudo is still that person."""
    if os.environ.get("SUDO_USER"):
        return os.environ["SUDO_USER"]
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in many containers
        return str(os.getuid())


def _checked_run_id(run_id: str) -> str:
    if not _RUN_ID.fullmatch(run_id):
        raise ValidationError(
            f"`{run_id[:60]}` is no run id", hint="leave it out, or make one with `workflow_agent.model.new_run_id()`"
        )
    return run_id


@asynccontextmanager
async def open_app(settings: Settings, *, read_only: bool = False) -> AsyncIterator[App]:
    """Open the application.

    Args:
        settings: From ``load_settings``.
        read_only: Only look at history; nothing is created on disk.

    Raises:
        StoreError: the database cannot be opened.
    """
    folder = settings.paths.state
    if read_only:
        store = SqliteStore.open_read_only(folder)
    else:
        opening = asyncio.create_task(SqliteStore.open(folder), name="open the store")
        await asyncio.sleep(0)  # so that its thread begins
        import workflow_agent.app.container  # noqa: F401, PLC0415  # late; whoever writes needs it, and this is a wait

        store = await opening
    app = App(settings, store, None)
    try:
        yield app
    finally:
        try:
            await app.close()
        finally:
            await store.close()
