"""The History port on SQLite."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.model.errors import ConflictError, NotFoundError
from workflow_agent.model.event import Record
from workflow_agent.model.system import Generation
from workflow_agent.store.reader import PAGE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractAsyncContextManager

    from workflow_agent.store.reader import Reader

__all__ = ["DURATION_BOUNDS", "SqliteHistory"]

_CANDIDATES: Final = 10
#: Runs without an end that one question gives.
_UNFINISHED: Final = 1000
#: Runs of an action that have no end, which are listed at once.
_UNFINISHED_OF: Final = 100_000
#: Transactions that one question gives.
_TRANSACTIONS: Final = 10_000
#: Bounds of durations of runs, in seconds, by which they are counted.
DURATION_BOUNDS: Final = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
#: Runs, the newest, whose measured values one question looks at, and such values.
_MEASURING_RUNS: Final = 1000
_MEASURED: Final = 10_000
_LAST_CHARACTER: Final = chr(0x10FFFF)


class SqliteHistory:
    """Questions about the past; every method raises StoreError when the database cannot be read."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def reading(self) -> AbstractAsyncContextManager[None]:
        """Answer the questions that are asked inside over one connection."""
        return self._reader.kept()

    async def resolve(self, prefix: str) -> str:
        """Complete a unique prefix of a run id; case does not matter where the text itself is none.

        Raises:
            NotFoundError: no run begins like this.
            ConflictError: several do; `details["candidates"]` lists the first ones.
        """
        found = await self._beginning_with(prefix)
        if not found:
            raise NotFoundError(f"no run begins with `{prefix}`", hint="`workflow-agent history` lists the runs")
        if len(found) > 1:
            raise ConflictError(
                f"several runs begin with `{prefix}`",
                cause=", ".join(found),
                hint="type some more characters",
                details={"candidates": found},
            )
        return found[0]

    async def runs(
        self,
        *,
        limit: int = 20,
        status: str | None = None,
        integration: str | None = None,
        target: str | None = None,
        action: str | None = None,
        tags: Mapping[str, str | None] | None = None,
    ) -> list[dict[str, Any]]:
        """List runs, newest first, each as :meth:`run` gives it; with `tags`, those that have all of them."""
        filters = {"status": status, "integration": integration, "target": target, "action": action}
        return await self._runs("select_runs", **filters, tags=tags or None, limit=limit)

    async def unfinished(self, target: str) -> list[dict[str, Any]]:
        """List the runs on a target that have no end, oldest first, at most 1000: run_id, workflow."""
        return await self._reader.rows("select_unfinished", target=target, limit=_UNFINISHED)

    async def unfinished_of(self, action: str) -> list[dict[str, Any]]:
        """List the runs of an action that have no end, oldest first: run_id, workflow, status."""
        return await self._reader.rows("select_unfinished_of", action=action, limit=_UNFINISHED_OF)

    async def run(self, run_id: str) -> dict[str, Any]:
        """Give one run with its steps; raises NotFoundError. The keys are those of the port."""
        found = await self._runs("select_run", run_id=run_id)
        if not found:
            raise NotFoundError(f"there is no run `{run_id}`", hint="`workflow-agent history` lists the runs")
        return found[0]

    async def records(self, run_id: str, kind: str | None = None) -> list[Record]:
        """List a run's records in the order in which they were written."""
        records: list[Record] = []
        after = 0
        async with self._reader.view() as view:
            while True:
                rows = await view.rows("select_records", run_id=run_id, kind=kind, after=after, limit=PAGE)
                data = await view.objects(rows)
                records += [Record(row["kind"], item) for row, item in zip(rows, data, strict=True)]
                if len(rows) < PAGE:
                    return records
                after = rows[-1]["record_id"]

    async def run_figures(self) -> list[dict[str, Any]]:
        """Count all runs: workflow, state, ended, up_to (of :data:`DURATION_BOUNDS`, or None), runs, seconds, first.

        One row for each that occurs; `seconds` is the sum of their durations, `first` orders workflows by age.
        """
        return [row | {"ended": bool(row["ended"])} for row in await self._reader.rows("select_run_figures")]

    async def measured(self, action: str) -> list[tuple[str, dict[str, Any]]]:
        """List what steps of the newest 1000 runs of an action measured, newest first, 10,000 values at most.

        Each with its workflow; the keys are at, step, name, value, tags.
        """
        values = {"action": action, "runs": _MEASURING_RUNS, "limit": _MEASURED}
        async with self._reader.view() as view:
            rows = await view.rows("select_measured", **values)
            found = await view.objects(rows)
        return [(row["workflow"], item) for row, item in zip(rows, found, strict=True)]

    async def generations(
        self, target: str | None, integration: str | None = None, *, live_only: bool = True
    ) -> list[Generation]:
        """List generations, newest first, a thousand at most; without a target those of all targets."""
        values = {"target": target, "integration": integration, "live_only": live_only}
        return [_generation(row) for row in await self._reader.rows("select_generations", **values, limit=PAGE)]

    async def standing(self, target: str) -> list[dict[str, Any]]:
        """List the runs with committed transactions on a target that were not undone, the last committed first.

        Keys: run_id, action, integration, version, status, redone. A thousand at most.
        """
        rows = await self._reader.rows("select_standing", target=target, limit=PAGE)
        return [row | {"redone": bool(row["redone"])} for row in rows]

    async def transactions(self, target: str) -> list[dict[str, Any]]:
        """List the transactions on a target that are committed or rolled back, the one that last became so first.

        Keys: transaction, run_id, state, pruned_by, updated_at. Ten thousand at most.
        """
        return await self._reader.rows("select_transactions", target=target, limit=_TRANSACTIONS)

    async def latest_transaction(self, target: str) -> dict[str, Any] | None:
        """Give the newest committed transaction on a target whose run was not undone, or None.

        Keys: transaction, run_id, target, state, tier, action, integration, version, status, created_at.
        """
        rows = await self._reader.rows("select_latest_transaction", target=target)
        return rows[0] if rows else None

    async def _beginning_with(self, prefix: str) -> list[str]:
        kind, dash, rest = prefix.partition("-")
        async with self._reader.view() as view:
            for text in dict.fromkeys((prefix, kind.lower() + dash + rest.upper())):
                rows = await view.rows("select_ids", low=text, high=text + _LAST_CHARACTER, limit=_CANDIDATES)
                ids = [row["run_id"] for row in rows]
                if text and ids:
                    # A whole id is itself, even where a longer one begins with it.
                    return ids[:1] if ids[0] == text else ids
        return []

    async def _runs(self, query: str, **values: Any) -> list[dict[str, Any]]:  # Any: JSON values
        async with self._reader.view() as view:
            runs = [_run(row) for row in await view.rows(query, **values)]
            by_id = {run["run_id"]: run for run in runs}
            for row in await view.rows("select_steps", run_ids=list(by_id)):
                run = by_id[row.pop("run_id")]
                run["steps"].append({"id": row.pop("step")} | row | {"error": _json(row["error"])})
            for row in await view.rows("select_tags", run_ids=list(by_id)):
                by_id[row["run_id"]]["tags"][row["name"]] = row["value"]
        return runs


def _run(row: Mapping[str, Any]) -> dict[str, Any]:
    changed = row["changed"]
    parsed = {"inputs": _json(row["inputs"]), "error": _json(row["error"])}
    return {**row, **parsed, "changed": None if changed is None else bool(changed), "tags": {}, "steps": []}


def _json(text: str | None) -> Any:  # Any: a JSON value
    return None if text is None else json.loads(text)


def _generation(row: Mapping[str, Any]) -> Generation:
    return Generation(**{**row, "parameters": json.loads(row["parameters"]), "live": bool(row["live"])})
