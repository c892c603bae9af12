"""Files of many owners: packages come off in any order, and what others installed since stays sound."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.model import failpoint
from workflow_agent.model.errors import CaptureError, PathConflictError
from workflow_agent.targets.host import HostTarget
from workflow_agent.testing.lab import LabContainer, diff, grown_logs
from workflow_agent.testing.lab.digest import EXCLUDED, digest
from workflow_agent.testing.transactions import Trial

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.testing.lab import FileRecord, LabHost

_INSTALL = "export DEBIAN_FRONTEND=noninteractive; apt-get install -y --no-install-recommends"
#: Without the caches that it would write on the host.
_CHECK = "apt-get check -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= >/dev/null 2>&1"
_CLEAN = f'test -z "$(dpkg --audit)"; {_CHECK}; echo clean'

#: Small packages, made on the host: name and version, then further fields. Names of different lengths: apt tells states
#: of dpkg's status apart by its size and the second of its time.
_MADE = {
    "wa-lib=1.2": "", "wa-lib=1.3": "", "wa-first=1": "", "wa-second=1": "", "wa-another=1": "",
    "wa-user=1": "Depends: wa-lib",
}  # fmt: skip
_MAKE = """
mkdir -p /srv/made/t/DEBIAN /srv/made/t/usr/share/{name}; cd /srv/made
echo {version} > t/usr/share/{name}/version
printf '%s\\n' 'Package: {name}' 'Version: {version}' 'Architecture: all' 'Maintainer: lab <lab@example.org>' \
  {more} 'Description: made for a test' > t/DEBIAN/control
