"""The ssh agent: a command on another machine, by the system's ``ssh`` client, which nobody can ask anything.

Host keys are checked, always: of a machine that is not in the file of known hosts nothing is believed. Agents, X11 and
ports are not forwarded. Keys are files: their contents never come by here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from workflow_agent.agents.command_agents import ShellReply, ended_well, keep
from workflow_agent.agents.flow_log import FlowLog
from workflow_agent.agents.given_secrets import filled
from workflow_agent.agents.logged_process import MOST_BYTES, Program, run_logged
from workflow_agent.agents.masking import masked
from workflow_agent.agents.serving import Answer, Question, Verb
from workflow_agent.authoring.durations import duration_s
from workflow_agent.model.errors import NotFoundError, ParameterError, UnreachableError
from workflow_agent.model.exact import Within

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from workflow_agent.model.message import Message
    from workflow_agent.model.ports import Bus, Clock
    from workflow_agent.security.vault import Vault

__all__ = ["SshAgent", "SshRequest", "ssh_command"]

#: A name or an address that ssh cannot take for an option.
_HOST: Final = re.compile(r"[A-Za-z0-9_\[:][A-Za-z0-9._:%\]-]{0,252}")
_USER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@\\-]{0,63}")
#: What ssh says when it could not do what was asked itself. Source: ssh(1), EXIT STATUS.
_OWN_FAILURE: Final = 255
#: Exit codes that are the client's own when no answer came.
_ONE_TRY: Final = "1"


class SshRequest(Question):
    """Run a command on another machine.

    `key_file` and `known_hosts` are paths; without them ssh uses its own. `stdin` may name a secret:
    ``{"$secret": "token"}``: what stands in `command`, everybody on that machine can read. `timeout` is for the
    connection. When the step is stopped the connection ends; what the command does after that, that machine decides.
    """

    host: str
    command: str
    user: str | None = None
    port: Annotated[int, Within(ge=1, le=65535)] = 22
    key_file: str | None = None
    known_hosts: str | None = None
    stdin: Any = None
    timeout: str = "30s"
    keep_as: str | None = None
    exit_codes: list[int] | None = None
    max_output: int = MOST_BYTES


class SshAgent:
    """Answers ``ssh.run``.

    Args:
        bus: Tells watchers.
        clock: Times of log lines.
        artifacts: Gives the folder for a run's files.
        vault: The secrets of runs.
        program: The client.
    """

    name = "ssh"

    def __init__(
        self, bus: Bus, clock: Clock, artifacts: Callable[[str], Path], vault: Vault, program: str = "ssh"
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._artifacts = artifacts
        self._vault = vault
        self._program = program

    def verbs(self) -> Mapping[str, Verb]:
        """Run."""
        return masked(self._vault, {"run": Verb(SshRequest, ShellReply, self._run)})

    async def _run(self, request: SshRequest, message: Message) -> tuple[Answer, Mapping[str, Any]]:
        where, run_id = str(message.step_id), str(message.run_id)
        stdin = filled(request.stdin, self._vault, run_id)
        if stdin is not None and not isinstance(stdin, str):
            raise ParameterError("`stdin` must be a text", where=where)
        command = ssh_command(request, where, self._program)
        path = self._artifacts(run_id) / "output.log"
        log = FlowLog(self._bus, lambda: path, message, self._clock, self._vault.masker(run_id))
        program = Program(command=command, env={}, stdin=stdin, most_bytes=request.max_output)
        ran = await run_logged(program, message, log)
        good = [0] if request.exit_codes is None else request.exit_codes
        if ran.code == _OWN_FAILURE and _OWN_FAILURE not in good:
            raise UnreachableError(
                f"ssh could not run the command on `{request.host}`",
                where=where,
                cause="\n".join(ran.tail) or None,
                hint=f"try it by hand: `ssh -p {request.port} {request.host} true`",
            )
        ended_well(ran, good, None, f"the command on `{request.host}`", where)
        reply = ShellReply(stdout=ran.text, exit_code=ran.code, truncated=ran.truncated)
        return reply, keep(request.keep_as, ran.text)


def ssh_command(request: SshRequest, where: str, program: str = "ssh") -> list[str]:
    """Give the command line.

    Raises:
        ParameterError: host or user cannot be meant so.
        NotFoundError: a file is not there.
    """
    if not _HOST.fullmatch(request.host):
        raise ParameterError(f"`{request.host[:60]}` is no host", where=f"{where} › host")
    if request.user is not None and not _USER.fullmatch(request.user):
        raise ParameterError(f"`{request.user[:60]}` is no user", where=f"{where} › user")
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "ConnectTimeout": str(max(1, round(duration_s(request.timeout, where=f"{where} › timeout")))),
        "ConnectionAttempts": _ONE_TRY,
        "ClearAllForwardings": "yes",
        "ForwardAgent": "no",
        "LogLevel": "ERROR",
    }
    if request.known_hosts is not None:
        options |= {"UserKnownHostsFile": _file(request.known_hosts, where), "GlobalKnownHostsFile": "/dev/null"}
    if request.key_file is not None:
        options |= {"IdentityFile": _file(request.key_file, where), "IdentitiesOnly": "yes"}
    given = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    user = [] if request.user is None else ["-l", request.user]
    return [program, "-T", *given, "-p", str(request.port), *user, "--", request.host, request.command]


def _file(name: str, where: str) -> str:
    path = Path(name).expanduser()
    if not path.is_file():
        raise NotFoundError(f"there is no file `{name[:100]}`", where=where)
    # ssh reads quotes and blanks in the values of its options
    return f'"{path.absolute()}"'
