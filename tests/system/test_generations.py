"""Several runs on one host: what is installed now and was before, and the way back over all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.system.machine import APPENDED_LOGS, Machine
else:
    from machine import APPENDED_LOGS

pytestmark = [pytest.mark.root, pytest.mark.slow]

NAME = "prometheus-node-exporter"


def installed(machine: Machine, *runs: str) -> list[dict[str, Any]]:
    """List the generations of some runs: tests share the host's history."""
    items = machine.json("generations", "list", NAME).data["items"]
    return [item for item in items if item["run_id"] in runs]


def test_generations_follow_each_other_and_come_back(machine: Machine) -> None:
    before = machine.world()
    first = machine.json("install", NAME, "--yes").data["run_id"]
    second = machine.json("upgrade", NAME, "--param", "port=9101", "--yes").data["run_id"]
    keys = ("run_id", "live", "ended_how", "ended_by", "rollbackable")
    assert [tuple(item[key] for key in keys) for item in installed(machine, first, second)] == [
        (second, True, None, None, "exact"),
        (first, False, "replaced", second, "exact"),
    ]
    hashes = {item["parameter_hash"] for item in installed(machine, first, second)}
    assert len(hashes) == 2
    (shown,) = machine.json("generations", "show", second).data["items"]
    assert (shown["parameters"]["port"], shown["action"]) == (9101, "upgrade")

    back = machine.json("rollback", "--yes").data["run_id"]
    assert [tuple(item[key] for key in keys) for item in installed(machine, first, second)] == [
        (second, False, "rolled-back", back, "undone"),
        (first, True, None, None, "exact"),
    ]
    assert machine.json("verify", NAME, "--drift").code == 0
    assert machine.json("rollback", first, "--yes").code == 0
    assert {item["live"] for item in installed(machine, first, second)} == {False}
    machine.assert_as(before, logs=APPENDED_LOGS)


CONFIGURATION = f"/etc/default/{NAME}"
ONE = f"mkdir -p /opt/one /opt/aside; echo 1 > /opt/one/done; echo '# one' >> {CONFIGURATION}"
TWO = f"mkdir -p /opt/two; echo 2 > /opt/two/done; echo 2 > /opt/one/more; echo '# two' >> {CONFIGURATION}"


def test_everything_after_a_run_goes_back_in_one_go_or_nothing_does(machine: Machine) -> None:
    before = machine.world()
    first = machine.json("install", NAME, "--yes").data["run_id"]
    wanted = machine.world()
    one = machine.json("install", machine.integration("one", ONE), "--yes").data["run_id"]
    (machine.folder / "two.sh").write_text(TWO, encoding="utf-8")
    two = machine.json("apply", "two.sh", "--yes").data["run_id"]
    now = machine.world()

    plan = machine.json("rollback", "--to", first, "--plan", "--check")
    assert (plan.code, plan.envelope["data"]["to"]) == (3, first), str(plan)
    items = plan.envelope["data"]["items"]
    assert [item["run_id"] for item in items] == [two, one]
    assert [preview["owned"] for item in items for preview in item["previews"]] == [[], []], "later runs are no data"
    shown = machine.cli("rollback", "--to", first, "--plan").out
    assert f"{two}  apply two.sh" in shown
    assert shown.index(two) < shown.index(one) < shown.index(f"run {first} stays")
    for arguments, code in ((("--to", two, "--yes"), 0), ((one, "--to", first, "--yes"), 2), (("--to", first), 2)):
        assert machine.cli("rollback", *arguments).code == code
    with machine.running("rollback", "--to", first, terminal=True) as running:
        running.wait_for("Roll all of this back")
        running.type("n\n")
        assert running.finish().code == 1
    machine.assert_as(now)

    # What stands against the earlier one is seen before the later one is touched.
    place = machine.host.root / "opt/aside"
    place.rename(place.with_name("mine"))
    refused = machine.json("rollback", "--to", first, "--yes")
    assert (refused.code, refused.error["run_id"]) == (6, one), str(refused)
    assert "/opt/aside" in refused.error["message"]
    assert "nothing was changed" in refused.error["state"]
    place.with_name("mine").rename(place)
    assert (machine.host.root / "opt/two/done").read_text(encoding="utf-8") == "2\n"

    back = machine.json("rollback", "--to", first, "--yes").data
    assert (back["to"], [report["undoes"] for report in back["items"]]) == (first, [two, one])
    machine.assert_as(wanted, logs=APPENDED_LOGS)
    assert machine.json("verify", NAME, "--drift").code == 0
    assert "nothing came after" in machine.cli("rollback", "--to", first, "--yes").out
    assert [item["live"] for item in installed(machine, first)] == [True]

    # Each of the rollbacks is a run that can be taken back itself.
    again = machine.json("rollback", back["items"][-1]["run_id"], "--yes")
    assert again.code == 0, str(again)
    assert (machine.host.root / "opt/one/done").exists()
    once_more = machine.json("rollback", "--to", first, "--yes").data["items"]
    assert [report["undoes"] for report in once_more] == [one]
    assert machine.json("rollback", first, "--yes").code == 0
    machine.assert_as(before, logs=APPENDED_LOGS)
