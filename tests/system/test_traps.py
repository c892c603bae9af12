"""Traps that real packages set; `docs/traps.md` lists all of them with the tests that spring each."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.machine import APPENDED_LOGS, Machine, World
else:
    from machine import APPENDED_LOGS

pytestmark = [pytest.mark.root, pytest.mark.slow]

_LOGS = frozenset({"/var/log/dpkg.log", "/var/log/alternatives.log"})
_EXPORTER = "prometheus-node-exporter"


@pytest.fixture
def before(machine: Machine) -> World:
    return machine.world()


def _package(folder: Path, name: str, version: str, *, depends: str = "") -> None:
    """Build a Debian package with one file; it lies as `/root/NAME.deb` of the host."""
    tree = folder / f"{name}-{version}"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "usr/lib").mkdir(parents=True)
    (tree / "usr/lib" / f"{name}.txt").write_text(f"{name} {version}\n")
    control = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: A Test <test@example.org>\n"
    control += "Description: made by a test\n" + (f"Depends: {depends}\n" if depends else "")
    (tree / "DEBIAN/control").write_text(control)
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(folder / f"{name}.deb")],
        check=True,
        capture_output=True,
    )


def _delivered(machine: Machine, folder: Path) -> None:
    for package in folder.glob("*.deb"):
        (machine.host.root / "root" / package.name).write_bytes(package.read_bytes())


def _installed(machine: Machine, name: str, script: str, **more: str) -> None:
    body = textwrap.dedent(script).strip()
    folder = machine.integration(name, f"mkdir -p /opt/{name} && touch /opt/{name}/done\n{body}\n", **more)
    machine.json("install", folder, "--yes").data  # noqa: B018  # fails when it did not succeed


def _rolled_back(machine: Machine) -> None:
    machine.json("rollback", "--yes").data  # noqa: B018  # fails when it did not succeed


def test_a_dependency_that_was_upgraded_in_place_goes_back_to_its_version(fresh: Machine, tmp_path: Path) -> None:
    _package(tmp_path, "library", "1.0")
    _delivered(fresh, tmp_path)
    fresh.host.run(["dpkg", "-i", "/root/library.deb"])
    _package(tmp_path, "library", "2.0")
    _package(tmp_path, "program", "1.0", depends="library (>= 2.0)")
    _delivered(fresh, tmp_path)
    before = fresh.world()

    _installed(fresh, "program", "dpkg -i /root/library.deb /root/program.deb")

    assert fresh.host.run(["cat", "/usr/lib/library.txt"]).stdout == "library 2.0\n"
    _rolled_back(fresh)
    assert fresh.host.run(["dpkg-query", "-W", "-f", "${Version}", "library"]).stdout == "1.0"
    fresh.assert_as(before, logs=_LOGS)


def test_alternatives_statoverrides_and_answers_go_back(machine: Machine, before: World) -> None:
    script = """
        printf '#!/bin/sh\n' >/opt/many/awk && chmod 755 /opt/many/awk
        update-alternatives --install /usr/bin/awk awk /opt/many/awk 1000
        dpkg-statoverride --add --update root adm 2750 /opt/many
        echo 'many many/question boolean true' | debconf-set-selections
    """
    _installed(machine, "many", script)
    assert machine.host.run(["readlink", "/etc/alternatives/awk"]).stdout.strip() == "/opt/many/awk"
    assert "/opt/many" in machine.host.run(["dpkg-statoverride", "--list"]).stdout

    _rolled_back(machine)

    machine.assert_as(before, logs=_LOGS)


def test_what_a_script_leaves_in_run_and_tmp_never_reaches_the_host(machine: Machine, before: World) -> None:
    _installed(machine, "litter", "mkdir /run/litter /tmp/litter; touch /run/litter/pid /tmp/litter/file; sleep 300 &")
    for name in ("/run/litter", "/tmp/litter"):  # the host's, on which nobody else works
        assert not (machine.host.root / name.lstrip("/")).exists(), name
        assert machine.host.run(["sh", "-c", f"test -e {name} && echo there || echo none"]).stdout == "none\n"
    _rolled_back(machine)
    machine.assert_as(before, logs=_LOGS)


def test_account_files_with_lines_of_several_owners_lose_only_ours(fresh: Machine) -> None:
    before = fresh.world()
    _installed(fresh, "first", "useradd --system first-user")
    _installed(fresh, "second", "useradd --system second-user")
    first = fresh.json("history", "--integration", "first").data["items"][0]["run_id"]

    fresh.json("rollback", first, "--yes").data  # noqa: B018  # fails when it did not succeed

    users = fresh.host.run(["getent", "passwd"]).stdout
    assert "first-user" not in users
    assert "second-user" in users
    assert fresh.host.run(["sh", "-c", "pwck -r -q; grpck -r; echo sound"]).stdout.endswith("sound\n")
    _rolled_back(fresh)
    # The files' times are new, and the copies that useradd keeps are what it made of them last.
    left = before.differences(fresh.world(), fresh.host.root, logs=_LOGS)
    times = r"changed: /(opt|etc(/(passwd|group|shadow|gshadow|sub[ug]id))?): mtime_ns \d+ -> \d+"
    expected = re.compile(times + r"|\w+: /etc/[a-z]+-(: .*)?")
    assert [line for line in left if not expected.fullmatch(line)] == []


def test_package_lists_and_archives_are_no_part_of_a_change(machine: Machine, before: World) -> None:
    script = "mkdir -p /var/cache/apt/archives /var/lib/apt/lists\n"
    script += "head -c 3000000 /dev/zero | tee /var/cache/apt/archives/big_1_all.deb >/var/lib/apt/lists/big_Packages"
    folder = machine.integration("caches", f"mkdir -p /opt/caches && touch /opt/caches/done\n{script}")
    data = machine.json("install", folder, "--yes").data
    assert not [item["path"] for item in data["changes"]["items"] if "big" in item["path"]]
    assert not list((machine.host.root / ".workflow-agent").rglob("*big*"))
    _rolled_back(machine)
    machine.assert_as(before, logs=_LOGS)


def test_a_host_without_tools_is_looked_at_all_the_same(fresh: Machine) -> None:
    """No Python, ps, ss, kill or curl, as in most images: whoever looks or ends something brings what that needs."""
    tools = ("ps", "ss", "kill", "pkill", "pgrep", "curl", "wget", "netstat", "lsof", "fuser", "python3", "nc")
    for folder in ("bin", "usr/bin", "sbin", "usr/sbin"):
        for tool in tools:
            (fresh.host.root / folder / tool).unlink(missing_ok=True)
    before = fresh.world()

    run = fresh.json("install", _EXPORTER, "--yes").data
    assert {"process", "port", "metric"} <= {check["kind"] for check in run["checks"]}
    assert {check["status"] for check in run["checks"]} <= {"passed", "not-applicable"}
    for pid in [one.pid for one in fresh.host.processes() if one.program.endswith(_EXPORTER)]:
        os.kill(pid, signal.SIGSTOP)  # its port stays open, and nobody answers
    answer = fresh.json("verify", _EXPORTER)
    for pid in [one.pid for one in fresh.host.processes() if one.program.endswith(_EXPORTER)]:
        os.kill(pid, signal.SIGCONT)
    assert answer.code == 1, answer

    _rolled_back(fresh)
    fresh.assert_as(before, logs=_LOGS | APPENDED_LOGS)


def test_packages_that_may_never_be_autoremoved_go_back(fresh: Machine, tmp_path: Path) -> None:
    """As PostgreSQL's: what only the package needed stays installed for the package manager, for ever."""
    (fresh.host.root / "etc/apt/apt.conf.d/01clinging").write_text('APT::NeverAutoRemove { "^library$"; };\n')
    _package(tmp_path, "library", "1.0")
    _package(tmp_path, "program", "1.0", depends="library")
    _delivered(fresh, tmp_path)
    before = fresh.world()
    _installed(fresh, "program", "dpkg -i /root/library.deb /root/program.deb && apt-mark auto library")
    quietly = ("Dir::Cache::pkgcache=", "Dir::Cache::srcpkgcache=", "Dir::Log::Planner=/dev/null")
    options = [word for option in quietly for word in ("-o", option)]
    simulated = fresh.host.run(["apt-get", "-s", *options, "purge", "--autoremove", "program"]).stdout
    assert "Purg program" in simulated
    assert "library" not in simulated.partition("Purg program")[2]

    _rolled_back(fresh)

    assert fresh.host.run(["dpkg-query", "-W", "library"], check=False).returncode == 1
    fresh.assert_as(before, logs=_LOGS | APPENDED_LOGS)


