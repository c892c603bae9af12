"""What changed files mean."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_agent.model.system import Change, ChangeAction
from workflow_agent.targets.derive import Derived, derive_changes, needs_content
from workflow_agent.targets.derive_packages import is_newer

if TYPE_CHECKING:
    from collections.abc import Mapping

STATUS = "/var/lib/dpkg/status"
CREATED, MODIFIED, DELETED = ChangeAction.CREATED, ChangeAction.MODIFIED, ChangeAction.DELETED


def stanza(name: str, version: str, state: str = "install ok installed", architecture: str = "amd64") -> bytes:
    return (
        f"Package: {name}\nStatus: {state}\nArchitecture: {architecture}\nVersion: {version}\n"
        f"Description: text\n Package: not a field\n .\n"
    ).encode()


def status(*stanzas: bytes) -> bytes:
    return b"\n".join(stanzas)


def derive_file(path: str, before: bytes | None, after: bytes | None) -> Derived:
    return derive_changes({path: before}, {path: after}, ())


def change(path: str, action: ChangeAction = CREATED, kind: str = "file", aspects: tuple[str, ...] = ()) -> Change:
    return Change(path=path, action=action, kind=kind, aspects=aspects)


def derive_paths(
    *changes: Change,
    before: Mapping[str, bytes | None] | None = None,
    after: Mapping[str, bytes | None] | None = None,
) -> Derived:
    return derive_changes(before or {}, after or {}, changes)


def sentences(derived: Derived) -> list[str]:
    """Tell a person, one thing a line, most telling first; notes come last."""
    return [
        *(_package_sentence(one) for one in derived.packages),
        *(f"user {one['name']} (uid {_shown(one['id'])}) {one['action']}" for one in derived.users),
        *(line for one in derived.groups for line in _group_sentences(one)),
        *(_unit_sentence(one) for one in derived.units),
        *(f"cron file {one['path']} {one['action']}" for one in derived.cron),
        *derived.notes,
    ]


def _shown(number: int | None) -> str:
    return "unreadable" if number is None else str(number)


def _package_sentence(one: Mapping[str, Any]) -> str:
    if one["action"] in ("installed", "removed"):
        return f"package {one['name']} {one['version']} {one['action']}"
    return f"package {one['name']} {one['action']} from {one['before']} to {one['version']}"


def _group_sentences(one: Mapping[str, Any]) -> list[str]:
    lines = [f"user {name} added to group {one['name']}" for name in one["added"]]
    if one["action"] != "removed":
        lines += [f"user {name} taken from group {one['name']}" for name in one["removed"]]
    if one["action"] == "changed" and lines:
        return lines
    return [f"group {one['name']} (gid {_shown(one['id'])}) {one['action']}", *lines]


def _unit_sentence(one: Mapping[str, Any]) -> str:
    what = "unit" if one["kind"] == "systemd" else "init script"
    done = [one["action"]]
    if one["enabled"] is not None:
        done.append("enabled" if one["enabled"] else "disabled")
    if one["masked"] is not None:
        done.append("masked" if one["masked"] else "unmasked")
    return f"{what} {one['name']} {' and '.join(dict.fromkeys(done))}"


def told(*changes: Change) -> list[str]:
    return sentences(derive_paths(*changes))


# -- packages


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([], [stanza("a", "1.5.0-1+b6")], ["package a 1.5.0-1+b6 installed"]),
        ([stanza("a", "1")], [], ["package a 1 removed"]),
        ([stanza("a", "1")], [stanza("a", "1", "deinstall ok config-files")], ["package a 1 removed"]),
        ([stanza("a", "1", "deinstall ok config-files")], [stanza("a", "2")], ["package a 2 installed"]),
        ([stanza("a", "1.9")], [stanza("a", "1.10")], ["package a upgraded from 1.9 to 1.10"]),
        ([stanza("a", "2")], [stanza("a", "2~rc1")], ["package a downgraded from 2 to 2~rc1"]),
        ([stanza("a", "1")], [stanza("a", "1", "hold ok installed")], []),
        ([stanza("a", "1")], [stanza("a", "1", "install ok triggers-pending")], []),
        ([], [stanza("a", "1", "install ok unpacked")], ["package a is left unpacked"]),
        (
            [stanza("a", "1")],
            [stanza("a", "2", "install ok half-configured")],
            ["package a is left half-configured"],
        ),
        (
            [],
            [stanza("lib", "1"), stanza("lib", "1", architecture="i386")],
            ["package lib:amd64 1 installed", "package lib:i386 1 installed"],
        ),
        ([], [b"Package: x\nno status\n"], ["the package database has an entry that cannot be read"]),
        ([], [b"\xff\xfe", b"Status: a b c\n"], ["the package database has an entry that cannot be read"]),
        ([], [stanza("a\x1b[31m", "1")], ["package a\\x1b[31m 1 installed"]),
    ],
)  # fmt: skip
def test_packages_are_read_from_the_status_file(before: list[bytes], after: list[bytes], expected: list[str]) -> None:
    same = stanza("same", "7")

    derived = derive_file(STATUS, status(same, *before), status(same, *after))

    assert expected == sentences(derived)


def test_a_changed_package_carries_both_versions() -> None:
    derived = derive_file(STATUS, stanza("a", "1"), stanza("a", "2"))

    assert derived.packages == ({"name": "a", "action": "upgraded", "version": "2", "before": "1"},)


def test_a_missing_status_file_means_that_nothing_is_installed() -> None:
    assert sentences(derive_file(STATUS, None, stanza("a", "1"))) == ["package a 1 installed"]
    assert sentences(derive_changes({STATUS: stanza("a", "1")}, {}, ())) == ["package a 1 removed"]


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="there is no dpkg to compare with")
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1.0", "1.0-1"), ("1.0~rc1", "1.0"), ("1:0.1", "2"), ("1.9", "1.10"), ("0.1", "1.0"), ("1.0-1~bpo", "1.0-1"),
        ("1.5.0-1+b6", "1.5.0-1"), ("1.0a", "1.0+"), ("1.0~~", "1.0~"), ("01.0", "1.0"), ("0" * 50 + "9", "10"),
    ],
)  # fmt: skip
def test_versions_are_ordered_as_dpkg_orders_them(one: str, other: str) -> None:
    for left, right in ((one, other), (other, one)):
        greater = subprocess.run(["dpkg", "--compare-versions", left, "gt", right], check=False).returncode == 0
        assert greater == is_newer(left, right), (left, right)


# -- accounts


PASSWD = b"root:x:0:0:root:/root:/bin/sh\n"
GROUP = b"adm:x:4:syslog\n"


@pytest.mark.parametrize(
    ("path", "before", "after", "expected"),
    [
        ("/etc/passwd", PASSWD, PASSWD + b"prom:x:101:65534::/:/bin/false\n", ["user prom (uid 101) created"]),
        ("/etc/passwd", PASSWD + b"a:x:5:5:::\n", PASSWD, ["user a (uid 5) removed"]),
        ("/etc/passwd", PASSWD, PASSWD.replace(b"sh\n", b"dash\n"), ["user root (uid 0) changed"]),
        (
            "/etc/passwd",
            PASSWD,
            PASSWD + b"toor:x:0:0:::\n",
            ["user toor (uid 0) created", "user toor has the superuser's id 0"],
        ),
        ("/etc/passwd", PASSWD, PASSWD + b"b:x:many:0:::\n", ["user b (uid unreadable) created"]),
        ("/etc/passwd", PASSWD, PASSWD + b"broken line\n::::::\n", []),
        ("/etc/group", GROUP, GROUP + b"prom:x:105:\n", ["group prom (gid 105) created"]),
        ("/etc/group", GROUP, b"", ["group adm (gid 4) removed"]),
        ("/etc/group", GROUP, b"adm:x:4:syslog,www\n", ["user www added to group adm"]),
        ("/etc/group", GROUP, b"adm:x:4:\n", ["user syslog taken from group adm"]),
        ("/etc/group", GROUP, b"adm:x:5:syslog\n", ["group adm (gid 5) changed"]),
        ("/etc/group", b"", b"new:x:7:me\n", ["group new (gid 7) created", "user me added to group new"]),
        ("/etc/group", b"", b"\xffa:x:7:\n", ["group \\xffa (gid 7) created"]),
    ],
)
def test_accounts_are_read_from_their_files(path: str, before: bytes, after: bytes, expected: list[str]) -> None:
    assert expected == sentences(derive_file(path, before, after))


# -- units and cron


WANTS = "/etc/systemd/system/multi-user.target.wants"
UNIT = "/lib/systemd/system/x.service"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([change(UNIT)], ["unit x.service added"]),
        ([change(UNIT), change(f"{WANTS}/x.service", kind="symlink")], ["unit x.service added and enabled"]),
        ([change("/usr/lib/systemd/system/x.timer", DELETED)], ["unit x.timer removed"]),
        ([change(UNIT, MODIFIED, aspects=("content", "mtime"))], ["unit x.service changed"]),
        ([change(UNIT, MODIFIED, aspects=("mtime",))], []),
        ([change(f"{WANTS}/x.service", DELETED, "symlink")], ["unit x.service disabled"]),
        ([change(f"{WANTS}/x.service", CREATED, "symlink")], ["unit x.service enabled"]),
        (
            [
                change(f"{WANTS}/x.service", CREATED, "symlink"),
                change("/etc/systemd/system/a.target.requires/x.service", DELETED, "symlink"),
            ],
            ["unit x.service enabled"],
        ),
        ([change("/etc/systemd/system/x.service.d/o.conf")], ["unit x.service changed"]),
        ([change("/etc/systemd/system/x.service.d", kind="directory")], []),
        ([change(WANTS, kind="directory")], []),
        ([change(UNIT, DELETED), change("/etc/systemd/system/x.service")], ["unit x.service changed"]),
        ([change("/etc/init.d/x")], ["init script x added"]),
        (
            [
                change("/etc/init.d/x"),
                change("/etc/rc0.d/K01x", kind="symlink"),
                change("/etc/rc2.d/S01x", kind="symlink"),
            ],
            ["init script x added and enabled"],
        ),
        (
            [change("/etc/rc2.d/S01x", DELETED, "symlink"), change("/etc/rc2.d/K01x", kind="symlink")],
            ["init script x disabled"],
        ),
        ([change("/etc/rc2.d/K01x", kind="symlink")], ["init script x disabled"]),
        ([change("/etc/rc2.d/K01x", DELETED, "symlink")], ["init script x changed"]),
        ([change("/etc/cron.d/x")], ["cron file /etc/cron.d/x added"]),
        ([change("/etc/crontab", MODIFIED, aspects=("content",))], ["cron file /etc/crontab changed"]),
        ([change("/etc/cron.d/.placeholder"), change("/etc/other")], []),
    ],
)
def test_units_and_cron_files_are_read_from_paths(changes: list[Change], expected: list[str]) -> None:
    assert expected == told(*changes)


def test_a_unit_that_becomes_a_link_to_nothing_is_masked() -> None:
    path = "/etc/systemd/system/x.service"

    masked = derive_paths(change(path, CREATED, "symlink"), after={path: b"/dev/null"})
    unmasked = derive_paths(change(path, DELETED, "symlink"), before={path: b"/dev/null"})

    assert sentences(masked) == ["unit x.service masked"]
    assert masked.units[0]["masked"] is True
    assert sentences(unmasked) == ["unit x.service unmasked"]


def test_only_few_files_are_read() -> None:
    assert needs_content(STATUS)
    assert needs_content("/etc/passwd")
    assert needs_content(UNIT)
    assert not needs_content("/etc/shadow")
    assert not needs_content(f"{WANTS}/x.service")


def test_no_change_has_nothing_to_tell() -> None:
    assert sentences(derive_changes({}, {}, ())) == []


# -- hostile content


hostile = st.one_of(
    st.binary(max_size=200),
    st.lists(
        st.sampled_from(
            [b"Package: a", b"Status: install ok installed", b"Version: 1~", b"", b"\xff:", b" x", b"a:b:c:d:e:f:g"],
        ),
        max_size=12,
    ).map(b"\n".join),
)  # fmt: skip
paths = st.sampled_from([UNIT, f"{WANTS}/\\xff.service", "/etc/init.d/x", "/etc/rc2.d/S99x", "/etc/cron.d/y", "/x"])
changes = st.builds(
    Change,
    path=paths,
    action=st.sampled_from(ChangeAction),
    kind=st.sampled_from(["file", "symlink", "directory", "fifo"]),
    aspects=st.sampled_from([(), ("content",), ("mtime",)]),
)


@given(
    st.dictionaries(st.sampled_from([STATUS, "/etc/passwd", "/etc/group", UNIT]), st.one_of(st.none(), hostile)),
    st.dictionaries(st.sampled_from([STATUS, "/etc/passwd", "/etc/group", UNIT]), st.one_of(st.none(), hostile)),
    st.lists(changes, max_size=8),
)
def test_hostile_content_gives_printable_lines_and_no_error(
    before: dict[str, bytes | None], after: dict[str, bytes | None], listed: list[Change]
) -> None:
    lines = sentences(derive_changes(before, after, listed))

    assert all(line.isprintable() for line in lines)


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_two_versions_can_be_compared(one: str, other: str) -> None:
    assert not (is_newer(one, other) and is_newer(other, one))
