"""`history prune` on a host: what it frees, what can still be taken back afterwards, and what is said of the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.machine import APPENDED_LOGS, Machine
else:
    from machine import APPENDED_LOGS

pytestmark = [pytest.mark.root, pytest.mark.slow]

BIG = 3_000_000


def applied(machine: Machine, name: str, text: str) -> str:
    (machine.folder / name).write_text(text, encoding="utf-8")
    return str(machine.json("apply", name, "--yes").data["run_id"])


def test_old_before_images_go_and_the_newest_runs_can_still_be_taken_back(fresh: Machine) -> None:
    machine = fresh
    (machine.host.root / "opt/big").write_bytes(b"x" * BIG)
    untouched = machine.world()
    first = applied(machine, "first.sh", "echo new > /opt/big; mkdir /opt/first; echo 1 > /opt/first/one")
    before = machine.world()
    second = applied(machine, "second.sh", "echo 2 > /opt/two; echo two >> /opt/big")
    undone = machine.json("rollback", second, "--yes").data["run_id"]
    third = applied(machine, "third.sh", "echo 3 > /opt/three")
    now = machine.world()

    for arguments, code in ((("--keep", "1"), 2), (("--yes",), 2), (("--keep", "-1", "--yes"), 2)):
        assert machine.cli("history", "prune", *arguments).code == code
    with machine.running("history", "prune", "--keep", "0", terminal=True) as running:
        running.wait_for("Give these up for good")
        running.type("n\n")
        assert running.finish().code == 1
    plan = machine.json("history", "prune", "--keep", "2", "--plan", "--check")
    assert plan.code == 3, str(plan)
    foreseen = plan.envelope["data"]["plan"]
    assert [run["run_id"] for run in foreseen["prunes"]] == [first]
    assert [(run["run_id"], run["needs"]) for run in foreseen["stays"]] == [(third, third), (second, undone)]
    assert foreseen["preview"]["bytes"] >= BIG
    machine.assert_as(now)

    free = machine.host.run(["df", "--output=avail", "-B1", "/"]).stdout.split()[-1]
    done = machine.json("history", "prune", "--keep", "2", "--yes").data
    assert (done["action"], done["pruned"]["runs"]) == ("prune", [first])
    assert done["pruned"]["bytes"] == foreseen["preview"]["bytes"]
    assert int(machine.host.run(["df", "--output=avail", "-B1", "/"]).stdout.split()[-1]) - int(free) >= BIG
    machine.assert_as(now)

    refused = machine.json("rollback", first, "--yes")
    assert (refused.code, refused.error["code"]) == (6, "conflict.pruned"), str(refused)
    assert done["run_id"] in refused.error["message"] + str(refused.error["cause"])
    assert refused.error["state"] == "nothing was changed"
    shown = machine.json("show", first).data
    assert (shown["pruned_by"], shown["rollback_command"]) == (done["run_id"], None)
    assert f"pruned by {done['run_id']}" in machine.cli("show", first).out
    assert "first" in machine.cli("history").out
    assert machine.json("history", "prune", "--keep", "2", "--yes").data["changed"] is False

    # What was kept can be taken back, in both directions; what lies below what the first one made is still its own.
    again = machine.json("rollback", undone, "--yes").data["run_id"]
    assert machine.json("rollback", again, "--yes").code == 0
    assert machine.json("rollback", third, "--yes").code == 0
    machine.assert_as(before)
    assert untouched.differences(machine.world(), machine.host.root, logs=APPENDED_LOGS)


def test_a_prune_that_is_killed_is_ended_by_the_next_command(fresh: Machine) -> None:
    machine = fresh
    first = applied(
        machine, "first.sh", "mkdir -p /opt/a; for i in 1 2 3; do echo $i > /opt/a/$i; done; echo x > /etc/motd"
    )
    gone = applied(machine, "gone.sh", "echo y > /etc/motd")
    back = machine.json("rollback", gone, "--yes").data["run_id"]
    now = machine.world()
    for point in (
        "transaction.pruned",
        "transaction.prune.folder",
        "transaction.prune.folder:2",
        "transaction.prune.folder:4",
    ):
        machine.cli("history", "prune", "--keep", "0", "--yes", environ={"WORKFLOW_AGENT_FAILPOINT": point})
        machine.assert_as(now)
    done = machine.json("history", "prune", "--keep", "0", "--yes")
    assert done.code == 0, str(done)
    machine.assert_as(now)
    (kept,) = machine.transactions()
    assert kept.startswith(first)
    folder = machine.host.root / ".workflow-agent/tx" / kept
    assert sorted(path.name for path in folder.iterdir()) == ["contents.json", "plan.json"]
    assert machine.json("show", first).data["pruned_by"]
    assert machine.json("rollback", first, "--yes").error["code"] == "conflict.pruned"
    assert machine.json("rollback", back, "--yes").code in {5, 6}