def test_a_user_that_a_package_keeps_is_kept_or_goes_as_was_asked(fresh: Machine) -> None:
    """The Prometheus family keeps its account on purge: an uninstall leaves it, a rollback takes it back."""

    def accounts() -> str:
        return fresh.host.run(["getent", "passwd"]).stdout

    before = fresh.world()
    assert "prometheus" not in accounts()
    fresh.json("install", _EXPORTER, "--yes").data  # noqa: B018  # fails when it did not succeed
    assert "prometheus" in accounts()
    removed = fresh.json("uninstall", _EXPORTER, "--purge", "--yes").data
    assert "prometheus" in accounts()
    fresh.json("rollback", removed["run_id"], "--yes").data  # noqa: B018  # as above
    _rolled_back(fresh)
    assert "prometheus" not in accounts()
    fresh.assert_as(before, logs=_LOGS | APPENDED_LOGS)


def test_a_program_that_was_replaced_under_its_process_is_told(fresh: Machine) -> None:
    """As after an upgrade by somebody else: the old program goes on, and its package says all is well."""
    fresh.json("install", _EXPORTER, "--yes").data  # noqa: B018  # fails when it did not succeed
    binary = f"/usr/bin/{_EXPORTER}"
    fresh.host.run(["sh", "-c", f"cp -p {binary} /usr/bin/new && mv /usr/bin/new {binary}"])

    answer = fresh.json("verify", _EXPORTER)

    assert answer.code != 0
    failed = {check["id"] for check in answer.envelope["data"]["checks"] if check["status"] == "failed"}
    assert failed == {"process"}, answer
    assert binary in str(answer.error["details"]), "and that the file is another one is told as well"


