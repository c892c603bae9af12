"""Commands that bring an integration in or look whether it works: install, plan, upgrade, repair, verify."""

from __future__ import annotations

import shlex
from pathlib import Path  # noqa: TC003  # Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflow_agent.cli.grammar import declare
from workflow_agent.cli.options import (
    Consent,
    Edited,
    Events,
    KeepOnFailure,
    Names,
    PlanOut,
    Scripting,
    Secrets,
    SomeNames,
    Targets,
    Values,
    Where,
    spread,
)
from workflow_agent.cli.outcome import Outcome  # noqa: TC001  # Typer reads the annotations
from workflow_agent.cli.planned import planned_script
from workflow_agent.cli.running import RunRequest, carry_out, done_or_planned, requested, told
from workflow_agent.model.errors import CheckFailedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from workflow_agent.cli.session import Ended

__all__ = ["PANEL", "register", "script_verb"]

#: Title of the commands that change a system.
PANEL = "Change and look after a system"


def script_verb(
    ctx: typer.Context,
    verb: str,
    names: list[str],
    *,
    workflow: str = "install",
    place: Where,
    scripting: Scripting,
    consent: Consent,
    values: Values | None = None,
    events: bool,
    out: Path | None = None,
    **more: Any,  # Any: further inputs of the workflow
) -> Outcome:
    """Run a verb that carries a script out, or plan it; `out` is where the plan is kept."""

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

    keep = _keeping(out, verb, consent, scripting) if out is not None else None
    return done_or_planned(ctx.obj, consent, verb, request, planned_script, keep=keep)


def _keeping(
    out: Path, verb: str, consent: Consent, scripting: Scripting
) -> Callable[[RunRequest, Sequence[Ended]], str]:
    """Give what keeps a plan; raises before one is made when it could not be kept."""
    from workflow_agent.cli.plan_file import check_place, write_plan_file  # noqa: PLC0415  # late: agents, pydantic

    if not consent.plan_only:
        raise UsageError("`-o` keeps a plan", where=verb, hint="add `--plan`, or use `workflow-agent plan`")
    if scripting.isolation == "container":
        hint = "leave `--isolation container` out: what ran in a clone cannot be brought to the target"
        raise UsageError("a rehearsal is no plan that could be applied", where="-o", hint=hint)
    check_place(out)

    def keep(request: RunRequest, done: Sequence[Ended]) -> str:
        write_plan_file(out, verb, request, done)
        return f"workflow-agent install --apply-plan {shlex.quote(str(out))}"

    return keep


def _planned_before(
    ctx: typer.Context,
    file: Path,
    names: Sequence[str],
    *,
    values: Values,
    place: Where,
    scripting: Scripting,
    consent: Consent,
    **more: Any,  # Any: further inputs of the workflow
) -> Outcome:
    """Carry out exactly what a plan file says; everything that it says cannot be said otherwise."""
    from workflow_agent.cli.plan_file import read_plan_file  # noqa: PLC0415  # late: agents, pydantic
    from workflow_agent.cli.sources import catalogue_of  # noqa: PLC0415  # late: yaml

    said = {
        "NAME": names,
        "--param": values.param,
        "--param-file": values.param_file,
        "--target": place.target,
        "--timeout": scripting.timeout,
        "--allow": scripting.allow,
        "--plan": consent.plan_only,
        "--isolation": scripting.isolation != "auto",
    }
    if also := [name for name, value in said.items() if value]:
        raise UsageError(f"{also[0]} cannot be given: the plan file says it", where="--apply-plan")
    plan = read_plan_file(file)
    if "plan" not in catalogue_of(ctx.obj.settings()).get("install").inputs:
        hint = "its definition needs the input `plan` and the step `validator.agree` of the shipped one"
        raise UsageError("the workflow `install` of this system compares no plans", where="--apply-plan", hint=hint)

    def request(_: bool) -> RunRequest:
        known = Scripting(allow=list(plan.allow), timeout=f"{plan.timeout_s}")
        where = Where(target=list(plan.targets), wait=place.wait)
        inputs = more | {"parameters": plan.parameters, "plan": plan.expected, "action": plan.action}
        secrets = Values(secret=values.secret)
        return requested(ctx.obj, "install", plan.integrations, place=where, values=secrets, scripting=known, **inputs)

    return done_or_planned(ctx.obj, consent, plan.action, request, planned_script)


