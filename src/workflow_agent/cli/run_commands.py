"""Commands that run a workflow: install, plan, verify, rollback."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003  # Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflow_agent.cli.grammar import declare
from workflow_agent.cli.options import (  # noqa: TC001  # Typer reads the annotations
    Allow,
    Approve,
    Events,
    Isolation,
    Names,
    OneName,
    ParamFile,
    Params,
    TargetName,
    Timeout,
    Wait,
)
from workflow_agent.cli.outcome import CommandFailedError, Outcome
from workflow_agent.model.errors import ChangesPendingError, NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from workflow_agent.app import App
    from workflow_agent.cli.invocation import Invocation
    from workflow_agent.cli.session import Ended
    from workflow_agent.cli.style import Style

__all__ = ["register"]

_PANEL = "Change and look after a system"
#: Kinds of isolation that exist; `auto` is the only one that there is a choice for.
_ISOLATIONS = ("auto", "transaction")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """What was typed for a run or several, one after the other."""

    workflow: str
    names: tuple[str, ...]
    inputs: Mapping[str, Any] = field(default_factory=dict)
    events: bool = False


def _request(
    invocation: Invocation,
    workflow: str,
    names: list[str],
    *,
    params: list[str] | None,
    param_file: Path | None,
    target: str,
    timeout: str | None,
    wait: str | None,
    events: bool,
    **more: Any,  # Any: further inputs of the workflow
) -> _Request:
    from workflow_agent.cli.parameters import read_parameters, seconds  # noqa: PLC0415  # late: cheap, but not for help
    from workflow_agent.cli.sources import integration_input  # noqa: PLC0415  # late

    settings = invocation.settings()
    found = tuple(integration_input(settings, name) for name in names)
    inputs = {
        "parameters": read_parameters(params or [], param_file),
        "target": _existing_target(target),
        "timeout_s": seconds(timeout, "--timeout") if timeout is not None else settings.timeouts.script_s,
        "wait_s": _wait(wait, settings.timeouts.target_s),
        **more,
    }
    return _Request(workflow=workflow, names=found, inputs=inputs, events=events)


def _wait(wait: str | None, usual_s: float) -> float:
    from workflow_agent.cli.parameters import seconds  # noqa: PLC0415  # late

    if wait is None:
        return 0.0
    return seconds(wait, "--wait") if wait else usual_s


def _existing_target(name: str) -> str:
    if name != "host":
        from workflow_agent.model.nearest import did_you_mean  # noqa: PLC0415  # late

        raise NotFoundError(
            f"there is no target `{name[:80]}`",
            cause="this version knows one target: `host`",
            hint=did_you_mean(name, ["host"]) or "leave `--target` out",
        )
    return name


def _check_isolation(kind: str) -> None:
    if kind not in _ISOLATIONS:
        known = {"declared", "container"}
        what = f"isolation `{kind}` does not exist yet" if kind in known else f"there is no isolation `{kind[:40]}`"
        raise UsageError(what, where="--isolation", hint="use `auto` or `transaction`")


async def _one(app: App, invocation: Invocation, request: _Request, name: str | None) -> Ended:
    from workflow_agent.cli.session import conduct  # noqa: PLC0415  # late: asyncio, 35 ms

    inputs = dict(request.inputs) | ({"integration": name} if name is not None else {})
    return await conduct(app, invocation, request.workflow, inputs, events=request.events)


def _carry_out(invocation: Invocation, request: _Request) -> list[Ended]:
    """Run one after the other until one fails."""
    import asyncio  # noqa: PLC0415  # late: 35 ms

    from workflow_agent.app import open_app  # noqa: PLC0415  # late: 60 ms

    async def all_of_them() -> list[Ended]:
        done = []
        async with open_app(invocation.settings()) as app:
            for name in request.names or (None,):
                done.append(await _one(app, invocation, request, name))
                if done[-1].error is not None:
                    break
        return done

    return asyncio.run(all_of_them())


def _finish(request: _Request, done: list[Ended], outcome: Outcome) -> Outcome:
    """Give the outcome, or raise the last run's error with what was done before it and what was not begun."""
    error = done[-1].error
    if error is None:
        return outcome
    before = [ended.run_id for ended in done[:-1]]
    if before:
        parts = [error.state or "", f"done before it: {', '.join(before)}, which stay"]
        error.state = "; ".join(part for part in parts if part)
    if left := request.names[len(done) :]:
        error.state = f"{error.state}; not begun: {', '.join(left)}" if error.state else f"not begun: {', '.join(left)}"
    raise CommandFailedError(error, outcome)


