"""Operations in the plan file: what is written is what is read, whatever the names are."""

from __future__ import annotations

import json
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_agent.targets.entries import Entry, describe, kind_of
from workflow_agent.targets.operations import Operation, OperationKind, decode_operation, encode_operation

_numbers = st.integers(0, 2**63)
_entries = st.builds(
    Entry, st.binary(max_size=20), *[_numbers] * 4, st.sampled_from([0o100644, 0o40755, 0o120777]), *[_numbers] * 5
)
_names = st.binary(min_size=1, max_size=20)
_attributes = st.dictionaries(st.text(max_size=10), st.binary(max_size=20), max_size=3)
_operations = st.builds(
    Operation,
    kind=st.sampled_from(OperationKind),
    path=_names,
    point=_names,
    staged=_names,
    before=st.none() | _entries,
    after=st.none() | _entries,
    before_xattrs=_attributes,
    after_xattrs=_attributes,
    offset=_numbers,
    length=_numbers,
    subtree=st.dictionaries(_names, _entries, max_size=3),
    content=st.dictionaries(_names, _entries, max_size=3),
    before_flags=st.sampled_from([0, 0x10, 0x20, 0x30]),
    after_flags=st.sampled_from([0, 0x10, 0x20, 0x30]),
    content_flags=st.dictionaries(_names, st.sampled_from([0x10, 0x20, 0x30]), max_size=3),
)


@given(_operations)
def test_an_operation_survives_the_plan_file(operation: Operation) -> None:
    assert decode_operation(json.loads(encode_operation(operation))) == operation
    assert operation.with_sides(operation.before, operation.after) == operation


def _entry(**changes: object) -> Entry:
    first = Entry(b"h", 10, 100, 200, 3, 0o100644, 1, 2, 1, 0, 7)
    return first._replace(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["ctime", "mtime", "size", "mode", "uid", "gid", "rdev", "handle", "ino"])
def test_any_difference_of_a_file_counts(field: str) -> None:
    other = b"other" if field == "handle" else 0o100600 if field == "mode" else 99
    assert not _entry().same_state(_entry(**{field: other}))
    assert _entry().same_state(_entry())


def test_a_move_changes_the_ctime_alone() -> None:
    assert _entry().same_state(_entry(ctime=1), moved=True)
    assert not _entry().same_state(_entry(ctime=1, mtime=1), moved=True)
    assert not _entry().same_state(None)
    assert not _entry().same_identity(None)


def test_a_folders_times_and_size_follow_from_its_entries() -> None:
    folder = _entry(mode=0o40755)
    assert folder.is_dir
    assert folder.same_state(_entry(mode=0o40755, ctime=1, mtime=1, size=1, nlink=9))
    assert not folder.same_state(_entry(mode=0o40700))
    assert not folder.same_state(_entry(mode=0o40755, uid=9))


def test_states_are_described_for_people() -> None:
    assert describe(None) is None
    assert describe(_entry(mode=0o104711)) == {
        "kind": "file", "mode": "4711", "uid": 1, "gid": 2, "size": 3, "mtime_ns": 200,
    }  # fmt: skip
    assert (describe(_entry(mode=0o40755)) or {})["size"] == 0
    kinds = {stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket", stat.S_IFBLK: "block", stat.S_IFCHR: "char"}
    assert {kind_of(number): word for number, word in kinds.items()} == {word: word for word in kinds.values()}
    assert _entry(mode=stat.S_IFLNK | 0o777).kind == "symlink"
