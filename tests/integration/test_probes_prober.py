"""The prober polls real files, processes and servers through the real probe program."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.model.errors import UnreachableError
from workflow_agent.model.system import Check, CheckResult, CheckStatus
from workflow_agent.targets.probes import Prober
from workflow_agent.targets.programs import program_argv

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    #: Gives the answer to the n-th request, None to stay silent.
    Answer = Callable[[int], bytes | None]


@pytest.fixture
async def prober() -> AsyncIterator[Prober]:
    prober = Prober()
    yield prober
    await prober.close()


def _check(kind: str, *, timeout_s: float = 10.0, **spec: Any) -> Check:
    return Check(id=f"{kind}-check", kind=kind, spec=spec, timeout_s=timeout_s)


async def _one(prober: Prober, kind: str, *, timeout_s: float = 10.0, **spec: Any) -> CheckResult:
    (result,) = await prober.check([_check(kind, timeout_s=timeout_s, **spec)])
    return result


@asynccontextmanager
async def _serving(answer: Answer) -> AsyncIterator[str]:
    numbers = count(1)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        raw = answer(next(numbers))
        if raw is None:
            await reader.read()  # until the other side gives up
        else:
            writer.write(raw)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/metrics"


def _http(body: str, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


async def _eventually(look: Callable[[], int | None]) -> int:
    """Look until something is seen."""
    async with asyncio.timeout(5):
        while True:
            found = look()
            if found is not None:
                return found
            await asyncio.sleep(0.01)


async def _gone(pid: int) -> None:
    """Return when a process is dead (a zombie that nobody collects counts)."""

    def look() -> int | None:
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return pid
        return pid if state == "Z" else None

    await _eventually(look)


async def _written(path: Path) -> int:
    """Give the number that a process writes into a file."""
    return await _eventually(
        lambda: int(path.read_text()) if path.exists() and path.read_text().endswith("\n") else None
    )


@contextmanager
def _running(*argv: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(argv) as process:
        try:
            yield process
        finally:
            process.kill()


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count of names


async def test_results_come_in_the_order_asked_with_all_that_was_seen(prober: Prober) -> None:
    results = await prober.check(
        [
            Check(id="a", kind="file", spec={"path": "/", "type": "directory"}, description="The root."),
            Check(id="b", kind="file", spec={"path": "/no/such", "mode": "0644"}, timeout_s=1.5),
            Check(id="c", kind="moon", spec={"phase": "full"}),
            Check(id="d", kind="command", spec={"argv": ["/no/such/program"]}),
        ],
    )

    assert [(result.id, result.status) for result in results] == [
        ("a", CheckStatus.PASSED),
        ("b", CheckStatus.FAILED),
        ("c", CheckStatus.ERROR),
        ("d", CheckStatus.ERROR),
    ]
    first, second, third, fourth = results
    assert (first.attempts, first.description, first.expected) == (1, "The root.", "/ exists, is a directory")
    assert first.observed.startswith("is a directory, mode 0755, owner root:root")
    assert second.observed == "does not exist"
    assert second.attempts > 1
    assert second.duration_s >= 1.5
    assert third.observed == "unknown kind of check `moon`"
    assert fourth.observed.startswith("`/no/such/program` cannot be started")


async def test_a_slow_first_scrape_is_waited_for(prober: Prober) -> None:
    def answer(number: int) -> bytes:
        return _http("wait", "503 Service Unavailable") if number <= 3 else _http("up 1\n")

    async with _serving(answer) as url:
        result = await _one(prober, "metric", url=url, name="up", equals=1)

    assert (result.status, result.attempts, result.observed) == (CheckStatus.PASSED, 4, "value 1")
    assert result.duration_s < 5


async def test_time_over_is_a_failure_with_what_was_seen_last(prober: Prober) -> None:
    async with _serving(lambda _: _http("up 0\n")) as url:
        result = await _one(prober, "metric", url=url, name="up", equals=1, timeout_s=0.3)

    assert (result.status, result.observed, result.expected) == (CheckStatus.FAILED, "value 0", "metric up = 1")
    assert 0.3 <= result.duration_s < 3


async def test_no_time_at_all_still_means_one_look(prober: Prober) -> None:
    result = await _one(prober, "file", path="/", timeout_s=0)

    assert (result.status, result.attempts) == (CheckStatus.PASSED, 1)


async def test_an_absence_must_hold_twice(prober: Prober) -> None:
    result = await _one(prober, "file", path="/no/such", exists=False)

    assert (result.status, result.attempts) == (CheckStatus.PASSED, 2)
    assert result.duration_s >= 0.05


async def test_what_is_only_slow_to_appear_is_not_absent(prober: Prober) -> None:
    async with _serving(lambda number: _http("" if number == 1 else "down 1\n")) as url:
        result = await _one(prober, "metric", url=url, name="down", present=False, timeout_s=2)

    assert (result.status, result.observed) == (CheckStatus.FAILED, "value 1")
    assert result.attempts > 2


async def test_a_silent_server_does_not_hold_the_other_checks_up(prober: Prober) -> None:
    async with _serving(lambda _: None) as url:
        started = time.monotonic()
        silent, quick = await prober.check(
            [_check("http", url=url, timeout_s=1.2), _check("file", path="/", timeout_s=1.2)]
        )

    assert quick.status is CheckStatus.PASSED
    assert quick.duration_s < 1
    assert silent.status is CheckStatus.FAILED
    assert silent.observed.startswith("the answer did not end in time")
    assert time.monotonic() - started < 5


async def test_checks_of_one_page_are_about_one_answer(prober: Prober) -> None:
    asked: list[int] = []

    def answer(number: int) -> bytes:
        asked.append(number)
        return _http(f"up {int(number > 1)}\nages {number}\n")

    async with _serving(answer) as url:
        up, here, gone, wrong = await prober.check(
            [
                _check("metric", url=url, name="up", equals=1),
                _check("metric", url=url, name="ages", min=1),
                _check("metric", url=url, name="down", present=False),
                _check("metric", url=url, name="up", equals="one"),
            ]
        )

    # The first page lacks one, and says of another that it is absent, which must hold twice.
    assert asked == [1, 2, 3]
    assert [(each.status, each.attempts) for each in (up, here, gone)] == [
        (CheckStatus.PASSED, 2),
        (CheckStatus.PASSED, 1),
        (CheckStatus.PASSED, 2),
    ]
    assert here.observed == "value 1"
    assert wrong.status is CheckStatus.ERROR


async def test_checks_of_one_page_with_other_times_do_not_wait_for_each_other(prober: Prober) -> None:
    async with _serving(lambda number: _http("up 0\n" if number < 10 else "up 1\n")) as url:
        short, long = await prober.check(
            [
                _check("metric", url=url, name="up", equals=1, timeout_s=0.2),
                _check("metric", url=url, name="up", equals=1, timeout_s=30),
            ]
        )

    assert (short.status, long.status) == (CheckStatus.FAILED, CheckStatus.PASSED)
    assert short.duration_s < long.duration_s


async def test_many_checks_share_one_program(prober: Prober) -> None:
    results = await prober.check([_check("file", path="/")] * 100)

    assert {result.status for result in results} == {CheckStatus.PASSED}


async def test_read_only_mappings_and_tuples_are_carried(prober: Prober) -> None:
    result = await _one(prober, "command", argv=("/bin/echo", "hello"), stdout_contains="hello")

    assert result.status is CheckStatus.PASSED


async def test_a_value_that_is_no_json_is_an_error(prober: Prober) -> None:
    result = await _one(prober, "http", url="http://127.0.0.1:1/", json={"a": {1, 2}})

    assert result.status is CheckStatus.ERROR
    assert result.observed == "`json` of a http check must be a mapping of JSON values: {'a': {1, 2}}"


async def test_a_command_leaves_nothing_behind(prober: Prober, tmp_path: Path) -> None:
    script = f"sleep 1000 & echo $! > {tmp_path}/pid; exit 0"
    result = await _one(prober, "command", argv=["/bin/sh", "-c", script])

    assert result.status is CheckStatus.PASSED
    await _gone(await _written(tmp_path / "pid"))


async def test_a_command_that_runs_out_of_time_dies(prober: Prober, tmp_path: Path) -> None:
    script = f"echo $$ > {tmp_path}/pid; sleep 1000; true"
    result = await _one(prober, "command", argv=["/bin/sh", "-c", script], timeout_s=0.2)

    assert (result.status, result.observed[:14]) == (CheckStatus.FAILED, "did not end wi")
    await _gone(await _written(tmp_path / "pid"))


async def test_cancelling_a_check_ends_its_command(prober: Prober, tmp_path: Path) -> None:
    script = f"echo $$ > {tmp_path}/pid; sleep 1000; true"
    task = asyncio.create_task(_one(prober, "command", argv=["/bin/sh", "-c", script], timeout_s=60))
    pid = await _written(tmp_path / "pid")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await _gone(pid)
    assert (await _one(prober, "file", path="/")).status is CheckStatus.PASSED


def _program_pids() -> list[int]:
    """List the probe programs that this process started."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if b"probe_program" in command and parent == os.getpid():
            found.append(int(entry.name))
    return found


