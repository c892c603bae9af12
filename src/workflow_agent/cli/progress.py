"""What is shown while a run lasts: a live tree of steps on a terminal, one line per change of state elsewhere."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from workflow_agent.app.clock import SystemClock
from workflow_agent.cli.style import Style, clip, safe
from workflow_agent.model.event import EventType
from workflow_agent.model.status import TERMINAL_STEP, StepStatus, style_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.live import Live
    from rich.text import Text

__all__ = ["PlainLines", "Progress", "ProgressTree", "Silent", "StepBoard", "choose_progress"]

_OUTPUT_LINES = 3
_PER_SECOND = 8


class Progress(Protocol):
    """Shows a run. `pause` leaves the terminal to a question."""

    def event(self, event: Mapping[str, Any], status: str) -> None:
        """Take an event of the run and the run's status then."""
        ...

    def output(self, step: str, line: str) -> None:
        """Take a line of a script's output."""
        ...

    def pause(self) -> None:
        """Stop drawing."""
        ...

    def resume(self) -> None:
        """Draw again."""
        ...

    def close(self) -> None:
        """Stop for good."""
        ...


class StepBoard:
    """Where each step stands, from events. `begun` and `ended` are seconds since the epoch."""

    def __init__(self, steps: Sequence[str]) -> None:
        self.status: dict[str, str] = dict.fromkeys(steps, StepStatus.PENDING.value)
        self.begun: dict[str, float] = {}
        self.ended: dict[str, float] = {}

    def take(self, event: Mapping[str, Any]) -> str | None:
        """Take an event; gives the step's new state, None when no step's state changed."""
        step = event.get("step")
        status = _status_of(event)
        if step is None or status is None or self.status.get(step) == status:
            return None
        self.status[step] = status
        data = event.get("data") or {}
        if status == StepStatus.RUNNING:
            self.begun[step] = event["at"]
        elif status in TERMINAL_STEP:
            self.begun.setdefault(step, data.get("started_at") or event["at"])
            self.ended[step] = event["at"]
        return status

    def took(self, step: str, now: float) -> str:
        """Write how long a step took, or has taken so far."""
        begun = self.begun.get(step)
        return "" if begun is None else f"{max(self.ended.get(step, now) - begun, 0.0):.1f} s"


def _status_of(event: Mapping[str, Any]) -> str | None:
    data = event.get("data") or {}
    match event["type"]:
        case EventType.STEP_STARTED:
            return StepStatus.RUNNING.value
        case EventType.STEP_SUCCEEDED:
            return str(data.get("status") or StepStatus.SUCCEEDED.value)
        case EventType.STEP_FAILED:
            return str(data.get("status") or StepStatus.FAILED.value)
        case EventType.STEP_SKIPPED:
            return StepStatus.SKIPPED.value
        case EventType.RETRY_SCHEDULED:
            return StepStatus.WAITING.value
        case _:
            return None


class Silent:
    """Shows nothing."""

    def event(self, event: Mapping[str, Any], status: str) -> None:
        """Ignore it."""

    def output(self, step: str, line: str) -> None:
        """Ignore it."""

    def pause(self) -> None:
        """Nothing is drawn."""

    def resume(self) -> None:
        """Nothing is drawn."""

    def close(self) -> None:
        """Nothing is drawn."""


class PlainLines(Silent):
    """One line per change of state; skipped steps and a script's output only with `verbose`."""

    def __init__(self, steps: Sequence[str], stream: TextIO, style: Style) -> None:
        self._board = StepBoard(steps)
        self._stream = stream
        self._style = style

    def event(self, event: Mapping[str, Any], status: str) -> None:
        """Write a line when a step's state changed."""
        del status
        if event["type"] == EventType.CANCEL_REQUESTED:
            self._write(f"{self._style.status('cancelled')} requested")
        step = event.get("step")
        state = self._board.take(event)
        if step is None or state is None or (state == StepStatus.SKIPPED and not self._style.verbose):
            return
        took = self._board.took(step, event["at"]) if state in TERMINAL_STEP else ""
        self._write(f"{self._style.status(state)} {safe(step)}{f' ({took})' if took else ''}")

    def output(self, step: str, line: str) -> None:
        """Write a line of output with `verbose`."""
        if self._style.verbose:
            self._write(f"  {safe(step)} | {safe(line)}")

    def _write(self, line: str) -> None:
        self._stream.write(f"{line}\n")
        self._stream.flush()


class ProgressTree(Silent):
    """All steps with symbols and times, redrawn in place, with the last lines of output below the running one."""

    def __init__(self, title: str, steps: Sequence[str], stream: TextIO, style: Style) -> None:
        self._title = title
        self._board = StepBoard(steps)
        self._style = style
        self._stream = stream
        self._tail: deque[str] = deque(maxlen=_OUTPUT_LINES)
        self._live: Live | None = None
        self._clock = SystemClock()
        self.resume()

    def event(self, event: Mapping[str, Any], status: str) -> None:
        """Take it in; the next frame shows it."""
        del status
        if self._board.take(event) is not None:
            self._tail.clear()

    def output(self, step: str, line: str) -> None:
        """Show it below the running step for a while."""
        del step
        self._tail.append(safe(line))

    def pause(self) -> None:
        """Leave the last frame and stop."""
        if self._live is not None:
            live, self._live = self._live, None
            live.stop()

    def resume(self) -> None:
        """Begin a new frame below what is there."""
        from rich.console import Console  # noqa: PLC0415  # late: 60 ms
        from rich.live import Live  # noqa: PLC0415  # late

        if self._live is None:
            console = Console(
                file=self._stream, no_color=not self._style.color, width=self._style.width, legacy_windows=False
            )
            # transient: a question erases the tree, and it is drawn anew below the answer
            self._live = Live(
                get_renderable=self._frame,
                console=console,
                refresh_per_second=_PER_SECOND,
                redirect_stdout=False,
                redirect_stderr=False,
                transient=True,
            )
            self._live.start()

    def close(self) -> None:
        """Leave a last frame that stays."""
        if self._live is not None:
            self._live.transient = False
        self.pause()

    def _frame(self) -> Text:
        from rich.text import Text  # noqa: PLC0415  # late, loaded already

        frame = Text(no_wrap=True, overflow="ellipsis", end="")
        frame.append(f"{self._title}\n", style="bold" if self._style.color else "")
        for line, color in self.rows(self._clock.now()):
            frame.append(f"{line}\n", style=color if self._style.color else "")
        return frame

    def rows(self, now: float) -> list[tuple[str, str]]:
        """Give the lines below the title with their colours; skipped steps are left out."""
        rows = []
        for step, status in self._board.status.items():
            if status == StepStatus.SKIPPED and not self._style.verbose:
                continue
            took = self._board.took(step, now)
            word = "" if status in {StepStatus.PENDING, StepStatus.SUCCEEDED} else f" {status}"
            rows.append((f"  {self._style.symbol(status)} {safe(step)}{word} {took}".rstrip(), style_of(status).colour))
            if status == StepStatus.RUNNING:
                rows += [(clip(f"    | {line}", self._style.width), "dim") for line in self._tail]
        return rows


def choose_progress(
    title: str, steps: Sequence[str], stream: TextIO, style: Style, *, quiet: bool, plain: bool
) -> Progress:
    """Choose what the stream allows and the person wants."""
    if quiet:
        return Silent()
    if plain or style.width is None:
        return PlainLines(steps, stream, style)
    return ProgressTree(title, steps, stream, style)
