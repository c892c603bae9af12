"""What each integration of the catalogue changes, and what is left after it went: by our rollback, and by apt.

``python -m benchmarks.catalogue [PAGE] [--json FILE] [--kinds plain,...] [--only NAME,...]`` (root). With a page
(``docs/catalogue.md``) it is written there, else to stdout. ``--rows FILE`` (repeated) writes the page from what
earlier calls measured with ``--json``.

For each integration and kind of target there are two fresh hosts with the same disk: on one ``workflow-agent install``
and ``rollback`` run, then ``install`` and ``uninstall --purge``, on the other ``apt-get install``, the start of the
service, and ``apt-get purge --autoremove``. All files, users, packages and processes are compared with those of before.
What an integration requires is installed before anything is counted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import textwrap
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._report import installed, remark
from benchmarks.catalogue_tests import HEADING
from workflow_agent.integrations import Registry, builtin_folder
from workflow_agent.testing.bench.targets import BenchTarget, TargetKind
from workflow_agent.testing.bench.worlds import Left
from workflow_agent.testing.lab.engine import engine_obstacle
from workflow_agent.testing.lab.image import CATALOGUE_PACKAGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from workflow_agent.testing.bench.worlds import World

__all__ = ["main"]

#: Kinds of targets, as the page calls them.
_KINDS = {"plain": "ext4, init scripts", "systemd": "ext4, systemd", "docker-plain": "container"}
#: What a required server, which runs on, writes meanwhile.
_ITS_OWN = {
    "postgresql": ("/var/lib/postgresql", "/var/log/postgresql"),
    "redis-server": ("/var/lib/redis", "/var/log/redis"),
}
_APT = "export DEBIAN_FRONTEND=noninteractive; cd /; apt-get -y -qq"
_PAGE = """# Catalogue

Written on {date} by `python -m benchmarks.catalogue {arguments}` (root),
from what was measured on real hosts and containers of Debian 12 that were made for it. Each integration's own page is
`integrations/NAME/README.md`.

* `changed`: paths that are there in addition + paths that are not as before, when it is installed and runs.
* `rollback leaves`: what differs from before after `workflow-agent rollback`: paths in addition + paths not as before,
  then users, packages and processes.
