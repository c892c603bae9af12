"""What a captured script asks the kernel for that no overlay holds: seen, not hindered.

A seccomp filter hands a few rare calls (connections, mounts, the host name, modules, clocks, swap, a reboot) to a
listener in process 1 of the capture, which notes them and lets the kernel go on: for want of capabilities, that refuses
all of them but connections. Everything else runs at full speed. A hostile script can hide an address from this: it is
there to tell a person what an honest one does. Standard library only: the capture program runs it.

Source: seccomp(2), seccomp_unotify(2), include/uapi/linux/seccomp.h and bpf_common.h.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import ipaddress
import os
import socket
import stat
import struct
import threading

__all__ = ["KernelRequests", "shown_address"]

_SYS_SECCOMP = {"x86_64": 317, "aarch64": 277}
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
#: Name in a report -> numbers of its calls.
_CALLS = {
    "x86_64": {
        "connection": (42,),
        "mount": (165, 166, 155, 428, 429, 430, 442),
        "host name": (170, 171),
        "clock": (164, 227, 305),
        "kernel module": (175, 176, 313),
        "swap": (167, 168),
        "reboot": (169, 246, 320),
    },
    "aarch64": {
        "connection": (203,),
        "mount": (39, 40, 41, 428, 429, 430, 442),
        "host name": (161, 162),
        "clock": (112, 170, 266),
        "kernel module": (105, 106, 273),
        "swap": (224, 225),
        "reboot": (104, 142, 294),
    },
}
_SET_MODE_FILTER = 1
_NEW_LISTENER = 1 << 3
_SPEC_ALLOW = 1 << 2  # without it, some kernels slow every process of the script down
_WAIT_KILLABLE = 1 << 5  # Linux >= 5.19: no signal but a deadly one ends a call that we look at
_ALLOW, _USER_NOTIF = 0x7FFF0000, 0x7FC00000
_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4
_NOTIF_RECV, _NOTIF_SEND = 0xC0502100, 0xC0182101
_RECEIVED = struct.Struct("=QIIiIQ6Q")  # id, pid, flags; number, architecture, instruction, arguments
_ANSWER = struct.Struct("=QqiI")  # id, value, error, flags
_CONTINUE = 1
_MOST = 200
_ADDRESS_BYTES = 110
_SYS_PIDFD_GETFD = 438


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


class KernelRequests:
    """Watches the process that makes it, and all that it starts from then on."""

    def __init__(self) -> None:
        self._machine = os.uname().machine
        self._names = {number: name for name, numbers in _CALLS.get(self._machine, {}).items() for number in numbers}
        self._seen: dict[tuple[str, str], int] = {}
        self._descriptor = self._install()

    def listen(self) -> None:
        """Note what is asked for, in a thread of its own; call it after the first fork, and once."""
        if self._descriptor >= 0:
            threading.Thread(target=self._serve, daemon=True).start()

    def seen(self) -> list[dict[str, object]]:
        """List what was asked for: ``{"what", "where", "count"}``, in the order of the first time."""
        return [{"what": what, "where": where, "count": count} for (what, where), count in list(self._seen.items())]

    # -- the filter ------------------------------------------------------------------------------------------------

    def _install(self) -> int:
        """Give the listener; -1 where the kernel has none, or a container's own filter forbids it."""
        if not self._names:
            return -1
        libc = ctypes.CDLL(None, use_errno=True)
        code = self._code()
        program = _Program(len(code) // 8, code)
        for flags in (_NEW_LISTENER | _SPEC_ALLOW | _WAIT_KILLABLE, _NEW_LISTENER):
            found = int(libc.syscall(_SYS_SECCOMP[self._machine], _SET_MODE_FILTER, flags, ctypes.byref(program)))
            if found >= 0:
                return found
        return -1

    def _code(self) -> bytes:
        """Write the filter: calls of other architectures and all that is not listed are allowed."""
        numbers = sorted(self._names)
        rows = [
            (_LOAD, 0, 0, _ARCHITECTURE_AT),
            (_JUMP_EQUAL, 1, 0, _ARCHITECTURE[self._machine]),
            (_RETURN, 0, 0, _ALLOW),
            (_LOAD, 0, 0, _NUMBER_AT),
        ]
        rows += [(_JUMP_EQUAL, len(numbers) - index, 0, number) for index, number in enumerate(numbers)]
        rows += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _USER_NOTIF)]
        return b"".join(struct.pack("=HBBI", *row) for row in rows)

    # -- the listener ----------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while True:
            request = bytearray(_RECEIVED.size)
            try:
                fcntl.ioctl(self._descriptor, _NOTIF_RECV, request)
            except OSError as error:
                if error.errno in {errno.EINTR, errno.ENOENT}:  # the caller was killed meanwhile
                    continue
                return
            identity, pid, _, number, _, _, *arguments = _RECEIVED.unpack(request)
            try:
                self._note(pid, number, arguments)
            finally:  # whoever asked waits for this
                self._go_on(identity)

    def _go_on(self, identity: int) -> None:
        try:
            fcntl.ioctl(self._descriptor, _NOTIF_SEND, _ANSWER.pack(identity, 0, 0, _CONTINUE))
        except OSError as error:
            if error.errno != errno.ENOENT:  # killed while we looked
                raise

    def _note(self, pid: int, number: int, arguments: list[int]) -> None:
        what = self._names[number]
        where = _address(pid, *arguments[:3]) if what == "connection" else ""
        if where is None:
            return
        if (what, where) in self._seen or len(self._seen) < _MOST:
            self._seen[what, where] = self._seen.get((what, where), 0) + 1


