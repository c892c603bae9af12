r"""Values of parameters: one parser per type, from text as typed on a command line or from a JSON value.

Every parser is total: it gives the value or raises :class:`ValueError` with a sentence that completes
"parameter `x` ...". Texts are capped, free of NUL and of control characters; a line break is refused unless
the parameter is `multiline`. What passes is data: it is quoted where it is used.
"""

from __future__ import annotations

import ipaddress
import math
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from workflow_agent.integrations.kinds import ParameterType
from workflow_agent.integrations.patterns import matches
from workflow_agent.security.marks import unmarkable

if TYPE_CHECKING:
    from collections.abc import Callable

    from workflow_agent.integrations.manifest import Parameter

__all__ = ["MAX_BYTES", "duration_seconds", "parse_value"]

#: Cap of one value.
MAX_BYTES: Final = 64 * 1024
_MAX_ITEMS: Final = 1024
_MAX_PORT: Final = 65535
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,3})?")
_DURATION = re.compile(r"([0-9]{1,9}d)?([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_UNIT_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})


def _text(value: Any, *, multiline: bool = False) -> str:  # Any: what the caller was given
    if not isinstance(value, str):
        raise ValueError("must be a text")  # noqa: TRY004 - the one error of all parsers
    if len(value) > MAX_BYTES or len(value.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise ValueError(f"is longer than {MAX_BYTES // 1024} KiB")
    if "\0" in value:
        raise ValueError("contains a NUL character")
    if not unmarkable(value):
        raise ValueError("contains a character that is none (U+FDD0 or U+FDD1)")
    if not multiline and ("\n" in value or "\r" in value):
        raise ValueError("contains a line break")
    if any((char < " " and char not in "\t\n\r") or "\x7f" <= char <= "\x9f" for char in value):
        raise ValueError("contains a control character")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise ValueError("is not valid UTF-8")
    return value


def _integer(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) >= 10**18:
            raise ValueError("is too large")
        return value
    if not (isinstance(value, str) and _INTEGER.fullmatch(value)):
        raise ValueError("must be an integer")
    return int(value)


def _number(value: Any) -> int | float:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = int(value) if _INTEGER.fullmatch(value) else float(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return _integer(value)
    if not isinstance(value, float) or not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = value.lower() if isinstance(value, str) and len(value) <= len("false") else ""
    if word not in _TRUE | _FALSE:
        raise ValueError("must be true or false")
    return word in _TRUE


def _port(value: Any) -> int:
    port = _integer(value)
    if not 1 <= port <= _MAX_PORT:
        raise ValueError(f"must be a port from 1 to {_MAX_PORT}")
    return port


def _path(value: Any) -> str:
    path = _text(value)
    if not path.startswith("/"):
        raise ValueError("must be an absolute path")
    if ".." in path.split("/"):
        raise ValueError("must not contain '..'")
    return path


def duration_seconds(text: str) -> int:
    """Give the seconds of a duration such as ``90s``, ``5m`` or ``1h30m``; raises ValueError."""
    if not text or not _DURATION.fullmatch(text):
        raise ValueError("must be a duration such as 30s, 5m or 1h30m")
    return sum(int(part[:-1]) * _UNIT_SECONDS[part[-1]] for part in re.findall(r"[0-9]+[dhms]", text))


def _duration(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        value = f"{value}s"
    text = _text(value)
    duration_seconds(text)
    return text


def _url(value: Any) -> str:
    text = _text(value)
    try:
        parts = urlsplit(text)
        _ = parts.port  # parsed late: raises here when it is no port
    except ValueError:
        raise ValueError("must be a valid http or https address") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an http or https address")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not contain a user or a password")
    if re.search(r"[\s\"'`<>\\^{|}]", text):
        raise ValueError("contains characters that an address must write as %XX")
    _host(parts.hostname)
    return text


def _address(value: Any) -> str:
    text = _text(value)
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError("must be an IPv4 or IPv6 address") from None


def _host(value: Any) -> str:
    text = _text(value)
    try:
        return _address(text)
    except ValueError:
        labels = text.removesuffix(".").split(".")
        if len(text) <= 253 and all(_LABEL.fullmatch(label) for label in labels):  # noqa: PLR2004 - RFC 1035 limit
            return text
        raise ValueError("must be a host name or an address") from None


_PARSERS: Final[dict[ParameterType, Callable[[Any], Any]]] = {
    ParameterType.INTEGER: _integer,
    ParameterType.NUMBER: _number,
    ParameterType.BOOLEAN: _boolean,
    ParameterType.PORT: _port,
    ParameterType.PATH: _path,
    ParameterType.DURATION: _duration,
    ParameterType.URL: _url,
    ParameterType.HOST: _host,
    ParameterType.ADDRESS: _address,
}


def _choice(declared: Parameter, value: Any) -> Any:
    by_text = {str(choice): choice for choice in declared.choices}
    # a YAML `true` is no choice "True"
    key = str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    if key not in by_text:
        raise ValueError("must be one of " + ", ".join(by_text))
    return by_text[key]


def _scalar(declared: Parameter, kind: ParameterType, value: Any) -> Any:
    if kind in {ParameterType.STRING, ParameterType.ENUM} and not declared.choices:
        value = _text(value, multiline=declared.multiline)
    elif kind in _PARSERS:
        value = _PARSERS[kind](value)
    if declared.choices:
        value = _choice(declared, value)
    if declared.pattern is not None and not matches(declared.pattern, str(value)):
        raise ValueError(f"does not match the pattern {declared.pattern}")
    return value


def _measure(kind: ParameterType, value: Any) -> tuple[float, str]:
    """Give what `min` and `max` bound, and its unit as a word."""
    if kind is ParameterType.LIST:
        return len(value), " items"
    if kind is ParameterType.DURATION:
        return duration_seconds(value), " seconds"
    if isinstance(value, str):
        return len(value), " characters"
    return value, ""


def _bound(declared: Parameter, value: Any) -> None:
    if declared.min is None and declared.max is None:
        return
    size, unit = _measure(declared.type, value)
    if declared.min is not None and size < declared.min:
        raise ValueError(f"must be at least {declared.min}{unit}")
    if declared.max is not None and size > declared.max:
        raise ValueError(f"must be at most {declared.max}{unit}")


def _list(declared: Parameter, value: Any) -> list[Any]:
    values = list(value) if isinstance(value, list | tuple) else [value]
    if len(values) > _MAX_ITEMS:
        raise ValueError(f"has more than {_MAX_ITEMS} items")
    kind = declared.items or ParameterType.STRING
    result = []
    for number, item in enumerate(values, start=1):
        try:
            result.append(_scalar(declared, kind, item))
        except ValueError as error:
            raise ValueError(f"item {number} {error}") from None
    if len(repr(result)) > MAX_BYTES:
        raise ValueError(f"is longer than {MAX_BYTES // 1024} KiB")
    return result


def parse_value(declared: Parameter, value: Any) -> Any:
    """Parse what was given for a parameter, by its type.

    Args:
        declared: The parameter's declaration.
        value: A text (as typed), or a JSON value of a parameter file; for a list one value or several.

    Returns:
        A JSON value: durations and addresses stay texts, lists become lists.

    Raises:
        ValueError: a sentence without its subject, such as ``must be a port from 1 to 65535``.
    """
    if declared.type is ParameterType.LIST:
        parsed: Any = _list(declared, value)
    else:
        if isinstance(value, list | tuple):
            raise ValueError("takes one value" if len(value) != 1 else "takes a value, not a list")
        parsed = _scalar(declared, declared.type, value)
    _bound(declared, parsed)
    return parsed
