"""The local Docker engine: its containers, and the process in which each lives. Blocking.

Read over its Unix socket in two lines of HTTP/1.0: the client library costs 300 ms of start-up, which is most of what a
run that finds everything unchanged may take. What makes and removes something, clones for rehearsals (``clone``), has
that time and uses the library.
"""

from __future__ import annotations

import json
import os
import re
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import NotFoundError, UnreachableError
from workflow_agent.model.records import dataclass
from workflow_agent.model.system import Tier

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker import APIClient

__all__ = ["ContainerState", "Engine"]

_SOCKET = "/var/run/docker.sock"
_TIMEOUT_S = 30.0
#: An image of a large container takes its time.
_CHANGE_S = 600
_START = "start it (`systemctl start docker`), or name its socket in DOCKER_HOST"
_PIECE = 1 << 16
_REFUSED = 300
_NOT_FOUND = 404
_UNIX = "unix://"
#: Source: Docker Engine, daemon/names: what a container may be called; ids look the same.
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}")
#: What to do about a container in another state than `running`. Source: Docker Engine API, ContainerInspect.
_REMEDIES = {"paused": "docker unpause", "created": "docker start", "exited": "docker start", "dead": "docker rm"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """What an engine says of one container; `pid` is that of its first process on this machine."""

    id: str
    name: str
    pid: int
    created: str
    mounts: tuple[str, ...] = ()


class Engine:
    """Asks the engine that ``DOCKER_HOST`` names, or the usual local one.

    Args:
        address: Where it listens: ``unix:///path``; the environment or the usual place when omitted.

    Raises:
        UnreachableError: The address is not a socket of this machine.
    """

    def __init__(self, address: str | None = None) -> None:
        address = address or os.environ.get("DOCKER_HOST") or _UNIX + _SOCKET
        if not address.startswith(_UNIX):
            raise _refuse_remote(address)
        self._path = address.removeprefix(_UNIX)

    def identity(self) -> str:
        """Give the engine's own id, which tells it from others on other disks."""
        return str(self._ask("/info")["ID"])

    def version(self) -> str:
        """Give the engine's version."""
        return str(self._ask("/version")["Version"])

    def container(self, name: str) -> ContainerState:
        """Look a running container up by its name or (the beginning of) its id.

        Raises:
            NotFoundError: There is none; names the nearest of those that run.
            UnreachableError: No engine answers, or the container does not run here.
        """
        found = self._ask(f"/containers/{name}/json", missing=True) if _NAME.fullmatch(name) else None
        if found is None:
            raise self._unknown(name)
        state, called = found["State"], found["Name"].lstrip("/")
        if state["Status"] != "running":
            remedy = _REMEDIES.get(state["Status"])
            raise UnreachableError(
                f"the container `{called}` does not run: it is {state['Status']}",
                where=f"docker:{called}",
                state="nothing was changed",
                hint=f"`{remedy} {called}`, then run the command again" if remedy else "wait until it runs",
            )
        _require_local(found["Id"], state["Pid"], called)
        return ContainerState(
            id=found["Id"],
            name=called,
            pid=state["Pid"],
            created=found["Created"],
            mounts=tuple(sorted(mount["Destination"] for mount in found["Mounts"])),
        )

    def running(self) -> list[str]:
        """List the names of containers that run, sorted."""
        names = [name for one in self._ask("/containers/json") for name in one["Names"]]
        return sorted(name.lstrip("/") for name in names)

    def _unknown(self, name: str) -> NotFoundError:
        from workflow_agent.model.nearest import did_you_mean  # noqa: PLC0415  # late: difflib, on errors only

        running = self.running()
        return NotFoundError(
            f"there is no container `{name[:80]}`",
            where=f"docker:{name[:80]}",
            cause=f"running: {', '.join(running[:20])}" if running else "no container runs on this engine",
            hint=did_you_mean(f"docker:{name[:80]}", [f"docker:{one}" for one in running])
            or "`docker ps` lists what runs",
        )

    # -- any resource --------------------------------------------------------------------------------------------------

    def get(self, path: str) -> Any:  # Any: JSON
        """Read one resource."""
        return self._ask(path)

    def client(self) -> APIClient:
        """Give a client of the same engine that can change something; use it inside :meth:`told`, and close it."""
        from docker import APIClient  # noqa: PLC0415  # late: 300 ms

        with self.told(self._path):
            return APIClient(base_url=_UNIX + self._path, version="auto", timeout=_CHANGE_S)

    @contextmanager
    def told(self, where: str) -> Iterator[None]:
        """Say what the client library says of a change, as everybody says it here.

        Raises:
            UnreachableError: The engine refused, or does not answer any more.
        """
        from docker.errors import APIError, DockerException  # noqa: PLC0415  # late: 300 ms

        try:
            yield
        except APIError as error:
            message = f"the Docker engine refused: status {error.status_code}"
            raise UnreachableError(message, where=where, cause=str(error.explanation or "") or None) from error
        except (DockerException, OSError) as error:  # those of its transport are OSErrors
            raise UnreachableError(
                "no Docker engine answers", where=self._path, cause=str(error), hint=_START
            ) from error

    def _ask(self, path: str, *, missing: bool = False) -> Any:  # Any: JSON
        """Get one resource; with `missing` one that is not there is None."""
        request = f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode()
        with self._told():
            answer = bytearray()
            with self._connected(request) as connection:
                while piece := connection.recv(_PIECE):
                    answer += piece
            head, _, body = bytes(answer).partition(b"\r\n\r\n")
            status = int(head.split()[1])
            data = json.loads(body)
        if status == _NOT_FOUND and missing:
            return None
        if status >= _REFUSED:
            raise _refusal(status, path, data)
        return data

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say what is wrong with a conversation."""
        try:
            yield
        except OSError as error:
            raise UnreachableError(
                "no Docker engine answers",
                where=self._path,
                cause=str(error),
                state="nothing was changed",
                hint=_remedy(error),
            ) from error
        except (ValueError, IndexError) as error:
            raise UnreachableError("what answers is no Docker engine", where=self._path, cause=str(error)) from error

    def _connected(self, request: bytes) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            connection.settimeout(_TIMEOUT_S)
            connection.connect(self._path)
            connection.sendall(request)
        except BaseException:
            connection.close()
            raise
        return connection


def _refuse_remote(address: str) -> UnreachableError:
    """Say why an engine that is reached over a network is of no use, and what works instead (rule 27)."""
    from urllib.parse import urlsplit  # noqa: PLC0415  # late: on errors only

    parts = urlsplit(address)
    machine = "@".join(part for part in (parts.username, parts.hostname) if part)[:100] or "that machine"
    return UnreachableError(
        "a Docker engine on another machine cannot be used",
        where=address[:200],
        cause="effects are captured and taken back through a container's processes and layers, which have to be on "
        f"this machine; by the engine's API alone the tier is {Tier.LOGICAL.value}, in which no script is run",
        state="nothing was changed",
        hint=f"install workflow-agent on {machine} and run the command there: `ssh {machine} sudo workflow-agent ...`; "
        "for the engine of this machine unset DOCKER_HOST",
        details={"tier": Tier.LOGICAL.value},
    )


def _refusal(status: int, path: str, data: Any) -> UnreachableError:  # Any: JSON
    cause = data.get("message") if isinstance(data, dict) else None
    return UnreachableError(f"the Docker engine refused: status {status}", where=path.partition("?")[0], cause=cause)


def _remedy(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "run the command as root, or as a user in the group `docker`"
    return _START


def _require_local(container: str, pid: int, name: str) -> None:
    """Refuse a process id that means something else here: the engine may live in a machine of its own."""
    found = b""
    for table in ("cgroup", "mountinfo"):
        try:
            with open(f"/proc/{pid}/{table}", "rb") as stream:
                found += stream.read()
        except OSError:
            continue
    if container.encode() not in found:
        raise UnreachableError(
            f"the processes of the container `{name}` are not on this machine",
            where=f"docker:{name}",
            cause=f"process {pid} does not belong to it: its engine runs in another machine or PID namespace",
            hint="run the command where the engine runs",
        )
