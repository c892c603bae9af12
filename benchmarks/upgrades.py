"""Two versions of real packages: an upgrade is proven by the program that runs, and a rollback brings the old one back.

``python -m benchmarks.upgrades [--json] [--only NAME,...]`` (root, on Debian with its security archive; the first run
fetches the packages). On a fresh systemd host each package is installed in its older version, a file of its
configuration is edited and data are written. Then ``workflow-agent apply`` carries out a script that upgrades it and
restarts the service; the service has to run from the new program. ``workflow-agent rollback`` takes that back: all
files are compared with those of before (the edited configuration and the data among them), and the service has to run
from the old program. At last the same upgrade ends with a probe that fails: nothing may have changed. What a check
that fails after the commit leaves is measured by ``benchmarks.failed_upgrades``.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks._hosts import command, look, more_processes, options, rows_of
from benchmarks._report import Figure, show
from benchmarks._versions import INSTALL, QUIET, SERVICES, differing, put_older, running, shell, yes_or_no
from workflow_agent.testing.lab import LabHost
from workflow_agent.testing.lab.image import LabKind

__all__ = ["main"]

_FAILED = 1
#: Configuration that a person edited stays, as dpkg does it without a terminal.
_UPGRADE = (
    QUIET
    + """rm -f /etc/apt/preferences.d/older
apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-confold {name}
systemctl restart {unit}
"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    package: str
    older: str
    newer: str
    upgraded: bool
    upgrade_s: float
    rollback_s: float
    back: bool
    paths_left: int
    processes_left: int
    refused: bool
    left: tuple[str, ...]


def _measure(name: str) -> _Row:
    service = SERVICES[name]
    with (
        LabHost(LabKind.SYSTEMD, packages=tuple(SERVICES), in_memory=False) as host,
        tempfile.TemporaryDirectory() as folder,
    ):
        older = put_older(host, name)
        shell(host, INSTALL.format(name=name) + f"systemctl restart {service.unit}")
        shell(host, f"printf '\\n# mine\\n' >> {service.configuration}; echo mine > {service.data}")
        program = running(host, service.unit)
        if service.stopped:
            shell(host, f"systemctl stop {service.stopped}")
        before = look(host)
        upgrade = _UPGRADE.format(name=name, unit=service.unit)
        script, failing = Path(folder, "upgrade.sh"), Path(folder, "failing.sh")
        script.write_text(upgrade, encoding="utf-8")
        failing.write_text(upgrade + "echo 'the probe failed'; exit 1\n", encoding="utf-8")
        refused, _ = command(host, folder, "apply", str(failing))
        untouched = not differing(host, service, before)
        code, upgrade_s = command(host, folder, "apply", str(script))
        newer = shell(host, f"dpkg-query -W -f '${{Version}}' {name}")
        upgraded = code == 0 and newer != older and running(host, service.unit) != program
        code, rollback_s = command(host, folder, "rollback")
        left = differing(host, service, before)
        processes = more_processes(before.processes, look(host).processes)
        if service.stopped:
            shell(host, f"systemctl start {service.stopped}")
        return _Row(
            package=name,
            older=older,
            newer=newer,
            upgraded=upgraded,
            upgrade_s=round(upgrade_s, 1),
            rollback_s=round(rollback_s, 1),
            back=code == 0 and running(host, service.unit) == program,
            paths_left=len(left),
            processes_left=processes,
            refused=refused == _FAILED and untouched,
            left=tuple(left[:10]),
        )


def _table(rows: list[_Row]) -> str:
    head = "package", "from", "to", "runs the new program", "rollback: s", "runs the old program", "differing paths"
    lines = [f"| {' | '.join(head)} | failing probe changes |", "| --- | --- | --- | --- | ---: | --- | ---: | --- |"]
    for row in rows:
        refused = "nothing" if row.refused else "something"
        lines.append(
            f"| {row.package} | {row.older} | {row.newer} | {yes_or_no(row.upgraded)} | {row.rollback_s:.1f} "
            f"| {yes_or_no(row.back)} | {row.paths_left} | {refused} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure and print a table."""
    asked = options(__doc__, SERVICES).parse_args()
    rows = rows_of(asked.only, _measure)
    if asked.json:
        figures = [
            Figure(
                name=f"{row.package}, rollback of an upgrade leaves",
                subject="workflow-agent",
                value=row.paths_left,
                unit="paths",
                n=1,
            )
            for row in rows
        ]
        show(figures, as_json=True)
    else:
        print(_table(rows))


if __name__ == "__main__":
    main()
