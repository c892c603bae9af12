"""`history prune`: before-images of old runs are given up, after they were shown and asked about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflow_agent.cli.grammar import declare
from workflow_agent.cli.options import Consent, Events, Where, spread
from workflow_agent.cli.outcome import Outcome  # noqa: TC001  # Typer reads the annotations
from workflow_agent.cli.style import safe
from workflow_agent.cli.tables import counted, moment, size
from workflow_agent.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from workflow_agent.cli.running import RunRequest
    from workflow_agent.cli.session import Ended
    from workflow_agent.cli.style import Style

__all__ = ["prune_lines", "register"]

_WHAT = "What"
_SHOWN = 20
#: Why before-images stay that nobody asked to keep.
_WHY = {
    "unfinished": "not finished",
    "needs-attention": "needs attention: look at it first",
}


def prune(
    ctx: typer.Context,
    *,
    keep: Annotated[
        int | None,
        typer.Option("--keep", metavar="N", min=0, help="The newest N stay.", rich_help_panel=_WHAT),
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="TIME", help="What is younger stays (12h, 30d).", rich_help_panel=_WHAT),
    ] = None,
    place: Where,
    consent: Consent,
    events: Events = False,
) -> Outcome:
    """Free the before-images of old runs; the runs stay in history."""
    from workflow_agent.cli.parameters import seconds  # noqa: PLC0415  # late: cheap, but not for help
    from workflow_agent.cli.running import done_or_planned, requested  # noqa: PLC0415  # late

    if keep is None and older_than is None:
        raise UsageError(
            "what is to stay was not said",
            where="history prune",
            hint="for example `--keep 10`, `--older-than 30d`, or both: then only what is beyond both goes",
        )
    age = seconds(older_than, "--older-than") if older_than is not None else 0.0

    def request(plan_only: bool) -> RunRequest:
        return requested(
            ctx.obj,
            "prune",
            (),
            place=place,
            events=events,
            keep=keep or 0,
            older_than_s=age,
            approve=consent.yes,
            plan_only=plan_only,
        )

    return done_or_planned(ctx.obj, consent, "prune", request, _planned)


def _planned(ended: Ended) -> tuple[dict[str, Any], bool, Callable[[Style], Iterator[str]]]:
    chosen, preview = ended.outputs.get("choose") or {}, ended.outputs.get("preview") or {}
    plan = {"prunes": chosen.get("runs") or [], "stays": chosen.get("stays") or [], "preview": preview}
    plan["target"] = preview.get("target")
    return plan, bool(plan["prunes"]), lambda style: prune_lines(plan, style)


def prune_lines(summary: Mapping[str, Any], style: Style) -> Iterator[str]:
    """Write what a prune would give up: the summary of its approval (see the workflow ``prune``)."""
    preview, runs = summary.get("preview") or {}, summary.get("prunes") or ()
    if not runs:
        yield "there is nothing to prune"
    else:
        where = safe(summary.get("target") or "host")
        yield style.paint(f"give up the before-images of {counted(len(runs), 'run')} on {where}", "bold")
        taken = {one["transaction"]: one["bytes"] for one in preview.get("transactions") or ()}
        shown = runs if style.verbose else runs[:_SHOWN]
        for run in shown:
            yield f"  {_about(run)}  {size(taken.get(run['transaction'], 0))}"
        if len(runs) > len(shown):
            yield f"  and {len(runs) - len(shown):,} more; `-v` lists all"
        yield f"  frees {size(preview.get('bytes', 0))} in {counted(preview.get('entries', 0), 'entry', 'entries')}"
        yield style.paint("  they cannot be rolled back exactly any more; they stay in history", "yellow")
    for run in summary.get("stays") or ():
        if run["why"] in _WHY:
            yield f"  stays     {_about(run)}: {_WHY[run['why']]}"


def _about(run: Mapping[str, Any]) -> str:
    what = " ".join(safe(run[key]) for key in ("action", "integration", "version", "script") if run.get(key))
    return f"{safe(run['run_id'])}  {what}, {moment(run['created_at'])}"


def register(history: typer.Typer) -> None:
    """Add the command to the group `history`."""
    examples = ["history prune --keep 10", "history prune --older-than 30d --keep 5 --plan"]
    declare(history, "prune", examples=examples)(spread(prune))