def _warnings(done: list[Ended]) -> tuple[str, ...]:
    return tuple(warning for ended in done for warning in ended.warnings)


def _outcome(request: _Request, done: list[Ended], *, exit_code: int = 0) -> Outcome:
    """Put reports together: one run is the data itself, several are items."""
    reports = [ended.report for ended in done if ended.report is not None]
    data: dict[str, Any] = {"items": reports} if len(request.names) > 1 else (reports[0] if reports else {})

    def lines(style: Style) -> Iterator[str]:
        from workflow_agent.cli.run_view import ending_lines  # noqa: PLC0415  # late

        for report in reports:
            yield from ending_lines(report, style)

    return Outcome(data=data, lines=lines, exit_code=exit_code, streamed=request.events, warnings=_warnings(done))


# -- install and plan ------------------------------------------------------------------------------------------------


def _install(invocation: Invocation, request: _Request, *, approve: bool) -> Outcome:
    from workflow_agent.cli.consent import require_consent  # noqa: PLC0415  # late

    require_consent(given=approve, verb="install")
    done = _carry_out(invocation, request)
    return _finish(request, done, _outcome(request, done))


def _plan(invocation: Invocation, request: _Request, *, check: bool) -> Outcome:
    done = _carry_out(invocation, request)
    plans = [_plan_of(ended) for ended in done]
    pending = any((plan["change_set"] or {}).get("changes") for plan in plans)
    reports = [{**(ended.report or {}), "plan": plan} for ended, plan in zip(done, plans, strict=True)]
    data = {"items": reports} if len(request.names) > 1 else reports[0]

    def lines(style: Style) -> Iterator[str]:
        from workflow_agent.cli.plan_view import plan_lines  # noqa: PLC0415  # late

        for number, (ended, plan) in enumerate(zip(done, plans, strict=True)):
            if ended.error is None:
                yield from ([""] if number else [])
                yield from plan_lines(plan, style)
                yield from ("", f"  nothing was changed; run {ended.run_id}")

    exit_code = ChangesPendingError.exit_code if check and pending else 0
    outcome = Outcome(data=data, lines=lines, exit_code=exit_code, streamed=request.events, warnings=_warnings(done))
    return _finish(request, done, outcome)


def _plan_of(ended: Ended) -> dict[str, Any]:
    """Make what a plan shows from the outputs of the run's steps; an unchanged integration has no changes."""
    lookup = ended.outputs.get("lookup") or {}
    facts = lookup.get("facts") or {}
    return {
        "integration": lookup.get("integration"),
        "version": lookup.get("version"),
        "target": facts.get("target") or "host",
        "tier": facts.get("tier"),
        "tier_reason": facts.get("tier_reason"),
        "services": lookup.get("services") or [],
        "effects": lookup.get("effects") or [],
        "unchanged": bool((ended.outputs.get("current") or {}).get("unchanged")),
        "findings": (ended.outputs.get("validate") or {}).get("findings") or [],
        "change_set": (ended.outputs.get("prepare") or {}).get("change_set"),
    }


