"""Where a relative path of a script leads: the folder that an earlier ``cd`` went to."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from workflow_agent.scripts.policy.markers import KNOWN, MAYBE

if TYPE_CHECKING:
    from workflow_agent.scripts.policy.calls import Call, ShellText

__all__ = ["absolute"]


def absolute(target: str, call: Call, shell: ShellText) -> str:
    """Place a relative target in the folder that an earlier ``cd`` with constant text went to."""
    if target.startswith(("/", "~", MAYBE, KNOWN)):
        return target
    folder = ""
    for other in shell.calls:
        if other.node.start_byte >= call.node.start_byte:
            break
        if other.name in ("cd", "pushd") and len(other.argv) == 2 and _reaches(other, call):  # noqa: PLR2004 - cd FOLDER
            folder = posixpath.join(folder, other.argv[1])
    return posixpath.join(folder, target) if folder else target


def _reaches(cd: Call, call: Call) -> bool:
    """A ``cd`` in a subshell or function ends with it."""
    current = cd.node.parent
    while current is not None:
        if current.type in ("subshell", "command_substitution", "process_substitution", "function_definition"):
            return bool(current.start_byte <= call.node.start_byte < current.end_byte)
        current = current.parent
    return True
