"""What the files of a container are read as, and what two such listings differ in."""

from __future__ import annotations

import io
import os
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.model.errors import CaptureError
from workflow_agent.model.system import Tier
from workflow_agent.targets.clone_listing import CloneListing, change_set, read_listing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workflow_agent.model.system import ChangeSet

DIR, LINK, NAME, FIFO = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE


def archive(entries: dict[str, Any]) -> io.BytesIO:
    """Write a tar: a path to its content, or to the fields of its header."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as out:
        for path, given in entries.items():
            member = tarfile.TarInfo(path)
            fields = given if isinstance(given, dict) else {"content": given}
            content = fields.pop("content", b"")
            for name, value in fields.items():
                setattr(member, name, value)
            member.size = len(content)
            out.addfile(member, io.BytesIO(content))
    buffer.seek(0)
    return buffer


def listed(entries: dict[str, Any]) -> CloneListing:
    return read_listing(archive(entries))


def told(before: dict[str, Any], after: dict[str, Any], **more: Any) -> ChangeSet:
    given: dict[str, Any] = {"requested": "", "stand_ins": {}, "keep": (), "notes": ()}
    return change_set(listed(before), listed(after), **given | more)


def rows(found: ChangeSet) -> Sequence[tuple[str, str, tuple[str, ...]]]:
    return [(change.path, change.action.value, change.aspects) for change in found.changes]


@pytest.mark.parametrize(
    ("before", "after", "aspects"),
    [
        (b"a", b"b", ("content",)),
        ({"mode": 0o644}, {"mode": 0o4755}, ("mode",)),
        ({"uid": 0}, {"uid": 5}, ("owner",)),
        ({"gid": 0}, {"gid": 5}, ("owner",)),
        ({"type": LINK, "linkname": "x"}, {"type": LINK, "linkname": "y"}, ("target",)),
        ({"type": DIR}, {"type": FIFO}, ("type",)),
        ({"pax_headers": {}}, {"pax_headers": {"SCHILY.xattr.security.capability": "1"}}, ("xattr",)),
    ],
)
def test_what_differs_is_told(before: Any, after: Any, aspects: tuple[str, ...]) -> None:
    assert rows(told({"etc/a": before}, {"etc/a": after})) == [("/etc/a", "modified", aspects)]


def test_times_are_not_compared() -> None:
    assert rows(told({"a": {"mtime": 1, "content": b"x"}}, {"a": {"mtime": 2, "content": b"x"}})) == []


def test_new_and_removed_entries_are_told_with_what_they_add() -> None:
    found = told({"old": b"12345"}, {"./new/": {"type": DIR}, "new/x": b"123"})

    assert rows(found) == [("/new", "created", ()), ("/new/x", "created", ()), ("/old", "deleted", ())]
    assert (found.bytes_added, found.tier) == (3, Tier.APPROXIMATE)


def test_a_second_name_of_a_file_is_that_file() -> None:
    found = listed({"a": b"x", "b": {"type": NAME, "linkname": "a"}, "c": {"type": NAME, "linkname": "dev/gone"}})

    assert found.entries["/b"] == found.entries["/a"]
    assert "/c" not in found.entries


def test_names_of_any_bytes_are_printable() -> None:
    assert list(listed({os.fsdecode(b"etc/\xff\n"): b""}).entries) == ["/etc/\\xff\\x0a"]


def test_what_the_engine_makes_and_what_is_ours_is_not_there() -> None:
    outside = dict.fromkeys(
        ("run/x", "tmp/x", "etc/hosts", ".dockerenv", ".workflow-agent/tx", ".workflow-agent-clone/real/x"), b""
    )

    assert list(listed(outside | {"runner": b""}).entries) == ["/runner"]


def test_a_stand_in_that_is_still_there_is_no_change_and_one_that_was_replaced_is() -> None:
    before = {"usr/sbin/service": b"real", "usr/bin/systemctl": b"real"}
    after = {"usr/sbin/service": b"ours", "usr/bin/systemctl": b"newer", "usr/sbin/policy-rc.d": b"ours"}
    ours = dict.fromkeys(("/usr/sbin/service", "/usr/bin/systemctl", "/usr/sbin/policy-rc.d"), "ours")

    assert rows(told(before, after, stand_ins=ours)) == [("/usr/bin/systemctl", "modified", ("content",))]


def test_what_is_kept_and_what_policy_leaves_out_is_told_once() -> None:
    after = {"srv/data": {"type": DIR}, "srv/data/x": b"", "srv/database": b"", "var/lib/dpkg/lock": b""}
    after |= {"var/cache/apt/a": b"", "var/cache/apt/b": b""}

    found = told({}, after, keep=["/srv/data"])

    assert [path for path, _, _ in rows(found)] == ["/srv/database"]
    assert [(one["path"], str(one["reason"]).split(":")[0]) for one in found.dropped] == [
        ("/srv/data", "state data is kept"),
        ("/var/cache/apt/a", "package archives and caches"),
    ]


def test_accounts_and_masked_units_are_read_from_the_files() -> None:
    unit = "etc/systemd/system/web.service"
    before = {"etc/passwd": b"root:x:0:0::/root:/bin/sh\n"}
    after = {
        "etc/passwd": before["etc/passwd"] + b"web:x:9:9::/:/bin/sh\n",
        unit: {"type": LINK, "linkname": "/dev/null"},
    }

    found = told(before, after, requested="start\tweb.service\n", notes=["approximate"])

    assert [user["name"] for user in found.users] == ["web"]
    assert [(one["name"], one["masked"]) for one in found.units] == [("web.service", True)]
    assert found.requested == ({"verb": "start", "unit": "web.service"},)
    assert found.notes == ("approximate",)


def test_a_place_is_real_where_its_folder_is_no_link() -> None:
    found = listed({"usr/bin": {"type": DIR}, "bin": {"type": LINK, "linkname": "usr/bin"}, "usr/bin/systemctl": b""})

    assert found.stands("/usr/bin/systemctl")
    assert not found.stands("/bin/systemctl", always=True)
    assert not found.stands("/usr/bin/service")
    assert found.stands("/usr/bin/service", always=True)


@pytest.mark.parametrize("stream", [b"no tar at all" * 100, archive({"a": b"x" * 100_000}).getvalue()[:20_000]])
def test_a_stream_that_breaks_off_is_told(stream: bytes) -> None:
    with pytest.raises(CaptureError, match="cannot be read"):
        read_listing(io.BytesIO(stream))
