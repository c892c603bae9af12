"""A run at a runner, for ``run --runner NAME``: begun there, followed from here."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from workflow_agent.app.health import runners_of
from workflow_agent.cli.outcome import CommandFailedError, Outcome
from workflow_agent.cli.style import safe
from workflow_agent.client.runner_runs import RunnerRuns
from workflow_agent.client.runners import find_runner
from workflow_agent.model.errors import InterruptedRunError, WorkflowAgentError

if TYPE_CHECKING:
    from workflow_agent.cli.flow_session import FlowRequest
    from workflow_agent.cli.invocation import Invocation
    from workflow_agent.client.port import KnownRun

__all__ = ["carry_out_elsewhere"]


def carry_out_elsewhere(invocation: Invocation, name: str, request: FlowRequest, *, is_awaited: bool) -> Outcome:
    """Run a workflow at a runner; without waiting, its id is the data.

    Raises:
        NotFoundError: there is no such runner.
        UnreachableError: it is not well, or lacks what the workflow needs; nothing was begun.
        CommandFailedError: the run did not succeed.
    """
    runner = find_runner(name, runners_of(invocation.settings()))
    return asyncio.run(_ran(invocation, name, RunnerRuns(runner), request, is_awaited=is_awaited))


async def _ran(
    invocation: Invocation, name: str, runs: RunnerRuns, request: FlowRequest, *, is_awaited: bool
) -> Outcome:
    async with runs.use():
        known = await _begun(name, runs, request)
        data: dict[str, Any] = {"run_id": known.run_id, "workflow": known.workflow_name, "runner": name}
        invocation.say(f"run {known.workflow_name}, run {known.run_id}, runner {name}")
        if not is_awaited:
            data["status"] = (await runs.status(known.run_id)).value
            return Outcome(data=data, lines=lambda _: [known.run_id])
        try:
            async for event in runs.events(known.run_id, ""):
                if event.step is not None:
                    invocation.say(f"{event.type} {safe(event.step)}: {safe(event.message)}")
            data["status"] = (await runs.end(known)).value
        except asyncio.CancelledError:
            raise _left(f"it goes on at the runner `{name}`", known.run_id) from None
        try:
            data["result"] = await runs.result(known)
        except WorkflowAgentError as error:
            error.run_id = error.run_id or known.run_id
            raise CommandFailedError(error, Outcome(data={**data, "result": None})) from None
    text = json.dumps(data["result"], indent=2, ensure_ascii=False)
    return Outcome(data=data, lines=lambda _: [text])


async def _begun(name: str, runs: RunnerRuns, request: FlowRequest) -> KnownRun:
    try:
        return await runs.begin(
            request.workflow,
            request.given,
            is_awaited=False,
            secrets=request.secrets,
            tags=request.tags,
            idempotency_key=request.key,
            durability=request.durability,
        )
    except asyncio.CancelledError:
        raise _left(f"it may have begun at the runner `{name}`", None) from None


def _left(state: str, run_id: str | None) -> InterruptedRunError:
    hint = "the commands see it where that server runs; with the same `--key` this one waits for it again"
    return InterruptedRunError("nobody waits for the run any more", run_id=run_id, state=state, hint=hint)
