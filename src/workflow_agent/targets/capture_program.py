"""The program that runs a script over overlays of the target's file systems. Standard library only.

Started by ``capture.py`` in a process of its own, because Python's threads and namespaces do not mix. It reads one
JSON line from standard input, and writes JSON lines to the descriptor `report_fd`, the last one when the script has
ended and nothing of it is left. The script's output goes to standard output and error.

Three processes: this one enters the target's namespaces, makes new ones and mounts the overlays; its child is
process 1 of the capture's PID namespace, pivots into the overlay and writes the declared files; the grandchild
becomes the script. Each dies with its parent, and with process 1 the kernel kills everything in its namespace.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import sys
import time
from typing import Any

from workflow_agent.targets import linux, user_layers
from workflow_agent.targets.kernel_requests import KernelRequests
from workflow_agent.targets.left_behind import memory_entries, processes_left
from workflow_agent.targets.mountinfo import unescape
from workflow_agent.targets.process_limit import ProcessLimit, bound_process_numbers

__all__ = ["main"]

_STAGE = "/.workflow-agent/stage"
_READ_ONLY = linux.MS_BIND | linux.MS_REMOUNT | linux.MS_RDONLY
_NO_DEVICES = linux.MS_NOSUID | linux.MS_NODEV
#: Docker's default set, against which Debian's maintainer scripts are known to work: chown, dac_override, fowner,
#: fsetid, kill, setgid, setuid, setpcap, net_bind_service, net_raw, sys_chroot, mknod, audit_write, setfcap. And
#: linux_immutable: an overlay keeps such flags beside its entries, so that none reaches a disk before a commit.
_CAPABILITIES = frozenset({0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 13, 18, 27, 29, 31})
_DEVICES = (
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
)
_MOST_NAMES = 100
_MOST_SHOWN = 5
_POLL_S = 0.005
_UNUSED_WITHIN_S = 2.0
_HIDDEN_PROC = ("kcore", "sysrq-trigger", "kmsg", "keys", "timer_list")

#: What a spec holds: report_fd, engine_pid, target_pid, store_fd, mounts [{point, overlay, upper, work, index}], shims
#: [{path, text}], script, script_path, interpreter, options, arguments, traced, secrets {path: value}, files [{path,
#: content, mode, owner}], removes [path], directories [{path, mode, owner}], before and after [{argv, label, stdin,
#: timeout_s}], environment, folder, most_processes, home {point, hidden, uid, gid} of a person without root.
Spec = dict[str, Any]  # Any: JSON

_FAILED = "/run/workflow-agent/failed"
_TRACE = "/run/workflow-agent/trace"
#: What bash reads first: where a command fails, note how it ended and its line. No other program inherits it, functions
#: and subshells do not either (`errtrace` would change what the script's own traps do), and `set -x` does not show it.
_TRACE_TEXT = f"""\
unset BASH_ENV
trap '{{ builtin printf "%s %s\\n" "$?" "$LINENO" >|{_FAILED}; }} 2>/dev/null' ERR
"""

_own_proc = -1


class _StageError(Exception):
    """Carries which step of the preparation failed, for the report."""

    hint: str | None = None


class _OutsideError(_StageError):
    """Carries what a person without root may change, and no capture of theirs can hold."""

    hint = "without root only what lies in the home folder is captured: leave these paths alone, or run it as root"


def _overlay_escape(path: str) -> str:
    return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")


def _mount_overlay(lower: list[str], upper: str, work: str, target: str, *, index: str = "on") -> None:
    # volatile: the script's own fsyncs are not carried out; `exchange.py` syncs the whole file system before the
    # first exchange, and an error of write-back since the mount is reported there (rule 15).
    options = ",".join(
        [
            "lowerdir=" + ":".join(_overlay_escape(part) for part in lower),
            "upperdir=" + _overlay_escape(upper),
            "workdir=" + _overlay_escape(work),
            f"redirect_dir=nofollow,metacopy=off,index={index},volatile",
        ]
    )
    linux.mount("workflow-agent", target, "overlay", linux.MS_NODEV, options)


def _read_back(target: str, *, index: str = "on") -> None:
    """Refuse when the kernel did not take the options that exactness needs (rule 2)."""
    # Through our own /proc: the target's belongs to another PID namespace, in which this process does not exist.
    descriptor = os.open("self/mountinfo", os.O_RDONLY, dir_fd=_own_proc)
    with os.fdopen(descriptor, "rb") as stream:
        rows = [row for row in stream if unescape(row.split(b" ")[4]) == os.fsencode(target)]
    if not rows:
        raise _StageError(f"the kernel does not list the overlay at {target}")
    line = rows[-1]
    options = line.rsplit(b" ", 1)[1].strip().split(b",")
    indexed = b"index=on" in options or index == "off"
    if not indexed or b"redirect_dir=nofollow" not in options or b"metacopy=on" in options:
        raise _StageError(f"the kernel did not take the overlay's options: {line.decode('ascii', 'replace')}")


def _copy_folder_attributes(source: str, target: str) -> None:
    status = os.stat(source)
    os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, stat.S_IMODE(status.st_mode))
    for name in os.listxattr(source):
        if not name.startswith(linux.OVERLAY_MARKS):
            _copy_attribute(source, target, name)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _copy_attribute(source: str, target: str, name: str) -> None:
    """Copy one; without it the folder would be captured as if the script had removed it."""
    try:
        os.setxattr(target, name, os.getxattr(source, name))
    except OSError as error:
        raise _StageError(f"the attribute {name} of {source} cannot be shown in a capture: {error}") from error


def _write_shims(folder: str, shims: list[dict[str, str]]) -> None:
    """Fill the top lower layer: recorders that hide the real programs without being mount points.

    A mount point could not be replaced by a package that ships the program (rename answers EBUSY).
    """
    for shim in shims:
        parts = shim["path"].strip("/").split("/")
        for depth in range(1, len(parts)):
            inner = "/".join(parts[:depth])
            if not os.path.isdir(f"{folder}/{inner}"):
                os.mkdir(f"{folder}/{inner}")
        target = f"{folder}/{'/'.join(parts)}"
        with open(target, "w", encoding="utf-8") as stream:
            stream.write(shim["text"])
        os.chmod(target, 0o755)
    for inner, _, _ in os.walk(folder, topdown=False):
        relative = os.path.relpath(inner, folder)
        _copy_folder_attributes("/" if relative == "." else f"/{relative}", inner)


def _mount_layers(spec: Spec, store: int) -> str:
    """Mount everything below the stage; gives the new root. `store` holds the staged tree of a container."""
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    if not os.path.isdir(_STAGE):
        os.mkdir(_STAGE, 0o700)
    linux.mount("workflow-agent", _STAGE, "tmpfs", _NO_DEVICES, "mode=0700")
    root, shims = f"{_STAGE}/root", f"{_STAGE}/shims"
    os.mkdir(root)
    os.mkdir(shims)
    _write_shims(shims, spec["shims"])
    if store >= 0:
        os.mkdir(f"{_STAGE}/store")
        linux.attach_mount(store, f"{_STAGE}/store")
        os.close(store)
    for mount in spec["mounts"]:
        point = mount["point"]
        target = root if point == "/" else root + point
        if mount["overlay"]:
            lower = [shims, point] if point == "/" else [point]
            _mount_overlay(lower, mount["upper"], mount["work"], target, index=mount["index"])
            _read_back(target, index=mount["index"])
        else:
            linux.mount(point, target, None, linux.MS_BIND)
            linux.mount("none", target, None, _READ_ONLY | linux.MS_NODEV)
    return root


def _mount_home(spec: Spec) -> str:
    """Mount what a person without root gets; gives the new root."""
    mount = spec["mounts"][0]
    stage = mount["point"] + _STAGE
    parts = (mount["point"], mount["upper"], mount["work"])
    options = user_layers.home_overlay_options(*map(_overlay_escape, parts))
    root = user_layers.mount_home(stage, spec["home"], options)
    _read_back(f"{stage}/home", index=mount["index"])
    for number, shim in enumerate(spec["shims"]):
        if os.path.exists(root + shim["path"]):
            place = f"{stage}/shim.{number}"
            with open(place, "w", encoding="utf-8") as stream:
                stream.write(shim["text"])
            os.chmod(place, 0o755)
            linux.mount(place, root + shim["path"], None, linux.MS_BIND)
    return root


def _private_tmpfs(target: str, options: str, flags: int = _NO_DEVICES) -> None:
    linux.mount("workflow-agent", target, "tmpfs", flags, options)


def _make_devices(folder: str, *, by_root: bool) -> None:
    _private_tmpfs(folder, "mode=0755,size=64k", linux.MS_NOSUID)
    mask = os.umask(0)
    for name, major, minor in _DEVICES if by_root else ():
        os.mknod(f"{folder}/{name}", stat.S_IFCHR | 0o666, os.makedev(major, minor))
    os.umask(mask)
    if not by_root:
        user_layers.make_user_devices(folder)
    for name in ("pts", "shm"):
        os.mkdir(f"{folder}/{name}")
    terminals = "newinstance,ptmxmode=0666,mode=0620" + (",gid=5" if by_root else "")
    linux.mount("devpts", f"{folder}/pts", "devpts", linux.MS_NOSUID, terminals)
    _private_tmpfs(f"{folder}/shm", "mode=1777")
    for name, link in (
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ):
        os.symlink(link, f"{folder}/{name}")
    linux.mount("none", folder, None, linux.MS_BIND | linux.MS_REMOUNT | linux.MS_RDONLY | linux.MS_NOSUID)


def _mount_system(root: str, *, by_root: bool) -> None:
    """Give the capture its own /proc, /sys, /dev, /run and /tmp (rule 3). Runs inside the PID namespace.

    Not `by_root`, /sys is read-only, and /run and /tmp are private, since everything was bound.
    """
    linux.mount("proc", f"{root}/proc", "proc", _NO_DEVICES | linux.MS_NOEXEC)
    linux.mount(f"{root}/proc/sys", f"{root}/proc/sys", None, linux.MS_BIND)
    linux.mount("none", f"{root}/proc/sys", None, _READ_ONLY | _NO_DEVICES | linux.MS_NOEXEC)
    for name in _HIDDEN_PROC:
        if os.path.exists(f"{root}/proc/{name}"):
            linux.mount("/dev/null", f"{root}/proc/{name}", None, linux.MS_BIND)
    if by_root and os.path.isdir(f"{root}/sys"):
        linux.mount("/sys", f"{root}/sys", None, linux.MS_BIND)
        linux.mount("none", f"{root}/sys", None, _READ_ONLY | _NO_DEVICES | linux.MS_NOEXEC)
    _make_devices(f"{root}/dev", by_root=by_root)
    resolver = _read_resolver(root)
    if by_root:
        _private_tmpfs(f"{root}/run", "mode=0755")
    os.makedirs(f"{root}/run/workflow-agent/real")
    os.mkdir(f"{root}/run/lock", 0o1777)
    os.chmod(f"{root}/run/lock", 0o1777)
    if by_root and os.path.isdir(f"{root}/tmp"):
        _private_tmpfs(f"{root}/tmp", "mode=1777")
    _restore_resolver(root, resolver)


def _hide_state(root: str, points: list[str]) -> None:
    """Cover our own folders: before-images hold what no script needs to see (rule 1)."""
    for point in points:
        folder = f"{root}{point.rstrip('/')}/.workflow-agent"
        _private_tmpfs(folder, "mode=0700,size=4k")
        linux.mount("none", folder, None, _READ_ONLY | _NO_DEVICES)


def _read_resolver(root: str) -> tuple[str, bytes] | None:
    """Read a resolver configuration that lies in /run, which is about to be hidden."""
    path = f"{root}/etc/resolv.conf"
    if not os.path.islink(path):
        return None
    target = os.path.normpath(os.path.join("/etc", os.readlink(path)))
    if not target.startswith("/run/"):
        return None
    try:
        with open(target, "rb") as stream:
            return target, stream.read(65536)
    except OSError:
        return None


def _restore_resolver(root: str, resolver: tuple[str, bytes] | None) -> None:
    if resolver is None:
        return
    path, content = resolver
    os.makedirs(os.path.dirname(root + path), exist_ok=True)
    with open(root + path, "wb") as stream:
        stream.write(content)


def _bind_real_programs(root: str, spec: Spec) -> None:
    """Keep what the recorders hide reachable for them (systemctl's file operations)."""
    for shim in spec["shims"]:
        name = os.path.basename(shim["path"])
        if os.path.isfile("/" + shim["path"].lstrip("/")):
            target = f"{root}/run/workflow-agent/real/{name}"
            with open(target, "wb"):
                pass
            linux.mount("/" + shim["path"].lstrip("/"), target, None, linux.MS_BIND)
            linux.mount("none", target, None, _READ_ONLY | linux.MS_NODEV)


def _enter_root(root: str) -> None:
    os.chdir(root)
    linux.pivot_root(".", ".")
    linux.umount(".", linux.MNT_DETACH)
    os.chdir("/")


def _become_script(spec: Spec) -> None:
    """Replace this process by the script's interpreter; never returns."""
    command = [spec["interpreter"], *spec["options"], spec["script_path"], *spec["arguments"]]
    _become(command, spec["environment"] | ({"BASH_ENV": _TRACE} if spec["traced"] else {}), spec)


def _become(command: list[str], environment: dict[str, str], spec: Spec) -> None:
    """Replace this process by a command, with what scripts may do and no more; never returns."""
    try:
        os.setsid()
        linux.restore_signals()
        os.umask(0o022)
        os.chdir(spec.get("folder", "/"))
        linux.capability_bounding_set_drop(_CAPABILITIES)
        os.closerange(3, 4096)
        os.execve(command[0], command, environment)
    except OSError as error:
        os.write(2, f"cannot start {command[0]}: {error}\n".encode())
    os._exit(127)


def _failed_command(commands: list[dict[str, Any]], spec: Spec) -> dict[str, Any] | None:  # Any: JSON
    """Run commands one after the other; gives the label of the first that fails, and how it ended."""
    for command in commands:
        child = os.fork()
        if child == 0:
            if command["stdin"] is not None:
                given = os.memfd_create("stdin")
                os.write(given, command["stdin"].encode())
                os.lseek(given, 0, os.SEEK_SET)
                os.dup2(given, 0)
            _become(command["argv"], spec["environment"], spec)
        code = _ended(child, command["timeout_s"])
        if code != 0:
            return {"label": command["label"], "exit_code": code}
    return None


def _ended(child: int, timeout_s: float) -> int | None:
    """Wait for a child; gives its exit code, None where it ran out of time."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid == child:
            return os.waitstatus_to_exitcode(status)
        time.sleep(_POLL_S)
    return None


def _write_secrets(secrets: dict[str, str]) -> None:
    """Write each secret to its path in the capture's own /run, which is memory and goes with the namespace."""
    for path, value in secrets.items():
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(value.encode())


def _lay_out(spec: Spec) -> None:
    """Write what the script needs into the capture's own /run."""
    path = spec["script_path"]
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as stream:
        stream.write(spec["script"])
    os.chmod(path, 0o500)
    with open(_TRACE, "w", encoding="utf-8") as stream:
        stream.write(_TRACE_TEXT)
    _write_secrets(spec["secrets"])
    with open("/run/workflow-agent/requested", "w", encoding="utf-8"):
        pass
    os.chmod("/run/workflow-agent/requested", 0o666)


def _run(spec: Spec) -> tuple[int, dict[str, Any]]:  # Any: JSON
    """Run all that is to be run and write what is declared; nobody is left then.

    Gives the script's wait status, what was done beside files, and which command around the script failed, if any.
    """
    _lay_out(spec)
    memory = memory_entries()
    requests = KernelRequests()
    with ProcessLimit(spec["most_processes"]) as limit:
        child, report = _fork_commands(spec["before"], spec, limit, then_script=True)
        requests.listen()
        status = _wait_for(child)
        told = _read_report(report)
        processes = processes_left()
        _end_everybody()
        if status == 0 and not told and not limit.passed:
            _make_declared_directories(spec["directories"])
            _write_declared_files(spec["files"])
            _remove_declared(spec["removes"])
            if spec["after"]:
                child, report = _fork_commands(spec["after"], spec, limit, then_script=False)
                _wait_for(child)
                told = _read_report(report)
                _end_everybody()
    outside: dict[str, Any] = {"processes": processes, "requests": requests.seen()}  # Any: JSON
    outside |= {"memory": sorted(memory_entries() - memory)[:_MOST_NAMES]}
    return status, told | {"outside": outside, "too_many": limit.passed}


def _wait_for(child: int) -> int:
    """Wait for a child, and reap orphans: this is process 1."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            return status


def _fork_commands(
    commands: list[dict[str, Any]],  # Any: JSON
    spec: Spec,
    limit: ProcessLimit,
    *,
    then_script: bool,
) -> tuple[int, int]:
    """Fork a child that runs commands, and then becomes the script; gives its id, and where it tells what failed."""
    report, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        limit.calm()
        failed = _failed_command(commands, spec)
        if failed is not None:
            os.write(theirs, json.dumps({"command": failed}).encode())
        elif then_script:
            _become_script(spec)
        os._exit(0)
    limit.hurry()
    os.close(theirs)
    return child, report


def _read_report(report: int) -> dict[str, Any]:  # Any: JSON
    with os.fdopen(report, "rb") as stream:
        text = stream.read()
    return json.loads(text) if text else {}


def _read_failed() -> str:
    """Give what bash noted of the last command that failed; empty when it noted nothing."""
    try:
        # the script may have put anything there, also what never ends
        descriptor = os.open(_FAILED, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as stream:
        return (stream.read(64) or b"").decode("ascii", "replace")


def _end_everybody() -> None:
    while True:
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            return
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _lookup_id(table: str, name: str) -> int:
    if name.isdigit():
        return int(name)
    with open(table, encoding="utf-8", errors="surrogateescape") as stream:
        for line in stream:
            fields = line.split(":")
            if fields[0] == name:
                return int(fields[2])
    raise _StageError(f"{table} has no entry `{name}`")


def _write_declared_files(files: list[dict[str, str]]) -> None:
    for item in files:
        user, _, group = item["owner"].partition(":")
        uid, gid = _lookup_id("/etc/passwd", user), _lookup_id("/etc/group", group or user)
        os.makedirs(os.path.dirname(item["path"]), exist_ok=True)
        temporary = item["path"] + ".workflow-agent-new"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(item["content"].encode("utf-8", "surrogateescape"))
            os.fchown(stream.fileno(), uid, gid)
            os.fchmod(stream.fileno(), int(item["mode"], 8))
        os.rename(temporary, item["path"])


def _make_declared_directories(directories: list[dict[str, str]]) -> None:
    for item in directories:
        user, _, group = item["owner"].partition(":")
        uid, gid = _lookup_id("/etc/passwd", user), _lookup_id("/etc/group", group or user)
        os.makedirs(item["path"], exist_ok=True)
        descriptor = os.open(item["path"], os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            os.fchown(descriptor, uid, gid)
            os.fchmod(descriptor, int(item["mode"], 8))
        finally:
            os.close(descriptor)


def _remove_declared(paths: list[str]) -> None:
    for path in paths:
        for folder, folders, files in os.walk(path, topdown=False):
            for name in [*folders, *files]:
                _remove_entry(f"{folder}/{name}")
        if os.path.lexists(path):
            _remove_entry(path)


def _remove_entry(path: str) -> None:
    """Remove a file, a link, or a folder that is empty by now."""
    if os.path.isdir(path) and not os.path.islink(path):
        os.rmdir(path)
    else:
        os.unlink(path)


def _process_one(spec: Spec, root: str, report: int) -> None:
    """Be process 1 of the capture: mount, pivot, run, clear, write the declared files, report."""
    linux.die_with_parent()
    linux.unshare(linux.CLONE_NEWNS)  # so that the parent's own view can unmount and prove that nobody is left
    bound_process_numbers(_own_proc, spec["most_processes"])
    _mount_system(root, by_root=not spec.get("home"))
    _hide_state(root, [mount["point"] for mount in spec["mounts"] if mount["overlay"]])
    _bind_real_programs(root, spec)
    _enter_root(root)
    result: dict[str, Any] = {"stage": "script"}  # Any: JSON
    if not spec.get("try_only"):
        os.write(report, b'{"stage": "started"}\n')
        status, told = _run(spec)
        result |= told
        result["exit_code"] = os.waitstatus_to_exitcode(status)
        with open("/run/workflow-agent/requested", "rb") as stream:
            result["requested"] = stream.read(1 << 20).decode("utf-8", "replace")
        result["failed"] = _read_failed()
    result["stage"] = "done"
    os.write(report, json.dumps(result).encode() + b"\n")


def _prove_nobody_left(spec: Spec, root: str) -> None:
    """Unmount in our own view, then mount each upper once more: EBUSY would mean that it is in use (rule 13)."""
    overlays = [mount for mount in spec["mounts"] if mount["overlay"]]
    for mount in reversed(spec["mounts"]):
        linux.umount(root if mount["point"] == "/" else root + mount["point"])
    for mount in overlays:
        _await_unused(mount)


def _await_unused(mount: dict[str, Any]) -> None:  # Any: JSON
    """Wait a while for those who only look: who reads which mounts a process has (`findmnt`) keeps all of them."""
    end = time.monotonic() + _UNUSED_WITHIN_S
    while True:
        try:
            _mount_overlay([mount["point"]], mount["upper"], mount["work"], f"{_STAGE}/shims")
        except OSError as error:
            if error.errno != errno.EBUSY:
                return  # refused for what a volatile mount leaves behind: use is checked before that
            if time.monotonic() >= end:
                raise _StageError(f"somebody still uses the capture of {mount['point']}") from error
        else:
            linux.umount(f"{_STAGE}/shims")
            return
        time.sleep(_POLL_S)


def _capture(spec: Spec, report: int) -> None:
    os.umask(0o022)  # ours, not that of whoever started the engine: folders of declared files are made with it
    linux.die_with_parent(spec["engine_pid"])
    global _own_proc  # noqa: PLW0603  # one program, one capture
    _own_proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    # An overlay cannot be staged on an overlay: the tree of a container is staged on this machine (rule 27).
    store = linux.clone_mount(spec["store_fd"]) if spec["store_fd"] is not None else -1
    linux.join_namespaces(spec["target_pid"], skip=frozenset({"pid"}))
    home = spec.get("home")
    if home:
        user_layers.enter_user_namespace(home["uid"], home["gid"])
        linux.die_with_parent()  # other credentials may have ended that
    linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWPID | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS)
    root = _mount_home(spec) if home else _mount_layers(spec, store)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            _process_one(spec, root, report)
            code = 0
        except (OSError, _StageError, KeyError, ValueError) as error:
            _write_error(report, error)
        os._exit(code)
    # Asked to end: end process 1 and wait for it, because only then is the whole namespace gone.
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGKILL))
    _, status = os.waitpid(child, 0)
    if status != 0 and os.WIFSIGNALED(status):
        raise _StageError(f"the capture was ended by signal {os.WTERMSIG(status)}")
    if home and (written := user_layers.written_outside(spec["mounts"][0]["point"] + _STAGE)):
        shown = ", ".join(written[:_MOST_SHOWN]) + (" and others" if len(written) > _MOST_SHOWN else "")
        raise _OutsideError(f"the script changed what lies outside the home folder: {shown}")
    if status == 0 and not home:  # a folder that has no index is in nobody's use when process 1 is gone
        _prove_nobody_left(spec, root)


def _write_error(report: int, error: BaseException) -> None:
    number = error.errno if isinstance(error, OSError) else None
    told = {"stage": "error", "message": str(error), "errno": number, "hint": getattr(error, "hint", None)}
    os.write(report, json.dumps(told).encode() + b"\n")


def main() -> None:
    """Read the spec, run, report, exit."""
    line = sys.stdin.readline()
    if not line:  # who started it has found that there is nothing to run
        return
    spec: Spec = json.loads(line)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    try:
        _capture(spec, spec["report_fd"])
    except (OSError, _StageError) as error:
        _write_error(spec["report_fd"], error)
        sys.exit(1)
