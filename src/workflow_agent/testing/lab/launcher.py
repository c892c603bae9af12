"""Start the init of a lab host: the one program that runs between the test and the host.

It is run as ``python -I -S launcher.py CONFIG`` in a process of its own, imports the standard library only, and does
in order: make a private mount namespace, attach the disk (an open file without a name) to a loop device that frees
itself, mount it, make the other namespaces, fork their first process, and wait until that process or the caller ends.
Nothing that it makes has to be cleaned up by somebody else: mounts live in private namespaces, the loop device is freed
with its last mount, the host dies with this process, and this process ends when its standard input is closed.

What belongs here: what happens on the way to the first process. What does not: what tests see (``host``).
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import stat
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

__all__ = ["main"]

# Source: linux/mount.h, linux/sched.h, linux/prctl.h, linux/loop.h, linux/capability.h, linux/if.h (kernel 6.1)
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 0x1, 0x2, 0x4, 0x8
_MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 0x20, 0x1000, 0x4000, 0x40000
_MNT_DETACH = 0x2
_CLONE_NEWNS, _CLONE_NEWCGROUP, _CLONE_NEWUTS = 0x00020000, 0x02000000, 0x04000000
_CLONE_NEWIPC, _CLONE_NEWPID, _CLONE_NEWNET = 0x08000000, 0x20000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_CAPBSET_DROP = 1, 15, 24
_LOOP_CTL_GET_FREE, _LOOP_CONFIGURE, _LO_FLAGS_AUTOCLEAR = 0x4C82, 0x4C0A, 4
_CAP_SYS_MODULE, _CAP_SYS_RAWIO, _CAP_SYS_TIME = 16, 17, 25
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCSIFADDR, _IFF_UP = 0x8913, 0x8914, 0x8916, 0x1
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}
_LOOP_TRIES = 20

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    """Raise the C library's error, naming what was tried."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _mount(source: str, target: str, fstype: str | None = None, flags: int = 0, data: str = "") -> None:
    kind = fstype.encode() if fstype else None
    result = _libc.mount(source.encode(), target.encode(), kind, ctypes.c_ulong(flags), data.encode())
    _check(result, f"mount {fstype or source} at {target}")


def _prctl(option: int, value: object) -> None:
    _check(_libc.prctl(option, value, 0, 0, 0), f"prctl {option}")


def _attach(disk: int) -> tuple[str, int]:
    """Give the disk to a free loop device, which frees itself with its last user; returns its path and descriptor."""
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    # struct loop_config: fd, block size, struct loop_info64 (flags at byte 52 of 232), 64 reserved bytes
    info = struct.pack("=52xI176x", _LO_FLAGS_AUTOCLEAR)
    config = struct.pack("=II", disk, 0) + info + bytes(64)
    try:
        for _ in range(_LOOP_TRIES):
            number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
            path = f"/dev/loop{number}"
            with suppress(FileExistsError):
                os.mknod(path, 0o600 | stat.S_IFBLK, os.makedev(7, number))
            loop = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(loop, _LOOP_CONFIGURE, config)
            except OSError:  # somebody else was faster: ask for another one
                os.close(loop)
                continue
            return path, loop
    finally:
        os.close(control)
    message = "no free loop device"
    raise OSError(message)


