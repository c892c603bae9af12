"""The one JSON object that a command writes with ``--json``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.model.errors import WorkflowAgentError

__all__ = ["SCHEMA", "envelope", "json_line"]

SCHEMA = "workflow-agent/1"


def envelope(
    data: Mapping[str, Any] | None, *, error: WorkflowAgentError | None = None, warnings: Sequence[str] = ()
) -> dict[str, Any]:
    """Make the envelope: schema, ok, data, error, warnings. On failure data may stand beside the error."""
    return {
        "schema": SCHEMA,
        "ok": error is None,
        "data": None if data is None else dict(data),
        "error": None if error is None else error.to_dict(),
        "warnings": list(warnings),
    }


def json_line(value: Mapping[str, Any]) -> str:
    """Write one line of JSON: ASCII only, so that no text can reach a terminal as a control sequence."""
    return json.dumps(value, ensure_ascii=True, default=str)
