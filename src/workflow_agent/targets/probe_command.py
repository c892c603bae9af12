"""Running one command of a check, bounded in time and output. Standard library only."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from workflow_agent.model.errors import UnreachableError
from workflow_agent.targets.linux import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CommandResult", "run_command"]

_OUTPUT_LIMIT = 1 << 20
_READ = 64 << 10
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "HOME": "/",
}


class CommandResult(NamedTuple):
    """How a command ended. `exit_code`: negative is a signal's number, None means that it was still running."""

    exit_code: int | None
    stdout: bytes
    stderr: bytes


def run_command(argv: Sequence[str], deadline: float) -> CommandResult:
    """Run a command without a shell, with an empty input and a fixed environment, until `deadline`.

    Its process dies with ours. It stays in our process group, so that whoever ends that group ends everything
    that the command left running. Output beyond 1 MiB is read and forgotten.

    Args:
        argv: Program and arguments.
        deadline: On the monotonic clock, in seconds.

    Raises:
        UnreachableError: It cannot be started.
    """
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,  # closed at once: an empty input needs no /dev/null in the target
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_ENVIRONMENT,
            cwd="/",
            preexec_fn=partial(die_with_parent, os.getpid()),  # noqa: PLW1509 - this program has one thread
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UnreachableError(f"`{argv[0]}` cannot be started", cause=str(error)) from error
    with process:
        try:
            return _collect(process, deadline)
        finally:
            if process.poll() is None:
                process.kill()


def _collect(process: subprocess.Popen[bytes], deadline: float) -> CommandResult:
    assert process.stdin
    assert process.stdout
    assert process.stderr
    process.stdin.close()
    ended = os.pidfd_open(process.pid)
    output = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    try:
        with selectors.DefaultSelector() as selector:
            for descriptor in (ended, *output):
                os.set_blocking(descriptor, False)
                selector.register(descriptor, selectors.EVENT_READ)
            running = True
            while running and (left := deadline - time.monotonic()) > 0:
                ready = {key.fd for key, _ in selector.select(left)}
                running = ended not in ready
                for descriptor in ready & output.keys():
                    if not _read(descriptor, output[descriptor]):
                        selector.unregister(descriptor)
    finally:
        os.close(ended)
    for descriptor, buffer in output.items():  # what came with the end; a child left behind may hold the pipe
        _read(descriptor, buffer)
    stdout, stderr = (bytes(buffer) for buffer in output.values())
    return CommandResult(None if running else process.wait(), stdout, stderr)


def _read(descriptor: int, buffer: bytearray) -> bool:
    """Take what is there; false at the end of the output."""
    try:
        data = os.read(descriptor, _READ)
    except BlockingIOError:
        return True
    if len(buffer) < _OUTPUT_LIMIT:
        buffer += data
    return bool(data)
