"""Commands about suggestions of the improver: nothing of them is applied before it is accepted."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflow_agent.cli.grammar import TypedGroup, declare
from workflow_agent.cli.outcome import Outcome
from workflow_agent.cli.past import ask, tell
from workflow_agent.cli.style import safe
from workflow_agent.cli.tables import Column, moment, table
from workflow_agent.model.errors import UsageError
from workflow_agent.model.nearest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from workflow_agent.cli.style import Style

__all__ = ["register"]

_PANEL = "What there is"
_STATES = ("open", "accepted", "rejected")
_ROWS = (
    Column("improvement_id", "suggestion"),
    Column("integration", "about", rank=1),
    Column("failure", "failure", rank=2),
    Column("seen", "seen", rank=3),
    Column("state", "state"),
    Column("text", "what", shrinks=True),
)
Suggestion = Annotated[str, typer.Argument(metavar="ID", help="Id of a suggestion, as the list gives it.")]


def improvements_list(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Only about this integration.")] = "",
    *,
    state: Annotated[
        str | None, typer.Option("--state", metavar="STATE", help="Only these: open, accepted, rejected.")
    ] = None,
) -> Outcome:
    """List what was learnt from failures, that which was seen last first."""
    if state is not None and state not in _STATES:
        raise UsageError(f"`{state[:40]}` is no state", where="--state", hint=did_you_mean(state, _STATES))
    items = ask(ctx.obj, lambda app: app.store.knowledge.suggestions(state=state, integration=name or None))

    def lines(style: Style) -> Iterator[str]:
        if not items:
            yield "nothing is suggested"
        yield from table(_ROWS, [{**item, "text": item["suggestion"]["text"]} for item in items], style)

    return Outcome(data={"items": items}, lines=lines)


def _decide(ctx: typer.Context, suggestion: str, state: str) -> Outcome:
    from workflow_agent.app.application import current_user  # noqa: PLC0415  # late: as the others

    by = current_user()
    item = tell(ctx.obj, lambda app: app.store.knowledge.decide(suggestion, state, by=by, at=time.time()))

    def lines(style: Style) -> Iterator[str]:
        yield style.paint(f"{safe(item['improvement_id'])} is {state}: {safe(item['suggestion']['text'])}", "bold")
        yield from _applied(item) if state == "accepted" else ()
        for one in item["evidence"]:
            yield f"  seen in run {safe(one['run_id'])}, step {safe(one['step'])}: {safe(one['sign'])}"
        yield f"  decided {moment(item['updated_at'])} by {safe(item['decided_by'])}"

    return Outcome(data=item, lines=lines)


def _applied(item: Mapping[str, Any]) -> Iterator[str]:
    """Say what the acceptance does, or what is left for a person to do."""
    said = item["suggestion"]
    if said["kind"] == "parameter":
        value = f"{said['name']}={said['value']}"
        yield f"  from now on `install {safe(item['integration'])}` takes {safe(value)} where nothing else is given"
    elif said["kind"] == "setting":
        section, _, key = said["name"].partition(".")
        yield f"  put it into the settings: `{safe(key)} = {said['value']}` in the section `[{safe(section)}]`"
    else:
        yield "  this is for a person to do"


def improvements_accept(ctx: typer.Context, suggestion: Suggestion) -> Outcome:
    """Accept a suggestion: from now on it is applied."""
    return _decide(ctx, suggestion, "accepted")


def improvements_reject(ctx: typer.Context, suggestion: Suggestion) -> Outcome:
    """Reject a suggestion: it is not applied, and not suggested again."""
    return _decide(ctx, suggestion, "rejected")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(cls=TypedGroup, rich_markup_mode=None, help="Improvements: what was learnt from failures.")
    listed = ["improvements list", "improvements list nginx --state open --json"]
    declare(group, "list", examples=listed)(improvements_list)
    declare(group, "accept", examples=["improvements accept i-0a1b2c3d4e", "improvements accept i-0a1b2c3d4e --json"])(
        improvements_accept
    )
    declare(group, "reject", examples=["improvements reject i-0a1b2c3d4e", "improvements reject i-0a1b2c3d4e --json"])(
        improvements_reject
    )
    app.add_typer(group, name="improvements", rich_help_panel=_PANEL)
