"""What a check may say: the kinds, their keys, and the sentence for people. Standard library only.

One table for both sides of the probe protocol. A kind or key that is not in it is an error, never a pass.
"""

from __future__ import annotations

import ipaddress
import json
import math
import re
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["CHECK_KINDS", "FILE_TYPES", "describe", "is_negative", "validate_spec"]

#: The words for file types, as in change sets.
FILE_TYPES = ("file", "directory", "symlink", "fifo", "socket", "block", "char")
_MAX_PORT = 65535


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) and value and "\0" not in value else "a text"


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "true or false"


def _number(value: Any) -> str | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
    return None if good else "a number"


def _whole(low: int, high: int) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        good = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return None if good else f"a whole number from {low} to {high}"

    return check


def _one_of(*words: str) -> Callable[[Any], str | None]:
    return lambda value: None if value in words else "one of " + ", ".join(words)


def _path(value: Any) -> str | None:
    good = isinstance(value, str) and value.startswith("/") and "\0" not in value
    return None if good else "an absolute path"


def _unit_name(value: Any) -> str | None:
    # No wildcards: `systemctl show` would answer for every unit that matches, or for none.
    good = isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]*", value)
    return None if good else "a unit name"


def _address(value: Any) -> str | None:
    try:
        ipaddress.ip_address(value if isinstance(value, str) else "")
    except ValueError:
        return "an IP address"
    return None


def _mode(value: Any) -> str | None:
    good = isinstance(value, str) and re.fullmatch(r"[0-7]{3,4}", value)
    return None if good else "an octal text such as '0644'"


def _texts(value: Any) -> str | None:
    good = isinstance(value, dict) and all(isinstance(item, str) for pair in value.items() for item in pair)
    return None if good else "a mapping of texts"


def _mapping(value: Any) -> str | None:
    return None if isinstance(value, dict) and _is_json(value) else "a mapping of JSON values"


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(_is_json, value))
    return value is None or isinstance(value, str | int | float)


def _arguments(value: Any) -> str | None:
    good = isinstance(value, list) and value and all(_text(item) is None or item == "" for item in value)
    return None if good and value[0] else "a list of texts"


def _conversation(value: Any) -> str | None:
    """Steps of a conversation: what is sent may be missing, but something has to be expected."""
    good = isinstance(value, list) and any(isinstance(step, dict) and "expect" in step for step in value)
    good = good and all(
        isinstance(step, dict) and step and step.keys() <= {"send", "expect"} and not any(map(_text, step.values()))
        for step in value
    )
    return None if good else "a list of steps, each with `send` or `expect`, at least one with `expect`"


def _oid(value: Any) -> str | None:
    # The first arc is 0, 1 or 2; below the first two there are forty. Source: X.660, 7.6.
    good = isinstance(value, str) and re.fullmatch(r"\.?([01]\.[1-3]?[0-9]|2\.[0-9]{1,9})(\.[0-9]{1,10}){0,126}", value)
    return None if good else "an object identifier such as 1.3.6.1.2.1.1.5.0"


_PORT = _whole(1, _MAX_PORT)

#: Kind → key → what a value must be; the keys before ``*`` are required.
_KEYS: dict[str, dict[str, Callable[[Any], str | None]]] = {
    "file": {
        "path*": _path,
        "exists": _flag,
        "mode": _mode,
        "owner": _text,
        "contains": _text,
        "type": _one_of(*FILE_TYPES),
    },
    "package": {"name*": _text, "installed": _flag, "version": _text},
    "unit": {"name*": _unit_name, "active": _flag, "enabled": _flag},
    "process": {"exe": _path, "name": _text, "user": _text, "running": _flag, "current": _flag},
    "port": {
        "port*": _PORT,
        "protocol*": _one_of("tcp", "udp"),
        "address": _address,
        "open": _flag,
        "process": _path,
    },
    "http": {
        "url*": _text,
        "status": _whole(100, 599),
        "contains": _text,
        "header": _texts,
        "json": _mapping,
    },
    "metric": {
        "url*": _text,
        "name*": _text,
        "labels": _texts,
        "min": _number,
        "max": _number,
        "equals": _number,
        "present": _flag,
    },
    "tcp": {"port*": _PORT, "address": _address, "exchange*": _conversation},
    "log": {"path": _path, "unit": _unit_name, "contains*": _text, "present": _flag},
    "snmp": {
        "oid*": _oid,
        "port": _PORT,
        "address": _address,
        "community": _text,
        "equals": _text,
        "contains": _text,
    },
    "command": {"argv*": _arguments, "exit_code": _whole(0, 255), "stdout_contains": _text, "live": _flag},
}
CHECK_KINDS = tuple(_KEYS)
_NEGATIONS = ("exists", "installed", "active", "enabled", "running", "open", "present")


