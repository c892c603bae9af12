"""Consent: shown first, then asked; without a person to ask nothing is begun."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

from workflow_agent.cli.plan_view import plan_lines, rollback_lines
from workflow_agent.model.errors import ConsentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from workflow_agent.cli.invocation import Invocation
    from workflow_agent.cli.progress import Progress
    from workflow_agent.cli.style import Style

__all__ = ["TerminalApprover", "answer_is_yes", "read_answer", "require_consent"]

_LINE_BYTES = 4096


def require_consent(*, given: bool, verb: str, hint: str | None = None) -> None:
    """Refuse before anything is begun when nobody can be asked.

    Raises:
        ConsentError: `--yes` was not given, and stdin or stderr is no terminal.
    """
    if given or (sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()):
        return
    raise ConsentError(
        f"nobody can be asked whether to {verb}: there is no terminal and `--yes` was not given",
        state="nothing was begun",
        hint="add `--yes`, or look first with `--plan`" if verb == "apply" else hint,
    )


def answer_is_yes(answer: str) -> bool:
    """Read an answer; whatever is no clear yes is a no."""
    return answer.strip().lower() in {"y", "yes"}


class TerminalApprover:
    """Shows what is planned on stderr and reads the answer from stdin, while the loop goes on."""

    def __init__(self, invocation: Invocation, progress: Progress) -> None:
        self._invocation = invocation
        self._progress = progress

    async def __call__(self, summary: Mapping[str, Any]) -> bool:
        """Ask; the end of the input is a no."""
        self._progress.pause()
        style = self._invocation.style(sys.stderr)
        for line in _writer(summary)(summary, style):
            sys.stderr.write(f"{line}\n")
        question = str(summary.get("question") or "Go on?")
        question = question[:1].upper() + question[1:]
        sys.stderr.write(f"\n{style.paint(question, 'bold')} [y/N] ")
        sys.stderr.flush()
        try:
            answer = await read_answer()
        finally:
            self._progress.resume()
        return answer_is_yes(answer)

    async def decide(self, edits: Sequence[Mapping[str, Any]]) -> list[str]:
        """Ask which edited files stay; the end of the input is an abort."""
        from workflow_agent.cli.edit_prompt import ask_about_edits  # noqa: PLC0415  # late: few runs need it

        self._progress.pause()
        try:
            return await ask_about_edits(edits, self._invocation.style(sys.stderr))
        finally:
            self._progress.resume()


def _writer(summary: Mapping[str, Any]) -> Callable[[Mapping[str, Any], Style], Iterator[str]]:
    if "prunes" in summary:
        from workflow_agent.cli.pruning_commands import prune_lines  # noqa: PLC0415  # late: one command needs it

        return prune_lines
    return plan_lines if summary.get("change_set") is not None else rollback_lines


async def read_answer() -> str:
    """Read what a person answers on the terminal; the line of the question is ended."""
    answer = await _read_line()
    if not answer.endswith("\n"):
        sys.stderr.write("\n")
    return answer


async def _read_line() -> str:
    """Read a line from stdin without a thread, which could not be interrupted; empty at the end of the input."""
    loop = asyncio.get_running_loop()
    descriptor = sys.stdin.fileno()
    readable: asyncio.Future[str] = loop.create_future()

    def read() -> None:
        if not readable.done():
            # a terminal gives a whole line at a time
            readable.set_result(os.read(descriptor, _LINE_BYTES).decode("utf-8", "replace"))

    loop.add_reader(descriptor, read)
    try:
        return await readable
    finally:
        loop.remove_reader(descriptor)
