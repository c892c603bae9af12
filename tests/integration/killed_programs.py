"""Generated programs in a process that is killed at random moments, until they are done; a ledger of effects decides.

``python tests/integration/killed_programs.py --kills N [--seed S]`` runs a trial of N kills. Programs come from their
seed, and so do their results. Steps write the ledger, a file, with one write each; what a kill leaves of it is judged
against the journal: a run that succeeded has its computed result and all of its effects, no effect that must not
repeat is there twice, and a run that failed did so because such an effect was in flight.

Each process is forked from one that has everything loaded and nothing open, so that a kill costs milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_agent.bus import InProcessBus
from workflow_agent.engine import Driver, fold
from workflow_agent.engine.units import idempotency_key
from workflow_agent.model.status import RunStatus, StepStatus
from workflow_agent.model.workflow import Durability, EffectPolicy, Step, Workflow
from workflow_agent.store import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from workflow_agent.model.event import RunState
    from workflow_agent.model.message import Message

__all__ = ["Trial", "trial"]

#: Programs that run in one process at the same time.
TOGETHER = 12
#: Kills after which the programs of a process are let go on to their end.
MOST = 60
_ONCE = (EffectPolicy.AT_MOST_ONCE, EffectPolicy.TRANSACTIONAL)


@dataclass(slots=True)
class Trial:
    """What came of a trial."""

    kills: int = 0
    runs: int = 0
    interrupted: int = 0
    succeeded: int = 0
    problems: list[str] = field(default_factory=list)


class _Wall:
    now = staticmethod(time.time)


def program(seed: int) -> Workflow:
    """Make a program: a graph of steps with a fan-out, a loop, and effects of all kinds."""
    chance = random.Random(seed)  # it is to come again
    steps: list[Step] = []
    for number in range(chance.randint(3, 12)):
        needs = tuple(step.id for step in steps if chance.random() < 0.3)
        given: dict[str, Any] = {"own": number, "of": [f"${{{{ steps.{need}.output }}}}" for need in needs]}
        kind = chance.random()
        more: dict[str, Any] = {}
        if kind < 0.15:
            more = {"each": str([*range(chance.randint(0, 6))])}
            given["own"] = "${{ item }}"
        elif kind < 0.25:
            more = {"until": f"iteration >= {chance.randint(1, 4)}"}
        elif kind < 0.35:
            more = {"effect": chance.choice(_ONCE)}
        elif kind < 0.5:
            more = {"pure": True}
        steps.append(Step(id=f"s{number}", uses="ledger.add", needs=needs, with_=given, **more))
    mode = chance.choice(list(Durability))
    return Workflow(name=f"p{seed}", version="1", steps=tuple(steps), durability=mode)


def run_id_of(seed: int) -> str:
    """Give the id of the run of a program."""
    return f"r-{seed:026d}"


def value_of(output: Any) -> int:
    """Count what an output says; a fan-out's is a list."""
    return sum(value_of(each) for each in output) if isinstance(output, list) else int(output["n"])


def expected(workflow: Workflow) -> tuple[dict[str, Any], set[str]]:
    """Compute the outputs of a program, and the units that have an effect."""
    outputs: dict[str, Any] = {}
    units: set[str] = set()
    for step in workflow.steps:
        base = sum(value_of(outputs[need]) for need in step.needs)
        if step.each is not None:
            items = [int(each) for each in step.each.strip("[]").split(",") if each.strip()]
            outputs[step.id] = [{"n": base + item} for item in items]
            units |= {f"{step.id}[{index}]" for index in range(len(items))}
            continue
        outputs[step.id] = {"n": base + step.with_["own"]}
        rounds = int(step.until.rpartition(" ")[2]) if step.until else 0
        units |= {f"{step.id}#{number}" for number in range(1, rounds + 1)} if rounds else {step.id}
    return outputs, units


