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


def installed(machine: Machine, *arguments: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = machine.json("generations", "list", *arguments).data["items"]
    return items


def test_generations_follow_each_other_and_come_back(machine: Machine) -> None:
    before = machine.world()
    first = machine.json("install", NAME, "--yes").data["run_id"]
    second = machine.json("upgrade", NAME, "--param", "port=9101", "--yes").data["run_id"]
    keys = ("run_id", "live", "ended_how", "ended_by", "rollbackable")
    assert [tuple(item[key] for key in keys) for item in installed(machine, NAME)] == [
        (second, True, None, None, "exact"),
        (first, False, "replaced", second, "exact"),
    ]
    hashes = {item["parameter_hash"] for item in installed(machine)}
    assert len(hashes) == 2
    (shown,) = machine.json("generations", "show", second).data["items"]
    assert (shown["parameters"]["port"], shown["action"]) == (9101, "upgrade")

    back = machine.json("rollback", "--yes").data["run_id"]
    assert [tuple(item[key] for key in keys) for item in installed(machine)] == [
        (second, False, "rolled-back", back, "undone"),
        (first, True, None, None, "exact"),
    ]
    assert machine.json("verify", NAME, "--drift").code == 0
    assert machine.json("rollback", first, "--yes").code == 0
    assert {item["live"] for item in installed(machine)} == {False}
    machine.assert_as(before, logs=APPENDED_LOGS)
