"""Records of package files: one owner's go, the others' stay, to the byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_agent.targets.shared_records import (
    RecordConflictError,
    changed_records,
    holds_records,
    is_left_to_others,
    same_records,
    without_records,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_STATUS = b"/var/lib/dpkg/status"
_STATES = b"/var/lib/apt/extended_states"
_CONFIG = b"/var/cache/debconf/config.dat"
_DIVERSIONS = b"/var/lib/dpkg/diversions"
_OVERRIDES = b"/var/lib/dpkg/statoverride"
_TRIGGERS = b"/var/lib/dpkg/triggers/File"
_UCF = b"/var/lib/ucf/hashfile"
_WITH_RECORDS = [
    _STATUS, _STATES, _CONFIG, b"/var/cache/debconf/templates.dat", _DIVERSIONS, _OVERRIDES, _TRIGGERS,
    b"/var/lib/dpkg/triggers/nginx-reload", _UCF, b"/var/lib/ucf/registry", b"/etc/passwd",
]  # fmt: skip


def _package(name: str, version: str = "1.2", status: str = "install ok installed", more: str = "") -> str:
    return f"Package: {name}\nStatus: {status}\nArchitecture: all\nVersion: {version}\n{more}Description: x\n .\n y\n\n"


def _taken_out(path: bytes, before: str, after: str, live: str) -> str:
    return without_records(path, live.encode(), changed_records(path, before.encode(), after.encode())).decode()


@pytest.mark.parametrize("path", _WITH_RECORDS)
def test_a_file_with_records_is_no_copy_and_no_cache(path: bytes) -> None:
    assert holds_records(path)
    assert not is_left_to_others(path)
    assert not holds_records(b"/srv" + path)


@pytest.mark.parametrize(
    "path",
    [
        b"/etc/shadow-", _STATUS + b"-old", _DIVERSIONS + b"-old", _OVERRIDES + b"-old", _CONFIG + b"-old",
        b"/var/lib/dpkg/available", b"/etc/ld.so.cache", b"/var/cache/ldconfig/aux-cache", b"/var/cache/man/index.db",
        b"/var/log/apt/eipp.log.xz", _UCF + b".0",
    ],
)  # fmt: skip
def test_copies_and_caches_are_left_to_who_wrote_last(path: bytes) -> None:
    assert is_left_to_others(path)
    assert not holds_records(path)


@pytest.mark.parametrize("path", [b"/var/lib/dpkg/triggers/Lock", b"/var/lib/dpkg/triggers/Unincorp", b"/etc/fstab"])
def test_other_files_are_neither(path: bytes) -> None:
    assert not holds_records(path)
    assert not is_left_to_others(path)
    assert changed_records(path, b"one\n", b"two\n") == {}


def test_a_package_goes_and_one_that_came_later_stays_where_it_is() -> None:
    before = _package("aa") + _package("zz")
    after = _package("aa") + _package("mm") + _package("zz")
    live = _package("aa") + _package("bb") + _package("mm") + _package("zz")
    assert _taken_out(_STATUS, before, after, live) == _package("aa") + _package("bb") + _package("zz")


def test_a_package_that_was_removed_comes_back_in_its_place() -> None:
    before, after = _package("aa") + _package("mm") + _package("zz"), _package("aa") + _package("zz")
    live = _package("aa") + _package("bb") + _package("zz")
    wanted = _package("aa") + _package("bb") + _package("mm") + _package("zz")
    assert _taken_out(_STATUS, before, after, live) == wanted


def test_names_are_in_the_order_of_dpkg_not_in_that_of_their_letters() -> None:
    """In it `libc6` comes before `libc6-dev`."""
    before = _package("libc6") + _package("libc6-dev") + _package("zz")
    assert _taken_out(_STATUS, before, _package("libc6-dev") + _package("zz"), _package("libc6-dev")) == (
        _package("libc6") + _package("libc6-dev")
    )


def test_two_architectures_of_a_library_are_two_packages() -> None:
    one = _package("lib", "1")
    other = one.replace("all", "i386").replace("Version: 1", "Version: 2")
    assert _taken_out(_STATUS, one, one + other, one + other + _package("zz")) == one + _package("zz")


def test_a_package_that_was_upgraded_is_downgraded_and_keeps_what_others_said_of_it() -> None:
    before, after = _package("aa", "1.2"), _package("aa", "1.3")
    live = _package("aa", "1.3", "hold ok installed") + _package("bb")
    assert _taken_out(_STATUS, before, after, live) == _package("aa", "1.2", "hold ok installed") + _package("bb")


@pytest.mark.parametrize("status", ["install ok triggers-pending", "install ok triggers-awaited"])
def test_waiting_triggers_are_no_change_of_a_package(status: str) -> None:
    live = _package("aa", status=status, more="Triggers-Pending: /usr/share/man\n") + _package("bb")
    assert _taken_out(_STATUS, "", _package("aa"), live) == _package("bb")


@pytest.mark.parametrize(
    ("live", "story"),
    [
        (_package("aa", "1.3"), "package aa was changed since: 1.2 -> 1.3"),
        (
            _package("aa", status="deinstall ok config-files"),
            "package aa was changed since: install ok installed -> deinstall ok config-files",
        ),
        ("", "package aa was changed since: 1.2 -> not there"),
        (
            _package("aa", status="hold ok installed"),
            "package aa was changed since: install ok installed -> hold ok installed",
        ),
        (_package("aa", more="Source: other\n"), "package aa was changed since"),
    ],
)
def test_a_package_of_ours_that_somebody_changed_is_a_conflict_by_name(live: str, story: str) -> None:
    with pytest.raises(RecordConflictError) as caught:
        _taken_out(_STATUS, "", _package("aa"), live + _package("bb"))
    assert caught.value.names == [story]


def test_a_package_that_we_removed_and_somebody_installed_again_is_a_conflict_by_name() -> None:
    with pytest.raises(RecordConflictError) as caught:
        _taken_out(_STATUS, _package("aa"), "", _package("aa", "2.0"))
    assert caught.value.names == ["package aa was changed since: not there -> 2.0"]


def test_an_upgrade_of_an_upgrade_is_a_conflict_by_name() -> None:
    with pytest.raises(RecordConflictError) as caught:
        _taken_out(_STATUS, _package("aa", "1.2"), _package("aa", "1.3"), _package("aa", "1.4"))
    assert caught.value.names == ["package aa was changed since: 1.3 -> 1.4"]


def test_fields_that_came_go_and_fields_that_went_come_back() -> None:
    before, after = _package("aa", more="Source: s\n"), _package("aa", "1.3", more="Tag: t\n")
    live = _package("aa", "1.3", "hold ok installed", more="Tag: t\n")
    assert _taken_out(_STATUS, before, after, live) == _package("aa", "1.2", "hold ok installed", more="Source: s\n")


def test_marks_of_packages_are_told_as_such() -> None:
    mark = "Package: aa\nArchitecture: amd64\nAuto-Installed: 1\n\n"
    assert _taken_out(_STATES, "", mark, mark + mark.replace("aa", "bb")) == mark.replace("aa", "bb")
    with pytest.raises(RecordConflictError) as caught:
        _taken_out(_STATES, "", mark, mark.replace(": 1", ": 0"))
    assert caught.value.names == ["mark of package aa was changed since: 1 -> 0"]


def test_a_question_that_others_ask_too_stays_theirs() -> None:
    ours = "Name: shared/q\nTemplate: shared/q\nOwners: one\n\n"
    both = ours.replace("one", "one, two")
    assert _taken_out(_CONFIG, "", ours, both) == ours.replace("one", "two")
    assert _taken_out(_CONFIG, ours, both, both.replace("two", "two, three")) == ours.replace("one", "one, three")


def test_an_answer_that_somebody_gave_since_is_a_conflict_by_name_and_stays_a_secret() -> None:
    ours = "Name: a/q\nTemplate: a/q\nValue: yes\nOwners: a\nVariables:\n x = 1\n y = 2\n\n"
    assert _taken_out(_CONFIG, "", ours, ours) == ""
    with pytest.raises(RecordConflictError) as caught:
        _taken_out(_CONFIG, "", ours, ours.replace("yes", "no"))
    assert caught.value.names == ["debconf record a/q was changed since"]


def test_files_of_lines_and_blocks_lose_what_is_ours() -> None:
    others, ours = "/bin/sh\n/bin/sh.distrib\ndash\n", "/bin/x\n/bin/x.distrib\n:\n"
    later = ours.replace("x", "y")
    assert _taken_out(_DIVERSIONS, others, ours + others, later + ours + others) == later + others
    assert _taken_out(_OVERRIDES, "", "root adm 4755 /a b\n", "root adm 4755 /a b\nroot root 755 /c\n") == (
        "root root 755 /c\n"
    )
    assert _taken_out(_TRIGGERS, "/a one\n", "/a one\n/a two\n", "/a one\n/a two\n/b two\n") == "/a one\n/b two\n"
    assert _taken_out(_UCF, "0a  /etc/a\n", "0a  /etc/a\n0b  /etc/b\n", "0a  /etc/a\n0b  /etc/b\n0c  /etc/c\n") == (
        "0a  /etc/a\n0c  /etc/c\n"
    )


def test_a_changed_line_is_a_conflict_by_its_path() -> None:
    with pytest.raises(RecordConflictError) as caught:
        _taken_out(_OVERRIDES, "", "root adm 4755 /a\n", "root adm 0755 /a\n")
    assert caught.value.names == ["override of /a was changed since"]
    with pytest.raises(RecordConflictError) as caught:
        _taken_out(b"/etc/passwd", "", "ours:x:1\n", "ours:x:2\n")
    assert caught.value.names == ["record ours was changed since"]


def test_a_file_whose_last_record_has_no_end_is_not_glued_together() -> None:
    before = _package("aa").rstrip("\n") + "\n"
    assert _taken_out(_STATUS, before + "\n" + _package("zz"), before, before) == _package("aa") + _package("zz")
    assert _taken_out(_OVERRIDES, "a a 1 /z\n", "", "a a 1 /b") == "a a 1 /b\na a 1 /z\n"


def test_another_order_says_the_same() -> None:
    one, other = _package("aa"), _package("bb")
    assert same_records(_STATUS, (one + other).encode(), (other + one).encode())
    assert not same_records(_STATUS, one.encode(), (one + other).encode())


def test_bytes_that_are_no_text_are_kept() -> None:
    before, ours = b"Package: a\nMaintainer: J\xf6rg\n\n", b"Package: b\nMaintainer: \xff\n\n"
    assert without_records(_STATUS, before + ours, changed_records(_STATUS, before, before + ours)) == before


_NAMES = st.sampled_from(["adduser", "apt", "libc6", "libc6-dev", "nginx", "zlib1g"])
_FILES = st.dictionaries(_NAMES, st.sampled_from(["1.0", "1.1", "2.0"]), max_size=6)
_MAKERS: dict[bytes, Callable[[str, str], str]] = {
    _STATUS: _package,
    _STATES: lambda name, value: f"Package: {name}\nArchitecture: amd64\nAuto-Installed: {value}\n\n",
    _CONFIG: lambda name, value: f"Name: {name}\nTemplate: t\nValue: {value}\n\n",
    _DIVERSIONS: lambda name, value: f"/{name}\n/{name}.{value}\n:\n",
    _OVERRIDES: lambda name, value: f"root root {value} /{name}\n",
    _TRIGGERS: lambda name, value: f"/{name} {value}\n",
}


@pytest.mark.parametrize("path", _MAKERS)
@given(before=_FILES, after=_FILES, later=_FILES)
def test_taking_back_gives_to_the_byte_what_others_would_have_made_alone(
    path: bytes, before: dict[str, str], after: dict[str, str], later: dict[str, str]
) -> None:
    """Files in order, as dpkg writes them; others touch other records than we did."""

    def file(records: dict[str, str]) -> bytes:
        return "".join(_MAKERS[path](name, records[name]) for name in sorted(records)).encode()

    touched = {name for name in {**before, **after} if before.get(name) != after.get(name)}
    theirs = {name: value for name, value in later.items() if name not in touched}
    live = {name: value for name, value in after.items() if name in touched} | theirs
    alone = {name: value for name, value in before.items() if name in touched} | theirs

    ours = changed_records(path, file(before), file(after))
    result = without_records(path, file(live), ours)

    if path in {_STATUS, _STATES, _CONFIG}:
        assert result == file(alone)
    else:
        assert same_records(path, result, file(alone))
    assert bool(ours) is bool(touched)


@given(before=_FILES, first=_FILES, second=_FILES)
def test_two_owners_can_go_in_either_order(
    before: dict[str, str], first: dict[str, str], second: dict[str, str]
) -> None:
    def file(records: dict[str, str]) -> bytes:
        return "".join(_package(name, records[name]) for name in sorted(records)).encode()

    one = {**before, **{f"one-{name}": value for name, value in first.items()}}
    both = {**one, **{f"two-{name}": value for name, value in second.items()}}
    ours, theirs = (
        changed_records(_STATUS, file(before), file(one)),
        changed_records(_STATUS, file(one), file(both)),
    )
    for order in ((ours, theirs), (theirs, ours)):
        live = file(both)
        for records in order:
            live = without_records(_STATUS, live, records)
        assert live == file(before)
