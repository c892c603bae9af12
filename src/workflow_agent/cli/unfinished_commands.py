"""Commands for runs that have no end: resume, cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflow_agent.cli.grammar import declare
from workflow_agent.cli.options import NoWait, RunId, Secrets  # noqa: TC001  # Typer reads the annotations
from workflow_agent.cli.outcome import CommandFailedError, Outcome
from workflow_agent.cli.run_commands import PANEL
from workflow_agent.model.errors import ConflictError, RollbackIncompleteError, StepTimeoutError, UsageError
from workflow_agent.model.status import OWN_ACTION, TERMINAL_RUN, RunStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from workflow_agent.app import App
    from workflow_agent.cli.invocation import Invocation
    from workflow_agent.cli.style import Style

__all__ = ["register"]

_POLL_S = 0.1
#: Ends of runs that leave nothing on their target.
_TAKEN_BACK = frozenset({RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.ROLLED_BACK})
#: Seconds for which a process may take to take back what it did. Nothing is lost when it needs longer.
_PATIENCE_S = 300.0


def resume(
    ctx: typer.Context,
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="Run id, or the beginning of one.")] = None,
    *,
    all_runs: Annotated[
        bool, typer.Option("--all", help="All runs of your own workflows whose process died.", rich_help_panel="What")
    ] = False,
    secret: Secrets = None,
    step: Annotated[
        bool, typer.Option("--step", help="Let one step go, then pause again.", rich_help_panel="How")
    ] = False,
    no_wait: NoWait = False,
) -> Outcome:
    """Let a run go on that is paused, or whose process died; one that changes a system is ended."""
    from workflow_agent.cli.past import find  # noqa: PLC0415  # late

    if all_runs:
        for option, is_given in (("RUN", run is not None), ("--step", step), ("--no-wait", no_wait)):
            if is_given:
                raise UsageError("`--all` takes up many runs, here, to their end", where=option)
        from workflow_agent.cli.resuming import resume_every  # noqa: PLC0415  # late: the application

        return resume_every(ctx.obj, secret or ())
    if run is None:
        raise UsageError(
            "which run is to go on?",
            where="RUN",
            hint="`workflow-agent history` lists runs; `--all` takes all that were left",
        )
    known = find(ctx.obj, run)
    if known["action"] in {OWN_ACTION, None} and known["status"] not in TERMINAL_RUN:
        from workflow_agent.cli.resuming import resume_own  # noqa: PLC0415  # late: the application

        return resume_own(ctx.obj, known, secret or (), one_step=step, no_wait=no_wait)
    for option, is_given in (("--secret", bool(secret)), ("--step", step), ("--no-wait", no_wait)):
        if is_given and known["status"] not in TERMINAL_RUN:
            raise UsageError("only a run of a workflow of your own takes that", where=option)
    return _outcome(*_changing(ctx.obj, run, _resume))


def cancel(ctx: typer.Context, run: RunId) -> Outcome:
    """Stop a run of another process; what it did is taken back."""
    return _outcome(*_changing(ctx.obj, run, _cancel))


def _changing(
    invocation: Invocation, prefix: str, act: Callable[[App, Invocation, Mapping[str, Any]], Awaitable[dict[str, Any]]]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Open the application for one run; gives its report and what a person should know beside it."""
    import asyncio  # noqa: PLC0415  # late: 35 ms

    from workflow_agent.app import open_app  # noqa: PLC0415  # late: 60 ms
    from workflow_agent.cli.past import find_run  # noqa: PLC0415  # late

    run_id, _ = find_run(invocation, prefix)  # read only: where there is no history yet, none is made

    async def acted() -> tuple[dict[str, Any], tuple[str, ...]]:
        async with open_app(invocation.settings()) as app:
            report = await act(app, invocation, await app.history.run(run_id))
            return report, tuple(app.warnings)

    return asyncio.run(acted())


