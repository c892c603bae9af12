"""What cannot be taken back exactly is taken back logically, and what is left then is listed; or it needs a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.machine import Machine

pytestmark = [pytest.mark.root, pytest.mark.slow]

NAME = "prometheus-node-exporter"


def prune(machine: Machine) -> str:
    return str(machine.json("history", "prune", "--keep", "0", "--yes").data["run_id"])


def test_a_pruned_installation_is_taken_back_by_its_uninstall_and_the_rest_is_listed(fresh: Machine) -> None:
    machine = fresh
    before = machine.world()
    run = machine.json("install", NAME, "--yes").data["run_id"]
    exact = machine.json("show", run).data["rollback"]
    assert (exact["tier"], exact["command"]) == ("exact", f"workflow-agent rollback {run}")
    early = machine.json("rollback", run, "--logical", "--yes")
    assert (early.code, "can be taken back exactly" in early.error["message"]) == (6, True), str(early)
    pruned = prune(machine)
    installed = machine.world()

    told = machine.json("show", run).data["rollback"]
    assert (told["tier"], told["command"]) == ("logical", f"workflow-agent rollback {run} --logical")
    assert pruned in told["reason"]
    assert "undo      logical" in machine.cli("show", run).out
    refused = machine.json("rollback", run, "--yes")
    assert (refused.code, f"rollback {run} --logical" in refused.error["hint"]) == (6, True)
    plan = machine.json("rollback", run, "--logical", "--plan", "--check")
    assert plan.code == 3, str(plan)
    assert (plan.envelope["data"]["plan"]["tier"], plan.envelope["data"]["plan"]["way"]) == ("logical", "uninstall")
    assert pruned in plan.envelope["data"]["plan"]["tier_reason"]
    assert "this is" in machine.cli("rollback", run, "--logical", "--plan").out
    machine.assert_as(installed)

    back = machine.json("rollback", run, "--logical", "--yes").data
    assert (back["action"], back["undoes"], back["status"]) == ("rollback", run, "succeeded")
    assert machine.json("show", run).data["status"] == "rolled-back"
    assert not machine.listens(9100)
    assert machine.host.run(["dpkg", "-s", NAME], check=False).returncode != 0
    # Everything that differs but for logs and times is in the list.
    listed = {item["path"] for item in back["remainder"]["items"]}
    assert back["remainder"]["compared"] is True
    now = machine.world()
    for path, record in now.files.items():
        if path not in before.files and not path.startswith("/var/log/"):
            assert path in listed or any(path.startswith(f"{one}/") for one in listed), (path, record)
    assert set(before.files) - set(now.files) <= listed
    assert "not as before the run" in machine.cli("show", back["run_id"]).out
    assert machine.json("generations", "list", NAME).data["items"][0]["ended_how"] == "rolled-back"

    # The logical rollback is a transaction: it is taken back exactly, and the installation works again.
    again = machine.json("rollback", back["run_id"], "--yes")
    assert again.code == 0, str(again)
    assert machine.listens(9100)
    assert machine.json("show", run).data["undone_by"] is None
    assert machine.json("verify", NAME).code == 0
    refused = machine.json("rollback", again.data["run_id"], "--yes")
    assert (refused.code, f"rollback {run} --logical" in refused.error["hint"]) == (6, True), str(refused)
    assert machine.json("rollback", run, "--logical", "--yes").code == 0


def test_packages_of_a_script_go_and_a_script_without_packages_needs_a_person(fresh: Machine) -> None:
    machine = fresh
    (machine.folder / "packages.sh").write_text(f"apt-get install -y {NAME}; echo x > /opt/own\n", encoding="utf-8")
    (machine.folder / "plain.sh").write_text(
        "mkdir /opt/plain; echo 1 > /opt/plain/1; echo x > /etc/motd\n", encoding="utf-8"
    )
    packages = machine.json("apply", "packages.sh", "--no-start", "--yes").data["run_id"]
    plain = machine.json("apply", "plain.sh", "--yes").data["run_id"]
    prune(machine)
    now = machine.world()

    assert machine.json("show", plain).data["rollback"]["tier"] == "needs-attention"
    left = machine.json("rollback", plain, "--logical", "--yes")
    assert left.code == 10, str(left)
    found = {item["path"]: item["state"] for item in left.error["details"]["left"]}
    assert found == {"/etc/motd": "differs", "/opt/plain": "left", "/opt/plain/1": "left"}
    assert "/opt/plain/1" in left.error["state"]
    machine.assert_as(now)

    assert machine.json("show", packages).data["rollback"]["tier"] == "logical"
    back = machine.json("rollback", packages, "--logical", "--yes")
    assert back.code == 0, str(back)
    assert "/opt/own" in {item["path"] for item in back.data["remainder"]["items"]}
    assert machine.host.run(["dpkg", "-s", NAME], check=False).returncode != 0
    for arguments in (("--logical",), (packages, "--logical", "--cascade"), ("--to", plain, "--logical")):
        assert machine.cli("rollback", *arguments, "--yes").code == 2


#: What a package of a kernel puts on the disk, and nothing more.
KERNEL = """\
set -e
d=$(mktemp -d)
mkdir -p $d/DEBIAN $d/boot $d/usr/lib/modules/9/kernel
printf '%s\\n' 'Package: linux-image-9' 'Version: 1' 'Architecture: all' 'Maintainer: t <t@t>' 'Description: t' \\
  >$d/DEBIAN/control
