from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model import failpoint
from workflow_agent.model.errors import StoreError
from workflow_agent.store.blobs import BlobFolder

if TYPE_CHECKING:
    from pathlib import Path


def test_a_blob_is_named_by_its_content_and_stored_once(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path / "blobs")

    names = {blobs.put(b"content"), blobs.put(b"content")}

    assert names == {hashlib.sha256(b"content").hexdigest()}
    assert [path.name for path in blobs.path.iterdir()] == [*names]
    assert blobs.get(names.pop()) == b"content"
    assert blobs.path.stat().st_mode & 0o777 == 0o700
    assert "blobs" in repr(blobs)


def test_a_missing_blob_is_named_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be read") as caught:
        BlobFolder(tmp_path).get("0" * 64)

    assert caught.value.where == str(tmp_path / ("0" * 64))


def test_a_damaged_blob_is_never_given(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path)
    name = blobs.put(b"content")
    (tmp_path / name).write_bytes(b"kontent")

    with pytest.raises(StoreError, match="damaged"):
        blobs.get(name)


def test_a_fault_before_the_rename_leaves_nothing(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path)
    failpoint.arm("store.blob-written=error")

    with pytest.raises(StoreError, match="cannot be used"):
        blobs.put(b"content")

    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_an_error_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StoreError):
        BlobFolder(tmp_path / "file" / "blobs").put(b"x")


def aged(path: Path, days: float) -> None:
    """Make a file as old as that."""
    then = time.time() - days * 86_400
    os.utime(path, (then, then))


def test_old_files_that_nothing_names_are_collected_and_others_stay(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path)
    named, orphan, fresh = blobs.put(b"named"), blobs.put(b"orphan"), blobs.put(b"fresh")
    (tmp_path / ".new-0123").write_bytes(b"of a process that died")
    for name in (named, orphan, ".new-0123"):
        aged(tmp_path / name, 1.1)
    aged(tmp_path / fresh, 0.9)  # its record may be on its way

    assert blobs.collect(lambda: {named}) == 2
    assert {path.name for path in tmp_path.iterdir()} == {named, fresh, ".collected"}
    assert blobs.get(named) == b"named"


def test_what_is_stored_again_while_names_are_asked_for_stays(tmp_path: Path) -> None:
    """Its record comes after the question, so that the answer does not have it."""
    blobs = BlobFolder(tmp_path)
    name = blobs.put(b"content")
    aged(tmp_path / name, 30)

    def named() -> set[str]:
        assert BlobFolder(tmp_path).put(b"content") == name
        return set()

    assert blobs.collect(named) == 0
    assert blobs.get(name) == b"content"


def test_names_are_asked_for_once_a_day_and_only_for_old_files(tmp_path: Path) -> None:
    blobs, asked = BlobFolder(tmp_path / "blobs"), list[float]()

    def named() -> set[str]:
        asked.append(1)
        return set()

    assert blobs.collect(named) == 0  # there is no folder
    name = blobs.put(b"content")
    now = time.time()
    assert [blobs.collect(named, now + hours * 3600) for hours in (1, 23, 25.5, 26, 49)] == [0, 0, 1, 0, 0]
    assert len(asked) == 1
    with pytest.raises(StoreError):
        blobs.get(name)
