"""Commands that take something away or back: uninstall, rollback."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflow_agent.cli.grammar import declare
from workflow_agent.cli.options import (
    Consent,
    Events,
    KeepOnFailure,
    Names,
    Scripting,
    Secrets,
    Values,
    Where,
    spread,
)
from workflow_agent.cli.outcome import Outcome  # noqa: TC001  # Typer reads the annotations
from workflow_agent.cli.planned import planned_rollback
from workflow_agent.cli.run_commands import PANEL, script_verb
from workflow_agent.cli.running import RunRequest, done_or_planned, existing_target, requested, require_options
from workflow_agent.model.choice import ConflictChoice
from workflow_agent.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from workflow_agent.cli.invocation import Invocation

__all__ = ["register"]


def uninstall(
    ctx: typer.Context,
    names: Names,
    *,
    purge: Annotated[
        bool, typer.Option("--purge", help="Take configuration and state data with it.", rich_help_panel="What")
    ] = False,
    secret: Secrets = None,
    place: Where,
    scripting: Scripting,
    keep_on_failure: KeepOnFailure = False,
    consent: Consent,
    events: Events = False,
) -> Outcome:
    """Take integrations away and prove it; their data stays."""
    return script_verb(
        ctx,
        "uninstall",
        names,
        workflow="uninstall",
        place=place,
        scripting=scripting,
        consent=consent,
        values=Values(secret=secret),
        events=events,
        purge=purge,
        keep_on_failure=keep_on_failure,
    )


def rollback(
    ctx: typer.Context,
    run: Annotated[
        str, typer.Argument(metavar="[RUN]", help="Run id or its beginning; the newest when left out.")
    ] = "",
    *,
    secret: Secrets = None,
    place: Where,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="RUN", help="Take back everything after this run, which stays.", rich_help_panel="What"
        ),
    ] = None,
    keep_data: Annotated[
        bool, typer.Option("--keep-data", help="Keep the data that its services wrote.", rich_help_panel="How")
    ] = False,
    cascade: Annotated[
        bool, typer.Option("--cascade", help="Take back later runs that stand on it first.", rich_help_panel="How")
    ] = False,
    theirs: Annotated[
        list[str] | None,
        typer.Option(
            "--theirs",
            metavar="PATH",
            help="Keep what somebody else left at PATH; may be repeated.",
            rich_help_panel="Conflicts",
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Restore what others changed too; their side is kept aside.",
            rich_help_panel="Conflicts",
        ),
    ] = False,
    logical: Annotated[
        bool,
        typer.Option("--logical", help="Not exactly: by uninstall, packages.", rich_help_panel="How"),
    ] = False,
    consent: Consent,
    events: Events = False,
) -> Outcome:
    """Take back what a run did, exactly or not at all."""
    choice = ConflictChoice(theirs=tuple(theirs or ()), force=force)
    if logical:
        others = [to is not None, cascade, theirs, force]
        return _logically(ctx.obj, "" if any(others) else run, place, consent, events=events, keep_data=keep_data)
    if to is not None:
        from workflow_agent.cli.going_back import go_back  # noqa: PLC0415  # late: few rollbacks need it

        if run or cascade:
            raise UsageError("a run is taken back, or gone back to", where="--to", hint="leave one of the two out")
        found, where = _run_and_place(ctx.obj, to, place)
        values = Values(secret=secret)
        how: dict[str, Any] = {"consent": consent, "events": events, "keep_data": keep_data, "choice": choice}
        return go_back(ctx.obj, found, place=where, values=values, **how)
    if cascade and not run:
        raise UsageError("the newest run has no later ones", where="--cascade", hint="name a run, or leave it out")
    found, where = _run_and_place(ctx.obj, run, place) if run else ("", place)
    stay, back = list(theirs or ()), list[str]()
    if not cascade:
        found, stay, back = _decided(ctx.obj, found, where, consent, stay, force=force)

    def request(plan_only: bool) -> RunRequest:
        return requested(
            ctx.obj,
            "rollback",
            (),
            place=where,
            values=Values(secret=secret),
            events=events,
            run=found,
            keep_data=keep_data,
            theirs=stay,
            back=back,
            force=force,
            approve=consent.yes,
            plan_only=plan_only,
        )

    if cascade:
        from workflow_agent.cli.cascade import cascaded, runs_in_order  # noqa: PLC0415  # late: few ask for it

        require_options(consent, "roll back")
        asked = request(False)
        runs = runs_in_order(ctx.obj, found, asked.inputs["wait_s"], choice)
        if len(runs) > 1:
            return cascaded(ctx.obj, consent, asked, runs)
    return done_or_planned(ctx.obj, consent, "roll back", request, planned_rollback)


def _decided(
    invocation: Invocation, run: str, place: Where, consent: Consent, theirs: list[str], *, force: bool
) -> tuple[str, list[str], list[str]]:
    """Check what was decided about conflicts, or ask a person who is there; gives the run, and which paths win."""
    if theirs and not run:
        raise UsageError("a path is kept in the rollback of a run", where="--theirs", hint="name the run: RUN")
    if run and (theirs or force):
        from workflow_agent.app.disputes import require_known  # noqa: PLC0415  # late: few ask for it
        from workflow_agent.cli.past import ask  # noqa: PLC0415  # late

        ask(invocation, lambda app: require_known(app.history, run, theirs))
    if theirs or force or consent.yes or consent.plan_only:
        return run, theirs, []
    from workflow_agent.cli.conflict_prompt import ask_about_conflicts, can_ask, conflicts_of  # noqa: PLC0415  # late

    if not can_ask():
        return run, [], []
    from workflow_agent.cli.running import wait_seconds  # noqa: PLC0415  # late

    target = existing_target((place.target or ["host"])[0])
    found, conflicts = conflicts_of(invocation, run, target, wait_seconds(invocation, place))
    if not conflicts:
        return run, [], []
    return found, *ask_about_conflicts(invocation, found, conflicts)


def _logically(
    invocation: Invocation, run: str, place: Where, consent: Consent, *, events: bool, keep_data: bool
) -> Outcome:
    from workflow_agent.cli.going_logically import taken_back_logically  # noqa: PLC0415  # late: few ask for it

    if not run:
        raise UsageError(
            "a logical rollback is of one run, by its id, and goes with no other way",
            where="--logical",
            hint="name the run, and leave the other options out",
        )
    found, where = _run_and_place(invocation, run, place)
    return taken_back_logically(invocation, found, where, consent, events=events, keep_data=keep_data)


def _run_and_place(invocation: Invocation, run: str, place: Where) -> tuple[str, Where]:
    """Find a run, and where it was when no target was typed."""
    from workflow_agent.cli.past import find_run  # noqa: PLC0415  # late

    if len(place.target or ()) > 1:
        raise UsageError("a run was on one target", where="--target", hint="leave `--target` out")
    found, target = find_run(invocation, run)
    return found, place if place.target else replace(place, target=[target])


def register(app: typer.Typer) -> None:
    """Add the commands."""
    examples: dict[Callable[..., Outcome], list[str]] = {
        uninstall: ["uninstall nginx", "uninstall nginx --purge --plan"],
        rollback: [
            "rollback",
            "rollback r-01KA --yes",
            "rollback r-01KA --cascade --plan",
            "rollback r-01KA --theirs /etc/nginx/nginx.conf",
            "rollback --to r-01KA --plan",
            "rollback r-01KA --logical --plan",
        ],
    }
    for function, lines in examples.items():
        declare(app, function.__name__, panel=PANEL, examples=lines)(spread(function))