async def test_a_program_that_died_is_started_again(prober: Prober) -> None:
    await prober.hostname()
    (pid,) = _program_pids()
    os.kill(pid, signal.SIGKILL)

    assert (await _one(prober, "file", path="/")).status is CheckStatus.PASSED
    assert _program_pids() != [pid]


async def test_a_program_that_dies_again_and_again_gives_an_error(prober: Prober) -> None:
    kill_the_server = 'kill -9 $(cut -d" " -f4 /proc/$PPID/stat)'
    result = await _one(prober, "command", argv=["/bin/sh", "-c", kill_the_server])

    assert result.status is CheckStatus.ERROR
    assert result.observed.startswith("the probe program died twice")


async def test_closing_ends_the_program_and_leaks_nothing() -> None:
    prober = Prober()
    await prober.hostname()
    await prober.close()
    before = _descriptors()
    for _ in range(5):
        await prober.hostname()  # asking again starts it again
        (pid,) = _program_pids()
        await prober.close()
        await _gone(pid)

    assert _descriptors() <= before
    assert _program_pids() == []
    assert repr(prober) == "<Prober of process 0, not started>"


async def test_closing_while_a_check_runs_gives_an_error_result(prober: Prober, tmp_path: Path) -> None:
    script = f"echo $$ > {tmp_path}/pid; sleep 1000; true"
    task = asyncio.create_task(_one(prober, "command", argv=["/bin/sh", "-c", script], timeout_s=60))
    pid = await _written(tmp_path / "pid")
    await prober.close()

    assert (await task).status is CheckStatus.ERROR
    await _gone(pid)


