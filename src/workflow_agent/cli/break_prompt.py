"""A small question at a terminal whose run stands at a breakpoint; other terminals may answer it too."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from workflow_agent.cli.consent import read_answer
from workflow_agent.model.errors import WorkflowAgentError
from workflow_agent.model.event import EventType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.app.flows import Flows
    from workflow_agent.cli.invocation import Invocation
    from workflow_agent.cli.progress import Progress

__all__ = ["BreakPrompt"]

_CHOICES = "[c]ontinue, one [s]tep, [i]nspect, [q]uit"
#: What ends a pause, whoever asked for it.
_ENDS = frozenset({EventType.RUN_RESUMED, EventType.CANCEL_REQUESTED, EventType.RUN_FINISHED})


class BreakPrompt:
    """Asks what to do next at each breakpoint, where somebody can be asked.

    Args:
        invocation: What was typed for all commands.
        flows: What drives the run.
        run_id: The run.
        progress: What is drawn meanwhile.
    """

    def __init__(self, invocation: Invocation, flows: Flows, run_id: str, progress: Progress) -> None:
        self._invocation = invocation
        self._flows = flows
        self._run_id = run_id
        self._progress = progress
        self._asking: asyncio.Task[None] | None = None
        self.can_ask = sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty() and not invocation.quiet

    def take(self, event: Mapping[str, Any]) -> bool:
        """Take an event of the run; says whether the person is asked now."""
        step = event["data"].get("before") if event["type"] == EventType.RUN_PAUSED else None
        if event["type"] in _ENDS:
            self.close()
        if step is None or not self.can_ask:
            return False
        self._asking = asyncio.ensure_future(self._ask(str(step)))
        return True

    def close(self) -> None:
        """Ask no longer: somebody else has answered, or the run is over."""
        if self._asking is not None and self._asking is not asyncio.current_task():
            self._asking.cancel()
        self._asking = None

    async def _ask(self, step: str) -> None:
        self._progress.pause()
        try:
            self._say(f"\nrun {self._run_id} stands before `{step}`\n")
            while True:
                self._say(f"{_CHOICES} > ")
                answer = await read_answer()
                if not answer:  # the end of the input: whoever asks from another terminal goes on
                    self.can_ask = False
                    return
                if await self._done(answer.strip().lower()[:1]):
                    return
        except asyncio.CancelledError:
            self._say("\n")
            raise
        finally:
            self._progress.resume()

    async def _done(self, choice: str) -> bool:
        """Do what was chosen; says whether the run goes on by it."""
        with suppress(WorkflowAgentError):  # somebody else was faster
            match choice:
                case "c" | "":
                    await self._flows.unpause(self._run_id)
                case "s":
                    await self._flows.unpause(self._run_id, one_step=True)
                case "q":
                    await self._flows.cancel(self._run_id, "at a breakpoint")
                case "i":
                    await self._look()
                    return False
                case _:
                    return False
        return True

    async def _look(self) -> None:
        from workflow_agent.cli.debug_commands import standing_lines  # noqa: PLC0415  # late: few look
        from workflow_agent.engine.looking import look  # noqa: PLC0415  # late, as above

        found = look(await self._flows.definition(self._run_id), await self._flows.state(self._run_id))
        for line in standing_lines(found, self._invocation.style(sys.stderr)):
            self._say(f"{line}\n")

    @staticmethod
    def _say(text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