def test_an_answer_that_takes_its_time_is_waited_for_until_a_deadline(machine: Machine, before: World) -> None:
    """The first scrape of an exporter is empty; a check that looks once is a false red."""
    script = r"""
        cat >/opt/slow/server.pl <<'END'
        use IO::Socket::INET;
        my $from = time + 2;
        my $socket = IO::Socket::INET->new(LocalPort => 8485, Listen => 5, ReuseAddr => 1) or die "no port: $!";
        while (my $client = $socket->accept) {
            while (<$client>) { last if /^\r?$/ }
            print $client "HTTP/1.0 200 OK\r\n\r\n", time >= $from ? "ready\n" : "\n"; close $client;
        }
        END
    """
    service = """
        - name: slow
          exe: /usr/bin/perl
          argv: [/usr/bin/perl, /opt/slow/server.pl]
          listens: [tcp/8485]
          sysvinit: false
    """
    check = "- {id: page, kind: http, url: 'http://127.0.0.1:8485/', contains: ready, timeout: 20}"
    _installed(machine, "slow", script, services=service, checks=check)
    _rolled_back(machine)
    machine.assert_as(before, logs=_LOGS)


def test_a_second_look_at_what_is_installed_is_no_change(machine: Machine, before: World) -> None:
    """Older package lists are no reason to change anything: a plan asks the system, not the package manager."""
    machine.json("install", _EXPORTER, "--yes").data  # noqa: B018  # fails when it did not succeed
    machine.host.run(["sh", "-c", "find /var/lib/apt/lists -type f -exec touch -d 2001-01-01 {} +"])
    machine.host.run(["sh", "-c", "find /var/lib/apt/lists -type f -exec touch -d now {} +"])
    answer = machine.json("plan", _EXPORTER, "--check")
    assert answer.code == 0, answer
    _rolled_back(machine)
    lists = {name for name in before.files if name.startswith("/var/lib/apt/lists")}
    assert [line for line in before.differences(machine.world(), machine.host.root) if not _of(line, lists)] == []


def _of(line: str, names: set[str]) -> bool:
    return any(f": {name}" in line for name in names) or "/var/log/" in line
