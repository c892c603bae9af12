"""Commands that die by SIGKILL anywhere: the next command finds the host as before, or as after and verified.

The long trial kills at every failure point and at random moments, on hosts and in containers, and writes down what
became of each.
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
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
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
ACTIONS = tuple(os.environ.get("SWEEP_ACTIONS", "install rollback uninstall").split())
#: Failure points whose name begins with this; empty: all.
POINTS = os.environ.get("SWEEP_POINTS", "")
#: What only one more command meets; after it nothing can be taken back, so that each trial has a host of its own.
PRUNING = ("transaction.pruned", "transaction.prune.folder")
#: Passages of each failure point at which the sweep kills.
PASSAGES = int(os.environ.get("SWEEP_PASSAGES", "2"))
KILLS = int(os.environ.get("SWEEP_KILLS", "300"))
SEED = int(os.environ.get("SWEEP_SEED", "20261121"))
#: So many of the kills in a container, the others on a host with a root of its own.
IN_CONTAINER = int(os.environ.get("SWEEP_IN_CONTAINER", "30"))
#: Hosts that are killed on side by side.
JOBS = int(os.environ.get("SWEEP_JOBS", "1"))
#: Kills that one installation may outlive before it is taken back.
CHAIN = 5
#: Random kills of one action before those of the next: a sweep whose time ends early has met each action alike.
TURN = 2 * CHAIN
#: Then no further trial begins; the record says how many were left out.
MINUTES = float(os.environ.get("SWEEP_MINUTES", "600"))

BASE = "set -eu\nmkdir -p /opt/base/sub\ntouch /opt/base/done /opt/base/sub/one\necho base >>/etc/motd\n"
TOP = r"""
    set -eu
    test -e /opt/base/done
    mkdir -p /opt/little/data /var/lib/little && touch /opt/little/done
    echo precious >/var/lib/little/data
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
#: A copy of them is taken by what stops the service for good.
DATA = "state_data: [{path: /var/lib/little, policy: snapshot}]\n"
GONE = "negative_checks: [{{id: gone, kind: file, path: /opt/{0}/done, exists: false}}]\n"


@dataclass(slots=True, kw_only=True)
class Trial:
    """One kill: of which action, where, and how it ended."""

    action: str
    where: str
    kind: str = "plain"
    end: str = "not reached"
    problem: str = ""


