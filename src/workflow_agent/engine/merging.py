"""Items of a fan-out that end well at the same time share one record."""

from __future__ import annotations

from workflow_agent.engine.live import Draft
from workflow_agent.engine.units import parse_unit
from workflow_agent.model.event import EventType

__all__ = ["merged"]

_PLAIN = frozenset({"output", "status", "started_at"})


def merged(drafts: list[Draft]) -> list[Draft]:
    """Give drafts in their order, those of items that only succeeded in one, where the first of them stood."""
    result: list[Draft] = []
    found: dict[str, list[list[object]]] = {}
    for draft in drafts:
        if draft.step is None or draft.step[-1] != "]" or (index := _plain_item(draft)) is None:
            result.append(draft)
            continue
        step = parse_unit(str(draft.step))[0]
        entry = [index, draft.data["output"]]
        if step in found:
            found[step].append(entry)
            continue
        found[step] = [entry]
        result.append(Draft(type=EventType.ITEMS_SUCCEEDED, step=step, data={"items": found[step]}))
    return result


def _plain_item(draft: Draft) -> int | None:
    is_plain = draft.type is EventType.STEP_SUCCEEDED and not draft.records and draft.data.keys() <= _PLAIN
    if not is_plain or draft.data.get("status") != "succeeded":
        return None
    return parse_unit(str(draft.step))[1]