async def test_a_target_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with _running("true") as process:
        process.wait()
    prober = Prober(process.pid)
    try:
        result = await _one(prober, "file", path=str(tmp_path))
        with pytest.raises(UnreachableError):
            await prober.snapshot()
    finally:
        await prober.close()

    assert result.status is CheckStatus.ERROR
    assert "cannot enter the target" in result.observed


async def test_cancelling_the_start_leaves_nothing_behind(prober: Prober) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await prober.hostname()

    assert _program_pids() == []
    assert await prober.hostname() == os.uname().nodename


_WITHOUT_IPV6 = """
import fcntl, socket, struct
from workflow_agent.targets.linux import CLONE_NEWNET, unshare
unshare(CLONE_NEWNET)
open("/proc/sys/net/ipv6/conf/all/disable_ipv6", "w").write("1")
with socket.socket() as any_socket:  # SIOCSIFFLAGS: the loopback device is up
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", b"lo", 1))
server = socket.create_server(("127.0.0.1", 8080))
print("ready", flush=True)
while True:
    connection, _ = server.accept()
    connection.recv(9999)
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nup 1\\n")
    connection.close()
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root")
async def test_a_network_without_ipv6_is_probed_over_ipv4() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _WITHOUT_IPV6, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    prober = Prober(process.pid)
    try:
        assert await process.stdout.readline() == b"ready\n"
        results = await prober.check(
            [
                _check("port", port=8080, protocol="tcp"),
                _check("metric", url="http://localhost:8080/", name="up", equals=1),
                _check("http", url="http://[::1]:8080/", timeout_s=0.1),
                _check("port", port=8080, protocol="tcp", address="::1", open=False),
            ]
        )
    finally:
        await prober.close()
        process.kill()
        await process.communicate()

    passed, failed = CheckStatus.PASSED, CheckStatus.FAILED
    assert [result.status for result in results] == [passed, passed, failed, passed], results


async def test_a_snapshot_shows_what_came_and_went(prober: Prober) -> None:
    before = await prober.snapshot()
    with _running("sleep", "60") as process:
        async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            between = await prober.snapshot()

    def pids(snapshot: dict[str, Any]) -> set[int]:
        return {item["pid"] for item in snapshot["processes"]}

    assert process.pid in pids(between) - pids(before)
    assert (port, os.getpid()) in {(item["port"], item["pid"]) for item in between["listeners"]}
    assert port not in {item["port"] for item in before["listeners"]}
    assert not pids(between) & set(_program_pids())


async def test_the_program_dies_with_its_parent(tmp_path: Path) -> None:
    code = f"""
