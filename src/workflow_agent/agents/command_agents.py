"""The shell agent: commands of people's workflows on this machine."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_agent.agents.flow_log import FlowLog
from workflow_agent.agents.given_secrets import filled, filled_texts
from workflow_agent.agents.logged_process import MOST_BYTES, Program, Ran, run_logged
from workflow_agent.agents.masking import masked
from workflow_agent.agents.serving import Answer, Question, Verb
from workflow_agent.model.errors import NotFoundError, ParameterError, StepFailedError
from workflow_agent.model.nearest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from workflow_agent.model.message import Message
    from workflow_agent.model.ports import Bus, Clock
    from workflow_agent.security.vault import Vault

__all__ = ["ShellAgent", "ShellReply", "ShellRequest", "ended_well", "keep"]


class ShellRequest(Question):
    """Run a command in a shell.

    `env` is added to this process's environment, and above it what the files of `dotenv` say (read when the step runs,
    so not in the journal). A value of `env`, and `stdin`, may name a secret: ``{"$secret": "token"}``. `credentials`
    names sets of variables of the settings, which stand below `dotenv` and `env`; variables of this process from which
    secrets of sets come are left out. `shell` gets the command after ``-c``. The output is also written to the file
    `stdout`, and kept in the run's state as `keep_as`. Of codes other than `exit_codes` those of `retry_codes` are
    tried again, where that is not every one. `stop_signal` is what it gets 5 seconds before it is killed.
    """

    command: str
    env: dict[str, Any] = field(default_factory=dict)
    dir: str | None = None
    dotenv: list[str] = field(default_factory=list)
    credentials: list[str] = field(default_factory=list)
    shell: str = "/bin/sh"
    stdin: Any = None
    stdout: str | None = None
    keep_as: str | None = None
    exit_codes: list[int] = field(default_factory=lambda: [0])
    retry_codes: list[int] | None = None
    stop_signal: str = "SIGKILL"
    max_output: int = MOST_BYTES


class ShellReply(Answer):
    """What it wrote to stdout, without the last line end, and whether the end of it was left out."""

    stdout: str
    exit_code: int
    truncated: bool = False


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
        where, run_id = str(message.step_id), str(message.run_id)
        masker = self._vault.masker(run_id)
        log = FlowLog(self._bus, lambda: self._artifacts(run_id) / "output.log", message, self._clock, masker)
        read = await asyncio.to_thread(_read_dotenv, request.dotenv) if request.dotenv else {}
        stdin = filled(request.stdin, self._vault, run_id)
        if stdin is not None and not isinstance(stdin, str):
            raise ParameterError("`stdin` must be a text", where=where)
        program = Program(
            command=[request.shell, "-c", request.command],
            env=self._vault.environment(run_id, request.credentials)
            | read
            | filled_texts(request.env, self._vault, run_id),
            folder=request.dir,
            stdin=stdin,
            stop_signal=_signal(request.stop_signal, where),
            most_bytes=request.max_output,
            withheld=self._vault.withheld,
        )
        ran = await run_logged(program, message, log)
        text = ran.text if masker is None else masker.mask(ran.text)
        if request.stdout is not None:
            await asyncio.to_thread(_write, Path(request.dir or ".") / request.stdout, text)
        ended_well(ran, request.exit_codes, request.retry_codes, f"the command of `{where}`", where)
        reply = ShellReply(stdout=ran.text, exit_code=ran.code, truncated=ran.truncated)
        return reply, keep(request.keep_as, ran.text)


def keep(name: str | None, value: Any) -> dict[str, Any]:  # Any: a JSON value
    """Give what a reply says besides, so that a value is kept in the run's state."""
    return {} if name is None else {"_state": {"set": {name: value}}}


def ended_well(ran: Ran, good: list[int], again: list[int] | None, what: str, where: str) -> None:
    """Check how a program ended.

    Args:
        ran: What became of it.
        good: Exit codes that are no failure.
        again: Exit codes after which it may be tried again; None: all.
        what: The program, for people.
        where: The step.

    Raises:
        StepFailedError: it ended with another code.
    """
    if ran.code in good:
        return
    details: dict[str, Any] = {"exit_code": ran.code, "tail": ran.tail}
    if again is not None and ran.code not in again:
        details["retry"] = None
    cause = "\n".join(ran.tail) or None
    raise StepFailedError(f"{what} ended with code {ran.code}", where=where, cause=cause, details=details)


def _signal(name: str, where: str) -> signal.Signals:
    wanted = name.upper() if name.upper().startswith("SIG") else f"SIG{name.upper()}"
    if wanted not in signal.Signals.__members__:
        hint = did_you_mean(wanted, signal.Signals.__members__)
        raise ParameterError(f"there is no signal `{name[:40]}`", where=f"{where} › stop_signal", hint=hint)
    return signal.Signals[wanted]


def _read_dotenv(paths: list[str]) -> dict[str, str]:
    from workflow_agent.targets.env_file import parse_env_file  # noqa: PLC0415  # late: few steps ask for it

    found: dict[str, str] = {}
    for path in paths:
        try:
            found |= parse_env_file(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise NotFoundError("a file of variables cannot be read", where=path, cause=str(error)) from error
    return found


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text + ("\n" if text else ""), encoding="utf-8")
    except OSError as error:
        raise StepFailedError("the output cannot be written", where=str(path), cause=error.strerror) from error
