"""A real Debian host for a test: a disk of its own, namespaces of its own, no network but loopback, gone afterwards.

What belongs here: the life of a host and looking into it. What does not: what is on its disk (``image``), what
happens in the new namespaces (``launcher``), comparing trees (``digest``).
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import struct
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from workflow_agent.model.errors import StepFailedError, UnreachableError
from workflow_agent.testing.lab.digest import FileRecord, Known, digest
from workflow_agent.testing.lab.image import DEFAULT_PACKAGES, DISK_BYTES, LabKind, base_image, copy_disk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

__all__ = ["LabHost", "LabProcess"]

_LAUNCHER = Path(__file__).with_name("launcher.py")
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}
# From linux/ext4.h and fs/ext4/ext4.h
_EXT4_IOC_SHUTDOWN = 0x8004587D
_SHUTDOWN_WITH_JOURNAL, _SHUTDOWN_AT_ONCE = 1, 2
_BOOT_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 30.0
_POLL_S = 0.02
#: What was read of disks that hosts are copies of; others' processes start without it.
_contents: dict[Path, dict[tuple[int, int, int, int], str]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class LabProcess:
    """A process of a host: its id outside and inside, its user, its program's path inside, its arguments."""

    pid: int
    inner_pid: int
    uid: int
    program: str
    arguments: tuple[str, ...]


class LabHost:
    """A throw-away Debian host; use it as a context manager.

    Starting it copies the cached image (built on the very first use), which takes about a quarter of a second, and
    starts the first process in new mount, process, network, host name, IPC and cgroup namespaces. It dies with the
    process that made it, however that ends, and leaves no mount, loop device, file or process behind.

    Args:
        kind: ``plain`` (nothing runs; init scripts work through ``service``) or ``systemd``.
        packages: What can be installed there without a network.
        size: Bytes of its disk.
        address: A further IPv4 address of it, beside 127.0.0.1.
        in_memory: Where its disk lives: see :func:`workflow_agent.testing.lab.image.copy_disk`.
        layers: Whether its root is an overlay on that disk, as a container's is.

    Example:
        ::

            with LabHost("systemd") as host:
                before = host.digest()
                host.run(["apt-get", "install", "-y", "nginx"])
                print(diff(before, host.digest()))
    """

    def __init__(
        self,
        kind: LabKind | str = LabKind.PLAIN,
        *,
        packages: tuple[str, ...] = DEFAULT_PACKAGES,
        size: int = DISK_BYTES,
        address: str = "",
        in_memory: bool | None = None,
        layers: bool = False,
    ) -> None:
        self.kind = LabKind(kind)
        self._packages = packages
        self._size = size
        self._address = address
        self._in_memory = in_memory
        self._layers = "kept" if layers else ""
        self._disk: int | None = None
        self._base: Path | None = None
        self._device = ""
        self._launcher: subprocess.Popen[str] | None = None
        self._pid = 0

    def __repr__(self) -> str:
        return f"LabHost({self.kind.value!r}, pid={self._pid or None}, device={self._device or None})"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The id of the host's first process, as seen from outside.

        Raises:
            UnreachableError: The host does not run.
        """
        if not self._pid:
            message = "the lab host does not run"
            raise UnreachableError(message)
        return self._pid

    @property
    def root(self) -> Path:
        """The host's root folder, as seen from outside."""
        return Path(f"/proc/{self.pid}/root")

    def start(self) -> None:
        """Start the host; the disk is copied on the first start, and kept over :meth:`power_off`.

        Raises:
            UnreachableError: No image can be built, or the host does not come up.
        """
        if self._disk is None:
            self._base = base_image(self.kind, packages=self._packages)
            self._disk = copy_disk(self._base, size=self._size, in_memory=self._in_memory)
        name = f"workflow-agent-lab-{os.getpid()}-{time.monotonic_ns():x}"
        config = {
            "disk": self._disk,
            "init": self.kind.value,
            "hostname": "lab",
            "name": name,
            "address": self._address,
            "layers": self._layers,
        }
        self._launcher = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_LAUNCHER), json.dumps(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[self._disk],
            text=True,
            start_new_session=True,  # a Ctrl-C in the terminal is the caller's business
        )
        try:
            self._await_ready()
        except BaseException:
            self.stop()
            raise

    def _await_ready(self) -> None:
        assert self._launcher is not None
        assert self._launcher.stdout is not None
        line = self._launcher.stdout.readline()
        told: dict[str, Any] = json.loads(line) if line else {"error": "the launcher ended without a word"}
        if "error" in told:
            message = "the lab host did not start"
            raise UnreachableError(message, cause=told["error"], hint="it needs root, loop devices and namespaces")
        self._pid, self._device = told["pid"], told["device"]
        if self.kind is LabKind.SYSTEMD:
            self._await_systemd()

    def _await_systemd(self) -> None:
        end = time.monotonic() + _BOOT_TIMEOUT_S
        state = ""
        while time.monotonic() < end:
            if (self.root / "run/systemd/private").exists():
                state = self.run(["systemctl", "is-system-running", "--wait"], check=False).stdout.strip()
                if state in ("running", "degraded"):
                    return
            time.sleep(_POLL_S)
        message = f"systemd was not up after {_BOOT_TIMEOUT_S:.0f} s"
        raise UnreachableError(message, cause=f"its state is {state or 'unknown'}")

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        stdin: str | None = None,
        timeout_s: float = 120.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as root, with all of the host's namespaces.

        Args:
            argv: The command and its arguments.
            check: Raise when it does not end with 0.
            stdin: Text for its standard input, which is empty otherwise.
            timeout_s: Seconds after which it is killed.

        Raises:
            StepFailedError: It ended with another status and `check` is true.
            subprocess.TimeoutExpired: It took longer.
        """
        enter = ["nsenter", f"--target={self.pid}", "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--"]
        done = subprocess.run(
            [*enter, *argv],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            input=stdin or "",
            env=_ENVIRONMENT,
            timeout=timeout_s,
        )
        if check and done.returncode != 0:
            message = f"{argv[0]} ended with status {done.returncode} on the lab host"
            raise StepFailedError(message, where=" ".join(argv), cause=(done.stdout + done.stderr).strip())
        return done

    def digest(self, *, all_anew: bool = True) -> dict[str, FileRecord]:
        """Read all files of the host: see :func:`workflow_agent.testing.lab.digest`.

        Args:
            all_anew: Read also what nobody touched since the disk was copied.
        """
        known = None
        if not all_anew and self._base is not None:
            known = Known(self._base.stat().st_mtime_ns, _contents.setdefault(self._base, {}))
        return digest(self.root, known=known)

    def processes(self) -> list[LabProcess]:
        """List what runs on the host, its first process first; threads of the kernel and zombies have no part in it."""
        space = str(Path(f"/proc/{self.pid}/ns/pid").readlink())
        found = [process for pid in _process_ids() if (process := _read_process(pid, space)) is not None]
        return sorted(found, key=lambda process: process.inner_pid)

    def units(self) -> dict[str, str]:
        """Give every loaded unit's state, for example ``{"dbus.service": "active/running"}``; empty without systemd."""
        if self.kind is not LabKind.SYSTEMD:
            return {}
        listing = self.run(["systemctl", "list-units", "--all", "--plain", "--no-legend", "--no-pager"])
        rows = (line.split(maxsplit=4) for line in listing.stdout.splitlines())
        return {row[0]: f"{row[2]}/{row[3]}" for row in rows}

    def cut_power(self, *, keep_journal: bool = False) -> None:
        """Lose everything that is not on the disk, then kill everything; the next :meth:`start` replays the journal.

        Args:
            keep_journal: Have the file system's journal reach the disk first, without the contents of files that no
                sync wrote: the moment at which names are there already and contents are not.
        """
        assert self._launcher is not None
        below_layers = Path(f"/proc/{self._launcher.pid}/root/tmp/root")
        descriptor = os.open(below_layers if self._layers else self.root, os.O_RDONLY)
        try:
            mode = _SHUTDOWN_WITH_JOURNAL if keep_journal else _SHUTDOWN_AT_ONCE
            fcntl.ioctl(descriptor, _EXT4_IOC_SHUTDOWN, struct.pack("=I", mode))
        finally:
            os.close(descriptor)
        self.power_off()

    def lay_over(self) -> None:
        """Start it again with a new overlay on its disk as root: what is on the disk lies in the lower layer."""
        self.power_off()
        self._layers = "new"
        try:
            self.start()
        finally:
            self._layers = "kept"

    def power_off(self) -> None:
        """Kill everything at once; the disk stays for the next :meth:`start`, and the kernel writes what it had to."""
        launcher, self._launcher = self._launcher, None
        device, self._device = self._device, ""
        self._pid = 0
        if launcher is None:
            return
        assert launcher.stdin is not None
        assert launcher.stdout is not None
        launcher.stdin.close()  # the launcher kills the first process, and the kernel all others
        try:
            launcher.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            launcher.send_signal(signal.SIGKILL)
            launcher.wait()
        launcher.stdout.close()
        if device and self._disk is not None:
            _await_detached(device, self._disk)

    def stop(self) -> None:
        """Kill the host and drop its disk. May be called again."""
        try:
            self.power_off()
        finally:
            if self._disk is not None:
                os.close(self._disk)
                self._disk = None