* `uninstall --purge leaves`: the same after another `install` and `workflow-agent uninstall --purge`. Packages that
  came along stay, as [documented](rollback.md#what-an-uninstall-leaves).
* `apt-get purge leaves`: the same on a second host from the same disk, on which
  `apt-get install --no-install-recommends` ran, the service was started, and `apt-get purge --autoremove` ran.

Not counted: lines appended to the logs of apt, dpkg and alternatives, out of which nobody takes lines; package lists
and archives; the time of `/var/tmp`; data and logs of a required server, which runs on. What an integration requires is
there before.

{table}

{versions}

`apt-get purge` leaves so much of PostgreSQL because its packages tell apt never to remove them by themselves
(`APT::NeverAutoRemove`), and takes files from under services that run on.

That each of them works, says so when it does not, changes nothing when it is there, and goes, is tried by
`tests/system/test_catalogue_walks.py`; `make long ARGS=tests/system/test_catalogue_walks.py` tries what takes long.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    integration: str
    kind: str
    changed: Left
    ours: Left
    uninstalled: Left
    purge: Left
    package: str


def _target(kind: str, folder: str) -> BenchTarget:
    return BenchTarget(TargetKind(kind), packages=CATALOGUE_PACKAGES, folder=Path(folder))


def _run(target: BenchTarget, *words: str) -> None:
    reply = target.command(*words, "--yes")
    if reply.code != 0:
        raise SystemExit(reply.sentence)


def _left(target: BenchTarget, before: World, requires: Iterable[str] = ()) -> Left:
    counts, _ = target.left(before, [path for server in requires for path in _ITS_OWN[server]])
    return counts


def _ours(kind: str, name: str, requires: Iterable[str]) -> _Row:
    with tempfile.TemporaryDirectory() as folder, _target(kind, folder) as target:
        for required in requires:
            _run(target, "install", required)
        before = target.look()
        _run(target, "install", name)
        changed = _left(target, before, requires)
        package = target.host.run(["dpkg-query", "-W", "-f", "${Package} ${Version}", name]).stdout
        _run(target, "rollback")
        left = _left(target, before, requires)
        _run(target, "install", name)
        _run(target, "uninstall", name, "--purge")
        return _Row(
            integration=name,
            kind=kind,
            changed=changed,
            ours=left,
            uninstalled=_left(target, before, requires),
            purge=left,
            package=package,
        )


def _apt(kind: str, name: str, requires: Iterable[str]) -> Left:
    with tempfile.TemporaryDirectory() as folder, _target(kind, folder) as target:
        host = target.host
        for required in requires:
            host.run(["sh", "-c", f"{_APT} install --no-install-recommends {required}; service {required} start"])
        before = target.look()
        # Where its init script does not start it, it is not started: that is what people get.
        host.run(
            ["sh", "-c", f"{_APT} install --no-install-recommends {name}; service {name} start; sleep 1"], check=False
        )
        host.run(["sh", "-c", f"{_APT} purge --autoremove {name}"])
        return _left(target, before, requires)


def _measure(kind: str, name: str, requires: Iterable[str]) -> _Row:
    row = replace(_ours(kind, name, requires), purge=_apt(kind, name, requires))
    remark(f"{kind} {name}: rollback leaves {row.ours}, uninstall {row.uninstalled}, apt-get purge {row.purge}")
    return row


def _page(rows: Sequence[_Row], arguments: Iterable[str]) -> str:
    columns = ["integration", "target", "changed", "rollback leaves"]
    head = " | ".join([*columns, "`uninstall --purge` leaves", "`apt-get purge` leaves"])
    lines = [f"| {head} |", "| --- | --- | ---: | --- | --- | --- |"]
    lines += [
        f"| {row.integration} | {_KINDS[row.kind]} | {row.changed.added:,} + {row.changed.changed:,} "
        f"| {row.ours} | {row.uninstalled} | {row.purge} |"
        for row in rows
    ]
    versions = f"workflow-agent {installed('workflow-agent')}; " + ", ".join(sorted({row.package for row in rows}))
    date = f"{datetime.now(tz=UTC):%Y-%m-%d}"
    versions = textwrap.fill(f"Versions: {versions}, {platform.system()} {platform.release()}.", 118)
    return _PAGE.format(date=date, arguments=" ".join(arguments), table="\n".join(lines), versions=versions)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", nargs="?", type=Path)
    parser.add_argument("--json", type=Path, help="also write the rows there")
    parser.add_argument("--rows", type=Path, action="append", help="measure nothing: rows that `--json` wrote")
    parser.add_argument("--kinds", default=",".join(_KINDS))
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    rows = _measured(options.rows) if options.rows else _measure_all(options.kinds.split(","), options.only)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")
    page = _page(rows, ["docs/catalogue.md", *(f"--rows {file.name}" for file in options.rows or ())])
    if options.page:
        _, heading, tests = options.page.read_text(encoding="utf-8").partition(HEADING)
        options.page.write_text(page + ("\n" + heading + tests if heading else ""), encoding="utf-8")
    else:
        sys.stdout.write(page)


def _measured(files: Iterable[Path]) -> list[_Row]:
    found = [row for file in files for row in json.loads(file.read_text(encoding="utf-8"))]
    places = ("changed", "ours", "uninstalled", "purge")
    rows = [_Row(**row | {place: Left(**row[place]) for place in places}) for row in found]
    return sorted(rows, key=lambda row: (row.integration, list(_KINDS).index(row.kind)))


def _measure_all(kinds: list[str], only: str) -> list[_Row]:
    if os.geteuid() != 0:
        raise SystemExit("this benchmark makes hosts with disks of their own: run it as root")
    if "docker-plain" in kinds and (obstacle := engine_obstacle()) is not None:
        remark(f"no containers: {obstacle}")
        kinds.remove("docker-plain")
    registry = Registry([builtin_folder()])
    names = [name for name in registry.names() if not only or name in only.split(",")]
    return [_measure(kind, name, registry.get(name).requires) for name in names for kind in kinds]


if __name__ == "__main__":
    main()
