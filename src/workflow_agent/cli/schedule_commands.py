"""Commands about scheduled runs: when they begin, and beginning them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflow_agent.cli.grammar import TypedGroup, declare
from workflow_agent.cli.outcome import Outcome
from workflow_agent.cli.style import safe
from workflow_agent.cli.tables import Column, moment, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workflow_agent.cli.invocation import Invocation
    from workflow_agent.cli.style import Style

__all__ = ["register"]

_PANEL = "Run workflows of your own"
_NEXT = 3
_ROWS = (
    Column("workflow", "workflow", shrinks=True),
    Column("cron", "cron"),
    Column("timezone", "zone", rank=2),
    Column("catch_up", "catch up", rank=4),
    Column("overlap", "overlap", rank=3),
    Column("next_at", "next"),
    Column("state", "state", rank=1),
)
_Files = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILE]...", help="Files with workflows, beside those that are known by name.", show_default=False
    ),
]


def schedules_list(ctx: typer.Context, files: _Files = None) -> Outcome:
    """List scheduled runs and when they are due next."""
    import time  # noqa: PLC0415  # late: as the others

    from workflow_agent.app.scheduler import Planned, read_ledger  # noqa: PLC0415  # late: the application
    from workflow_agent.authoring.sdk.compiling import compile_workflow  # noqa: PLC0415  # late
    from workflow_agent.engine.schedules import next_times, schedules_of  # noqa: PLC0415  # late: cron

    invocation: Invocation = ctx.obj
    now = time.time()
    ledger = read_ledger(invocation.settings().paths.state)
    rows: list[dict[str, Any]] = []
    for workflow, _ in _workflows(invocation, files or []):
        for schedule in schedules_of(compile_workflow(workflow)):
            entry = ledger.get(schedule.id) or Planned(considered=now)
            said = {
                key: getattr(schedule, key) for key in ("id", "workflow", "cron", "timezone", "catch_up", "overlap")
            }
            times = next_times(schedule, max(now, entry.considered), _NEXT)
            rows.append(said | {"next": times, "running": entry.running, "waiting": entry.waiting})

    def lines(style: Style) -> Iterator[str]:
        if not rows:
            yield "no workflow has a schedule"
            return
        yield from table(_ROWS, [_row(row) for row in rows], style)

    return Outcome(data={"items": rows}, lines=lines)


def _row(row: dict[str, Any]) -> dict[str, Any]:
    counts = [f"{len(row[key])} {key}" for key in ("running", "waiting") if row[key]]
    return row | {"next_at": moment(row["next"][0] if row["next"] else None), "state": ", ".join(counts)}


def schedules_run(
    ctx: typer.Context,
    files: _Files = None,
    *,
    once: Annotated[
        bool, typer.Option("--once", help="Begin what is due now, wait for it, and end.", rich_help_panel="How")
    ] = False,
) -> Outcome:
    """Begin runs when they are due, until Ctrl-C."""
    import asyncio  # noqa: PLC0415  # late: 35 ms

    invocation: Invocation = ctx.obj
    workflows = [each for each in _workflows(invocation, files or []) if _has_schedule(each[0])]
    count = asyncio.run(_run(invocation, workflows, once=once))
    text = f"{count} run{'' if count == 1 else 's'} begun"
    return Outcome(data={"begun": count}, lines=lambda _: [text])


async def _run(invocation: Invocation, workflows: list[tuple[Any, str | None]], *, once: bool) -> int:
    from workflow_agent.app import open_app  # noqa: PLC0415  # late: 60 ms
    from workflow_agent.app.scheduler import Scheduler  # noqa: PLC0415  # late
    from workflow_agent.cli.prints import prints_as_talk  # noqa: PLC0415  # late

    settings = invocation.settings()
    async with open_app(settings) as app:
        flows = await app.flows()
        with prints_as_talk():
            scheduler = Scheduler(flows, workflows, settings.paths.state, lambda text: invocation.say(safe(text)))
            invocation.say(f"{len(scheduler.known)} schedule{'' if len(scheduler.known) == 1 else 's'}")
            await scheduler.run(once=once)
    return scheduler.begun


def _has_schedule(workflow: Any) -> bool:
    from workflow_agent.authoring.sdk.compiling import compile_workflow  # noqa: PLC0415  # late: the Python front end

    return bool(compile_workflow(workflow).schedule)


def _workflows(invocation: Invocation, files: list[str]) -> list[tuple[Any, str | None]]:
    """Give workflows, each with its file: those known by name, and those of files."""
    from workflow_agent.authoring.sdk.loading import load_file  # noqa: PLC0415  # late: the Python front end
    from workflow_agent.cli.prints import prints_as_talk  # noqa: PLC0415  # late
    from workflow_agent.cli.sources import catalogue_of  # noqa: PLC0415  # late

    catalogue = catalogue_of(invocation.settings())
    found: list[tuple[Any, str | None]] = [(catalogue.get(name), None) for name in catalogue.names()]
    with prints_as_talk():
        for file in files:
            source = str(Path(file.partition(".py:")[0] + (".py" if ".py:" in file else "")).resolve())
            found.append((load_file(file), source))
    return found


def register(app: typer.Typer) -> None:
    """Add the commands."""
    schedules = typer.Typer(cls=TypedGroup, rich_markup_mode=None, help="Schedules: runs that begin by themselves.")
    declare(schedules, "list", examples=["schedules list", "schedules list nightly.yaml --json"])(schedules_list)
    declare(schedules, "run", examples=["schedules run nightly.yaml", "schedules run --once"])(schedules_run)
    app.add_typer(schedules, name="schedules", rich_help_panel=_PANEL)
