"""What agents remember between runs, in SQLite: by collection, bounded, found by words. Written by the one writer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.model.errors import StoreError
from workflow_agent.store.session import SideStatements

if TYPE_CHECKING:
    from collections.abc import Callable

    from workflow_agent.store.reader import Reader
    from workflow_agent.store.statements import Statements
    from workflow_agent.store.writer import Writer

__all__ = ["MOST_MEMORIES", "SqliteMemories"]

#: Entries of a collection; the oldest leave.
MOST_MEMORIES: Final = 1000
#: Words of a question that are looked for, the longest first: they tell most.
_WORDS: Final = 32
#: Entries that are looked at for each that is given.
_CANDIDATES: Final = 8
#: Characters that are kept.
_ASKED: Final = 2000
_ANSWERED: Final = 4000


class SqliteMemories:
    """Entries by collection. Every method raises StoreError where the database cannot be used.

    Args:
        reader: Answers questions.
        writer: Writes; None where the store is opened for looking.
        most: Entries of a collection.
    """

    def __init__(self, reader: Reader, writer: Writer | None, *, most: int = MOST_MEMORIES) -> None:
        self._reader = reader
        self._writer = writer
        self._most = most

    async def recall(self, collection: str, question: str, limit: int) -> list[dict[str, Any]]:
        """Give the entries of a collection that fit a question best: run_id, agent, asked, answered, kept_at."""
        words = sorted(_words(question), key=lambda word: (-len(word), word))[:_WORDS]
        if not words:
            return []
        asked = " OR ".join(f'"{word}"' for word in words)
        rows = await self._reader.rows("search_memories", words=asked, collection=collection, limit=limit * _CANDIDATES)
        # Of a few entries the rarity of a word tells nothing; how many of the words an entry has, always does.
        rows.sort(key=lambda row: -len(_words(f"{row['asked']} {row['answered']}").intersection(words)))
        return rows[:limit]

    async def remember(self, collection: str, entry: dict[str, Any]) -> None:
        """Keep an entry: source, run_id, agent, asked, answered, kept_at.

        One of the same source is replaced; of texts that are too long the beginning is kept.
        """
        texts = {"asked": entry["asked"][:_ASKED], "answered": entry["answered"][:_ANSWERED]}

        def apply(db: Statements) -> int:
            leaving = {"collection": collection, "source": entry["source"], "most": self._most - 1}
            for row in db.rows("leaving_memories", leaving):
                db.execute("drop_memory", row)
                db.execute("drop_memory_text", row)
            kept = db.execute("insert_memory", {**entry, **texts, "collection": collection})
            db.execute("insert_memory_text", {"memory_id": kept, **texts})
            return kept

        await self._write(apply)

    async def collections(self) -> list[dict[str, Any]]:
        """List the collections: collection, entries (how many), kept_at (the newest)."""
        return await self._reader.rows("select_collections")

    async def entries(self, collection: str) -> list[dict[str, Any]]:
        """List what a collection holds, the newest first."""
        return await self._reader.rows("select_memories", collection=collection, limit=self._most)

    async def forget(self, collection: str) -> int:
        """Forget a collection; gives how many entries it had."""

        def apply(db: Statements) -> int:
            count = len(db.rows("select_memories", {"collection": collection, "limit": self._most}))
            db.execute("drop_collection_text", {"collection": collection})
            db.execute("drop_collection", {"collection": collection})
            return count

        return await self._write(apply)

    async def _write(self, apply: Callable[[Statements], int]) -> int:
        if self._writer is None:
            raise StoreError("the store is opened for reading only", where=str(self._reader.path))
        return await self._writer.append(SideStatements(apply))


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))
