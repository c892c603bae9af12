"""A host whose own disk has no byte left: what needs room says so and changes nothing, what gives room back works."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.machine import Answer, Machine

pytestmark = [pytest.mark.root, pytest.mark.slow]

SCRIPT = (
    "set -eu\nmkdir -p /opt/{0}\ntouch /opt/{0}/done\nhead -c 300000 /dev/zero >/opt/{0}/data\necho x >>/etc/motd\n"
)


def integration(machine: Machine, name: str) -> str:
    gone = f"negative_checks: [{{id: gone, kind: file, path: /opt/{name}/done, exists: false}}]\n"
    return machine.integration(name, SCRIPT.format(name), more=gone)


@contextmanager
def full(machine: Machine) -> Iterator[None]:
    """Take all that is free on the disk of the host, down to the last block."""
    folder = machine.host.root / "var"
    filler, times = folder / "filler", folder.stat()
    size = 0
    with filler.open("wb") as file:
        for step in (1 << 26, 1 << 22, 1 << 18, 1 << 14, 1 << 12):
            with suppress(OSError):
                while True:
                    os.posix_fallocate(file.fileno(), size, step)
                    size += step
    yield
    filler.unlink()
    os.utime(folder, ns=(times.st_atime_ns, times.st_mtime_ns))


def assert_says_where_room_is_missing(machine: Machine, answer: Answer) -> None:
    assert answer.code == 1, str(answer)
    assert answer.error["cause"].startswith("disk: "), str(answer)
    assert "No space left on device" in answer.error["cause"]
    assert answer.error["state"] == "nothing was changed"
    assert "make room" in answer.error["hint"]
    assert machine.json("show", answer.error["run_id"]).data["status"] == "failed"


def test_the_first_installation_of_all_says_so(fresh: Machine) -> None:
    before = fresh.world()
    with full(fresh):
        assert_says_where_room_is_missing(fresh, fresh.json("install", integration(fresh, "one"), "--yes"))
    fresh.assert_as(before)

    assert fresh.json("install", "./own/one", "--yes").data["changed"] is True


def test_nothing_new_begins_and_what_was_installed_goes_back(fresh: Machine) -> None:
    before = fresh.world()
    assert fresh.json("install", integration(fresh, "one"), "--yes").code == 0
    installed = fresh.world()
    with full(fresh):
        other = integration(fresh, "two")
        for words in (["plan", other], ["install", other, "--yes"]):
            assert_says_where_room_is_missing(fresh, fresh.json(*words))
        assert fresh.json("verify", "./own/one").code == 0
    fresh.assert_as(installed)
    with full(fresh):
        back = fresh.json("rollback", "--yes")
    assert back.code == 0, str(back)
    fresh.assert_as(before)
