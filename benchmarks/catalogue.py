"""What each integration of the catalogue changes, and what is left after it went: by our rollback, and by apt.

``python -m benchmarks.catalogue [PAGE] [--json FILE] [--kinds plain,...] [--only NAME,...]`` (root). With a page
(``docs/catalogue.md``) it is written there, else to stdout. ``--rows FILE`` (repeated) writes the page from what
earlier calls measured with ``--json``. Rows that the page has and nobody measured anew stay.

For each integration and kind of target there are two fresh hosts with the same disk: on one ``workflow-agent install``
and ``rollback`` run, then ``install`` and ``uninstall --purge``, on the other ``apt-get install``, the start of the
service, and ``apt-get purge --autoremove``. All files, users, packages and processes are compared with those of before.
What an integration requires is installed before anything is counted. What is no package is unpacked and removed by hand
on the second host; what the target must refuse is refused on the first one.
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
from workflow_agent.integrations.kinds import ActionName
from workflow_agent.testing.bench.plan_file import BenchPlan, packages_of, read_plan
from workflow_agent.testing.bench.targets import BenchTarget, TargetKind
from workflow_agent.testing.bench.worlds import Left
from workflow_agent.testing.lab.engine import engine_obstacle

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workflow_agent.integrations import Manifest
    from workflow_agent.testing.bench.worlds import World

__all__ = ["main"]

#: Kinds of targets, as the page calls them.
_KINDS = {"plain": "ext4, init scripts", "systemd": "ext4, systemd", "docker-plain": "container"}
_COLUMNS = 6
#: A secret of the tests, as the command is told it.
_GIVEN = "BENCH_SECRET_{}"
_SHOWN = 20
_APT = "export DEBIAN_FRONTEND=noninteractive; cd /; apt-get -y -qq"
#: What a person does without us where there is no package, by the template: how it comes, how it goes, what that is.
_BY_HAND = {
    "tarball/install": ("mkdir {folder}; tar -xf {archive} -C {folder}", "rm -r {folder}", "`rm -r`"),
    "pip/install": (
        (
            f"{_APT} install --no-install-recommends python3-venv; python3 -m venv {{folder}}; "
            "{folder}/bin/pip install -q --no-index --find-links {wheels} {package}"
        ),
        f"{{folder}}/bin/pip uninstall -q -y {{package}}; {_APT} purge --autoremove python3-venv",
        "`pip uninstall`, `apt-get purge python3-venv`",
    ),
}
_PAGE = """# Catalogue

Written on {date} by `python -m benchmarks.catalogue docs/catalogue.md --rows FILE...` (root) from what was
measured on real hosts and containers of Debian 12 that were made for it; rows that were not measured anew stay. Each
integration's own page is `integrations/NAME/README.md`.

* `changed`: paths that are there in addition + paths that are not as before, when it is installed and runs.
* `rollback leaves`: what differs from before after `workflow-agent rollback`: paths in addition + paths not as before,
  then users, packages and processes.