dpkg-deb -b t {name}_{version}.deb >/dev/null; rm -r t
"""


def _made(package: str) -> str:
    name, _, version = package.partition("=")
    return f"/srv/made/{name}_{version}.deb"


def _install(*packages: str) -> str:
    return f"{_INSTALL} --allow-downgrades {' '.join(_made(one) if '=' in one else one for one in packages)}"


def _make(host: LabHost) -> None:
    for package, more in _MADE.items():
        name, _, version = package.partition("=")
        text = _MAKE.format(name=name, version=version, more=f"'{more}'" if more else "")
        host.run(["bash", "-euc", text])


@pytest.fixture(scope="module")
def _packages(lab_plain: LabHost) -> None:
    _make(lab_plain)


@pytest.fixture
def runs(trial: Trial, _packages: None) -> Trial:
    """A host on which the small packages can be installed."""
    trial.shell("find /var/log -name '*.log' -size +0 -exec touch {} +")
    return trial


def _look(trial: Trial) -> dict[str, FileRecord]:
    """Everything that the small packages could leave something in."""
    return digest(trial.lab.root, excluded=(*EXCLUDED, "/usr/lib", "/usr/bin", "/usr/sbin", "/usr/share/locale"))


def _lost(trial: Trial, before: Mapping[str, FileRecord]) -> list[str]:
    """What differs from before, but for logs that grew."""
    back = trial.lab.digest() if "/usr/lib" in before else _look(trial)
    logs = grown_logs(trial.lab.root, before, back)
    return [line for line in diff(before, back) if line.split(": ")[1] not in logs]


def _installed(trial: Trial, *names: str) -> list[str]:
    rows = trial.shell("dpkg-query -W -f '${db:Status-Abbrev} ${Package}\\n'").splitlines()
    return sorted(name for row in rows for state, name in [row.split()] if name in names and state == "ii")


def _conflicts(error: PathConflictError) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = error.details["conflicts"]
    return found


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_two_packages_come_off_in_either_order_without_residue(runs: Trial, order: tuple[int, int]) -> None:
    """One of them brings libraries, debconf questions and triggers, the other one an account."""
    names = ("prometheus-node-exporter", "nginx")
    before = runs.lab.digest()
    transactions = [await runs.apply(f"{_INSTALL} {name}") for name in names]

    first, second = order
    await runs.target.rollback(transactions[first])
    assert runs.shell(_CLEAN) == "clean\n"
    assert _installed(runs, *names) == [names[second]]
    assert ("libssl3" in runs.shell("ldconfig -p; ls /usr/lib/*/libssl.so.3 || true")) is False
    assert runs.shell(f"dpkg --verify {names[second]}; id -u prometheus >&2 || true") == ""
    await runs.target.rollback(transactions[second])

    assert runs.shell(_CLEAN) == "clean\n"
    assert _lost(runs, before) == []


#: Rounds of: commit (`+`) or take back (`-`) the first, second or third run.
TURNS = ["+1 +2 +3 -2 -1 -3", "+1 +2 -1 +1 -2 -1"]
MORE_TURNS = ["+1 +2 +3 -1 -2 -3", "+1 +2 +3 -3 -1 -2", "+1 +2 -1 +3 -3 -2"]


@pytest.mark.parametrize("turns", [*TURNS, *(pytest.param(one, marks=pytest.mark.long) for one in MORE_TURNS)])
async def test_shared_files_are_as_before_the_first_whatever_the_order(runs: Trial, turns: str) -> None:
    """Each run installs a package, sets a mode, diverts a file and adds an account."""
    before = _look(runs)
    packages = {"1": "wa-first", "2": "wa-second", "3": "wa-another"}
    names: dict[str, str] = {}
    live: set[str] = set()
    for turn in turns.split():
        package = packages[turn[1:]]
        if turn[0] == "-":
            await runs.target.rollback(names[package])
            live.remove(package)
        elif package in names:
            await runs.target.commit(names[package])
            live.add(package)
        else:
            names[package] = await runs.apply(
                f"{_install(package + '=1')}; dpkg-statoverride --update --add root root 0700 /usr/share/{package};"
                f"dpkg-divert --add --no-rename /usr/share/{package}/version; useradd -r {package}"
            )
            live.add(package)
        assert _installed(runs, *packages.values()) == sorted(live), turn
        for listing in ("dpkg-statoverride --list", "dpkg-divert --list '*wa-*'", "cut -d: -f1 /etc/passwd"):
            shown = runs.shell(f"{listing} || true")
            assert [name for name in packages.values() if name in shown] == [
                name for name in packages.values() if name in live
            ], (turn, listing)
    assert _lost(runs, before) == []


async def test_what_was_installed_by_hand_since_stays(runs: Trial) -> None:
    transaction = await runs.apply(_install("wa-first=1"))
    runs.shell(_install("wa-second=1"))

    planned = await runs.target.rollback(transaction, plan_only=True)
    result = await runs.target.rollback(transaction)

    assert planned["merged"] == result["merged"] == ["/var/lib/dpkg/status"]
    assert result["exact"] is False
    assert _installed(runs, "wa-first", "wa-second") == ["wa-second"]
    assert runs.shell(_CLEAN) == "clean\n"
    runs.shell("dpkg -P wa-second")


async def test_a_dependant_that_was_installed_later_is_named_and_goes_first(runs: Trial) -> None:
    before = _look(runs)
    library = await runs.apply(_install("wa-lib=1.2"))
    later = Trial(runs.lab)
    await runs.target.release(runs.run_id)
    await later.begin()
    dependant = await later.apply(_install("wa-user=1"))
    state = _look(runs)

    for plan_only in (True, False):
        with pytest.raises(PathConflictError, match=r"wa-user \(Depends: wa-lib") as caught:
            await later.target.rollback(library, plan_only=plan_only)
    assert _conflicts(caught.value) == [
        {
            "path": "/var/lib/dpkg/status",
            "package": "wa-user",
            "needs": "Depends: wa-lib but it is not installable",
            "run_id": later.run_id,
        }
    ]
    assert f"roll back {later.run_id} first" in (caught.value.hint or "")
    assert diff(state, _look(runs)) == []
    assert not [name for name in runs.leftovers() if name.startswith("try-")]

    await later.target.rollback(dependant)
    await later.target.rollback(library)
    await later.end()
    assert _lost(runs, before) == []


async def test_what_was_broken_before_stands_against_nothing(runs: Trial) -> None:
    transaction = await runs.apply(_install("wa-first=1"))
    runs.shell(f"dpkg --force-depends -i {_made('wa-user=1')} 2>&1; ! {_CHECK}")

    await runs.target.rollback(transaction)

    assert _installed(runs, "wa-first") == []
    runs.shell("dpkg -P wa-user")


#: name -> (what somebody does with the package since, what the conflict says)
SINCE = {
    "upgraded": (_install("wa-lib=1.3"), "package wa-lib was changed since: 1.2 -> 1.3"),
    "removed": ("dpkg -r wa-lib", "package wa-lib was changed since: 1.2 -> not there"),
    "on hold": (
        "echo wa-lib hold | dpkg --set-selections",
        "package wa-lib was changed since: install ok installed -> hold ok installed",
    ),
}


@pytest.mark.parametrize("case", SINCE)
async def test_a_package_that_somebody_changed_since_is_a_conflict_by_name(runs: Trial, case: str) -> None:
    since, story = SINCE[case]
    transaction = await runs.apply(_install("wa-lib=1.2"))
    runs.shell(since)
    state = _look(runs)

    with pytest.raises(PathConflictError) as caught:
        await runs.target.rollback(transaction)

    assert story in caught.value.message
    assert _conflicts(caught.value)[0]["path"] == "/var/lib/dpkg/status"
    assert _conflicts(caught.value)[0]["changes"] == [story]
    assert diff(state, _look(runs)) == []
    runs.shell("dpkg -P wa-lib || true")


async def test_an_upgrade_that_others_installed_beside_is_taken_back(runs: Trial) -> None:
    runs.shell(_install("wa-lib=1.2"))
    transaction = await runs.apply(_install("wa-lib=1.3"))
    runs.shell(_install("wa-second=1"))

    await runs.target.rollback(transaction)

    assert runs.shell("dpkg-query -W -f '${Version}' wa-lib; cat /usr/share/wa-lib/version") == "1.21.2\n"
    assert runs.shell(_CLEAN) == "clean\n"
    runs.shell("dpkg -P wa-lib wa-second")


async def test_a_removal_that_others_installed_beside_is_taken_back(runs: Trial) -> None:
    runs.shell(_install("wa-lib=1.2"))
    transaction = await runs.apply("dpkg -P wa-lib")
    runs.shell(_install("wa-second=1"))

    await runs.target.rollback(transaction)

    assert _installed(runs, "wa-lib", "wa-second") == ["wa-lib", "wa-second"]
    assert runs.shell(f"dpkg --verify wa-lib; {_CLEAN}") == "clean\n"
    runs.shell("dpkg -P wa-lib wa-second")


async def test_a_plan_of_an_earlier_version_that_has_no_records_is_a_conflict(runs: Trial) -> None:
    transaction = await runs.apply(_install("wa-first=1"))
    runs.shell(_install("wa-second=1"))
    path = runs.lab.root / f".workflow-agent/tx/{transaction}/plan.json"
    plan = json.loads(path.read_text())
    for operation in plan["operations"]:
        operation.pop("records", None)
        operation.pop("compared", None)
    path.write_text(json.dumps(plan))

    with pytest.raises(PathConflictError, match="/var/lib/dpkg/status"):
        await runs.target.rollback(transaction)
    runs.shell("dpkg -P wa-first wa-second")


async def test_a_rollback_that_cannot_be_tried_out_is_refused(runs: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    transaction = await runs.apply(_install("wa-first=1"))
    runs.shell(_install("wa-second=1"))
    state = _look(runs)
    monkeypatch.setattr("workflow_agent.targets.soundness._SCRIPT", "\nexit 3\n")

    with pytest.raises(CaptureError, match="cannot be tried out"):
        await runs.target.rollback(transaction)

    assert diff(state, _look(runs)) == []
    monkeypatch.undo()
    await runs.target.rollback(transaction)
    runs.shell("dpkg -P wa-second")


async def test_in_a_container_packages_come_off_in_either_order_and_dependants_are_named(engine: None) -> None:
    with LabContainer() as container:
        _make(container)
        trial = Trial(container)
        await trial.begin()
        before = _look(trial)
        library, beside, user = [
            await trial.apply(_install(package)) for package in ("wa-lib=1.2", "wa-second=1", "wa-user=1")
        ]
        with pytest.raises(PathConflictError, match=r"wa-user \(Depends: wa-lib"):
            await trial.target.rollback(library)
        for transaction in (user, library, beside):
            await trial.target.rollback(transaction)
            assert trial.shell(_CLEAN) == "clean\n"
        assert _lost(trial, before) == []
        await trial.end()


# -- crashes -------------------------------------------------------------------------------------------------------

_CHILD = """
import asyncio, json, sys
from workflow_agent.targets.host import HostTarget
async def main():
    pid, run_id, transaction = json.loads(sys.argv[1])
    target = HostTarget("host", pid=pid)
    await target.acquire(run_id)
    await target.rollback(transaction)
    await target.close()
