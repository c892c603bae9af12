"""Packages whose maintainer scripts build, register and make accounts come off without residue: dbus, one like DKMS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.system import Tier
from workflow_agent.testing.lab import LabHost, diff, grown_logs
from workflow_agent.testing.like_dkms import LIKE_DKMS
from workflow_agent.testing.transactions import Trial

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from workflow_agent.model.system import ChangeSet

_APT = "export DEBIAN_FRONTEND=noninteractive; apt-get install -y -qq --no-install-recommends"
#: package -> (how it is installed, how it is purged, something that it makes, something of what is told of it)
_PACKAGES = {
    "dbus": (
        f"{_APT} dbus",
        "apt-get purge -y -qq --autoremove dbus",
        "/usr/bin/dbus-daemon",
        "users messagebus created",
    ),
    "stub-dkms": (
        f"{_APT} /srv/stub.deb",
        "apt-get purge -y -qq stub-dkms",
        "/lib/modules/6.1.0-9-lab/updates/dkms/stub.ko",
        "packages stub-dkms installed",
    ),
}
_SOUND = "dpkg --audit; apt-get check -qq -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache="


@pytest.fixture
def lab_plain(lab: None) -> Iterator[LabHost]:
    """A host without dbus, for which dbus can be had."""
    with LabHost("plain", packages=("dbus",)) as host:
        host.run(["bash", "-euc", LIKE_DKMS])
        yield host


@pytest.fixture
async def trial(lab_plain: LabHost) -> AsyncIterator[Trial]:
    one = Trial(lab_plain)
    await one.begin()
    yield one
    await one.end()


def _told(changes: ChangeSet) -> list[str]:
    facts = [("packages", fact) for fact in changes.packages] + [("users", fact) for fact in changes.users]
    return [f"{kind} {fact['name']} {fact['action']}" for kind, fact in facts]


@pytest.mark.parametrize("package", list(_PACKAGES))
async def test_it_comes_off_without_residue_and_can_be_installed_again(trial: Trial, package: str) -> None:
    install, _, made, told = _PACKAGES[package]
    before = trial.lab.digest()
    transaction, changes = await trial.capture(install)
    assert told in _told(changes)
    assert changes.tier is Tier.EXACT, "modules that are added to a kernel are not what the machine boots from"
    await trial.target.commit(transaction)
    assert (trial.lab.root / made.strip("/")).exists()

    await trial.target.rollback(transaction)

    back = trial.lab.digest()
    logs = grown_logs(trial.lab.root, before, back)
    assert [line for line in diff(before, back) if line.split(": ")[1] not in logs] == []
    again = await trial.apply(install)
    assert trial.shell(_SOUND) == ""
    await trial.target.rollback(again)


async def test_a_purge_leaves_more(trial: Trial) -> None:
    """So what comes off above is no package that leaves nothing anyway."""
    for package, (install, purge, _, _) in _PACKAGES.items():
        before = trial.lab.digest()
        trial.shell(install)
        changed = len(diff(before, trial.lab.digest()))
        trial.shell(f"export DEBIAN_FRONTEND=noninteractive; {purge}")
        left = [line for line in diff(before, trial.lab.digest()) if "/var/log/" not in line]
        print(f"{package}: {changed} paths changed, a purge leaves {len(left)}")
        assert len(left) > 0
