"""What a workflow's own code prints: talk, on standard error, because standard output carries the result."""

from __future__ import annotations

import io
import sys
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workflow_agent.cli.progress import Progress

__all__ = ["prints_as_talk"]


class _Talk(io.TextIOBase):
    """Writes whole lines, above the progress that is drawn; steps print from several threads."""

    def __init__(self, stream: TextIO, progress: Progress | None) -> None:
        self._stream = stream
        self._progress = progress
        self._begun = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        if lines:
            self._tell("".join(f"{line}\n" for line in lines))
        return len(text)

    def end(self) -> None:
        """Write a last line that has no end."""
        if self._begun:
            self._tell(f"{self._begun}\n")
            self._begun = ""

    def _tell(self, text: str) -> None:
        if self._progress is not None:
            self._progress.pause()
        self._stream.write(text)
        self._stream.flush()
        if self._progress is not None:
            self._progress.resume()


@contextmanager
def prints_as_talk(progress: Progress | None = None) -> Iterator[TextIO]:
    """Send what is printed in here to standard error; gives standard output, for what is an answer."""
    answers = sys.stdout
    talk = _Talk(sys.stderr, progress)
    with redirect_stdout(talk):
        try:
            yield answers
        finally:
            talk.end()
