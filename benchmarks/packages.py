"""Debian packages with awkward maintainer scripts: what is left after our rollback, and after ``apt-get purge``.

``python -m benchmarks.packages [--json] [--only NAME,...]`` (root; the first run fetches the packages). For each
package there are two fresh systemd hosts with the same ext4 disk. On one, ``workflow-agent apply`` carries out the
script ``apt-get install -y --no-install-recommends NAME`` and ``workflow-agent rollback`` takes it back; on the other
apt installs the package and ``apt-get purge --autoremove`` takes it away. All files (content, mode, owner,
attributes, times, names), units and processes are compared with those of before, and after the rollback apt installs
the package once more, to show that nothing stands in its way.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._report import Figure, machine, remark, show
from workflow_agent.testing.lab import LabHost, diff, grown_logs
from workflow_agent.testing.lab.image import LabKind

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["PACKAGES", "World", "differences", "look", "main", "more_processes"]

_PROGRAM = str(Path(sys.executable).with_name("workflow-agent"))
#: Package -> what is awkward about it.
PACKAGES: Mapping[str, str] = {
    "postgresql": "a database cluster, a user, alternatives, units of its own kind",
    "mariadb-server": "a database, a user, debconf, system tables made by the installer",
    "nginx": "links, a unit, log folders",
    "openssh-server": "keys made by the installer, debconf, PAM, a user",
    "cron": "setgid program, spool folders, PAM, a unit",
    "exim4-daemon-light": "debconf, generated configuration, setuid program, a user, alternatives",
    "rsyslog": "takes over logging, a unit with aliases",
    "ca-certificates": "debconf, hundreds of links and hashes, a trigger",
    "python3-yaml": "byte-compiled by the installer's script",
    "molly-guard": "diverts programs of other packages",
    "vim-tiny": "alternatives",
    "sudo": "setuid programs, configuration with modes of its own, a unit without a process",
    "man-db": "setgid, triggers, a cache, debconf, a timer",
    "redis-server": "a user, a unit, data and log folders",
    "locales": "debconf, a generated archive",
}
#: Nothing takes lines out of a log; systemd makes and removes the private folders of services in the other.
_LOGS = frozenset({f"/var/log/{name}" for name in ("apt/history.log", "apt/term.log", "dpkg.log", "alternatives.log")})
_RESTLESS = re.compile(r"changed: /var/tmp: mtime_ns |(created|deleted): /var/tmp/systemd-private-")
_INSTALL = "export DEBIAN_FRONTEND=noninteractive\napt-get install -y -qq --no-install-recommends {}\n"
#: `SUDO_FORCE_REMOVE` is what the prerm script of sudo asks for.
_PURGE = "export DEBIAN_FRONTEND=noninteractive SUDO_FORCE_REMOVE=yes; cd /; apt-get -y -qq purge --autoremove {}"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    files: Mapping[str, object]
    processes: tuple[str, ...]
    units: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """Paths that differ, then processes and units: when installed, after the rollback, after apt's purge."""

    package: str
    installed: int
    rollback_paths: int
    rollback_processes: int
    rollback_units: int
    rollback_s: float
    again: bool
    purge_paths: int
    purge_processes: int
    left: tuple[str, ...]


def look(host: LabHost) -> World:
    units = tuple(item for item in host.units().items() if item[1].startswith("active"))
    processes = (one.program for one in host.processes() if "python" not in one.program)
    return World(files=host.digest(), processes=tuple(sorted(processes)), units=units)


def differences(host: LabHost, before: World, after: World, logs: Collection[str] = _LOGS) -> list[str]:
    """List what differs, but for `logs` (all where none are named) that only got longer and systemd's own folders."""
    grown = set(grown_logs(host.root, before.files, after.files))  # type: ignore[arg-type]  # records
    grown = {path for path in grown if path in logs} if logs else grown
    lines = diff(before.files, after.files)  # type: ignore[arg-type]  # records
    return [line for line in lines if line.split(": ")[1] not in grown and not _RESTLESS.match(line)]


