"""Two versions of real packages: an upgrade is proven by the program that runs, and a rollback brings the old one back.

``python -m benchmarks.upgrades [--json] [--only NAME,...]`` (root, on Debian with its security archive; the first run
fetches the packages). On a fresh systemd host each package is installed in its older version, a file of its
configuration is edited and data are written. Then ``workflow-agent apply`` carries out a script that upgrades it and
restarts the service; the service has to run from the new program. ``workflow-agent rollback`` takes that back: all
files are compared with those of before (the edited configuration and the data among them), and the service has to run
from the old program. At last the same upgrade ends with a probe that fails: nothing may have changed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks._hosts import Look, command, differences, look, more_processes, options, rows_of
from benchmarks._report import Figure, show
from workflow_agent.testing.lab import LabHost
from workflow_agent.testing.lab.image import LabKind

__all__ = ["SERVICES", "main"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Service:
    """A package with its unit, a configuration file that a person edits (lines with ``#`` are comments), its data.

    `living` are paths to which the service itself writes when it stops and starts. Where the package's own scripts stop
    what has data (`stopped`), a capture refuses them until somebody stopped it first, as its hint says.
    """

    unit: str
    configuration: str
    data: str
    living: str = "$"
    stopped: str = ""


SERVICES = {
    "nginx": _Service(unit="nginx", configuration="/etc/nginx/nginx.conf", data="/var/www/html/mine"),
    "redis-server": _Service(
        unit="redis-server",
        configuration="/etc/redis/redis.conf",
        data="/var/lib/redis/mine",
        living=r"/var/lib/redis(/dump\.rdb)?: ",
    ),
    "memcached": _Service(unit="memcached", configuration="/etc/memcached.conf", data="/var/lib/mine"),
    "haproxy": _Service(unit="haproxy", configuration="/etc/haproxy/haproxy.cfg", data="/var/lib/haproxy/mine"),
    "rsyslog": _Service(unit="rsyslog", configuration="/etc/rsyslog.conf", data="/var/spool/rsyslog/mine"),
    "squid": _Service(unit="squid", configuration="/etc/squid/squid.conf", data="/var/spool/squid/mine"),
    "apache2": _Service(unit="apache2", configuration="/etc/apache2/apache2.conf", data="/var/www/html/mine"),
    "postgresql-15": _Service(
        unit="postgresql@15-main",
        configuration="/etc/postgresql/15/main/postgresql.conf",
        data="/var/lib/postgresql/mine",
        living=r"/var/lib/postgresql/15/main(/|: )",
        stopped="postgresql",
    ),
}
_FAILED = 1
_QUIET = "export DEBIAN_FRONTEND=noninteractive\n"
_INSTALL = _QUIET + "apt-get install -y -qq --no-install-recommends {name}\n"
#: Configuration that a person edited stays, as dpkg does it without a terminal.
_UPGRADE = (
    _QUIET
    + """rm -f /etc/apt/preferences.d/older
apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-confold {name}
systemctl restart {unit}
"""
)
#: A log that its service goes on writing while it is read.
_GROWN = re.compile(r"changed: /var/log/\S+: size ")
#: A process that was made a moment ago is still systemd's.
_DIGEST = """for i in $(seq 50); do
    exe=/proc/$(systemctl show -P MainPID {unit})/exe
    case $(readlink $exe) in */systemd*) sleep 0.1 ;; *) break ;; esac
done; sha256sum < $exe"""
_INDEX = """cd /srv/packages; for deb in *.deb; do dpkg-deb --field "$deb"
digest=$(sha256sum "$deb" | cut -d' ' -f1)
printf 'Filename: ./%s\\nSize: %s\\nSHA256: %s\\n\\n' "$deb" "$(stat -c %s "$deb")" "$digest"
done > Packages; apt-get update -qq"""


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


def _shell(host: LabHost, text: str) -> str:
    return host.run(["bash", "-euc", text], timeout_s=600).stdout.strip()


def _fetch_older(host: LabHost, name: str) -> str:
    """Put the older version of a package, with what is built from the same source, into the host's own archive."""
    plan = _shell(host, f"apt-get install -s -qq --no-install-recommends {name}")
    newest = {line.split()[1]: line.split("(")[1].split()[0] for line in plan.splitlines() if line.startswith("Inst ")}
    found = subprocess.run(["apt-cache", "madison", name], capture_output=True, text=True, check=True).stdout
    known = [line.split("|")[1].strip() for line in found.splitlines() if "Packages" in line]
    older = next((version for version in known if version != newest[name]), None)
    if older is None:
        raise SystemExit(f"the package sources of this machine have one version of {name} only: {newest[name]}")
    same = [package for package, version in newest.items() if version == newest[name]]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", *(f"{one}={older}" for one in same)],
            cwd=folder,
            check=True,
        )
        for path in Path(folder).iterdir():
            shutil.copy(path, host.root / "srv/packages")
    pins = "\n".join(f"Package: {one}\nPin: version {older}\nPin-Priority: 1001\n" for one in same)
    (host.root / "etc/apt/preferences.d/older").write_text(pins, encoding="utf-8")
    _shell(host, _INDEX)
    return older


def _running(host: LabHost, unit: str) -> str:
    """Give the digest of the program that a unit runs, read from the process itself."""
    return _shell(host, _DIGEST.format(unit=unit))


def _differences(host: LabHost, service: _Service, before: Look) -> list[str]:
    lines = differences(host, before, look(host), logs=())
    return [line for line in lines if not re.match(service.living, line.partition(": ")[2]) and not _GROWN.match(line)]


def _measure(name: str) -> _Row:
    service = SERVICES[name]
    with (
        LabHost(LabKind.SYSTEMD, packages=tuple(SERVICES), in_memory=False) as host,
        tempfile.TemporaryDirectory() as folder,
    ):
        older = _fetch_older(host, name)
        _shell(host, _INSTALL.format(name=name) + f"systemctl restart {service.unit}")
        _shell(host, f"printf '\\n# mine\\n' >> {service.configuration}; echo mine > {service.data}")
        program = _running(host, service.unit)
        if service.stopped:
            _shell(host, f"systemctl stop {service.stopped}")
        before = look(host)
        upgrade = _UPGRADE.format(name=name, unit=service.unit)
        script, failing = Path(folder, "upgrade.sh"), Path(folder, "failing.sh")
        script.write_text(upgrade, encoding="utf-8")
        failing.write_text(upgrade + "echo 'the probe failed'; exit 1\n", encoding="utf-8")
        refused, _ = command(host, folder, "apply", str(failing))
        untouched = not _differences(host, service, before)
        code, upgrade_s = command(host, folder, "apply", str(script))
        newer = _shell(host, f"dpkg-query -W -f '${{Version}}' {name}")
        upgraded = code == 0 and newer != older and _running(host, service.unit) != program
        code, rollback_s = command(host, folder, "rollback")
        left = _differences(host, service, before)
        processes = more_processes(before.processes, look(host).processes)
        if service.stopped:
            _shell(host, f"systemctl start {service.stopped}")
        return _Row(
            package=name,
            older=older,
            newer=newer,
            upgraded=upgraded,
            upgrade_s=round(upgrade_s, 1),
            rollback_s=round(rollback_s, 1),
            back=code == 0 and _running(host, service.unit) == program,
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
            f"| {row.package} | {row.older} | {row.newer} | {_word(row.upgraded)} | {row.rollback_s:.1f} "
            f"| {_word(row.back)} | {row.paths_left} | {refused} |"
        )
    return "\n".join(lines)


def _word(holds: bool) -> str:
    return "yes" if holds else "no"


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
