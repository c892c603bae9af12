"""Events as rows of text: JSON, and large values as blobs.

A row has two columns. ``data`` is a JSON object in ASCII, so that every Python text, also one with lone surrogates,
comes back as it was. ``blobs`` is NULL, or a JSON list of ``[key, sha256]``: the value of that key (null in
``data``) is the JSON text in that blob; a null key stands for the whole object. References live beside the data and
not in it, so that no data can be mistaken for one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from workflow_agent.model.errors import InternalError, JournalConflictError, ValidationError
from workflow_agent.model.event import Event, EventType, Record, RecordKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "INLINE_BYTES",
    "EncodedEvent",
    "EncodedRecord",
    "Row",
    "check_head",
    "check_order",
    "column",
    "decode_row",
    "dump_json",
    "encode_event",
    "is_small",
]

#: A value whose JSON is longer becomes a blob.
INLINE_BYTES: Final = 16 * 1024
#: SQLite's integers have 64 bits with sign.
_INTEGER_LIMIT: Final = 1 << 63
_CREATED: Final = EventType.RUN_CREATED


class Row(NamedTuple):
    """The two columns of a stored object."""

    data: str
    blobs: str | None


class EncodedRecord(NamedTuple):
    """A record and its row."""

    record: Record
    row: Row


class EncodedEvent(NamedTuple):
    """An event, its row and its records."""

    event: Event
    row: Row
    records: tuple[EncodedRecord, ...]


_NO_ROW: Final = Row("{}", None)


def _plain(value: object) -> dict[Any, Any]:  # Any: keys are checked by the encoder
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


# One for all: `json.dumps` with options of its own makes an encoder for each call, which costs more than the encoding.
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True, allow_nan=False, default=_plain)
#: What the encoder makes anew for each object, made once; None where this Python has none. It does not look for cycles:
#: such an object ends with RecursionError, as what is too deep does.
_MAKE_ENCODER: Final = getattr(json.encoder, "c_make_encoder", None)
_ENCODE_PARTS: Final[Any] = _MAKE_ENCODER and _MAKE_ENCODER(
    None, _plain, json.encoder.encode_basestring_ascii, None, ":", ",", False, False, False
)


def dump_json(value: Any) -> str:  # Any: a JSON value
    """Write a JSON value as ASCII text, keys in their order; raises ValidationError for anything else."""
    try:
        if _ENCODE_PARTS is None or isinstance(value, str):
            return _ENCODER.encode(value)
        return "".join(_ENCODE_PARTS(value, 0))
    except (TypeError, ValueError, RecursionError) as problem:
        raise ValidationError("what a step gave cannot be stored as JSON", cause=str(problem)) from problem


def column(value: Any) -> str | int | float | None:  # Any: a JSON value
    """Give what a column takes: numbers as they are, lists and objects as JSON, other things as text.

    In text, what is no valid Unicode, and NUL, becomes a backslash escape; the JSON columns keep the exact text.
    """
    kind = type(value)
    if value is None or kind is float or (kind is str and value.isascii() and "\0" not in value):
        return value  # type: ignore[no-any-return]  # what nearly all are
    if kind is int and -_INTEGER_LIMIT <= value < _INTEGER_LIMIT:
        return value  # type: ignore[no-any-return]
    if isinstance(value, float):
        return value
    if isinstance(value, int) and -_INTEGER_LIMIT <= value < _INTEGER_LIMIT:
        return int(value)
    if isinstance(value, Mapping | list | tuple):
        return dump_json(value)
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def encode_event(event: Event, put_blob: Callable[[bytes], str]) -> EncodedEvent:
    """Encode an event with its records; raises ValidationError, and what `put_blob` raises."""
    records: tuple[EncodedRecord, ...] = ()
    if event.records:
        records = tuple(
            # A definition has a table of its own, and no row here.
            EncodedRecord(record, _NO_ROW if record.kind == RecordKind.DEFINITION else _encode(record.data, put_blob))
            for record in event.records
        )
    return EncodedEvent(event, _encode(event.data, put_blob), records)


def _encode(data: Mapping[str, Any], put_blob: Callable[[bytes], str]) -> Row:
    text = dump_json(data)
    if len(text) <= INLINE_BYTES:
        return Row(text, None)
    small: dict[str, Any] = {}
    blobs: list[tuple[str | None, str]] = []
    for key, value in data.items():
        part = dump_json(value)
        if len(part) > INLINE_BYTES:
            blobs.append((str(key), put_blob(part.encode("ascii"))))
            small[key] = None
        else:
            small[key] = value
    rest = dump_json(small)
    if len(rest) > INLINE_BYTES:
        # Many small values: one blob holds them all.
        return Row("{}", dump_json([(None, put_blob(text.encode("ascii")))]))
    return Row(rest, dump_json(blobs))


def decode_row(data: str, blobs: str | None, get_blob: Callable[[str], bytes]) -> dict[str, Any]:
    """Undo the encoding of one object; raises what `get_blob` raises."""
    value: dict[str, Any] = json.loads(data)
    for key, name in json.loads(blobs) if blobs else ():
        part = json.loads(get_blob(name))
        if key is None:
            return dict(part)
        value[key] = part
    return value


def is_small(events: Sequence[Event]) -> bool:
    """Tell whether encoding needs no blob and little time, so that it may happen on the event loop."""
    budget = INLINE_BYTES
    for event in events:
        budget = _spend(event.data, budget)
        for item in event.records or ():
            if item.kind != RecordKind.DEFINITION:
                budget = _spend(item.data, budget)
    return budget > 0


def _spend(value: object, budget: int) -> int:
    # An upper bound of the JSON's length: no character takes more than twelve (a surrogate pair).
    if isinstance(value, dict) and len(value) < budget:
        return _spend_object(value, budget)
    budget -= 32
    kind = type(value)
    if value is None or kind is bool or kind is int or kind is float:
        return budget
    children: Any = ()
    if isinstance(value, str):
        return budget - 12 * len(value) - 4
    if isinstance(value, Mapping):
        children = [part for item in value.items() for part in item] if len(value) < budget else None
    elif isinstance(value, list | tuple):
        children = value if len(value) < budget else None
    if children is None:
        return 0
    for child in children:
        if budget <= 0:
            return 0
        budget = _spend(child, budget)
    return budget


def _spend_object(value: dict[Any, Any], budget: int) -> int:
    """Do what `_spend` does for what nearly all data are: objects of a few small values."""
    budget -= 32
    for key, part in value.items():
        kind = type(part)
        if not part or kind is float or kind is bool:  # the first also where it is empty
            budget -= 32
        elif kind is str:
            budget -= 12 * len(part) + 4
        else:
            budget = _spend(part, budget)
        budget -= 12 * len(key) + 4 if type(key) is str else 32
        if budget <= 0:
            return 0
    return budget


def check_order(run_id: str, expected_head: int, events: Sequence[Event]) -> None:
    """Check that events follow `expected_head` and begin a run exactly once.

    Raises:
        InternalError: they do not: a defect of the caller.
    """
    seq = expected_head
    for event in events:
        seq += 1
        if event.seq != seq or event.run_id != run_id:
            raise InternalError(f"event {event.seq} of run {event.run_id} does not follow {expected_head} of {run_id}")
        if (event.type is _CREATED) is not (event.seq == 1):
            raise InternalError(f"event {event.seq} of run {run_id} is {event.type}: a run begins with RunCreated")


def check_head(run_id: str, expected_head: int, head: int) -> None:
    """Compare the head that an append expects with the real one; raises JournalConflictError."""
    if head != expected_head:
        raise JournalConflictError(
            "somebody else wrote to this run",
            run_id=run_id,
            cause=f"its journal stands at {head}, not at {expected_head}",
            details={"head": head, "expected": expected_head},
        )
