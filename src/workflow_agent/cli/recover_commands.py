"""`recover`: what processes that died left is taken back now, or before services start at the next boot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflow_agent.cli.grammar import declare
from workflow_agent.cli.options import Where, spread
from workflow_agent.cli.outcome import Outcome
from workflow_agent.cli.run_commands import PANEL
from workflow_agent.cli.style import safe
from workflow_agent.model.errors import PermissionDeniedError, UsageError, WorkflowAgentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from workflow_agent.app import App
    from workflow_agent.cli.invocation import Invocation
    from workflow_agent.cli.style import Style

__all__ = ["recovered_lines", "register"]

_WHAT = "What"


def recover(
    ctx: typer.Context,
    *,
    install_unit: Annotated[
        bool,
        typer.Option("--install-unit", help="Do it at each boot, before services start.", rich_help_panel=_WHAT),
    ] = False,
    remove_unit: Annotated[
        bool, typer.Option("--remove-unit", help="Do it at boot no more.", rich_help_panel=_WHAT)
    ] = False,
    place: Where,
) -> Outcome:
    """Take back what processes that died had begun; nothing new is begun."""
    if install_unit and remove_unit:
        raise UsageError("a unit is installed or removed", where="--remove-unit", hint="leave one of the two out")
    if (install_unit or remove_unit) and (place.target or ["host"]) != ["host"]:
        raise UsageError("only a host boots", where="--target", hint="leave `--target` out")
    if install_unit or remove_unit:
        return _unit(ctx.obj, install=install_unit)
    return _recover(ctx.obj, place)


def _recover(invocation: Invocation, place: Where) -> Outcome:
    import asyncio  # noqa: PLC0415  # late: 35 ms

    from workflow_agent.app import open_app  # noqa: PLC0415  # late: 60 ms
    from workflow_agent.cli.running import requested  # noqa: PLC0415  # late

    request = requested(invocation, "recover", (), place=place, events=False)

    async def all_of_them() -> tuple[list[dict[str, Any]], tuple[str, ...]]:
        async with open_app(invocation.settings()) as app:
            found = [await app.recover(target, wait_s=request.inputs["wait_s"]) for target in request.targets]
            return found, tuple(app.warnings)

    items, warnings = asyncio.run(all_of_them())
    return Outcome(data={"items": items}, lines=lambda style: recovered_lines(items, style), warnings=warnings)


def recovered_lines(items: list[dict[str, Any]], style: Style) -> Iterator[str]:
    """Write what was taken back, by target."""
    for item in items:
        name = safe(item["target"])
        if not item["transactions"] and not item["runs"]:
            yield f"{name}: nothing was interrupted"
            continue
        yield style.paint(f"{name}: what was interrupted is taken back", "bold")
        yield from (f"  transaction  {safe(one)}" for one in item["transactions"])
        yield from (f"  run ended    {safe(one)}" for one in item["runs"])


def _unit(invocation: Invocation, *, install: bool) -> Outcome:
    import asyncio  # noqa: PLC0415  # late: 35 ms

    from workflow_agent.app import open_app  # noqa: PLC0415  # late: 60 ms

    async def act() -> Mapping[str, Any]:
        async with open_app(invocation.settings(), read_only=True) as app:
            return await _act(app, install=install)

    data = asyncio.run(act())

    def lines(_: Style) -> Iterator[str]:
        yield f"{safe(data['path'])}: {data['state']}"

    return Outcome(data=data, lines=lines)


async def _act(app: App, *, install: bool) -> Mapping[str, Any]:
    try:
        return await app.recovery_unit(install=install)
    except PermissionError as error:
        raise PermissionDeniedError(
            "a unit is installed by root", cause=str(error), state="nothing was changed"
        ) from error
    except OSError as error:
        raise WorkflowAgentError("the unit cannot be written", cause=str(error)) from error


def register(app: typer.Typer) -> None:
    """Add the command."""
    examples = ["recover", "recover --install-unit"]
    declare(app, "recover", panel=PANEL, examples=examples)(spread(recover))
