"""What is said to differ from before a transaction: by kind, mode, owner, content; never by inode or time alone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.targets.live_tree import LiveTree
from workflow_agent.targets.operations import Operation, OperationKind
from workflow_agent.targets.remainder import remainder
from workflow_agent.targets.transaction import Transaction, TransactionState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from workflow_agent.targets.entries import Entry

BEFORE_NS = 1_600_000_000 * 10**9


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[LiveTree]:
    """A target with a file, a link and a folder as they were before."""
    (tmp_path / "f").write_text("old\n", encoding="utf-8")
    (tmp_path / "l").symlink_to("f")
    (tmp_path / "d").mkdir()
    (tmp_path / "d/x").write_text("x\n", encoding="utf-8")
    os.utime(tmp_path / "f", ns=(BEFORE_NS, BEFORE_NS))
    root_fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    with LiveTree(root_fd) as found:
        yield found
    os.close(root_fd)


def plan(*operations: Operation) -> Transaction:
    return Transaction(
        id="r-1.1", run_id="r-1", state=TransactionState.PRUNED, points=(b"/",), operations=tuple(operations)
    )


def entry(tree: LiveTree, path: bytes) -> Entry:
    found = tree.read(path)
    assert found is not None
    return found


def exchanged(tree: LiveTree, path: bytes) -> Operation:
    found = entry(tree, path)
    below = {b"x": entry(tree, path + b"/x")} if found.is_dir else {}
    return Operation(
        kind=OperationKind.EXCHANGE,
        path=path,
        point=b"/",
        staged=b"upper" + path,
        before=found,
        after=None,
        subtree=below,
    )


def _again(root: Path, text: str) -> None:
    (root / "n").write_text(text, encoding="utf-8")
    os.utime(root / "n", ns=(BEFORE_NS, BEFORE_NS))
    (root / "n").replace(root / "f")


def _folder(root: Path) -> None:
    (root / "f").unlink()
    (root / "f").mkdir()


def _relinked(root: Path) -> None:
    (root / "l").unlink()
    (root / "l").symlink_to("d")


CHANGES: dict[str, tuple[bytes, Callable[[Path], Any], list[tuple[str, str, list[str]]]]] = {
    "as before": (b"/f", lambda _: None, []),
    "another inode": (b"/f", lambda root: _again(root, "old\n"), []),
    "another size": (b"/f", lambda root: (root / "f").write_text("longer\n"), [("/f", "differs", ["content"])]),
    "same size, later": (
        b"/f",
        lambda root: (root / "f").write_text("new\n"),
        [("/f", "differs", ["perhaps content"])],
    ),
    "mode": (b"/f", lambda root: (root / "f").chmod(0o600), [("/f", "differs", ["mode"])]),
    "owner": (b"/f", lambda root: os.chown(root / "f", 1, 1), [("/f", "differs", ["owner"])]),
    "gone": (b"/f", lambda root: (root / "f").unlink(), [("/f", "missing", [])]),
    "a folder now": (b"/f", _folder, [("/f", "differs", ["type"])]),
    "another link": (b"/l", _relinked, [("/l", "differs", ["target"])]),
    "inside": (b"/d", lambda root: (root / "d/x").unlink(), [("/d/x", "missing", [])]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_difference_is_named(tree: LiveTree, tmp_path: Path, name: str) -> None:
    path, change, expected = CHANGES[name]
    operation = exchanged(tree, path)
    change(tmp_path)
    tree.forget()

    found = remainder(tree, plan(operation))
    assert [(item["path"], item["state"], item["aspects"]) for item in found] == expected


def test_with_the_before_image_content_is_compared(tree: LiveTree, tmp_path: Path) -> None:
    operation = exchanged(tree, b"/f")
    image = tmp_path / ".workflow-agent/tx/r-1.1/upper"
    image.mkdir(parents=True)
    (image / "f").write_text("old\n", encoding="utf-8")
    (tmp_path / "f").write_text("new\n", encoding="utf-8")
    assert [item["aspects"] for item in remainder(tree, plan(operation))] == [["content"]]
    (tmp_path / "f").write_text("old\n", encoding="utf-8")
    assert remainder(tree, plan(operation)) == []


def test_what_was_created_is_left_and_logs_and_lines_do_not_count(tree: LiveTree, tmp_path: Path) -> None:
    created = Operation(
        kind=OperationKind.CREATE,
        path=b"/d",
        point=b"/",
        after=entry(tree, b"/d"),
        content={b"x": entry(tree, b"/d/x")},
    )
    appended = Operation(kind=OperationKind.APPEND, path=b"/f", point=b"/", before=entry(tree, b"/l"))
    (tmp_path / "var/log").mkdir(parents=True)
    (tmp_path / "var/log/a").touch()
    log = Operation(kind=OperationKind.CREATE, path=b"/var/log/a", point=b"/", after=entry(tree, b"/var/log/a"))
    gone = Operation(kind=OperationKind.CREATE, path=b"/never", point=b"/", after=entry(tree, b"/f"))

    found = remainder(tree, plan(appended, log, gone, created))
    assert [(item["path"], item["state"]) for item in found] == [("/d", "left"), ("/d/x", "left")]
    assert found[0]["expected"] is None


def test_attributes_of_folders_are_compared(tree: LiveTree, tmp_path: Path) -> None:
    before = entry(tree, b"/d")
    xattrs = {"user.a": b"1"}
    operation = Operation(
        kind=OperationKind.ATTRIBUTES, path=b"/d", point=b"/", before=before, after=before, before_xattrs=xattrs
    )
    assert [item["aspects"] for item in remainder(tree, plan(operation))] == [["xattr"]]
    os.setxattr(tmp_path / "d", "user.a", b"1")
    assert remainder(tree, plan(operation)) == []
