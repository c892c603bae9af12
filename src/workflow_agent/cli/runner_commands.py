"""``runners``: the places that drive runs, and how they are."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflow_agent.cli.grammar import TypedGroup, declare
from workflow_agent.cli.outcome import Outcome
from workflow_agent.cli.tables import Column, table

if TYPE_CHECKING:
    from workflow_agent.app.settings import Settings
    from workflow_agent.client.runners import Runner, RunnerHealth

__all__ = ["register"]

_PANEL = "What there is"
_COLUMNS = (
    Column("name", "name"),
    Column("status", "status"),
    Column("lacks", "lacks"),
    Column("version", "version", rank=2),
    Column("url", "url", rank=1),
    Column("message", "message", rank=2, shrinks=True),
)


def runners_list(
    ctx: typer.Context,
    require: Annotated[
        list[str] | None,
        typer.Option(
            "--require",
            metavar="COMPONENT",
            help="Say which runners lack this: docker, or an agent. Repeat it.",
            show_default=False,
        ),
    ] = None,
) -> Outcome:
    """List the runners, whether they are well, and what they lack; they are asked now."""
    import asyncio  # noqa: PLC0415  # late: 35 ms

    found = asyncio.run(_healths(ctx.obj.settings()))
    items = [_item(runner, health, require or ()) for runner, health in found]
    rows = [{**item, "lacks": ", ".join(item["lacks"])} for item in items]
    return Outcome(data={"items": items}, lines=lambda style: table(_COLUMNS, rows, style))


async def _healths(settings: Settings) -> list[tuple[Runner, RunnerHealth]]:
    import asyncio  # noqa: PLC0415  # late, loaded already

    from workflow_agent.app import open_app  # noqa: PLC0415  # late: as above
    from workflow_agent.app.health import looked_at, runners_of  # noqa: PLC0415  # late: the application
    from workflow_agent.client.runners import asked_health, health_of_answer  # noqa: PLC0415  # late: as above

    async def look(runner: Runner) -> RunnerHealth:
        if runner.url is not None:
            return await asked_health(runner)
        async with open_app(settings, read_only=True) as app:
            return health_of_answer(runner.name, await looked_at(app))

    known = [*runners_of(settings).values()]
    return [*zip(known, await asyncio.gather(*map(look, known)), strict=True)]


def _item(runner: Runner, health: RunnerHealth, required: list[str] | tuple[()]) -> dict[str, Any]:
    said = {**asdict(health), "components": dict(health.components)}
    return {**said, "url": runner.url, "description": runner.description, "lacks": health.missing(required)}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    runners = typer.Typer(cls=TypedGroup, rich_markup_mode=None, help="Runners: places that drive runs.")
    declare(runners, "list", examples=["runners list", "runners list --require docker --json"])(runners_list)
    app.add_typer(runners, name="runners", rich_help_panel=_PANEL)
