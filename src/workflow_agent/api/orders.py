"""What a request asks for, read from its body; nothing in it is taken on trust."""

from __future__ import annotations

import asyncio
import json
from dataclasses import field
from typing import TYPE_CHECKING, Any, Literal

from workflow_agent.model.data import Data
from workflow_agent.model.errors import UsageError, ValidationError

if TYPE_CHECKING:
    from typing import TypeVar

    from aiohttp import web

    _D = TypeVar("_D", bound=Data)

__all__ = ["CancelOrder", "PauseOrder", "ResumeOrder", "RunOrder", "SignalOrder", "read_order"]

#: Seconds within which a body arrives.
_BODY_S = 30.0


class RunOrder(Data, strict=True):
    """A run that is wanted.

    `instance` is what the workflow's class was made with, of a workflow that was written as one.
    """

    workflow: dict[str, Any]
    input: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    instance: dict[str, Any] | None = None
    durability: str | None = None
    break_before: list[str] = field(default_factory=list)
    mode: Literal["async", "sync"] = "async"


class CancelOrder(Data, strict=True):
    """Why a run is to stop."""

    reason: str = "cancelled by request"


class PauseOrder(Data, strict=True):
    """Why nothing new is to start."""

    reason: str = "paused by request"


class ResumeOrder(Data, strict=True):
    """How a run goes on that is paused, or whose process died; `secrets` are those that it was begun with."""

    step: bool = False
    secrets: dict[str, str] = field(default_factory=dict, repr=False)


class SignalOrder(Data, strict=True):
    """What happened, for a step that waits for it."""

    name: str
    data: Any = None


async def read_order(request: web.Request, kind: type[_D]) -> _D:
    """Read the body of a request.

    Raises:
        UsageError: it is no JSON object, of another content type, or did not arrive in time.
        ValidationError: it has fields that nobody knows, lacks some, or has values of other types.
    """
    if request.content_type != "application/json":
        said = request.headers.get("Content-Type", "none")[:80]
        hint = "send `Content-Type: application/json`"
        raise UsageError("the body must be JSON", cause=f"its content type is {said}", hint=hint)
    try:
        async with asyncio.timeout(_BODY_S):
            body = await request.read()
        data = json.loads(body, object_pairs_hook=_once, parse_constant=_refuse_constant)
    except TimeoutError:
        raise UsageError(f"the body did not arrive in {_BODY_S:.0f} s") from None
    except (ValueError, RecursionError) as error:
        raise UsageError("the body is no JSON", cause=str(error)[:200]) from None
    if not isinstance(data, dict):
        raise UsageError("the body must be a JSON object")
    try:
        return kind.model_validate(data)
    except ValueError as error:
        raise _refused(error) from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in the same object")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _refused(error: ValueError) -> ValidationError:
    """Say what is wrong, and never with which value: it may be a secret."""
    errors: Any = getattr(error, "errors", None)  # pydantic's
    if errors is None:
        return ValidationError("the body is not valid", cause=type(error).__name__)
    problems = []
    for found in errors(include_url=False, include_input=False, include_context=False):
        path = ".".join(str(part) for part in found["loc"])
        is_unknown = found["type"] in {"extra_forbidden", "unexpected_keyword_argument"}
        problems.append({"path": path, "message": "there is no such field" if is_unknown else found["msg"]})
    first = problems[0]
    return ValidationError(
        f"{first['path'][:80]}: {first['message']}",
        where="body",
        hint="`docs/server.md` lists the fields",
        details={"problems": problems},
    )
