"""Errors as answers: problem details (RFC 9457) made of our own tree of errors.

Source: RFC 9457, section 3 (members), section 3.2 (extension members).
"""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from workflow_agent.model.errors import (
    BusyError,
    InternalError,
    NotFoundError,
    TokenRefusedError,
    UsageError,
    WorkflowAgentError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["problem", "problems_as_answers"]

logger = logging.getLogger(__name__)

#: What a class of errors is called by, for programs that know RFC 9457 and not us.
_TYPE = "urn:workflow-agent:error:"
#: Seconds after which somebody who was sent away may ask again.
_AGAIN_S = 1
_OWN_ERROR = 500


def problem(error: WorkflowAgentError, status: int | None = None) -> web.Response:
    """Make the answer of an error.

    Args:
        error: What went wrong.
        status: The status where HTTP knows a better one than the class of the error.
    """
    code = status or error.http_status
    said = {
        "type": _TYPE + error.code,
        "title": (type(error).__doc__ or "error").splitlines()[0].rstrip("."),
        "status": code,
        "detail": error.message,
        **error.to_dict(),
    }
    headers = {}
    if isinstance(error, BusyError):
        headers["Retry-After"] = str(_AGAIN_S)
    if isinstance(error, TokenRefusedError):
        headers["WWW-Authenticate"] = 'Bearer realm="workflow-agent"'
    return web.Response(
        body=json.dumps(said, ensure_ascii=False).encode("utf-8", "replace"),
        status=code,
        content_type="application/problem+json",
        headers=headers,
    )


@web.middleware
async def problems_as_answers(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer with what went wrong, whatever it is; no traceback leaves the process."""
    try:
        return await handler(request)
    except WorkflowAgentError as error:
        return problem(error)
    except web.HTTPException as refused:
        return _of_http(request, refused)
    except Exception:
        logger.exception("a request could not be answered: %s %s", request.method, request.path)
        return problem(InternalError("the request could not be answered", hint="the server's log says more"))


def _of_http(request: web.Request, refused: web.HTTPException) -> web.Response:
    """Say in our form what aiohttp refuses by itself."""
    if refused.status < HTTPStatus.BAD_REQUEST:
        raise refused
    if refused.status == HTTPStatus.NOT_FOUND:
        return problem(NotFoundError(f"there is nothing at `{request.path[:120]}`", hint="see docs/server.md"))
    if isinstance(refused, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(refused.allowed_methods))
        answer = problem(UsageError(f"`{refused.method[:20]}` is not done here", hint=allowed), refused.status)
        answer.headers["Allow"] = allowed
        return answer
    if refused.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return problem(UsageError("the body is larger than 1 MiB"), refused.status)
    kind = InternalError if refused.status >= _OWN_ERROR else UsageError
    return problem(kind(refused.reason), refused.status)
