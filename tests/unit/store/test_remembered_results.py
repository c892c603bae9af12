"""Results that are remembered: seen again by the same release only, and only where nobody else can write."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from workflow_agent.store.remembered import RememberedResults, this_release

if TYPE_CHECKING:
    from pathlib import Path

VALUE = {"a": [1, 2.5, None, "ä"]}


@pytest.fixture
def memory(tmp_path: Path) -> RememberedResults:
    return RememberedResults(tmp_path / "remembered", "1")


def only_file(tmp_path: Path) -> Path:
    (file,) = (tmp_path / "remembered").iterdir()
    return file


def test_what_was_kept_is_recalled_by_another_process_as_well(tmp_path: Path, memory: RememberedResults) -> None:
    assert memory.recall("key") is None
    memory.keep("key", VALUE)

    assert RememberedResults(tmp_path / "remembered", "1").recall("key") == VALUE
    assert memory.recall("other") is None
    assert only_file(tmp_path).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "remembered").stat().st_mode & 0o777 == 0o700


def test_another_release_sees_nothing_of_it(tmp_path: Path, memory: RememberedResults) -> None:
    memory.keep("key", VALUE)

    assert RememberedResults(tmp_path / "remembered", "2").recall("key") is None
    assert RememberedResults(tmp_path / "remembered").recall("key") is None


def test_this_release_is_known_by_its_version_and_its_code() -> None:
    assert this_release() == this_release.__wrapped__()
    assert len(this_release()) == 64


@pytest.mark.parametrize("damage", [b"", b"x", b"\n", b"0" * 64 + b"\n{}", None])
def test_a_broken_file_is_as_good_as_none_and_is_written_again(
    tmp_path: Path, memory: RememberedResults, damage: bytes | None
) -> None:
    memory.keep("key", VALUE)
    file = only_file(tmp_path)
    file.write_bytes(file.read_bytes()[:-1] if damage is None else damage)
    assert memory.recall("key") is None

    memory.keep("key", VALUE)
    assert memory.recall("key") == VALUE


def test_what_others_can_write_is_not_believed(tmp_path: Path, memory: RememberedResults) -> None:
    memory.keep("key", VALUE)
    file, folder = only_file(tmp_path), tmp_path / "remembered"

    for path, mode in ((file, 0o620), (file, 0o602), (folder, 0o770), (folder, 0o707)):
        usual = path.stat().st_mode
        path.chmod(mode)
        assert memory.recall("key") is None
        path.chmod(usual)
    assert memory.recall("key") == VALUE


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_belongs_to_somebody_else_is_not_believed(tmp_path: Path, memory: RememberedResults) -> None:
    memory.keep("key", VALUE)
    for path in (only_file(tmp_path), tmp_path / "remembered"):
        os.chown(path, 1000, 1000)
        assert memory.recall("key") is None
        os.chown(path, 0, 0)


def test_a_link_a_fifo_a_folder_and_a_huge_file_are_none_of_ours(tmp_path: Path, memory: RememberedResults) -> None:
    memory.keep("key", VALUE)
    file = only_file(tmp_path)
    elsewhere = file.rename(tmp_path / "elsewhere")

    file.symlink_to(elsewhere)
    assert memory.recall("key") is None
    file.unlink()
    os.mkfifo(file)
    assert memory.recall("key") is None
    file.unlink()
    file.mkdir()
    assert memory.recall("key") is None
    file.rmdir()
    with file.open("wb") as huge:
        huge.truncate(1 << 40)
    assert memory.recall("key") is None


def test_where_nothing_can_be_kept_nothing_happens(tmp_path: Path) -> None:
    """The state folder is made by the store; a command that only looks makes none."""
    RememberedResults(tmp_path / "no state" / "remembered", "1").keep("key", VALUE)
    assert list(tmp_path.iterdir()) == []

    (tmp_path / "file").write_text("")
    RememberedResults(tmp_path / "file" / "remembered", "1").keep("key", VALUE)


def test_a_folder_that_cannot_be_written_stays_as_it_is(
    tmp_path: Path, memory: RememberedResults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of the temporary file is taken: as on a disk that says no, and also for root."""
    memory.keep("key", VALUE)
    monkeypatch.setattr(os, "urandom", lambda _: b"12345678")
    (tmp_path / "remembered" / f".new-{b'12345678'.hex()}").mkdir()

    memory.keep("other", VALUE)

    assert memory.recall("other") is None
    assert memory.recall("key") == VALUE


def test_the_oldest_are_dropped_when_there_are_too_many(tmp_path: Path, memory: RememberedResults) -> None:
    for number in range(410):
        memory.keep(str(number), number)
        newest = max((tmp_path / "remembered").iterdir(), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, ns=(number, number)) if number < 300 else None

    assert memory.recall("409") == 409
    assert memory.recall("0") is None
    assert len(list((tmp_path / "remembered").iterdir())) < 400
    assert str(tmp_path) in repr(memory)
