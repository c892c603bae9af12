"""``serve``: the HTTP API, until a signal."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  # Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflow_agent.cli.grammar import declare
from workflow_agent.cli.outcome import Outcome
from workflow_agent.cli.style import safe
from workflow_agent.model.errors import UsageError

if TYPE_CHECKING:
    import asyncio

    from workflow_agent.app.serving import Serving
    from workflow_agent.cli.invocation import Invocation

__all__ = ["register"]

_PANEL = "Run workflows of your own"
_WHERE = "Where"
_ADDRESS = "127.0.0.1:8437"


def serve(
    ctx: typer.Context,
    *,
    listen: Annotated[
        str | None,
        typer.Option(
            "--listen",
            metavar="HOST:PORT",
            help=f"An address of this machine only, {_ADDRESS} when left out; port 0 is any that is free.",
            rich_help_panel=_WHERE,
            show_default=False,
        ),
    ] = None,
    socket: Annotated[
        Path | None,
        typer.Option(
            "--socket",
            metavar="PATH",
            help="A Unix socket, in place of an address.",
            rich_help_panel=_WHERE,
            show_default=False,
        ),
    ] = None,
) -> Outcome:
    """Serve the HTTP API on this machine until Ctrl-C; runs whose process died go on."""
    import asyncio  # noqa: PLC0415  # late: 35 ms

    if listen is not None and socket is not None:
        raise UsageError("`--listen` and `--socket` exclude each other", where="--socket")
    return asyncio.run(_serve(ctx.obj, listen or _ADDRESS, socket))


async def _serve(invocation: Invocation, address: str, path: Path | None) -> Outcome:
    import asyncio  # noqa: PLC0415  # late, loaded already
    import signal  # noqa: PLC0415  # late, loaded already

    from workflow_agent.app.serving import serving  # noqa: PLC0415  # late: the application, and aiohttp: 300 ms
    from workflow_agent.cli.prints import prints_as_talk  # noqa: PLC0415  # late

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    with prints_as_talk() as answers:
        async with serving(invocation.settings(), address, path) as server:
            _announce(invocation, server, answers)
            server.taken_up.add_done_callback(lambda ended: _tell_left(invocation, ended))
            await stop.wait()
            invocation.say("stopping; runs stay where they stand, and go on at the next start")
    return Outcome(data={"url": server.url}, streamed=invocation.json)


def _announce(invocation: Invocation, server: Serving, answers: Any) -> None:  # Any: a text stream
    from workflow_agent.cli.envelope import json_line  # noqa: PLC0415  # late

    said: dict[str, Any] = {"type": "listening", "url": server.url, "token_file": str(server.token_file)}
    if invocation.json:
        answers.write(json_line(said) + "\n")
    else:
        answers.write(f"listening on {safe(server.url)}\ntoken in {safe(str(server.token_file))}\n")
    answers.flush()


def _tell_left(invocation: Invocation, ended: asyncio.Task[Any]) -> None:
    """Say which runs could not be taken up."""
    if ended.cancelled():
        return
    if (error := ended.exception()) is not None:
        invocation.say(f"runs that were left could not be taken up: {safe(str(error))}")
        return
    for run in ended.result():
        if run.was_left:
            invocation.say(f"run {run.run_id} of {safe(run.workflow)} was left: {safe(run.reason or '')}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    examples = ["serve", "serve --listen 127.0.0.1:8437", "serve --socket /run/user/1000/workflow-agent.sock"]
    declare(app, "serve", panel=_PANEL, examples=examples)(serve)
