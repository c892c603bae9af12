from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest

from workflow_agent.model.errors import PermissionDeniedError, StoreError
from workflow_agent.store.faults import closed, outcome_unknown, translated, unusable

WHERE = Path("/data/x.db")


def driver_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("text of the driver")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "part"),
    [
        (sqlite3.SQLITE_CORRUPT, "damaged"),
        (sqlite3.SQLITE_NOTADB, "not a database"),
        (sqlite3.SQLITE_FULL, "full"),
        (sqlite3.SQLITE_BUSY, "another program"),
        (sqlite3.SQLITE_BUSY | 2 << 8, "another program"),
        (sqlite3.SQLITE_READONLY, "written"),
        (sqlite3.SQLITE_CANTOPEN, "opened"),
    ],
)
def test_known_result_codes_say_what_to_do(code: int, part: str) -> None:
    error = unusable(driver_error(code), WHERE)

    assert isinstance(error, StoreError)
    assert part in error.message
    assert error.hint
    assert (error.where, error.cause) == (str(WHERE), "text of the driver")


def test_other_errors_of_the_driver_keep_their_text() -> None:
    assert unusable(sqlite3.IntegrityError("row"), WHERE).cause == "row"
    assert unusable(sqlite3.Error(), WHERE).cause == "Error"


def test_missing_permission_is_said_as_such() -> None:
    assert isinstance(unusable(OSError(errno.EACCES, "no"), WHERE), PermissionDeniedError)
    sealed = unusable(OSError(errno.EROFS, "read-only"), WHERE)
    assert isinstance(sealed, PermissionDeniedError)
    assert "mounted read-only" in (sealed.hint or "")


def test_a_full_disk_is_said_as_such() -> None:
    assert "free some space" in (unusable(OSError(errno.ENOSPC, "full"), WHERE).hint or "")
    assert unusable(OSError(errno.EIO, "io"), WHERE).hint is None


def test_only_foreign_trouble_is_translated() -> None:
    with pytest.raises(StoreError, match="used") as caught, translated(WHERE):
        raise OSError(errno.EIO, "io")
    assert isinstance(caught.value.__cause__, OSError)

    with pytest.raises(KeyError), translated(WHERE):
        raise KeyError


def test_an_unknown_outcome_and_a_closed_store_name_the_next_step() -> None:
    assert "workflow-agent doctor" in (outcome_unknown(OSError("x"), WHERE).hint or "")
    assert "open it again" in closed(WHERE).message
    assert closed(WHERE, OSError("why")).cause == "why"
