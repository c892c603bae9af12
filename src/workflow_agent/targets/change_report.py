"""What a person reads before saying yes: packages, users, units and files, from a plan and the files' contents."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from workflow_agent.model.system import ChangeSet, escape_path, unescape_path
from workflow_agent.targets.boot_paths import boot_note, boot_tier
from workflow_agent.targets.content import read_file, read_link
from workflow_agent.targets.derive import derive_changes, needs_content
from workflow_agent.targets.derive_kernel import is_about_the_kernel, kernel_changes
from workflow_agent.targets.live_tree import transaction_folder
from workflow_agent.targets.outside import outside_effects, outside_notes
from workflow_agent.targets.shims import parse_requested

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.targets.plan import Plan

__all__ = ["ChangeReporter"]

#: Changes to these cannot be recovered by a process that needs them while it runs (rule 17).
_NOT_CRASH_EXACT = re.compile(
    r"(/usr)?/lib(32|64|x32)?/([^/]+-linux-[^/]+/)?(libc(-[0-9.]+)?|ld-linux[-.0-9a-z_]*)\.so"
    r"|(/usr)?/lib/systemd/systemd$"
    r"|/usr/bin/python3"
    r"|/etc/ld\.so\.preload$"
)


class ChangeReporter:
    """Reads both sides of one transaction. Blocking.

    Args:
        root_fd: The target's root.
        transaction: Id of the transaction.
        boots: Whether the target has a kernel of its own; a container has none.
    """

    def __init__(self, root_fd: int, transaction: str, *, boots: bool = True) -> None:
        self._root_fd = root_fd
        self._transaction = transaction
        self._boots = boots

    def report(
        self,
        plan: Plan,
        requested: str,
        outside: Mapping[str, Any],  # Any: JSON
        *,
        has_uninstall: bool = False,
    ) -> ChangeSet:
        """Make the change set of a plan, of the service actions that the script asked for, and of what is no file."""
        wanted = (change.path for change in plan.changes)
        paths = [path for path in wanted if needs_content(path) or is_about_the_kernel(path)]
        points = sorted({operation.point for operation in plan.operations}, key=len, reverse=True)
        before = {path: self._content(unescape_path(path)) for path in paths}
        after = {path: self._content(self._staged(unescape_path(path), points)) for path in paths}
        derived = derive_changes(before, after, plan.changes)
        touched = [change.path for change in plan.changes] if self._boots else []
        tier, reason = boot_tier(touched, has_inverse=has_uninstall or bool(derived.packages))
        return ChangeSet(
            changes=tuple(plan.changes),
            packages=derived.packages,
            users=derived.users,
            groups=derived.groups,
            units=derived.units,
            cron=derived.cron,
            kernel=tuple(kernel_changes(before, after, plan.changes)),
            requested=parse_requested(requested),
            dropped=_dropped(plan),
            outside=outside_effects(outside),
            notes=derived.notes + _notes(plan, touched) + outside_notes(outside),
            bytes_added=plan.bytes_added,
            tier=tier,
            tier_reason=reason,
        )

    def _staged(self, path: bytes, points: list[bytes]) -> bytes:
        point = next(point for point in points if path == point or path.startswith(point.rstrip(b"/") + b"/"))
        return transaction_folder(point, self._transaction) + b"/upper" + path[len(point.rstrip(b"/")) :]

    def _content(self, path: bytes) -> bytes | None:
        """Read a file, or where a link leads; None when there is neither."""
        content = read_file(self._root_fd, path)
        return content if content is not None else read_link(self._root_fd, path)


def _dropped(plan: Plan) -> tuple[dict[str, object], ...]:
    reasons = Counter(plan.dropped.values())
    first = {reason: path for path, reason in reversed(plan.dropped.items())}
    return tuple({"path": escape_path(first[reason]), "reason": reason} for reason in reasons)


def _notes(plan: Plan, touched: Sequence[str]) -> tuple[str, ...]:
    paths = [change.path for change in plan.changes]
    notes = []
    if any(map(_NOT_CRASH_EXACT.match, paths)):
        notes.append("system libraries change: a power cut in the middle of the commit may need a rescue system")
    if (note := boot_note(touched)) is not None:
        notes.append(note)
    return tuple(notes)
