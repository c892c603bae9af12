"""Commands that die by SIGKILL anywhere: the next command finds the host as before, or as after and verified.

The long trial kills at every failure point and at random moments, and writes down what became of each.
"""

from __future__ import annotations

import logging
import os
import platform
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.failpoint import known
from workflow_agent.model.status import TERMINAL_RUN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.system.machine import COMMAND, Machine, World
else:
    from machine import COMMAND

pytestmark = [pytest.mark.root, pytest.mark.slow]

RECORDS = Path(__file__).parents[2] / "docs" / "records"
_log = logging.getLogger(__name__)
ACTIONS = ("install", "rollback", "uninstall")
#: Passages of each failure point at which the sweep kills.
PASSAGES = int(os.environ.get("SWEEP_PASSAGES", "2"))
KILLS = int(os.environ.get("SWEEP_KILLS", "300"))
SEED = int(os.environ.get("SWEEP_SEED", "20261121"))

BASE = "set -eu\nmkdir -p /opt/base/sub\ntouch /opt/base/done /opt/base/sub/one\necho base >>/etc/motd\n"
TOP = r"""
    set -eu
    test -e /opt/base/done
    mkdir -p /opt/little/data && touch /opt/little/done
    # so many that the journal keeps the plan beside the database, and others each time
    stamp="$(date +%s%N)"
    for number in $(seq 120); do touch "/opt/little/data/a-file-of-this-installation-$stamp-$number"; done
    cat >/opt/little/server.pl <<'END'
    use IO::Socket::INET;
    my $socket = IO::Socket::INET->new(LocalPort => shift, Listen => 5, ReuseAddr => 1) or die "no port: $!";
    while (my $client = $socket->accept) {
        while (<$client>) { last if /^\r?$/ }
        print $client "HTTP/1.0 200 OK\r\n\r\nlittle\n"; close $client;
    }
    END
    echo 'a line of ours' >>/etc/motd
    rm -f /etc/issue
"""
SERVICE = """
    - name: little
      exe: /usr/bin/perl
      argv: [/usr/bin/perl, /opt/little/server.pl, "8484"]
      listens: [tcp/8484]
      sysvinit: false
"""
#: Something beyond files: it is nowhere on a disk, so nothing but its own `undo` takes it away.
ROLE = Path("/run/little-role")
EFFECT = f"""
effects:
  - id: role
    kind: declared
    description: A role of the service.
    probe: {{argv: [/bin/sh, -c, 'test ! -e {ROLE} || cat {ROLE}'], stdout_contains: a role}}
    do: {{argv: [/bin/sh, -c, 'echo a role >{ROLE}']}}
    undo: {{argv: [/bin/rm, {ROLE}]}}
"""
GONE = "negative_checks: [{{id: gone, kind: file, path: /opt/{0}/done, exists: false}}]\n"


@dataclass(slots=True, kw_only=True)
class Trial:
    """One kill: of which action, where, and how it ended."""

    action: str
    where: str
    end: str = "not reached"
    problem: str = ""


