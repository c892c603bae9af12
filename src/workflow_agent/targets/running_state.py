"""What the running system is set to, read from inside: modules, settings, listeners, mounts. Standard library only.

Of `/proc/sys` the folders that people set something in are read, not all: with all interfaces and CPUs that is
thousands of files. What the kernel counts there, and what is secret, is left out.

Source: proc(5), the kernel's Documentation/admin-guide/sysctl.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from workflow_agent.targets.listening_sockets import listening_sockets
from workflow_agent.targets.mounts import parse_mountinfo
from workflow_agent.targets.probe_system import read_bytes, socket_owners

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SETTINGS", "running_state"]

#: Where the kernel's settings are.
SETTINGS = "/proc/sys/"
_FOLDERS = (
    "kernel",
    "vm",
    "fs",
    "fs/inotify",
    "net/core",
    "net/ipv4",
    "net/ipv4/conf/all",
    "net/ipv6/conf/all",
    "net/netfilter",
    "net/bridge",
)
#: Counters, and what does something when it is read.
_PASSED_BY = frozenset(
    {
        "ns_last_pid",
        "dentry-state",
        "file-nr",
        "inode-nr",
        "inode-state",
        "aio-nr",
        "nf_conntrack_count",
        "stat_refresh",
    }
)
_SECRET = ("key", "secret")
_LONGEST = 4096
#: Mounted and unmounted by the init system as people log in and units run.
_COME_AND_GO = ("/run/user/", "/run/credentials/", "/run/systemd/", "/proc/", "/sys/")
#: UDP sockets above are those of clients. Source: net.ipv4.ip_local_port_range, its default.
_FIRST_OF_CLIENTS = 32768


def running_state(known: Sequence[Sequence[Any]] | None = None) -> dict[str, Any]:
    """Read what a started service can change beside files.

    Args:
        known: Listeners of an earlier look: for others it is found out who they are.

    Returns:
        ``modules``: names · ``settings``: value by name (``net.ipv4.ip_forward``) · ``listeners``: protocol, address,
        port, and the name of the process where that was asked for and can be told · ``mounts``: kind of the file
        system by where it is mounted, as process 1 sees it.
    """
    return {
        "modules": _modules(),
        "settings": _settings(),
        "listeners": _listeners(known),
        "mounts": _mounts(),
    }


def _mounts() -> dict[str, str]:
    with suppress(OSError):  # there is no process 1 to be seen
        mounts = parse_mountinfo(read_bytes("/proc/1/mountinfo"))
        found = {mount.point.decode("utf-8", "surrogateescape"): mount.kind for mount in mounts}
        return {point: kind for point, kind in found.items() if not point.startswith(_COME_AND_GO) and kind != "autofs"}
    return {}


def _modules() -> list[str]:
    with suppress(OSError):  # a kernel without modules
        return sorted(line.split(maxsplit=1)[0] for line in read_bytes("/proc/modules").decode("ascii").splitlines())
    return []


def _settings() -> dict[str, str]:
    found = {}
    for folder in _FOLDERS:
        place = SETTINGS + folder + "/"
        with suppress(OSError):
            for name in os.listdir(place):
                if name in _PASSED_BY or name.endswith(_SECRET):
                    continue
                with suppress(OSError):  # write-only, a folder, or closed to us
                    found[f"{folder}/{name}".replace("/", ".")] = _value(place + name)
    return found


def _value(path: str) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return " ".join(os.read(descriptor, _LONGEST).decode("utf-8", "replace").split())
    finally:
        os.close(descriptor)


def _listeners(known: Sequence[Sequence[Any]] | None) -> list[list[Any]]:
    sockets = [one for protocol in ("tcp", "udp") for one in listening_sockets(protocol)]
    sockets = [one for one in sockets if one.protocol == "tcp" or one.port < _FIRST_OF_CLIENTS]
    seen = {(one[0], one[1], one[2]) for one in known or ()}
    new = {one.inode for one in sockets if (one.protocol, one.address, one.port) not in seen}
    owners = socket_owners(new) if known is not None and new else {}
    return sorted([one.protocol, one.address, one.port, _name(min(owners.get(one.inode, [0])))] for one in sockets)


def _name(pid: int) -> str:
    with suppress(OSError):
        return read_bytes(f"/proc/{pid}/comm").decode("utf-8", "replace").strip() if pid else ""
    return ""
