"""Commands on another machine: a real sshd of this test, on this machine, with keys of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent import Step, Workflow, WorkflowClient, secret
from workflow_agent.agents.ssh_agent import SshRequest, ssh_command
from workflow_agent.model.errors import (
    NotFoundError,
    ParameterError,
    StepFailedError,
    StepTimeoutError,
    UnreachableError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
_NO_SSHD = "there is no sshd: apt-get install openssh-server"
#: Where sshd as root shuts itself in before somebody has logged in. Source: sshd(8), FILES.
_EMPTY = Path("/run/sshd")


@dataclass(frozen=True)
class Machine:
    """How the daemon is reached."""

    port: int
    key: str
    known: str


def new_key(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


def connections(port: int) -> str:
    """Give the ids of the clients that speak to a port."""
    found = subprocess.run(["pgrep", "-f", f"ssh -T .*{port}"], capture_output=True, text=True, check=False)
    return found.stdout


@contextmanager
def daemon(folder: Path) -> Iterator[Machine]:
    for name in ("host", "user"):
        new_key(folder / name)
    shutil.copyfile(folder / "user.pub", folder / "authorized")
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = int(found.getsockname()[1])
    (folder / "known hosts").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    options = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "authorized",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "UsePAM": "no",
        "StrictModes": "no",
        "PidFile": "none",
        "PrintMotd": "no",
    }
    made_empty = os.geteuid() == 0 and not _EMPTY.exists()
    if made_empty:
        _EMPTY.mkdir(mode=0o755)
    assert _SSHD is not None
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([_SSHD, "-D", "-e", "-f", "/dev/null", *words], stderr=log)
    try:
        _wait_for(port, process, folder / "log")
        yield Machine(port, str(folder / "user"), str(folder / "known hosts"))
    finally:
        process.terminate()
        process.wait(10)
        if made_empty:
            _EMPTY.rmdir()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 20
    while True:
        with socket.socket() as connection:
            if connection.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    if _SSHD is None:
        pytest.skip(_NO_SSHD)
    with daemon(tmp_path_factory.mktemp("ssh")) as made:
        yield made


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[WorkflowClient]:
    async with WorkflowClient(settings={"paths.state": str(tmp_path / "state")}) as opened:
        yield opened


def on(machine: Machine, command: str, **more: Any) -> Workflow:
    said = {"key_file": machine.key, "known_hosts": machine.known} | more
    return Workflow("remote", steps=[Step("there").ssh("127.0.0.1", command, getpass.getuser(), machine.port, **said)])


async def test_a_command_runs_there_and_reads_a_secret_that_no_record_has(
    machine: Machine, client: WorkflowClient, tmp_path: Path
) -> None:
    made = on(machine, 'read -r x; echo "$SSH_CONNECTION" | cut -d" " -f4; echo "got $x"', stdin=secret("token"))

    execution = await client.run_workflow(made, secrets={"token": "a-very-secret-token"})
    result = await execution.get_result()

    assert result == {"stdout": f"{machine.port}\ngot ***", "exit_code": 0, "truncated": False}
    kept = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file())
    assert b"a-very-secret-token" not in kept


async def test_how_it_ends_there_is_how_the_step_ends(machine: Machine, client: WorkflowClient) -> None:
    with pytest.raises(StepFailedError, match="ended with code 3") as failed:
        await (await client.run_workflow(on(machine, "echo no >&2; exit 3"))).get_result()

    assert failed.value.cause == "no"
    good = await client.run_workflow(on(machine, "exit 3", exit_codes=[0, 3]))
    assert (await good.get_result())["exit_code"] == 3


async def test_a_machine_that_is_not_known_is_not_spoken_to(
    machine: Machine, client: WorkflowClient, tmp_path: Path
) -> None:
    (tmp_path / "nobody").touch()
    left = tmp_path / "left"

    with pytest.raises(UnreachableError, match="ssh could not run") as failed:
        await (
            await client.run_workflow(on(machine, f"touch {left}", known_hosts=str(tmp_path / "nobody")))
        ).get_result()

    assert "Host key verification failed" in str(failed.value.cause)
    assert not left.exists()
    assert (tmp_path / "nobody").read_text() == ""


async def test_nobody_is_asked_for_a_password(machine: Machine, client: WorkflowClient, tmp_path: Path) -> None:
    key = tmp_path / "other"
    new_key(key)

    with pytest.raises(UnreachableError) as failed:
        await (await client.run_workflow(on(machine, "true", key_file=str(key)))).get_result()

    assert "Permission denied" in str(failed.value.cause)


async def test_a_step_that_takes_too_long_ends_the_connection(machine: Machine, client: WorkflowClient) -> None:
    slow = Workflow("slow", steps=[Step("there").ssh(
        "127.0.0.1", "sleep 60", getpass.getuser(), machine.port, key_file=machine.key, known_hosts=machine.known
    ).timeout(1)])  # fmt: skip

    with pytest.raises(StepTimeoutError):
        await (await client.run_workflow(slow)).get_result()

    assert connections(machine.port) == ""


@pytest.mark.parametrize("said", [{"host": "-oProxyCommand=x"}, {"host": "a b"}, {"host": "h", "user": "-lroot"}])
def test_a_host_cannot_be_an_option(said: dict[str, str]) -> None:
    with pytest.raises(ParameterError):
        ssh_command(SshRequest.model_validate({"command": "true", **said}), "there")


def test_a_key_that_is_not_there_is_said_before_anything_is_done(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no file"):
        ssh_command(SshRequest(host="h", command="true", key_file=str(tmp_path / "gone")), "there")
