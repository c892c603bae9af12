"""Who may ask: everything is refused without the token, but for one exact route; and only by names of this machine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aiohttp import web

from workflow_agent.model.errors import PermissionDeniedError, TokenRefusedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeAlias

    from aiohttp.typedefs import Middleware

    from workflow_agent.security.api_token import ApiToken

    Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

__all__ = ["PUBLIC", "hosts_checked", "token_checked"]

#: Name of the only route that needs no token.
PUBLIC = "health"
_SCHEME = "bearer"
#: What this machine is called where only it is meant. A name of the outside that was made to lead here is none of them.
_OWN_NAME = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)


def token_checked(token: ApiToken) -> Middleware:
    """Make the middleware that asks for the token, before anything else is looked at: also where nothing is."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        route = request.match_info.route
        if route.name == PUBLIC and request.method == "GET":
            return await handler(request)
        given = request.headers.getall("Authorization", [])
        if not given:
            raise TokenRefusedError("there is no token in the request", hint="send `Authorization: Bearer TOKEN`")
        scheme, _, text = given[0].partition(" ")
        if len(given) > 1 or scheme.lower() != _SCHEME or not token.is_same(text.strip()):
            raise TokenRefusedError("the server refuses the token")
        return await handler(request)

    return check


@web.middleware
async def hosts_checked(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what was sent to another name: a browser that was led here by a page of somebody else's says so."""
    if not _OWN_NAME.fullmatch(request.host):
        raise PermissionDeniedError(
            f"`{request.host[:80]}` is no name of this server",
            where="Host",
            hint="it is reached as localhost, 127.0.0.1 or [::1]",
        )
    return await handler(request)