@dataclass(slots=True, kw_only=True)
class Bench:
    """A host on which commands are killed, and what it was before the first one."""

    machine: Machine
    before: World
    duration: dict[str, float] = field(default_factory=dict)

    @classmethod
    def on(cls, machine: Machine) -> Bench:
        """Write the integrations: a service, and what it requires."""
        config = machine.folder / "config"
        config.mkdir(exist_ok=True)
        (config / "config.toml").write_text(f'[integrations]\nfolders = ["{machine.folder}/own"]\n', encoding="utf-8")
        machine.integration("base", BASE, more=GONE.format("base"))
        checks = "- {id: page, kind: http, url: 'http://127.0.0.1:8484/', contains: little}\n"
        checks += f"- {{id: role, kind: file, path: {ROLE}}}"
        machine.integration(
            "little", TOP, services=SERVICE, checks=checks, more=f"requires: [base]\n{GONE.format('little')}{EFFECT}"
        )
        folder = machine.folder / "own/little"
        text = (folder / "integration.yaml").read_text(encoding="utf-8")
        text = text.replace(
            "{install: {template: install}}", "{install: {template: install}, uninstall: {template: leave}}"
        )
        (folder / "integration.yaml").write_text(text, encoding="utf-8")
        (folder / "templates/leave.sh.j2").write_text("rm -r /opt/little\necho Debian >/etc/issue\n", encoding="utf-8")
        return cls(machine=machine, before=machine.world())

    def measure(self) -> None:
        """Find out how long each action takes when nobody disturbs it."""
        for action in ("install", "uninstall", "rollback", "rollback"):
            begun = time.monotonic()
            answer = self.machine.json(*self.command(action))
            assert answer.code == 0, str(answer)
            self.duration[action] = time.monotonic() - begun
        self.machine.assert_as(self.before)

    @staticmethod
    def command(action: str) -> tuple[str, ...]:
        """Give what is typed."""
        return (action, "--yes") if action == "rollback" else (action, "little", "--yes")

    def kill_after(self, action: str, delay_s: float) -> bool:
        """Kill the command and everything that it started, `delay_s` seconds after its start; False when it ended."""
        process = subprocess.Popen(
            [str(COMMAND), *self.command(action), "--json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.machine.environment(),
            cwd=self.machine.folder,
            start_new_session=True,
        )
        try:
            process.wait(timeout=delay_s)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
        return False

    def kill_at(self, action: str, point: str) -> bool:
        """Let the command die at a failure point; False when it does not come there."""
        answer = self.machine.json(*self.command(action), environ={"WORKFLOW_AGENT_FAILPOINT": f"{point}=kill"})
        assert answer.code in {0, -signal.SIGKILL}, str(answer)
        return answer.code != 0

    def look(self, action: str) -> str:
        """Run the next command on the target, then say how the host is; neither before nor after is an error."""
        planned = self.machine.json("plan", "base")
        assert planned.code == 0, str(planned)
        runs = self.machine.json("history", "--limit", "10").data["items"]
        for run in runs:
            assert run["status"] in TERMINAL_RUN, run
            assert run["status"] != "needs-attention", run
        differences = self.before.differences(self.machine.world(), self.machine.host.root)
        if not differences:
            assert not self.has_role(), "the role is left"
            return "before"
        if self.machine.json("verify", "little").code == 0:
            return "verified after" if action == "install" else "verified before"
        assert action == "uninstall", differences
        newest = next(run for run in runs if run["action"] == action)
        assert newest["status"] == "succeeded", (newest, differences)
        again = self.machine.json("uninstall", "little", "--yes")
        assert (again.code, again.envelope["data"]["changed"]) == (0, False), str(again)
        return "verified after"

    def has_role(self) -> bool:
        """Tell whether the service's role is there."""
        return self.machine.host.run(["test", "-e", str(ROLE)], check=False).returncode == 0

    def reset(self) -> None:
        """Take everything back; the host is as it was."""
        for _ in range(5):
            answer = self.machine.json("rollback", "--yes")
            if answer.code != 0:
                assert answer.error["code"] == "not-found", str(answer)
                break
        self.machine.assert_as(self.before)
        assert not self.has_role(), "the role is left"

    def trial(self, trial: Trial, kill: Callable[[], bool]) -> None:
        """Bring the host there, kill, look, take back."""
        if trial.action != "install":
            installed = self.machine.json(*self.command("install"))
            assert installed.code == 0, str(installed)
        reached = kill()
        end = self.look(trial.action)
        trial.end = end if reached else "not reached"
        if end != "before":
            self.reset()


class Sweep:
    """Trials one after the other; after one that fails it goes on with a new host."""

    def __init__(self, machines: Callable[..., AbstractContextManager[Machine]]) -> None:
        self._hosts = self._new(machines)
        self.bench = next(self._hosts)
        self.trials: list[Trial] = []

    @staticmethod
    def _new(machines: Callable[..., AbstractContextManager[Machine]]) -> Iterator[Bench]:
        while True:
            with machines() as machine:
                bench = Bench.on(machine)
                bench.measure()
                yield bench

    def run(self, action: str, where: str, kill: Callable[[Bench], bool]) -> None:
        """Do one trial and keep how it ended."""
        trial = Trial(action=action, where=where)
        self.trials.append(trial)
        try:
            self.bench.trial(trial, lambda: kill(self.bench))
        except (AssertionError, subprocess.SubprocessError) as error:
            trial.end, trial.problem = "problem", str(error)[:1500]
            self.bench = next(self._hosts)
        _log.info("%s at %s: %s %s", action, where, trial.end, trial.problem)

    def point(self, action: str, point: str) -> None:
        """Kill at a failure point. The database is made by the first command of all."""
        if point.startswith("store.migration"):
            shutil.rmtree(self.bench.machine.state)
        self.run(action, point, lambda bench: bench.kill_at(action, point))

    def moment(self, action: str, part: float) -> None:
        """Kill when a part of the usual time is over."""

        def kill(bench: Bench) -> bool:
            return bench.kill_after(action, part * bench.duration[action])

        self.run(action, f"random, {part:.3f} of its time", kill)

    def close(self) -> None:
        """Give the host back."""
        self._hosts.close()  # type: ignore[attr-defined]  # a generator

    @property
    def problems(self) -> list[str]:
        """List what went wrong."""
        return [f"{one.action} at {one.where}: {one.problem}" for one in self.trials if one.problem]


@pytest.fixture
def sweep(machines: Callable[..., AbstractContextManager[Machine]]) -> Iterator[Sweep]:
    made = Sweep(machines)
    yield made
    made.close()


def test_a_few_commands_that_die_leave_before_or_after(sweep: Sweep) -> None:
    chance = random.Random(SEED)
    for action in ACTIONS:
        sweep.moment(action, chance.uniform(0.3, 0.9))
    sweep.point("install", "transaction.commit.operation:3")
    sweep.point("rollback", "transaction.plan-renamed")  # between both of its transactions

    assert sweep.problems == []
    assert [trial.end for trial in sweep.trials[-2:]] == ["before", "before"]


@pytest.mark.long
def test_commands_that_die_anywhere_leave_before_or_after(sweep: Sweep) -> None:
    begun = time.monotonic()
    for action in ACTIONS:
        for point in sorted(known()):
            for passage in range(1, PASSAGES + 1):
                sweep.point(action, f"{point}:{passage}")
    chance = random.Random(SEED)
    for number in range(KILLS):
        sweep.moment(ACTIONS[number % len(ACTIONS)], chance.uniform(0.0, 1.05))
    write_record(sweep, time.monotonic() - begun)

    assert sweep.problems == []


def write_record(sweep: Sweep, seconds: float) -> None:
    """Write down what became of every kill."""
    today = datetime.now(UTC).date().isoformat()
    at_points = [one for one in sweep.trials if not one.where.startswith("random")]
    at_random = [one for one in sweep.trials if one.where.startswith("random")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    machine = f"{platform.system()} {platform.release()}, {os.cpu_count()} CPUs, {memory} MB"
    lines = [
        f"# Kill sweep, {today}",
        "",
        f"`SWEEP_KILLS={KILLS} SWEEP_PASSAGES={PASSAGES} SWEEP_SEED={SEED} make long ARGS='-k die_anywhere'`",
        "",
        f"* {machine}; Python {platform.python_version()}; a plain Debian 12 host of the lab on ext4.",
        f"* {len(sweep.trials)} trials in {seconds / 60:.0f} minutes; seed {SEED}.",
        "* Killed: an installation of a service that requires another integration (two transactions), its rollback,",
        "  its uninstall. With SIGKILL: the process at a failure point, or the whole group at a random moment.",
        "* After each kill came `plan` of something else, then a look at the host (digest of every file, processes,",
        "  ports, units, mounts), then rollbacks until the host was as at the beginning.",
        "",
        "| killed | action | before | verified before | verified after | not reached | problems |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *_rows("at failure points", at_points),
        *_rows("at random moments", at_random),
        "",
        "`before`: as before the installation. `verified before`: still installed, and its checks hold.",
        "`verified after`: the action is done, and its checks hold. `not reached`: the command ended before.",
    ]
    if sweep.problems:
        lines += ["", "## Problems", "", *(f"* {problem}" for problem in sweep.problems)]
    RECORDS.mkdir(exist_ok=True)
    (RECORDS / f"{today}-kill-sweep.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _rows(name: str, trials: list[Trial]) -> Iterator[str]:
    for action in ACTIONS:
        ends = Counter(one.end for one in trials if one.action == action)
        cells = [str(ends[end]) for end in ("before", "verified before", "verified after", "not reached", "problem")]
        yield f"| {name} | {action} | {' | '.join(cells)} |"
