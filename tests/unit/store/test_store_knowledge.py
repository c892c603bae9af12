"""Pages, facts and suggestions in a real database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.model.errors import NotFoundError, StoreError
from workflow_agent.store import SqliteStore

if TYPE_CHECKING:
    from pathlib import Path

PAGE = "https://docs.example.org/redis"


def fact(value: str, kind: str = "port", quote: str = "listens on", **details: str) -> dict[str, Any]:
    provenance = {"address": PAGE, "selector": "line 1", "text_sha256": "0" * 64, "quote": quote, "confidence": 0.9}
    return {"kind": kind, "value": value, "platforms": ["debian"], "details": details, "provenance": provenance}


def page(*facts: dict[str, Any], sha256: str = "a", address: str = PAGE) -> dict[str, Any]:
    return {
        "address": address,
        "title": "Redis",
        "sha256": sha256,
        "facts": list(facts),
        "flags": [{"kind": "placeholder", "text": "<x>"}],
        "commands": [{"text": "apt install redis"}],
    }


async def test_a_page_survives_a_restart(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    kept = await store.knowledge.put(page(fact("6379")), source="documentation", subject="redis-server", at=1.0)
    await store.close()

    again = SqliteStore.open_read_only(tmp_path)
    found = await again.knowledge.page(PAGE)
    (row,) = await again.knowledge.pages()

    assert kept == {"address": PAGE, "revision": 1, "changed": True}
    assert found["facts"] == [{"address": PAGE, **fact("6379")}]
    assert found["flags"] == [{"kind": "placeholder", "text": "<x>"}]
    assert found["commands"] == [{"text": "apt install redis"}]
    assert (row["subject"], row["facts"], row["fetched_at"]) == ("redis-server", 1, 1.0)
    await again.close()


async def test_the_same_page_again_is_no_new_revision(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    await store.knowledge.put(page(fact("6379")), source="documentation", subject=None, at=1.0)
    kept = await store.knowledge.put(page(fact("6379")), source="documentation", subject="redis-server", at=2.0)
    (row,) = await store.knowledge.pages("redis-server")
    await store.close()

    assert kept == {"address": PAGE, "revision": 1, "changed": False}
    assert row["fetched_at"] == 2.0


async def test_a_page_that_changed_keeps_what_it_said_before(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    await store.knowledge.put(page(fact("6379")), source="documentation", subject="redis-server", at=1.0)
    kept = await store.knowledge.put(page(fact("6380"), sha256="b"), source="documentation", subject=None, at=2.0)
    now, before = await store.knowledge.page(PAGE), await store.knowledge.page(PAGE, before=1)
    with pytest.raises(NotFoundError, match="nothing before"):
        await store.knowledge.page(PAGE, before=2)
    pages = await store.knowledge.pages()
    await store.close()

    assert kept["revision"] == 2
    assert [now["facts"][0]["value"], before["facts"][0]["value"]] == ["6380", "6379"]
    assert [(row["revision"], row["subject"]) for row in pages] == [(2, "redis-server")]


async def test_search_finds_the_newest_statements_by_the_beginnings_of_words(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    knowledge = store.knowledge
    await knowledge.put(page(fact("6379")), source="documentation", subject=None, at=1.0)
    new = page(
        fact("maxmemory", "setting", "Most memory for data", default="0"), fact("redis_up", "metric"), sha256="b"
    )
    await knowledge.put(new, source="documentation", subject=None, at=2.0)

    async def found(words: str, **more: Any) -> list[str]:
        return [row["value"] for row in await knowledge.search(words, **more)]

    assert await found("most mem") == ["maxmemory"]
    assert await found("redis_up") == ["redis_up"]
    assert await found("listens", kind="metric") == ["redis_up"]
    assert await found("6379") == []  # it was said before, and is said no more
    assert await found('"; DROP TABLE') == []
    assert await found('*"(') == []
    await store.close()


async def test_facts_of_some_pages_are_given_together(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    other = "https://other.example/"
    await store.knowledge.put(page(fact("1")), source="documentation", subject=None, at=1.0)
    await store.knowledge.put(page(fact("2", "user"), address=other), source="package-metadata", subject=None, at=1.0)
    both = await store.knowledge.facts([PAGE, other])
    users = await store.knowledge.facts([PAGE, other], "user")
    await store.close()

    assert [row["value"] for row in both] == ["1", "2"]
    assert [row["address"] for row in users] == [other]


async def test_nothing_is_kept_where_the_store_is_opened_for_looking(tmp_path: Path) -> None:
    store = SqliteStore.open_read_only(tmp_path)

    assert await store.knowledge.pages() == []
    with pytest.raises(NotFoundError):
        await store.knowledge.page(PAGE)
    with pytest.raises(StoreError, match="reading only"):
        await store.knowledge.put(page(), source="documentation", subject=None, at=1.0)


def suggestion(name: str = "i-1") -> dict[str, Any]:
    return {
        "improvement_id": name,
        "integration": "nginx",
        "failure": "port-in-use",
        "suggestion": {"kind": "parameter", "name": "port", "value": 8081},
        "evidence": [{"run_id": "r-1", "line": "address already in use"}],
    }


async def test_a_suggestion_that_is_made_again_is_counted_and_stays_as_it_was_decided(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    await store.knowledge.suggest(suggestion(), at=1.0)
    decided = await store.knowledge.decide("i-1", "rejected", by="ann", at=2.0)
    await store.knowledge.suggest(suggestion(), at=3.0)
    (row,) = await store.knowledge.suggestions(integration="nginx")
    none_open = await store.knowledge.suggestions(state="open")
    await store.close()

    assert (decided["state"], decided["decided_by"]) == ("rejected", "ann")
    assert (row["seen"], row["state"], row["updated_at"]) == (2, "rejected", 3.0)
    assert row["suggestion"] == {"kind": "parameter", "name": "port", "value": 8081}
    assert none_open == []


async def test_an_unknown_suggestion_is_not_found(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    with pytest.raises(NotFoundError, match="i-9"):
        await store.knowledge.decide("i-9", "accepted", by="ann", at=1.0)
    await store.close()


async def test_a_change_that_fails_leaves_the_journal_usable(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    broken = page(fact("1"))
    broken["title"] = None
    with pytest.raises(StoreError):
        await store.knowledge.put(broken, source="documentation", subject=None, at=1.0)
    await store.knowledge.put(page(fact("1")), source="documentation", subject=None, at=1.0)
    assert len(await store.knowledge.pages()) == 1
    await store.close()
