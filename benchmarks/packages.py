"""Debian packages with awkward maintainer scripts: what is left after our rollback, and after what others offer.

``python -m benchmarks.packages [--json] [--only NAME,...] [--ansible]`` (root; the first run fetches the
packages). For each package there are two fresh systemd hosts with the same ext4 disk. On one, ``workflow-agent apply``
carries out the script ``apt-get install -y --no-install-recommends NAME`` and ``workflow-agent rollback`` takes it
back; on the other apt installs the package and ``apt-get purge --autoremove`` takes it away. All files (content, mode,
owner, attributes, times, names), units and processes are compared with those of before, and after the rollback apt
installs the package once more, to show that nothing stands in its way.

``--ansible`` adds a host on which ansible-core's module ``apt`` installs the package and makes it absent (``purge``,
``autoremove``): it has no rollback. It is Debian's package; for what that needs itself, ``--ansible-from FOLDER`` takes
another one, which pip put there for the same Python. ``--try PROGRAM`` adds one on which binpash's ``try -y`` runs the
same script and commits it, which nothing takes back; to let it work, `/proc` is freed of what the lab mounts there.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._hosts import command, differences, look, more_processes, options, rows_of
from benchmarks._report import Figure, show
from workflow_agent.testing.lab import LabHost
from workflow_agent.testing.lab.image import LabKind
from workflow_agent.testing.like_dkms import LIKE_DKMS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

__all__ = ["PACKAGES", "main"]

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
    "dbus": "a user, a setuid program for a group of its own, a socket",
    "stub-dkms": "builds a kernel module in its script, lists of modules made anew, files that it does not own",
}
#: On a host without systemd, which has it already.
_PLAIN = frozenset({"dbus"})
#: What is done on a host before, and what is given to apt then.
_SET_UPS: Mapping[str, str] = {"stub-dkms": LIKE_DKMS}
_FILES: Mapping[str, str] = {"stub-dkms": "/srv/stub.deb"}
_INSTALL = "export DEBIAN_FRONTEND=noninteractive\napt-get install -y -qq --no-install-recommends {}\n"
#: `SUDO_FORCE_REMOVE` is what the prerm script of sudo asks for.
_PURGE = "export DEBIAN_FRONTEND=noninteractive SUDO_FORCE_REMOVE=yes; cd /; apt-get -y -qq purge --autoremove {}"
_ANSIBLE = (
    "export SUDO_FORCE_REMOVE=yes PYTHONPATH=/tmp/ansible PYTHONDONTWRITEBYTECODE=1\n"
    "python3 -m ansible adhoc localhost -e ansible_python_interpreter=/usr/bin/python3 -m apt "
    "-a '{what} state={wanted} install_recommends=no purge=yes autoremove=yes'"
)


#: What the lab mounts in `/proc` keeps a user namespace from mounting its own; a sandbox of apt needs a second user.
_TRY = """
umount /proc/sysrq-trigger; umount /proc/sys; cd /root
SHELL=/bin/sh /tmp/try -y 'export DEBIAN_FRONTEND=noninteractive
apt-get -o APT::Sandbox::User=root install -y -qq --no-install-recommends {}'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Left:
    """What somebody else's installation and removal leave; `works` where it was not installed as wanted."""

    paths: int
    processes: int
    works: bool = True

    def __str__(self) -> str:
        return _said(self.paths, self.processes) + (
            "" if self.works else ", half installed" if self.paths else ", fails"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """What differs when installed and after the rollback, and what others leave, by name."""

    package: str
    installed: int
    rollback_paths: int
    rollback_processes: int
    rollback_units: int
    rollback_s: float
    again: bool
    others: Mapping[str, _Left]
    left: tuple[str, ...]


def _measure(name: str, asked: argparse.Namespace) -> _Row:
    install = _INSTALL.format(_FILES.get(name, name))
    others = _others(name, install, asked)
    with _host(name) as host, tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "install.sh")
        script.write_text(install, encoding="utf-8")
        before = look(host)
        command(host, folder, "apply", str(script))
        installed = len(differences(host, before, look(host)))
        _, took = command(host, folder, "rollback")
        after = look(host)
        left = differences(host, before, after)
        again = host.run(["sh", "-c", install + "dpkg --audit && apt-get check -qq"], check=False)
    return _Row(
        package=name,
        installed=installed,
        rollback_paths=len(left),
        rollback_processes=more_processes(before.processes, after.processes),
        rollback_units=len(set(before.units) ^ set(after.units)),
        rollback_s=round(took, 2),
        again=again.returncode == 0,
        others=others,
        left=tuple(left[:10]),
    )


