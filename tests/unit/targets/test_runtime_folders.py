"""Folders that a service makes in ``/run``: here below a root of the test's own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.system import Service
from workflow_agent.targets.entries import Entry
from workflow_agent.targets.operations import Operation, OperationKind
from workflow_agent.targets.runtime_folders import (
    asked_folders,
    brought_settings,
    missing_folders,
    remove_folders,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOBODY_ANY_MORE = 54321


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "run").mkdir()
    users = f"root:x:0:0::/:/bin/sh\nnonsense\nme:x:{os.getuid()}:1::/:/bin/sh\n"
    (tmp_path / "etc/passwd").write_text(users, encoding="utf-8")
    return tmp_path


@pytest.fixture
def root_fd(root: Path) -> Iterator[int]:
    descriptor = os.open(root, os.O_PATH | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def test_only_folders_in_run_that_are_not_there_are_noted(root: Path, root_fd: int) -> None:
    (root / "run/old").mkdir()
    paths = ["/run/b/c", "/run/old", "/var/lib/data", "/run/b", "/var/run/d"]
    service = Service(name="a", directories=tuple({"path": path} for path in paths))

    assert missing_folders(root_fd, service) == ["/run/b", "/run/b/c", "/var/run/d"]


@pytest.mark.root
def test_a_folder_of_a_user_that_is_gone_goes_with_all_that_is_in_it(root: Path, root_fd: int) -> None:
    folder = root / "run/redis"
    folder.mkdir()
    (folder / "redis.pid").touch()
    os.chown(folder, NOBODY_ANY_MORE, 0)

    remove_folders(root_fd, ["/var/run/redis"])

    assert not folder.exists()


def test_a_folder_of_a_user_stays_while_anything_is_in_it(root: Path, root_fd: int) -> None:
    folder = root / "run/shared"
    folder.mkdir()
    (folder / "other.pid").touch()
    remove_folders(root_fd, ["/run/shared", "/run/never/made"])
    assert folder.exists()

    (folder / "other.pid").unlink()
    (folder / "inner").mkdir()
    remove_folders(root_fd, ["/run/shared", "/run/shared/inner"])

    assert not folder.exists()


def test_a_link_is_not_followed(root: Path, root_fd: int) -> None:
    (root / "kept").mkdir()
    (root / "run/redis").symlink_to("../kept")

    remove_folders(root_fd, ["/run/redis"])

    assert (root / "kept").is_dir()


def test_folders_that_packages_ask_for_are_read_as_tmpfiles_d_has_them(root: Path, root_fd: int) -> None:
    (root / "run/there").mkdir()
    (root / "a.conf").write_text(
        "# d /run/comment\nd /run/mysqld 0755 mysql root -\nD!  /run/boot/ 0700\n  d /var/run/old\nd /run/there\n"
        "f /run/file 0644\nd /run/%u\nd '/run/a b'\nd /etc/x\nL /run/link - - - - x\nd /run/mysqld 0755\n\xff\n",
        encoding="latin-1",
    )

    assert asked_folders(root_fd, ["/a.conf"]) == ["/run/boot", "/run/mysqld", "/var/run/old"]


def test_settings_are_found_where_they_came_alone_or_with_their_folder() -> None:
    entry = Entry(b"", 1, 0, 0, 0, 0, 0, 0, 1, 0, 0)

    def operation(kind: OperationKind, path: bytes, *inside: bytes) -> Operation:
        return Operation(kind=kind, path=path, point=b"/", content=dict.fromkeys(inside, entry))

    found = brought_settings(
        [
            operation(OperationKind.CREATE, b"/usr/lib/tmpfiles.d/b.conf"),
            operation(OperationKind.EXCHANGE, b"/etc/tmpfiles.d/a.conf"),
            operation(OperationKind.REMOVE, b"/etc/tmpfiles.d/gone.conf"),
            operation(OperationKind.CREATE, b"/usr/lib/tmpfiles.d", b"c.conf", b"README"),
            operation(OperationKind.CREATE, b"/etc/tmpfiles.d/x.conf.dpkg-new"),
        ]
    )

    assert found == ["/etc/tmpfiles.d/a.conf", "/usr/lib/tmpfiles.d/b.conf", "/usr/lib/tmpfiles.d/c.conf"]