def _command(host: LabHost, folder: str, *words: str) -> float:
    environment = os.environ | {
        "WORKFLOW_AGENT_PATHS__STATE": f"{folder}/state",
        "WORKFLOW_AGENT_TARGETS__HOST_PID": str(host.pid),
    }
    started = time.perf_counter()
    argv = [_PROGRAM, *words, "--yes", "--json"]
    done = subprocess.run(argv, env=environment, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(argv)} ended with {done.returncode}\n{done.stderr.decode()[-3000:]}")
    return time.perf_counter() - started


def _ours(name: str) -> tuple[int, list[str], World, World, float, bool]:
    with _host() as host, tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "install.sh")
        script.write_text(_INSTALL.format(name), encoding="utf-8")
        before = look(host)
        _command(host, folder, "apply", str(script))
        installed = len(differences(host, before, look(host)))
        took = _command(host, folder, "rollback")
        after = look(host)
        left = differences(host, before, after)
        again = host.run(["sh", "-c", _INSTALL.format(name) + "dpkg --audit && apt-get check -qq"], check=False)
        return installed, left, before, after, took, again.returncode == 0


def _apt(name: str) -> tuple[int, int]:
    with _host() as host:
        before = look(host)
        host.run(["sh", "-c", _INSTALL.format(name)])
        host.run(["sh", "-c", _PURGE.format(name)])
        after = look(host)
        return len(differences(host, before, after)), more_processes(before.processes, after.processes)


def more_processes(before: tuple[str, ...], after: tuple[str, ...]) -> int:
    left = list(after)
    for program in before:
        if program in left:
            left.remove(program)
    return len(left)


def _host() -> LabHost:
    return LabHost(LabKind.SYSTEMD, packages=tuple(PACKAGES), in_memory=False)


def _measure(name: str) -> _Row:
    installed, left, before, after, took, again = _ours(name)
    paths, processes = _apt(name)
    return _Row(
        package=name,
        installed=installed,
        rollback_paths=len(left),
        rollback_processes=more_processes(before.processes, after.processes),
        rollback_units=len(set(before.units) ^ set(after.units)),
        rollback_s=round(took, 2),
        again=again,
        purge_paths=paths,
        purge_processes=processes,
        left=tuple(left[:10]),
    )


def _table(rows: list[_Row]) -> str:
    lines = [
        "| package | what is awkward | paths changed | rollback leaves | s | apt installs again | purge leaves |",
        "| --- | --- | ---: | --- | ---: | --- | --- |",
    ]
    for row in rows:
        ours = _said(row.rollback_paths, row.rollback_processes, row.rollback_units)
        purge = _said(row.purge_paths, row.purge_processes)
        again = "yes" if row.again else "no"
        lines.append(
            f"| {row.package} | {PACKAGES[row.package]} | {row.installed:,} | {ours} | {row.rollback_s:.1f} "
            f"| {again} | {purge} |"
        )
    return "\n".join(lines)


def _figures(row: _Row) -> list[Figure]:
    left = {"workflow-agent": row.rollback_paths, "apt-get purge": row.purge_paths}
    return [
        Figure(name=f"{row.package} leaves", subject=subject, value=value, unit="paths", n=1)
        for subject, value in left.items()
    ]


def _said(*counts: int) -> str:
    words = ("paths", "processes", "units")
    return ", ".join(f"{count:,} {word}" for count, word in zip(counts, words, strict=False) if count) or "nothing"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", default=",".join(PACKAGES), help="packages, separated by commas")
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("this benchmark makes hosts with disks of their own: run it as root")
    remark(machine())
    rows = []
    for name in options.only.split(","):
        rows.append(_measure(name))
        remark(f"{name}: {asdict(rows[-1])}")
    if options.json:
        show([figure for row in rows for figure in _figures(row)], as_json=True)
    else:
        print(_table(rows))


if __name__ == "__main__":
    main()
