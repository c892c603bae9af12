"""After the rollback of a removal a log is back also when the service, which runs again, has written on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from workflow_agent.targets.live_tree import LiveTree
from workflow_agent.targets.operations import Operation, OperationKind
from workflow_agent.targets.sides import Sides

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("var/log/syslog", "etc/syslog.conf"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("one line\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def tree(root: Path) -> Iterator[LiveTree]:
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    with LiveTree(root_fd) as found:
        yield found
    os.close(root_fd)


def removed(tree: LiveTree, path: bytes) -> Operation:
    return Operation(
        kind=OperationKind.REMOVE, path=path, point=b"/", staged=b"upper" + path, before=tree.read(path), after=None
    )


def different(tree: LiveTree, operation: Operation) -> list[object]:
    return [item["path"] for item in Sides(tree, "r-1.1").differences_from([operation])]


@pytest.mark.parametrize(("path", "told"), [(b"/var/log/syslog", []), (b"/etc/syslog.conf", ["/etc/syslog.conf"])])
def test_lines_that_came_since_are_told_of_a_file_and_not_of_a_log(
    root: Path, tree: LiveTree, path: bytes, told: list[str]
) -> None:
    operation = removed(tree, path)
    with (root / path.decode().lstrip("/")).open("a", encoding="utf-8") as stream:
        stream.write("another\n")

    assert different(tree, operation) == told


@pytest.mark.parametrize("harm", ["shorter", "replaced", "gone"])
def test_a_log_that_is_shorter_replaced_or_gone_is_told(root: Path, tree: LiveTree, harm: str) -> None:
    operation = removed(tree, b"/var/log/syslog")
    file = root / "var/log/syslog"
    if harm == "shorter":
        os.truncate(file, 3)
    else:
        held = file.open(encoding="utf-8")  # its inode must not be given again
        file.unlink()
        if harm == "replaced":
            file.write_text("one line\nanother\n", encoding="utf-8")
        held.close()

    assert different(tree, operation) == ["/var/log/syslog"]
