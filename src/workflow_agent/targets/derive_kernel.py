"""From changed files to what they set in the kernel: modules at the start, their options, sysctl. Pure.

What a file says, not what the kernel does: it is read at the next start of the system, or when somebody reads it.

Source: modules-load.d(5), modules(5), modprobe.d(5), sysctl.d(5), sysctl.conf(5).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from workflow_agent.model.system import escape_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from workflow_agent.model.system import Change

__all__ = ["is_about_the_kernel", "kernel_changes"]

_FOLDER = r"(?:/etc|(?:/usr(?:/local)?)?/lib)"
_KINDS = {
    "module": re.compile(rf"/etc/modules|{_FOLDER}/modules-load\.d/[^/]+\.conf"),
    "modprobe": re.compile(rf"{_FOLDER}/modprobe\.d/[^/]+\.conf"),
    "sysctl": re.compile(rf"/etc/sysctl\.conf|{_FOLDER}/sysctl\.d/[^/]+\.conf"),
}
_MOST = 200
_LONGEST = 200


def is_about_the_kernel(path: str) -> bool:
    """Whether :func:`kernel_changes` looks into this file."""
    return _kind(path) is not None


def kernel_changes(
    before: Mapping[str, bytes | None], after: Mapping[str, bytes | None], changes: Sequence[Change]
) -> Iterator[dict[str, Any]]:
    """Say what changed files set otherwise.

    Args:
        before: Contents of the files, as they were.
        after: The same as they become.
        changes: Every changed path.

    Yields:
        ``{kind: module|modprobe|sysctl, name, action: added|removed|changed, value, before, path}``: a module that is
        loaded at the start, what is said of one (its `name` with the word: ``blacklist``, ``options`` ...), a setting.
    """
    count = 0
    for change in changes:
        kind = _kind(change.path)
        if kind is None:
            continue
        old, new = (_settings(kind, side.get(change.path)) for side in (before, after))
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) == new.get(name) or count >= _MOST:
                continue
            count += 1
            action = "added" if name not in old else "removed" if name not in new else "changed"
            told = {"kind": kind, "name": name, "action": action, "value": new.get(name), "before": old.get(name)}
            yield told | {"path": change.path}


def _kind(path: str) -> str | None:
    return next((kind for kind, pattern in _KINDS.items() if pattern.fullmatch(path)), None)


def _settings(kind: str, content: bytes | None) -> dict[str, str]:
    """Read a file: what it sets, by name; the last of several counts."""
    found = {}
    for raw in (content or b"").splitlines():
        line = raw.strip()
        if not line or line[:1] in (b"#", b";"):
            continue
        if kind == "sysctl":
            name, _, value = line.lstrip(b"-").partition(b"=")
        elif kind == "module":
            name, _, value = line.partition(b" ")
        else:
            words = line.split(None, 2)
            name, value = b" ".join(words[:2]), b"".join(words[2:])
        found[_text(name)] = _text(value)
    return found


def _text(raw: bytes) -> str:
    return escape_path(raw.strip()[:_LONGEST])
