"""The command that runs a script of a person's own: apply."""

from __future__ import annotations

from typing import Annotated

import typer

from workflow_agent.cli.grammar import AFTER_DASHES, declare
from workflow_agent.cli.options import Allow, Consent, Events, Scripting, Timeout, Where, spread
from workflow_agent.cli.outcome import Outcome  # noqa: TC001  # Typer reads the annotations
from workflow_agent.cli.run_commands import PANEL
from workflow_agent.cli.running import RunRequest, done_or_planned, requested
from workflow_agent.model.errors import UsageError

__all__ = ["register"]


def apply(
    ctx: typer.Context,
    script: Annotated[str, typer.Argument(metavar="SCRIPT", help="A shell script; `-` reads it from stdin.")],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="ARG...", help="After `--`: what the script is called with.", show_default=False),
    ] = None,
    *,
    place: Where,
    no_start: Annotated[
        bool, typer.Option("--no-start", help="Start no service, although the script does.", rich_help_panel="How")
    ] = False,
    timeout: Timeout = None,
    allow: Allow = None,
    consent: Consent,
    events: Events = False,
) -> Outcome:
    """Run a shell script of your own as a transaction: preview, consent, rollback."""
    from workflow_agent.cli.applied import planned_apply  # noqa: PLC0415  # late
    from workflow_agent.cli.script_input import read_script  # noqa: PLC0415  # late

    given = list(arguments or ())
    _require_dashes(script, given, ctx.meta.get(AFTER_DASHES, 0))
    name, text = read_script(script, given)

    def request(plan_only: bool) -> RunRequest:
        return requested(
            ctx.obj,
            "apply",
            (),
            place=place,
            scripting=Scripting(timeout=timeout, allow=allow),
            events=events,
            name=name,
            text=text,
            arguments=given,
            start=not no_start,
            approve=consent.yes,
            action="plan" if plan_only else "apply",
        )

    return done_or_planned(ctx.obj, consent, "apply", request, planned_apply)


def _require_dashes(script: str, given: list[str], after: int) -> None:
    """Refuse arguments that do not stand after ``--``: a second script is not meant as an argument of the first."""
    if len(given) > after:
        rest = " ".join(given)
        raise UsageError(
            f"`{given[0][:60]}` is one word too many: one script at a time",
            where="workflow-agent apply",
            state="nothing was begun",
            hint=f"arguments of the script stand after `--`: `workflow-agent apply {script} -- {rest[:200]}`",
        )


def register(app: typer.Typer) -> None:
    """Add the command."""
    lines = ["apply setup.sh --plan", "apply setup.sh -- --port 8080", "apply - --yes < setup.sh"]
    declare(app, apply.__name__, panel=PANEL, examples=lines)(spread(apply))
