"""Clones for a rehearsal: made from an image of a container or a host, walled in, and gone afterwards. Blocking.

Everything goes through the engine, so that neither root nor overlay mounts of our own are needed; what is changed
there, through its client library. What is made carries a label with the process that made it: what a dead one left is
removed by :func:`sweep`.

Source: Docker Engine API: ImageCommit, ContainerCreate, ContainerAttach, ContainerExport, PutContainerArchive.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import socket
import tarfile
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from workflow_agent.model.errors import UnreachableError, WorkflowAgentError
from workflow_agent.model.records import dataclass
from workflow_agent.targets.capture import ENVIRONMENT
from workflow_agent.targets.clone_listing import CLONE_FOLDER, CloneListing, read_listing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from docker import APIClient

    from workflow_agent.targets.clone_sources import CloneImage, CloneSource
    from workflow_agent.targets.engine import Engine

__all__ = ["CLONE_LIMITS", "LOADER", "Clone", "CloneFile", "CloneLimits", "left_behind", "sweep"]

_LABEL: Final = "workflow-agent.rehearsal"
_CONTAINER: Final = "container"
_IMAGE: Final = "image"
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
LOADER: Final = r"""
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
trap 'exit 143' TERM
{ read -r -u 3 _; kill -TERM $$; } &
umask 022
"$@" /run/workflow-agent/script 3<&- &
wait $!  # not `wait -n`, which misses one that has ended already
code=$?
[ $code != 0 ] || "$@" /run/workflow-agent/removes || code=$?
if [ $code = 137 ]; then
    for told in /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control; do
        [ ! -r "$told" ] || while read -r name count; do
            [ "$name" != oom_kill ] || [ "$count" = 0 ] || echo "$count" >FOLDER/starved
        done <"$told"
    done
fi
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
    """An image of something, and two containers of it: one to compare with, and one in which a script runs.

    Args:
        engine: Makes them.
        source: What is cloned.
    """

    def __init__(self, engine: Engine, source: CloneSource) -> None:
        self._engine = engine
        self._client: APIClient = engine.client()
        self._source = source
        self._image: CloneImage | None = None
        self._containers: list[str] = []
        self._running = ""

    def make(self) -> None:
        """Make the image; the original goes on meanwhile. Raises UnreachableError, CaptureError."""
        tag = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._image = self._source.image(self._engine, self._client, {_LABEL: _owner()}, tag)

    def listing(self) -> CloneListing:
        """List what the image holds, or once a script ran what is there since."""
        container = self._running or self._create({"Entrypoint": ["/none"], "HostConfig": {"NetworkMode": "none"}})
        with self._engine.told(container):
            pieces = self._client.export(container)
            listing = read_listing(io.BufferedReader(_Stream(pieces)))
            for _ in pieces:  # the padding of the archive: a stream that was read to its end closes its connection
                pass
            return listing

    def prepare(self, interpreter: str, network: bool) -> None:  # through a thread
        """Make the container in which a script will run, walled in."""
        self._running = self._create(
            {
                "Entrypoint": [interpreter],
                "Cmd": ["-c", LOADER, "rehearsal", interpreter],
                "User": "0:0",
                "WorkingDir": "/",
                "Hostname": self._made.hostname,
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
            with self._engine.told(self._running):
                self._client.put_archive(self._running, "/", _tar(files))

    def read(self, path: str) -> bytes:
        """Read one file of the container; empty where there is none."""
        with suppress(WorkflowAgentError, tarfile.TarError), self._engine.told(self._running):
            pieces, _ = self._client.get_archive(self._running, path)
            with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as archive:
                source = archive.extractfile(archive.getmembers()[0])
                return source.read() if source is not None else b""
        return b""

    def start(self) -> socket.socket:
        """Start the container; what is written to the connection is its input, what is read its output, in frames."""
        with self._engine.told(self._running):
            wanted = dict.fromkeys(("stream", "stdin", "stdout", "stderr"), 1)
            attached = self._client.attach_socket(self._running, params=wanted)
            connection = socket.socket(fileno=os.dup(attached.fileno()))
            attached._response.close()  # noqa: SLF001  # the library closes its own end in no other way
            try:
                self._client.start(self._running)
            except BaseException:
                connection.close()
                raise
        return connection

    def written(self) -> int:
        """Tell how many bytes were written in the container."""
        return int(self._engine.get(f"/containers/{self._running}/json?size=1").get("SizeRw") or 0)

    def ended(self) -> tuple[int, bool]:
        """Give the exit code, and whether the kernel ended it for want of memory."""
        with self._engine.told(self._running):
            code = self._client.wait(self._running)["StatusCode"]
        state = self._engine.get(f"/containers/{self._running}/json")["State"]
        # The engine misses it where the container ends at once; what ran there has counted.
        return int(code), bool(state["OOMKilled"] or self.read(f"{CLONE_FOLDER}/starved"))

    def remove(self) -> None:
        """Remove containers, their volumes and the image; what is gone already is no error."""
        for container in self._containers:
            _forget(self._engine, self._client, _CONTAINER, container)
        if self._image is not None:
            _forget(self._engine, self._client, _IMAGE, self._image.id)
        self._client.close()

    @property
    def _made(self) -> CloneImage:
        assert self._image is not None  # `make` comes first
        return self._image

    def _create(self, options: Mapping[str, Any]) -> str:
        body = {"Image": self._made.id, "Labels": dict(self._made.labels), **options}
        with self._engine.told(self._source.name):
            made = str(self._client.create_container_from_config(body)["Id"])
        self._containers.append(made)
        return made


class _Stream(io.RawIOBase):
    """Pieces, as they come, to be read like a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # Any: a writable buffer
        self._rest = self._rest or next(self._pieces, b"")
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


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


def left_behind(engine: Engine) -> list[tuple[str, str]]:
    """List what rehearsals left whose process is dead: containers, then images, each as its kind and id."""
    chosen = quote(json.dumps({"label": [_LABEL]}))
    containers = engine.get(f"/containers/json?all=1&filters={chosen}")
    images = engine.get(f"/images/json?filters={chosen}")
    return [
        *((_CONTAINER, str(one["Id"])) for one in containers if _is_orphan(one["Labels"])),
        *((_IMAGE, str(one["Id"])) for one in images if _is_orphan(one["Labels"])),
    ]


def sweep(engine: Engine) -> int:
    """Remove what rehearsals left whose process is dead; gives how many things that were."""
    found = left_behind(engine)
    if found:
        client = engine.client()
        for kind, name in found:
            _forget(engine, client, kind, name)
        client.close()
    return len(found)


def _forget(engine: Engine, client: APIClient, kind: str, name: str) -> None:
    # Another command removes it at this moment; else the next one does.
    with suppress(UnreachableError), engine.told(name):
        if kind == _IMAGE:
            client.remove_image(name, force=True)
        else:
            client.remove_container(name, v=True, force=True)


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
