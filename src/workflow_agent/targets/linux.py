"""System calls that Python 3.11 lacks, through libc. Standard library only: namespace programs import it.

Numbers are those of x86_64 and aarch64 Linux (generic where both agree). Every function raises OSError with
the path it was about.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import struct
import sys
import threading

__all__ = [
    "CLONE_NEWIPC",
    "CLONE_NEWNET",
    "CLONE_NEWNS",
    "CLONE_NEWPID",
    "CLONE_NEWUSER",
    "CLONE_NEWUTS",
    "MNT_DETACH",
    "MS_BIND",
    "MS_NODEV",
    "MS_NOEXEC",
    "MS_NOSUID",
    "MS_PRIVATE",
    "MS_RDONLY",
    "MS_REC",
    "MS_REMOUNT",
    "OVERLAY_MARKS",
    "RENAME_EXCHANGE",
    "RENAME_NOREPLACE",
    "attach_mount",
    "capability_bounding_set_drop",
    "clone_mount",
    "die_with_parent",
    "enter_network",
    "file_flags",
    "file_handle",
    "join_namespaces",
    "make_read_only",
    "mount",
    "open_beneath",
    "pivot_root",
    "rename",
    "restore_signals",
    "set_file_flags",
    "set_hostname",
    "syncfs",
    "umount",
    "unshare",
]

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MNT_DETACH = 2

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2

#: Where an overlay keeps its marks: in attributes that only root sees, those of others in attributes of their own.
OVERLAY_MARKS = "trusted.overlay." if os.geteuid() == 0 else "user.overlay."

_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_DROP = 24
_SIGKILL = 9
_AT_SYMLINK_FOLLOW = 0x400
_FS_IOC_GETFLAGS = 0x80086601
_FS_IOC_SETFLAGS = 0x40086602
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
#: struct file_handle: length (u32, below 256), type (s32), the handle.
_HANDLE_BYTES = 128
_HANDLE_AT = 8
_HANDLE_LENGTH_AT = 0 if sys.byteorder == "little" else 3
_SYS_OPENAT2 = 437
_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_MOUNT_SETATTR = 442
_AT_RECURSIVE = 0x8000
_MOUNT_ATTR_RDONLY = 1
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 4
_AT_EMPTY_PATH = 0x1000
_AT_FDCWD = -100
_AT_HANDLE_FID = 0x200
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
)
_libc.renameat2.argtypes = (
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_uint,
)
# Called for every entry of a file system: it needs neither the error's number nor conversions of its arguments.
_name_to_handle_at = ctypes.CDLL(None).name_to_handle_at


def _check(result: int, what: str | bytes) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(what))
    return result


def mount(source: str, target: str, kind: str | None, flags: int = 0, data: str | None = None) -> None:
    """Mount; see mount(2)."""
    _check(
        _libc.mount(
            os.fsencode(source),
            os.fsencode(target),
            kind.encode() if kind else None,
            flags,
            os.fsencode(data) if data else None,
        ),
        f"mount on {target}",
    )


def umount(target: str, flags: int = 0) -> None:
    """Unmount; see umount2(2)."""
    _check(_libc.umount2(os.fsencode(target), flags), target)


def clone_mount(folder_fd: int) -> int:
    """Make a mount of an open folder that is not attached anywhere; see open_tree(2), Linux >= 5.2."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_EMPTY_PATH
    return _check(_libc.syscall(_SYS_OPEN_TREE, folder_fd, b"", flags), "open_tree")


def attach_mount(mount_fd: int, target: str) -> None:
    """Attach what :func:`clone_mount` gave, perhaps in another mount namespace; see move_mount(2)."""
    result = _libc.syscall(_SYS_MOVE_MOUNT, mount_fd, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH)
    _check(result, target)


def make_read_only(target: str) -> None:
    """Make a mount and everything mounted below it read-only; see mount_setattr(2), Linux >= 5.12."""
    attributes = struct.pack("QQQQ", _MOUNT_ATTR_RDONLY, 0, 0, 0)
    number, place = _SYS_MOUNT_SETATTR, os.fsencode(target)
    _check(_libc.syscall(number, _AT_FDCWD, place, _AT_RECURSIVE, attributes, len(attributes)), target)


def unshare(flags: int) -> None:
    """Leave namespaces for new ones; see unshare(2)."""
    _check(_libc.unshare(flags), "unshare")


def pivot_root(new_root: str, put_old: str) -> None:
    """Change the root of the mount namespace; see pivot_root(2)."""
    number = _SYS_PIVOT_ROOT[os.uname().machine]
    _check(_libc.syscall(number, os.fsencode(new_root), os.fsencode(put_old)), new_root)


def set_hostname(name: str) -> None:
    """Set the host name of the UTS namespace."""
    raw = name.encode()
    _check(_libc.sethostname(raw, len(raw)), name)


_NAMESPACES = (
    ("ipc", CLONE_NEWIPC),
    ("uts", CLONE_NEWUTS),
    ("net", CLONE_NEWNET),
    ("pid", CLONE_NEWPID),
    ("mnt", CLONE_NEWNS),
)


