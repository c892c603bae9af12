"""Two looks at a running system, compared; what a rollback makes of the difference."""

from __future__ import annotations

from typing import Any

from workflow_agent.targets.running_changes import put_back, running_changes
from workflow_agent.targets.running_state import running_state


def _look(**changes: Any) -> dict[str, Any]:  # Any: JSON
    first = {"modules": ["ext4"], "settings": {"vm.swappiness": "60"}, "listeners": [["tcp", "::1", 25, ""]]}
    return first | changes


def test_what_came_went_and_changed_is_told_by_name() -> None:
    after = _look(
        modules=["ext4", "nf_tables"],
        settings={"vm.swappiness": "10", "kernel.new": "1"},
        listeners=[["tcp", "0.0.0.0", 80, "nginx"], ["udp", "::", 53, ""]],
    )

    told = [(one["kind"], one["name"], one["action"], one["value"]) for one in running_changes(_look(), after)]

    assert told == [
        ("listener", "tcp 0.0.0.0:80", "added", "nginx"),
        ("listener", "tcp [::1]:25", "removed", None),
        ("listener", "udp [::]:53", "added", None),
        ("module", "nf_tables", "added", None),
        ("sysctl", "vm.swappiness", "changed", "10"),
    ]
    assert running_changes(after, after) == []


async def test_what_cannot_be_put_back_stays_with_its_reason() -> None:
    changes = running_changes(
        _look(), _look(modules=["ext4", "no_such_module"], settings={"vm.swappiness": "10"}, listeners=[])
    )
    changes += running_changes(_look(listeners=[]), _look())

    stays = await put_back(0, changes, _look(modules=["no_such_module"], settings={"vm.swappiness": "7"}))

    reasons = {one["name"]: one["reason"] for one in stays}
    assert reasons.keys() == {"no_such_module", "vm.swappiness", "tcp [::1]:25"}
    assert reasons["vm.swappiness"] == "somebody set it to 7 since"
    assert reasons["tcp [::1]:25"] == "something still listens there"


async def test_what_is_as_before_already_is_left_alone() -> None:
    real = running_state()
    was = {"kernel.ostype": real["settings"]["kernel.ostype"]}
    changes = running_changes(_look(settings=was), _look(modules=["ext4", "gone"], settings={"kernel.ostype": "Other"}))
    assert await put_back(0, changes, _look(settings=was)) == []


async def test_what_cannot_be_written_is_named() -> None:
    changes = running_changes(_look(settings={"kernel.ostype": "Other"}), _look(settings={"kernel.ostype": "Linux"}))
    (stays,) = await put_back(0, changes, _look(settings={"kernel.ostype": "Linux"}))
    assert stays["name"] == "kernel.ostype"
    assert stays["reason"]


def test_a_look_names_who_listens_only_where_that_is_new() -> None:
    first = running_state()
    assert first["settings"]["kernel.ostype"] == "Linux"
    assert not any(one.endswith((".ns_last_pid", "key", "secret")) for one in first["settings"])
    assert all(name == "" for *_, name in first["listeners"])
    assert running_changes(first, running_state(first["listeners"])) is not None


async def test_mounts_that_came_are_taken_away_the_innermost_first_and_those_that_went_are_named() -> None:
    before, after = _look(mounts={"/a": "ext4"}), _look(mounts={"/no/such": "tmpfs", "/no/such/inner": "tmpfs"})
    changes = running_changes(before, after)
    assert [(one["kind"], one["name"], one["action"], one["value"]) for one in changes] == [
        ("mount", "/a", "removed", None),
        ("mount", "/no/such", "added", "tmpfs"),
        ("mount", "/no/such/inner", "added", "tmpfs"),
    ]
    assert running_changes(_look(), after) == [], "an earlier version did not look"

    stays = await put_back(0, changes, after)
    assert [one["name"] for one in stays] == ["/no/such/inner", "/no/such", "/a"], "nothing is mounted there"
    assert await put_back(0, changes, before) == []
