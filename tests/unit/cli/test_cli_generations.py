"""`generations`: what is installed now and was before, and whether it can be taken back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.model.event import Event, EventType, Record, RecordKind
from workflow_agent.store import SqliteStore
from workflow_agent.targets.host import HostTarget

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FIRST, SECOND, THIRD, BACK = (f"r-01KA000000000000000000000{letter}" for letter in "1234")


def _run(run_id: str, at: float, action: str, *records: Record, target: str = "host") -> list[Event]:
    meta = {"action": action, "integration": "nginx", "target": target, "user": "ann", "host": "web1"}
    created = {"workflow": action, "workflow_hash": "h", "inputs": {}, "meta": meta}
    ended = {"status": "succeeded", "error": None, "changed": True}
    return [
        Event(run_id=run_id, seq=1, type=EventType.RUN_CREATED, at=at, data=created),
        Event(
            run_id=run_id, seq=2, type=EventType.STEP_SUCCEEDED, at=at, step="s", data={"output": {}}, records=records
        ),
        Event(run_id=run_id, seq=3, type=EventType.RUN_FINISHED, at=at + 1, data=ended),
    ]


def _installed(run_id: str, version: str, target: str = "host", **parameters: Any) -> Record:
    data = {"target": target, "integration": "nginx", "parameter_hash": "abcdef0123", "parameters": parameters}
    more = {"manifest_version": version, "manifest_hash": "m", "transaction": f"{run_id}.1", "created_at": 60.0}
    return Record(RecordKind.GENERATION, data | more)


@pytest.fixture
def generations(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed, upgraded, and installed elsewhere; then the upgrade was rolled back."""
    runs = [
        _run(FIRST, 1.0, "install", _installed(FIRST, "1.0.0", port=80)),
        _run(SECOND, 2.0, "upgrade", _installed(SECOND, "1.1.0", port=81, names=["é"])),
        _run(THIRD, 3.0, "install", _installed(THIRD, "1.1.0", "docker:gone"), target="docker:gone"),
        _run(BACK, 4.0, "rollback", Record(RecordKind.UNDONE, {"run": SECOND})),
    ]

    async def write() -> None:
        store = await SqliteStore.open(state)
        try:
            for events in runs:
                await store.journal.append(events[0].run_id, 0, events)
        finally:
            await store.close()

    async def kept(_: HostTarget) -> list[str]:
        return [f"{FIRST}.1"]

    asyncio.run(write())
    monkeypatch.setattr(HostTarget, "kept_transactions", kept)


def test_all_generations_are_listed_with_what_became_of_them(cli: Callable[..., Any], generations: None) -> None:
    del generations
    answer = cli("generations", "list", "--json").json
    items = answer["data"]["items"]

    keys = ("run_id", "version", "target", "live", "ended_by", "ended_how", "rollbackable")
    assert [tuple(item[key] for key in keys) for item in items] == [
        (THIRD, "1.1.0", "docker:gone", True, None, None, "unknown"),
        (SECOND, "1.1.0", "host", False, BACK, "rolled-back", "undone"),
        (FIRST, "1.0.0", "host", True, None, None, "exact"),
    ]
    assert ["docker:gone" in warning for warning in answer["warnings"]] == [True]
    shown = cli("generations", "list", "nginx", "--target", "host").out.splitlines()
    assert len(shown) == 3
    assert "rolled-back" in shown[1]
    assert "1970-01-01T00:01:00Z" in shown[2]
    assert cli("generations", "list", "redis-server", "--json").json["data"]["items"] == []
    assert cli("generations", "list", "redis-server").out == "nothing was installed yet\n"
    assert cli("generations", "nginx", "--target", "host").out.splitlines() == shown
    assert "did you mean `workflow-agent generations list`" in cli("generations", "lst").err


def test_a_generation_whose_before_images_are_gone_is_pruned(
    cli: Callable[..., Any], generations: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    del generations

    async def none(_: HostTarget) -> list[str]:
        return []

    monkeypatch.setattr(HostTarget, "kept_transactions", none)
    found = cli("generations", "list", "--target", "host", "--json").json["data"]["items"]
    assert [item["rollbackable"] for item in found] == ["undone", "pruned"]


def test_one_is_shown_with_its_parameters(cli: Callable[..., Any], generations: None) -> None:
    del generations
    shown = cli("generations", "show", SECOND).out

    assert "state       ended, rolled-back by " + BACK in shown
    assert 'names = ["é"]' in shown
    (item,) = cli("generations", "show", SECOND, "--json").json["data"]["items"]
    assert item["parameters"] == {"port": 81, "names": ["é"]}
    nothing = cli("generations", "show", BACK)
    assert nothing.code == 5
    assert "generations list" in nothing.err
    assert cli("generations", "show", "r-nothing").code == 5
