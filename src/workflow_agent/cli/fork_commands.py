"""Commands that make a run from another one: retry, fork."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from workflow_agent.cli.grammar import declare
from workflow_agent.cli.options import Approve, BreakBefore, Inputs, NoWait, RunId, Secrets  # noqa: TC001  # for Typer
from workflow_agent.cli.outcome import Outcome  # noqa: TC001  # Typer reads the annotations
from workflow_agent.cli.steering_commands import OWN_PANEL

__all__ = ["register"]


def retry(
    ctx: typer.Context,
    run: RunId,
    *,
    first: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="STEP",
            help="Do this step and all that waits for it again; else what did not end well.",
            rich_help_panel="What",
            show_default=False,
        ),
    ] = "",
    secret: Secrets = None,
    yes: Approve = False,
    no_wait: NoWait = False,
) -> Outcome:
    """Do again what went wrong in a run that has ended: as a new run, which keeps what ended well."""
    return _made(ctx, run, {"how": "retry", "first": first or None}, secret or [], yes=yes, no_wait=no_wait)


def fork(
    ctx: typer.Context,
    run: RunId,
    *,
    first: Annotated[
        str,
        typer.Option("--from", metavar="STEP", help="The first step that is done anew.", rich_help_panel="What"),
    ],
    given: Inputs = None,
    break_before: BreakBefore = None,
    secret: Secrets = None,
    yes: Approve = False,
    no_wait: NoWait = False,
) -> Outcome:
    """Make a new run that has what a run had before a step, with other inputs if wanted, and drive it."""
    from workflow_agent.cli.flow_commands import inputs_of  # noqa: PLC0415  # late, loaded already

    wanted = {"how": "fork", "first": first, "given": inputs_of(given or ()), "break_before": break_before or ()}
    return _made(ctx, run, wanted, secret or [], yes=yes, no_wait=no_wait)


def _made(
    ctx: typer.Context, run: str, wanted: dict[str, Any], secrets: list[str], *, yes: bool, no_wait: bool
) -> Outcome:
    from workflow_agent.cli.forking import carry_out_fork  # noqa: PLC0415  # late: the application

    return carry_out_fork(ctx.obj, run, wanted, secrets, yes=yes, no_wait=no_wait)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    examples = ["retry r-01KA", "retry r-01KA --from report --yes"]
    declare(app, "retry", panel=OWN_PANEL, examples=examples)(retry)
    examples = ["fork r-01KA --from report", "fork r-01KA --from report --input day=2026-01-31 --break-before send"]
    declare(app, "fork", panel=OWN_PANEL, examples=examples)(fork)