@dataclass(slots=True, kw_only=True)
class Bench:
    """A host on which commands are killed, and what it was before the first one."""

    machine: Machine
    before: World
    duration: dict[str, float] = field(default_factory=dict)
    #: Kills that the installation which is there has outlived; None where there is none.
    outlived: int | None = None

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
            "little",
            TOP,
            services=SERVICE,
            checks=checks,
            more=f"requires: [base]\n{GONE.format('little')}{EFFECT}{DATA}",
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
        if action == "prune":
            return ("history", "prune", "--keep", "0", "--yes")
        return (action, "--yes") if action == "rollback" else (action, "little", "--yes")

    def kill_after(self, action: str, delay_s: float) -> bool:
        """Kill the command and everything that it started, `delay_s` seconds after its start; False when it ended."""
        process = subprocess.Popen(
            [str(COMMAND), *self.machine.on_target(self.command(action)), "--json"],
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
            return "verified after" if action in {"install", "prune"} else "verified before"
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
        self.outlived = None
        for _ in range(5):
            answer = self.machine.json("rollback", "--yes")
            if answer.code != 0:
                assert answer.error["code"] == "not-found", str(answer)
                break
        self.machine.assert_as(self.before)
        assert not self.has_role(), "the role is left"

    def trial(self, trial: Trial, kill: Callable[[], bool]) -> None:
        """Bring the host there, kill, look, take back; an installation that outlives a kill goes after some of them."""
        if trial.action == "install":
            self.finish()
        elif self.outlived is None:
            installed = self.machine.json(*self.command("install"))
            assert installed.code == 0, str(installed)
            self.outlived = 0
        reached = kill()
        end = self.look(trial.action)
        trial.end = end if reached else "not reached"
        if end == "verified before" and (self.outlived or 0) < CHAIN:
            self.outlived = (self.outlived or 0) + 1
        elif end == "before":
            self.outlived = None
        elif trial.action != "prune":
            self.reset()

    def finish(self) -> None:
        """Take back what outlived kills: the host is as it was before all of them."""
        if self.outlived is not None:
            self.reset()


class Sweep:
    """Trials one after the other on a kind of host; after one that fails it goes on with a new host."""

    def __init__(self, machines: Callable[..., AbstractContextManager[Machine]], kind: str = "plain") -> None:
        self.kind = kind
        self._hosts = self._new(machines, kind)
        self.bench = next(self._hosts)
        self.trials: list[Trial] = []

    @staticmethod
    def _new(machines: Callable[..., AbstractContextManager[Machine]], kind: str) -> Iterator[Bench]:
        while True:
            with machines(kind) as machine:
                bench = Bench.on(machine)
                bench.measure()
                yield bench

    def run(self, action: str, where: str, kill: Callable[[Bench], bool]) -> None:
        """Do one trial and keep how it ended."""
        trial = Trial(action=action, where=where, kind=self.kind)
        self.trials.append(trial)
        try:
            self.bench.trial(trial, lambda: kill(self.bench))
        except (AssertionError, subprocess.SubprocessError) as error:
            trial.end, trial.problem = "problem", str(error)[:1500]
            self.bench = next(self._hosts)
        _log.info("%s at %s: %s %s", action, where, trial.end, trial.problem)

    def point(self, action: str, point: str) -> None:
        """Kill at a failure point. The database is made by the first command of all."""

        def kill(bench: Bench) -> bool:
            if action == "install" and point.startswith("store.migration"):
                shutil.rmtree(bench.machine.state)
            return bench.kill_at(action, point)

        self.run(action, point, kill)

    def pruning(self, action: str, point: str) -> None:
        """Kill the giving up of before-images: the host is the same, and the next command gives up the rest."""

        def kill(bench: Bench) -> bool:
            now = bench.machine.world()
            reached = bench.kill_at(action, point)
            bench.machine.assert_as(now)
            assert bench.machine.json(*bench.command(action)).code == 0
            bench.machine.assert_as(now)
            kept = bench.machine.host.root / ".workflow-agent/tx"
            left = {entry.name for folder in kept.iterdir() for entry in folder.iterdir()}
            assert left <= {"contents.json", "plan.json"}, left
            return reached

        self.run(action, point, kill)
        if not self.trials[-1].problem:
            self.bench = next(self._hosts)

    def moment(self, action: str, part: float) -> None:
        """Kill when a part of the usual time is over."""

        def kill(bench: Bench) -> bool:
            return bench.kill_after(action, part * bench.duration[action])

        self.run(action, f"random, {part:.3f} of its time", kill)

    def close(self) -> None:
        """Take back what is left, and give the host back."""
        if self.trials and not self.trials[-1].problem and self.trials[-1].action != "prune":
            try:
                self.bench.finish()
            except AssertionError as error:
                self.trials[-1].end, self.trials[-1].problem = "problem", str(error)[:1500]
        self._hosts.close()  # type: ignore[attr-defined]  # a generator


def problems(trials: list[Trial]) -> list[str]:
    """List what went wrong."""
    return [f"{one.action} at {one.where} ({one.kind}): {one.problem}" for one in trials if one.problem]


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

    assert problems(sweep.trials) == []
    assert [trial.end for trial in sweep.trials[-2:]] == ["before", "before"]


def planned() -> list[tuple[str, Callable[[Sweep], None]]]:
    """List the trials with the kind of host of each, those that share a kind beside each other."""
    points = {point for point in known() if point.startswith(POINTS)}
    usual = [(action, point) for action in ACTIONS for point in sorted(points - set(PRUNING))]
    found: list[tuple[str, Callable[[Sweep], None]]] = [
        ("plain", lambda sweep, action=action, at=f"{point}:{passage}": sweep.point(action, at))  # type: ignore[misc]
        for action, point in usual
        for passage in range(1, PASSAGES + 1)
    ]
    chance = random.Random(SEED)
    moments: list[tuple[str, Callable[[Sweep], None]]] = []
    for number in range(KILLS):
        kind = "plain" if number >= IN_CONTAINER else "docker-plain"
        count, first = (KILLS - IN_CONTAINER, IN_CONTAINER) if number >= IN_CONTAINER else (IN_CONTAINER, 0)
        turn = (number - first) // min(TURN, -(-count // len(ACTIONS)))
        action, part = ACTIONS[turn % len(ACTIONS)], chance.uniform(0.0, 1.05)
        moments.append((kind, lambda sweep, action=action, part=part: sweep.moment(action, part)))  # type: ignore[misc]
    pruning: list[tuple[str, Callable[[Sweep], None]]] = [
        ("plain", lambda sweep, at=f"{point}:{passage}": sweep.pruning("prune", at))  # type: ignore[misc]
        for point in PRUNING
        if point in points
        for passage in range(1, PASSAGES + 1)
    ]
    return [*pruning, *moments[:IN_CONTAINER], *found, *moments[IN_CONTAINER:]]


def work_off(
    machines: Callable[..., AbstractContextManager[Machine]],
    trials: SimpleQueue[tuple[str, Callable[[Sweep], None]]],
    done: list[Trial],
    deadline: float,
) -> None:
    """Take trials from the list until it is empty, or the time is over."""
    sweep: Sweep | None = None
    try:
        while time.monotonic() < deadline:
            kind, trial = trials.get_nowait()
            if sweep is None or sweep.kind != kind:
                if sweep is not None:
                    sweep.close()
                sweep = Sweep(machines, kind)
            trial(sweep)
            done.append(sweep.trials[-1])
    except Empty:
        return
    finally:
        if sweep is not None:
            sweep.close()


@pytest.mark.long
@pytest.mark.usefixtures("engine")
def test_commands_that_die_anywhere_leave_before_or_after(
    machines: Callable[..., AbstractContextManager[Machine]],
) -> None:
    begun = time.monotonic()
    trials: SimpleQueue[tuple[str, Callable[[Sweep], None]]] = SimpleQueue()
    for trial in planned():
        trials.put(trial)
    done: list[Trial] = []
    with ThreadPoolExecutor(JOBS) as pool:
        jobs = [pool.submit(work_off, machines, trials, done, begun + MINUTES * 60) for _ in range(JOBS)]
    write_record(done, time.monotonic() - begun, left_out=trials.qsize())
    for job in jobs:
        job.result()

    assert problems(done) == []
    assert trials.empty(), f"no time for {trials.qsize()} trials"
    met = {one.where.partition(":")[0] for one in done if one.end not in {"not reached", "problem"}}
    wanted = {point for point in known() if PASSAGES and point.startswith(POINTS)}
    assert wanted - met == set(), "points that no command of the sweep came to"


def write_record(trials: list[Trial], seconds: float, *, left_out: int) -> None:
    """Write down what became of every kill."""
    today = datetime.now(UTC).date().isoformat()
    random_ones = [one for one in trials if one.where.startswith("random")]
    groups = {
        "at failure points": [one for one in trials if not one.where.startswith("random")],
        "at random moments": [one for one in random_ones if one.kind == "plain"],
        "at random moments, in a container": [one for one in random_ones if one.kind != "plain"],
    }
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    settings = f"SWEEP_KILLS={KILLS} SWEEP_IN_CONTAINER={IN_CONTAINER} SWEEP_PASSAGES={PASSAGES} SWEEP_SEED={SEED}"
    settings += f" SWEEP_JOBS={JOBS} SWEEP_ACTIONS='{' '.join(ACTIONS)}' SWEEP_POINTS='{POINTS}'"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    machine = f"{platform.system()} {platform.release()}, {os.cpu_count()} CPUs, {memory} MB"
    lines = [
        f"# Kill sweep, {today}",
        "",
        f"`{settings} make long ARGS='-k die_anywhere'`",
        "",
        f"* Commit {commit.stdout.strip() or 'unknown'}.",
        f"* {machine}; Python {platform.python_version()}; plain Debian 12 hosts of the lab on ext4, and containers.",
        f"* {len(trials)} trials in {seconds / 60:.0f} minutes, {left_out} left out; seed {SEED}.",
        "* Killed: an installation of a service that requires another integration (two transactions), its rollback,",
        "  its uninstall (which copies state data), and at its own points the giving up of before-images.",
        "  With SIGKILL: the process at a failure point, or the whole group at a random moment.",
        "* After each kill came `plan` of something else, then a look at the host (digest of every file, processes,",
        "  ports, units, mounts), then rollbacks until the host was as at the beginning. An installation that outlived",
        f"  a kill was killed at again, up to {CHAIN} times, before it was taken back.",
        "",
        "| killed | action | before | verified before | verified after | not reached | problems |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(row for name, group in groups.items() for row in _rows(name, group)),
        "",
        "`before`: as before the installation. `verified before`: still installed, and its checks hold.",
        "`verified after`: the action is done, and its checks hold. `not reached`: the command ended before.",
    ]
    if found := problems(trials):
        lines += ["", "## Problems", "", *(f"* {problem}" for problem in found)]
    RECORDS.mkdir(exist_ok=True)
    (RECORDS / f"{today}-kill-sweep.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _rows(name: str, trials: list[Trial]) -> Iterator[str]:
    for action in sorted({one.action for one in trials}):
        ends = Counter(one.end for one in trials if one.action == action)
        cells = [str(ends[end]) for end in ("before", "verified before", "verified after", "not reached", "problem")]
        yield f"| {name} | {action} | {' | '.join(cells)} |"
