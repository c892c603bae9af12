"""Plan files on a real host: exactly what was shown is carried out, or nothing."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.system.machine import Machine, World
else:
    from machine import Machine

pytestmark = [pytest.mark.root, pytest.mark.slow]

SCRIPT = (
    "set -eu\nmkdir -p /opt/planned\ncp /etc/hostname /opt/planned/{0}\n[ ! -e /srv/more ] || touch /opt/planned/m\n"
)
GONE = "negative_checks: [{id: gone, kind: file, path: /opt/planned/done, exists: false}]\n"


@pytest.fixture
def mine(machine: Machine, tmp_path: Path) -> Machine:
    """The shared host, and a folder for its command."""
    return Machine(host=machine.host, folder=tmp_path)


@pytest.fixture
def before(mine: Machine) -> World:
    return mine.world()


def test_a_kept_plan_is_carried_out_once_and_taken_back(mine: Machine, before: World) -> None:
    folder = mine.integration("planned", SCRIPT.format("done"), more=GONE)
    planned = mine.cli("plan", folder, "-o", "a file.plan")
    assert planned.code == 0, str(planned)
    assert "do exactly this: workflow-agent install --apply-plan 'a file.plan'" in planned.out
    file = mine.folder / "a file.plan"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    mine.assert_as(before)

    applied = mine.json("install", "--apply-plan", str(file), "--yes")
    assert applied.code == 0, str(applied)
    assert applied.data["changed"] is True
    again = mine.json("install", "--apply-plan", str(file), "--yes")
    assert (again.code, again.data["changed"]) == (0, False), str(again)
    assert mine.json("rollback", "--yes").code == 0
    mine.assert_as(before)


def _another_script(mine: Machine, _: Path) -> None:
    mine.integration("planned", SCRIPT.format("other"), more=GONE)


def _another_host(mine: Machine, _: Path) -> None:
    (mine.host.root / "srv/more").touch()


def _edited(_: Machine, file: Path) -> None:
    plan = json.loads(file.read_text(encoding="utf-8"))
    plan["expected"]["host"]["planned"]["paths"]["/etc/shadow"] = "modified file 0640 0 42"
    file.write_text(json.dumps(plan), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (_another_script, "another manifest; another script"),
        (_another_host, "not in the plan: /opt/planned/m (created file 0644 0 0)"),
        (_edited, "only in the plan: /etc/shadow (modified file 0640 0 42)"),
    ],
)
def test_a_plan_that_does_not_hold_any_more_is_refused_and_nothing_is_changed(
    mine: Machine, before: World, change: Callable[[Machine, Path], Any], cause: str
) -> None:
    folder = mine.integration("planned", SCRIPT.format("done"), more=GONE)
    file, kept = mine.folder / "kept.plan", mine.transactions()
    assert mine.json("plan", folder, "-o", str(file)).code == 0
    change(mine, file)
    try:
        stale = mine.json("install", "--apply-plan", str(file), "--yes")
    finally:
        (mine.host.root / "srv/more").unlink(missing_ok=True)
    assert stale.code == 6, str(stale)
    assert stale.error["code"] == "conflict.plan-stale"
    assert str(stale.error["cause"]).startswith(cause), str(stale)
    assert stale.error["state"] == "nothing was changed"
    assert mine.transactions() == kept
    left = before.differences(mine.world(), mine.host.root)
    assert [line for line in left if "/srv" not in line] == [], "but for what the test itself did"
