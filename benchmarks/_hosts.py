"""What benchmarks on lab hosts share: looking at a host, comparing, our command on it, one row a package."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from benchmarks._program import installed_program
from benchmarks._report import machine, remark
from workflow_agent.testing.lab import diff, grown_logs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from workflow_agent.testing.lab import LabHost

__all__ = ["Look", "command", "differences", "look", "more_processes", "options", "rows_of"]

_Row = TypeVar("_Row")
#: Nothing takes lines out of a log; systemd makes and removes the private folders of services in the other.
_LOGS = frozenset({f"/var/log/{name}" for name in ("apt/history.log", "apt/term.log", "dpkg.log", "alternatives.log")})
_RESTLESS = re.compile(r"changed: /var/tmp: mtime_ns |(created|deleted): /var/tmp/systemd-private-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """All files of a host, the programs that run, the units that are active."""

    files: Mapping[str, object]
    processes: tuple[str, ...]
    units: tuple[tuple[str, str], ...]


def look(host: LabHost) -> Look:
    """Look at a host."""
    units = tuple(item for item in host.units().items() if item[1].startswith("active"))
    processes = (one.program for one in host.processes() if "python" not in one.program)
    return Look(files=host.digest(), processes=tuple(sorted(processes)), units=units)


def differences(host: LabHost, before: Look, after: Look, logs: Collection[str] = _LOGS) -> list[str]:
    """List what differs, but for `logs` (all where none are named) that only got longer and systemd's own folders."""
    grown = set(grown_logs(host.root, before.files, after.files))  # type: ignore[arg-type]  # records
    grown = {path for path in grown if path in logs} if logs else grown
    lines = diff(before.files, after.files)  # type: ignore[arg-type]  # records
    return [line for line in lines if line.split(": ")[1] not in grown and not _RESTLESS.match(line)]


def more_processes(before: tuple[str, ...], after: tuple[str, ...]) -> int:
    """Count the processes that run since."""
    left = list(after)
    for program in before:
        if program in left:
            left.remove(program)
    return len(left)


def command(host: LabHost, folder: str, *words: str) -> tuple[int, float]:
    """Carry out a command of ours on a host; gives its exit code and how long it took, in seconds."""
    environment = os.environ | {
        "WORKFLOW_AGENT_PATHS__STATE": f"{folder}/state",
        "WORKFLOW_AGENT_TARGETS__HOST_PID": str(host.pid),
    }
    started = time.perf_counter()
    argv = [installed_program(), *words, "--yes", "--json"]
    done = subprocess.run(argv, env=environment, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        remark(f"{' '.join(words)} ended with {done.returncode}\n{done.stderr.decode()[-2000:]}")
    return done.returncode, time.perf_counter() - started


def options(about: str | None, names: Iterable[str]) -> argparse.ArgumentParser:
    """Give what such a benchmark is asked for on the command line; refuses who is not root."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", default=",".join(names), help="packages, separated by commas")
    if os.geteuid() != 0:
        raise SystemExit("this benchmark makes hosts with disks of their own: run it as root")
    return parser


def rows_of(only: str, measure: Callable[[str], _Row]) -> list[_Row]:
    """Measure one package after the other, telling each row as it comes."""
    remark(machine())
    rows = []
    for name in only.split(","):
        row: Any = measure(name)
        remark(f"{name}: {asdict(row)}")
        rows.append(row)
    return rows
