"""What an agent answered: the output, and the keys that speak to the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from workflow_agent.engine.inputs import as_json
from workflow_agent.model.errors import InternalError
from workflow_agent.model.event import Record
from workflow_agent.model.status import RunStatus, StepStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.model.errors import WorkflowAgentError

__all__ = ["OUTCOMES", "read_reply", "records_of_error"]

#: What a step of `on_failure` may say that became of the run. It succeeded where its work proves to be done.
OUTCOMES = frozenset(
    {
        RunStatus.ROLLED_BACK,
        RunStatus.NEEDS_ATTENTION,
        RunStatus.FAILED,
        RunStatus.CANCELLED,
        RunStatus.SUCCEEDED,
    }
)
#: Keys of a reply that speak to the driver.
_SPECIAL = frozenset({"_records", "_status", "_run_status", "_changed", "_state", "_output"})
_STATUSES = frozenset({StepStatus.SUCCEEDED, StepStatus.UNCHANGED})
_SUCCEEDED: Final = StepStatus.SUCCEEDED.value


def read_reply(data: Mapping[str, Any], subject: str) -> tuple[dict[str, Any], tuple[Record, ...]]:
    """Take ``_records``, ``_status``, ``_run_status``, ``_changed`` and ``_state`` out of a reply's data.

    What is under ``_output``, if there is such a key, is the output instead of the rest.

    Returns:
        What StepSucceeded says of the reply (any JSON value under ``output``), and the records.

    Raises:
        InternalError: the reply is no JSON, or one of these keys has a value that it cannot have.
    """
    try:
        output = as_json(dict(data))
        if _SPECIAL.isdisjoint(output):
            return {"output": output, "status": _SUCCEEDED}, ()
        records = _records(output.pop("_records", []))
        status = _one_of(_STATUSES, output.pop("_status", _SUCCEEDED))
        given = output.pop("_run_status", None)
        said = {
            "run_status": None if given is None else _one_of(OUTCOMES, given),
            "changed": _boolean(output.pop("_changed", None)),
            "state": _state(output.pop("_state", None)),
        }
        found = {key: value for key, value in said.items() if value is not None}
        return {"output": output.get("_output", output), "status": status} | found, records
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InternalError(f"the reply of {subject} cannot be read", cause=str(error)) from error


def records_of_error(error: WorkflowAgentError) -> tuple[dict[str, Any], tuple[Record, ...]]:
    """Take ``_records`` out of an error's details, so that findings and output of a failed step are kept.

    Returns:
        The error as JSON without them, and the records (none when they cannot be read).
    """
    data = error.to_dict()
    details = dict(data["details"])
    found = details.pop("_records", [])
    try:
        records = _records(as_json(found))
        data["details"] = as_json(details)
    except (KeyError, TypeError, ValueError):
        # An error must arrive whatever its details hold; they are the part that can be spared.
        return data | {"details": {}}, ()
    return data, records


def _records(found: Any) -> tuple[Record, ...]:  # Any: a JSON value
    if not isinstance(found, list):
        raise TypeError("`_records` is not a list")
    for entry in found:
        if not (isinstance(entry["kind"], str) and isinstance(entry["data"], dict)):
            raise TypeError("a record is {kind: text, data: object}")
    return tuple(Record(entry["kind"], entry["data"]) for entry in found)


def _one_of(allowed: frozenset[RunStatus] | frozenset[StepStatus], value: Any) -> str:  # Any: a JSON value
    for status in allowed:
        if status.value == value:
            return status.value
    raise ValueError(f"{value!r} is not a status that a reply can give")


def _state(found: Any) -> dict[str, Any] | None:  # Any: a JSON value
    if found is None:
        return None
    given, gone = found.get("set", {}), found.get("delete", [])
    if found.keys() - {"set", "delete"} or not isinstance(given, dict) or not isinstance(gone, list):
        raise TypeError("`_state` is {set: object, delete: list of keys}")
    if not all(isinstance(key, str) for key in gone):
        raise TypeError("a key in `_state` is a text")
    return {key: value for key, value in (("set", given), ("delete", gone)) if value}


def _boolean(value: Any) -> bool | None:  # Any: a JSON value
    if value is not None and not isinstance(value, bool):
        raise TypeError("`_changed` is not a boolean")
    return value
