"""Commands run live, here on our own system: real processes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

import pytest

from workflow_agent.model.errors import InternalError, UnreachableError
from workflow_agent.targets.enter_program import session_members
from workflow_agent.targets.live import ask_program, drop_ready, make_ready, run_live


def alive(pid: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return fields[0] not in "ZX"


async def gone(pid: int) -> bool:
    async with asyncio.timeout(20):
        while alive(pid):  # noqa: ASYNC110  # another process's life
            await asyncio.sleep(0.01)
    return True


async def test_output_and_exit_code_come_back_apart() -> None:
    result = await run_live(0, ["sh", "-c", "echo out; echo err >&2; exit 3"], timeout_s=20)

    assert (result.exit_code, result.stdout, result.stderr, result.timed_out) == (3, "out\n", "err\n", False)
    assert not result.ok
    assert result.last_lines(1) == "err"


async def test_the_environment_is_clean_but_for_what_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "canary")

    result = await run_live(0, ["env"], timeout_s=20, env={"EXTRA": "a b"})

    assert sorted(result.stdout.splitlines()) == [
        "EXTRA=a b",
        "LANG=C.UTF-8",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ]


async def test_the_command_has_a_session_a_root_folder_and_three_descriptors() -> None:
    script = "pwd; umask; for one in /proc/self/fd/*; do [ -e $one ] && echo ${one##*/}; done; read x || echo empty"

    result = await run_live(0, ["sh", "-c", script], timeout_s=20)

    lines = result.stdout.split()
    assert lines[:2] == ["/", "0022"]
    assert set(lines[2:-1]) <= {"0", "1", "2", "10"}  # 10: dash keeps a copy for the glob's loop
    assert lines[-1] == "empty"
    own = await run_live(0, ["sh", "-c", "cut -d' ' -f1,5,6 /proc/$$/stat"], timeout_s=20)
    assert len(set(own.stdout.split())) == 1


async def test_input_is_given_as_it_is() -> None:
    data = bytes(range(256)) * 1000

    result = await run_live(0, ["sha256sum"], timeout_s=20, stdin=data)

    assert result.stdout.split()[0] == hashlib.sha256(data).hexdigest()


async def test_writing_to_the_device_of_standard_error_keeps_what_was_there() -> None:
    result = await run_live(0, ["sh", "-c", "echo one >&2; echo two >/dev/stderr; echo three >&2"], timeout_s=20)

    assert result.stderr == "one\ntwo\nthree\n"


async def test_long_output_keeps_both_ends() -> None:
    script = "echo first; head -c 300000 /dev/zero | tr '\\0' x; echo; echo last"

    result = await run_live(0, ["sh", "-c", script], timeout_s=30, output_limit=1000)

    assert result.stdout.startswith("first\n")
    assert result.stdout.endswith("\nlast\n")
    assert "bytes left out" in result.stdout
    assert len(result.stdout) < 1100


async def test_bytes_that_are_no_text_do_not_hurt() -> None:
    result = await run_live(0, ["printf", "a\\377b"], timeout_s=20)

    assert result.stdout == "a\ufffdb"


@pytest.mark.parametrize(("command", "code"), [("no-such-command", 127), ("/etc/passwd", 126), ("/etc/passwd/x", 127)])
async def test_a_command_that_cannot_be_run_says_so(command: str, code: int) -> None:
    result = await run_live(0, [command], timeout_s=20)

    assert result.exit_code == code
    assert command in result.stderr


async def test_a_signal_is_a_negative_code() -> None:
    assert (await run_live(0, ["sh", "-c", "kill -USR1 $$"], timeout_s=20)).exit_code == -10


async def test_default_signals_are_restored() -> None:
    result = await run_live(0, ["sh", "-c", "yes | head -n 1"], timeout_s=20)

    assert (result.exit_code, result.stdout, result.stderr) == (0, "y\n", "")


async def test_time_over_kills_every_group_of_the_session(tmp_path: Path) -> None:
    script = f"timeout 100 sleep 101 & echo $! >{tmp_path}/other; echo $$ >{tmp_path}/own; echo said; sleep 100"

    result = await run_live(0, ["sh", "-c", script], timeout_s=0.5)

    assert (result.timed_out, result.stdout) == (True, "said\n")
    assert not result.ok
    assert await gone(int((tmp_path / "other").read_text()))
    assert session_members(int((tmp_path / "own").read_text())) == []


async def test_a_daemon_is_left_running_and_may_go_on_writing(tmp_path: Path) -> None:
    """Waiting for the end of its output would be waiting for ever; closing it would kill the daemon."""
    # The first process waits until the command that started it is gone, then writes more than a pipe holds.
    script = (
        f"setsid sh -c 'while [ ! -e {tmp_path}/go ]; do sleep 0.01; done;"
        f" head -c 200000 /dev/zero; echo $? >{tmp_path}/done; exec sleep 100' & echo $!"
    )
    started = time.monotonic()

    result = await run_live(0, ["sh", "-c", script], timeout_s=60)

    daemon = int(result.stdout)
    assert time.monotonic() - started < 30
    assert alive(daemon)
    (tmp_path / "go").touch()
    async with asyncio.timeout(20):
        while not (tmp_path / "done").exists() or not (tmp_path / "done").read_text():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert (tmp_path / "done").read_text() == "0\n"
    os.kill(daemon, 9)


async def test_cancelling_kills_the_command(tmp_path: Path) -> None:
    script = f"echo $$ >{tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; sleep 100"
    task = asyncio.create_task(run_live(0, ["sh", "-c", script], timeout_s=60))
    async with asyncio.timeout(20):
        while not (tmp_path / "pid").exists():  # noqa: ASYNC110  # another process writes it
            await asyncio.sleep(0.01)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await gone(int((tmp_path / "pid").read_text()))


async def test_a_process_that_is_gone_has_no_system_to_enter() -> None:
    with pytest.raises(UnreachableError, match="cannot be entered") as caught:
        await run_live(2**22 - 3, ["true"], timeout_s=20)

    assert "No such file" in str(caught.value.cause)


async def test_a_program_that_gives_no_answer_is_a_defect_of_ours() -> None:
    with pytest.raises(InternalError, match="no answer") as caught:
        await ask_program("enter_program", {}, timeout_s=20)
    with pytest.raises(InternalError, match="no answer"):
        await run_live_without_patience()

    assert "KeyError" in str(caught.value.cause)


async def run_live_without_patience() -> None:
    request = {
        "pid": 0,
        "argv": ["sleep", "50"],
        "env": {"PATH": "/bin"},
        "stdin": None,
        "timeout_s": 60,
        "output_limit": 9,
    }
    await ask_program("enter_program", request, timeout_s=0.3)


def started_by_us(name: str) -> set[int]:
    """Give the children of this process that run a program of ours."""
    found = set()
    for folder in Path("/proc").iterdir():
        with suppress(OSError):  # it ended meanwhile
            if folder.name.isdecimal() and name in (folder / "cmdline").read_text(encoding="utf-8", errors="replace"):
                parent = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1]
                found |= {int(folder.name)} if int(parent) == os.getpid() else set()
    return found


async def the_ready_one() -> int:
    """Give the program that was made ready, as soon as its name can be read: exec(2) shows it late."""
    async with asyncio.timeout(10):
        while not (found := started_by_us("enter_program")):  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)
    (ready,) = found
    return ready


async def test_a_program_that_was_made_ready_is_the_one_that_runs_the_next_command() -> None:
    await make_ready()
    await make_ready()
    ready = await the_ready_one()

    result = await run_live(0, ["sh", "-c", "cut -d ' ' -f 4 /proc/$$/stat"], timeout_s=20)

    assert int(result.stdout) == ready
    assert not started_by_us("enter_program")
    assert (await run_live(0, ["echo", "again"], timeout_s=20)).stdout == "again\n"


async def test_a_program_that_nobody_needed_is_ended() -> None:
    await make_ready()
    ready = await the_ready_one()

    await drop_ready()
    await drop_ready()

    assert await gone(ready)


async def test_what_another_event_loop_made_ready_is_left_alone() -> None:
    def elsewhere() -> None:
        async def leave() -> None:
            await make_ready()
            await drop_ready()

        asyncio.run(leave())

    await make_ready()
    before = {await the_ready_one()}
    await asyncio.to_thread(elsewhere)
    assert started_by_us("enter_program") == before
    await drop_ready()
