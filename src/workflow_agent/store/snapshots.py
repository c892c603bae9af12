"""Snapshots of runs as rows: lines of JSON, compressed, with a digest; large values are blobs, as those of records are.

The digest is over all of a row, so that one whose parts were changed, or that stands with another run, is known to be
damaged. Then it is left out: every record that it stands for is in the journal.
"""

from __future__ import annotations

import hashlib
import json
import logging
import zlib
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.model.errors import StoreError
from workflow_agent.model.event import Snapshot
from workflow_agent.store.encoding import INLINE_BYTES, dump_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["read_snapshot", "snapshot_row"]

logger = logging.getLogger(__name__)

#: Compression costs little at this level, and texts that say nearly the same get a tenth of their size.
_LEVEL: Final = 1


def snapshot_row(run_id: str, snapshot: Snapshot, put_blob: Callable[[bytes], str]) -> dict[str, Any]:
    """Encode a snapshot; raises ValidationError, and what `put_blob` raises. Blocks: call it in a thread."""
    lines = [dump_json(snapshot.data["state"])]
    names: list[tuple[int, str]] = []
    for number, value in enumerate(snapshot.data["values"]):
        text = dump_json(value)
        if len(text) > INLINE_BYTES:
            names.append((number, put_blob(text.encode("ascii"))))
            text = "null"
        lines.append(text)
    row = {
        "run_id": run_id,
        "seq": snapshot.seq,
        "fold": snapshot.fold,
        "data": zlib.compress("\n".join(lines).encode("ascii"), _LEVEL),
        "blobs": dump_json(names) if names else None,
    }
    return row | {"digest": _digest(row)}


def read_snapshot(row: Mapping[str, Any], get_blob: Callable[[str], bytes]) -> Snapshot | None:
    """Undo the encoding; None, and a warning in the log, where the row or one of its blobs is damaged."""
    try:
        if row["digest"] != _digest(row):
            raise ValueError("its digest is another one")  # noqa: TRY301  # one border for all that is wrong with it
        state, *values = zlib.decompress(row["data"]).decode("ascii").split("\n")
        found = [json.loads(value) for value in values]
        for number, name in json.loads(row["blobs"] or "[]"):
            found[number] = json.loads(get_blob(name))
        return Snapshot(seq=row["seq"], fold=row["fold"], data={"state": json.loads(state), "values": found})
    except (LookupError, TypeError, ValueError, zlib.error, StoreError) as problem:
        logger.warning(
            "the snapshot of run %s at record %s is damaged (%s): all of its records are read instead",
            row["run_id"], row["seq"], problem,
        )  # fmt: skip
        return None


def _digest(row: Mapping[str, Any]) -> str:
    head = "\0".join(str(row[name]) for name in ("run_id", "seq", "fold", "blobs"))
    data = row["data"]
    return hashlib.sha256(head.encode("utf-8", "backslashreplace") + b"\0" + bytes(data)).hexdigest()
