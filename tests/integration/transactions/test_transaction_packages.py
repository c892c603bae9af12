"""Packages that come through a transaction: as if installed directly, and without residue after a rollback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.system import Tier
from workflow_agent.testing.lab import LabHost, diff, grown_logs
from workflow_agent.testing.transactions import Trial, without_new_times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workflow_agent.testing.lab import FileRecord

#: Differ from one installation to the next, or are left out by policy.
_VARIES = (
    "/var/log/", "/var/lib/apt/lists", "/var/cache/apt", "/var/cache/ldconfig/aux-cache", "/etc/shadow",
    "/var/lib/dpkg/lock", "/var/lib/dpkg/triggers/Lock", "/etc/.pwd.lock", "/var/cache/debconf",
)  # fmt: skip


#: Without the caches that it would write on the host.
_CHECK = "apt-get check -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= >/dev/null"


@pytest.fixture(scope="module")
def twin(lab: None) -> Iterator[LabHost]:
    with LabHost("plain") as host:
        yield host


def _stable(records: dict[str, FileRecord]) -> dict[str, FileRecord]:
    return {name: one for name, one in without_new_times(records).items() if not name.startswith(_VARIES)}


@pytest.mark.parametrize("package", ["prometheus-node-exporter", "nginx"])
async def test_a_package_comes_and_goes_without_residue(trial: Trial, twin: LabHost, package: str) -> None:
    before = trial.lab.digest()
    twin_before = twin.digest()
    script = f"export DEBIAN_FRONTEND=noninteractive; apt-get install -y {package}"
    transaction, changes = await trial.capture(script)
    await trial.target.commit(transaction)
    after = trial.lab.digest()
    twin.run(
        [
            "sh",
            "-c",
            f"printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; {script}",
        ]
    )
    twin.run(["rm", "/usr/sbin/policy-rc.d"])

    created = set(_stable(after)) - set(_stable(before))
    wanted = set(_stable(twin.digest())) - set(_stable(twin_before))
    assert created == wanted
    assert package in {item["name"] for item in changes.packages}
    assert trial.shell(f"dpkg -s {package} | grep Status; dpkg --audit; {_CHECK}").strip().endswith("installed")

    await trial.target.rollback(transaction)
    back = trial.lab.digest()
    logs = grown_logs(trial.lab.root, before, back)
    assert [line for line in diff(before, back) if line.split(": ")[1] not in logs] == []
    assert set(logs) <= {
        "/var/log/dpkg.log",
        "/var/log/apt/history.log",
        "/var/log/apt/term.log",
        "/var/log/alternatives.log",
    }
    assert trial.shell(f"dpkg --audit; {_CHECK}; echo clean") == "clean\n"


async def test_a_package_comes_back_by_committing_its_transaction_again(trial: Trial) -> None:
    transaction = await trial.apply("DEBIAN_FRONTEND=noninteractive apt-get install -y prometheus-node-exporter")
    after = trial.lab.digest()
    await trial.target.rollback(transaction)
    await trial.target.commit(transaction)

    again = trial.lab.digest()
    logs = grown_logs(trial.lab.root, after, again)
    assert [line for line in diff(after, again) if line.split(": ")[1] not in logs] == []
    await trial.target.rollback(transaction)


async def test_a_log_that_grows_while_the_script_runs_keeps_every_line(trial: Trial) -> None:
    trial.shell("mkdir -p /var/log/app; echo 1 > /var/log/app/log")
    transaction, changes = await trial.capture("echo script >> /var/log/app/log; echo new > /var/log/app/created.log")
    trial.shell("echo 2 >> /var/log/app/log")
    await trial.target.commit(transaction)
    trial.shell("echo 3 >> /var/log/app/log; echo more >> /var/log/app/created.log")
    assert trial.shell("cat /var/log/app/log") == "1\n2\nscript\n3\n"
    assert [change.action for change in changes.changes] == ["created", "appended"]

    result = await trial.target.rollback(transaction)

    assert result["appended"] == ["/var/log/app/log"]
    assert trial.shell("cat /var/log/app/log; ls /var/log/app") == "1\n2\nscript\n3\nlog\n"


async def test_a_log_that_was_cut_meanwhile_is_a_conflict(trial: Trial) -> None:
    trial.shell("mkdir -p /var/log/cut; echo 12345 > /var/log/cut/log")
    transaction, _ = await trial.capture("echo script >> /var/log/cut/log")
    trial.shell(": > /var/log/cut/log")
    with pytest.raises(Exception, match="/var/log/cut/log"):
        await trial.target.commit(transaction)


async def test_a_log_that_the_script_rewrote_is_exchanged(trial: Trial) -> None:
    trial.shell("mkdir -p /var/log/rewritten; echo 12345 > /var/log/rewritten/log")
    before = trial.look("/var/log/rewritten")
    transaction = await trial.apply("echo 54321 > /var/log/rewritten/log")
    assert trial.shell("cat /var/log/rewritten/log") == "54321\n"
    await trial.target.rollback(transaction)
    assert diff(before, trial.look("/var/log/rewritten")) == []


_LIBC = "/usr/lib/$(uname -m)-linux-gnu/libc.so.6"
#: name -> (a script, the beginning of the note in its plan, none where it is about nothing of that kind)
_LABELS = {
    "libc": (
        f"cp -p {_LIBC} /srv/c; echo >> /srv/c; mv /srv/c {_LIBC}",
        "system libraries",
    ),
    "libc of another machine": (
        "mkdir -p /usr/lib/aarch64-linux-gnu; echo x > /usr/lib/aarch64-linux-gnu/libc.so.6",
        "system libraries",
    ),
    "loader": ("echo x > /usr/lib/ld-linux-aarch64.so.1", "system libraries"),
    "preload": ("touch /etc/ld.so.preload", "system libraries"),
    "interpreter": ("echo x > /usr/bin/python3.99", "system libraries"),
    "init": ("mkdir -p /usr/lib/systemd; echo x > /usr/lib/systemd/systemd", "system libraries"),
    "boot": ("mkdir -p /boot; echo x > /boot/vmlinuz-9", "the kernel"),
    "modules": ("mkdir -p /usr/lib/modules/9; echo x > /usr/lib/modules/9/x.ko", "the kernel"),
    "another library": ("mkdir -p /usr/lib/aarch64-linux-gnu; echo x > /usr/lib/aarch64-linux-gnu/libcurl.so.4", None),
    "a unit": ("mkdir -p /usr/lib/systemd/system; echo x > /usr/lib/systemd/system/x.service", None),
}


@pytest.mark.parametrize("case", list(_LABELS))
async def test_what_a_crash_or_a_rollback_cannot_make_good_is_said_in_the_plan(trial: Trial, case: str) -> None:
    script, beginning = _LABELS[case]
    transaction, changes = await trial.capture(script)
    await trial.target.discard(transaction)

    assert changes.changes != ()
    labels = [note for note in changes.notes if note.startswith(("system libraries", "the kernel or"))]
    assert [note.startswith(beginning or "") for note in labels] == ([True] if beginning else [])


#: script -> the tier of its plan: what a machine boots from is not exchanged back (rule 17).
_TIERS = {
    "mkdir -p /boot; echo x > /boot/vmlinuz-9": Tier.LOGICAL,
    "ln -s boot/vmlinuz-9 /vmlinuz": Tier.LOGICAL,
    "mkdir -p /usr/lib/modules/9/kernel; echo x > /usr/lib/modules/9/kernel/x.ko": Tier.LOGICAL,
    "mkdir -p /usr/lib/modules/9/updates; echo x > /usr/lib/modules/9/updates/x.ko": Tier.EXACT,
    "mkdir -p /srv/boot; echo x > /srv/boot/vmlinuz-9": Tier.EXACT,
}


@pytest.mark.parametrize("script", list(_TIERS))
async def test_a_plan_that_changes_what_the_machine_boots_from_has_a_lower_tier(trial: Trial, script: str) -> None:
    transaction, changes = await trial.capture(script)
    await trial.target.discard(transaction)

    assert (changes.tier, changes.tier_reason is None) == (_TIERS[script], _TIERS[script] is Tier.EXACT)
