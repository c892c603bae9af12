"""Clones of a container for a rehearsal: made from an image of it, walled in, and gone afterwards. Blocking.

Everything goes through the engine, so that neither root nor overlay mounts of our own are needed. What is made carries
a label with the process that made it: what a dead one left is removed by :func:`sweep`.

Source: Docker Engine API: ImageCommit, ContainerCreate, ContainerAttach, ContainerExport, PutContainerArchive.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from workflow_agent.model.errors import UnreachableError, WorkflowAgentError
from workflow_agent.model.records import dataclass
from workflow_agent.targets.capture import ENVIRONMENT
from workflow_agent.targets.clone_listing import CLONE_FOLDER, Listing, read_listing

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence

    from workflow_agent.targets.engine import Engine

__all__ = ["CLONE_LIMITS", "Clone", "CloneFile", "CloneLimits", "left_behind", "sweep"]

_LABEL: Final = "workflow-agent.rehearsal"
_REPOSITORY: Final = "workflow-agent-rehearsal"
#: Those without which Debian's packages do not install: chown and friends, accounts of packages, file capabilities.
_CAPABILITIES: Final = (
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "KILL",
    "SYS_CHROOT",
    "AUDIT_WRITE",
)
#: The first process. It reads pairs of path and text, each ended by NUL, until an empty path; then it runs the script.
#: Its input stays open as long as we live: when that ends, it ends, and with it everything in the clone.
_LOADER: Final = r"""
exec 3<&0 </dev/null
umask 077
mkdir -p /run/workflow-agent/secrets /run/workflow-agent/real /run/lock
while IFS= read -r -u 3 -d '' path && [ -n "$path" ]; do
    IFS= read -r -u 3 -d '' text || exit 125
    mkdir -p "${path%/*}" && printf %s "$text" >"$path" || exit 125
done
for real in FOLDER/real/*; do
    [ ! -e "$real" ] || ln -s "$real" "/run/workflow-agent/real/${real##*/}"
