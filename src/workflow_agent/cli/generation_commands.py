"""Commands about what is installed now and was before: generations."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflow_agent.cli.grammar import NamingGroup, declare
from workflow_agent.cli.options import RunId  # noqa: TC001  # Typer reads the annotations
from workflow_agent.cli.outcome import Outcome
from workflow_agent.cli.past import ask
from workflow_agent.cli.style import safe
from workflow_agent.cli.tables import Column, ago, moment, table
from workflow_agent.model.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from workflow_agent.app import App
    from workflow_agent.cli.style import Style

__all__ = ["register"]

_PANEL = "What there is"
_FILTER = "Filter"
#: As much of a hash as tells it from others.
_SHORT = 8
_ROWS = (
    Column("integration", "integration", shrinks=True),
    Column("version", "version"),
    Column("target", "target", rank=2),
    Column("run_id", "run"),
    Column("parameters", "parameters", rank=4),
    Column("when", "installed", rank=3),
    Column("state", "state"),
    Column("rollbackable", "rollback", rank=1),
)


async def _described(app: App, target: str | None, integration: str | None, run_id: str | None) -> list[dict[str, Any]]:
    from workflow_agent.app.installed import describe_generations  # noqa: PLC0415  # late: as the others

    run = await app.history.resolve(run_id) if run_id is not None else None
    found = await app.history.generations(target, integration, live_only=False)
    chosen = [one for one in found if run is None or one.run_id == run]
    return await describe_generations(app.history, app.targets, chosen)


def generations_list(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Only of this integration.")] = "",
    *,
    target: Annotated[
        str | None, typer.Option("--target", metavar="NAME", help="Only on this target.", rich_help_panel=_FILTER)
    ] = None,
) -> Outcome:
    """List what is installed now and was before, newest first."""
    items = ask(ctx.obj, lambda app: _described(app, target, name or None, None))

    def lines(style: Style) -> Iterator[str]:
        if not items:
            yield "nothing was installed yet"
            return
        yield from table(_ROWS, [_row(item, style) for item in items], style)

    return Outcome(data={"items": items}, lines=lines, warnings=_unknown(items))


def _row(item: Mapping[str, Any], style: Style) -> dict[str, Any]:
    when = ago(item["created_at"], time.time()) if style.width is not None else moment(item["created_at"])
    return {**item, "parameters": item["parameter_hash"][:_SHORT], "when": when, "state": _state(item)}


def _state(item: Mapping[str, Any]) -> str:
    return "live" if item["live"] else str(item["ended_how"])


def _unknown(items: list[dict[str, Any]]) -> tuple[str, ...]:
    targets = dict.fromkeys(item["target"] for item in items if item["rollbackable"] == "unknown")
    return tuple(
        f"whether `{target}` still holds the before-images is not known: it cannot be asked, or only root may look"
        for target in targets
    )


def generations_show(ctx: typer.Context, run: RunId) -> Outcome:
    """Show what a run installed: parameters, and what became of it."""
    items = ask(ctx.obj, lambda app: _described(app, None, None, run))
    if not items:
        raise NotFoundError(
            f"run {run} installed nothing", hint="`workflow-agent generations list` lists what was installed"
        )

    def lines(style: Style) -> Iterator[str]:
        for item in items:
            yield from _lines(item, style)

    return Outcome(data={"items": items}, lines=lines, warnings=_unknown(items))


def _lines(item: Mapping[str, Any], style: Style) -> Iterator[str]:
    yield style.paint(f"{safe(item['integration'])} {safe(item['version'])} on {safe(item['target'])}", "bold")
    yield f"  run         {safe(item['run_id'])} ({safe(item['action'])})"
    yield f"  installed   {moment(item['created_at'])}"
    ended = f", {item['ended_how']} by {item['ended_by']}" if item["ended_by"] else ""
    yield f"  state       {'live' if item['live'] else 'ended'}{safe(ended)}"
    yield f"  rollback    {safe(item['rollbackable'])}"
    yield f"  manifest    {safe(item['manifest_hash'])}"
    yield f"  parameters  {safe(item['parameter_hash'])}"
    for name, value in item["parameters"].items():
        yield f"    {safe(name)} = {safe(json.dumps(value, ensure_ascii=False))}"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        cls=NamingGroup, rich_markup_mode=None, help="Generations: what is installed now and was before."
    )
    declare(group, "list", examples=["generations list", "generations nginx", "generations list nginx --json"])(
        generations_list
    )
    declare(group, "show", examples=["generations show r-01KA", "generations show r-01KA --json"])(generations_show)
    app.add_typer(group, name="generations", rich_help_panel=_PANEL)
