"""Upgrades of real packages whose check fails after the commit: the old program, configuration and data are back.

``python -m benchmarks.failed_upgrades [--json] [--only NAME,...] [--remade]`` (root, on Debian with its security
archive). On a fresh systemd host the shipped integration of each package is installed while the host knows the older
version only; its configuration is edited and data are written (a key of redis, a row of PostgreSQL, else a file). Then
``workflow-agent upgrade --force`` brings the newer version, with one check more. It runs after the commit: it notes
which program answers, writes over the data where the manifest names them, and fails. The manifest says ``snapshot`` for
these data; apart from that and the check it is the shipped one. Where the package's own scripts stop what has data
(PostgreSQL), a capture refuses them until somebody stopped it: it is stopped before, and started again to be looked at.

With ``--remade`` the newer version is made from the one that the lab's archive has, by bytes at the end of its
programs: for machines whose sources have one version only.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

import workflow_agent
from benchmarks._hosts import command, look, more_processes, options, rows_of
from benchmarks._versions import SERVICES, differing, make_newer, put_older, running, shell, yes_or_no
from workflow_agent.testing.lab import LabHost
from workflow_agent.testing.lab.image import CATALOGUE_PACKAGES, LabKind

if TYPE_CHECKING:
    from benchmarks._versions import Service

__all__ = ["main"]

_ROLLED_BACK = 9
#: Long enough for one look on a busy machine.
_CHECK_S = 20
#: What the integrations install: that of PostgreSQL the package of all its versions, and by it the one of this.
_PACKAGES = (*SERVICES, "postgresql")
_SHIPPED = Path(workflow_agent.__file__).parent / "_data/integrations"
#: What the failing check writes, on the host itself.
_SEEN = "/run/program-of-the-check"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    package: str
    older: str
    newer: str
    code: int
    upgrade_s: float
    seen: str
    program: str
    new_program_ran: bool
    old_program_back: bool
    configuration_back: bool
    data_spoilt: bool
    data_back: bool
    paths_left: int
    processes_left: int
    left: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether everything is as the documentation says."""
        back = self.old_program_back and self.configuration_back and self.data_back
        return self.code == _ROLLED_BACK and self.new_program_ran and back and self.paths_left == 0


def _with_failing_check(folder: Path, service: Service, name: str) -> None:
    """Make the integration a newer one, with a check that spoils the data and fails."""
    place = folder / "integration.yaml"
    manifest: dict[str, Any] = yaml.safe_load(place.read_text(encoding="utf-8"))
    manifest["version"] = "99.0.0"
    packages = manifest["actions"]["install"]["with"]["packages"]
    manifest["actions"]["install"]["with"]["packages"] = sorted({*packages, name})
    if service.has_data:
        manifest["state_data"][0]["policy"] = "snapshot"
    spoil = f"{_spoil(service)}; " if service.has_data else ""
    # whole or not at all: a check that is looked at again may be ended at any moment
    note = f'seen=$(sha256sum < /proc/$(systemctl show -P MainPID {service.unit})/exe) && echo "$seen" > {_SEEN}'
    text = f"{note}\n{spoil}echo 'the probe fails'; exit 1"
    manifest["checks"].append(
        {
            "id": "injected",
            "kind": "command",
            "description": "It fails after the commit.",
            "live": True,
            "timeout": _CHECK_S,
            "argv": ["/bin/bash", "-uc", text],
        }
    )
    place.write_text(yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _spoil(service: Service) -> str:
    return service.spoil or f"echo lost > {service.data}"


def _read(host: LabHost, service: Service) -> str:
    return shell(host, service.read or f"cat {service.data}")


def _measure(remade: bool, name: str) -> _Row:
    service = SERVICES[name]
    packages = CATALOGUE_PACKAGES if remade else _PACKAGES
    with (
        LabHost(LabKind.SYSTEMD, packages=packages, in_memory=None if remade else False) as host,
        tempfile.TemporaryDirectory() as scratch,
    ):
        older = make_newer(host, name) if remade else put_older(host, name)
        folder = Path(scratch, "integration", service.integration or name)
        shutil.copytree(_SHIPPED / folder.name, folder)
        code, _ = command(host, scratch, "install", str(folder))
        if code != 0:
            raise SystemExit(f"{name} {older} could not be installed")
        shell(host, f"printf '\\n# mine\\n' >> {service.configuration}")
        shell(host, service.write or f"echo kept > {service.data}")
        shell(host, "rm /etc/apt/preferences.d/older; apt-get update -qq")
        program, configuration = running(host, service.unit), shell(host, f"cat {service.configuration}")
        if service.stopped:
            shell(host, f"systemctl stop {service.stopped}")
        before = look(host)
        _with_failing_check(folder, service, name)
        code, upgrade_s = command(host, scratch, "upgrade", str(folder), "--force")
        left, processes = differing(host, service, before), more_processes(before.processes, look(host).processes)
        if service.stopped:
            shell(host, f"systemctl start {service.stopped}")
        seen, now = shell(host, f"cat {_SEEN} || true"), running(host, service.unit)
        return _Row(
            package=name,
            older=older,
            newer=_candidate(host, name),
            code=code,
            upgrade_s=round(upgrade_s, 1),
            seen=seen,
            program=program,
            new_program_ran=seen not in {"", program},
            old_program_back=now == program,
            configuration_back=shell(host, f"cat {service.configuration}") == configuration,
            data_spoilt=service.has_data,
            data_back=_read(host, service) == "kept",
            paths_left=len(left),
            processes_left=processes,
            left=tuple(left[:10]),
        )


def _candidate(host: LabHost, name: str) -> str:
    return shell(host, f"apt-cache policy {name} | sed -n 's/ *Candidate: //p'")


def _table(rows: list[_Row]) -> str:
    head = "package", "from", "to", "the check saw the new program", "the old one runs", "edited configuration", "data"
    lines = [f"| {' | '.join(head)} | differing paths |", f"|{' --- |' * len(head)} ---: |"]
    for row in rows:
        data = f"{'back' if row.data_back else 'lost'}{', the check had written over them' if row.data_spoilt else ''}"
        lines.append(
            f"| {row.package} | {row.older} | {row.newer} | {yes_or_no(row.new_program_ran)} "
            f"| {yes_or_no(row.old_program_back)} | {'back' if row.configuration_back else 'lost'} | {data} "
            f"| {row.paths_left} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print a table, end with 1 where anything is not back."""
    parser = options(__doc__, SERVICES)
    parser.add_argument("--remade", action="store_true", help="make the newer version from the lab's own")
    asked = parser.parse_args()
    rows = rows_of(asked.only, partial(_measure, asked.remade))
    if asked.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        print(_table(rows))
    raise SystemExit(0 if all(row.holds for row in rows) else 1)


if __name__ == "__main__":
    main()
