"""Counters of a container's control groups, as the first and the second version of them are laid out."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from workflow_agent.targets.container_usage import ContainerUsage, group_folders, usage_of, usage_until_end

if TYPE_CHECKING:
    from pathlib import Path

_ID = "f00d" * 16
_FIRST = f"""12:memory:/docker/{_ID}
5:cpu,cpuacct:/docker/{_ID}
1:name=systemd:/docker/{_ID}
"""
_MOUNTS_OF_FIRST = """sysfs /sys sysfs rw 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0
"""
_MOUNTS_OF_SECOND = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime 0 0\n"


@pytest.mark.parametrize(
    ("groups", "mounts", "folders"),
    [
        (_FIRST, _MOUNTS_OF_FIRST, [f"memory/docker/{_ID}", f"cpu,cpuacct/docker/{_ID}"]),
        (f"0::/system.slice/docker-{_ID}.scope\n", _MOUNTS_OF_SECOND, [f"system.slice/docker-{_ID}.scope"]),
        ("0::/user.slice/session-1.scope\n", _MOUNTS_OF_SECOND, []),  # a process of this machine with that number
        (_FIRST, "", []),
        ("", _MOUNTS_OF_SECOND, []),
    ],
)
def test_folders_are_those_of_the_container(groups: str, mounts: str, folders: list[str]) -> None:
    assert list(map(str, group_folders(groups, mounts, _ID))) == [f"/sys/fs/cgroup/{one}" for one in folders]


@pytest.mark.parametrize(
    "files",
    [
        {"cpu.stat": "usage_usec 1500000\nuser_usec 1\n", "memory.peak": "4096\n", "memory.current": "1\n"},
        {"cpu.stat": "usage_usec 1500000\nuser_usec 1\n", "memory.current": "4096\n"},
        {"cpuacct.usage": "1500000000\n", "memory.max_usage_in_bytes": "4096\n"},
    ],
)
def test_counters_of_both_versions_are_read(tmp_path: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="ascii")

    assert usage_of((tmp_path,)) == ContainerUsage(cpu_s=1.5, memory_bytes=4096)
    (tmp_path / min(files)).unlink()
    assert usage_of((tmp_path,)) is None


def test_what_is_no_container_of_this_machine_has_no_usage() -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        assert usage_until_end(process.pid, _ID) is None, "it is not waited for"
        process.kill()
    assert usage_until_end(process.pid, _ID) is None
    assert usage_until_end(0, _ID) is None
