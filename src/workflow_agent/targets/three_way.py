"""Configuration files that somebody edited after a run wrote them: found, and shown from three sides.

The sides are what was there before the run, what the run left, and what is there now. Texts are shown where everybody
may read them and the run noted what it wrote (``noted_contents``). Blocking.
"""

from __future__ import annotations

import difflib
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from workflow_agent.model.system import escape_path
from workflow_agent.targets.entries import describe
from workflow_agent.targets.live_tree import staged_path
from workflow_agent.targets.noted_contents import Noted, digest_of, text_of
from workflow_agent.targets.operations import OperationKind

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

    from workflow_agent.targets.entries import Entry
    from workflow_agent.targets.live_tree import LiveTree
    from workflow_agent.targets.operations import Operation

__all__ = ["edited_configuration", "text_differences", "unified"]

_CONFIGURATION = b"/etc/"
_BROUGHT = frozenset({OperationKind.CREATE, OperationKind.EXCHANGE})
_MOST_LINES = 200
_NOTHING_NOTED = Noted()


def edited_configuration(
    tree: LiveTree,
    operations: Iterable[Operation],
    noted: Mapping[bytes, Noted],
    of_others: Container[tuple[bytes, bytes]],
) -> Iterator[dict[str, object]]:
    """Find the files below ``/etc`` in folders that a run created which somebody edited since.

    They would go with their folder, as everything does that came to lie in it (rule 23); what a person wrote into a
    configuration file is asked about. What is `of_others` (path and handle) was brought by other runs: these are
    conflicts of their own.

    Yields:
        Conflicts, as :func:`sides.difference` gives them.
    """
    for operation in operations:
        if operation.kind not in _BROUGHT or not operation.path.startswith(_CONFIGURATION):
            continue
        for relative, entry in operation.content.items():
            path = operation.path + b"/" + relative
            live = tree.read(path) if stat.S_ISREG(entry.mode) else None
            if live is None or (path, live.handle) in of_others:
                continue
            if _is_edited(tree, path, entry, live, noted.get(path, _NOTHING_NOTED)):
                yield {"path": escape_path(path), "expected": describe(entry), "found": describe(live)}


def _is_edited(tree: LiveTree, path: bytes, entry: Entry, live: Entry, noted: Noted) -> bool:
    if entry.same_state(live, moved=True):
        return False
    if not stat.S_ISREG(live.mode):
        return not live.is_dir  # what lies in a folder is looked at on its own
    if noted.digest is None or entry.size != live.size:
        return (entry.size, entry.mtime) != (live.size, live.mtime)
    return digest_of(tree, path) != noted.digest


def text_differences(
    tree: LiveTree, transaction: str, path: bytes, operation: Operation | None, noted: Noted
) -> dict[str, str] | None:
    """Write how a configuration file came to be what it is; None where texts may not be shown or are none.

    Args:
        tree: The target's files.
        transaction: Which wrote the file.
        path: Of the file.
        operation: By which it did, None where the file came with its folder.
        noted: What it wrote.

    Returns:
        ``{by_run, since}``: what the run did to the file, and what somebody did to it since, as unified differences.
    """
    if noted.text is None or not path.startswith(_CONFIGURATION):
        return None
    before = ""
    if operation is not None and operation.before is not None:
        found = _text(tree, staged_path(operation, transaction), operation.before)
        if found is None:
            return None
        before = found
    live = tree.read(path)
    now = "" if live is None else _text(tree, path, live)
    if now is None:
        return None
    return {
        "by_run": unified(path, before, noted.text, "before the run", "left by the run"),
        "since": unified(path, noted.text, now, "left by the run", "there now"),
    }


def _text(tree: LiveTree, path: bytes, entry: Entry) -> str | None:
    with suppress(OSError):
        return text_of(tree, path, entry)
    return None


def unified(path: bytes, one: str, other: str, from_word: str, to_word: str) -> str:
    """Write the difference of two texts of a file, the first lines of it."""
    name = escape_path(path)
    found = difflib.unified_diff(
        one.splitlines(), other.splitlines(), f"{name} ({from_word})", f"{name} ({to_word})", lineterm=""
    )
    lines = list(found)
    if len(lines) > _MOST_LINES:
        lines = [*lines[:_MOST_LINES], f"({len(lines) - _MOST_LINES} more lines)"]
    return "\n".join(lines)
