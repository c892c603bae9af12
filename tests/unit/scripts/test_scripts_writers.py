"""Typed writers: what is written, and what is refused because readers would differ."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.model.errors import InternalError, ValidationError
from workflow_agent.scripts.writers import (
    CONFIG_FORMATS,
    assignments,
    crontab,
    directives,
    registry,
    units,
    write_config,
)
from workflow_agent.scripts.writers.values import same

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("kind", "values", "text"),
    [
        (
            "json",
            {"b": [1, 1.5, None, "é"], "a": True},
            '{\n  "b": [\n    1,\n    1.5,\n    null,\n    "é"\n  ],\n  "a": true\n}\n',
        ),
        ("json", [], "[]\n"),
        (
            "yaml",
            {"a": ["x", "yes", "012", "1e3", "0o7", ""], "b": {"c": None}},
            'a:\n  - x\n  - "yes"\n  - "012"\n  - "1e3"\n  - "0o7"\n  - ""\nb:\n  c: null\n',
        ),
        ("yaml", "plain", "plain\n"),
        ("toml", {"a": 1, "t": {"x": ["y"]}}, 'a = 1\n\n[t]\nx = [\n    "y",\n]\n'),
        (
            "ini",
            {"s": {"a": "b c", "on": True}, "": {"top": 1, "empty": ""}},
            "top = 1\nempty =\n\n[s]\na = b c\non = true\n",
        ),
        ("ini", {}, ""),
        (
            "redis",
            {"bind": ["127.0.0.1", "::1"], "appendonly": True, "daemonize": False, "port": 1, "requirepass": None},
            "bind 127.0.0.1 ::1\nappendonly yes\ndaemonize no\nport 1\n",
        ),
        (
            "redis",
            {"requirepass": 'a "b\\ #é', "save": [], "dir": "/x y", "user": "'"},
            'requirepass "a \\"b\\\\ #é"\nsave ""\ndir "/x y"\nuser "\'"\n',
        ),
        (
            "postgresql",
            {"port": 1, "fsync": True, "ssl": False, "listen_addresses": ["::", "a.example"], "a.b": 1.5, "x": None},
            "port = '1'\nfsync = 'on'\nssl = 'off'\nlisten_addresses = '::, a.example'\na.b = '1.5'\n",
        ),
        (
            "postgresql",
            {"log_line_prefix": "it's 100 % \\", "listen_addresses": []},
            "log_line_prefix = 'it''s 100 % \\\\'\nlisten_addresses = ''\n",
        ),
        (
            "env",
            {"A": 'x "$HOME" `id` \\', "N": 5, "ARGS": ["--a=b", "--c=^/($|/)"]},
            'A="x \\"\\$HOME\\" \\`id\\` \\\\"\nN="5"\nARGS="--a=b --c=^/(\\$|/)"\n',
        ),
        ("env", {}, ""),
        (
            "systemd",
            {
                "Unit": {"Description": "100% mine", "After": ["a.service", "b.service"]},
                "Service": {
                    "ExecStart": [[], ["/usr/bin/x", "a b", "$HOME", "50%", 'q"\\', ";", {"variable": "ARGS"}, 9]],
                    "ExecReload": "/bin/kill -HUP 1",
                    "ExecStop": "",
                    "Environment": {"A": 'b "c" %', "D": "e"},
                    "CPUQuota": "20%",
                    "ProtectHome": True,
                },
            },
            (
                "[Unit]\nDescription=100%% mine\nAfter=a.service\nAfter=b.service\n\n"
                "[Service]\nExecStart=\n"
                'ExecStart=/usr/bin/x "a b" $$HOME 50%% "q\\"\\\\" ";" $ARGS 9\n'
                "ExecReload=/bin/kill -HUP 1\nExecStop=\n"
                'Environment="A=b \\"c\\" %%"\nEnvironment=D=e\nCPUQuota=20%\nProtectHome=true\n'
            ),
        ),
        (
            "cron",
            {
                "environment": {"MAILTO": "", "PATH": "/bin:/usr/bin"},
                "jobs": [
                    {"schedule": "*/5 0-6 1,15 jan mon", "user": "root", "command": ["/bin/date", "+%F %T"]},
                    {"schedule": "@daily", "user": "www-data", "command": "/usr/bin/true -v"},
                ],
            },
            (
                'MAILTO=""\nPATH="/bin:/usr/bin"\n'
                "*/5 0-6 1,15 jan mon root /bin/date '+\\%F \\%T'\n@daily www-data /usr/bin/true -v\n"
            ),
        ),
        ("text", "as {{ it }} is\n\t$(x)", "as {{ it }} is\n\t$(x)"),
    ],
)
def test_each_format_writes_its_own_form(kind: str, values: Any, text: str) -> None:
    assert write_config(kind, values) == text


def nested(depth: int) -> Any:
    """Give a list in a list in a list …."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("json", {"a": float("inf")}),
        ("json", {1: "a"}),
        ("json", {"a": b"x"}),
        ("json", {"a": "\ud800"}),
        ("json", {"\ud800": 1}),
        ("json", 2**64),
        ("json", nested(70)),
        ("json", "x" * (1024 * 1024 + 1)),
        ("json", ["x" * 600_000, "y" * 600_000]),
        ("toml", [1]),
        ("toml", {"a": None}),
        ("toml", {"a": [{"b": [None]}]}),
        ("redis", []),
        ("redis", {"Bind": 1}),
        ("redis", {"a b": 1}),
        ("redis", {"a": {}}),
        ("redis", {"a": [["x"]]}),
        ("redis", {"a": "x\ny"}),
        ("redis", {"a": [None]}),
        ("postgresql", "port"),
        ("postgresql", {"a-b": 1}),
        ("postgresql", {"a": {}}),
        ("postgresql", {"a": "x\ny"}),
        ("postgresql", {"a": ["x,y"]}),
        ("postgresql", {"a": ["x'y"]}),
        ("postgresql", {"a": [""]}),
        ("ini", {"a": 1}),
        ("ini", []),
        ("ini", {"s": {"a": [1]}}),
        ("ini", {"s": {"a": None}}),
        ("ini", {"s": {"a": "x\ny"}}),
        ("ini", {"s": {"a": " x"}}),
        ("ini", {"s": {"a": "x ; y"}}),
        ("ini", {"s": {"a": "x #y"}}),
        ("ini", {"s": {"a": ";x"}}),
        ("ini", {"s": {"a": '"x"'}}),
        ("ini", {"s": {"a": "x\\"}}),
        ("ini", {"s": {"a=b": "x"}}),
        ("ini", {"s": {"a:b": "x"}}),
        ("ini", {"s": {"a ": "x"}}),
        ("ini", {"s": {"[x": "x"}}),
        ("ini", {"s": {"a": 1, "A": 2}}),
        ("ini", {"s": {}, "S": {}}),
        ("ini", {"s]": {}}),
        ("ini", {"s ": {}}),
        ("ini", {"s\nx": {}}),
        ("env", ["A=1"]),
        ("env", {"A B": 1}),
        ("env", {"A": "x\ny"}),
        ("env", {"A": "x\0"}),
        ("env", {"A": {"b": 1}}),
        ("env", {"A": ["a b"]}),
        ("env", {"A": ["*"]}),
        ("env", {"A": [""]}),
        ("env", {"A": ["'"]}),
        ("env", {"A": [None]}),
        ("systemd", {"Service": 1}),
        ("systemd", {"se]": {}}),
        ("systemd", {"Service": {"exec start": 1}}),
        ("systemd", {"Service": {"User": "a\nExecStart=/bin/sh"}}),
        ("systemd", {"Service": {"User": "a\\"}}),
        ("systemd", {"Service": {"User": " a"}}),
        ("systemd", {"Service": {"User": []}}),
        ("systemd", {"Service": {"User": [["a"]]}}),
        ("systemd", {"Service": {"User": {"a": 1}}}),
        ("systemd", {"Service": {"ExecStart": "/bin/sh -c 'x'"}}),
        ("systemd", {"Service": {"ExecStart": "/bin/x $ARGS"}}),
        ("systemd", {"Service": {"ExecStart": "x"}}),
        ("systemd", {"Service": {"ExecStart": 1}}),
        ("systemd", {"Service": {"ExecStart": ["x"]}}),
        ("systemd", {"Service": {"ExecStart": ["-/bin/x"]}}),
        ("systemd", {"Service": {"ExecStart": ["/bin/my x"]}}),
        ("systemd", {"Service": {"ExecStart": [{"variable": "A"}]}}),
        ("systemd", {"Service": {"ExecStart": ["/bin/x", {"variable": "A B"}]}}),
        ("systemd", {"Service": {"ExecStart": ["/bin/x", {"v": "A"}]}}),
        ("systemd", {"Service": {"ExecStart": ["/bin/x", "a\nb"]}}),
        ("systemd", {"Service": {"ExecStart": [["/bin/x"], "a"]}}),
        ("systemd", {"Service": {"Environment": "A=b"}}),
        ("systemd", {"Service": {"Environment": {"A B": "b"}}}),
        ("systemd", {"Service": {"Environment": {"A": "b\nc"}}}),
        ("cron", []),
        ("cron", {"x": 1}),
        ("cron", {"jobs": {}}),
        ("cron", {"jobs": [1]}),
        ("cron", {"environment": {"A B": "x"}}),
        ("cron", {"environment": {"A": '"'}}),
        ("text", ["x"]),
        ("text", "x\0"),
        ("text", "x\x1b"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_safely_is_refused(kind: str, values: Any) -> None:
    with pytest.raises(ValidationError):
        write_config(kind, values)


@pytest.mark.parametrize(
    "change",
    [
        {"schedule": "* * * *"},
        {"schedule": "60 * * * *"},
        {"schedule": "5-1 * * * *"},
        {"schedule": "*/0 * * * *"},
        {"schedule": "5/2 * * * *"},
        {"schedule": "1-2-3 * * * *"},
        {"schedule": "x * * * *"},
        {"schedule": "* * * * *\n* * * * * root evil"},
        {"schedule": "@fortnightly"},
        {"user": "root x"},
        {"command": "/bin/echo $(x)"},
        {"command": "echo"},
        {"command": []},
        {"command": ["echo"]},
        {"command": ["/bin/echo", "\\%"]},
        {"command": ["/bin/echo", "a\nb"]},
        {"command": ["/bin/echo", "x" * 1000]},
    ],
)
def test_a_wrong_cron_job_is_refused_with_its_place(change: dict[str, Any]) -> None:
    job = {"schedule": "* * * * *", "user": "root", "command": ["/bin/true"]} | change

    with pytest.raises(ValidationError) as caught:
        write_config("cron", {"jobs": [job]})

    assert caught.value.where == "jobs[0]"


def test_an_unknown_format_suggests_the_nearest() -> None:
    assert "text" in CONFIG_FORMATS
    with pytest.raises(ValidationError) as near:
        write_config("yml", {})
    with pytest.raises(ValidationError) as far:
        write_config("q", {})

    assert near.value.hint == "did you mean `yaml`?"
    assert "systemd" in (far.value.hint or "")


def test_a_failed_self_check_stops_the_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    formats = dict(registry._FORMATS)
    formats["json"] = (formats["json"][0], lambda _text: {"a": 1.0}, formats["json"][2])
    monkeypatch.setattr(registry, "_FORMATS", formats)

    with pytest.raises(InternalError):
        write_config("json", {"a": 1})


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (assignments.read_env, "A=$(id)\n"),
        (assignments.read_ini, "no key\n"),
        (units.read, "Key=outside\n"),
        (units.read, "[Unit]\nnonsense\n"),
        (crontab.read, "@daily root\n"),
        (directives.read_redis, 'a "b" c"\n'),
        (directives.read_redis, "a 'b'\n"),
        (directives.read_postgresql, "a = 1\n"),
        (directives.read_postgresql, "a = 'it's'\n"),
    ],
)
def test_readers_of_the_self_check_are_strict(read: Any, text: str) -> None:
    with pytest.raises(InternalError):
        read(text)


def test_an_integer_is_not_a_truth_value_for_the_self_check() -> None:
    assert not same({"a": 1}, {"a": True})
    assert same({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert not same({"a": 1}, {"b": 1})
    assert not same([1], [1, 2])
    assert not same(-0.0, 0.0)


def test_a_unit_is_accepted_by_systemd_itself(tmp_path: Path) -> None:
    """systemd-analyze verify parses the unit with systemd's own code."""
    unit = tmp_path / "demo.service"
    unit.write_text(
        write_config(
            "systemd",
            {
                "Unit": {"Description": "100% $mine"},
                "Service": {
                    "ExecStart": ["/bin/echo", "a b", "$HOME", "50%", 'q"\\', ";", "\t", {"variable": "ARGS"}],
                    "Environment": {"A": 'b "c" % \\'},
                    "CPUQuota": "20%",
                },
            },
        )
    )
    try:
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("systemd-analyze is not installed")

    assert "demo.service" not in done.stderr, done.stderr
