"""Errors of the database driver and of files become ours, in this one place."""

from __future__ import annotations

import errno
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from workflow_agent.model.errors import (
    OutcomeUnknownError,
    PermissionDeniedError,
    StoreError,
    WorkflowAgentError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["closed", "foreign", "newer_schema", "outcome_unknown", "translated", "unusable"]

_UNUSABLE = "the store cannot be used"
_NOTHING = "nothing was written to it"
_FREE_SPACE = "free some space on its file system and try again"
_READ_ONLY = "its file system is mounted read-only: mount it otherwise, or set `paths.state` to another folder"
_RECOVER = (
    "move the database, its `-wal` and its `-shm` file aside together and put a copy back; "
    "`sqlite3 FILE .recover` saves what can still be read"
)

#: Primary result code of SQLite -> (message, hint). Source: sqlite.org/rescode.html.
_BY_RESULT_CODE: Final[dict[int, tuple[str, str | None]]] = {
    sqlite3.SQLITE_CORRUPT: ("the database is damaged", _RECOVER),
    sqlite3.SQLITE_NOTADB: ("the file is not a database of workflow-agent", _RECOVER),
    sqlite3.SQLITE_FULL: ("the disk is full", _FREE_SPACE),
    sqlite3.SQLITE_BUSY: ("another program holds the database", "close the program that has it open"),
    sqlite3.SQLITE_LOCKED: ("another program holds the database", "close the program that has it open"),
    sqlite3.SQLITE_READONLY: ("the database cannot be written", "look at the owner and mode of its folder"),
    sqlite3.SQLITE_CANTOPEN: ("the database cannot be opened", "look at the owner and mode of its folder"),
}
_NO_PERMISSION: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def foreign() -> tuple[type[Exception], ...]:
    """List the exceptions by which the driver and the file system report trouble."""
    return (sqlite3.Error, sqlite3.Warning, OSError)


def unusable(problem: BaseException, where: Path) -> WorkflowAgentError:
    """Turn trouble in which nothing was written into an error that says what to do."""
    cause = str(problem) or type(problem).__name__
    if isinstance(problem, OSError):
        if problem.errno in _NO_PERMISSION:
            hint = _READ_ONLY if problem.errno == errno.EROFS else None
            return PermissionDeniedError(_UNUSABLE, where=str(where), cause=cause, state=_NOTHING, hint=hint)
        hint = _FREE_SPACE if problem.errno in {errno.ENOSPC, errno.EDQUOT} else None
        return StoreError(_UNUSABLE, where=str(where), cause=cause, state=_NOTHING, hint=hint)
    # Extended codes carry the primary one in their low byte.
    code = getattr(problem, "sqlite_errorcode", None)
    message, hint = _BY_RESULT_CODE.get((code or 0) & 0xFF, ("the database reported an error", None))
    return StoreError(message, where=str(where), cause=cause, state=_NOTHING, hint=hint)


def outcome_unknown(problem: BaseException, where: Path) -> OutcomeUnknownError:
    """Say that a commit was not confirmed: it may or may not be found after reopening."""
    return OutcomeUnknownError(
        where=str(where),
        cause=str(problem),
        state="the last events of the run may or may not be stored",
        hint="run `workflow-agent doctor`; the next command that changes the target ends the run and takes it back",
    )


def closed(where: Path, problem: BaseException | None = None) -> StoreError:
    """Say that nothing can be appended until the store is opened again."""
    cause = str(problem) if problem is not None else None
    message = "the store was closed after an error; open it again" if problem else "the store is closed; open it again"
    return StoreError(message, where=str(where), cause=cause)


def newer_schema(found: int, known: int, where: Path) -> StoreError:
    """Say that a newer release wrote this database."""
    return StoreError(
        f"the database was written by a newer workflow-agent (schema {found}, this release knows {known})",
        where=str(where),
        state=_NOTHING,
        hint="install that release again, or a newer one",
        details={"found": found, "known": known},
    )


@contextmanager
def translated(where: Path) -> Iterator[None]:
    """Raise trouble of the driver and of files inside the block as :func:`unusable` says."""
    try:
        yield
    except foreign() as problem:
        raise unusable(problem, where) from problem
