from __future__ import annotations

import hashlib
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
