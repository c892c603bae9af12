"""What is not as it was before a transaction, told from its plan file: after a rollback that was not exact.

Inodes and times are not compared: what came back another way is another file. Content is compared with the before-image
where that is still there; else a file of another size differs, and of one of the same size only the time can tell.
Blocking.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from workflow_agent.model.system import escape_path
from workflow_agent.targets.content import read_file, read_link
from workflow_agent.targets.entries import describe
from workflow_agent.targets.live_tree import staged_path
from workflow_agent.targets.operations import OperationKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workflow_agent.targets.entries import Entry
    from workflow_agent.targets.live_tree import LiveTree
    from workflow_agent.targets.operations import Operation
    from workflow_agent.targets.transaction import Transaction

__all__ = ["remainder"]

#: Others wrote there since; lines stay at an exact rollback too.
_LOGS = b"/var/log/"
_SKIPPED = frozenset({OperationKind.APPEND})


def remainder(tree: LiveTree, plan: Transaction) -> list[dict[str, object]]:
    """List where the target is not as a transaction found it.

    Returns:
        Of each path ``{path, state, aspects, expected, observed}``; the state is ``left`` (there was nothing),
        ``missing`` or ``differs``.
    """
    found: dict[bytes, dict[str, object]] = {}
    for operation in plan.operations:
        if operation.kind not in _SKIPPED:
            for path, before, staged in _expected(operation, plan.id):
                told = _compare(tree, path, before, staged, operation)
                if told is not None and not path.startswith(_LOGS):
                    found.setdefault(path, told)
    return [found[path] for path in sorted(found)]


def _expected(operation: Operation, transaction: str) -> Iterator[tuple[bytes, Entry | None, bytes | None]]:
    """Give paths with what was there before, and where its image is; below what came as a whole there was nothing."""
    image = staged_path(operation, transaction) if operation.staged and operation.before is not None else None
    yield operation.path, operation.before, image
    for relative in operation.content:
        if relative not in operation.subtree:
            yield operation.path + b"/" + relative, None, None
    for relative, entry in operation.subtree.items():
        yield operation.path + b"/" + relative, entry, image + b"/" + relative if image else None


def _compare(
    tree: LiveTree, path: bytes, before: Entry | None, image: bytes | None, operation: Operation
) -> dict[str, object] | None:
    live = tree.read(path)
    if before is None or live is None:
        if before is None and live is None:
            return None
        return _told(path, "missing" if live is None else "left", [], before, live)
    aspects = []
    if stat.S_IFMT(live.mode) != stat.S_IFMT(before.mode):
        aspects.append("type")
    else:
        aspects += ["mode"] if live.mode != before.mode else []
        aspects += _content(tree, path, before, live, image)
    aspects += ["owner"] if (live.uid, live.gid) != (before.uid, before.gid) else []
    if operation.kind is OperationKind.ATTRIBUTES and tree.xattrs(path) != dict(operation.before_xattrs):
        aspects.append("xattr")
    return _told(path, "differs", aspects, before, live) if aspects else None


def _content(tree: LiveTree, path: bytes, before: Entry, live: Entry, image: bytes | None) -> list[str]:
    if live.is_dir or (live.same_identity(before) and live.mtime == before.mtime):
        return []
    if stat.S_ISLNK(live.mode):
        old = read_link(tree.root_fd, image) if image else None
        return [] if old is not None and old == read_link(tree.root_fd, path) else ["target"]
    if not stat.S_ISREG(live.mode):
        return []
    if live.size != before.size:
        return ["content"]
    old_text = read_file(tree.root_fd, image) if image else None
    if old_text is not None:
        return [] if old_text == read_file(tree.root_fd, path) else ["content"]
    return [] if live.mtime == before.mtime else ["perhaps content"]


def _told(path: bytes, state: str, aspects: list[str], before: Entry | None, live: Entry | None) -> dict[str, object]:
    told: dict[str, object] = {"path": escape_path(path), "state": state, "aspects": aspects}
    return told | {"expected": describe(before), "observed": describe(live)}
