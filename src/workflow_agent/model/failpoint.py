"""Named points where a crash or a fault can be provoked, so that tests can visit every one of them.

``WORKFLOW_AGENT_FAILPOINT=name[:n][=kill|error]`` arms one point: at its n-th passage (default 1) the process
dies by SIGKILL (default), or OSError(EIO) is raised there as a failing disk would raise it. Nothing else of
the product looks at the variable; unarmed, a passage costs one comparison.

What belongs here: the table of names and the trigger. Each name is fired in exactly one place of the product.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import signal
from dataclasses import field
from typing import TYPE_CHECKING, Final

from workflow_agent.model.errors import UsageError
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["VARIABLE", "arm", "describe", "failpoint", "known"]

#: The environment variable that arms a point.
VARIABLE: Final = "WORKFLOW_AGENT_FAILPOINT"

#: The one table: name -> where it stands.
_POINTS: Final[Mapping[str, str]] = {
    "engine.before-request": "what leads to a step is on disk, its agent is not asked yet",
    "engine.after-reply": "a step's agent answered, the outcome is not on disk",
    "store.blob-written": "a blob's temporary file is synced, not yet renamed",
    "store.blob-renamed": "a blob has its name, its directory is not yet synced",
    "store.migration": "a migration's statements ran, its transaction is not committed",
    "store.batch-taken": "the writer took appends from its queue, before the file lock",
    "store.lock-taken": "the writer holds the file lock, before BEGIN",
    "store.before-insert": "inside the transaction, before an append's rows",
    "store.before-commit": "every row of the batch is in, before COMMIT (an error here is rolled back)",
    "store.commit": "in place of COMMIT (an error here: an unknown outcome, it did not happen)",
    "store.after-commit": "COMMIT returned, nobody was told (an error here: outcome unknown, it did happen)",
    "store.before-checkpoint": "the file lock is held, before a checkpoint",
    "store.after-checkpoint": "the file lock is held, after a checkpoint",
    "store.log-filled": "the file lock is held, the log was made longer by what is not yet taken back",
    "effect.begun": "the plan file says that an effect was begun, its command did not run yet",
    "effect.ran": "an effect's command ran, the plan file does not say so yet",
    "effect.undone": "an effect is taken back, the plan file does not say so yet",
    "data.copying": "before each path of state data is copied",
    "data.copied": "the state data are copied and synced, their index has no name yet",
    "transaction.plan-written": "the plan file's new text is synced, not yet renamed",
    "transaction.plan-renamed": "the plan file has its name and its folder is synced",
    "transaction.sync": "before a file system is synced",
    "transaction.commit.operation": "before each operation of a commit",
    "transaction.committed": "every operation is done and synced, before the plan file says committed",
    "transaction.undo.operation": "before each operation of a rollback",
    "transaction.undone": "every operation is undone and synced, before the plan file says so",
    "transaction.standing": "the plan file says that files are back and services stand still, none is started yet",
    "transaction.pruned": "the plan file says that before-images are given up, they are still there",
    "transaction.prune.folder": "before each folder of before-images is removed",
    "store.before-close": "the file lock is held, before the writer's connection is closed",
}

_SPEC = r"(?P<name>[a-z0-9.-]+)(?::(?P<n>[1-9][0-9]{0,8}))?(?:=(?P<action>kill|error))?"


@dataclass(frozen=True, slots=True)
class _Armed:
    name: str
    n: int
    action: str
    # next() on a counter is one atomic step under the interpreter lock: two threads cannot both be the n-th.
    passages: Iterator[int] = field(default_factory=lambda: itertools.count(1))


_UNREAD: Final = _Armed("", 0, "")
# The environment is read at the first passage, not at import.
_state: _Armed | None = _UNREAD


def failpoint(name: str) -> None:
    """Die or raise here when this point is armed and this is its n-th passage; otherwise do nothing.

    Raises:
        OSError: EIO, when armed with ``=error``.
        UsageError: the environment variable cannot be understood (at the first passage of any point).
    """
    if _state is None:
        return
    _pass(name)


def _pass(name: str) -> None:
    if _state is _UNREAD:
        arm(os.environ.get(VARIABLE))
    armed = _state
    if armed is None or armed.name != name or next(armed.passages) != armed.n:
        return
    if armed.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)  # pragma: no cover  # nobody is left to say that it ran
    raise OSError(errno.EIO, f"failure point {name}")


def arm(spec: str | None) -> None:
    """Arm a point by hand (tests inside one process), or none with None or empty text; counting starts anew.

    Raises:
        UsageError: `spec` is not ``name[:n][=kill|error]`` with a known name.
    """
    global _state  # noqa: PLW0603  # one point per process, as the environment variable says
    _state = _parse(spec) if spec else None


def _parse(spec: str) -> _Armed:
    match = re.fullmatch(_SPEC, spec)
    if match is None:
        raise UsageError("a failure point is written `name[:n][=kill|error]`", where=VARIABLE, cause=repr(spec))
    name = match["name"]
    if name not in _POINTS:
        import difflib  # noqa: PLC0415  # late: for a wrong name only

        near = difflib.get_close_matches(name, _POINTS, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"known names: {', '.join(sorted(_POINTS))}"
        raise UsageError(f"there is no failure point `{name}`", where=VARIABLE, hint=hint)
    return _Armed(name, int(match["n"] or 1), match["action"] or "kill")


def known() -> frozenset[str]:
    """List the names that can be armed."""
    return frozenset(_POINTS)


def describe(name: str) -> str:
    """Say where a point stands; raises KeyError for a name that is not known."""
    return _POINTS[name]