import asyncio
from workflow_agent.model.system import Check
from workflow_agent.targets.probes import Prober

script = "echo $$ > {tmp_path}/command; cut -d' ' -f4 /proc/$PPID/stat > {tmp_path}/server; sleep 1000; true"
check = Check(id="a", kind="command", spec={{"argv": ["/bin/sh", "-c", script]}}, timeout_s=60)
asyncio.run(Prober().check([check]))
"""
    with _running(sys.executable, "-c", code):
        pids = [await _written(tmp_path / "command"), await _written(tmp_path / "server")]

    for pid in pids:
        await _gone(pid)


_MANY_LOOKS = """
import asyncio
from workflow_agent.model.system import Check
from workflow_agent.targets.probes import Prober

async def main():
    prober = Prober()
    await prober.hostname()
    print("ready", flush=True)
    await prober.check([Check(id="a", kind="file", spec={"path": "/no/such"}, timeout_s=60)] * 30)

asyncio.run(main())
"""


def _with_mark(mark: bytes) -> list[int]:
    """List the processes that carry a mark in their environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


async def test_a_look_that_begins_while_the_program_dies_does_not_outlive_it(tmp_path: Path) -> None:
    """Between fork and the request to die with the parent, the parent may be gone already."""
    for number in range(8):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _MANY_LOOKS, stdout=subprocess.PIPE, env={"MARK": str(tmp_path)}
        )
        assert process.stdout is not None
        await process.stdout.readline()
        await asyncio.sleep(number / 200)  # to hit another moment each time
        process.kill()
        await process.communicate()

    await _eventually(lambda: None if _with_mark(str(tmp_path).encode()) else 0)


def test_nothing_is_loaded_after_the_namespaces_were_entered(tmp_path: Path) -> None:
    """After entering, Python's own files are out of reach: a late import would fail only on a real target."""
    specs = [
        ("file", {"path": "/etc/passwd", "mode": "0644", "owner": "root:root", "contains": "root"}),
        ("file", {"path": "relative"}),
        ("package", {"name": "dpkg"}),
        ("unit", {"name": "a.service"}),
        ("process", {"exe": sys.executable, "user": "root", "current": True}),
        ("port", {"port": 1, "protocol": "tcp", "address": "::1"}),
        ("port", {"port": 1, "protocol": "udp", "open": False}),
        ("http", {"url": "http://localhost:1/x?y=z", "json": {"a": 1}}),
        ("http", {"url": "http://no-such-name/"}),
        ("http", {"url": "http://[::1]:1/"}),
        ("http", {"url": "https://[::1/"}),
        ("http", {"url": "SERVER", "json": {"a": 1}, "header": {"a": "b"}}),
        ("metric", {"url": "SERVER", "name": "up"}),
        ("command", {"argv": ["/bin/sh", "-c", "echo \\374; exit 3"]}),
        ("command", {"argv": ["no-such-program"]}),
        ("command", {"argv": ["/bin/sleep", "9"]}),
    ]
    code = """
import json, os, socket, sys
sys.path.insert(0, sys.argv[1])
from workflow_agent.targets import probe_program
probe_program.preload()
server = socket.create_server(("127.0.0.1", 0))
url = "http://127.0.0.1:%d/" % server.getsockname()[1]
if os.fork() == 0:
    while True:
        connection, _ = server.accept()
        connection.recv(9999)
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nup{ 1")
        connection.close()
loaded = []
sys.addaudithook(lambda event, args: loaded.append(args[0]) if event == "import" else None)
replies = []
for kind, spec in json.loads(sys.argv[2]):
    spec = {key: url if value == "SERVER" else value for key, value in spec.items()}
    request = {"ask": "checks", "checks": [{"kind": kind, "spec": spec}], "limit_s": 0.2}
    replies.append(probe_program.answer(request, frozenset()))
replies.append(probe_program.answer({"ask": "snapshot"}, frozenset()))
replies.append(probe_program.answer({"ask": "hostname"}, frozenset()))
json.dumps(replies)
os.write(1, repr(loaded).encode())
os.killpg(0, 9)
"""
    root = program_argv("x")[4].split("'")[1]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, root, json.dumps(specs)],
        check=False,
        capture_output=True,
        start_new_session=True,
        timeout=30,
    )

    assert done.stdout == b"[]", done.stderr.decode()