def install(
    ctx: typer.Context,
    names: Names,
    *,
    param: Params = None,
    param_file: ParamFile = None,
    target: TargetName = "host",
    isolation: Isolation = "auto",
    no_start: Annotated[
        bool, typer.Option("--no-start", help="Install without starting services.", rich_help_panel="How")
    ] = False,
    keep_on_failure: Annotated[
        bool, typer.Option("--keep-on-failure", help="Leave a failed state to look at.", rich_help_panel="How")
    ] = False,
    timeout: Timeout = None,
    wait: Wait = None,
    allow: Allow = None,
    yes: Approve = False,
    plan_only: Annotated[
        bool, typer.Option("--plan", help="Only show what would change.", rich_help_panel="Consent")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="With --plan: exit 3 on changes.", rich_help_panel="Consent")
    ] = False,
    events: Events = False,
) -> Outcome:
    """Install integrations: preview, consent, verify; a failure is taken back."""
    if check and not plan_only:
        raise UsageError(
            "`--check` belongs to a plan", where="install", hint="add `--plan`, or use `workflow-agent plan`"
        )
    _check_isolation(isolation)
    request = _request(
        ctx.obj,
        "plan" if plan_only else "install",
        names,
        params=param,
        param_file=param_file,
        target=target,
        timeout=timeout,
        wait=wait,
        events=events,
        allow=allow or [],
        approve=yes,
        start=not no_start,
        keep_on_failure=keep_on_failure,
    )
    return _plan(ctx.obj, request, check=check) if plan_only else _install(ctx.obj, request, approve=yes)


def plan(
    ctx: typer.Context,
    names: Names,
    *,
    param: Params = None,
    param_file: ParamFile = None,
    target: TargetName = "host",
    isolation: Isolation = "auto",
    timeout: Timeout = None,
    wait: Wait = None,
    allow: Allow = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit 3 when something would change.", rich_help_panel="Output")
    ] = False,
    events: Events = False,
) -> Outcome:
    """Show what an installation would change; nothing is kept."""
    _check_isolation(isolation)
    request = _request(
        ctx.obj,
        "plan",
        names,
        params=param,
        param_file=param_file,
        target=target,
        timeout=timeout,
        wait=wait,
        events=events,
        allow=allow or [],
    )
    return _plan(ctx.obj, request, check=check)


# -- verify and rollback ---------------------------------------------------------------------------------------------


def verify(
    ctx: typer.Context,
    name: OneName,
    *,
    param: Params = None,
    param_file: ParamFile = None,
    target: TargetName = "host",
    events: Events = False,
) -> Outcome:
    """Look whether an integration works; nothing is changed."""
    request = _request(
        ctx.obj,
        "verify",
        [name],
        params=param,
        param_file=param_file,
        target=target,
        timeout=None,
        wait=None,
        events=events,
    )
    done = _carry_out(ctx.obj, request)
    return _finish(request, done, _outcome(request, done))


def rollback(
    ctx: typer.Context,
    run: Annotated[
        str, typer.Argument(metavar="[RUN]", help="Run id or its beginning; the newest when left out.")
    ] = "",
    *,
    target: TargetName = "host",
    keep_data: Annotated[
        bool, typer.Option("--keep-data", help="Keep the data that its services wrote.", rich_help_panel="How")
    ] = False,
    wait: Wait = None,
    yes: Approve = False,
    events: Events = False,
) -> Outcome:
    """Take back what a run did, exactly or not at all."""
    from workflow_agent.cli.consent import require_consent  # noqa: PLC0415  # late
    from workflow_agent.cli.past import find_run  # noqa: PLC0415  # late

    require_consent(given=yes, verb="roll back")
    invocation: Invocation = ctx.obj
    inputs = {
        "run": find_run(invocation, run) if run else "",
        "target": _existing_target(target),
        "keep_data": keep_data,
        "approve": yes,
        "wait_s": _wait(wait, invocation.settings().timeouts.target_s),
    }
    request = _Request(workflow="rollback", names=(), inputs=inputs, events=events)
    done = _carry_out(invocation, request)
    return _finish(request, done, _outcome(request, done))


def register(app: typer.Typer) -> None:
    """Add the commands."""
    examples: dict[Callable[..., Outcome], list[str]] = {
        install: ["install nginx", "install nginx --param port=8080 --yes"],
        plan: ["plan nginx", "plan ./my-integration --check"],
        verify: ["verify nginx", "verify nginx --json"],
        rollback: ["rollback", "rollback r-01KA --yes"],
    }
    for function, lines in examples.items():
        declare(app, function.__name__, panel=_PANEL, examples=lines)(function)