def validate_spec(kind: str, spec: Mapping[str, Any]) -> None:
    """Refuse a check that cannot be carried out as it is written.

    Raises:
        ValidationError: Unknown kind or key, a missing key, a value of the wrong type, or keys that
            contradict each other.
    """
    keys = _KEYS.get(kind)
    if keys is None:
        raise ValidationError(f"unknown kind of check `{kind}`", hint="kinds: " + ", ".join(CHECK_KINDS))
    allowed = {key.rstrip("*"): test for key, test in keys.items()}
    for key in spec:
        if key not in allowed:
            raise ValidationError(f"a {kind} check has no key `{key}`", hint="keys: " + ", ".join(allowed))
    for key in keys:
        if key.endswith("*") and key[:-1] not in spec:
            raise ValidationError(f"a {kind} check needs the key `{key[:-1]}`")
    for key, value in spec.items():
        wanted = allowed[key](value)
        if wanted is not None:
            raise ValidationError(f"`{key}` of a {kind} check must be {wanted}", cause=repr(value)[:80])
    _refuse_contradictions(kind, spec)


def _refuse_contradictions(kind: str, spec: Mapping[str, Any]) -> None:
    if kind == "process" and not ("exe" in spec or "name" in spec):
        raise ValidationError("a process check needs `exe` or `name`")
    if kind == "process" and "current" in spec and "exe" not in spec:
        raise ValidationError("`current` of a process check needs `exe`")
    if kind == "log" and ("path" in spec) is ("unit" in spec):
        raise ValidationError("a log check needs `path` or `unit`, and not both")
    absent = {"file": "exists", "package": "installed", "process": "running", "metric": "present"}.get(kind)
    more = {
        "file": ("mode", "owner", "contains", "type"),
        "package": ("version",),
        "process": ("current",),
        "metric": ("min", "max", "equals"),
    }.get(kind, ())
    if absent and spec.get(absent) is False and any(key in spec for key in more):
        raise ValidationError(f"a {kind} check cannot say `{absent}: false` and {', '.join(more)}")


def is_negative(spec: Mapping[str, Any]) -> bool:
    """Say whether a check states an absence: it must hold twice, as things may only be slow to appear."""
    return any(spec.get(key) is False for key in _NEGATIONS)


def describe(kind: str, spec: Mapping[str, Any]) -> str:
    """Write what a check expects as one sentence; one that is not valid is shown as it is."""
    try:
        validate_spec(kind, spec)
    except ValidationError:
        return f"{kind} {json.dumps(dict(spec), default=repr, skipkeys=True)}"
    subject, details = _SENTENCES[kind](spec)
    return " ".join([subject, ", ".join(details)]) if details else subject


def _whether(spec: Mapping[str, Any], key: str, positive: str, negative: str) -> str:
    return negative if spec.get(key) is False else positive


def _given(spec: Mapping[str, Any], **templates: str) -> list[str]:
    return [text.format(spec[key]) for key, text in templates.items() if key in spec]


