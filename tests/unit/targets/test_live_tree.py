"""Folders of a target are opened once, and never closed under what uses two of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from workflow_agent.targets import live_tree
from workflow_agent.targets.linux import RENAME_EXCHANGE, RENAME_NOREPLACE, rename
from workflow_agent.targets.live_tree import LiveTree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FOLDERS = 12


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveTree]:
    """A tree that keeps five folders open, with a file named like its folder in each of twelve."""
    monkeypatch.setattr(live_tree, "_MAX_OPEN", 5)
    for number in range(_FOLDERS):
        (tmp_path / f"d{number}").mkdir()
        (tmp_path / f"d{number}/f").write_text(f"{number}", encoding="utf-8")
    root_fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    with LiveTree(root_fd) as opened:
        yield opened
    os.close(root_fd)


@pytest.mark.parametrize("open_before", range(_FOLDERS - 2))
def test_both_sides_of_a_rename_are_open_however_many_folders_were(
    tree: LiveTree, tmp_path: Path, open_before: int
) -> None:
    for number in range(open_before):
        tree.folder(b"/d%d" % number)
    one, other = _FOLDERS - 2, _FOLDERS - 1

    rename(*tree.place(b"/d%d/f" % one), *tree.place(b"/d%d/f" % other), RENAME_EXCHANGE)
    rename(*tree.place(b"/d%d/f" % one), *tree.place(b"/d%d/new" % other), RENAME_NOREPLACE)

    assert (tmp_path / f"d{other}/f").read_text(encoding="utf-8") == str(one)
    assert (tmp_path / f"d{other}/new").read_text(encoding="utf-8") == str(other)
    assert not (tmp_path / f"d{one}/f").exists()


def test_what_was_not_used_longest_is_closed_and_nothing_stays_open(tree: LiveTree) -> None:
    def still_open(descriptors: list[int]) -> list[int]:
        return [one for one in descriptors if os.path.lexists(f"/proc/self/fd/{one}")]

    first = [tree.folder(b"/d%d" % number) for number in range(5)]
    tree.folder(b"/d0")
    others = [tree.folder(b"/d%d" % number) for number in (5, 6)]

    assert tree.folder(b"/d0") == first[0], "used in between"
    assert len({*first, *others}) == 5, "numbers of closed ones are given again"
    tree.forget()
    assert still_open(first) == []
