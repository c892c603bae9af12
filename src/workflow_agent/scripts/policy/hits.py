"""What a matcher gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["Hit"]


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule that applies to a place; `detail` says what exactly, if that helps."""

    rule: str
    node: Node
    detail: str = ""