* `uninstall --purge leaves`: the same after another `install` and `workflow-agent uninstall --purge`. Packages that
  came along stay, as [documented](rollback.md#what-an-uninstall-leaves).
* `apt-get purge leaves`: the same on a second host from the same disk, on which
  `apt-get install --no-install-recommends` ran, the service was started, and `apt-get purge --autoremove` ran. What is
  no package was unpacked, or installed with pip, into a folder there and removed by the commands in brackets; the
  account, the unit and the settings that a person would make besides are not counted.
* `failed: …`: what it must end with on these targets, before anything is changed.

Not counted: lines appended to the logs of apt, dpkg and alternatives, out of which nobody takes lines; package lists
and archives; the time of `/var/tmp`; data and logs of a required server, which runs on. What an integration requires is
there before.

{table}

{versions}

`apt-get purge` is told every package that our uninstall names, and takes files from under services that run on. What
stays of PostgreSQL then is Perl, locales, netbase and what came with them, which `autoremove` does not take. Where only
`postgresql` is named, 36 packages and 7,079 paths stay, because its packages tell apt never to remove them by
themselves (`APT::NeverAutoRemove`).

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
    by_hand: str = ""
    refused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """An integration, and what it is measured with."""

    manifest: Manifest
    plan: BenchPlan
    registry: Registry

    @property
    def its_packages(self) -> list[str]:
        """The packages that people would name to apt."""
        return list(packages_of(self.manifest.model_copy(update={"requires": ()}), BenchPlan(), self.registry))

    @property
    def its_package(self) -> str:
        """The package whose version is told; empty where there is none."""
        packages = self.its_packages
        return self.manifest.name if self.manifest.name in packages else next(iter(packages), "")

    @property
    def data_of_required(self) -> list[str]:
        """What a required server, which runs on, writes meanwhile."""
        required = map(self.registry.get, self.manifest.requires)
        return [entry.path for one in required for entry in one.state_data if "${{" not in entry.path]

    def target(self, kind: str, folder: str) -> BenchTarget:
        """Make a target that offers its packages."""
        packages = packages_of(self.manifest, self.plan, self.registry)
        variables = {_GIVEN.format(name): value for name, value in self.plan.secrets.items()}
        return BenchTarget(
            TargetKind(kind),
            packages=packages,
            folder=Path(folder),
            integration=self.manifest.folder,
            variables=variables,
            address=self.plan.address,
        )

    def install(self, target: BenchTarget) -> str:
        """Install it, with the parameters and secrets of its tests; gives how that must fail, where it must."""
        words = [f"{name}=env:{_GIVEN.format(name)}" for name in self.plan.secrets]
        file = target.folder / "parameters.json"
        file.write_text(json.dumps(self.plan.parameters), encoding="utf-8")
        given = ["--param-file", str(file)] if self.plan.parameters else []
        whole = ["install", self.manifest.name, *given, *(part for word in words for part in ("--secret", word))]
        if not self.plan.refused:
            _run(target, *whole)
            return ""
        reply = target.command(*whole, "--yes")
        if reply.error.get("code") != self.plan.refused:
            raise SystemExit(f"{reply.sentence}, and must be refused with {self.plan.refused}")
        return str(reply.error["message"]).partition(": ")[0]

    def left(self, target: BenchTarget, before: World) -> Left:
        """Compare a target with what it was."""
        return target.left(before, self.data_of_required)[0]

    def left_by_rollback(self, target: BenchTarget, before: World) -> Left:
        """Compare a target with what it was; what differs is named, because nothing should."""
        counts, lines = target.left(before, self.data_of_required)
        for line in lines[:_SHOWN]:
            remark(f"{target.kind} {self.manifest.name}: {line}")
        return counts


def _run(target: BenchTarget, *words: str) -> None:
    reply = target.command(*words, "--yes")
    if reply.code != 0:
        raise SystemExit(reply.sentence)


def _ours(kind: str, subject: _Subject) -> _Row:
    name = subject.manifest.name
    with tempfile.TemporaryDirectory() as folder, subject.target(kind, folder) as target:
        for required in subject.manifest.requires:
            _run(target, "install", required)
        package = _version(target, subject.its_package)  # writes apt's cache
        before = target.look()
        refused = subject.install(target)
        changed = subject.left(target, before)
        if refused:
            return _Row(
                integration=name,
                kind=kind,
                changed=changed,
                ours=changed,
                uninstalled=changed,
                purge=changed,
                package=package,
                refused=refused,
            )
        _run(target, "rollback")
        left = subject.left_by_rollback(target, before)
        subject.install(target)
        _run(target, "uninstall", name, "--purge")
        return _Row(
            integration=name,
            kind=kind,
            changed=changed,
            ours=left,
            uninstalled=subject.left(target, before),
            purge=left,
            package=package,
        )


def _version(target: BenchTarget, package: str) -> str:
    """Give a package's name and version; nothing where there is none."""
    if not package:
        return ""
    told = target.host.run(["apt-cache", "show", "--no-all-versions", package]).stdout.splitlines()
    return f"{package} {next(line for line in told if line.startswith('Version: ')).partition(' ')[2]}"


def _started(manifest: Manifest) -> str:
    return "; ".join(f"service {service.name} start" for service in manifest.services) or "true"


def _by_hand(subject: _Subject) -> tuple[str, str, str]:
    """Say what a person does without us: how it comes, how it goes, and what that is where it is no package."""
    names = " ".join(subject.its_packages)
    if names:
        # Where its init script does not start it, it is not started: that is what people get.
        come = f"{_APT} install --no-install-recommends {names}; {_started(subject.manifest)}; sleep 1"
        return come, f"{_APT} purge --autoremove {names}", ""
    install = subject.manifest.actions[ActionName.INSTALL]
    words = {**install.with_, **subject.plan.parameters}
    come, go, what = _BY_HAND[str(install.template)]
    return come.format(**words), go.format(**words), what


def _without_us(kind: str, subject: _Subject) -> tuple[Left, str]:
    come, go, what = _by_hand(subject)
    with tempfile.TemporaryDirectory() as folder, subject.target(kind, folder) as target:
        host = target.host
        for required in subject.manifest.requires:
            # of a server's services its init system has one
            started = _started(subject.registry.get(required))
            host.run(["sh", "-c", f"{_APT} install --no-install-recommends {required}; {started}"])
        before = target.look()
        host.run(["sh", "-c", come], check=bool(what))
        host.run(["sh", "-c", go])
        return subject.left(target, before), what


def _measure(kind: str, subject: _Subject) -> _Row:
    row = _ours(kind, subject)
    purge, what = _without_us(kind, subject)
    row = replace(row, purge=purge, by_hand=what)
    remark(f"{kind} {row.integration}: rollback leaves {row.ours}, {row.uninstalled}, apt-get purge {row.purge}")
    return row


def _page(rows: Iterable[_Row], page: str) -> str:
    cells = {(one[0], one[1]): one for line in page.partition(HEADING)[0].splitlines() if (one := _cells(line))}
    versions = _versions(page)
    for row in rows:
        changed = f"failed: {row.refused}" if row.refused else f"{row.changed.added:,} + {row.changed.changed:,}"
        purge = f"{row.purge} ({row.by_hand})" if row.by_hand else str(row.purge)
        uninstalled = "-" if row.refused else str(row.uninstalled)
        told = (row.integration, _KINDS[row.kind], changed, str(row.ours), uninstalled, purge)
        cells[told[:2]] = told
        package, _, version = row.package.partition(" ")
        versions |= {package: version} if package else {}
    columns = ["integration", "target", "changed", "rollback leaves"]
    head = " | ".join([*columns, "`uninstall --purge` leaves", "`apt-get purge` leaves"])
    lines = [f"| {head} |", "| --- | --- | ---: | --- | --- | --- |"]
    order = list(_KINDS.values())
    lines += [
        f"| {' | '.join(one)} |" for _, one in sorted(cells.items(), key=lambda at: (at[0][0], order.index(at[0][1])))
    ]
    told_versions = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    told_versions = f"Versions: workflow-agent {installed('workflow-agent')}; {told_versions}"
    return _PAGE.format(
        date=f"{datetime.now(tz=UTC):%Y-%m-%d}",
        table="\n".join(lines),
        versions=textwrap.fill(
            f"{told_versions}, {platform.system()} {platform.release()}.", 118, break_on_hyphens=False
        ),
    )


def _versions(page: str) -> dict[str, str]:
    """Read the versions of packages that a page names."""
    text = " ".join(page.partition("Versions: ")[2].partition("\n\n")[0].split())
    pairs = (one.partition(" ") for one in text.partition("; ")[2].split(", "))
    return {name: version for name, _, version in pairs if version and name != platform.system()}


def _cells(line: str) -> tuple[str, ...] | None:
    found = tuple(cell.strip() for cell in line.strip("|").split("|"))
    return found if len(found) == _COLUMNS and found[1] in _KINDS.values() else None


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
    old = options.page.read_text(encoding="utf-8") if options.page and options.page.exists() else ""
    page = _page(rows, old)
    if options.page:
        _, heading, tests = old.partition(HEADING)
        options.page.write_text(page + ("\n" + heading + tests if heading else ""), encoding="utf-8")
    else:
        sys.stdout.write(page)


def _measured(files: Iterable[Path]) -> list[_Row]:
    found = [row for file in files for row in json.loads(file.read_text(encoding="utf-8"))]
    places = ("changed", "ours", "uninstalled", "purge")
    return [_Row(**row | {place: Left(**row[place]) for place in places}) for row in found]


def _measure_all(kinds: list[str], only: str) -> list[_Row]:
    if os.geteuid() != 0:
        raise SystemExit("this benchmark makes hosts with disks of their own: run it as root")
    if "docker-plain" in kinds and (obstacle := engine_obstacle()) is not None:
        remark(f"no containers: {obstacle}")
        kinds.remove("docker-plain")
    registry = Registry([builtin_folder()])
    names = [name for name in registry.names() if not only or name in only.split(",")]
    subjects = [
        _Subject(manifest=manifest, plan=read_plan(manifest.folder), registry=registry)
        for manifest in map(registry.get, names)
    ]
    return [_measure(kind, subject) for subject in subjects for kind in kinds]


if __name__ == "__main__":
    main()
