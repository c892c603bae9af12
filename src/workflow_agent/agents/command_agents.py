"""The shell and container agents: commands of people's workflows, on this machine or in a container of their own."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.agents.flow_log import FlowLog
from workflow_agent.agents.masking import masked
from workflow_agent.agents.process_tree import MARK, end_marked
from workflow_agent.agents.serving import Answer, Question, Verb
from workflow_agent.authoring.durations import duration_s
from workflow_agent.authoring.sdk.containers import AgentRequest, ResourceRequirements
from workflow_agent.model.errors import NotFoundError, StepFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from workflow_agent.agents.python_agent import Deployer
    from workflow_agent.model.message import Message
    from workflow_agent.model.ports import Bus, Clock
    from workflow_agent.security.vault import Vault

__all__ = ["ContainerAgent", "ContainerReply", "ContainerRequest", "ShellAgent", "ShellReply", "ShellRequest"]

#: Bytes of a command's output that its result keeps.
_MOST_BYTES: Final = 1 << 20
_TAIL = 20
#: Longest line that is read as one.
_LINE_BYTES: Final = 1 << 20


class ShellRequest(Question):
    """Run a command in ``/bin/sh``. `env` is added to this process's environment."""

    command: str
    env: dict[str, str] = field(default_factory=dict)
    dir: str | None = None


class ShellReply(Answer):
    """What it wrote to stdout, without the last line end, and whether the end of it was left out."""

    stdout: str
    exit_code: int
    truncated: bool = False


class ContainerRequest(Question):
    """Run a container to its end."""

    image: str
    command: list[str] | None = None
    env: dict[str, str] = field(default_factory=dict)
    cpu: float | None = None
    memory_mib: int | None = None
    timeout: str = "30m"


class ContainerReply(Answer):
    """The JSON value on the last line of its stdout."""

    value: Any = None


class ShellAgent:
    """Answers ``shell.run``: what a command writes is in the run's log at once; what fails the command fails the step.

    Args:
        bus: Tells watchers.
        clock: Times of log lines.
        artifacts: Gives the folder for a run's files.
        vault: The secrets of runs.
    """

    name = "shell"

    def __init__(self, bus: Bus, clock: Clock, artifacts: Callable[[str], Path], vault: Vault) -> None:
        self._bus = bus
        self._clock = clock
        self._artifacts = artifacts
        self._vault = vault

    def verbs(self) -> Mapping[str, Verb]:
        """Run."""
        return masked(self._vault, {"run": Verb(ShellRequest, ShellReply, self._run)})

    async def _run(self, request: ShellRequest, message: Message) -> tuple[Answer, Mapping[str, Any]]:
        run_id = str(message.run_id)
        path = self._artifacts(run_id) / "output.log"
        log = FlowLog(self._bus, lambda: path, message, self._clock, self._vault.masker(run_id))
        process = await _started(request, message)
        kept, size = bytearray(), 0
        assert process.stdout is not None
        try:
            while line := await process.stdout.readline():
                size += len(line)
                kept += line[: _MOST_BYTES - len(kept)]
                log.log("info", line.decode("utf-8", "replace").rstrip("\n"))
            code = await process.wait()
        except asyncio.CancelledError:
            _kill(process)
            end_marked(_mark(message))
            raise
        finally:
            _kill(process)
            await log.flush()
        text = kept.decode("utf-8", "replace").removesuffix("\n")
        if code != 0:
            tail = text.splitlines()[-_TAIL:]
            raise StepFailedError(
                f"the command of `{message.step_id}` ended with code {code}",
                where=str(message.step_id),
                cause="\n".join(tail) or None,
                details={"exit_code": code, "tail": tail},
            )
        return ShellReply(stdout=text, exit_code=code, truncated=size > len(kept)), {}


async def _started(request: ShellRequest, message: Message) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            request.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=request.dir,
            env={**os.environ, **request.env, MARK: _mark(message)},
            start_new_session=True,
            limit=_LINE_BYTES,
        )
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise NotFoundError(
            f"the folder of `{message.step_id}` cannot be used", where=str(request.dir), cause=error.strerror
        ) from error


def _mark(message: Message) -> str:
    return f"{message.run_id}/{message.step_id}/{message.attempt}"


def _kill(process: asyncio.subprocess.Process) -> None:
    """End the command and all that it started and that stayed in its session."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


class ContainerAgent:
    """Answers ``container.run``.

    Args:
        vault: The secrets of runs.
        deployer: Starts containers.
    """

    name = "container"

    def __init__(self, vault: Vault, deployer: Deployer) -> None:
        self._vault = vault
        self._deployer = deployer

    def verbs(self) -> Mapping[str, Verb]:
        """Run."""
        return masked(self._vault, {"run": Verb(ContainerRequest, ContainerReply, self._run)})

    async def _run(self, request: ContainerRequest, message: Message) -> tuple[Answer, Mapping[str, Any]]:
        where = str(message.step_id)
        asked = AgentRequest(
            run_id=str(message.run_id),
            step=where,
            name=where,
            image=request.image,
            env=request.env,
            command=None if request.command is None else tuple(request.command),
            resources=ResourceRequirements(cpu=request.cpu, memory_mib=request.memory_mib).checked(where),
            timeout_s=duration_s(request.timeout, where=f"{where} › timeout"),
        )
        deployed = await self._deployer.deploy(asked)
        result = await deployed.wait()
        return ContainerReply(value=result.output), {}