def _file(spec: Mapping[str, Any]) -> tuple[str, list[str]]:
    known = {"type": "is a {}", "mode": "mode {}", "owner": "owner {}", "contains": "contains `{}`"}
    details = _given(spec, **known)
    return str(spec.get("path")), [_whether(spec, "exists", "exists", "does not exist"), *details]


def _package(spec: Mapping[str, Any]) -> tuple[str, list[str]]:
    state = _whether(spec, "installed", "is installed", "is not installed")
    return f"package {spec.get('name')}", [state, *_given(spec, version="version {}")]


def _unit(spec: Mapping[str, Any]) -> tuple[str, list[str]]:
    states = [_whether(spec, key, key, f"not {key}") for key in ("active", "enabled") if key in spec]
    return f"unit {spec.get('name')}", ["is " + " and ".join(states or ["active"])]


def _process(spec: Mapping[str, Any]) -> tuple[str, list[str]]:
    known = {"exe": "{}", "name": "named {}", "user": "of user {}"}
    subject = "process " + " ".join(_given(spec, **known))
    details = [_whether(spec, "running", "is running", "is not running")]
    if "current" in spec:
        details.append(_whether(spec, "current", "as the file on disk", "older than the file on disk"))
    return subject, details


def _port(spec: Mapping[str, Any]) -> tuple[str, list[str]]:
    details = [_whether(spec, "open", "is open", "is closed")]
    known = {"address": "on {}", "process": "held by {}"}
    return f"port {spec.get('protocol')}/{spec.get('port')}", details + _given(spec, **known)


def _http(spec: Mapping[str, Any]) -> tuple[str, list[str]]:
    details = [f"answers {spec.get('status', 200)}", *_given(spec, contains="contains `{}`")]
    details += [f"{name}: {value}" for name, value in dict(spec.get("header", {})).items()]
    values = dict(spec.get("json", {})).items()
    details += [f"{key} = {json.dumps(value, sort_keys=True)}" for key, value in values]
    return f"GET {spec.get('url')}", details


def _metric(spec: Mapping[str, Any]) -> tuple[str, list[str]]:
    labels = ", ".join(f'{key}="{value}"' for key, value in dict(spec.get("labels", {})).items())
    known = {"equals": "= {}", "min": ">= {}", "max": "<= {}"}
    details = _given(spec, **known) or [_whether(spec, "present", "is present", "is absent")]
    return f"metric {spec.get('name')}" + (f"{{{labels}}}" if labels else ""), details


def _tcp(spec: Mapping[str, Any]) -> tuple[str, list[str]]:
    wanted = [json.dumps(step["expect"]) for step in spec.get("exchange", ()) if "expect" in step]
    return f"tcp/{spec.get('port')}", ["answers " + ", then ".join(wanted), *_given(spec, address="on {}")]


def _log(spec: Mapping[str, Any]) -> tuple[str, list[str]]:
    subject = f"log {spec['path']}" if "path" in spec else f"journal of {spec.get('unit')}"
    return subject, [f"{_whether(spec, 'present', 'has a', 'has no')} line with `{spec.get('contains')}`"]


def _snmp(spec: Mapping[str, Any]) -> tuple[str, list[str]]:
    known = {"equals": "is `{}`", "contains": "contains `{}`"}
    details = _given(spec, **known) or ["has a value"]
    return f"SNMP object {spec.get('oid')} of udp/{spec.get('port', 161)}", details + _given(spec, address="on {}")


def _command(spec: Mapping[str, Any]) -> tuple[str, list[str]]:
    argv = " ".join(map(str, spec.get("argv", ())))
    return f"`{argv}`", [f"exits with {spec.get('exit_code', 0)}", *_given(spec, stdout_contains="prints `{}`")]


_SENTENCES: dict[str, Callable[[Mapping[str, Any]], tuple[str, list[str]]]] = {
    "file": _file,
    "package": _package,
    "unit": _unit,
    "process": _process,
    "port": _port,
    "http": _http,
    "metric": _metric,
    "tcp": _tcp,
    "log": _log,
    "snmp": _snmp,
    "command": _command,
}