asyncio.run(main())
"""


async def _killed(trial: Trial, transaction: str, spec: str) -> bool:
    """Roll back in a process of its own that dies at a failure point; gives whether it got there."""
    await trial.end()
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _CHILD, json.dumps([trial.lab.pid, trial.run_id, transaction]),
        env=os.environ | {failpoint.VARIABLE: spec}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, errors = await asyncio.wait_for(child.communicate(), 60)
    assert child.returncode in {0, -9}, errors.decode()
    trial.target = HostTarget("host", pid=trial.lab.pid)
    return child.returncode == -9


_POINTS = ["plan-renamed:1", "undo.operation:4", "undone", "plan-written:2", "plan-renamed:3", "plan-renamed:4"]
_MORE_POINTS = [
    "plan-written:1", "undo.operation:1", "sync:1", "plan-renamed:2", "plan-written:3", "plan-written:4",
]  # fmt: skip


@pytest.mark.parametrize("point", [*_POINTS, *(pytest.param(one, marks=pytest.mark.long) for one in _MORE_POINTS)])
async def test_a_merged_rollback_that_is_killed_anywhere_is_ended_and_the_later_run_still_comes_off(
    runs: Trial, point: str
) -> None:
    runs.shell("rm -rf /.workflow-agent/tx/*")  # plans of earlier tests would be brought up too, which passes points
    before = _look(runs)
    first = await runs.apply(_install("wa-first=1"))
    second = await runs.apply(f"{_install('wa-second=1')}; dpkg-statoverride --add root root 0700 /usr/share/wa-second")

    reached = await _killed(runs, first, f"transaction.{point}")
    assert reached or point.endswith(":4"), f"{point} is never passed"
    await runs.begin()
    await runs.target.rollback(first)  # ended already, or not begun
    assert _installed(runs, "wa-first", "wa-second") == ["wa-second"]
    assert runs.shell(_CLEAN) == "clean\n"
    await runs.target.rollback(second)

    assert _lost(runs, before) == []
