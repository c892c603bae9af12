"""What a check may say, and how it is put into words."""

from __future__ import annotations

from typing import Any

import pytest

from workflow_agent.model.errors import ValidationError
from workflow_agent.targets.probe_spec import CHECK_KINDS, describe, is_negative, validate_spec

_GOOD: list[tuple[str, dict[str, Any], str]] = [
    ("file", {"path": "/a"}, "/a exists"),
    ("file", {"path": "/a", "exists": False}, "/a does not exist"),
    (
        "file",
        {"path": "/a", "mode": "0644", "owner": "root:root", "contains": "x", "type": "file"},
        "/a exists, is a file, mode 0644, owner root:root, contains `x`",
    ),
    ("package", {"name": "nginx", "version": "1.0"}, "package nginx is installed, version 1.0"),
    ("package", {"name": "nginx", "installed": False}, "package nginx is not installed"),
    ("unit", {"name": "nginx.service"}, "unit nginx.service is active"),
    ("unit", {"name": "getty@tty1", "active": True, "enabled": False}, "unit getty@tty1 is active and not enabled"),
    (
        "process",
        {"exe": "/bin/a", "user": "www", "current": True},
        "process /bin/a of user www is running, as the file on disk",
    ),
    ("process", {"name": "a", "running": False}, "process named a is not running"),
    ("process", {"exe": "/a", "current": False}, "process /a is running, older than the file on disk"),
    ("port", {"port": 80, "protocol": "tcp"}, "port tcp/80 is open"),
    (
        "port",
        {"port": 80, "protocol": "udp", "address": "::", "open": False, "process": "/a"},
        "port udp/80 is closed, on ::, held by /a",
    ),
    ("http", {"url": "http://h/"}, "GET http://h/ answers 200"),
    (
        "http",
        {"url": "http://h/", "status": 404, "contains": "x", "header": {"A": "b"}, "json": {"a.b": True}},
        "GET http://h/ answers 404, contains `x`, A: b, a.b = true",
    ),
    ("metric", {"url": "http://h/", "name": "up"}, "metric up is present"),
    ("metric", {"url": "http://h/", "name": "up", "present": False}, "metric up is absent"),
    (
        "metric",
        {"url": "http://h/", "name": "up", "labels": {"job": "a"}, "min": 1, "max": 2.5},
        'metric up{job="a"} >= 1, <= 2.5',
    ),
    ("log", {"path": "/var/log/a", "contains": "up"}, "log /var/log/a has a line with `up`"),
    ("log", {"unit": "a", "contains": "x", "present": False}, "journal of a has no line with `x`"),
    ("snmp", {"oid": "1.3.6.1.2.1.1.5.0"}, "SNMP object 1.3.6.1.2.1.1.5.0 of udp/161 has a value"),
    (
        "snmp",
        {"oid": ".1.3.6", "port": 1161, "address": "::1", "community": "c", "equals": "a", "contains": "b"},
        "SNMP object .1.3.6 of udp/1161 is `a`, contains `b`, on ::1",
    ),
    ("tcp", {"port": 6379, "exchange": [{"send": "PING\r\n", "expect": "+PONG"}]}, 'tcp/6379 answers "+PONG"'),
    (
        "tcp",
        {"port": 25, "address": "::1", "exchange": [{"expect": "220"}, {"send": "QUIT\n"}, {"expect": "221"}]},
        'tcp/25 answers "220", then "221", on ::1',
    ),
    ("command", {"argv": ["true"]}, "`true` exits with 0"),
    ("command", {"argv": ["true"], "live": True}, "`true` exits with 0"),
    ("command", {"argv": ["a", ""], "exit_code": 3, "stdout_contains": "x"}, "`a ` exits with 3, prints `x`"),
]


@pytest.mark.parametrize(("kind", "spec", "sentence"), _GOOD)
def test_a_valid_check_is_described(kind: str, spec: dict[str, Any], sentence: str) -> None:
    validate_spec(kind, spec)

    assert describe(kind, spec) == sentence


def test_every_kind_has_an_example() -> None:
    assert {kind for kind, _, _ in _GOOD} == set(CHECK_KINDS)


