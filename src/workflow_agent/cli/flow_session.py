"""One run of a person's own workflow on the command line: progress, signals, the result."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, TextIO

from workflow_agent.app import open_app
from workflow_agent.app.flow_records import records_of
from workflow_agent.app.flow_run import prepared
from workflow_agent.app.run_report import report_run
from workflow_agent.app.watching import RunWatcher
from workflow_agent.cli.break_prompt import BreakPrompt
from workflow_agent.cli.envelope import json_line
from workflow_agent.cli.prints import prints_as_talk
from workflow_agent.cli.progress import choose_progress
from workflow_agent.cli.session import Stopper
from workflow_agent.cli.style import safe
from workflow_agent.model.errors import InterruptedRunError, WorkflowAgentError
from workflow_agent.model.event import EventType
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

    from workflow_agent.app.flow_run import FlowRun
    from workflow_agent.app.flows import Flows
    from workflow_agent.cli.invocation import Invocation
    from workflow_agent.cli.progress import Progress
    from workflow_agent.model.event import Event, RunState
    from workflow_agent.model.workflow import Workflow
    from workflow_agent.security.secret import Secret

__all__ = [
    "Drive",
    "FlowEnded",
    "FlowRequest",
    "carry_out",
    "carry_out_flow",
    "carry_out_resume",
    "drive_of_resume",
    "driven",
    "prepared_request",
]

_PROMISE = "steps that say how are undone"
_RESUMING = "lets it go on where it stood"
_NO_PROGRESS = "WORKFLOW_AGENT_NO_PROGRESS"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRequest:
    """What was typed: the workflow, as it was loaded, and what it is given."""

    workflow: Any
    given: Mapping[str, Any]
    secrets: Mapping[str, Secret]
    key: str | None
    tags: Mapping[str, str]
    break_before: Collection[str]
    source: str
    events: bool
    durability: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowEnded:
    """How it ended."""

    run_id: str
    report: dict[str, Any]
    result: Any = None
    error: WorkflowAgentError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """A run to be driven in this process: `act` does it; `past` are the events that it has already."""

    run_id: str
    definition: Workflow
    act: Callable[[Flows], Awaitable[RunState]]
    events: bool = False
    past: Sequence[Event] = ()


def prepared_request(request: FlowRequest) -> FlowRun:
    """Say which run was asked for; raises ValidationError."""
    return prepared(
        request.workflow,
        request.given,
        secrets=request.secrets,
        tags=request.tags,
        idempotency_key=request.key,
        break_before=request.break_before,
        source=request.source,
        durability=request.durability,
    )


def carry_out_flow(invocation: Invocation, request: FlowRequest) -> FlowEnded:
    """Run it to its end; an error of the run is in what is given back.

    Raises:
        WorkflowAgentError: it was refused before it began.
    """
    run = prepared_request(request)
    drive = Drive(run_id=run.run_id, definition=run.definition, act=lambda flows: flows.run(run), events=request.events)
    return carry_out(invocation, drive)


def carry_out(invocation: Invocation, drive: Drive) -> FlowEnded:
    """Drive a run to its end, and show it."""
    return asyncio.run(_shown(invocation, drive))


def carry_out_resume(
    invocation: Invocation, run_id: str, secrets: Mapping[str, Secret], *, one_step: bool
) -> FlowEnded:
    """Take a run up whose process died or that is paused; as :func:`carry_out_flow`."""

    async def resumed() -> FlowEnded:
        return await _shown(invocation, await drive_of_resume(invocation, run_id, secrets, one_step=one_step))

    return asyncio.run(resumed())


async def drive_of_resume(
    invocation: Invocation, run_id: str, secrets: Mapping[str, Secret], *, one_step: bool
) -> Drive:
    """Say how a run is taken up; raises NotFoundError."""
    async with open_app(invocation.settings(), read_only=True) as app:
        definition, past = await records_of(app).known(run_id)
    return Drive(
        run_id=run_id,
        definition=definition,
        act=lambda flows: flows.resume(run_id, secrets, one_step=one_step),
        past=past,
    )


async def _shown(invocation: Invocation, drive: Drive) -> FlowEnded:
    title = f"run {drive.definition.name}, run {drive.run_id}"
    style = invocation.style(sys.stderr)
    plain = bool(invocation.environ.get(_NO_PROGRESS)) or invocation.environ.get("TERM") == "dumb"
    steps = [step.id for step in drive.definition.steps]
    progress = choose_progress(title, steps, sys.stderr, style, quiet=invocation.quiet, plain=plain)
    if style.width is None:
        invocation.say(title)
    elif not plain:
        for event in drive.past:  # the tree shows what is done already
            progress.event(event.to_dict(), "")
    try:
        with prints_as_talk(progress) as answers:
            return await driven(invocation, drive, progress, answers)
    finally:
        progress.close()


async def driven(invocation: Invocation, drive: Drive, progress: Progress, answers: TextIO) -> FlowEnded:
    """Drive a run to its end; signals stop it."""
    async with open_app(invocation.settings()) as app:
        flows = await app.flows()
        task = asyncio.ensure_future(_watched(flows, invocation, drive, progress, answers))
        stopper = Stopper(app, invocation, drive.run_id, task, progress, promise=_PROMISE, resuming=_RESUMING)
        with stopper.watching():
            return await _ended(flows, drive, task)


async def _watched(flows: Flows, invocation: Invocation, drive: Drive, progress: Progress, answers: TextIO) -> RunState:
    prompt = BreakPrompt(invocation, flows, drive.run_id, progress)

    def on_event(event: Mapping[str, Any], status: str) -> None:
        is_asked = prompt.take(event)
        if drive.events:
            answers.write(json_line(event) + "\n")
            answers.flush()
        progress.event(event, status)
        if event["type"] == EventType.RUN_PAUSED and not is_asked:
            progress.pause()
            for line in _paused_lines(drive.run_id, str(event["data"].get("reason"))):
                invocation.say(line)
            progress.resume()

    try:
        async with RunWatcher(flows.bus, drive.definition, drive.run_id, on_event, progress.output):
            return await drive.act(flows)
    finally:
        prompt.close()


def _paused_lines(run_id: str, reason: str) -> tuple[str, ...]:
    return (
        f"run {run_id} is paused: {safe(reason)}",
        f"hint: `workflow-agent inspect {run_id}` shows where it stands, in another terminal",
        f"hint: `workflow-agent resume {run_id}` lets it go on; with `--step`, for one step",
    )


async def _ended(flows: Flows, drive: Drive, task: asyncio.Future[RunState]) -> FlowEnded:
    try:
        state = await task
    except asyncio.CancelledError:
        if not task.cancelled():
            raise  # we are cancelled, not the run
        raise InterruptedRunError("interrupted before the run began", state="nothing was changed") from None
    result, problem = None, None
    try:
        result = flows.outcome(drive.definition, state)
    except WorkflowAgentError as error:
        error.run_id = error.run_id or drive.run_id
        problem = error
    report = await report_run(flows.history, drive.run_id)
    return FlowEnded(run_id=drive.run_id, report=report, result=result, error=problem)
