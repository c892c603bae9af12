"""Records of account files: one owner's go, the others' stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_agent.targets.account_records import (
    RecordConflictError,
    changed_records,
    holds_records,
    is_copy_of_records,
    without_records,
)

_NAMES = st.sampled_from(["root", "daemon", "adm", "one", "two", "three", "four"])
_FILES = st.dictionaries(_NAMES, st.integers(0, 3), max_size=7)


def _file(records: dict[str, int]) -> bytes:
    return "".join(f"{name}:x:{value}:\n" for name, value in records.items()).encode()


@pytest.mark.parametrize("name", ["passwd", "shadow", "group", "gshadow", "subuid", "subgid"])
def test_the_six_files_and_their_copies_are_known(name: str) -> None:
    path = f"/etc/{name}".encode()
    assert holds_records(path)
    assert not is_copy_of_records(path)
    assert is_copy_of_records(path + b"-")
    assert not holds_records(path + b"-")
    assert not holds_records(b"/srv" + path)
    assert not is_copy_of_records(b"/etc/fstab-")


def test_a_record_that_came_goes_and_later_ones_stay() -> None:
    before = b"root:x:0\n"
    after = before + b"ours:x:1\n"
    assert without_records(after + b"later:x:2\n", changed_records(before, after)) == b"root:x:0\nlater:x:2\n"


def test_a_record_that_was_changed_or_removed_comes_back() -> None:
    before = b"root:x:0:/bin/sh\ngone:x:1:/\n"
    after = b"root:x:0:/bin/bash\n"
    live = after + b"later:x:2:/\n"
    assert without_records(live, changed_records(before, after)) == b"root:x:0:/bin/sh\nlater:x:2:/\ngone:x:1:/\n"


def test_members_of_a_group_are_taken_out_one_by_one() -> None:
    before, after = b"adm:x:4:syslog,old\n", b"adm:x:4:syslog,ours\n"
    live = b"adm:x:4:syslog,ours,later\n"
    assert without_records(live, changed_records(before, after)) == b"adm:x:4:syslog,later,old\n"


@pytest.mark.parametrize("live", [b"ours:x:9\n", b"", b"ours:x:1:more\n"])
def test_a_record_of_ours_that_somebody_changed_is_a_conflict_by_name(live: bytes) -> None:
    with pytest.raises(RecordConflictError) as caught:
        without_records(live, changed_records(b"", b"ours:x:1\n"))
    assert caught.value.names == ["ours"]


def test_lines_with_the_same_name_are_records_of_their_own() -> None:
    before = b"a:1:1\n"
    after = b"a:1:1\na:2:2\n"
    assert without_records(after + b"b:3:3\n", changed_records(before, after)) == b"a:1:1\nb:3:3\n"


def test_bytes_that_are_no_text_are_kept() -> None:
    before, after = b"a:\xff\n", b"a:\xff\nb:\xfe\n"
    assert without_records(after, changed_records(before, after)) == before


@given(before=_FILES, after=_FILES, later=_FILES)
def test_taking_back_leaves_exactly_what_others_did(
    before: dict[str, int], after: dict[str, int], later: dict[str, int]
) -> None:
    """Others who touch other records: the result is what they would have made of the state before."""
    ours = changed_records(_file(before), _file(after))
    theirs = {name: value for name, value in later.items() if name not in ours}
    live = {name: value for name, value in after.items() if name in ours} | theirs
    expected = {name: value for name, value in before.items() if name in ours} | theirs
    result = without_records(_file(live), ours)
    assert sorted(result.splitlines()) == sorted(_file(expected).splitlines())
