"""One run of a person's own workflow on the command line: progress, signals, the result."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, TextIO

from workflow_agent.app import open_app
from workflow_agent.app.flow_run import prepared
from workflow_agent.app.run_report import report_run
from workflow_agent.app.watching import RunWatcher
from workflow_agent.cli.envelope import json_line
from workflow_agent.cli.prints import prints_as_talk
from workflow_agent.cli.progress import choose_progress
from workflow_agent.cli.session import Stopper
from workflow_agent.model.errors import InterruptedRunError, WorkflowAgentError
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.app.flow_run import FlowRun
    from workflow_agent.app.flows import Flows
    from workflow_agent.cli.invocation import Invocation
    from workflow_agent.cli.progress import Progress
    from workflow_agent.model.event import RunState
    from workflow_agent.security.secret import Secret

__all__ = ["FlowEnded", "FlowRequest", "carry_out_flow"]

_PROMISE = "steps that say how are undone"
_NO_PROGRESS = "WORKFLOW_AGENT_NO_PROGRESS"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRequest:
    """What was typed: the workflow, as it was loaded, and what it is given."""

    workflow: Any
    given: Mapping[str, Any]
    secrets: Mapping[str, Secret]
    key: str | None
    source: str
    events: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowEnded:
    """How it ended."""

    run_id: str
    report: dict[str, Any]
    result: Any = None
    error: WorkflowAgentError | None = None


def carry_out_flow(invocation: Invocation, request: FlowRequest) -> FlowEnded:
    """Run it to its end; an error of the run is in what is given back.

    Raises:
        WorkflowAgentError: it was refused before it began.
    """
    run = prepared(
        request.workflow,
        request.given,
        secrets=request.secrets,
        idempotency_key=request.key,
        source=request.source,
    )
    return asyncio.run(_carried_out(invocation, request, run))


async def _carried_out(invocation: Invocation, request: FlowRequest, run: FlowRun) -> FlowEnded:
    title = f"run {run.definition.name}, run {run.run_id}"
    style = invocation.style(sys.stderr)
    plain = bool(invocation.environ.get(_NO_PROGRESS)) or invocation.environ.get("TERM") == "dumb"
    steps = [step.id for step in run.definition.steps]
    progress = choose_progress(title, steps, sys.stderr, style, quiet=invocation.quiet, plain=plain)
    if style.width is None:
        invocation.say(title)
    try:
        async with open_app(invocation.settings()) as app:
            flows = await app.flows()
            with prints_as_talk(progress) as answers:
                task = asyncio.ensure_future(_watched(flows, request, run, progress, answers))
                with Stopper(app, invocation, run.run_id, task, progress, promise=_PROMISE).watching():
                    return await _ended(flows, run, task)
    finally:
        progress.close()


async def _watched(flows: Flows, request: FlowRequest, run: FlowRun, progress: Progress, answers: TextIO) -> RunState:
    def on_event(event: Mapping[str, Any], status: str) -> None:
        if request.events:
            answers.write(json_line(event) + "\n")
            answers.flush()
        progress.event(event, status)

    async with RunWatcher(flows.bus, run.definition, run.run_id, on_event, progress.output):
        return await flows.run(run)


async def _ended(flows: Flows, run: FlowRun, task: asyncio.Future[RunState]) -> FlowEnded:
    try:
        state = await task
    except asyncio.CancelledError:
        if not task.cancelled():
            raise  # we are cancelled, not the run
        raise InterruptedRunError("interrupted before the run began", state="nothing was changed") from None
    result, problem = None, None
    try:
        result = flows.outcome(run.definition, state)
    except WorkflowAgentError as error:
        error.run_id = error.run_id or run.run_id
        problem = error
    report = await report_run(flows.history, run.run_id)
    return FlowEnded(run_id=run.run_id, report=report, result=result, error=problem)
