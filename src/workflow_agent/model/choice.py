"""What a person decided about the conflicts of a rollback."""

from __future__ import annotations

from workflow_agent.model.records import dataclass

__all__ = ["NOTHING_CHOSEN", "ConflictChoice"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictChoice:
    """Which side wins where somebody else changed what a run had left.

    `theirs` are paths that stay as they are now, with everything below them; `back` are paths that get back what was
    there before the run; `force` says that of every conflict that nothing else is said about. Paths are as conflicts
    show them.
    """

    theirs: tuple[str, ...] = ()
    back: tuple[str, ...] = ()
    force: bool = False

    def __bool__(self) -> bool:
        """Whether anything was decided."""
        return bool(self.theirs or self.back or self.force)


#: Every conflict refuses the rollback.
NOTHING_CHOSEN = ConflictChoice()
