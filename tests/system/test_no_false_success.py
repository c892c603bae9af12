"""No false success: what says that all went well and does not work is reported, by its class, and taken back."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from tests.system.lies import HEALTHY, LIES, PROGRAM, SERVER, SOURCE, Lie, table
    from tests.system.machine import APPENDED_LOGS, Answer, Machine
else:
    from lies import HEALTHY, LIES, PROGRAM, SERVER, SOURCE, table
    from machine import APPENDED_LOGS

DOCS = Path(__file__).parents[2] / "docs"
_LATE_S = 5.0
_CHECK_S = 1.0
_USUAL_CHECK_S = 10.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of one installation: how it ended, where it failed, what was red, how late that was said."""

    status: str
    step: str = ""
    red: tuple[str, ...] = ()
    failure: str = ""
    late_s: float = 0.0
    whole_s: float = 0.0
    told: str = ""


@pytest.fixture(scope="module")
def liars(
    machines: Callable[..., AbstractContextManager[Machine]], request: pytest.FixtureRequest
) -> Iterator[Machine]:
    """A host with the program that works, or does not, as its settings say."""
    with machines(request.param) as machine:
        root = machine.host.root
        machine.host.run(["sh", "-euc", f"cp /usr/bin/perl {PROGRAM}; mkdir /srv/full"])
        machine.variables["WORKFLOW_AGENT_TIMEOUTS__STAY_S"] = "1.5"
        (root / SERVER.lstrip("/")).write_text(SOURCE.read_text(encoding="utf-8"), encoding="utf-8")
        _half_a_package(machine)
        yield machine


def _half_a_package(machine: Machine) -> None:
    """Build a package on the host that `dpkg --unpack` leaves half done."""
    control = (
        "Package: half\\nVersion: 1\\nArchitecture: all\\nMaintainer: A Test <test@example.org>\\nDescription: x\\n"
    )
    script = (
        f"cd /root; mkdir -p half/DEBIAN half/opt; printf '{control}' >half/DEBIAN/control; touch half/opt/half;"
        "dpkg-deb --root-owner-group --build half half.deb; rm -r half"
    )
    machine.host.run(["sh", "-euc", script])


def _tried(machine: Machine, lie: Lie) -> Seen:
    """Install it once and read what was said."""
    folder = machine.integration(lie.name, lie.text, services=lie.services, checks=lie.checks)
    if lie.before:
        machine.host.run(["sh", "-c", lie.before])
    started = time.monotonic()
    answer = machine.json("install", folder, "--yes")
    whole = time.monotonic() - started
    if answer.code == 0:
        return Seen(status="succeeded", whole_s=whole)
    return _read(machine, answer, whole)


def _read(machine: Machine, answer: Answer, whole: float) -> Seen:
    run = machine.json("show", answer.error["run_id"]).data
    step = next(one for one in run["steps"] if one["status"] == "failed")
    details = answer.error["details"]
    details = details.get("details", details)
    red = tuple(
        check["id"] for check in details.get("checks", ()) if check["status"] not in {"passed", "not-applicable"}
    )
    # A service that does not start is told before any check looks: by the time that a check usually has.
    took = step["finished_at"] - step["started_at"]
    return Seen(
        status=run["status"],
        step=step["id"],
        red=red,
        failure=details.get("failure", {}).get("class", "none"),
        late_s=max(0.0, took - (_CHECK_S if step["id"] == "verify" else _USUAL_CHECK_S)),
        whole_s=whole,
        told=f"{answer.error['message']}: {answer.error['cause']}",
    )


