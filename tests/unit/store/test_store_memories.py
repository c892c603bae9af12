"""What agents remember, in a real database: by collection, found by words, bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.model.errors import StoreError
from workflow_agent.store import SqliteStore
from workflow_agent.store.memories import SqliteMemories

if TYPE_CHECKING:
    from pathlib import Path


def entry(source: str, asked: str, answered: str = "Yes.") -> dict[str, Any]:
    return {"source": source, "run_id": "r-1", "agent": "a", "asked": asked, "answered": answered, "kept_at": 1.0}


async def test_what_fits_best_comes_first_and_only_of_the_collection(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    memories = store.memories
    await memories.remember("one", entry("a", "the colour of the fence"))
    await memories.remember("one", entry("b", "the number of cows", "The colour is not known."))
    await memories.remember("two", entry("a", "the colour of the fence and of the cows"))
    await store.close()

    again = SqliteStore.open_read_only(tmp_path).memories
    found = await again.recall("one", 'Which "colour" has the FENCE*? -- OR (', 5)
    assert [each["asked"] for each in found] == ["the colour of the fence", "the number of cows"]
    assert await again.recall("one", "fence", 0) == []
    assert await again.recall("one", "horses", 5) == []
    assert await again.recall("one", "?!", 5) == []
    assert await again.recall("three", "colour", 5) == []
    with pytest.raises(StoreError, match="for reading only"):
        await again.remember("one", entry("c", "x"))


async def test_one_source_has_one_entry_and_long_texts_are_cut(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    try:
        await store.memories.remember("one", entry("a", "first words", "x" * 9000))
        await store.memories.remember("one", entry("a", "second words " + "y" * 9000, "z" * 9000))
        (found,) = await store.memories.recall("one", "words", 5)
        assert await store.memories.recall("one", "first", 5) == []
    finally:
        await store.close()

    assert found["asked"].startswith("second")
    assert (len(found["asked"]), len(found["answered"])) == (2000, 4000)


async def test_a_collection_is_listed_and_forgotten(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    try:
        for number, collection in enumerate(["one", "two", "one"]):
            await store.memories.remember(collection, entry(f"s{number}", f"words {number}"))
        listed = await store.memories.collections()
        newest = await store.memories.entries("one")
        assert await store.memories.forget("one") == 2
        assert await store.memories.forget("one") == 0
        left = await store.memories.collections()
        await store.memories.remember("one", entry("s9", "words 9"))
        found = await store.memories.recall("one", "words", 5)
    finally:
        await store.close()

    assert [(each["collection"], each["entries"]) for each in listed] == [("one", 2), ("two", 1)]
    assert [each["asked"] for each in newest] == ["words 2", "words 0"]
    assert [each["collection"] for each in left] == ["two"]
    assert [each["asked"] for each in found] == ["words 9"]
    with pytest.raises(StoreError, match="for reading only"):
        await SqliteStore.open_read_only(tmp_path).memories.forget("two")


async def test_the_oldest_leave_a_collection_that_is_full(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    try:
        memories = SqliteMemories(store._reader, store._writer, most=3)
        for number in range(6):
            await memories.remember("one", entry(f"s{number}", f"words {number}"))
            await memories.remember("two", entry(f"s{number}", f"words {number}"))
        await memories.remember("one", entry("s4", "words again"))
        found = await memories.recall("one", "words", 10)
        other = await memories.recall("two", "words", 10)
    finally:
        await store.close()

    assert [each["asked"] for each in found] == ["words again", "words 5", "words 3"]
    assert [each["asked"] for each in other] == ["words 5", "words 4", "words 3"]