def _is_stream(pid: int, descriptor: int) -> bool:
    """Whether a socket is one over which a conversation goes; others are `connected` to look a route up."""
    try:
        process = os.pidfd_open(pid)
        try:
            found = int(ctypes.CDLL(None).syscall(_SYS_PIDFD_GETFD, process, descriptor, 0))
        finally:
            os.close(process)
        if found < 0:
            return True
        with socket.socket(fileno=found) as copy:
            return bool(copy.type & socket.SOCK_STREAM)
    except OSError:
        return True  # a thread, or gone: rather one too many


def _address(pid: int, descriptor: int, at: int, length: int) -> str | None:
    """Read the address of a connection from the caller's memory.

    ``192.0.2.1:80``, ``[2001:db8::1]:80``, ``unix:/path`` of a socket that is there, ``unix:@name`` of an abstract one;
    None for what is no conversation.
    """
    try:
        with open(f"/proc/{pid}/mem", "rb", 0) as memory:
            memory.seek(at)
            raw = memory.read(min(length, _ADDRESS_BYTES))
        shown = shown_address(raw)
    except (OSError, OverflowError, struct.error, ValueError):
        return None  # the caller is gone, or gave nonsense: the kernel tells it so
    return shown if shown is not None and _is_stream(pid, descriptor) else None


def shown_address(raw: bytes) -> str | None:
    """Read a socket address (the bytes of a ``struct sockaddr``); None for one that names no peer that is there."""
    family = struct.unpack_from("=H", raw)[0]
    if family == socket.AF_UNIX:
        path = os.fsdecode(raw[2:].split(b"\0")[0])
        if not path:
            return "unix:@" + raw[3:].split(b"\0")[0].decode("utf-8", "replace")
        return f"unix:{path}" if path.startswith("/") and stat.S_ISSOCK(os.stat(path).st_mode) else None
    port = struct.unpack_from("!H", raw, 2)[0]
    if family == socket.AF_INET:
        return f"{ipaddress.IPv4Address(raw[4:8])}:{port}"
    if family == socket.AF_INET6:
        address = ipaddress.IPv6Address(raw[8:24])
        return f"{address.ipv4_mapped or f'[{address}]'}:{port}"
    return None