async def _resume(
    app: App, invocation: Invocation, run: Mapping[str, Any], *, take_back: bool = False
) -> dict[str, Any]:
    run_id = run["run_id"]
    if run["status"] in TERMINAL_RUN:
        raise _ended(run)
    owner = app.owner(run_id)
    if owner is not None:
        waits = run["status"] == RunStatus.AWAITING_APPROVAL
        raise ConflictError(
            f"process {owner.pid} is driving run {run_id}",
            cause="it waits for an answer on its terminal" if waits else f"it is {run['status']}",
            hint=f"`workflow-agent logs -f {run_id}` follows it, `workflow-agent cancel {run_id}` stops it",
            run_id=run_id,
        )
    invocation.say(f"run {run_id} was left by a process that died; ending it")
    return await (app.take_back(run_id) if take_back else app.resume(run_id))


async def _cancel(app: App, invocation: Invocation, run: Mapping[str, Any]) -> dict[str, Any]:
    run_id = run["run_id"]
    if run["status"] in TERMINAL_RUN:
        raise _ended(run)
    owner = app.owner(run_id)
    if owner is None:
        return await _resume(app, invocation, run, take_back=True)
    if run["action"] == OWN_ACTION:
        await (await app.flows()).cancel(run_id, "cancelled by request")
        invocation.say(f"asked process {owner.pid} to stop; steps that say how are undone")
    else:
        invocation.say(f"asked process {owner.pid} to stop; what was done is taken back")
        owner.interrupt()
    report = await _wait(app, invocation, run_id)
    if report["status"] == RunStatus.SUCCEEDED:
        raise ConflictError(
            f"it was too late to cancel run {run_id}: it succeeded",
            hint=f"`{report['rollback_command']}`" if report["rollback_command"] else None,
            run_id=run_id,
        )
    return report


async def _wait(app: App, invocation: Invocation, run_id: str) -> dict[str, Any]:
    """Wait for the end of a run; where its process dies before that, end it."""
    import asyncio  # noqa: PLC0415  # late, loaded already

    try:
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                # asked first: a process that ends between both questions has written the run's end
                owner = app.owner(run_id)
                run = await app.history.run(run_id)
                if run["status"] in TERMINAL_RUN:
                    return await app.report(run_id)
                if owner is None:
                    return await _resume(app, invocation, run, take_back=True)
                await asyncio.sleep(_POLL_S)
    except TimeoutError as error:
        raise StepTimeoutError(
            f"run {run_id} was asked to stop, but has not ended after {_PATIENCE_S:.0f} s",
            hint=f"`workflow-agent show {run_id}` tells where it stands",
            run_id=run_id,
        ) from error


def _ended(run: Mapping[str, Any]) -> ConflictError:
    run_id = run["run_id"]
    stands = run["status"] == RunStatus.SUCCEEDED and run["changed"]
    return ConflictError(
        f"run {run_id} has ended: {run['status']}",
        hint=f"`workflow-agent rollback {run_id}` takes it back" if stands else f"`workflow-agent show {run_id}`",
        run_id=run_id,
    )


def _outcome(report: dict[str, Any], warnings: tuple[str, ...]) -> Outcome:
    """Tell how it ended; a run that a person has to look at is an error."""

    def lines(style: Style) -> Iterator[str]:
        from workflow_agent.cli.run_view import ending_lines  # noqa: PLC0415  # late

        yield from ending_lines(report, style)
        if report["status"] in _TAKEN_BACK and report["action"] != OWN_ACTION:
            yield "  target    as it was before the run"

    outcome = Outcome(data=report, lines=lines, warnings=warnings)
    if report["status"] == RunStatus.NEEDS_ATTENTION:
        error = report["error"] or {}
        raise CommandFailedError(
            RollbackIncompleteError(
                f"run {report['run_id']} needs attention: {error.get('message')}",
                cause=error.get("cause"),
                state=error.get("state"),
                hint=error.get("hint") or f"`workflow-agent show {report['run_id']}` lists it",
                run_id=report["run_id"],
            ),
            outcome,
        )
    return outcome


def register(app: typer.Typer) -> None:
    """Add the commands."""
    examples: dict[Callable[..., Outcome], list[str]] = {
        resume: ["resume r-01KA", "resume --all", "resume r-01KA --secret token=env:TOKEN --no-wait"],
        cancel: ["cancel r-01KA", "cancel r-01KA --json"],
    }
    for function, lines in examples.items():
        declare(app, function.__name__, panel=PANEL, examples=lines)(function)