def _others(name: str, install: str, asked: argparse.Namespace) -> dict[str, _Left]:
    """Give what others leave that are asked for."""
    others = {"apt-get purge": _left_by(name, install, _PURGE.format(name))}
    if asked.ansible or asked.ansible_from:
        what = f"deb={_FILES[name]}" if name in _FILES else f"name={name}"
        present = _ANSIBLE.format(what=what, wanted="present")
        absent = _ANSIBLE.format(what=f"name={name}", wanted="absent")
        needs = ("python3-apt",) if asked.ansible_from else ("ansible-core", "python3-apt")
        others["ansible-core"] = _left_by(name, present, absent, *needs, carried=asked.ansible_from)
    if asked.tried:
        others["try"] = _left_by_try(name, asked.tried)
    return others


def _left_by(name: str, install: str, remove: str, *needs: str, carried: Path | None = None) -> _Left:
    """Install and remove with something else, which may itself need packages."""
    with _host(name, *needs) as host:
        if needs:
            host.run(["sh", "-c", _INSTALL.format(" ".join(needs))])
        if carried:  # to a file system of its own, which is not looked at
            shutil.copytree(carried, host.root / "tmp/ansible")
        before = look(host)
        host.run(["sh", "-ec", install], timeout_s=900)
        host.run(["sh", "-ec", remove], timeout_s=900)
        after = look(host)
        processes = more_processes(before.processes, after.processes)
        return _Left(paths=len(differences(host, before, after)), processes=processes)


def _left_by_try(name: str, program: Path) -> _Left:
    """Install in a user namespace and commit."""
    with _host(name) as host:
        shutil.copy(program, host.root / "tmp/try")
        before = look(host)
        script = _TRY.format(_FILES.get(name, name))
        host.run(["unshare", "--mount", "sh", "-c", script], check=False, timeout_s=900)
        sound = host.run(["sh", "-c", f"dpkg -s {name} | grep -q 'install ok installed' && dpkg --audit"], check=False)
        after = look(host)
        return _Left(
            paths=len(differences(host, before, after)),
            processes=more_processes(before.processes, after.processes),
            works=sound.returncode == 0 and not sound.stdout,
        )


@contextmanager
def _host(name: str, *more: str) -> Iterator[LabHost]:
    """Give a fresh host on which a package can be installed."""
    kind = LabKind.PLAIN if name in _PLAIN else LabKind.SYSTEMD
    packages = (*(package for package in PACKAGES if package not in _FILES), *more)
    with LabHost(kind, packages=packages, in_memory=False) as host:
        if name in _SET_UPS:
            host.run(["bash", "-euc", _SET_UPS[name]])
        yield host


def _table(rows: list[_Row]) -> str:
    others = list(rows[0].others)
    heads = ["package", "what is awkward", "paths changed", "rollback leaves", "s", "apt installs again"]
    aligned = ["---", "---", "---:", "---", "---:", "---", *("---" for _ in others)]
    lines = [" | ".join([*heads, *(f"{other} leaves" for other in others)]), " | ".join(aligned)]
    for row in rows:
        cells = [
            row.package,
            PACKAGES[row.package],
            f"{row.installed:,}",
            _said(row.rollback_paths, row.rollback_processes, row.rollback_units),
            f"{row.rollback_s:.1f}",
            "yes" if row.again else "no",
            *(str(row.others[other]) for other in others),
        ]
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines)


def _figures(row: _Row) -> list[Figure]:
    left = {"workflow-agent": row.rollback_paths} | {other: left.paths for other, left in row.others.items()}
    return [
        Figure(name=f"{row.package} leaves", subject=subject, value=value, unit="paths", n=1)
        for subject, value in left.items()
    ]


def _said(*counts: int) -> str:
    words = ("paths", "processes", "units")
    return ", ".join(f"{count:,} {word}" for count, word in zip(counts, words, strict=False) if count) or "nothing"


def main() -> None:
    """Measure and print a table."""
    parser = options(__doc__, PACKAGES)
    parser.add_argument("--ansible", action="store_true", help="beside ansible-core")
    parser.add_argument("--ansible-from", type=Path, metavar="FOLDER", help="beside the ansible-core in this folder")
    parser.add_argument("--try", dest="tried", type=Path, metavar="PROGRAM", help="beside binpash's try")
    asked = parser.parse_args()
    rows = rows_of(asked.only, partial(_measure, asked=asked))
    if asked.json:
        show([figure for row in rows for figure in _figures(row)], as_json=True)
    else:
        print(_table(rows))


if __name__ == "__main__":
    main()
