"""Commands that bring an integration in or look whether it works: install, plan, upgrade, repair, verify."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflow_agent.cli.grammar import declare
from workflow_agent.cli.options import (
    Consent,
    Events,
    KeepOnFailure,
    Names,
    OneName,
    Place,
    Scripting,
    Secrets,
    Targets,
    Values,
    spread,
)
from workflow_agent.cli.outcome import Outcome  # noqa: TC001  # Typer reads the annotations
from workflow_agent.cli.planned import planned_script
from workflow_agent.cli.running import RunRequest, carry_out, done_or_planned, requested, told
from workflow_agent.model.errors import CheckFailedError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PANEL", "register", "script_verb"]

#: Title of the commands that change a system.
PANEL = "Change and look after a system"


def script_verb(
    ctx: typer.Context,
    verb: str,
    names: list[str],
    *,
    workflow: str = "install",
    place: Place,
    scripting: Scripting,
    consent: Consent,
    values: Values | None = None,
    events: bool,
    **more: Any,  # Any: further inputs of the workflow
) -> Outcome:
    """Run a verb that carries a script out, or plan it."""

    def request(plan_only: bool) -> RunRequest:
        return requested(
            ctx.obj,
            "plan" if plan_only else workflow,
            names,
            place=place,
            values=values,
            scripting=scripting,
            events=events,
            approve=consent.yes,
            **({"planned": verb} if plan_only else {"action": verb}),
            **more,
        )

    return done_or_planned(ctx.obj, consent, verb, request, planned_script)


def install(
    ctx: typer.Context,
    names: Names,
    *,
    values: Values,
    place: Place,
    scripting: Scripting,
    no_start: Annotated[
        bool, typer.Option("--no-start", help="Install without starting services.", rich_help_panel="How")
    ] = False,
    keep_on_failure: KeepOnFailure = False,
    consent: Consent,
    events: Events = False,
) -> Outcome:
    """Install integrations: preview, consent, verify; a failure is taken back."""
    return script_verb(
        ctx,
        "install",
        names,
        place=place,
        scripting=scripting,
        consent=consent,
        values=values,
        events=events,
        start=not no_start,
        keep_on_failure=keep_on_failure,
    )


def plan(
    ctx: typer.Context,
    names: Names,
    *,
    values: Values,
    place: Place,
    scripting: Scripting,
    check: Annotated[
        bool, typer.Option("--check", help="Exit 3 when something would change.", rich_help_panel="Output")
    ] = False,
    events: Events = False,
) -> Outcome:
    """Show what an installation would change; nothing is kept."""
    consent = Consent(plan_only=True, check=check)
    return script_verb(
        ctx, "install", names, place=place, scripting=scripting, consent=consent, values=values, events=events
    )


def upgrade(
    ctx: typer.Context,
    names: Names,
    *,
    values: Values,
    place: Place,
    scripting: Scripting,
    keep_on_failure: KeepOnFailure = False,
    consent: Consent,
    events: Events = False,
) -> Outcome:
    """Bring in a newer version, or other parameters."""
    return script_verb(
        ctx,
        "upgrade",
        names,
        place=place,
        scripting=scripting,
        consent=consent,
        values=values,
        events=events,
        keep_on_failure=keep_on_failure,
    )


def repair(
    ctx: typer.Context,
    names: Names,
    *,
    secret: Secrets = None,
    place: Place,
    scripting: Scripting,
    keep_on_failure: KeepOnFailure = False,
    consent: Consent,
    events: Events = False,
) -> Outcome:
    """Put right what is missing, was replaced or does not work."""
    return script_verb(
        ctx,
        "repair",
        names,
        place=place,
        scripting=scripting,
        consent=consent,
        values=Values(secret=secret),
        events=events,
        keep_on_failure=keep_on_failure,
    )


def verify(
    ctx: typer.Context, name: OneName, *, values: Values, target: Targets = None, events: Events = False
) -> Outcome:
    """Look whether an integration works; nothing is changed."""
    request = requested(ctx.obj, "verify", [name], place=Place(target=target), values=values, events=events)
    ended = carry_out(ctx.obj, request)
    for (where, _), one in zip(request.each(), ended, strict=False):
        if one.error is not None and one.error.code == CheckFailedError.code and one.error.hint is None:
            there = "" if where == "host" else f" --target {where}"
            one.error.hint = f"`workflow-agent install {name}{there}` installs it, or repairs what is installed"
    return told(request, ended)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    examples: dict[Callable[..., Outcome], list[str]] = {
        install: ["install nginx", "install nginx --param port=8080 --yes"],
        plan: ["plan nginx", "plan ./my-integration --check"],
        upgrade: ["upgrade nginx", "upgrade nginx --param gzip=false --plan"],
        repair: ["repair nginx", "repair nginx --plan --check"],
        verify: ["verify nginx", "verify nginx --json"],
    }
    for function, lines in examples.items():
        declare(app, function.__name__, panel=PANEL, examples=lines)(spread(function))
