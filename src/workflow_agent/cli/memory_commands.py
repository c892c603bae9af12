"""Commands about what agents remember between runs: look at it, forget it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflow_agent.cli.grammar import declare
from workflow_agent.cli.outcome import Outcome
from workflow_agent.cli.past import ask, tell
from workflow_agent.cli.style import safe
from workflow_agent.cli.tables import Column, counted, moment, table
from workflow_agent.model.errors import NotFoundError
from workflow_agent.model.nearest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workflow_agent.app import App
    from workflow_agent.cli.style import Style

__all__ = ["register"]

_COLLECTIONS = (Column("collection", "collection"), Column("entries", "entries"), Column("when", "newest", rank=1))


def agents_memories(
    ctx: typer.Context,
    collection: Annotated[str, typer.Argument(metavar="[COLLECTION]", help="What this one holds.")] = "",
) -> Outcome:
    """List what agents remember: the collections, or the entries of one, the newest first."""
    if not collection:
        found = ask(ctx.obj, lambda app: app.store.memories.collections())
        rows = [{**each, "when": moment(each["kept_at"])} for each in found]
        return Outcome(data={"items": found}, lines=lambda style: table(_COLLECTIONS, rows, style))
    items = ask(ctx.obj, lambda app: _entries(app, collection))

    def lines(style: Style) -> Iterator[str]:
        for item in items:
            yield style.paint(f"{moment(item['kept_at'])} {safe(item['agent'])}, run {safe(item['run_id'])}", "bold")
            yield f"  asked     {_line(item['asked'])}"
            yield f"  answered  {_line(item['answered'])}"

    return Outcome(data={"items": items}, lines=lines)


def agents_forget(
    ctx: typer.Context,
    collection: Annotated[str, typer.Argument(metavar="COLLECTION", help="Name of a collection of memories.")],
) -> Outcome:
    """Forget what agents remember under the name of a collection, for good."""

    async def forgotten(app: App) -> int:
        await _entries(app, collection)
        return await app.store.memories.forget(collection)

    count = tell(ctx.obj, forgotten)
    line = f"forgot {counted(count, 'entry', 'entries')} of {safe(collection)}"
    return Outcome(data={"collection": collection, "entries": count}, lines=lambda _: [line])


async def _entries(app: App, collection: str) -> list[dict[str, Any]]:
    items = await app.store.memories.entries(collection)
    if not items:
        known = [str(each["collection"]) for each in await app.store.memories.collections()]
        hint = did_you_mean(collection, known)
        raise NotFoundError(f"nothing is remembered under `{collection[:100]}`", hint=hint)
    return items


def _line(text: str) -> str:
    return safe(" ".join(text.split()))


def register(agents: typer.Typer) -> None:
    """Add the commands to those about agents."""
    declare(agents, "memories", examples=["agents memories", "agents memories shop", "agents memories shop --json"])(
        agents_memories
    )
    declare(agents, "forget", examples=["agents forget shop", "agents forget shop --json"])(agents_forget)
