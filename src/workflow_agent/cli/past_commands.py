"""Commands that look at what was done: history, show, logs, diff."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflow_agent.cli import pruning_commands
from workflow_agent.cli.grammar import PROGRAM, ListingGroup, declare
from workflow_agent.cli.options import RunId  # noqa: TC001  # Typer reads the annotations
from workflow_agent.cli.outcome import Outcome
from workflow_agent.cli.past import ask
from workflow_agent.cli.tags import TagFilter, wanted_tags
from workflow_agent.model.errors import UsageError
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.status import RunStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from workflow_agent.app import App
    from workflow_agent.cli.invocation import Invocation
    from workflow_agent.cli.style import Style

__all__ = ["register"]

_PANEL = "Look at what was done"
_FILTER = "Filter"
_MOST = 1000


def history(
    ctx: typer.Context,
    *,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=_MOST, help="How many runs.", rich_help_panel=_FILTER)
    ] = 20,
    status: Annotated[
        str | None,
        typer.Option("--status", metavar="STATE", help="Only runs in this state.", rich_help_panel=_FILTER),
    ] = None,
    integration: Annotated[
        str | None, typer.Option("--integration", metavar="NAME", help="Only this one.", rich_help_panel=_FILTER)
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", metavar="NAME", help="Only on this target.", rich_help_panel=_FILTER)
    ] = None,
    action: Annotated[
        str | None,
        typer.Option("--action", metavar="VERB", help="Only install, plan, ...", rich_help_panel=_FILTER),
    ] = None,
    tag: TagFilter = None,
) -> Outcome:
    """List runs, newest first."""
    if ctx.invoked_subcommand is not None:
        return Outcome(data={})
    tags = wanted_tags(tag or ())
    states = [state.value for state in RunStatus]
    if status is not None and status not in states:
        raise UsageError(
            f"there is no state `{status[:40]}`",
            where="--status",
            hint=did_you_mean(status, states) or f"states are {', '.join(states)}",
        )

    async def found(app: App) -> tuple[list[dict[str, Any]], list[str]]:
        runs = await app.history.runs(
            limit=limit, status=status, integration=integration, target=target, action=action, tags=tags
        )
        return runs, app.orphans(runs)

    runs, orphans = ask(ctx.obj, found)
    runs = [_without_text(run) | {"orphaned": run["run_id"] in orphans} for run in runs]

    def lines(style: Style) -> Iterator[str]:
        from workflow_agent.cli.run_view import history_lines  # noqa: PLC0415  # late

        if not runs and any((status, integration, target, action, tags)):
            yield "no run is like that"
            return
        yield from history_lines(runs, style)

    return Outcome(data={"items": runs}, lines=lines, warnings=_left_behind(orphans))


def _without_text(run: dict[str, Any]) -> dict[str, Any]:
    """Leave the text of a person's own script out of a list: it may be long, and the run's record has it."""
    inputs = run.get("inputs") or {}
    return run | {"inputs": {name: value for name, value in inputs.items() if name != "text"}} if inputs else run


def _left_behind(orphans: list[str]) -> tuple[str, ...]:
    """Say which runs a dead process left; looking at them touches nothing."""
    return tuple(
        f"run {run_id} was left by a process that died: `workflow-agent resume {run_id}` ends it" for run_id in orphans
    )


async def _report(app: App, prefix: str) -> dict[str, Any]:
    return await app.report(await app.history.resolve(prefix))


def show(ctx: typer.Context, run: RunId) -> Outcome:
    """Show one run: steps, checks, errors, and how to take it back."""

    async def found(app: App) -> tuple[dict[str, Any], list[str]]:
        from workflow_agent.app.tiers import tier_of  # noqa: PLC0415  # late: as the others

        report = await _report(app, run)
        report["rollback"] = await tier_of(app, report)
        return report, app.orphans([report])

    report, orphans = ask(ctx.obj, found)
    report["orphaned"] = bool(orphans)

    def lines(style: Style) -> Iterator[str]:
        from workflow_agent.cli.run_view import run_lines  # noqa: PLC0415  # late

        yield from run_lines(report, style)

    return Outcome(data=report, lines=lines, warnings=_left_behind(orphans))


def diff(ctx: typer.Context, run: RunId) -> Outcome:
    """Show every path that a run changed, before and after."""
    report = ask(ctx.obj, lambda app: _report(app, run))
    items = report["changes"]["items"]

    def lines(style: Style) -> Iterator[str]:
        from workflow_agent.cli.run_view import diff_lines  # noqa: PLC0415  # late
        from workflow_agent.cli.running_view import running_texts  # noqa: PLC0415  # late

        yield from diff_lines(items, style)
        yield from running_texts(report["running"], style)

    data = {"run_id": report["run_id"], "items": items, "running": report["running"]["items"]}
    return Outcome(data=data, lines=lines)


def logs(
    ctx: typer.Context,
    run: RunId,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the run ends.", rich_help_panel="Output")
    ] = False,
) -> Outcome:
    """Print the output of a run's script."""
    invocation: Invocation = ctx.obj
    if follow:
        from workflow_agent.cli.following import follow_log  # noqa: PLC0415  # late: asyncio, 35 ms

        return follow_log(invocation, run)
    report = ask(invocation, lambda app: _report(app, run))
    path = log_path(invocation, report)
    found = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    truncated = bool((report.get("output") or {}).get("truncated"))
    # The last attempt's output is the run's; those before it have a file of their own.
    earlier = [item for item in report.get("attempts") or () if item.get("pause_s") is not None]

    def lines(_: Style) -> Iterator[str]:
        from workflow_agent.cli.style import safe  # noqa: PLC0415  # late

        yield from (safe(line) for line in found)

    warnings = [
        f"attempt {item['attempt']} of {item['step']} failed ({item['class']}); its output: {item['folder']}/output.log"
        for item in earlier
    ]
    warnings += ["the output was longer; its beginning is kept"] if truncated else []
    data = {"run_id": report["run_id"], "path": str(path), "lines": found, "truncated": truncated, "attempts": earlier}
    return Outcome(data=data, lines=lines, warnings=tuple(warnings))


def log_path(invocation: Invocation, report: dict[str, Any]) -> Path:
    """Give the file with a run's output; it may not exist (yet)."""
    recorded = (report.get("output") or {}).get("path")
    if recorded:
        return Path(recorded)
    state: Path = invocation.settings().paths.state
    return state / "artifacts" / str(report["run_id"]) / "output.log"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    lines = "\n".join(f"{PROGRAM} {example}" for example in ("history --limit 5", "history --status failed --json"))
    group = typer.Typer(cls=ListingGroup, rich_markup_mode=None, invoke_without_command=True, epilog=lines)
    group.callback()(history)
    pruning_commands.register(group)
    app.add_typer(group, name="history", rich_help_panel=_PANEL)
    examples: dict[Callable[..., Outcome], list[str]] = {
        show: ["show r-01KA", "show r-01KA --json"],
        logs: ["logs r-01KA", "logs r-01KA -f"],
        diff: ["diff r-01KA", "diff r-01KA --json"],
    }
    for function, typed in examples.items():
        declare(app, function.__name__, panel=_PANEL, examples=typed)(function)