def join_namespaces(pid: int, *, skip: frozenset[str] = frozenset()) -> None:
    """Enter the namespaces of process `pid` (0: stay), then its root folder; the caller has one thread.

    A PID namespace holds only for children made afterwards. Namespaces that are the caller's own are left
    alone. `skip` names some not to enter (ipc, uts, net, pid, mnt).
    """
    if pid == 0:
        return
    root = os.open(f"/proc/{pid}/root", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        opened = [
            (os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC), flag)
            for name, flag in _NAMESPACES
            if name not in skip and os.stat(f"/proc/{pid}/ns/{name}").st_ino != os.stat(f"/proc/self/ns/{name}").st_ino
        ]
        for descriptor, flag in opened:
            _check(_libc.setns(descriptor, flag), f"namespace of process {pid}")
            os.close(descriptor)
        if "mnt" not in skip:
            os.fchdir(root)
            os.chroot(".")
            os.chdir("/")
    finally:
        os.close(root)


def enter_network(pid: int) -> None:
    """Move the calling thread into the network namespace of process `pid`."""
    descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.setns(descriptor, CLONE_NEWNET), f"network of process {pid}")
    finally:
        os.close(descriptor)


def die_with_parent(expected_parent: int | None = None) -> None:
    """Be killed when the parent's thread ends; exits at once when the parent is gone already."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0), "prctl")
    if expected_parent is not None and os.getppid() != expected_parent:
        os._exit(1)


def restore_signals() -> None:
    """Give the next program all signals as a fresh one has them: what is ignored (SIGHUP below nohup) outlives exec."""
    for number in signal.valid_signals():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def capability_bounding_set_drop(keep: frozenset[int]) -> None:
    """Drop every capability not in `keep` from the bounding set; takes effect at the next exec."""
    with open("/proc/sys/kernel/cap_last_cap", encoding="utf-8") as stream:
        last = int(stream.read())
    for number in range(last + 1):
        if number not in keep:
            _check(_libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0), f"capability {number}")


def rename(source_fd: int, source: bytes, target_fd: int, target: bytes, flags: int = 0) -> None:
    """Rename relative to folder descriptors; see renameat2(2)."""
    if _libc.renameat2(source_fd, source, target_fd, target, flags) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(source), None, os.fsdecode(target))


def open_beneath(root_fd: int, path: bytes, flags: int) -> int:
    """Open a physical path below `root_fd`: no link is followed anywhere, nothing above is reached.

    Raises OSError: ELOOP when a part of the path became a link. Source: openat2(2), Linux >= 5.6.
    """
    how = struct.pack(
        "QQQ",
        flags | os.O_CLOEXEC | os.O_NOFOLLOW,
        0,
        _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS,
    )
    return _check(_libc.syscall(_SYS_OPENAT2, root_fd, path or b".", how, len(how)), path)


def syncfs(descriptor: int) -> None:
    """Write a file system's dirty data to disk; errors are raised (Linux >= 5.8)."""
    _check(_libc.syncfs(descriptor), "syncfs")


class _HandleBuffer(threading.local):
    """One buffer a thread: the call is made for every entry of a file system."""

    def __init__(self) -> None:
        self.data = bytearray(_HANDLE_AT + _HANDLE_BYTES)
        self._shared = (ctypes.c_char * len(self.data)).from_buffer(self.data)
        self._mount_id = ctypes.c_int()
        self.handle_at = ctypes.c_void_p(ctypes.addressof(self._shared))
        self.mount_at = ctypes.c_void_p(ctypes.addressof(self._mount_id))


_buffer = _HandleBuffer()


def file_handle(folder_fd: int, name: bytes) -> bytes:
    """Identify an entry by inode and generation (not following links); empty where unsupported.

    On an overlay it is the handle of the file that the entry was copied up from, so that writing does not change it
    (Linux >= 6.6; before, overlays have none).
    """
    buffer = _buffer
    data = buffer.data
    data[_HANDLE_LENGTH_AT] = _HANDLE_BYTES
    if _name_to_handle_at(folder_fd, name, buffer.handle_at, buffer.mount_at, 0) < 0:
        data[_HANDLE_LENGTH_AT] = _HANDLE_BYTES
        if _name_to_handle_at(folder_fd, name, buffer.handle_at, buffer.mount_at, _AT_HANDLE_FID) < 0:
            return b""
    return bytes(data[_HANDLE_AT : _HANDLE_AT + data[_HANDLE_LENGTH_AT]])


def file_flags(descriptor: int) -> int:
    """Read a file's flags (chattr): immutable is 0x10, append-only 0x20; 0 where unsupported."""
    try:
        buffer = fcntl.ioctl(descriptor, _FS_IOC_GETFLAGS, struct.pack("l", 0))
    except OSError:
        return 0
    return int(struct.unpack("l", buffer)[0])


def set_file_flags(descriptor: int, flags: int, mask: int) -> None:
    """Set those of a file's flags that are in `mask` to `flags`; does nothing where they are so already."""
    now = file_flags(descriptor)
    wanted = (now & ~mask) | flags
    if wanted != now:
        fcntl.ioctl(descriptor, _FS_IOC_SETFLAGS, struct.pack("l", wanted))
