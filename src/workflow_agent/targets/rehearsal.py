"""A rehearsal: a script runs in a clone of the target, and what it did there is told. Nothing of the target changes.

For machines on which effects cannot be captured, and for scripts that nobody trusts: the clone has no network unless
the integration declares it, limits, and hardly a capability. What it shows is approximate: the clone has no volumes,
nothing of the target runs in it, and times are not compared. It is never committed.
"""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING

from workflow_agent.model.errors import CaptureError
from workflow_agent.security.delivery import secret_path
from workflow_agent.targets.capture import OutputLines, out_of_time, require_success
from workflow_agent.targets.clone import CLONE_LIMITS, Clone, CloneFile, sweep
from workflow_agent.targets.clone_listing import CLONE_FOLDER, CloneListing, change_set
from workflow_agent.targets.engine import Engine
from workflow_agent.targets.finishing import blocking
from workflow_agent.targets.shims import SHIM_PATHS, shim_texts

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence

    from workflow_agent.model.system import ChangeSet, Script
    from workflow_agent.targets.clone_sources import CloneSource
    from workflow_agent.targets.quota import CaptureQuota

__all__ = ["rehearse"]

_FRAME = struct.Struct(">BxxxI")  # which stream, how long. Source: Docker Engine API, ContainerAttach
_WATCH_S = 1.0
_LONGEST_PIECE = 1 << 20
_MOST_REQUESTED = 1 << 20
#: Present in every rehearsal, whether or not the target has it: it forbids starts while packages are configured.
_ALWAYS = "policy-rc.d"
_NO_NETWORK = "the script had no network: the integration declares none"


async def rehearse(
    source: CloneSource,
    script: Script,
    *,
    engine: Engine | None = None,
    timeout_s: float,
    on_output: Callable[[str], None],
    keep: Sequence[str],
    secrets: Mapping[str, str],
    network: bool,
    quota: CaptureQuota,
) -> ChangeSet:
    """Run a script in a clone; nothing of the clone is left on return, on any error and on cancellation.

    Args:
        source: What is cloned.
        script: What runs; its declared files are written after it.
        engine: Makes the clone; the usual one when omitted.
        timeout_s: How long it may take.
        on_output: Gets its lines.
        keep: Paths that are left out, with everything below them.
        secrets: Values of the secrets that it reads from files, by name.
        network: Whether it may reach the network.
        quota: How much it may write.

    Raises:
        ScriptFailedError: It ended with an error (details: exit_code, tail).
        StepTimeoutError: It ran out of time.
        CaptureError: It wrote too much or ran out of memory, or the clone cannot be read.
        UnreachableError: The engine refused.
    """
    given = _input(script, secrets)
    if engine is None:
        engine = Engine()
        await blocking(engine.version)  # that none answers is known before anything is read
    clone = Clone(engine, source)
    try:
        await blocking(sweep, engine)
        await blocking(clone.make)
        before = await blocking(clone.listing)
        stand_ins = _stand_ins(before)
        await blocking(clone.prepare, script.interpreter, network)
        await blocking(_furnish, clone, before, stand_ins)
        await _carried_out(clone, given, OutputLines(on_output), timeout_s, quota)
        requested = await blocking(clone.read, f"{CLONE_FOLDER}/requested")
        await blocking(_write_declared, clone, script)
        after = await blocking(clone.listing)
    finally:
        await blocking(clone.remove)
    return change_set(
        before,
        after,
        requested=requested[:_MOST_REQUESTED].decode("utf-8", "replace"),
        stand_ins=stand_ins,
        keep=keep,
        notes=[*source.notes(), *([] if network else [_NO_NETWORK]), *_left_out(script)],
    )


def _left_out(script: Script) -> list[str]:
    """Say what a clone does not run."""
    labels = [command.label for command in (*script.before, *script.after)]
    return [f"not tried in the clone: {', '.join(labels)}"] if labels else []


# -- what is put in, and what is read ----------------------------------------------------------------------------------


def _stand_ins(before: CloneListing) -> dict[str, str]:
    """Give the recording stand-ins by the path of the program that each hides."""
    found = {}
    for name, text in shim_texts().items():
        path = next((one for one in SHIM_PATHS[name] if before.stands(one, always=name == _ALWAYS)), None)
        if path is not None:
            found[path] = text
    return found


