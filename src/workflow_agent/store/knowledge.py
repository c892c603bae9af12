"""What pages and packages say, and what the improver suggests, in SQLite. Written by the one writer thread."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.model.errors import NotFoundError, StoreError
from workflow_agent.store.session import SideStatements

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.store.reader import Reader, View
    from workflow_agent.store.statements import Statements
    from workflow_agent.store.writer import Writer

__all__ = ["SqliteKnowledge"]

_PAGES: Final = 1000
_FACTS: Final = 20_000
_WORDS: Final = 16


class SqliteKnowledge:
    """Pages with their statements, by address and revision; suggestions with what was decided about them.

    Every method raises StoreError where the database cannot be used.
    """

    def __init__(self, reader: Reader, writer: Writer | None) -> None:
        self._reader = reader
        self._writer = writer

    # -- pages -------------------------------------------------------------------------------------------------------

    async def put(self, page: Mapping[str, Any], *, source: str, subject: str | None, at: float) -> dict[str, Any]:
        """Keep a page as a new revision, or only that it still says the same.

        Args:
            page: address, title, sha256, facts, commands, flags: as an extraction gives them as JSON.
            source: The kind of source.
            subject: The integration that it is about, if that was said.
            at: When it was read (UTC seconds).

        Returns:
            address, revision, changed.
        """
        known = await self._last(page["address"])
        same = known is not None and known["sha256"] == page["sha256"]

        def apply(db: Statements) -> int:
            last = next(iter(db.rows("last_page", {"address": page["address"]})), None)
            if last is not None and last["sha256"] == page["sha256"]:
                db.execute("confirm_page", {"page_id": last["page_id"], "subject": subject, "fetched_at": at})
                return int(last["revision"])
            revision = 1 if last is None else int(last["revision"]) + 1
            about = subject or (last["subject"] if last else None)
            named = {key: page[key] for key in ("address", "title", "flags", "commands")}
            more = {"hash": page["sha256"], "revision": revision, "subject": about, "source": source, "fetched_at": at}
            _insert_facts(db, db.execute("insert_page", named | more), page)
            return revision

        return {"address": page["address"], "revision": await self._write(apply), "changed": not same}

    async def _last(self, address: str) -> dict[str, Any] | None:
        rows = await self._reader.rows("last_page", address=address)
        return rows[0] if rows else None

    async def pages(self, subject: str | None = None) -> list[dict[str, Any]]:
        """List the newest revision of every page, without its facts: their number is in `facts`."""
        return await self._reader.rows("select_pages", subject=subject, limit=_PAGES)

    async def page(self, address: str, *, before: int = 0) -> dict[str, Any]:
        """Give a page with its facts.

        Args:
            address: Where it is from.
            before: How many revisions before the newest one.

        Raises:
            NotFoundError: there is no such page, or no such revision.
        """
        async with self._reader.view() as view:
            rows = await view.rows("select_revisions", address=address, limit=_PAGES)
            if not rows:
                raise NotFoundError(
                    f"no page `{address[:200]}` is known", hint="`workflow-agent knowledge list` lists the pages"
                )
            if before >= len(rows):
                raise NotFoundError(f"`{address[:200]}` has {len(rows)} revision(s): there is nothing before")
            row = rows[before]
            facts = await _facts(view, [row.pop("page_id")], None)
        return {**row, "flags": json.loads(row["flags"]), "commands": json.loads(row["commands"]), "facts": facts}

    async def facts(self, addresses: Sequence[str], kind: str | None = None) -> list[dict[str, Any]]:
        """List what the newest revisions of some pages say."""
        async with self._reader.view() as view:
            wanted = set(addresses)
            pages = await view.rows("select_pages", subject=None, limit=_PAGES)
            return await _facts(view, [row["page_id"] for row in pages if row["address"] in wanted], kind)

    async def search(self, words: str, *, kind: str | None = None, limit: int = 20) -> list[dict[str, Any]]:
        """Find statements that hold all words (or begin with them), the best first."""
        asked = re.findall(r"[\w]+", words)[:_WORDS]
        if not asked:
            return []
        match = " ".join(f'"{word}"*' for word in asked)
        rows = await self._reader.rows("search_facts", words=match, kind=kind, limit=limit)
        return [_fact(row) for row in rows]

    # -- suggestions -------------------------------------------------------------------------------------------------

    async def suggest(self, suggestion: Mapping[str, Any], *, at: float) -> None:
        """Keep a suggestion: improvement_id, integration, failure, suggestion, evidence. Seen again, it is counted."""

        def apply(db: Statements) -> int:
            return db.execute("put_improvement", {**suggestion, "at": at})

        await self._write(apply)

    async def suggestions(self, *, state: str | None = None, integration: str | None = None) -> list[dict[str, Any]]:
        """List suggestions, that which was seen last first."""
        rows = await self._reader.rows("select_improvements", state=state, integration=integration, limit=_PAGES)
        return [_suggestion(row) for row in rows]

    async def suggestion(self, improvement_id: str) -> dict[str, Any]:
        """Give one suggestion; raises NotFoundError."""
        rows = await self._reader.rows("select_improvement", improvement_id=improvement_id)
        if not rows:
            raise NotFoundError(
                f"there is no suggestion `{improvement_id[:60]}`",
                hint="`workflow-agent improvements list` lists them",
            )
        return _suggestion(rows[0])

    async def decide(self, improvement_id: str, state: str, *, by: str, at: float) -> dict[str, Any]:
        """Keep what a person said about a suggestion (`accepted`, `rejected`, `open`); raises NotFoundError."""
        await self.suggestion(improvement_id)
        values = {"improvement_id": improvement_id, "state": state, "decided_by": by, "at": at}

        def apply(db: Statements) -> int:
            return db.execute("decide_improvement", values)

        await self._write(apply)
        return await self.suggestion(improvement_id)

    async def _write(self, apply: Any) -> int:  # Any: a function of the connection's statements
        if self._writer is None:
            raise StoreError("the store is opened for reading only", where=str(self._reader.path))
        return await self._writer.append(SideStatements(apply))


def _insert_facts(db: Statements, page_id: int, page: Mapping[str, Any]) -> None:
    for fact in page["facts"]:
        columns = {key: fact[key] for key in ("kind", "value", "platforms", "details", "provenance")}
        fact_id = db.execute("insert_fact", {"page_id": page_id, **columns})
        said = " ".join((fact["provenance"]["quote"], fact["kind"], *map(str, fact["details"].values())))
        text = {"fact_id": fact_id, "value": fact["value"], "said": said, "title": page["title"]}
        db.execute("insert_fact_text", text)


async def _facts(view: View, page_ids: Sequence[int], kind: str | None) -> list[dict[str, Any]]:
    rows = await view.rows("select_facts", page_ids=list(page_ids), kind=kind, limit=_FACTS)
    return [_fact(row) for row in rows]


def _fact(row: Mapping[str, Any]) -> dict[str, Any]:
    parsed = {key: json.loads(row[key]) for key in ("platforms", "details", "provenance")}
    return {key: value for key, value in {**row, **parsed}.items() if key != "fact_id"}


def _suggestion(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "suggestion": json.loads(row["suggestion"]), "evidence": json.loads(row["evidence"])}
