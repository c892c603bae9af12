"""Probes see what lives in a real host's namespaces, and only that."""

from __future__ import annotations

import os
import subprocess
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from workflow_agent.model.system import Check, CheckStatus, InitKind
from workflow_agent.targets.facts import read_facts
from workflow_agent.targets.probes import Prober

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from workflow_agent.model.system import CheckResult
    from workflow_agent.testing.lab import LabHost

_PORT = 18080
#: The image has no Python; perl is in every Debian. Answers each connection with one metric.
_SERVER = f"""
use IO::Socket::INET;
my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => {_PORT}, Listen => 16, ReuseAddr => 1);
$| = 1; print "ready\\n";
while (my $client = $server->accept()) {{
  while (<$client>) {{ last if /^\\r?$/ }}
  print $client "HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nup 1\\n"; close $client;
}}
"""


@contextmanager
def _inside(lab: LabHost, *argv: str) -> Iterator[subprocess.Popen[str]]:
    """Run a process in the lab until the end of the block."""
    enter = ["nsenter", f"--target={lab.pid}", "-m", "-u", "-i", "-n", "-p", "-r", "-w", "--kill-child", "--"]
    if "--kill-child" not in subprocess.run(["nsenter", "--help"], check=True, capture_output=True, text=True).stdout:
        enter.remove("--kill-child")
    with subprocess.Popen([*enter, *argv], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@asynccontextmanager
async def _prober(pid: int) -> AsyncIterator[Prober]:
    prober = Prober(pid)
    try:
        yield prober
    finally:
        await prober.close()


def _checks(timeout_s: float, *pairs: tuple[str, dict[str, Any]]) -> list[Check]:
    return [
        Check(id=str(number), kind=kind, spec=spec, timeout_s=timeout_s) for number, (kind, spec) in enumerate(pairs)
    ]


def _statuses(results: Sequence[CheckResult]) -> list[CheckStatus]:
    return [result.status for result in results]


async def test_a_listener_in_a_host_is_seen_inside_and_not_outside(lab_plain: LabHost) -> None:
    url = f"http://127.0.0.1:{_PORT}/metrics"
    checks = _checks(
        2.0,
        ("port", {"port": _PORT, "protocol": "tcp", "address": "127.0.0.1", "process": "/usr/bin/perl"}),
        ("metric", {"url": url, "name": "up", "equals": 1}),
        ("http", {"url": url, "contains": "up 1"}),
        ("process", {"exe": "/usr/bin/perl", "user": "root", "current": True}),
    )
    with _inside(lab_plain, "perl", "-e", _SERVER) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        async with _prober(lab_plain.pid) as inside, _prober(0) as outside:
            seen = await inside.check(checks)
            unseen = await outside.check([*_checks(0.1, *((c.kind, dict(c.spec)) for c in checks[:3]))])
            snapshot = await inside.snapshot()

    assert _statuses(seen) == [CheckStatus.PASSED] * 4, seen
    assert _statuses(unseen) == [CheckStatus.FAILED] * 3, unseen
    (listener,) = [item for item in snapshot["listeners"] if item["port"] == _PORT]
    process = next(item for item in snapshot["processes"] if item["pid"] == listener["pid"])
    assert (process["exe"], process["user"]) == ("/usr/bin/perl", "root")
    # Ids are those of the host, and the probe program is not one of its processes.
    assert {item["pid"] for item in snapshot["processes"] if item["name"] != "perl"} == {1}


async def test_files_packages_and_commands_are_those_of_the_host(lab_plain: LabHost) -> None:
    (lab_plain.root / "etc/only-here").write_text("canary\n")
    (lab_plain.root / "etc/absolute").symlink_to("/etc/only-here")
    async with _prober(lab_plain.pid) as prober:
        results = await prober.check(
            _checks(
                1.0,
                ("file", {"path": "/etc/absolute", "contains": "canary", "owner": "root:root"}),
                ("package", {"name": "dpkg"}),
                ("package", {"name": "nginx", "installed": False}),
                ("command", {"argv": ["cat", "/etc/only-here"], "stdout_contains": "canary"}),
                ("command", {"argv": ["python3", "-V"]}),
                ("process", {"name": "nginx", "running": False}),
                ("unit", {"name": "nginx.service", "active": True}),
            )
        )

    passed, error = CheckStatus.PASSED, CheckStatus.ERROR
    assert _statuses(results) == [passed, passed, passed, passed, error, passed, CheckStatus.NOT_APPLICABLE], results
    assert results[-1].observed == "not applicable: no systemd here"


async def test_a_replaced_program_is_stale_on_the_host(lab_plain: LabHost) -> None:
    lab_plain.run(["cp", "/bin/sleep", "/usr/local/bin/demon"])
    current = _checks(0.1, ("process", {"exe": "/usr/local/bin/demon", "current": True}))
    with _inside(lab_plain, "/usr/local/bin/demon", "60"):
        async with _prober(lab_plain.pid) as prober:
            fresh = await prober.check(_checks(5.0, ("process", {"exe": "/usr/local/bin/demon", "current": True})))
            lab_plain.run(["sh", "-c", "cp /bin/sleep /usr/local/bin/new; mv /usr/local/bin/new /usr/local/bin/demon"])
            stale = await prober.check(current)
            lab_plain.run(["rm", "/usr/local/bin/demon"])
            removed = await prober.check(_checks(0.1, ("process", {"exe": "/usr/local/bin/demon", "running": False})))

    assert _statuses(fresh) == [CheckStatus.PASSED], fresh
    assert _statuses(stale) == [CheckStatus.FAILED], stale
    assert "older than the file on disk" in stale[0].observed
    assert _statuses(removed) == [CheckStatus.FAILED], removed  # its file is gone, the process is not


async def test_facts_are_those_of_the_host(lab_plain: LabHost) -> None:
    facts = await read_facts("host", lab_plain.pid)

    assert (facts.hostname, facts.os_id, facts.os_codename) == ("lab", "debian", "bookworm")
    assert (facts.init, facts.package_manager) == (InitKind.SYSVINIT, "apt")
    assert facts.hostname != os.uname().nodename


async def test_units_are_told_exactly_by_a_running_systemd(lab_systemd: LabHost) -> None:
    unit = "[Service]\nExecStart=/bin/sleep 1000\n[Install]\nWantedBy=multi-user.target\n"
    (lab_systemd.root / "etc/systemd/system/demon.service").write_text(unit)
    lab_systemd.run(["systemctl", "daemon-reload"])

    async def look(**spec: bool) -> CheckStatus:
        async with _prober(lab_systemd.pid) as prober:
            (result,) = await prober.check(_checks(0.1, ("unit", {"name": "demon.service", **spec})))
            return result.status

    assert await look(active=True) is CheckStatus.FAILED  # it is `inactive`
    assert await look(active=False, enabled=False) is CheckStatus.PASSED
    lab_systemd.run(["systemctl", "enable", "--now", "demon.service"])
    assert await look(active=True, enabled=True) is CheckStatus.PASSED
    lab_systemd.run(["systemctl", "stop", "demon.service"])
    assert await look(active=True) is CheckStatus.FAILED
    assert await look(enabled=True) is CheckStatus.PASSED
    async with _prober(lab_systemd.pid) as prober:
        (missing,) = await prober.check(_checks(0.1, ("unit", {"name": "no-such.service", "active": True})))
    assert (missing.status, missing.observed) == (
        CheckStatus.FAILED,
        "is inactive (dead), unit file unknown, not-found",
    )

    facts = await read_facts("host", lab_systemd.pid)
    assert facts.init is InitKind.SYSTEMD