_BAD: list[tuple[str, dict[str, Any], str]] = [
    ("service", {}, "unknown kind"),
    ("file", {}, "needs the key `path`"),
    ("file", {"path": "/a", "exist": True}, "no key `exist`"),
    ("file", {"path": "a"}, "absolute path"),
    ("file", {"path": "/a\0b"}, "absolute path"),
    ("file", {"path": "/a", "mode": 420}, "octal"),
    ("file", {"path": "/a", "mode": "0o644"}, "octal"),
    ("file", {"path": "/a", "contains": ""}, "a text"),
    ("file", {"path": "/a", "type": "dir"}, "one of file"),
    ("file", {"path": "/a", "exists": False, "mode": "0644"}, "cannot say"),
    ("package", {"name": "a", "installed": False, "version": "1"}, "cannot say"),
    ("package", {"name": "a", "installed": "yes"}, "true or false"),
    ("unit", {"name": "a*"}, "a unit name"),
    ("unit", {"name": "--all"}, "a unit name"),
    ("process", {}, "`exe` or `name`"),
    ("process", {"name": "a", "current": True}, "needs `exe`"),
    ("process", {"exe": "/a", "running": False, "current": True}, "cannot say"),
    ("port", {"port": 80}, "needs the key `protocol`"),
    ("port", {"port": True, "protocol": "tcp"}, "whole number"),
    ("port", {"port": "80", "protocol": "tcp"}, "whole number"),
    ("port", {"port": 65536, "protocol": "tcp"}, "whole number"),
    ("port", {"port": 80, "protocol": "TCP"}, "one of tcp, udp"),
    ("port", {"port": 80, "protocol": "tcp", "address": "localhost"}, "an IP address"),
    ("port", {"port": 80, "protocol": "tcp", "address": 1}, "an IP address"),
    ("http", {"url": "http://h/", "header": {"a": 1}}, "mapping of texts"),
    ("http", {"url": "http://h/", "json": []}, "a mapping"),
    ("metric", {"url": "http://h/", "name": "up", "min": "1"}, "a number"),
    ("metric", {"url": "http://h/", "name": "up", "min": True}, "a number"),
    ("metric", {"url": "http://h/", "name": "up", "equals": float("nan")}, "a number"),
    ("metric", {"url": "http://h/", "name": "up", "present": False, "max": 1}, "cannot say"),
    ("log", {"path": "/a"}, "needs the key `contains`"),
    ("log", {"contains": "a"}, "`path` or `unit`"),
    ("log", {"path": "/a", "unit": "a", "contains": "a"}, "not both"),
    ("snmp", {}, "needs the key `oid`"),
    ("snmp", {"oid": "sysName.0"}, "object identifier"),
    ("snmp", {"oid": "1"}, "object identifier"),
    ("snmp", {"oid": "1.40"}, "object identifier"),
    ("snmp", {"oid": "3.1"}, "object identifier"),
    ("snmp", {"oid": "1.3..6"}, "object identifier"),
    ("snmp", {"oid": "1.3", "community": ""}, "a text"),
    ("snmp", {"oid": "1.3", "equals": 1}, "a text"),
    ("tcp", {"port": 1}, "needs the key `exchange`"),
    ("tcp", {"port": 1, "exchange": []}, "a list of steps"),
    ("tcp", {"port": 1, "exchange": [{"send": "x"}]}, "at least one with `expect`"),
    ("tcp", {"port": 1, "exchange": [{"expect": "x"}, {}]}, "a list of steps"),
    ("tcp", {"port": 1, "exchange": [{"expect": ""}]}, "a list of steps"),
    ("tcp", {"port": 1, "exchange": [{"expect": "x", "after": 1}]}, "a list of steps"),
    ("tcp", {"port": 1, "exchange": "+PONG"}, "a list of steps"),
    ("tcp", {"port": 1, "address": "redis", "exchange": [{"expect": "x"}]}, "an IP address"),
    ("command", {"argv": []}, "list of texts"),
    ("command", {"argv": "true"}, "list of texts"),
    ("command", {"argv": ["", "a"]}, "list of texts"),
    ("command", {"argv": ["a", 1]}, "list of texts"),
    ("command", {"argv": ["a"], "exit_code": 256}, "whole number"),
]


@pytest.mark.parametrize(("kind", "spec", "reason"), _BAD)
def test_what_cannot_be_checked_is_refused(kind: str, spec: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        validate_spec(kind, spec)


def test_what_is_not_valid_is_still_shown() -> None:
    assert describe("moon", {"phase": "full"}) == 'moon {"phase": "full"}'
    assert describe("http", {"url": "http://h/", "header": [1]}) == 'http {"url": "http://h/", "header": [1]}'
    assert describe("file", {"path": {1}}) == 'file {"path": "{1}"}'


@pytest.mark.parametrize(
    ("spec", "negative"),
    [({"open": False}, True), ({"running": False}, True), ({"open": True}, False), ({"port": 0}, False), ({}, False)],
)
def test_absences_are_known(spec: dict[str, Any], negative: bool) -> None:
    assert is_negative(spec) is negative
