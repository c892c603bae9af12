"""Follow the output of a run that lasts, until it ends or the person stops watching."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

from workflow_agent.cli.envelope import json_line
from workflow_agent.cli.outcome import Outcome
from workflow_agent.cli.past import ask
from workflow_agent.cli.past_commands import log_path
from workflow_agent.cli.style import safe
from workflow_agent.model.status import TERMINAL_RUN

if TYPE_CHECKING:
    from pathlib import Path

    from workflow_agent.app import App
    from workflow_agent.cli.invocation import Invocation

__all__ = ["follow_log"]

_POLL_S = 0.1


def follow_log(invocation: Invocation, prefix: str) -> Outcome:
    """Print lines as they come; Ctrl-C stops watching, not the run."""
    try:
        report = ask(invocation, lambda app: _follow(app, invocation, prefix))
    except KeyboardInterrupt:
        invocation.say("\nno longer watching; the run goes on")
        return Outcome(data={}, streamed=True)
    # for people the lines are all there is to say
    return Outcome(data={"run_id": report["run_id"], "status": report["status"]}, streamed=invocation.json)


async def _follow(app: App, invocation: Invocation, prefix: str) -> dict[str, Any]:
    run_id = await app.history.resolve(prefix)
    reader = _LineReader(log_path(invocation, {"run_id": run_id}))
    number = 0
    while True:
        # asked before reading: what is written until the end is read after it
        run = await app.history.run(run_id)
        for line in reader.lines(last=run["status"] in TERMINAL_RUN):
            number += 1
            event = {"type": "output", "seq": number, "run_id": run_id, "line": line}
            sys.stdout.write((json_line(event) if invocation.json else safe(line)) + "\n")
        sys.stdout.flush()
        if run["status"] in TERMINAL_RUN:
            return run
        if app.orphans([run]):
            invocation.say(f"no process drives the run: `workflow-agent resume {run_id}`")
            return run
        await asyncio.sleep(_POLL_S)


class _LineReader:
    """Whole lines that a growing file has gained since the last look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""

    def lines(self, *, last: bool) -> list[str]:
        """Read on; with `last` an unfinished line counts too."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                raw = stream.read()
        except FileNotFoundError:
            return []
        self._offset += len(raw)
        *whole, self._rest = (self._rest + raw).split(b"\n")
        if last and self._rest:
            whole, self._rest = [*whole, self._rest], b""
        return [line.decode("utf-8", "replace") for line in whole]