def _await_detached(device: str, disk: int) -> None:
    """Wait until the kernel has written and freed the disk: somebody outside may still hold a file of it."""
    backing = Path("/sys/block", Path(device).name, "loop/backing_file")
    end = time.monotonic() + _STOP_TIMEOUT_S
    while _shows(backing, disk):
        if time.monotonic() > end:
            message = f"{device} is still in use although its host was stopped"
            raise UnreachableError(message, hint="a process outside holds a file or a namespace of the host open")
        time.sleep(_POLL_S)


def _shows(backing: Path, disk: int) -> bool:
    """Tell whether a loop device still shows this disk: another host may have taken its number meanwhile."""
    try:
        return backing.read_text(encoding="utf-8").rstrip("\n") == str(Path(f"/proc/self/fd/{disk}").readlink())
    except OSError:
        return False


def _process_ids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _read_process(pid: int, space: str) -> LabProcess | None:
    """Read a process of the namespace `space`; None for others, for the dead and for those that just ended."""
    folder = Path(f"/proc/{pid}")
    with suppress(OSError):
        if str((folder / "ns/pid").readlink()) != space:
            return None
        status = dict(
            line.split(":\t", 1)
            for line in (folder / "status").read_text(encoding="utf-8").splitlines()
            if ":\t" in line
        )
        words = (folder / "cmdline").read_bytes().split(b"\0")[:-1]
        return LabProcess(
            pid=pid,
            inner_pid=int(status["NSpid"].split()[-1]),
            uid=int(status["Uid"].split()[0]),
            program=str((folder / "exe").readlink()),
            arguments=tuple(word.decode(errors="replace") for word in words),
        )
    return None
