"""Two commands at once on one target whose scripts touch the same path: they take turns."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.machine import Machine

pytestmark = [pytest.mark.root, pytest.mark.slow]

FIRST = "#!/bin/sh\nset -e\necho first holds the target\nsleep 4\nmkdir -p /srv/turns\necho first >/srv/turns/both\n"
SECOND = "#!/bin/sh\nset -e\nmkdir -p /srv/turns\necho second >>/srv/turns/both\necho own >/srv/turns/own\n"


def written(machine: Machine, text: str, name: str) -> str:
    (machine.folder / name).write_text(text, encoding="utf-8")
    return f"./{name}"


def read(machine: Machine, path: str) -> str:
    return (machine.host.root / path.lstrip("/")).read_text(encoding="utf-8")


def test_who_does_not_wait_is_told_who_holds_the_target_and_who_waits_builds_on_what_came_first(
    machine: Machine,
) -> None:
    before = machine.world()
    first, second = written(machine, FIRST, "first.sh"), written(machine, SECOND, "second.sh")

    with machine.running("apply", first, "--yes", "--verbose") as running:
        running.wait_for("first holds the target")
        refused = machine.json("apply", second, "--yes")
        assert (refused.code, refused.error["code"]) == (6, "conflict.target-locked"), str(refused)
        holder = refused.error["details"]["run_id"]
        assert holder in refused.error["message"]
        assert refused.error["state"] == "nothing was changed"
        assert "--wait" in refused.error["hint"]
        assert not (machine.host.root / "srv/turns").exists(), "nothing of either is on the target yet"
        waited = machine.json("apply", second, "--yes", "--wait=120").data
        assert running.finish().code == 0

    assert read(machine, "/srv/turns/both") == "first\nsecond\n", "the second saw what the first had committed"
    conflict = machine.json("rollback", holder, "--yes")
    assert (conflict.code, conflict.error["code"]) == (6, "conflict.paths"), str(conflict)
    assert "/srv/turns/both" in json.dumps(conflict.error["details"])
    assert waited["run_id"] in json.dumps(conflict.error)
    assert read(machine, "/srv/turns/both") == "first\nsecond\n"

    machine.json("rollback", waited["run_id"], "--yes")
    assert read(machine, "/srv/turns/both") == "first\n"
    assert not (machine.host.root / "srv/turns/own").exists()
    machine.json("rollback", holder, "--yes")
    machine.assert_as(before)


def test_while_a_person_thinks_other_runs_wait_and_who_writes_by_hand_wins(machine: Machine) -> None:
    script = written(machine, SECOND, "second.sh")
    with machine.running("apply", script, terminal=True) as asked:
        asked.wait_for(r"Apply this\?.*\[y/N\]")
        refused = machine.json("apply", script, "--yes")
        assert (refused.code, refused.error["code"]) == (6, "conflict.target-locked"), str(refused)
        machine.host.run(["sh", "-c", "mkdir /srv/turns; echo by hand >/srv/turns/both"])
        before = machine.world()
        asked.type("y\n")
        told = asked.finish()

    assert told.code != 0
    assert b"changed on the target since the script ran" in asked.seen
    assert b"/srv/turns" in asked.seen.rpartition(b"[y/N]")[2]
    assert read(machine, "/srv/turns/both") == "by hand\n"
    machine.assert_as(before)
    machine.host.run(["rm", "-r", "/srv/turns"])
