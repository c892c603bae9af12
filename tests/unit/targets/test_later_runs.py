"""Later runs are told from earlier ones by what each found and left."""

from __future__ import annotations

from workflow_agent.targets.entries import Entry
from workflow_agent.targets.later_runs import later_runs
from workflow_agent.targets.operations import Operation, OperationKind

_PATH = b"/etc/shared"


def _entry(number: int) -> Entry:
    return Entry(b"%d" % number, number, number, 0, 0, 0o100644, 0, 0, 1, 0, 0)


def _op(before: int | None, after: int | None, **records: tuple[str | None, str | None]) -> Operation:
    kind = OperationKind.EXCHANGE
    if before is None:
        kind = OperationKind.CREATE
    elif after is None:
        kind = OperationKind.REMOVE
    return Operation(
        kind=kind,
        path=_PATH,
        point=b"/",
        before=None if before is None else _entry(before),
        after=None if after is None else _entry(after),
        records=records,
    )


def test_a_chain_is_followed_and_the_newest_comes_first() -> None:
    others = [("r-0", _op(9, 1)), ("r-3", _op(3, 4)), ("r-2", _op(2, 3))]
    assert later_runs(_op(1, 2), others) == ["r-3", "r-2"]


def test_earlier_runs_are_none() -> None:
    assert later_runs(_op(1, 2), [("r-0", _op(None, 1)), ("r-1", _op(9, 8))]) == []


def test_what_was_removed_and_made_again_stands_on_the_removal() -> None:
    removal = _op(1, None)
    assert later_runs(removal, [("r-0", _op(None, 1))]) == [], "it made what was removed"
    assert later_runs(removal, [("r-0", _op(None, 1)), ("r-2", _op(None, 5)), ("r-3", _op(5, 6))]) == ["r-3", "r-2"]


def test_a_file_that_was_made_removed_and_made_again_is_one_chain() -> None:
    assert later_runs(_op(None, 1), [("r-2", _op(1, None)), ("r-3", _op(None, 3))]) == ["r-3", "r-2"]


def test_a_record_that_a_later_run_changed_names_it_where_the_files_are_others_by_now() -> None:
    ours = _op(1, 2, lib=(None, "Version: 1\n\n"))
    upgrade = _op(7, 8, lib=("Version: 1\n", "Version: 2\n"))
    beside = _op(8, 9, other=(None, "x"))
    before = _op(5, 6, lib=("Version: 0", None))
    assert later_runs(ours, [("r-0", before), ("r-2", upgrade), ("r-3", beside)]) == ["r-2"]


def test_times_of_folders_and_grown_logs_are_no_change_of_what_lies_there() -> None:
    folder = Operation(
        kind=OperationKind.ATTRIBUTES, path=_PATH, point=b"/", before=_entry(2), after=_entry(2)
    )  # fmt: skip
    assert later_runs(_op(1, 2), [("r-2", folder)]) == []
