"""``resume`` of a run of a person's own workflow: it goes on where it stood, here or where it is driven."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from workflow_agent.app import open_app
from workflow_agent.app.flow_records import records_of
from workflow_agent.cli.flow_outcome import detached_outcome, ended_outcome, revealed
from workflow_agent.cli.flow_session import carry_out_resume
from workflow_agent.cli.outcome import CommandFailedError, Outcome
from workflow_agent.cli.secret_input import given_secrets
from workflow_agent.cli.style import safe
from workflow_agent.cli.tables import counted
from workflow_agent.model.errors import ConflictError, RunFailedError
from workflow_agent.model.status import RunStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from workflow_agent.app.flow_taking_up import TakenUp
    from workflow_agent.cli.invocation import Invocation
    from workflow_agent.cli.style import Style
    from workflow_agent.security.secret import Secret

__all__ = ["resume_every", "resume_own", "wanted_secrets"]


def resume_own(
    invocation: Invocation, run: Mapping[str, Any], secrets: Sequence[str], *, one_step: bool, no_wait: bool
) -> Outcome:
    """Let a run go on.

    Args:
        invocation: What was typed for all commands.
        run: The run, as history gives it.
        secrets: As typed, ``name=SOURCE``.
        one_step: Let it pause again after one step.
        no_wait: Leave it to a process of its own.

    Raises:
        ConflictError: a process drives it, and it is not paused.
        CommandFailedError: it did not succeed.
    """
    run_id = str(run["run_id"])
    told = asyncio.run(_told(invocation, run, one_step=one_step))
    if told is not None:
        invocation.say(f"run {run_id} goes on in process {told['pid']}")
        return Outcome(data=told)
    given = given_secrets(invocation, wanted_secrets(secrets, asyncio.run(_names(invocation, run_id))), ())
    if no_wait:
        return detached_outcome(invocation, {"resume": run_id, "one_step": one_step, "secrets": revealed(given)})
    was = "was paused" if run["status"] == RunStatus.PAUSED else "was left by a process that died"
    invocation.say(f"run {run_id} {was}; it goes on where it stood")
    return ended_outcome(carry_out_resume(invocation, run_id, given, one_step=one_step))


def resume_every(invocation: Invocation, secrets: Sequence[str]) -> Outcome:
    """Let all runs of people's own workflows go on whose processes died.

    Raises:
        CommandFailedError: some were left, or did not succeed.
    """
    given = given_secrets(invocation, [*secrets], ())
    runs, warnings = asyncio.run(_every(invocation, given))
    bad = [run for run in runs if run.was_left or run.status != RunStatus.SUCCEEDED]

    def lines(style: Style) -> Iterator[str]:
        if not runs:
            yield "no process left a run behind"
            return
        yield style.paint(f"{counted(len(runs), 'run')}, {len(runs) - len(bad)} of them succeeded now", "bold")
        for run in bad:
            said = "left" if run.was_left else run.status
            yield f"  {safe(run.run_id)}  {safe(said)}  {safe(run.workflow)}: {safe(run.reason or '')}"

    outcome = Outcome(data={"items": [asdict(run) for run in runs]}, lines=lines, warnings=warnings)
    if bad:
        error = RunFailedError(
            f"{len(bad)} of {counted(len(runs), 'run')} left, or not succeeded",
            cause=bad[0].reason,
            hint=f"`workflow-agent show {bad[0].run_id}` tells of the first of them",
        )
        raise CommandFailedError(error, outcome)
    return outcome


async def _every(invocation: Invocation, secrets: Mapping[str, Secret]) -> tuple[list[TakenUp], tuple[str, ...]]:
    async with open_app(invocation.settings()) as app:
        return await (await app.flows()).resume_all(secrets), tuple(app.warnings)


def wanted_secrets(typed: Sequence[str], names: Sequence[str]) -> list[str]:
    """Add, at a terminal, the secrets that are asked for: those that the run was begun with and nobody gave."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return [*typed]
    given = {each.partition("=")[0] for each in typed}
    return [*typed, *(f"{name}=-" for name in names if name not in given)]


async def _names(invocation: Invocation, run_id: str) -> list[str]:
    async with open_app(invocation.settings(), read_only=True) as app:
        events = await app.store.journal.events(run_id)
        return [str(name) for name in events[0].data["meta"].get("secrets", ())]


async def _told(invocation: Invocation, run: Mapping[str, Any], *, one_step: bool) -> dict[str, Any] | None:
    """Tell the process that drives a paused run; None where there is none."""
    run_id = str(run["run_id"])
    async with open_app(invocation.settings(), read_only=True) as app:
        owner = app.owner(run_id)
        state = await records_of(app).state(run_id)
    if owner is None:
        return None
    if state.paused is None:
        raise ConflictError(
            f"process {owner.pid} is driving run {run_id}",
            cause=f"it is {run['status']}",
            hint=f"`workflow-agent logs -f {run_id}` follows it, `workflow-agent cancel {run_id}` stops it",
            run_id=run_id,
        )
    async with open_app(invocation.settings()) as app:
        await (await app.flows()).unpause(run_id, one_step=one_step)
        status = (await app.history.run(run_id))["status"]
    return {"run_id": run_id, "status": status, "pid": owner.pid}