done
: >/run/workflow-agent/requested
chmod 0666 /run/workflow-agent/requested
chmod 0755 /run/workflow-agent /run/workflow-agent/real
chmod 1777 /run/lock
{ read -r -u 3 _; exit 143; } &
umask 022
"$@" /run/workflow-agent/script 3<&- &
wait -n
code=$?
[ $code != 0 ] || "$@" /run/workflow-agent/removes || code=$?
cp /run/workflow-agent/requested FOLDER/requested
exit $code
""".replace("FOLDER", CLONE_FOLDER)


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneLimits:
    """What a script may use of this machine while it is rehearsed."""

    memory_bytes: int = 1 << 30
    processors: float = 1.0
    processes: int = 512


CLONE_LIMITS: Final = CloneLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneFile:
    """A file that is put into a clone; folders above it are made."""

    path: str
    content: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


class Clone:
    """An image of a container, and two containers of it: one to compare with, and one in which a script runs.

    Args:
        engine: Makes them.
        container: Id of the container that is cloned.
    """

    def __init__(self, engine: Engine, container: str) -> None:
        self._engine = engine
        self._source = container
        self._image = ""
        self._containers: list[str] = []
        self._running = ""
        self._labels: dict[str, str] = {}
        self._hostname = ""

    def make(self) -> None:
        """Make the image; the container goes on meanwhile. Raises UnreachableError."""
        found = self._engine.get(f"/containers/{self._source}/json")
        # An image has the labels of its container, which mean something to other programs: none is handed on.
        self._labels = dict.fromkeys(found["Config"]["Labels"] or {}, "") | {_LABEL: _owner()}
        self._hostname = found["Config"]["Hostname"]
        query = f"container={self._source}&repo={_REPOSITORY}&tag={os.getpid()}-{self._source[:12]}&pause=0"
        self._image = str(self._engine.send("POST", f"/commit?{query}", json_body={"Labels": self._labels})["Id"])

    def listing(self) -> Listing:
        """List what the image holds, or once a script ran what is there since."""
        container = self._running or self._create({"Entrypoint": ["/none"], "HostConfig": {"NetworkMode": "none"}})
        with self._engine.stream(f"/containers/{container}/export") as stream:
            return read_listing(stream)

    def prepare(self, interpreter: str, network: bool) -> None:  # through a thread
        """Make the container in which a script will run, walled in."""
        self._running = self._create(
            {
                "Entrypoint": [interpreter],
                "Cmd": ["-c", _LOADER, "rehearsal", interpreter],
                "User": "0:0",
                "WorkingDir": "/",
                "Hostname": self._hostname,
                "Env": [f"{name}={value}" for name, value in ENVIRONMENT.items()],
                "Healthcheck": {"Test": ["NONE"]},
                "OpenStdin": True,
                "StdinOnce": True,
                "AttachStdin": True,
                "AttachStdout": True,
                "AttachStderr": True,
                "HostConfig": _walls(CLONE_LIMITS, network=network),
            }
        )

    def put(self, files: Sequence[CloneFile]) -> None:
        """Write files into the container while it does not run."""
        if files:
            self._engine.send("PUT", f"/containers/{self._running}/archive?path=/", tar=_tar(files))

    def read(self, path: str) -> bytes:
        """Read one file of the container; empty where there is none."""
        with suppress(WorkflowAgentError, tarfile.TarError):
            with self._engine.stream(f"/containers/{self._running}/archive?path={quote(path)}") as stream:
                with tarfile.open(fileobj=stream, mode="r|") as archive:
                    for member in archive:
                        source = archive.extractfile(member)
                        return source.read() if source is not None else b""
        return b""

    def start(self) -> socket.socket:
        """Start the container; what is written to the connection is its input, what is read its output, in frames."""
        query = "stream=1&stdin=1&stdout=1&stderr=1"
        connection = self._engine.attach(f"/containers/{self._running}/attach?{query}")
        try:
            self._engine.send("POST", f"/containers/{self._running}/start")
        except BaseException:
            connection.close()
            raise
        return connection

    def written(self) -> int:
        """Tell how many bytes were written in the container."""
        return int(self._engine.get(f"/containers/{self._running}/json?size=1").get("SizeRw") or 0)

    def ended(self) -> tuple[int, bool]:
        """Give the exit code, and whether the kernel ended it for want of memory."""
        code = self._engine.send("POST", f"/containers/{self._running}/wait")["StatusCode"]
        state = self._engine.get(f"/containers/{self._running}/json")["State"]
        return int(code), bool(state["OOMKilled"])

    def remove(self) -> None:
        """Remove containers, their volumes and the image; what is gone already is no error."""
        for container in self._containers:
            _forget(self._engine, f"/containers/{container}?force=1&v=1")
        if self._image:
            _forget(self._engine, f"/images/{self._image}?force=1")

    def _create(self, options: Mapping[str, Any]) -> str:
        body = {"Image": self._image, "Labels": self._labels, **options}
        made = str(self._engine.send("POST", "/containers/create", json_body=body)["Id"])
        self._containers.append(made)
        return made


def _walls(limits: CloneLimits, *, network: bool) -> dict[str, Any]:
    return {
        "NetworkMode": "bridge" if network else "none",
        "Memory": limits.memory_bytes,
        "MemorySwap": limits.memory_bytes,
        "NanoCpus": int(limits.processors * 1e9),
        "PidsLimit": limits.processes,
        "CapDrop": ["ALL"],
        "CapAdd": list(_CAPABILITIES),
        "SecurityOpt": ["no-new-privileges"],
        "IpcMode": "private",
        # Packages run their questions from /tmp. Before-images of the target, which hold secrets, are covered.
        "Tmpfs": {"/run": "mode=0755", "/tmp": "exec,mode=1777", "/.workflow-agent": "mode=0700,size=4k"},
        "LogConfig": {"Type": "none"},
    }


def _tar(files: Sequence[CloneFile]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in files:
            member = tarfile.TarInfo(file.path.lstrip("/"))
            member.size, member.mode, member.uid, member.gid = len(file.content), file.mode, file.uid, file.gid
            archive.addfile(member, io.BytesIO(file.content))
    return buffer.getvalue()


# -- nothing left behind -----------------------------------------------------------------------------------------------


def left_behind(engine: Engine) -> list[str]:
    """List what rehearsals left whose process is dead: containers, then images, as the engine's resources."""
    chosen = quote(json.dumps({"label": [_LABEL]}))
    containers = engine.get(f"/containers/json?all=1&filters={chosen}")
    images = engine.get(f"/images/json?filters={chosen}")
    return [
        *(f"/containers/{one['Id']}?force=1&v=1" for one in containers if _is_orphan(one["Labels"])),
        *(f"/images/{one['Id']}?force=1" for one in images if _is_orphan(one["Labels"])),
    ]


def sweep(engine: Engine) -> int:
    """Remove what rehearsals left whose process is dead; gives how many things that were."""
    found = left_behind(engine)
    for resource in found:
        _forget(engine, resource)
    return len(found)


def _forget(engine: Engine, resource: str) -> None:
    with suppress(UnreachableError):  # another command removes it at this moment; else the next one does
        engine.send("DELETE", resource)


def _owner() -> str:
    """Name this process so that no other is taken for it: number, start, PID namespace, boot."""
    pid = os.getpid()
    return f"{pid}:{_started(pid)}:{os.stat('/proc/self/ns/pid').st_ino}:{_boot()}"


def _is_orphan(labels: Mapping[str, str]) -> bool:
    pid, _, rest = labels[_LABEL].partition(":")
    started, _, rest = rest.partition(":")
    namespace, _, boot = rest.partition(":")
    if boot != _boot():
        return True
    if namespace != str(os.stat("/proc/self/ns/pid").st_ino):
        return False  # nobody here can tell
    return not pid.isdigit() or _started(int(pid)) != started


def _started(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            fields = stream.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _boot() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
        return stream.read().strip()
