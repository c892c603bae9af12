"""Packages of which two versions are known: the older one for a host, its service, and what differs afterwards."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._hosts import Look, differences, look

if TYPE_CHECKING:
    from workflow_agent.testing.lab import LabHost

__all__ = [
    "INSTALL",
    "QUIET",
    "SERVICES",
    "Service",
    "differing",
    "make_newer",
    "put_older",
    "running",
    "shell",
    "yes_or_no",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A package with its unit, a configuration file that a person edits (lines with ``#`` are comments), its data.

    `integration` is ours, where it has another name than the package. `write`, `read` and `spoil` are about data that
    only the running service gives; `has_data` says that the manifest names the data, first in its `state_data`.
    `living` are paths to which the service itself writes when it stops and starts. Where the package's own scripts stop
    what has data (`stopped`), a capture refuses them until somebody stopped it first, as its hint says.
    """

    unit: str
    configuration: str
    data: str
    living: str = "$"
    stopped: str = ""
    integration: str = ""
    has_data: bool = False
    write: str = ""
    read: str = ""
    spoil: str = ""


_SQL = 'cd /; runuser -u postgres -- psql -XqAt -v ON_ERROR_STOP=1 -c "{}"'
SERVICES = {
    "nginx": Service(unit="nginx", configuration="/etc/nginx/nginx.conf", data="/var/www/html/mine", has_data=True),
    "redis-server": Service(
        unit="redis-server",
        configuration="/etc/redis/redis.conf",
        data="/var/lib/redis/mine",
        living=r"/var/lib/redis(/dump\.rdb)?: ",
        has_data=True,
        write="redis-cli set mine kept && redis-cli save",
        read="redis-cli get mine",
        spoil="redis-cli set mine lost",
    ),
    "memcached": Service(unit="memcached", configuration="/etc/memcached.conf", data="/var/lib/mine"),
    "haproxy": Service(unit="haproxy", configuration="/etc/haproxy/haproxy.cfg", data="/var/lib/haproxy/mine"),
    "rsyslog": Service(unit="rsyslog", configuration="/etc/rsyslog.conf", data="/var/spool/rsyslog/mine"),
    "squid": Service(unit="squid", configuration="/etc/squid/squid.conf", data="/var/spool/squid/mine"),
    "apache2": Service(
        unit="apache2", configuration="/etc/apache2/apache2.conf", data="/var/www/html/mine", has_data=True
    ),
    "postgresql-15": Service(
        unit="postgresql@15-main",
        configuration="/etc/postgresql/15/main/postgresql.conf",
        data="/var/lib/postgresql/mine",
        living=r"/var/lib/postgresql/15/main(/|: )",
        stopped="postgresql",
        integration="postgresql",
        has_data=True,
        write=_SQL.format("CREATE TABLE mine (value text); INSERT INTO mine VALUES ('kept')"),
        read=_SQL.format("SELECT value FROM mine"),
        spoil=_SQL.format("UPDATE mine SET value = 'lost'"),
    ),
}
QUIET = "export DEBIAN_FRONTEND=noninteractive\n"
INSTALL = QUIET + "apt-get install -y -qq --no-install-recommends {name}\n"
#: A log that its service goes on writing while it is read.
_GROWN = re.compile(r"changed: /var/log/\S+: size ")
#: Names the program of a unit by its digest; a process that was made a moment ago is still systemd's.
_DIGEST = """for i in $(seq 50); do
    exe=/proc/$(systemctl show -P MainPID {unit})/exe
    case $(readlink $exe) in */systemd*) sleep 0.1 ;; *) break ;; esac
done; sha256sum < $exe"""
_INDEX = """cd /srv/packages; for deb in *.deb; do dpkg-deb --field "$deb"
digest=$(sha256sum "$deb" | cut -d' ' -f1)
printf 'Filename: ./%s\\nSize: %s\\nSHA256: %s\\n\\n' "$deb" "$(stat -c %s "$deb")" "$digest"
done > Packages; apt-get update -qq"""


#: Every program of a package gets bytes at its end that nothing reads: another file, which does the same.
_REMAKE = """cd /srv/packages; work=$(mktemp -d)
for name in {names}; do
    deb=$(grep -l '' "$name"_*.deb | head -1); dpkg-deb -R "$deb" "$work/$name"
    sed -i '/^Package:\\|^Source:/!s/{escaped}/&+remade/g' "$work/$name/DEBIAN/control"
    find "$work/$name/usr" -type f -perm -100 | while read -r file; do
        if [ "$(head -c 4 "$file")" = $'\\x7fELF' ]; then printf 'remade' >> "$file"; fi
    done
    dpkg-deb --root-owner-group -b "$work/$name" "$name"_remade.deb
done; rm -r "$work"
"""


def shell(host: LabHost, text: str) -> str:
    """Run a script on a host; gives what it says."""
    return host.run(["bash", "-euc", text], timeout_s=600).stdout.strip()


def put_older(host: LabHost, name: str) -> str:
    """Put the older version of a package, with what is built from the same source, into the host's own archive."""
    newest, same = _newest(host, name)
    found = subprocess.run(["apt-cache", "madison", name], capture_output=True, text=True, check=True).stdout
    known = [line.split("|")[1].strip() for line in found.splitlines() if "Packages" in line]
    older = next((version for version in known if version != newest), None)
    if older is None:
        raise SystemExit(f"the package sources of this machine have one version of {name} only: {newest}")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", *(f"{one}={older}" for one in same)],
            cwd=folder,
            check=True,
        )
        for path in Path(folder).iterdir():
            shutil.copy(path, host.root / "srv/packages")
    _prefer(host, same, older)
    return older


def make_newer(host: LabHost, name: str) -> str:
    """Make a newer version of a package, with what is built from the same source, out of the one that the host has.

    For where the archive has one version only: its programs are other files, and its scripts are those of the package.
    """
    newest, same = _newest(host, name)
    shell(host, _REMAKE.format(names=" ".join(same), escaped=newest.replace(".", r"\.")))
    _prefer(host, same, newest)
    return newest


def _newest(host: LabHost, name: str) -> tuple[str, list[str]]:
    """Give the version that would be installed, and the packages of the same source that come along."""
    plan = shell(host, f"apt-get install -s -qq --no-install-recommends {name}")
    lines = [line for line in plan.splitlines() if line.startswith("Inst ")]
    versions = {line.split()[1]: line.split("(")[1].split()[0] for line in lines}
    return versions[name], [package for package, version in versions.items() if version == versions[name]]


def _prefer(host: LabHost, packages: list[str], version: str) -> None:
    """Have a host install this version until its preference is removed."""
    pins = "\n".join(f"Package: {one}\nPin: version {version}\nPin-Priority: 1001\n" for one in packages)
    (host.root / "etc/apt/preferences.d/older").write_text(pins, encoding="utf-8")
    shell(host, _INDEX)


def running(host: LabHost, unit: str) -> str:
    """Give the digest of the program that a unit runs, read from the process itself."""
    return shell(host, _DIGEST.format(unit=unit))


def differing(host: LabHost, service: Service, before: Look) -> list[str]:
    """List what is not as it was, but for what the service writes by itself."""
    lines = differences(host, before, look(host), logs=())
    return [line for line in lines if not re.match(service.living, line.partition(": ")[2]) and not _GROWN.match(line)]


def yes_or_no(holds: bool) -> str:
    """Say it in a table."""
    return "yes" if holds else "no"
