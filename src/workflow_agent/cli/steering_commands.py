"""Commands that say something to a run of a person's own workflow: pause, signal, approve, decline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflow_agent.cli.grammar import declare
from workflow_agent.cli.options import RunId  # noqa: TC001  # Typer reads the annotations
from workflow_agent.cli.outcome import Outcome
from workflow_agent.model.errors import ConflictError, UsageError
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.status import OWN_ACTION

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from workflow_agent.app import App
    from workflow_agent.app.flows import Flows
    from workflow_agent.cli.invocation import Invocation

__all__ = ["OWN_PANEL", "register", "require_own", "say_to_run"]

OWN_PANEL = "Run workflows of your own"
_WHAT = "What"
_Reason = Annotated[
    str,
    typer.Option("--reason", metavar="TEXT", help="Why; recorded.", rich_help_panel=_WHAT, show_default=False),
]
_Step = Annotated[str, typer.Argument(metavar="[STEP]", help="Step that waits; needed where several do.")]


def pause(ctx: typer.Context, run: RunId, *, reason: _Reason = "") -> Outcome:
    """Let nothing new start in a run; what is in flight goes on."""

    async def said(flows: Flows, run_id: str) -> dict[str, Any]:
        await flows.pause(run_id, reason or "paused by request")
        return {}

    found = say_to_run(ctx.obj, run, said)
    text = f"run {found['run_id']} is paused: nothing new starts, what is in flight goes on to its end"
    return _outcome(found, text, f"hint: `workflow-agent resume {found['run_id']}` lets it go on", ctx.obj)


def signal(
    ctx: typer.Context,
    run: RunId,
    name: Annotated[str, typer.Argument(metavar="SIGNAL", help="What the step waits for: a name, or the step's.")],
    *,
    data: Annotated[
        str,
        typer.Option(
            "--data", metavar="JSON", help="What it brings; @FILE reads it.", rich_help_panel=_WHAT, show_default=False
        ),
    ] = "",
) -> Outcome:
    """Tell a run that something happened: the step that waits for it goes on, now or later."""
    value = _json(data)

    async def said(flows: Flows, run_id: str) -> dict[str, Any]:
        await flows.signal(run_id, name, value)
        return {"signal": name}

    found = say_to_run(ctx.obj, run, said)
    return _outcome(found, f"run {found['run_id']} got `{name}`", _undriven(found), ctx.obj)


def approve(ctx: typer.Context, run: RunId, step: _Step = "", *, reason: _Reason = "") -> Outcome:
    """Answer yes to a run that waits for a person."""
    return _answer(ctx.obj, run, step, reason, approved=True)


def decline(ctx: typer.Context, run: RunId, step: _Step = "", *, reason: _Reason = "") -> Outcome:
    """Answer no to a run that waits for a person: the step fails."""
    return _answer(ctx.obj, run, step, reason, approved=False)


def _answer(invocation: Invocation, run: str, step: str, reason: str, *, approved: bool) -> Outcome:
    from workflow_agent.app.application import current_user  # noqa: PLC0415  # late: the application

    async def said(flows: Flows, run_id: str) -> dict[str, Any]:
        waiting = await _waiting(flows, run_id, step)
        data = {"approved": approved, "by": current_user()} | ({"reason": reason} if reason else {})
        await flows.signal(run_id, waiting["details"]["signal"], data)
        return {"step": waiting["step"], "approved": approved}

    found = say_to_run(invocation, run, said)
    word = "approved" if approved else "declined"
    return _outcome(found, f"{word} `{found['step']}` of run {found['run_id']}", _undriven(found), invocation)


async def _waiting(flows: Flows, run_id: str, step: str) -> dict[str, Any]:
    """Find the step that waits for a person.

    Raises:
        ConflictError: none does, or several do and none was named.
    """
    from workflow_agent.engine import why  # noqa: PLC0415  # late, loaded already

    state = await flows.state(run_id)
    unmet = [each.to_dict() for each in why(await flows.definition(run_id), state)]
    waiting = {each["step"]: each for each in unmet if each["kind"] == "person"}
    if step and step in waiting:
        return waiting[step]
    if step or not waiting:
        whom = f"`{step[:60]}`" if step else "no step"
        does = "does not wait" if step else "waits"
        hint = did_you_mean(step, waiting) if step else f"`workflow-agent why {run_id}` says what it waits for"
        raise ConflictError(f"{whom} {does} for a person's answer", run_id=run_id, hint=hint)
    if len(waiting) > 1:
        raise ConflictError("several steps wait for a person", cause=", ".join(waiting), hint="name one", run_id=run_id)
    return next(iter(waiting.values()))


def say_to_run(
    invocation: Invocation, prefix: str, say: Callable[[Flows, str], Awaitable[Mapping[str, Any]]]
) -> dict[str, Any]:
    """Say something to a run; gives what `say` gives, the run's id, its status then, and who drives it.

    Raises:
        NotFoundError: there is no such run.
        ConflictError: it is none of a person's own workflow, or it cannot be told that now.
    """
    import asyncio  # noqa: PLC0415  # late: 35 ms

    from workflow_agent.app import open_app  # noqa: PLC0415  # late: 60 ms
    from workflow_agent.cli.past import find_run  # noqa: PLC0415  # late

    run_id, _ = find_run(invocation, prefix)  # read only: where there is no history yet, none is made

    async def said() -> dict[str, Any]:
        async with open_app(invocation.settings()) as app:
            await require_own(app, run_id)
            flows = await app.flows()
            found = await say(flows, run_id)
            owner = await flows.owner(run_id)
            status = (await app.history.run(run_id))["status"]
            return {"run_id": run_id, "status": status, "pid": owner and owner.pid, **found}

    return asyncio.run(said())


async def require_own(app: App, run_id: str) -> None:
    """Refuse a run that is none of a person's own workflow; raises ConflictError."""
    run = await app.history.run(run_id)
    if run["action"] not in {OWN_ACTION, None}:  # a workflow that is a step of another one has no action
        raise ConflictError(
            f"run {run_id} is no run of a workflow of your own",
            cause=f"it is {run['action']} {run['integration'] or ''}".rstrip(),
            hint=f"`workflow-agent cancel {run_id}` stops it, `workflow-agent resume {run_id}` ends it",
            run_id=run_id,
        )


def _json(text: str) -> Any:  # Any: a JSON value
    if not text:
        return None
    try:
        if text.startswith("@"):
            text = Path(text[1:]).read_text(encoding="utf-8")
        return json.loads(text)
    except (OSError, ValueError) as error:
        raise UsageError("the data are no JSON", where="--data", cause=str(error), hint='as in `{"n": 1}`') from None


def _undriven(found: Mapping[str, Any]) -> str:
    if found["pid"] is not None:
        return ""
    return f"hint: no process drives it: `workflow-agent resume {found['run_id']}`"


def _outcome(found: dict[str, Any], text: str, hint: str, invocation: Invocation) -> Outcome:
    invocation.say(text)
    if hint:
        invocation.say(hint)
    return Outcome(data=found)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    examples: dict[Callable[..., Outcome], list[str]] = {
        pause: ["pause r-01KA", 'pause r-01KA --reason "the disk is full"'],
        signal: ["signal r-01KA delivered", "signal r-01KA delivered --data '{\"parcels\": 2}'"],
        approve: ["approve r-01KA", 'approve r-01KA release --reason "looked at it"'],
        decline: ["decline r-01KA", 'decline r-01KA release --reason "not today"'],
    }
    for function, lines in examples.items():
        declare(app, function.__name__, panel=OWN_PANEL, examples=lines)(function)