echo kernel >$d/boot/vmlinuz-9
echo module >$d/usr/lib/modules/9/kernel/x.ko
dpkg-deb -b $d /srv/linux.deb >/dev/null
"""


def test_a_kernel_is_taken_back_by_its_package_and_not_by_an_exchange_of_files(fresh: Machine) -> None:
    machine = fresh
    machine.host.run(["bash", "-c", KERNEL])
    (machine.folder / "kernel.sh").write_text("dpkg -i /srv/linux.deb\n", encoding="utf-8")
    (machine.folder / "grub.sh").write_text("mkdir -p /boot/grub; echo x > /boot/grub/grub.cfg\n", encoding="utf-8")

    planned = machine.json("apply", "kernel.sh", "--plan").data["plan"]
    assert (planned["tier"], "/boot/vmlinuz-9" in planned["tier_reason"]) == ("logical", True)
    assert (
        "logical: it can be taken back, but not bit for bit (it changes what"
        in machine.cli("apply", "kernel.sh", "--plan").out
    )
    run = machine.json("apply", "kernel.sh", "--yes").data["run_id"]
    told = machine.json("show", run).data
    assert (told["tier"], told["rollback"]["tier"]) == ("logical", "logical")
    assert told["rollback"]["command"] == f"workflow-agent rollback {run} --logical"
    assert "/boot/vmlinuz-9" in told["rollback"]["reason"]
    for how in (("rollback", run), ("rollback", run, "--cascade")):
        refused = machine.json(*how, "--yes")
        assert (refused.code, f"rollback {run} --logical" in refused.error["hint"]) == (6, True), str(refused)
    assert (machine.host.root / "boot/vmlinuz-9").exists()
    back = machine.json("rollback", run, "--logical", "--yes")
    assert back.code == 0, str(back)
    assert machine.host.run(["dpkg", "-s", "linux-image-9"], check=False).returncode != 0
    assert not (machine.host.root / "boot/vmlinuz-9").exists()

    plain = machine.json("apply", "grub.sh", "--yes").data["run_id"]
    told = machine.json("show", plain).data["rollback"]
    assert (told["tier"], told["command"]) == ("needs-attention", f"workflow-agent rollback {plain} --force")
    assert machine.json("rollback", plain, "--yes").code == 6
    assert machine.json("rollback", "--to", run, "--yes").code == 6
    assert machine.json("rollback", plain, "--force", "--yes").code == 0
    assert not (machine.host.root / "boot/grub").exists()


def test_a_conflict_that_cannot_be_merged_can_be_taken_back_logically(fresh: Machine) -> None:
    machine = fresh
    run = machine.json("install", NAME, "--yes").data["run_id"]
    place = machine.host.root / f"etc/default/{NAME}"
    place.write_text(place.read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
    refused = machine.json("rollback", run, "--yes").error
    assert (refused["code"], refused["details"]["tier"]) == ("conflict.paths", "logical")
    assert (
        f"its tier is logical, by the integration's uninstall, not bit for bit: `workflow-agent rollback {run}"
        in (refused["hint"])
    )

    plan = machine.json("rollback", run, "--logical", "--plan").data["plan"]
    assert f"/etc/default/{NAME}" in plan["tier_reason"]
    assert machine.json("rollback", run, "--logical", "--yes").code == 0
    assert not place.exists()
