"""What a command gives: data for scripts, lines for people, an exit code. Printing is the border's work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import TypeAlias

    from workflow_agent.cli.style import Style
    from workflow_agent.model.errors import WorkflowAgentError

    #: Writes the lines for people, for what a stream can show.
    Lines: TypeAlias = Callable[[Style], Iterable[str]]

__all__ = ["CommandFailedError", "Outcome", "no_lines"]


def no_lines(_: Style) -> Iterable[str]:
    """Say nothing."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a command gives. `streamed` says that it wrote its data itself, as JSON lines or text."""

    data: Mapping[str, Any]
    lines: Lines = no_lines
    warnings: tuple[str, ...] = ()
    exit_code: int = 0
    streamed: bool = False


class CommandFailedError(Exception):
    """An error together with what there is to show all the same: the run that failed, those before it."""

    def __init__(self, error: WorkflowAgentError, outcome: Outcome) -> None:
        super().__init__(error.message)
        self.error = error
        self.outcome = outcome
