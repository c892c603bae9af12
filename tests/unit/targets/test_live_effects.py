"""Effects beyond files on our own system: real commands, whose effects are files of the test."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.model.errors import EffectFailedError
from workflow_agent.model.system import Effect, EffectCommand
from workflow_agent.targets.live_effects import LiveEffects, open_effects

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Plan:
    """Keeps the record as a plan file does, and every step of it."""

    def __init__(self) -> None:
        self.entries: tuple[Mapping[str, Any], ...] = ()
        self.earlier: list[Mapping[str, Any]] = []
        self.states: list[list[str]] = []

    async def keep(self, entries: tuple[Mapping[str, Any], ...]) -> None:
        self.entries = entries
        self.states.append([entry["state"] for entry in entries])

    def effects(self) -> LiveEffects:
        return LiveEffects(0, self.entries, self.keep, self.earlier)

    def next(self) -> Plan:
        """Give the plan of the next transaction."""
        later = Plan()
        later.earlier = [*reversed(self.entries), *self.earlier]
        return later


def shell(text: str, *, stdin: str | None = None, **more: Any) -> EffectCommand:
    return EffectCommand(argv=("sh", "-euc", text), stdin=stdin, **more)


def effect(path: Path, *, do: str = "", undo: str = "", probe: str = "", timeout_s: float = 20.0) -> Effect:
    """A file with a line, as a role in a database would be."""
    return Effect(
        id=path.name,
        kind="declared",
        description=f"A line in {path.name}.",
        do=shell(do or f"cat >{path}", stdin='it\'s "here"\n'),
        undo=shell(undo or f"rm {path}"),
        probe=shell(probe or f"cat {path} 2>&1 || true", stdout_contains="here", timeout_s=timeout_s),
    )


def leaving(made: Effect) -> Effect:
    """Turn an effect round, as an uninstall does."""
    return replace(made, do=made.undo, undo=made.do, gone=True)


@pytest.fixture
def plan() -> Plan:
    return Plan()


async def test_an_effect_is_written_down_before_it_is_carried_out(plan: Plan, tmp_path: Path) -> None:
    done = await plan.effects().carry_out([effect(tmp_path / "role")])

    assert done == [{"effect": "role", "description": "A line in role.", "state": "done"}]
    assert (tmp_path / "role").read_text(encoding="utf-8") == 'it\'s "here"\n'
    assert plan.states == [["begun"], ["done"]]


async def test_what_is_there_already_is_neither_carried_out_nor_taken_back(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "role").write_text("here before us", encoding="utf-8")

    done = await plan.effects().carry_out([effect(tmp_path / "role")])

    assert [each["state"] for each in done] == ["found"]
    assert await plan.effects().take_back() == []
    assert (tmp_path / "role").read_text(encoding="utf-8") == "here before us"
    assert plan.states == [["found"]]


async def test_effects_are_taken_back_in_the_other_order_and_can_be_done_again(plan: Plan, tmp_path: Path) -> None:
    first = effect(tmp_path / "a", undo=f"rm {tmp_path}/a; test ! -e {tmp_path}/b")
    second = effect(tmp_path / "b")
    for _ in range(2):
        await plan.effects().carry_out([first, second])
        assert [each.id for each in open_effects(plan.entries)] == ["b", "a"]

        assert await plan.effects().take_back() == []
        assert not (tmp_path / "a").exists()
        assert not (tmp_path / "b").exists()
        assert open_effects(plan.entries) == []


async def test_carried_out_twice_it_is_still_ours(plan: Plan, tmp_path: Path) -> None:
    await plan.effects().carry_out([effect(tmp_path / "role")])
    await plan.effects().carry_out([effect(tmp_path / "role")])

    assert await plan.effects().take_back() == []
    assert not (tmp_path / "role").exists()


async def test_what_only_the_script_does_is_passed_over(plan: Plan) -> None:
    assert await plan.effects().carry_out([Effect(kind="irreversible", description="Sends mail.")]) == []
    assert plan.states == []


async def test_a_command_that_fails_is_told_and_what_it_did_is_taken_back(plan: Plan, tmp_path: Path) -> None:
    half = effect(tmp_path / "role", do=f"cat >{tmp_path}/role; echo no such table >&2; exit 3")

    with pytest.raises(EffectFailedError, match="failed to carry out") as caught:
        await plan.effects().carry_out([half])

    assert caught.value.cause == "ended with 3: no such table"
    assert await plan.effects().take_back() == []
    assert not (tmp_path / "role").exists()
    assert plan.states[-1] == ["undone"]


async def test_a_command_that_does_nothing_is_no_success(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(EffectFailedError, match="cannot be seen"):
        await plan.effects().carry_out([effect(tmp_path / "role", do="true")])


async def test_an_undo_that_does_nothing_is_told_and_stays_to_be_taken_back(plan: Plan, tmp_path: Path) -> None:
    await plan.effects().carry_out([effect(tmp_path / "role", undo="true"), effect(tmp_path / "other")])

    left = await plan.effects().take_back()

    assert [each.id for each in left] == ["role"]
    assert not (tmp_path / "other").exists(), "the rest is taken back"
    assert [each.id for each in open_effects(plan.entries)] == ["role"]


async def test_what_somebody_else_took_away_is_taken_back(plan: Plan, tmp_path: Path) -> None:
    await plan.effects().carry_out([effect(tmp_path / "role")])
    (tmp_path / "role").unlink()

    assert await plan.effects().take_back() == []
    assert plan.states[-1] == ["undone"]


async def test_a_probe_is_asked_until_it_can_tell(plan: Plan, tmp_path: Path) -> None:
    slow = f"echo x >>{tmp_path}/asked; test $(wc -l <{tmp_path}/asked) -gt 2; cat {tmp_path}/role 2>&1 || true"

    done = await plan.effects().carry_out([effect(tmp_path / "role", probe=slow)])

    assert [each["state"] for each in done] == ["done"]


async def test_a_probe_that_never_tells_changes_nothing(plan: Plan, tmp_path: Path) -> None:
    blind = effect(tmp_path / "role", probe="echo connection refused >&2; exit 2", timeout_s=0.3)

    with pytest.raises(EffectFailedError, match="cannot be told") as caught:
        await plan.effects().carry_out([blind])

    assert caught.value.cause == "ended with 2: connection refused"
    assert plan.states == []
    assert not (tmp_path / "role").exists()


async def test_a_rollback_is_refused_where_a_probe_does_not_tell(plan: Plan, tmp_path: Path) -> None:
    probe = f"test ! -e {tmp_path}/down; cat {tmp_path}/role 2>&1 || true"
    await plan.effects().carry_out([effect(tmp_path / "role", probe=probe, timeout_s=0.3)])
    await plan.effects().look_before_taking_back()
    (tmp_path / "down").touch()

    with pytest.raises(EffectFailedError) as caught:
        await plan.effects().look_before_taking_back()

    assert caught.value.state == "nothing was changed"
    assert [each.id for each in await plan.effects().take_back()] == ["role"]
    (tmp_path / "down").unlink()
    assert await plan.effects().take_back() == [], "later it can be taken back"


async def test_a_rollback_that_goes_no_further_brings_effects_again(plan: Plan, tmp_path: Path) -> None:
    await plan.effects().carry_out([effect(tmp_path / "role")])
    before = plan.entries
    await plan.effects().take_back()

    await plan.effects().do_again(before)

    assert (tmp_path / "role").exists()
    assert [each.id for each in open_effects(plan.entries)] == ["role"]


async def test_an_uninstall_takes_away_what_the_installation_made_and_its_rollback_brings_it_again(
    plan: Plan, tmp_path: Path
) -> None:
    role = effect(tmp_path / "role")
    await plan.effects().carry_out([role])
    uninstall = plan.next()

    done = await uninstall.effects().carry_out([leaving(role)])

    assert [each["state"] for each in done] == ["done"]
    assert not (tmp_path / "role").exists()
    assert await uninstall.effects().take_back() == []
    assert (tmp_path / "role").exists()
    again = uninstall.next()
    assert [each["state"] for each in await again.effects().carry_out([leaving(role)])] == ["done"]


async def test_an_uninstall_keeps_what_was_there_before_the_installation(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "role").write_text("here before us", encoding="utf-8")
    await plan.effects().carry_out([effect(tmp_path / "role")])

    done = await plan.next().effects().carry_out([leaving(effect(tmp_path / "role"))])

    assert [each["state"] for each in done] == ["kept"]
    assert (tmp_path / "role").exists()


async def test_what_an_earlier_transaction_made_is_held_by_the_next_and_goes_with_the_uninstall(
    plan: Plan, tmp_path: Path
) -> None:
    role = effect(tmp_path / "role")
    await plan.effects().carry_out([role])
    second = plan.next()
    assert [each["state"] for each in await second.effects().carry_out([role])] == ["held"]
    assert await second.effects().take_back() == []
    assert (tmp_path / "role").exists(), "it belongs to the first"

    await second.next().effects().carry_out([leaving(role)])

    assert not (tmp_path / "role").exists()


async def test_what_somebody_made_after_an_uninstall_is_not_ours(plan: Plan, tmp_path: Path) -> None:
    role = effect(tmp_path / "role")
    await plan.effects().carry_out([role])
    removed = plan.next()
    await removed.effects().carry_out([leaving(role)])
    (tmp_path / "role").write_text("here by somebody", encoding="utf-8")
    again = removed.next()

    assert [each["state"] for each in await again.effects().carry_out([role])] == ["found"]
    assert [each["state"] for each in await again.next().effects().carry_out([leaving(role)])] == ["kept"]
    assert (tmp_path / "role").exists()