async def drive(folder: Path, seeds: range) -> None:
    """Begin the programs that were not begun, take the others up, and go on to the end of all."""
    store = await SqliteStore.open(folder / "store")
    bus = InProcessBus()
    ledger = os.open(folder / "ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    async def add(message: Message) -> Mapping[str, Any]:
        os.write(ledger, f"{message.headers['idempotency-key']}\n".encode())
        await asyncio.sleep(0)
        return {"n": message.data["own"] + sum(value_of(each) for each in message.data["of"])}

    await bus.subscribe("agent.ledger.add", add, concurrency=64)
    driver = Driver(bus, store.journal, _Wall())
    known = await store.journal.events_of([run_id_of(seed) for seed in seeds])
    again = await driver.resume_all({run_id_of(seed): program(seed) for seed in seeds if run_id_of(seed) in known})
    begun = [driver.start(program(seed), {}, run_id=run_id_of(seed)) for seed in seeds if run_id_of(seed) not in known]
    await asyncio.gather(*again.values(), *begun)
    await bus.drain()
    await store.close()


async def judge(folder: Path, seeds: range) -> list[str]:
    """Say what is wrong; the first line counts the runs that succeeded."""
    ledger = Counter((folder / "ledger").read_text(encoding="ascii").split())
    store = SqliteStore.open_read_only(folder / "store")
    problems: list[str] = []
    succeeded = 0
    for seed in seeds:
        workflow, run_id = program(seed), run_id_of(seed)
        state = fold(workflow, await store.journal.events(run_id))
        succeeded += state.status is RunStatus.SUCCEEDED
        problems += [f"{run_id}: {text}" for text in wrong(workflow, state, ledger)]
    await store.close()
    return [str(succeeded), *problems]


def wrong(workflow: Workflow, state: RunState, ledger: Mapping[str, int]) -> list[str]:
    """Compare a run's end with the ledger and with what its program computes."""
    outputs, units = expected(workflow)
    once = {step.id for step in workflow.steps if step.effect in _ONCE}
    counts = {unit: ledger.get(idempotency_key(state.run_id, unit), 0) for unit in units}
    problems = [f"`{unit}` was done {count} times" for unit, count in counts.items() if unit in once and count > 1]
    for name, cell in state.steps.items():
        if cell.status is StepStatus.SUCCEEDED and cell.output != outputs[name]:
            problems.append(f"`{name}` gave {cell.output}, not {outputs[name]}")
    if state.status is RunStatus.SUCCEEDED:
        problems += [f"`{unit}` is lost" for unit, count in counts.items() if count == 0]
    elif not any(state.steps[name].status is StepStatus.UNKNOWN for name in once):
        problems.append(f"it ended as {state.status} for no reason: {state.error}")
    return problems


def _forked(work: Callable[[], None]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException as problem:  # noqa: BLE001  # border of the process
        os.write(2, f"{problem!r}\n".encode())
        os._exit(1)
    os._exit(0)


def _killed(child: int, after_s: float) -> int | None:
    """Kill a process after a time; gives its exit code where it ended before."""
    end = time.monotonic() + after_s
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return None if code == -signal.SIGKILL else code


def _one(folder: Path, seeds: range, chance: random.Random, result: Trial) -> None:
    scale = 0.02
    for attempt in range(MOST + 1):
        child = _forked(lambda: asyncio.run(drive(folder, seeds)))
        code = _killed(child, chance.uniform(0.0, scale) if attempt < MOST else 600.0)
        if code is not None:
            break
        result.kills += 1
        result.interrupted += len(seeds)
        # Where it never comes far, it is given longer.
        scale *= 1.1
    if code != 0:
        result.problems.append(f"programs from {seeds.start} ended with {code}")
        return
    said = folder / "said"

    def say() -> None:
        said.write_text("\n".join(asyncio.run(judge(folder, seeds))), encoding="utf-8")

    child = _forked(say)
    if _killed(child, 600.0) != 0:
        result.problems.append(f"programs from {seeds.start} cannot be judged")
        return
    count, *problems = said.read_text(encoding="utf-8").splitlines()
    result.runs += len(seeds)
    result.succeeded += int(count)
    result.problems += problems


def trial(kills: int, seed: int, *, seconds: float = 1e9) -> Trial:
    """Kill until there were so many kills, or so much time is over."""
    result, chance = Trial(), random.Random(seed)  # as above
    end = time.monotonic() + seconds
    first = seed * 1_000_000
    while result.kills < kills and not result.problems and time.monotonic() < end:
        with tempfile.TemporaryDirectory() as folder:
            _one(Path(folder), range(first, first + TOGETHER), chance, result)
        first += TOGETHER
    return result


def main() -> int:
    """Run a trial and say what came of it; 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1e9)
    options = parser.parse_args()
    result = trial(options.kills, options.seed, seconds=options.seconds)
    print(
        f"{result.kills} kills of processes with {TOGETHER} programs each ({result.interrupted} runs interrupted), "
        f"{result.runs} runs judged, {result.succeeded} succeeded, {len(result.problems)} problems"
    )
    print("\n".join(result.problems[:20]), file=sys.stderr)
    return int(bool(result.problems))


if __name__ == "__main__":
    raise SystemExit(main())
