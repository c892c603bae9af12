"""A run from its first event to its last: progress, consent, signals, the report."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workflow_agent.cli.consent import TerminalApprover
from workflow_agent.cli.envelope import json_line
from workflow_agent.cli.progress import choose_progress
from workflow_agent.cli.run_view import run_subject
from workflow_agent.model.errors import InterruptedRunError, NotFoundError, WorkflowAgentError
from workflow_agent.model.identity import new_run_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from workflow_agent.app import App
    from workflow_agent.cli.invocation import Invocation
    from workflow_agent.cli.progress import Progress
    from workflow_agent.model.workflow import Workflow
    from workflow_agent.security.secret import Secret

__all__ = ["Ended", "Stopper", "conduct"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NO_PROGRESS = "WORKFLOW_AGENT_NO_PROGRESS"


@dataclass(slots=True, kw_only=True)
class Ended:
    """How a run ended: its report, the outputs of steps that a plan is shown from, the error if there was one.

    `warnings` are what a person should know beside it, such as earlier runs that had to be ended.
    """

    run_id: str
    report: dict[str, Any] | None = None
    outputs: dict[str, Any] = field(default_factory=dict)
    error: WorkflowAgentError | None = None
    warnings: tuple[str, ...] = ()


#: Steps whose output a plan is shown from; those of requirements have names before them.
_WANTED = frozenset(
    {
        "lookup",
        "current",
        "absent",
        "take",
        "build",
        "validate",
        "prepare",
        "requested",
        "locate",
        "preview",
        "choose",
        "inverse",
    }
)


async def conduct(
    app: App,
    invocation: Invocation,
    workflow: str,
    inputs: Mapping[str, Any],
    *,
    secrets: Mapping[str, Secret] | None = None,
    events: bool = False,
) -> Ended:
    """Run a workflow, show it, stop it when a signal comes. Never raises an error of the run: it is in the result."""
    declared = app.catalogue.get(workflow).inputs
    inputs = {name: value for name, value in inputs.items() if name in declared}
    definition = await app.definition(workflow, inputs)
    ended = Ended(run_id=new_run_id())
    action = inputs.get("action") or workflow
    subject = inputs.get("integration") or inputs.get("name")
    about = {"action": action, "integration": subject, "target": inputs.get("target")}
    title = f"{run_subject(about)}, run {ended.run_id}"
    progress = choose_progress(
        title,
        [step.id for step in definition.steps],
        sys.stderr,
        invocation.style(sys.stderr),
        quiet=invocation.quiet,
        plain=bool(invocation.environ.get(_NO_PROGRESS)) or invocation.environ.get("TERM") == "dumb",
    )
    if invocation.style(sys.stderr).width is None:
        invocation.say(title)
    try:
        await _run(app, invocation, definition, inputs, secrets=secrets, ended=ended, progress=progress, events=events)
    finally:
        progress.close()
    ended.warnings = tuple(app.warnings)
    app.warnings.clear()
    return ended


async def _run(
    app: App,
    invocation: Invocation,
    definition: Workflow,
    inputs: Mapping[str, Any],
    *,
    secrets: Mapping[str, Secret] | None,
    ended: Ended,
    progress: Progress,
    events: bool,
) -> None:
    def on_event(event: Mapping[str, Any], status: str) -> None:
        if event["type"] == "StepSucceeded" and event["step"].rpartition("_")[2] in _WANTED:
            ended.outputs[event["step"]] = event["data"].get("output")
        if events:
            sys.stdout.write(json_line(event) + "\n")
            sys.stdout.flush()
        progress.event(event, status)

    task = asyncio.ensure_future(
        app.run(
            definition.name,
            inputs,
            run_id=ended.run_id,
            definition=definition,
            approver=TerminalApprover(invocation, progress),
            on_event=on_event,
            on_output=progress.output,
            secrets=secrets,
        )
    )
    with Stopper(app, invocation, ended.run_id, task, progress).watching():
        try:
            ended.report = await task
        except WorkflowAgentError as error:
            error.run_id = error.run_id or ended.run_id
            ended.error = error
        except asyncio.CancelledError:
            if not task.cancelled():
                raise  # we are cancelled, not the run
            ended.error = InterruptedRunError("interrupted before the run began", state="nothing was changed")
    if ended.report is None:
        ended.report = await _report(app, ended.run_id)


async def _report(app: App, run_id: str) -> dict[str, Any] | None:
    """Describe a run that failed; one that was refused before its first record has nothing to describe."""
    try:
        return await app.report(run_id)
    except NotFoundError:
        return None


class Stopper:
    """The first signal asks the run to stop and take back what it did; the second leaves at once.

    `promise` is what a person is told of the former, `resuming` what `resume` does after the latter.
    """

    def __init__(
        self,
        app: App,
        invocation: Invocation,
        run_id: str,
        task: asyncio.Future[Any],
        progress: Progress,
        *,
        promise: str = "what was done is taken back",
        resuming: str = "takes it back, and so does the next command that changes this target",
    ) -> None:
        self._app = app
        self._invocation = invocation
        self._run_id = run_id
        self._task = task
        self._progress = progress
        self._promise = promise
        self._resuming = resuming
        self._stopping: asyncio.Task[None] | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Take the signals over for a while."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._signal, number)
        try:
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)
            if self._stopping is not None and not self._stopping.done():
                self._stopping.cancel()

    def _signal(self, number: signal.Signals) -> None:
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._stop(number))
        else:
            self._leave()

    async def _stop(self, number: signal.Signals) -> None:
        self._progress.pause()
        self._invocation.say()
        self._invocation.say(f"{number.name}: stopping; {self._promise}. Once more leaves at once.")
        self._progress.resume()
        if not await self._app.cancel(self._run_id, f"interrupted by {number.name}"):
            if await _report(self._app, self._run_id) is None:
                self._task.cancel()  # it did not begin
            else:
                self._invocation.say("It is too late to stop it: the run ends by itself.")

    def _leave(self) -> None:
        """End the process as it stands; its scripts die with it, and the next command takes back what is left."""
        self._progress.pause()
        sys.stderr.write(
            f"\nleft at once; run {self._run_id} is not finished.\n"
            "state: what it changed may still be there\n\n"
            f"hint: `workflow-agent resume {self._run_id}` {self._resuming}; "
            f"`workflow-agent show {self._run_id}` tells how far it came\n"
        )
        sys.stderr.flush()
        os._exit(InterruptedRunError.exit_code)
