"""One look at the world: exact comparisons, real files, processes and sockets."""

from __future__ import annotations

import grp
import json
import os
import pwd
import re
import shutil
import socket
import struct
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.model.errors import UnreachableError, ValidationError
from workflow_agent.targets.probe_checks import find_package, parse_properties, run_check, unit_outcome
from workflow_agent.targets.probe_outcome import ProbeOutcome, Site
from workflow_agent.targets.probe_program import answer, preload, snapshot
from workflow_agent.targets.probe_tcp import ANSWER_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.unit.targets.probe_servers import IPV6, answering, free_port, http, listening, serving
else:  # pytest puts this folder on the path, the type checker knows modules from the root
    from probe_servers import IPV6, answering, free_port, http, listening, serving


def _look(kind: str, *, limit_s: float = 5.0, **spec: Any) -> ProbeOutcome:
    return run_check(kind, spec, Site(time.monotonic() + limit_s, frozenset(), {}))


@contextmanager
def _running(*argv: str) -> Iterator[int]:
    with subprocess.Popen(argv) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end


@pytest.fixture
def sleeper(tmp_path: Path) -> Path:
    """A program of our own that can be replaced while it runs."""
    return Path(shutil.copy("/bin/sleep", tmp_path / "sleeper"))


# file


def test_a_file_is_compared_in_every_aspect(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_text("listen = 9100\n")
    path.chmod(0o640)
    user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name

    outcome = _look("file", path=str(path), mode="0640", owner=f"{user}:{group}", contains="listen = 9100", type="file")

    assert outcome == ProbeOutcome(True, f"is a file, mode 0640, owner {user}:{group}, contains the text")
    assert _look("file", path=str(path), owner=str(os.getuid())).holds
    assert _look("file", path=str(path), owner=f":{os.getgid()}").holds


@pytest.mark.parametrize(
    "difference",
    [
        {"mode": "0644"},
        {"mode": "4640"},
        {"owner": "nobody"},
        {"owner": ":nogroup"},
        {"contains": "listen = 80"},
        {"type": "directory"},
        {"exists": False},
    ],
)
def test_one_different_aspect_fails(tmp_path: Path, difference: dict[str, Any]) -> None:
    path = tmp_path / "a.conf"
    path.write_text("listen = 9100\n")
    path.chmod(0o640)

    assert not _look("file", path=str(path), **difference).holds


def test_a_line_of_a_log_is_found_at_its_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert _look("log", path=str(log), contains="up") == ProbeOutcome(False, "there is no such file")
    assert _look("log", path=str(log), contains="up", present=False).holds
    log.write_bytes(b"is up\n" + b"." * (1 << 20) + b"\nready\xff\n")
    assert _look("log", path=str(log), contains="is up") == ProbeOutcome(
        False, "has no such line; the last one: `ready\ufffd`"
    )
    assert _look("log", path=str(log), contains="ready").holds
    assert not _look("log", path=str(log), contains="ready", present=False).holds


def test_what_is_no_file_is_no_log(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="is no file"):
        _look("log", path=str(tmp_path / "fifo"), contains="up")


def test_links_are_followed_and_a_dangling_one_exists_only_as_a_link(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    (tmp_path / "file").touch()
    good.symlink_to("file")
    bad.symlink_to("nowhere")

    assert _look("file", path=str(good), type="file").holds
    assert _look("file", path=str(good), type="symlink").holds
    assert not _look("file", path=str(bad)).holds
    assert _look("file", path=str(bad), type="symlink").holds
    assert _look("file", path=str(bad), exists=False) == ProbeOutcome(False, "exists, is a symlink")


def test_types_are_told_apart(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")

    assert _look("file", path="/dev/null", type="char").holds
    assert _look("file", path=str(tmp_path), type="directory").holds
    assert _look("file", path=str(tmp_path / "fifo"), type="fifo").holds
    assert not _look("file", path=str(tmp_path / "fifo"), contains="x").holds


def test_below_a_file_there_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert _look("file", path=str(tmp_path / "file/x"), exists=False).holds
    assert not _look("file", path=str(tmp_path / "missing")).holds


# package

_DPKG = """\
Package: libc6
Status: deinstall ok config-files
Architecture: i386
Version: 2.30

Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9
Description: GNU C Library
 Status: install ok not-a-field

Package: nginx
Status: deinstall ok config-files
Version: 1.22

Package: half
Status: install reinstreq half-installed
"""


@pytest.mark.parametrize(
    ("spec", "outcome"),
    [
        ({"name": "libc6"}, (True, "is installed, version 2.36-9")),
        ({"name": "libc6:amd64", "version": "2.36-9"}, (True, "is installed, version 2.36-9")),
        ({"name": "libc6:i386"}, (False, "is not installed (deinstall ok config-files), version 2.30")),
        ({"name": "libc6", "version": "2.36"}, (False, "is installed, version 2.36-9")),
        ({"name": "libc"}, (False, "is not installed")),
        ({"name": "ginx", "installed": False}, (True, "is not installed")),
        ({"name": "nginx"}, (False, "is not installed (deinstall ok config-files), version 1.22")),
        ({"name": "nginx", "installed": False}, (True, "is not installed (deinstall ok config-files), version 1.22")),
        ({"name": "half"}, (False, "is not installed (install reinstreq half-installed)")),
        ({"name": "libc6", "installed": False}, (False, "is installed, version 2.36-9")),
    ],
)
def test_only_installed_is_installed(spec: dict[str, Any], outcome: tuple[bool, str]) -> None:
    assert find_package(spec, _DPKG)[:2] == outcome


def test_the_real_package_database_is_read() -> None:
    if not Path("/var/lib/dpkg/status").exists():
        with pytest.raises(UnreachableError):
            _look("package", name="dpkg")
    else:
        assert _look("package", name="dpkg").holds
        assert _look("package", name="no-such-package", installed=False).holds


# unit


def _unit(active: str, enabled: str = "enabled", load: str = "loaded") -> dict[str, str]:
    text = f"LoadState={load}\nActiveState={active}\nSubState=x=y\nUnitFileState={enabled}\n"
    return parse_properties(text)


@pytest.mark.parametrize("state", ["inactive", "activating", "deactivating", "reloading", "failed", "", "Active"])
def test_only_active_is_active(state: str) -> None:
    """`active` is contained in `inactive`; a stopped service must not pass."""
    assert not unit_outcome({"name": "a"}, _unit(state)).holds
    assert not unit_outcome({"name": "a", "active": True}, _unit(state)).holds
    assert unit_outcome({"name": "a", "active": False}, _unit(state)).holds


@pytest.mark.parametrize("state", ["disabled", "static", "masked", "enabled-not", "", "indirect", "generated"])
def test_only_enabled_is_enabled(state: str) -> None:
    assert not unit_outcome({"name": "a", "enabled": True}, _unit("active", state)).holds
    assert unit_outcome({"name": "a", "enabled": False}, _unit("active", state)).holds


def test_an_active_and_enabled_unit_passes() -> None:
    spec = {"name": "a", "active": True, "enabled": True}

    assert unit_outcome(spec, _unit("active")) == ProbeOutcome(True, "is active (x=y), unit file enabled")
    assert unit_outcome(spec, _unit("active", "enabled-runtime")).holds
    assert unit_outcome({"name": "a", "enabled": True}, _unit("inactive")).holds


def test_a_missing_unit_is_named_as_such() -> None:
    outcome = unit_outcome({"name": "a"}, _unit("inactive", "", "not-found"))

    assert outcome == ProbeOutcome(False, "is inactive (x=y), unit file unknown, not-found")
    assert not unit_outcome({"name": "a"}, {}).holds


# process


def test_a_script_is_the_program_of_its_interpreter(tmp_path: Path) -> None:
    script = tmp_path / "demon"
    script.write_text("#!/bin/sh\nsleep 60\n:\n")
    script.chmod(0o755)
    other = _running("/bin/sleep", "61", str(script))  # only speaks of it, and is no interpreter
    with other, _running(str(script)) as pid:
        _until(lambda: _look("process", exe=str(script)).holds)
        current = _look("process", exe=str(script), current=True)
        again = tmp_path / "new"
        again.write_text("#!/bin/sh\nsleep 60\n")
        os.utime(again, (1, 1))
        _until(lambda: time.time() > script.stat().st_ctime + 1)
        again.rename(script)
        stale = _look("process", exe=str(script), current=True)
        script.unlink()
        removed = _look("process", exe=str(script), running=False)

    assert current.holds, current
    assert f"(pid {pid})" in current.observed
    assert "older than the file on disk" in stale.observed
    assert not removed.holds  # its file is gone, the process is not


def test_a_process_is_found_by_program_name_and_user(sleeper: Path) -> None:
    user = pwd.getpwuid(os.getuid()).pw_name
    with _running(str(sleeper), "60") as pid:
        by_exe = _look("process", exe=str(sleeper), user=user, current=True)
        by_name = _look("process", name="sleeper", exe=str(sleeper))
        other = _look("process", exe=str(sleeper), user="nobody")
        absent = _look("process", exe=str(sleeper), running=False)

    assert by_exe == ProbeOutcome(True, f"is running (pid {pid}) as {user}, the file on disk")
    assert by_name.holds
    assert other == ProbeOutcome(False, f"is running (pid {pid}) as {user}, not as nobody")
    assert not absent.holds
    assert _look("process", exe=str(sleeper), running=False).holds
    assert not _look("process", exe=str(sleeper)).holds


def test_a_replaced_program_is_stale(sleeper: Path) -> None:
    with _running(str(sleeper), "60"):
        replacement = Path(shutil.copy("/bin/sleep", sleeper.with_name("new")))
        replacement.rename(sleeper)
        fresh = _look("process", exe=str(sleeper), current=True)
        stale = _look("process", exe=str(sleeper), current=False)

    assert not fresh.holds
    assert "older than the file on disk" in fresh.observed
    assert stale.holds


def test_a_program_exchanged_by_a_transaction_is_stale(tmp_path: Path) -> None:
    """After an exchange the link names the before-image, without any mark."""
    before = tmp_path / ".workflow-agent/tx/1/upper/usr/bin/demon"
    before.parent.mkdir(parents=True)
    shutil.copy("/bin/sleep", before)
    with _running(str(before), "60"):
        outcome = _look("process", exe="/usr/bin/demon", current=True)

    assert not outcome.holds
    assert "older than the file on disk" in outcome.observed


def test_a_program_reached_through_a_link_is_the_same_program(sleeper: Path) -> None:
    link = sleeper.with_name("link")
    link.symlink_to(sleeper.name)
    with _running(str(sleeper), "60"):
        assert _look("process", exe=str(link), current=True).holds


def test_part_of_a_name_is_not_the_name(sleeper: Path) -> None:
    with _running(str(sleeper), "60"):
        assert not _look("process", name="sleepe").holds
        assert not _look("process", exe=str(sleeper)[:-1]).holds


def test_a_zombie_does_not_run(sleeper: Path) -> None:
    process = subprocess.Popen([str(sleeper), "0"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, not collected

    outcome = _look("process", name="sleeper", running=False)
    process.wait()

    assert outcome.holds


# port


def test_a_tcp_port_is_open_while_something_listens() -> None:
    with listening() as waiting:
        port = waiting.getsockname()[1]
        outcome = _look("port", port=port, protocol="tcp")
        assert not _look("port", port=port, protocol="tcp", open=False).holds
        assert not _look("port", port=port, protocol="udp").holds

    assert outcome.holds
    assert outcome.observed.startswith("listens on 127.0.0.1 by ")
    assert f"(pid {os.getpid()})" in outcome.observed
    assert _look("port", port=port, protocol="tcp", open=False) == ProbeOutcome(True, "nothing listens")
    assert _look("port", port=port, protocol="tcp") == ProbeOutcome(False, "nothing listens")


def test_a_listener_on_another_address_is_named() -> None:
    with listening() as waiting:
        outcome = _look("port", port=waiting.getsockname()[1], protocol="tcp", address="127.0.0.2")

    assert outcome == ProbeOutcome(False, "nothing listens there, but on 127.0.0.1")


def test_a_connected_port_without_a_listener_is_closed() -> None:
    with listening() as waiting:
        port = waiting.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        server, _ = waiting.accept()
    with client, server:
        assert not _look("port", port=port, protocol="tcp").holds


def test_a_listener_that_takes_no_connection_is_not_open() -> None:
    """A full backlog looks like a listener in the kernel's table."""
    with socket.socket() as waiting:
        waiting.bind(("127.0.0.1", 0))
        waiting.listen(0)
        address = waiting.getsockname()
        clients = [socket.socket() for _ in range(3)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(address)
        outcome = _look("port", port=address[1], protocol="tcp", limit_s=0.2)
        for client in clients:
            client.close()

    assert not outcome.holds
    assert "cannot connect" in outcome.observed


def test_a_udp_port_is_open_while_bound() -> None:
    with listening(kind=socket.SOCK_DGRAM) as waiting:
        assert _look("port", port=waiting.getsockname()[1], protocol="udp").holds
        assert not _look("port", port=waiting.getsockname()[1], protocol="udp", open=False).holds


@pytest.mark.parametrize(
    ("bound", "asked", "holds"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.1", "0.0.0.0", False),
        ("0.0.0.0", "0.0.0.0", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("0.0.0.0", "::1", False),
    ],
)
def test_the_address_counts(bound: str, asked: str, holds: bool) -> None:
    with listening(bound) as waiting:
        assert _look("port", port=waiting.getsockname()[1], protocol="tcp", address=asked).holds is holds


@pytest.mark.skipif(not IPV6, reason="this machine has no IPv6")
@pytest.mark.parametrize(
    ("bound", "asked"), [("::1", "0:0::1"), ("::1", None), ("::", "::1"), ("::", "::"), ("::", None)]
)
def test_ipv6_listeners_are_seen(bound: str, asked: str | None) -> None:
    spec: dict[str, Any] = {"address": asked} if asked else {}
    with listening(bound) as waiting:
        assert _look("port", port=waiting.getsockname()[1], protocol="tcp", **spec).holds


@pytest.mark.skipif(not IPV6, reason="this machine has no IPv6")
@pytest.mark.parametrize("only_six", [True, False])
def test_an_ipv6_wildcard_serves_ipv4_unless_told_otherwise(only_six: bool) -> None:
    with socket.socket(socket.AF_INET6) as waiting:
        waiting.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_six)
        waiting.bind(("::", 0))
        waiting.listen()
        port = waiting.getsockname()[1]

        assert _look("port", port=port, protocol="tcp", address="127.0.0.1").holds is not only_six
        assert _look("port", port=port, protocol="tcp", address="0.0.0.0").holds is not only_six
        assert _look("port", port=port, protocol="tcp").holds


def test_a_port_held_by_another_program_fails_and_names_it(sleeper: Path) -> None:
    with listening() as waiting:
        port = waiting.getsockname()[1]
        own = str(Path("/proc/self/exe").readlink())
        good = _look("port", port=port, protocol="tcp", process=own)
        bad = _look("port", port=port, protocol="tcp", process=str(sleeper))
        closed = _look("port", port=port, protocol="tcp", process=str(sleeper), open=False)

    assert good.holds
    assert not bad.holds
    assert own in bad.observed
    assert closed.holds


# http


def test_http_compares_status_text_headers_and_json() -> None:
    body = json.dumps({"status": {"ready": True, "items": [{"n": 1}, {"n": 2}]}})
    with serving(answering(http(body, "200 OK", "Server: demo"))) as port:
        url = f"http://127.0.0.1:{port}/"
        good = _look(
            "http",
            url=url,
            status=200,
            contains='"ready": true',
            header={"server": "demo"},
            json={"status.ready": True, "status.items.1.n": 2, "status.items": [{"n": 1}, {"n": 2}]},
        )
        assert good == ProbeOutcome(True, f"answers 200, {len(body)} bytes")
        for wrong in (
            {"status": 204},
            {"contains": "absent"},
            {"header": {"Server": "dem"}},
            {"header": {"X": ""}},
            {"json": {"status.ready": 1}},
            {"json": {"status.items.1.n": "2"}},
            {"json": {"status.items.9": 1}},
            {"json": {"status.ready.x": 1}},
            {"json": {"status.items": [{"n": 1}]}},
        ):
            assert not _look("http", url=url, **wrong).holds, wrong


def test_an_error_page_with_the_text_does_not_pass() -> None:
    with serving(answering(http("welcome", "500 Oops"))) as port:
        outcome = _look("http", url=f"http://127.0.0.1:{port}/", contains="welcome")

    assert outcome == ProbeOutcome(False, "answers 500, 7 bytes; another status")


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    with serving(answering(http("", "302 Found", "Location: http://127.0.0.1:1/"))) as port:
        assert _look("http", url=f"http://127.0.0.1:{port}/", status=302).holds


@pytest.mark.parametrize("body", ["<html>", "[" * 100_000, b"\xff\xfe"])
def test_what_is_no_json_fails(body: str | bytes) -> None:
    with serving(answering(http(body))) as port:
        outcome = _look("http", url=f"http://127.0.0.1:{port}/", json={"a": 1})

    assert not outcome.holds
    assert "not JSON" in outcome.observed


def test_nobody_there_is_a_failure_not_an_error() -> None:
    port = free_port()

    assert "refused" in _look("http", url=f"http://127.0.0.1:{port}/").observed
    assert not _look("metric", url=f"http://127.0.0.1:{port}/", name="up", present=False).holds


# metric

_METRICS = 'up{job="a"} 0\nup{job="b"} 1\nspeed NaN\nsize 1.5e3\n'


@pytest.mark.parametrize(
    ("spec", "holds", "observed"),
    [
        ({"name": "up"}, True, "value 0, 1"),
        ({"name": "up", "equals": 1}, True, "value 0, 1"),
        ({"name": "up", "labels": {"job": "a"}, "equals": 1}, False, "value 0"),
        ({"name": "up", "labels": {"job": "c"}}, False, "is absent"),
        ({"name": "up", "labels": {"job": "c"}, "present": False}, True, "is absent"),
        ({"name": "up", "present": False}, False, "value 0, 1"),
        ({"name": "size", "min": 1000, "max": 1500}, True, "value 1500"),
        ({"name": "size", "min": 1500.1}, False, "value 1500"),
        ({"name": "size", "max": 1499}, False, "value 1500"),
        ({"name": "speed", "min": 0}, False, "value NaN"),
        ({"name": "speed", "max": 0}, False, "value NaN"),
        ({"name": "speed"}, True, "value NaN"),
    ],
)
def test_metrics_are_compared_by_series_and_range(spec: dict[str, Any], holds: bool, observed: str) -> None:
    with serving(answering(http(_METRICS))) as port:
        assert _look("metric", url=f"http://127.0.0.1:{port}/metrics", **spec) == ProbeOutcome(holds, observed)


@pytest.mark.parametrize(
    ("raw", "observed"),
    [
        (http("starting", "503 Service Unavailable"), "answers 503: starting"),
        (http("up 1\nup{ 1"), "the metrics text is malformed in line 2"),
        (http(b"up 1\n\xff\n"), "the answer is not UTF-8 text"),
    ],
)
def test_a_scrape_that_cannot_be_trusted_never_passes(raw: bytes, observed: str) -> None:
    with serving(answering(raw)) as port:
        url = f"http://127.0.0.1:{port}/metrics"
        positive = _look("metric", url=url, name="up")
        negative = _look("metric", url=url, name="down", present=False)

    assert not positive.holds
    assert positive.observed.startswith(observed)
    assert not negative.holds


# command


def test_a_command_is_judged_by_its_exit_code_and_output() -> None:
    shell = ["/bin/sh", "-c", "echo out; echo err >&2; exit 3"]

    assert _look("command", argv=shell, exit_code=3, stdout_contains="out") == ProbeOutcome(True, "exits with 3: out")
    assert not _look("command", argv=shell).holds
    assert not _look("command", argv=shell, exit_code=3, stdout_contains="err").holds
    assert _look("command", argv=["/bin/sh", "-c", "echo oh >&2"]).observed == "exits with 0: oh"
    assert _look("command", argv=["/bin/sh", "-c", "kill -9 $$"]) == ProbeOutcome(False, "killed by signal 9")


def test_a_command_sees_no_environment_of_ours_and_no_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "leaked")

    assert _look("command", argv=["/bin/sh", "-c", 'echo "[$CANARY]"; cat'], stdout_contains="[]").holds


def test_a_command_that_does_not_end_is_left_in_time(tmp_path: Path) -> None:
    """How long it took is what a busy machine made of the limit; that it was ended, and by us, is no matter of time."""
    own = tmp_path / "pid"
    outcome = _look("command", argv=["/bin/sh", "-c", f"echo $$ >{own}; exec sleep 600"], limit_s=1)

    assert not outcome.holds
    told = re.fullmatch(r"did not end within (\d+\.\d) s", outcome.observed)
    assert told, outcome
    assert 1.0 <= float(told[1]) < 60.0
    if own.exists():  # else it was ended before it began
        assert not Path(f"/proc/{own.read_text(encoding='ascii').strip()}").exists(), "it runs on"


def test_a_background_child_does_not_hold_the_command_up() -> None:
    with_child = "sleep 60 & echo $!; exec echo done"
    outcome = _look("command", argv=["/bin/sh", "-c", with_child], stdout_contains="done", limit_s=5)
    os.kill(int(outcome.observed.split()[3]), 9)

    assert outcome.holds


def test_endless_output_is_bounded() -> None:
    outcome = _look("command", argv=["/bin/sh", "-c", "head -c 30000000 /dev/zero; exit 4"], exit_code=4)

    assert outcome.holds
    assert len(outcome.observed) < 1000


def test_a_command_that_is_not_there_is_an_error() -> None:
    with pytest.raises(UnreachableError, match="cannot be started"):
        _look("command", argv=["/no/such/program"])


# the program's answers


def test_every_failure_becomes_an_answer_that_does_not_hold() -> None:
    own = frozenset[int]()
    checks = [{"kind": "moon", "spec": {}}, {"kind": "file", "spec": {"path": "/"}}, {"kind": "file"}]
    unknown, known, keyless = answer({"ask": "checks", "checks": checks, "limit_s": 1}, own)["data"]
    broken = answer({"ask": "checks"}, own)
    senseless = answer({"ask": "sing"}, own)

    assert unknown["error"] == "unknown kind of check `moon`"
    assert known["holds"]  # whatever is beside it
    assert keyless["error"].startswith("KeyError")
    assert broken["error"].startswith("KeyError")
    assert senseless["error"] == "unknown request `sing`"
    assert not any(reply["holds"] for reply in (unknown, keyless, broken, senseless))


def test_an_unknown_key_never_passes() -> None:
    with pytest.raises(ValidationError):
        _look("file", path="/", present=True)


def test_answers_carry_what_was_seen() -> None:
    preload()
    own = frozenset[int]()

    assert answer({"ask": "hostname"}, own) == {"data": os.uname().nodename}
    good = {"ask": "checks", "checks": [{"kind": "file", "spec": {"path": "/", "type": "directory"}}], "limit_s": 1}
    assert [reply["holds"] for reply in answer(good, own)["data"]] == [True]
    assert "processes" in answer({"ask": "snapshot"}, own)["data"]


def test_a_snapshot_names_processes_and_listeners(sleeper: Path) -> None:
    with _running(str(sleeper), "60") as pid, listening() as waiting:
        port = waiting.getsockname()[1]
        seen = snapshot(frozenset())
        without = snapshot(frozenset({os.getpid()}))

    process = next(item for item in seen["processes"] if item["pid"] == pid)
    assert (process["exe"], process["name"]) == (str(sleeper), "sleeper")
    assert process["started"] > 0
    assert {"protocol": "tcp", "address": "127.0.0.1", "port": port, "pid": os.getpid()} in seen["listeners"]
    assert not {pid, os.getpid()} & {item["pid"] for item in without["processes"]}


# tcp


def _talking(*answers: bytes) -> Callable[[socket.socket], None]:
    """Answer the first line, which `serving` has read, and then each further one."""

    def talk(connection: socket.socket) -> None:
        for number, answer_text in enumerate(answers):
            if number:
                connection.recv(1024)
            connection.sendall(answer_text)

    return talk


def test_a_conversation_holds_when_each_answer_comes() -> None:
    steps = [{"send": "SET a 1\r\n\r\n", "expect": "+OK\r\n"}, {"send": "GET a\r\n", "expect": "1\r\n"}]
    with serving(_talking(b"+OK\r\n", b"$1\r\n1\r\n")) as port:
        assert _look("tcp", port=port, exchange=steps) == ProbeOutcome(True, "answers as expected")


def test_an_answer_does_not_stand_for_a_later_one() -> None:
    steps = [{"send": "a\r\n\r\n", "expect": "OK"}, {"send": "b\r\n", "expect": "OK"}]
    with serving(_talking(b"OK", b"no\n")) as port:
        outcome = _look("tcp", port=port, exchange=steps, limit_s=0.5)

    assert not outcome.holds
    assert outcome.observed in {
        "step 2: it ended the connection, after `no`",
        "step 2: no such answer in time, after `no`",
    }


def test_answers_that_come_together_are_taken_one_by_one() -> None:
    steps = [{"send": "a\r\n\r\n", "expect": "one"}, {"expect": "two"}]
    with serving(_talking(b"one, two")) as port:
        assert _look("tcp", port=port, exchange=steps).holds


def test_a_server_that_says_nothing_is_told_after_the_time() -> None:
    with listening() as waiting:
        port = waiting.getsockname()[1]
        outcome = _look("tcp", port=port, exchange=[{"expect": "220"}], limit_s=0.2)

    assert outcome == ProbeOutcome(False, "step 1: no such answer in time, after ``")


def test_a_server_that_says_too_much_is_given_up() -> None:
    with serving(_talking(b"x" * (ANSWER_LIMIT + 5000))) as port:
        outcome = _look("tcp", port=port, exchange=[{"send": "a\r\n\r\n", "expect": "y"}])

    assert not outcome.holds
    assert outcome.observed.startswith("step 1: it answers too much, after `xxx")


def test_a_server_that_hangs_up_is_told() -> None:
    def hang_up(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not an end

    with serving(hang_up) as port:
        outcome = _look("tcp", port=port, exchange=[{"send": "a\r\n\r\n", "expect": "y"}])

    assert outcome == ProbeOutcome(False, "step 1: Connection reset by peer, after ``")


def test_a_closed_port_has_no_conversation() -> None:
    outcome = _look("tcp", port=(port := free_port()), exchange=[{"expect": "220"}])

    assert outcome == ProbeOutcome(False, f"cannot connect to port {port}: 127.0.0.1: Connection refused")
