"""The plan file: what was written is read, by whoever reads it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.model.errors import TransactionError
from workflow_agent.targets.entries import Entry
from workflow_agent.targets.operations import Operation, OperationKind, decode_operation
from workflow_agent.targets.stored_operations import moments_of, selected
from workflow_agent.targets.transaction import Transaction, TransactionFolders, TransactionState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_ENTRY = Entry(b"h", 10, 100, 200, 3, 0o100644, 1, 2, 1, 0, 7)
_OPERATION = Operation(
    kind=OperationKind.EXCHANGE, path=b"/etc/x", point=b"/", staged=b"upper/etc/x", before=_ENTRY, after=_ENTRY
)


@pytest.fixture
def root_fd(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def folders(root_fd: int) -> Iterator[TransactionFolders]:
    found = TransactionFolders(root_fd)
    found.create("r-1.1", b"/")
    yield found
    found.close()


def _transaction(**changes: object) -> Transaction:
    first = {"id": "r-1.1", "run_id": "r-1", "state": TransactionState.CAPTURED, "points": (b"/",)}
    return Transaction(**(first | {"operations": (_OPERATION,)} | changes))  # type: ignore[arg-type]


def test_what_was_written_is_read_alike_by_the_writer_and_by_others(folders: TransactionFolders, root_fd: int) -> None:
    """The writer keeps what it wrote last: nobody may see another value than a reader of the file would."""
    written = _transaction(
        services={"asked": ("a", "b")}, effects=({"id": "e", "steps": (1, 2)},), links=((b"/a", b"/b"),)
    )
    folders.write(written)
    other = TransactionFolders(root_fd)
    assert folders.read("r-1.1") == other.read("r-1.1")
    assert folders.read("r-1.1").services == {"asked": ["a", "b"]}


def test_what_somebody_else_wrote_is_seen(folders: TransactionFolders, root_fd: int) -> None:
    folders.write(_transaction())
    other = TransactionFolders(root_fd)
    assert other.read("r-1.1").state is TransactionState.CAPTURED
    other.move(other.read("r-1.1"), TransactionState.COMMITTED)
    assert folders.read("r-1.1").state is TransactionState.COMMITTED
    folders.move(folders.read("r-1.1"), TransactionState.ROLLED_BACK)
    assert other.read("r-1.1").state is TransactionState.ROLLED_BACK


def test_what_was_edited_in_place_is_seen(folders: TransactionFolders, tmp_path: Path) -> None:
    folders.write(_transaction())
    path = tmp_path / ".workflow-agent/tx/r-1.1/plan.json"
    path.write_text(path.read_text(encoding="utf-8").replace("captured", "committed"), encoding="utf-8")
    assert folders.read("r-1.1").state is TransactionState.COMMITTED


def test_another_transaction_is_another(folders: TransactionFolders) -> None:
    folders.create("r-2.1", b"/")
    folders.write(_transaction())
    folders.write(_transaction(id="r-2.1", run_id="r-2"))
    assert [folders.read(name).run_id for name in ("r-1.1", "r-2.1", "r-1.1")] == ["r-1", "r-2", "r-1"]


def test_a_plan_file_of_an_earlier_version_is_read(folders: TransactionFolders, tmp_path: Path) -> None:
    """It wrote down what was empty as well, and did not have the last keys."""
    entry = [_ENTRY.handle.hex(), *_ENTRY[1:]]
    operation: dict[str, Any] = {
        "kind": "exchange",
        "path": "/etc/x",
        "point": "/",
        "staged": "upper/etc/x",
        "before": entry,
    }
    operation |= {"after": entry, "before_xattrs": {}, "after_xattrs": {}, "offset": 0, "length": 0}
    operation |= {"subtree": {}, "content": {}}
    plan: dict[str, Any] = {
        "format": 1,
        "id": "r-1.1",
        "run_id": "r-1",
        "state": "committed",
        "points": ["/"],
        "services": {},
    }
    path = tmp_path / ".workflow-agent/tx/r-1.1/plan.json"
    path.write_text(json.dumps(plan | {"operations": [operation]}), encoding="utf-8")
    assert folders.read("r-1.1") == _transaction(state=TransactionState.COMMITTED)


def test_no_more_operations_are_kept_in_memory_than_there_is_room_for(
    folders: TransactionFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflow_agent.targets.transaction._MOST_KNOWN", 2)
    for number in range(2, 5):
        folders.create(f"r-{number}.1", b"/")
        folders.write(_transaction(id=f"r-{number}.1", run_id=f"r-{number}"))
    first = folders.read("r-4.1")
    assert folders.read("r-4.1") is first  # kept
    assert folders.read("r-2.1") is not folders.read("r-3.1")
    folders.read("r-2.1")
    assert folders.read("r-4.1") is not first  # read again
    assert folders.read("r-4.1") == first


def _operations(count: int) -> tuple[Operation, ...]:
    entry = Entry(b"\1\2", 7, 11, 12, 5, 0o100644, 0, 0, 1, 0, 1)
    return tuple(
        Operation(
            kind=OperationKind.EXCHANGE,
            path=b"/srv/\xff\n\"'%d" % number,
            point=b"/",
            staged=b"upper/%d" % number,
            before=entry._replace(ino=number),
            after=entry._replace(ino=100 + number),
            subtree={b'"path": "x': entry._replace(ino=200 + number, ctime=3)},
        )
        for number in range(count)
    )


def test_of_a_stored_transaction_only_what_is_asked_for_is_understood(
    folders: TransactionFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _operations(5)
    folders.write(_transaction(operations=made, effects=({"name": 'x, "operations": ['},)))
    monkeypatch.setattr("workflow_agent.targets.transaction._MOST_KNOWN", 0)
    folders.create("r-2.1", b"/")
    folders.write(_transaction(id="r-2.1", run_id="r-2"))  # the other one is read again
    understood: list[bytes] = []

    def counted(data: Mapping[str, Any]) -> Operation:
        operation = decode_operation(data)
        understood.append(operation.path)
        return operation

    monkeypatch.setattr("workflow_agent.targets.stored_operations.decode_operation", counted)

    found = folders.read("r-1.1")
    assert moments_of(found.operations) == moments_of(made)
    assert found.operations
    assert understood == []
    assert selected(found.operations, lambda path: path.endswith(b"3")) == [made[3]]
    assert understood == [made[3].path]
    assert found.operations == made
    assert list(found.operations) == list(made)
    assert (found.operations[1], found.operations[1:2], len(found.operations)) == (made[1], made[1:2], 5)


def test_a_key_of_an_effect_is_not_taken_for_the_operations(folders: TransactionFolders, root_fd: int) -> None:
    effects = ({"name": "x", "operations": [1]},)
    folders.write(_transaction(operations=_operations(2), effects=effects))
    found = TransactionFolders(root_fd).read("r-1.1")
    assert (found.operations, found.effects) == (_operations(2), effects)


def test_a_plan_file_that_is_damaged_inside_says_so_when_it_is_understood(
    folders: TransactionFolders, tmp_path: Path
) -> None:
    for state in (TransactionState.COMMITTED, TransactionState.COMMITTING):
        folders.create(f"r-{state.value}.1", b"/")
        folders.write(_transaction(id=f"r-{state.value}.1", state=state, operations=_operations(2)))
        plan = tmp_path / f".workflow-agent/tx/r-{state.value}.1/plan.json"
        plan.write_bytes(plan.read_bytes().replace(b'"before": [', b'"before": [,', 1))
    standing = folders.read("r-committed.1")
    with pytest.raises(TransactionError, match="damaged"):
        len(standing.operations)
    with pytest.raises(TransactionError, match="damaged"):  # at once: somebody would undo it
        folders.read("r-committing.1")
