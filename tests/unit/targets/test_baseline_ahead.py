"""What is read ahead of a capture is used only where nothing changed since."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from workflow_agent.targets.baseline_ahead import BaselineAhead
from workflow_agent.targets.entries import Baseline, walk_file_system
from workflow_agent.targets.transaction import TransactionFolders

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A target's root with a package database and one transaction."""
    for folder in ("var/lib/dpkg", "etc", ".workflow-agent/tx/r-1.1"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text("Package: dpkg\n", encoding="utf-8")
    (tmp_path / ".workflow-agent/tx/r-1.1/plan.json").write_text("{}", encoding="utf-8")
    return tmp_path


@contextmanager
def _ahead(root: Path, walked: list[dict[bytes, Baseline]]) -> Iterator[BaselineAhead]:
    descriptor = os.open(root, os.O_PATH | os.O_DIRECTORY)

    def walk() -> dict[bytes, Baseline]:
        walked.append({b"/": walk_file_system(descriptor, b"/")})
        return walked[-1]

    folders = TransactionFolders(descriptor, b"/")
    try:
        yield BaselineAhead(descriptor, folders, walk)
    finally:
        folders.close()
        os.close(descriptor)


async def test_what_was_read_is_given_where_nothing_changed(root: Path) -> None:
    walked: list[dict[bytes, Baseline]] = []
    with _ahead(root, walked) as ahead:
        found = await ahead.take()

        assert found is walked[0]
        assert b"/etc" in found[b"/"]
        await ahead.drop()


@pytest.mark.parametrize("path", ["var/lib/dpkg/status", ".workflow-agent/tx/r-1.1/plan.json"])
async def test_packages_or_a_transaction_in_between_make_it_worthless(root: Path, path: str) -> None:
    with _ahead(root, []) as ahead:
        await ahead.drop()
        (root / path).with_suffix(".new").write_text("other", encoding="utf-8")
        (root / path).with_suffix(".new").replace(root / path)

        assert await ahead.take() is None


async def test_a_new_transaction_in_between_makes_it_worthless(root: Path) -> None:
    with _ahead(root, []) as ahead:
        await ahead.drop()
        (root / ".workflow-agent/tx/r-2.1").mkdir()

        assert await ahead.take() is None


async def test_what_cannot_be_read_is_left_to_who_needs_it(root: Path) -> None:
    def walk() -> dict[bytes, Baseline]:
        raise PermissionError(13, "no", "/")

    descriptor = os.open(root, os.O_PATH | os.O_DIRECTORY)
    folders = TransactionFolders(descriptor, b"/")
    try:
        assert await BaselineAhead(descriptor, folders, walk).take() is None
    finally:
        folders.close()
        os.close(descriptor)