def install(
    ctx: typer.Context,
    names: SomeNames = None,
    *,
    apply_plan: Annotated[
        Path | None,
        typer.Option(
            "--apply-plan",
            metavar="FILE",
            help="Do what a kept plan says, or refuse it as stale.",
            rich_help_panel="What",
            show_default=False,
        ),
    ] = None,
    values: Values,
    place: Where,
    scripting: Scripting,
    no_start: Annotated[
        bool, typer.Option("--no-start", help="Install without starting services.", rich_help_panel="How")
    ] = False,
    keep_on_failure: KeepOnFailure = False,
    consent: Consent,
    out: PlanOut = None,
    events: Events = False,
) -> Outcome:
    """Install integrations: preview, consent, verify; a failure is taken back."""
    if apply_plan is not None:
        return _planned_before(
            ctx,
            apply_plan,
            names or (),
            values=values,
            place=place,
            scripting=scripting,
            consent=consent,
            approve=consent.yes,
            start=not no_start,
            keep_on_failure=keep_on_failure,
            events=events,
        )
    if not names:
        hint = "`workflow-agent integrations list` lists what can be installed"
        raise UsageError("missing argument 'NAME...'", where="workflow-agent install", hint=hint)
    return script_verb(
        ctx,
        "install",
        names,
        place=place,
        scripting=scripting,
        consent=consent,
        values=values,
        events=events,
        out=out,
        start=not no_start,
        keep_on_failure=keep_on_failure,
    )


def plan(
    ctx: typer.Context,
    names: Names,
    *,
    values: Values,
    place: Where,
    scripting: Scripting,
    check: Annotated[
        bool, typer.Option("--check", help="Exit 3 when something would change.", rich_help_panel="Output")
    ] = False,
    out: PlanOut = None,
    events: Events = False,
) -> Outcome:
    """Show what an installation would change; nothing is kept."""
    consent = Consent(plan_only=True, check=check)
    return script_verb(
        ctx, "install", names, place=place, scripting=scripting, consent=consent, values=values, events=events, out=out
    )


def upgrade(
    ctx: typer.Context,
    names: Names,
    *,
    values: Values,
    place: Where,
    scripting: Scripting,
    keep_on_failure: KeepOnFailure = False,
    edited: Edited,
    consent: Consent,
    out: PlanOut = None,
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
        out=out,
        keep_on_failure=keep_on_failure,
        **_about_edits(ctx, edited, consent),
    )


def _about_edits(ctx: typer.Context, edited: Edited, consent: Consent) -> dict[str, Any]:
    """Give the inputs that decide about edited files; nothing where nothing was decided.

    Raises:
        UsageError: nothing can be decided so.
    """
    if not (edited.theirs or edited.force):
        return {}
    from workflow_agent.cli.sources import catalogue_of  # noqa: PLC0415  # late: yaml

    where = "--theirs" if edited.theirs else "--force"
    if consent.plan_only:
        raise UsageError("a plan decides nothing", where=where, hint="leave it out: the plan names the edited files")
    if relative := [path for path in edited.theirs or () if not path.startswith("/")]:
        raise UsageError("a path of the target is absolute", where=f"--theirs {relative[0]}")
    if "theirs" not in catalogue_of(ctx.obj.settings()).get("install").inputs:
        hint = "its definition needs the inputs `theirs` and `force` and the step `person.decide` of the shipped one"
        raise UsageError("the workflow `install` of this system asks about no edits", where=where, hint=hint)
    return {"theirs": edited.theirs or [], "force": edited.force}


def repair(
    ctx: typer.Context,
    names: Names,
    *,
    secret: Secrets = None,
    place: Where,
    scripting: Scripting,
    keep_on_failure: KeepOnFailure = False,
    edited: Edited,
    consent: Consent,
    out: PlanOut = None,
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
        out=out,
        keep_on_failure=keep_on_failure,
        **_about_edits(ctx, edited, consent),
    )


def verify(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="Integration, or ./FOLDER; all that is installed when left out.")
    ] = "",
    *,
    values: Values,
    drift: Annotated[
        bool, typer.Option("--drift", help="Compare with what was left; exit 3 on drift.", rich_help_panel="What")
    ] = False,
    target: Targets = None,
    events: Events = False,
) -> Outcome:
    """Look whether an integration works; nothing is changed."""
    if not name:
        from workflow_agent.cli.verifying import verify_installed  # noqa: PLC0415  # late: few ask for all

        return verify_installed(ctx.obj, values, target or ["host"], drift=drift, events=events)
    place = Where(target=target)
    request = requested(ctx.obj, "verify", [name], place=place, values=values, events=events, drift=drift)
    ended = carry_out(ctx.obj, request)
    for (where, _), one in zip(request.each(), ended, strict=False):
        if one.error is not None and one.error.code == CheckFailedError.code and one.error.hint is None:
            there = "" if where == "host" else f" --target {where}"
            one.error.hint = f"`workflow-agent install {name}{there}` installs it, or repairs what is installed"
    return told(request, ended)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    examples: dict[Callable[..., Outcome], list[str]] = {
        install: [
            "install nginx",
            "install nginx --param port=8080 --yes",
            "install --apply-plan nginx.plan",
        ],
        plan: ["plan nginx", "plan ./my-integration --check", "plan nginx -o nginx.plan"],
        upgrade: [
            "upgrade nginx",
            "upgrade nginx --param gzip=false --plan",
            "upgrade nginx --theirs /etc/nginx/nginx.conf",
        ],
        repair: ["repair nginx", "repair nginx --plan --check"],
        verify: ["verify nginx", "verify nginx --drift", "verify --drift --json"],
    }
    for function, lines in examples.items():
        declare(app, function.__name__, panel=PANEL, examples=lines)(spread(function))
