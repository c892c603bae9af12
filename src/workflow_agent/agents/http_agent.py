"""The http agent: one request of a step, what its answer must be, and what of it is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.agents.command_agents import keep
from workflow_agent.agents.given_secrets import filled, filled_texts, names_secret
from workflow_agent.agents.http_calls import HttpCall, shown_address
from workflow_agent.agents.masking import masked
from workflow_agent.agents.serving import Answer, Question, Verb
from workflow_agent.authoring.durations import duration_s
from workflow_agent.model.errors import ParameterError, StepFailedError

if TYPE_CHECKING:
    from workflow_agent.agents.http_calls import HttpAnswer, HttpCalls
    from workflow_agent.model.message import Message
    from workflow_agent.security.vault import Vault

__all__ = ["HttpAgent", "HttpReply", "HttpRequest", "refusal_of"]

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
#: Methods that may be sent twice without another key. Source: RFC 9110, 9.2.2.
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
#: Statuses that another attempt may change. Source: RFC 9110, 15.5.9, 15.6; RFC 6585, 4; RFC 8470, 5.2.
_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
#: Headers of an answer that are never kept: they let whoever reads them in.
_PRIVATE: Final = frozenset({"set-cookie", "www-authenticate", "proxy-authenticate", "authentication-info"})
_SHOWN: Final = 400
#: Stands for the body of an answer that is no JSON.
_NO_JSON: Final = object()
_FIRST_GOOD: Final = 200
_FIRST_OTHER: Final = 300


class HttpRequest(Question):
    """Send a request. Texts of `url`, `headers`, `query` and `body` may name secrets: ``{"$secret": "token"}``.

    `body` is sent as it is when it is a text, else as JSON. `expect_status` are the statuses that are no failure (2xx
    when empty); `expect_json` must be part of the answer: of an object the keys that are given. An answer of 408, 425,
    429 or 5xx, and none at all, can be tried again (`retry` of the step); others are final.
    """

    url: Any
    method: str = "GET"
    headers: dict[str, Any] = field(default_factory=dict)
    query: dict[str, Any] = field(default_factory=dict)
    body: Any = None
    expect_status: list[int] = field(default_factory=list)
    expect_json: Any = None
    timeout: str = "30s"
    max_bytes: int = 1 << 20
    keep_as: str | None = None


class HttpReply(Answer):
    """What came: the body as `data` where it is JSON, else `text`. Cookies are left out of `headers`."""

    status: int
    url: str
    text: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    data: Any = None


class HttpAgent:
    """Answers ``http.request``.

    Args:
        vault: The secrets of runs.
        calls: Sends requests.
    """

    name = "http"

    def __init__(self, vault: Vault, calls: HttpCalls) -> None:
        self._vault = vault
        self._calls = calls

    def verbs(self) -> Mapping[str, Verb]:
        """Request."""
        return masked(self._vault, {"request": Verb(HttpRequest, HttpReply, self._request)})

    async def _request(self, request: HttpRequest, message: Message) -> tuple[Answer, Mapping[str, Any]]:
        where = str(message.step_id)
        call = self._call(request, message)
        answer = await self._calls.send(call)
        data = _json_of(answer)
        problem = refusal_of(answer, data, request.expect_status, request.expect_json)
        if problem is not None:
            raise StepFailedError(
                f"{call.place}: {problem}",
                where=where,
                cause=answer.text[:_SHOWN] or None,
                details={"status": answer.status, **_no_retry(answer)},
            )
        kept = {name: value for name, value in answer.headers.items() if name not in _PRIVATE}
        is_json = data is not _NO_JSON
        value = data if is_json else answer.text
        reply = HttpReply(
            status=answer.status,
            url=call.place if call.is_private else shown_address(answer.url),
            text="" if is_json else answer.text,
            headers=kept,
            data=data if is_json else None,
        )
        return reply, keep(request.keep_as, value)

    def _call(self, request: HttpRequest, message: Message) -> HttpCall:
        where, run_id = str(message.step_id), message.run_id
        method = request.method.upper()
        if method not in _METHODS:
            raise ParameterError(f"there is no method `{request.method[:20]}`", where=where, hint=", ".join(_METHODS))
        url = filled(request.url, self._vault, run_id)
        if not isinstance(url, str):
            raise ParameterError("`url` must be a text", where=where)
        headers = filled_texts(request.headers, self._vault, run_id)
        body = filled(request.body, self._vault, run_id)
        known = {name.lower() for name in headers}
        key = message.headers.get("idempotency-key")
        if method not in _IDEMPOTENT and key and "idempotency-key" not in known:
            headers["Idempotency-Key"] = key
        if body is not None and not isinstance(body, str):
            body = json.dumps(body)
            headers |= {} if "content-type" in known else {"Content-Type": "application/json"}
        return HttpCall(
            method=method,
            url=url,
            headers=headers,
            query=filled_texts(request.query, self._vault, run_id),
            body=None if body is None else body.encode(),
            timeout_s=duration_s(request.timeout, where=f"{where} › timeout"),
            max_bytes=request.max_bytes,
            is_bound=bool(request.headers) or names_secret([request.url, request.query]),
            is_private=names_secret([request.url]),
        )


def refusal_of(answer: HttpAnswer, data: Any, statuses: list[int], wanted: Any) -> str | None:  # Any: JSON values
    """Say why an answer is not what was expected; None when it is."""
    good = answer.status in statuses if statuses else _FIRST_GOOD <= answer.status < _FIRST_OTHER
    if not good:
        expected = " or ".join(map(str, statuses)) or "2xx"
        return f"the status is {answer.status}, expected is {expected}"
    if wanted is None:
        return None
    if data is _NO_JSON:
        return "the answer is no JSON"
    place = _differs(data, wanted, "")
    return None if place is None else f"the answer is not as expected{place}"


def _differs(found: Any, wanted: Any, place: str) -> str | None:
    """Give the place at which something is not as wanted; None where all is."""
    if isinstance(wanted, Mapping):
        if not isinstance(found, Mapping):
            return f" at `{place or '.'}`: no object"
        differing = (_differs(found.get(key), value, f"{place}.{key}") for key, value in wanted.items())
        return next((each for each in differing if each is not None), None)
    return None if found == wanted else f" at `{place or '.'}`: {json.dumps(found)[:80]}, not {json.dumps(wanted)[:80]}"


def _no_retry(answer: HttpAnswer) -> dict[str, Any]:
    return {} if answer.status in _AGAIN else {"retry": None}


def _json_of(answer: HttpAnswer) -> Any:  # Any: a JSON value
    if "json" not in answer.headers.get("content-type", ""):
        return _NO_JSON
    try:
        return json.loads(answer.text)
    except ValueError:
        return _NO_JSON