def _furnish(clone: Clone, before: CloneListing, stand_ins: Mapping[str, str]) -> None:
    """Put the stand-ins in the places of the programs that they hide, and these where the stand-ins find them."""
    real = [
        CloneFile(path=f"{CLONE_FOLDER}/real/{path.rpartition('/')[2]}", content=before.contents[path], mode=0o755)
        for path in stand_ins
        if path in before.contents
    ]
    shims = [CloneFile(path=path, content=text.encode(), mode=0o755) for path, text in stand_ins.items()]
    clone.put([CloneFile(path=f"{CLONE_FOLDER}/requested", content=b"", mode=0o600), *real, *shims])


def _input(script: Script, secrets: Mapping[str, str]) -> bytes:
    """Write what the clone's first process reads: pairs of path and text; an empty path ends them."""
    removes = "".join(f"rm -rf -- {_quoted(path)}\n" for path in script.removes)
    removes += "".join(
        f"mkdir -p -- {path}; chown {item['owner']} {path}; chmod {item['mode']} {path}\n"
        for item in script.directories
        for path in (_quoted(item["path"]),)
    )
    pairs = {"/run/workflow-agent/script": script.text, "/run/workflow-agent/removes": removes}
    pairs |= {secret_path(name): value for name, value in secrets.items()}
    if any("\0" in text for text in pairs.values()):
        raise CaptureError("a script or a secret with a NUL cannot be rehearsed", state="nothing was changed")
    return "".join(f"{path}\0{text}\0" for path, text in pairs.items()).encode("utf-8", "surrogateescape") + b"\0"


def _quoted(path: str) -> str:
    return "'" + path.replace("'", "'\\''") + "'"


def _write_declared(clone: Clone, script: Script) -> None:
    if not script.files:
        return
    users, groups = (_ids(clone.read(table)) for table in ("/etc/passwd", "/etc/group"))
    clone.put(
        [
            CloneFile(
                path=file.path,
                content=file.content.encode("utf-8", "surrogateescape"),
                mode=int(file.mode, 8),
                uid=_id(users, file.owner.partition(":")[0]),
                gid=_id(groups, file.owner.partition(":")[2] or file.owner),
            )
            for file in script.files
        ]
    )


def _ids(table: bytes) -> dict[str, int]:
    rows = [line.split(":") for line in table.decode("utf-8", "surrogateescape").splitlines()]
    return {row[0]: int(row[2]) for row in rows if len(row) > 2 and row[2].isdigit()}  # noqa: PLR2004  # the id's place


def _id(table: Mapping[str, int], name: str) -> int:
    if name.isdigit():
        return int(name)
    if name not in table:
        raise CaptureError(f"the clone has no owner `{name}` for a declared file", state="nothing was changed")
    return table[name]


# -- running -----------------------------------------------------------------------------------------------------------


async def _carried_out(clone: Clone, given: bytes, lines: OutputLines, timeout_s: float, quota: CaptureQuota) -> None:
    """Run the script and judge how it ended."""
    try:
        async with asyncio.timeout(timeout_s):
            await _run(clone, given, lines, quota)
    except TimeoutError as error:
        raise out_of_time(timeout_s, lines) from error
    code, starved = await blocking(clone.ended)
    if starved:
        raise CaptureError(
            f"the script needed more than {CLONE_LIMITS.memory_bytes >> 20} MiB of memory",
            state="nothing was changed; its processes were ended",
        )
    require_success(code, lines)


async def _run(clone: Clone, given: bytes, lines: OutputLines, quota: CaptureQuota) -> None:
    """Start the clone, hand it its input, and read until it has ended."""
    connection: socket.socket = await blocking(clone.start)
    connection.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=connection)
    reading = asyncio.create_task(_read(reader, lines))
    try:
        writer.write(given)  # the input stays open: its end would end the clone
        await writer.drain()
        while not (await asyncio.wait({reading}, timeout=_WATCH_S))[0]:
            written = await blocking(clone.written)
            if written > quota.max_bytes:
                raise CaptureError(
                    f"the script wrote {written >> 20} MiB, the quota is {quota.max_bytes >> 20} MiB",
                    state="nothing was changed; its processes were ended",
                )
        await reading
    finally:
        reading.cancel()
        writer.close()


async def _read(reader: asyncio.StreamReader, lines: OutputLines) -> None:
    try:
        while True:
            _, length = _FRAME.unpack(await reader.readexactly(_FRAME.size))
            while length:
                piece = await reader.readexactly(min(length, _LONGEST_PIECE))
                length -= len(piece)
                lines.feed(piece)
    except asyncio.IncompleteReadError:
        lines.end()
    except ConnectionError:
        lines.end()
