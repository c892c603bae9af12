"""Plan files: a plan as it was shown, kept so that exactly it can be carried out later (``install --apply-plan``).

What belongs here: the format, writing and reading. What does not: whether it still holds, which `validator.agree` finds
out in the run.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic import ValidationError as PydanticError

from workflow_agent._version import __version__
from workflow_agent.agents.agreement import expectation
from workflow_agent.model.errors import NotFoundError, PermissionDeniedError, UsageError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from workflow_agent.cli.running import RunRequest
    from workflow_agent.cli.session import Ended

__all__ = ["PlanFile", "check_place", "read_plan_file", "write_plan_file"]

_MAX_BYTES = 64 << 20
_WHERE = "-o"


class PlanFile(BaseModel):
    """What a plan file holds. `expected` is, by target and integration, what ``agreement.expectation`` gives."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    schema_: Literal["workflow-agent/plan/1"] = Field(default="workflow-agent/plan/1", alias="schema")
    made_at: float
    made_by: str
    action: Literal["install", "upgrade", "repair"]
    integrations: tuple[str, ...] = Field(min_length=1)
    targets: tuple[str, ...] = Field(min_length=1)
    parameters: dict[str, Any]
    allow: tuple[str, ...]
    timeout_s: float = Field(gt=0)
    expected: dict[str, dict[str, dict[str, Any]]]


def check_place(path: Path) -> None:
    """Raise before a plan is made when its file could not be written.

    Raises:
        NotFoundError: there is no such folder.
        UsageError: it is a folder itself.
        PermissionDeniedError: nothing can be written there.
    """
    if not path.parent.is_dir():
        raise NotFoundError(f"there is no folder {path.parent}", where=_WHERE, state="nothing was begun")
    if path.is_dir():
        raise UsageError(f"{path} is a folder", where=_WHERE, hint="name a file")
    if not os.access(path.parent, os.W_OK):
        raise PermissionDeniedError(f"{path.parent} cannot be written", where=_WHERE, state="nothing was begun")


def write_plan_file(path: Path, action: str, request: RunRequest, done: Sequence[Ended]) -> None:
    """Keep what was planned, for nobody else to read; the file is there whole or not at all.

    Raises:
        PermissionDeniedError: it cannot be written.
    """
    expected: dict[str, dict[str, Any]] = {}
    for (target, _), ended in zip(request.each(), done, strict=True):
        expected.setdefault(target, {}).update(_expectations(ended.outputs))
    plan = PlanFile(
        made_at=round(time.time(), 3),
        made_by=f"workflow-agent {__version__}",
        action=action,  # type: ignore[arg-type]  # checked by the model
        integrations=request.names,
        targets=request.targets,
        parameters=dict(request.inputs["parameters"]),
        allow=tuple(request.inputs["allow"]),
        timeout_s=request.inputs["timeout_s"],
        expected=expected,
    )
    text = json.dumps(plan.model_dump(mode="json", by_alias=True), indent=1, ensure_ascii=True) + "\n"
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as stream:
            try:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
                Path(stream.name).replace(path)
            except BaseException:
                Path(stream.name).unlink()
                raise
    except OSError as error:
        raise PermissionDeniedError(
            "the plan cannot be kept", where=str(path), cause=error.strerror, state="nothing was changed"
        ) from error


def read_plan_file(path: Path) -> PlanFile:
    """Read a plan file.

    Raises:
        NotFoundError: it is not there, or cannot be read.
        ValidationError: it is no plan file.
    """
    where = f"--apply-plan › {path}"
    try:
        with path.open("rb") as stream:
            raw = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise NotFoundError("the plan file cannot be read", where=where, cause=error.strerror) from error
    try:
        if len(raw) > _MAX_BYTES:
            raise ValueError(f"it is larger than {_MAX_BYTES >> 20} MiB")  # noqa: TRY301  # told like the others
        return PlanFile.model_validate_json(raw)
    except PydanticError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "(top)"
        cause = f"{place}: {first['msg']}"
    except ValueError as error:
        cause = str(error)
    raise ValidationError(
        "this is no plan file", where=where, cause=cause, hint="`workflow-agent plan NAME -o FILE` makes one"
    )


def _expectations(outputs: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give what each part of a run is expected to do; what was found unchanged has nothing to do."""
    for step, lookup in outputs.items():
        if step.endswith("lookup") and lookup is not None:
            prefix = step.removesuffix("lookup")
            script = (outputs.get(f"{prefix}build") or {}).get("script")
            change_set = (outputs.get(f"{prefix}prepare") or {}).get("change_set")
            yield lookup["integration"], expectation(lookup, script, change_set)