def _enter_cgroup(where: Path, name: str) -> Path:
    """Move this process into a new cgroup of the unified hierarchy, which becomes the root of systemd's view."""
    where.mkdir()
    _mount("cgroup2", str(where), "cgroup2")
    own = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
    inside = next((line[3:].lstrip("/") for line in own if line.startswith("0::")), None)
    if inside is None:
        message = "the kernel has no unified cgroup hierarchy"
        raise OSError(message)
    group = where / inside / name
    group.mkdir()
    (group / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
    return group


def _leave_cgroup(group: Path | None) -> None:
    """Remove the cgroup and those below it; its processes are dead by now."""
    if group is None:
        return
    above = group.parent / "cgroup.procs"
    with suppress(OSError):
        above.write_text(str(os.getpid()), encoding="ascii")
    for folder, _, _ in os.walk(group, topdown=False):
        with suppress(OSError):
            Path(folder).rmdir()


def _loopback_up(address: str) -> None:
    """Bring the loopback up; a further address makes a machine of it whose resolver offers IPv4."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16sh14x", b"lo", 0))
        flags = struct.unpack("16sh14x", request)[1] | _IFF_UP
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags))
        if address:
            told = struct.pack("=H2x4s8x", socket.AF_INET, socket.inet_aton(address))
            fcntl.ioctl(control, _SIOCSIFADDR, struct.pack("16s16s8x", b"lo:1", told))


def _fill_dev(dev: str) -> None:
    """A /dev without block devices: the usual character devices, terminals of its own, shared memory."""
    _mount("tmpfs", dev, "tmpfs", _MS_NOSUID | _MS_NOEXEC, "mode=755")
    for name, (major, minor) in _DEVICES.items():
        path = f"{dev}/{name}"
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(major, minor))
        Path(path).chmod(0o666)
    for name, target in _LINKS.items():
        Path(dev, name).symlink_to(target)
    for name in ("pts", "shm", "mqueue"):
        Path(dev, name).mkdir()
    _mount("devpts", f"{dev}/pts", "devpts", _MS_NOSUID | _MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    _mount("tmpfs", f"{dev}/shm", "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=1777")
    _mount("mqueue", f"{dev}/mqueue", "mqueue", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)


def _fill_root(root: str, *, systemd: bool) -> None:
    """Mount what a running system has besides its disk."""
    quiet = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    _mount("proc", f"{root}/proc", "proc", quiet)
    for name in ("sys", "sysrq-trigger"):  # these two reach past the namespaces
        path = f"{root}/proc/{name}"
        if not Path(path).exists():  # the kernel was built without it
            continue
        _mount(path, path, None, _MS_BIND)
        _mount(path, path, None, _MS_BIND | _MS_REMOUNT | _MS_RDONLY | quiet)
    _mount("sysfs", f"{root}/sys", "sysfs", quiet | _MS_RDONLY)
    if systemd:
        _mount("cgroup2", f"{root}/sys/fs/cgroup", "cgroup2", quiet)
    _fill_dev(f"{root}/dev")
    _mount("tmpfs", f"{root}/run", "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=755")
    Path(root, "run/lock").mkdir(mode=0o1777)
    Path(root, "run/lock").chmod(0o1777)
    _mount("tmpfs", f"{root}/tmp", "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=1777")  # noqa: S108  # the host's


def _pivot(root: str) -> None:
    """Make `root` the root of this mount namespace and forget the old one."""
    os.chdir(root)
    number = _SYS_PIVOT_ROOT[os.uname().machine]
    _check(_libc.syscall(ctypes.c_long(number), b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", _MNT_DETACH), "umount old root")
    os.chdir("/")


def _reap() -> NoReturn:
    """Be a first process that does nothing but collect the dead, as a container's init does."""
    _prctl(_PR_SET_NAME, ctypes.c_char_p(b"lab-init"))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    while True:
        signal.sigwait({signal.SIGCHLD})
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _become_init(config: dict[str, Any], root: str, ready: int) -> NoReturn:
    """Run as process 1 of the new namespaces: finish the root, then reap or become systemd."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    _check(_libc.unshare(_CLONE_NEWNS), "unshare")  # pivoting must not take the launcher's own root away
    systemd = config["init"] == "systemd"
    _fill_root(root, systemd=systemd)
    _pivot(root)
    os.umask(0o022)
    for capability in (_CAP_SYS_MODULE, _CAP_SYS_RAWIO, _CAP_SYS_TIME):
        _prctl(_PR_CAPBSET_DROP, capability)
    null = os.open("/dev/null", os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    os.write(ready, b"ready")  # exec closes it: the caller sees its end
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
    if systemd:
        environment["container"] = "lab"
        os.execve("/sbin/init", ["/sbin/init"], environment)  # noqa: S606  # a fixed program
    os.close(ready)
    os.environ.clear()
    os.environ.update(environment)
    _reap()


def _mount_layers(disk: Path, *, anew: bool) -> Path:
    """Mount an overlay as engines do for containers: the disk below, what changes in a folder of the disk, unseen."""
    if anew:
        shutil.rmtree(disk / ".layers", ignore_errors=True)
    merged = disk.with_name("layers")
    merged.mkdir()
    upper, work = disk / ".layers/upper", disk / ".layers/work"
    if not upper.exists():
        upper.mkdir(parents=True)
        work.mkdir()
        os.mknod(upper / ".layers", stat.S_IFCHR, os.makedev(0, 0))  # as an overlay marks what is not there
    _mount("overlay", str(merged), "overlay", 0, f"lowerdir={disk},upperdir={upper},workdir={work}")
    return merged


def _start(config: dict[str, Any]) -> tuple[int, str]:
    """Mount the disk, fork the first process in new namespaces, wait for it; returns its id and the loop device."""
    disk = root = Path("/tmp/root")  # noqa: S108  # on the private tmpfs
    disk.mkdir()
    device, loop = _attach(config["disk"])
    _mount(device, str(disk), "ext4")
    os.close(loop)
    os.close(config["disk"])
    if config.get("layers"):
        root = _mount_layers(disk, anew=config["layers"] == "new")
    flags = _CLONE_NEWPID | _CLONE_NEWUTS | _CLONE_NEWIPC | _CLONE_NEWNET | _CLONE_NEWCGROUP
    _check(_libc.unshare(flags), "unshare")
    socket.sethostname(config["hostname"])
    _loopback_up(config.get("address", ""))
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(receive)
            _become_init(config, str(root), send)
        except BaseException as error:  # noqa: BLE001  # a forked child must never return into its parent's code
            with suppress(OSError):
                os.write(send, str(error).encode())
            os._exit(1)
    os.close(send)
    said = b"".join(iter(lambda: os.read(receive, 4096), b""))
    os.close(receive)
    if said != b"ready":
        raise OSError(said.decode(errors="replace") or "the first process died")
    # From here on only the host holds its disk; below layers we keep it too, or nobody could shut it down.
    _check(_libc.umount2(bytes(root), _MNT_DETACH), "umount")
    return child, device


def _watch(child: int) -> None:
    """Wait until the first process ends, or end it when the caller has gone or closes our input."""
    descriptor = os.pidfd_open(child)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.register(0, select.POLLIN)
    if all(number != descriptor for number, _ in poll.poll()):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(descriptor)


def _say(words: dict[str, Any]) -> None:
    """Tell the caller one thing, as a line of JSON."""
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Read the configuration from argv, start, say ``{"pid", "device"}`` or ``{"error"}`` in one line, watch."""
    config = json.loads(sys.argv[1])
    # The caller's Ctrl-C is for the caller: it closes our input when it has finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    group = None
    try:
        _check(_libc.unshare(_CLONE_NEWNS), "unshare")
        _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
        _mount("tmpfs", "/tmp", "tmpfs")  # noqa: S108  # ours alone: the mount points on it leave no folder behind
        if config["init"] == "systemd":
            group = _enter_cgroup(Path("/tmp/cgroup"), config["name"])  # noqa: S108
        child, device = _start(config)
        _say({"pid": child, "device": device})
        _watch(child)
    except OSError as error:
        _say({"error": str(error)})
        return 1
    finally:
        _leave_cgroup(group)
    return 0


if __name__ == "__main__":
    sys.exit(main())
