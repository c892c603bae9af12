"""`agents memories` and `agents forget`: what agents remember is seen, and forgotten."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.store import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def remembered(state: Path) -> None:
    async def write() -> None:
        store = await SqliteStore.open(state)
        for at, (collection, asked) in enumerate([("shop", "tea?"), ("shop", "milk\n\x1b[2J?"), ("farm", "cows?")]):
            entry = {"source": f"s{at}", "run_id": "r-1", "agent": "clerk", "asked": asked, "answered": "yes"}
            await store.memories.remember(collection, {**entry, "kept_at": float(at)})
        await store.close()

    asyncio.run(write())


@pytest.mark.usefixtures("remembered")
def test_what_is_remembered_is_listed_and_forgotten(cli: Callable[..., Any], state: Path) -> None:
    listed = cli("agents", "memories", "--json").json["data"]["items"]
    assert [(each["collection"], each["entries"], each["kept_at"]) for each in listed] == [
        ("farm", 1, 2.0), ("shop", 2, 1.0),
    ]  # fmt: skip
    assert "shop" in cli("agents", "memories").out
    entries = cli("agents", "memories", "shop")
    assert entries.out.index("asked     milk \\x1b[2J?") < entries.out.index("asked     tea?")
    assert "cows" not in entries.out

    assert cli("agents", "forget", "shop").out == "forgot 2 entries of shop\n"
    assert [each["collection"] for each in cli("agents", "memories", "--json").json["data"]["items"]] == ["farm"]
    assert asyncio.run(SqliteStore.open_read_only(state).memories.recall("shop", "tea", 5)) == []
    for command in ("memories", "forget"):
        missing = cli("agents", command, "fram", "--json")
        assert missing.code == 5
        assert missing.json["error"]["hint"] == "did you mean `farm`?"


def test_nothing_is_remembered_at_first(cli: Callable[..., Any]) -> None:
    assert cli("agents", "memories", "--json").json["data"]["items"] == []
    assert cli("agents", "forget", "shop").code == 5
