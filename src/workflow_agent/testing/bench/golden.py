"""Kind plan: the changes that an installation would make, as a short text that is kept beside the integration."""

from __future__ import annotations

from collections import Counter
from difflib import unified_diff
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from workflow_agent.testing.bench.outcomes import TestFailedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["PLAN_FOLDER", "compare", "plan_text"]

PLAN_FOLDER = "tests/plan"
#: What changes with the day and the machine.
_VOLATILE = ("/var/cache/", "/var/log/", "/var/lib/apt/", "/tmp/", "/run/")  # noqa: S108  # names inside the target
_LONGEST = 60


def plan_text(items: Sequence[Mapping[str, Any]]) -> str:
    """Write changes, one a line; of a folder that is new as a whole, the folder and how much is in it."""
    paths = {str(item["path"]): str(item["action"]) for item in items if not str(item["path"]).startswith(_VOLATILE)}
    new = {path for path, kind in paths.items() if kind == "created"}
    inside: Counter[str] = Counter()
    rows = []
    for path in sorted(paths):
        top = next((str(up) for up in reversed(PurePosixPath(path).parents) if str(up) in new), None)
        if top is not None and paths[path] == "created":
            inside[top] += 1
        else:
            rows.append(path)
    return "".join(f"{paths[path]} {path}{f' and {inside[path]} below it' if inside[path] else ''}\n" for path in rows)


def compare(file: Path, text: str, *, update: bool) -> str:
    """Compare a plan with what is kept, or keep it; gives a sentence.

    Raises:
        TestFailedError: it differs; the details are the difference.
    """
    old = file.read_text(encoding="utf-8") if file.is_file() else None
    if update:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return "as before" if old == text else "written anew"
    if old is None:
        number = text.count("\n")
        return f"{number} line{'s' * (number != 1)}; `--update` keeps them in {PLAN_FOLDER}/{file.name}"
    if old != text:
        lines = unified_diff(old.splitlines(), text.splitlines(), file.name, "planned", lineterm="")
        raise TestFailedError("another plan comes out", [*lines][:_LONGEST])
    return "as expected"
