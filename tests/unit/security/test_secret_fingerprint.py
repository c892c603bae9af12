"""The key of a state folder."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.errors import StoreError
from workflow_agent.security.fingerprint import FingerprintKey

if TYPE_CHECKING:
    from pathlib import Path


def test_the_same_value_has_the_same_digest_in_one_folder_only(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    digest = FingerprintKey.open(one).digest("password", "hunter2-hunter2")

    assert FingerprintKey.open(one).digest("password", "hunter2-hunter2") == digest
    assert FingerprintKey.open(one).digest("password", "hunter2-hunter3") != digest
    assert FingerprintKey.open(one).digest("token", "hunter2-hunter2") != digest
    assert FingerprintKey.open(other).digest("password", "hunter2-hunter2") != digest
    assert len(digest) == 64


def test_only_the_owner_can_read_the_key_and_nothing_else_is_left(tmp_path: Path) -> None:
    FingerprintKey.open(tmp_path)

    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_bytes()) == 32


def test_of_several_that_make_it_at_once_all_have_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        digests = list(pool.map(lambda _: FingerprintKey.open(tmp_path).digest("a", "b"), range(32)))

    assert len(set(digests)) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["secret-key"]


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    FingerprintKey.open(tmp_path)
    (tmp_path / "secret-key").chmod(0o640)

    with pytest.raises(StoreError, match="others may read") as refused:
        FingerprintKey.open(tmp_path)
    assert "chmod 600" in str(refused.value.hint)


def test_a_damaged_key_is_refused(tmp_path: Path) -> None:
    FingerprintKey.open(tmp_path)
    (tmp_path / "secret-key").write_bytes(b"short")

    with pytest.raises(StoreError, match="damaged"):
        FingerprintKey.open(tmp_path)


def test_a_link_in_the_place_of_the_key_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"x" * 32)
    (tmp_path / "secret-key").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(StoreError, match="cannot be used"):
        FingerprintKey.open(tmp_path)


def test_a_folder_that_is_not_there_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be used"):
        FingerprintKey.open(tmp_path / "none")
