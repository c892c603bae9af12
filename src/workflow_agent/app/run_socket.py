"""What other processes say to the runs that this one drives: a socket of its own in the state folder.

Who drives a run writes the socket's name beside its process id (``ownership``). One line of JSON goes each way; the
answer comes when what was said is on disk. The folder is the owner's alone (mode 0700), and so is what can be said.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import socket
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import (
    ConflictError,
    InternalError,
    UnreachableError,
    UsageError,
    WorkflowAgentError,
    error_from_dict,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
    from pathlib import Path
    from typing import TypeAlias

    #: Does what was said and gives a JSON value.
    Obey: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[Any]]

__all__ = ["ANSWER_S", "RunSocket", "tell"]

logger = logging.getLogger(__name__)

#: Seconds within which the process that drives a run answers.
ANSWER_S = 30.0
#: Bytes of what can be said at once; more belongs in a file.
_MOST_BYTES = 1 << 20
_BACKLOG = 64
#: Seconds that the last answers may take after the last run.
_LAST_WORD_S = 1.0


class RunSocket:
    """Listens while runs are driven; one for all runs of an application.

    Args:
        folder: Where sockets are; made when it is first needed.
        obey: Does what is said.
    """

    def __init__(self, folder: Path, obey: Obey) -> None:
        self._folder = folder
        self._obey = obey
        self._users = 0
        self._name = ""
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Listen inside the block, as long as any block lasts; gives the socket's name, "" where none can be made."""
        self._users += 1
        try:
            if self._users == 1:
                await self._open()
            yield self._name
        finally:
            self._users -= 1
            if self._users == 0:
                await self._close()

    async def _open(self) -> None:
        name = f"{os.getpid()}-{secrets.token_hex(4)}"
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            _forget_dead(self._folder)
            with _reached(self._folder) as folder:
                listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                # Under its name it is there only once it listens: whoever cleans up takes one that does not for dead.
                listener.bind(f"{folder}/.{name}")
                listener.listen(_BACKLOG)
                os.rename(f"{folder}/.{name}", f"{folder}/{name}")  # noqa: PTH104  # through the descriptor
        except OSError as error:
            logger.warning("other processes cannot talk to the runs of this one: %s", error)
            return
        # the name first: a second run that begins meanwhile has it already
        self._name = name
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=_MOST_BYTES)

    async def _close(self) -> None:
        server, name = self._server, self._name
        self._server, self._name = None, ""
        if server is not None:
            server.close()
            with suppress(OSError):
                (self._folder / name).unlink()
            if self._serving:  # who made the last run end is told so
                await asyncio.wait(self._serving, timeout=_LAST_WORD_S)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving: Any = asyncio.current_task()
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        try:
            line = await reader.readline()
            if line:
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError) as error:
            logger.warning("somebody talked to a run and left: %s", error)
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            return {"ok": True, "data": await self._obey(json.loads(line))}
        except WorkflowAgentError as error:
            return {"ok": False, "error": error.to_dict()}
        except Exception as error:
            # The border to another process: whatever it sends must not end a run.
            logger.exception("what another process said could not be done")
            return {"ok": False, "error": InternalError("it could not be done", cause=repr(error)).to_dict()}


async def tell(folder: Path, name: str, message: Mapping[str, Any]) -> Any:  # Any: a JSON value
    """Say something to the process that listens under a name, and give its answer.

    Raises:
        WorkflowAgentError: it answered with this error.
        ConflictError: it has ended.
        UnreachableError: it does not answer.
        UsageError: that is more than can be said at once.
    """
    line = json.dumps(message).encode() + b"\n"
    if len(line) > _MOST_BYTES:
        raise UsageError(f"that is more than {_MOST_BYTES >> 20} MiB", hint="put it into a file and say where it is")
    run_id = str(message.get("run") or "") or None
    try:
        async with asyncio.timeout(ANSWER_S):
            answer = json.loads(await _asked(folder, name, line) or b"{}")
    except TimeoutError as error:
        hint = "it may be stopped, or its event loop may be blocked"
        raise UnreachableError(
            f"the process that drives the run did not answer in {ANSWER_S:.0f} s", hint=hint, run_id=run_id
        ) from error
    except (OSError, ValueError) as error:
        raise _ended(run_id, str(error)) from error
    if answer.get("ok"):
        return answer["data"]
    if "error" in answer:
        raise error_from_dict(answer["error"])
    raise _ended(run_id, None)


def _ended(run_id: str | None, cause: str | None) -> ConflictError:
    hint = f"`workflow-agent status {run_id}` tells where the run stands"
    return ConflictError("the process that drove the run has ended meanwhile", run_id=run_id, cause=cause, hint=hint)


async def _asked(folder: Path, name: str, line: bytes) -> bytes:
    with _reached(folder) as reached:
        reader, writer = await asyncio.open_unix_connection(f"{reached}/{name}", limit=_MOST_BYTES)
    with closing(writer):
        writer.write(line)
        await writer.drain()
        return await reader.readline()


@contextmanager
def _reached(folder: Path) -> Iterator[str]:
    """Give a short path of a folder: the address of a socket has 107 bytes at most."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _forget_dead(folder: Path) -> None:
    """Remove sockets that nobody listens at any more: processes that were killed left them."""
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe, _reached(folder) as reached:
            probe.setblocking(False)
            try:
                probe.connect(f"{reached}/{path.name}")
            except ConnectionRefusedError:
                with suppress(OSError):
                    path.unlink()
            except OSError:
                continue  # it listens and is busy, or is gone
