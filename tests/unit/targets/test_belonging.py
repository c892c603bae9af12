"""Which files belong together: one table of rules, on paths alone."""

from __future__ import annotations

import pytest

from workflow_agent.targets.belonging import Group, GroupKind, groups_of

_SQLITE, _ACCOUNTS, _PACKAGE = GroupKind.SQLITE, GroupKind.ACCOUNTS, GroupKind.PACKAGE

#: paths -> the groups that they are in
RULES: dict[tuple[bytes, ...], dict[bytes, Group]] = {
    (b"/srv/app.db", b"/srv/app.db-wal", b"/srv/app.db-shm", b"/srv/app.db-journal", b"/srv/other.db"): {
        name: Group(_SQLITE, b"/srv/app.db")
        for name in (b"/srv/app.db", b"/srv/app.db-wal", b"/srv/app.db-shm", b"/srv/app.db-journal")
    },
    # a name that only looks like one
    (b"/usr/bin/systemd-journal", b"/srv/x-wal"): {},
    (b"/etc/passwd", b"/etc/shadow", b"/etc/group", b"/etc/gshadow", b"/etc/subuid", b"/etc/passwd-"): {
        name: Group(_ACCOUNTS, b"") for name in (b"/etc/passwd", b"/etc/shadow", b"/etc/group", b"/etc/gshadow")
    },
    (
        b"/var/lib/dpkg/info/wa-lib.list",
        b"/var/lib/dpkg/info/wa-lib.md5sums",
        b"/var/lib/dpkg/info/libc6:amd64.list",
        b"/var/lib/dpkg/info/format",
        b"/var/lib/dpkg/status",
    ): {
        b"/var/lib/dpkg/info/wa-lib.list": Group(_PACKAGE, b"wa-lib"),
        b"/var/lib/dpkg/info/wa-lib.md5sums": Group(_PACKAGE, b"wa-lib"),
        b"/var/lib/dpkg/info/libc6:amd64.list": Group(_PACKAGE, b"libc6"),
    },
    # the outermost folder with the mark is the cluster: its databases have marks too
    (b"/data/15/PG_VERSION", b"/data/15/base/1/PG_VERSION", b"/data/15/base/1/1247", b"/data/beside"): {
        name: Group(GroupKind.POSTGRESQL, b"/data/15")
        for name in (b"/data/15/PG_VERSION", b"/data/15/base/1/PG_VERSION", b"/data/15/base/1/1247")
    },
    (b"/var/lib/mysql/ibdata1", b"/var/lib/mysql/app/t.ibd", b"/var/lib/mysql-files/x"): {
        name: Group(GroupKind.MARIADB, b"/var/lib/mysql")
        for name in (b"/var/lib/mysql/ibdata1", b"/var/lib/mysql/app/t.ibd")
    },
}


@pytest.mark.parametrize("paths", RULES)
def test_files_that_belong_together_are_known_by_rule(paths: tuple[bytes, ...]) -> None:
    assert groups_of(paths) == RULES[paths]


def test_a_group_is_named_as_people_read_it() -> None:
    assert Group(_SQLITE, b"/srv/a\n.db").shown == "SQLite database /srv/a\\x0a.db"
    assert Group(_ACCOUNTS, b"").shown == "account files"
