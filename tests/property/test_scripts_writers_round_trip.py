"""Whatever the value, a writer either refuses it or its real readers get back exactly that."""

from __future__ import annotations

import contextlib
import json
import shlex
import string
import subprocess
import tomllib
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_agent.model.errors import ValidationError
from workflow_agent.scripts.writers import write_config

HOSTILE = st.sampled_from(
    [
        "$(id)", "`id`", "${IFS}", "'", '"', "\\", "\\\\", "%", "%%", "%n", "$", "$$", ";", "#", " #", "\n", "\0", "\t",
        "yes", "No", "null", "~", "012", "1e3", "0x1f", "1:30", "2020-01-01", "<<", "=", "&a", "*a", "!!python/x", "- ",
        ": ", "{", "[", "]", "@", "|", ">", "\u2028", "\x85", "\ufeff", "\U0001f4a9", "é", "-", "--", "...", "---",
    ]
)  # fmt: skip
TEXTS = st.one_of(
    st.lists(st.one_of(HOSTILE, st.text(max_size=4)), max_size=5).map("".join),
    st.text(st.characters(codec="utf-8"), max_size=30),
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), TEXTS
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=12,
)
NAMES = st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True)


def typed(value: Any) -> Any:
    """Make types part of equality."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    return (type(value).__name__, repr(value))


@given(TREES)
def test_json_round_trips(value: Any) -> None:
    assert typed(json.loads(write_config("json", value))) == typed(value)


@given(TREES)
@settings(deadline=None)
def test_yaml_round_trips(value: Any) -> None:
    assert typed(yaml.safe_load(write_config("yaml", value))) == typed(value)


@given(st.dictionaries(TEXTS, TREES, max_size=3))
def test_toml_round_trips_or_has_null(value: dict[str, Any]) -> None:
    try:
        text = write_config("toml", value)
    except ValidationError:
        assert "null" in json.dumps(value)
        return
    assert typed(tomllib.loads(text)) == typed(value)


@given(st.dictionaries(NAMES, TEXTS, min_size=1, max_size=4))
@settings(deadline=None, max_examples=60)
def test_sh_and_systemd_read_env_files_alike(values: dict[str, str]) -> None:
    kept = {}
    for name, value in values.items():
        with contextlib.suppress(ValidationError):
            write_config("env", {name: value})
            kept[f"V_{name}"] = value

    text = write_config("env", kept)

    show = "".join(f"printf '%s\\0' \"${name}\";" for name in kept)
    done = subprocess.run(["sh", "-c", f"{text}{show}"], capture_output=True, check=True, env={})
    assert done.stdout.decode().split("\0")[:-1] == list(kept.values())
    assert systemd_env(text) == kept


def systemd_env(text: str) -> dict[str, str]:
    """Read an EnvironmentFile the way systemd does, for lines NAME="value" (its state machine, reduced)."""
    result: dict[str, str] = {}
    for line in text.split("\n")[:-1]:
        name, _, rest = line.partition("=")
        value, index = "", 1
        while rest[index] != '"':
            if rest[index] == "\\":
                index += 1
                value += rest[index] if rest[index] in '"\\`$' else "\\" + rest[index]
            else:
                value += rest[index]
            index += 1
        assert rest[0] == '"'
        assert index == len(rest) - 1
        result[name] = value
    return result


@given(st.lists(TEXTS, min_size=1, max_size=4))
@settings(deadline=None, max_examples=60)
def test_words_of_an_env_list_are_what_sh_passes_on(words: list[str]) -> None:
    try:
        text = write_config("env", {"ARGS": words})
    except ValidationError:
        return

    done = subprocess.run(["sh", "-c", f"{text}printf '%s\\0' $ARGS"], capture_output=True, check=True, env={})
    assert done.stdout.decode().split("\0")[:-1] == words


@given(st.lists(TEXTS, max_size=4))
def test_systemd_commands_round_trip_or_are_refused(words: list[str]) -> None:
    try:
        text = write_config("systemd", {"Service": {"ExecStart": ["/bin/x", *words]}})
    except ValidationError:
        return

    lines = text.split("\n")
    assert lines[0] == "[Service]"
    assert lines[2:] == [""]
    assert systemd_words(lines[1].removeprefix("ExecStart=")) == ["/bin/x", *words]


def systemd_words(line: str) -> list[str]:
    """Split a command line by the rules of systemd.syntax(7) and undo specifiers and variables."""
    words, index = [], 0
    while index < len(line):
        word, quoted = "", line[index] == '"'
        index += quoted
        while index < len(line) and line[index] != ('"' if quoted else " "):
            assert quoted or line[index] not in "'\"\\"
            if line[index] == "\\":
                index += 1
                word += {"t": "\t"}.get(line[index], line[index])
            else:
                word += line[index]
            index += 1
        index += 2 if quoted else 1
        for sign in "%$":
            assert word.replace(sign * 2, "").count(sign) == 0
            word = word.replace(sign * 2, sign)
        words.append(word)
    return words


@given(TEXTS)
def test_systemd_settings_stay_one_line(value: str) -> None:
    with contextlib.suppress(ValidationError):
        text = write_config("systemd", {"Service": {"Slice": value}})
        assert text.count("\n") == 2
        assert text.split("\n")[1].replace("%%", "%") == f"Slice={value}"


@given(st.lists(TEXTS, max_size=3))
@settings(deadline=None, max_examples=60)
def test_cron_commands_reach_sh_as_they_were_meant(words: list[str]) -> None:
    try:
        text = write_config(
            "cron", {"jobs": [{"schedule": "@daily", "user": "root", "command": ["/usr/bin/printf", "%s\\0", *words]}]}
        )
    except ValidationError:
        return

    assert text.count("\n") == 1
    command = cron_command(text.removeprefix("@daily root ").removesuffix("\n"))
    assert shlex.split(command) == ["/usr/bin/printf", "%s\\0", *words]


def cron_command(text: str) -> str:
    """Undo what cron does to a command: `\\%` is `%`; an unescaped `%` would end it."""
    result, escaped = "", False
    for char in text:
        if escaped:
            result += char if char == "%" else "\\" + char
            escaped = False
        elif char == "\\":
            escaped = True
        else:
            assert char != "%"
            result += char
    return result + ("\\" if escaped else "")


INI_NAMES = st.text(string.ascii_letters + string.digits + "_.-", min_size=1, max_size=8)


@given(st.dictionaries(INI_NAMES, st.dictionaries(INI_NAMES, TEXTS, max_size=3), max_size=3))
def test_ini_values_are_what_a_plain_reader_sees(values: dict[str, dict[str, str]]) -> None:
    with contextlib.suppress(ValidationError):
        text = write_config("ini", values)
        section = ""
        seen: dict[str, dict[str, str]] = {name: {} for name in values}
        for line in filter(None, text.split("\n")):
            if line.startswith("["):
                section = line[1:-1]
            else:
                key, _, value = line.partition("=")
                seen[section][key.strip()] = value.strip()
        assert seen == values


@given(st.sampled_from(["json", "yaml", "toml", "ini", "env", "systemd", "cron", "text"]), TREES)
@settings(deadline=None)
def test_any_value_is_written_or_refused_and_never_breaks(kind: str, value: Any) -> None:
    with contextlib.suppress(ValidationError):
        assert isinstance(write_config(kind, value), str)


@given(st.dictionaries(st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True), st.lists(TEXTS, min_size=1, max_size=3)))
def test_redis_reads_the_words_that_were_meant(values: dict[str, list[str]]) -> None:
    kept = {name: words for name, words in values.items() if written("redis", {name: words})}

    lines = write_config("redis", kept).split("\n")[:-1]

    assert {words[0]: words[1:] for words in map(redis_words, lines)} == kept


def redis_words(line: str) -> list[str]:
    """Split a line the way sdssplitargs of redis does, for words that are bare or in double quotes."""
    words, index = [], 0
    while index < len(line):
        word, quoted = "", line[index] == '"'
        index += quoted
        while index < len(line) and line[index] != ('"' if quoted else " "):
            index += quoted and line[index] == "\\"
            word += line[index]
            index += 1
        index += quoted
        assert index >= len(line) or line[index] == " "
        index += 1
        words.append(word)
    return words


@given(st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True), TEXTS, max_size=4))
def test_postgresql_reads_the_texts_that_were_meant(values: dict[str, str]) -> None:
    kept = {name: text for name, text in values.items() if written("postgresql", {name: text})}

    lines = write_config("postgresql", kept).split("\n")[:-1]

    assert dict(map(postgresql_setting, lines)) == kept


def postgresql_setting(line: str) -> tuple[str, str]:
    """Read a setting the way guc-file.l does: both `''` and a backslash with any character stand for the second."""
    name, _, quoted = line.partition(" = ")
    assert quoted[0] == quoted[-1] == "'"
    text, index = "", 1
    while index < len(quoted) - 1:
        index += quoted[index] in "'\\"
        assert index < len(quoted) - 1
        text += quoted[index]
        index += 1
    return name, text


def written(kind: str, values: dict[str, Any]) -> bool:
    """Say whether a writer takes the values."""
    try:
        write_config(kind, values)
    except ValidationError:
        return False
    return True
