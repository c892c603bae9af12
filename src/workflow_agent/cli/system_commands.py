"""Commands about workflow-agent itself: agents, secrets, config, doctor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflow_agent.cli import memory_commands
from workflow_agent.cli.grammar import TypedGroup, declare
from workflow_agent.cli.outcome import CommandFailedError, Outcome
from workflow_agent.cli.style import safe
from workflow_agent.cli.tables import Column, table
from workflow_agent.model.errors import WorkflowAgentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from workflow_agent.app import App
    from workflow_agent.cli.style import Style

__all__ = ["register"]

_PANEL = "What there is"
_AGENTS = (Column("name", "name"), Column("verbs", "verbs"), Column("implementation", "implementation", rank=1))
_CREDENTIALS = (
    Column("set", "set"),
    Column("name", "variable"),
    Column("source", "source"),
    Column("available", "there", rank=1),
    Column("description", "description", rank=2, shrinks=True),
)
_YES = {True: "yes", False: "no"}
#: The states of a check of `doctor` in the words of the one table.
_AS_STATUS = {"ok": "succeeded", "warn": "waiting", "fail": "failed"}


def agents_list(ctx: typer.Context) -> Outcome:
    """List the agents that answer on the bus, and which code does."""
    from workflow_agent.cli.past import ask  # noqa: PLC0415  # late

    async def listed(app: App) -> list[dict[str, Any]]:
        return app.agents()

    found = ask(ctx.obj, listed)
    rows = [{**agent, "verbs": ", ".join(agent["verbs"])} for agent in found]
    return Outcome(data={"items": found}, lines=lambda style: table(_AGENTS, rows, style))


def secrets_list(ctx: typer.Context) -> Outcome:
    """List the sets of credentials that steps can name, with their variables; never a value."""
    from workflow_agent.security.credentials import described  # noqa: PLC0415  # late

    sets = ctx.obj.settings().credentials
    found = [described(sets[name], ctx.obj.environ) for name in sorted(sets)]
    rows = [
        {"set": each["name"], "description": each["description"], **item, "available": _YES[item["available"]]}
        for each in found
        for item in each["variables"]
    ]
    return Outcome(data={"items": found}, lines=lambda style: table(_CREDENTIALS, rows, style))


def config_show(
    ctx: typer.Context,
    origin: Annotated[
        bool, typer.Option("--origin", help="Say where each value came from.", rich_help_panel="Output")
    ] = False,
) -> Outcome:
    """Print every setting."""
    rows = ctx.obj.settings().rows()

    def lines(_: Style) -> Iterator[str]:
        import json  # noqa: PLC0415  # late: 5 ms

        told = [f"{row['name']} = {safe(json.dumps(row['value'], ensure_ascii=False))}" for row in rows]
        widest = max(len(line) for line in told)
        for line, row in zip(told, rows, strict=True):
            yield f"{line.ljust(widest)}  # {safe(row['origin'])}" if origin else line

    return Outcome(data={"items": rows}, lines=lines)


def doctor(ctx: typer.Context) -> Outcome:
    """Check whether this system can carry out what is asked of it."""
    from workflow_agent.cli.past import ask  # noqa: PLC0415  # late

    try:
        ctx.obj.settings()
    except WorkflowAgentError as error:
        found = _without_settings(error)
    else:
        found = ask(ctx.obj, lambda app: app.doctor())
    outcome = Outcome(data={"items": found}, lines=lambda style: _doctor_lines(found, style))
    failed = [check for check in found if check["status"] == "fail"]
    if failed:
        names = ", ".join(str(check["check"]) for check in failed)
        raise CommandFailedError(WorkflowAgentError(f"not everything is well: {names}"), outcome)
    return outcome


def _without_settings(error: WorkflowAgentError) -> list[dict[str, Any]]:
    import asyncio  # noqa: PLC0415  # late: 35 ms

    from workflow_agent.app.doctor import examine_without_settings  # noqa: PLC0415  # late

    return asyncio.run(examine_without_settings(error))


def _doctor_lines(found: Sequence[dict[str, Any]], style: Style) -> Iterator[str]:
    widest = max((len(str(check["check"])) for check in found), default=0)
    for check in found:
        status = str(check["status"])
        color = {"ok": "green", "warn": "yellow"}.get(status, "red")
        mark = style.paint(f"{style.symbol(_AS_STATUS.get(status, 'failed'))} {status.ljust(4)}", color)
        yield f"{mark}  {safe(check['check']).ljust(widest)}  {safe(check['observed'])}"
        if check.get("fix") and status != "ok":
            yield f"{' ' * (widest + 8)}  fix: {safe(check['fix'])}"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    agents = typer.Typer(cls=TypedGroup, rich_markup_mode=None, help="Agents: who answers on the bus.")
    declare(agents, "list", examples=["agents list", "agents list --json"])(agents_list)
    memory_commands.register(agents)
    app.add_typer(agents, name="agents", rich_help_panel=_PANEL)
    config = typer.Typer(cls=TypedGroup, rich_markup_mode=None, help="Settings and where they come from.")
    declare(config, "show", examples=["config show --origin", "config show --json"])(config_show)
    app.add_typer(config, name="config", rich_help_panel=_PANEL)
    secrets = typer.Typer(cls=TypedGroup, rich_markup_mode=None, help="Credentials: named sets of variables for steps.")
    declare(secrets, "list", examples=["secrets list", "secrets list --json"])(secrets_list)
    app.add_typer(secrets, name="secrets", rich_help_panel=_PANEL)
    declare(app, "doctor", panel=_PANEL, examples=["doctor", "doctor --json"])(doctor)
