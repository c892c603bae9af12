"""Both journals keep the promises of every journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.store import SqliteStore
from workflow_agent.testing import EventChain, MemoryJournal

pytest.register_assert_rewrite("journal_contract")

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.contract.journal_contract import JournalContract

    from workflow_agent.model.ports import Journal
else:  # pytest puts this folder on the path, the type checker knows modules from the root
    from journal_contract import JournalContract


class TestMemoryJournal(JournalContract):
    @pytest.fixture
    def journal(self) -> Journal:
        return MemoryJournal()


class TestSqliteJournal(JournalContract):
    @pytest.fixture
    async def journal(self, tmp_path: Path) -> AsyncIterator[Journal]:
        store = await SqliteStore.open(tmp_path / "store")
        yield store.journal
        await store.close()


@pytest.mark.parametrize("kind", [None, "a"])
async def test_both_give_records_back_in_order(tmp_path: Path, kind: str | None) -> None:
    chain = EventChain("r-1")
    event = chain.created()
    records: list[tuple[str, dict[str, Any]]] = [("a", {"n": 1}), ("b", {"n": 2}), ("a", {"text": "\udcff" * 20_000})]
    events = [event, chain.event(event.type.RUN_STARTED, records=records)]
    memory = MemoryJournal()
    store = await SqliteStore.open(tmp_path)

    await memory.append("r-1", 0, events)
    await store.journal.append("r-1", 0, events)
    kept, stored = await memory.records("r-1", kind), await store.history.records("r-1", kind)
    await store.close()

    assert [(record.kind, record.data) for record in stored] == [r for r in records if kind in {None, r[0]}]
    assert kept == stored