def _problems(lie: Lie, seen: Seen) -> list[str]:
    """Say what is not as the case says."""
    if not lie.failure:
        return [] if seen.status == "succeeded" else [f"a false alarm: {seen}"]
    found = []
    if seen.status != "rolled-back" or seen.step not in lie.step:
        found.append(f"{seen.status} in {seen.step}, not in {lie.step}: {seen.told}")
    if seen.failure != lie.failure or (lie.red and set(seen.red) != set(lie.red)):
        found.append(f"{seen.failure} {seen.red}, not {lie.failure} {lie.red}: {seen.told}")
    if seen.late_s > _LATE_S:
        found.append(f"told {seen.late_s:.1f} s after the deadline")
    return found


def _walk(machine: Machine, lies: Iterable[Lie]) -> dict[str, Seen]:
    """Try all of them on one host; everything that is not as it should be is one line of the failure."""
    troubles, table = [], {}
    before = machine.world()
    for lie in lies:
        seen = table[lie.name] = _tried(machine, lie)
        troubles += [f"{lie.name}: {line}" for line in _problems(lie, seen)]
        if seen.status == "succeeded":
            machine.json("rollback", "--yes").data  # noqa: B018  # fails when it did not succeed
        if lie.after:
            machine.host.run(["sh", "-c", lie.after])
        left = [one.arguments for one in machine.host.processes() if one.program.startswith(PROGRAM)]
        troubles += [f"{lie.name}: still runs: {arguments}" for arguments in left]
    troubles += before.differences(machine.world(), machine.host.root, logs=APPENDED_LOGS)
    assert troubles == []
    return table


def _of(target: str, lies: Iterable[Lie], *, ci: bool) -> list[Lie]:
    return [lie for lie in lies if lie.target == target and (lie.ci or not ci)]


EACH = pytest.mark.parametrize("liars", ["plain", pytest.param("systemd", marks=pytest.mark.systemd)], indirect=True)


@pytest.mark.root
@pytest.mark.slow
@EACH
def test_what_only_says_that_it_works_is_found_out_and_taken_back(liars: Machine) -> None:
    _walk(liars, _of(str(liars.host.kind), [*LIES, *HEALTHY], ci=True))


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.long
@EACH
def test_none_of_all_is_believed_and_nothing_healthy_is_suspected(liars: Machine) -> None:
    kind = str(liars.host.kind)
    started = time.monotonic()
    seen = _walk(liars, _of(kind, [*LIES, *HEALTHY], ci=False))
    _record(kind, seen, time.monotonic() - started)


def _record(kind: str, seen: dict[str, Seen], took: float) -> None:
    today = datetime.now(UTC).date().isoformat()
    lies = [one for name, one in seen.items() if name in {lie.name for lie in LIES}]
    late = sorted(one.late_s for one in lies)
    half = late[len(late) // 2]
    lines = [
        f"# No false success, {today}, a host with {'systemd' if kind == 'systemd' else 'init scripts'}",
        "",
        "`make long ARGS='-k none_of_all_is_believed'`",
        "",
        f"* {len(lies)} installations that say they work and do not: all reported by their class and taken back.",
        f"* {len(seen) - len(lies)} healthy ones: no false alarm.",
        f"* Said at most {late[-1]:.2f} s after the deadline of the check, half of them within {half:.2f} s.",
        f"* Linux {platform.release()}, {os.cpu_count()} CPUs, load {os.getloadavg()[1]:.1f}; {took:.0f} s.",
        "",
        "| case | ended | step | red | class | after the deadline, s | whole command, s |",
        "| --- | --- | --- | --- | --- | ---: | ---: |",
    ]
    for name, one in seen.items():
        cells = (name, one.status, one.step, ", ".join(one.red), one.failure)
        lines.append(f"| {' | '.join(cells)} | {one.late_s:.2f} | {one.whole_s:.1f} |")
    file = DOCS / "records" / f"{today}-no-false-success-{kind}.md"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_the_page_has_every_case() -> None:
    page = (DOCS / "no-false-success.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in page if line.startswith("| ")] == table(LIES)
    assert len(LIES) >= 30
    assert f"{len(LIES)} cases and {len(HEALTHY)} healthy ones" in " ".join(page)
