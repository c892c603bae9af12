"""Where values come from, and what is said when they cannot."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.errors import ParameterError
from workflow_agent.security.secret import MAX_BYTES
from workflow_agent.security.sources import SecretSource, SecretSourceKind, parse_sources, read_secrets

if TYPE_CHECKING:
    from pathlib import Path

VALUE = "c4nary-value"


def read(typed: str, stdin: bytes = b"", **environ: str) -> str:
    return read_secrets(parse_sources([typed]), environ=environ, stdin=io.BytesIO(stdin))["password"].reveal()


def test_sources_are_read_as_they_are_typed() -> None:
    assert parse_sources(["a=env:A_B", "b=file:/run/x:y=z", "c=-"]) == [
        SecretSource(name="a", kind=SecretSourceKind.ENVIRONMENT, place="A_B"),
        SecretSource(name="b", kind=SecretSourceKind.FILE, place="/run/x:y=z"),
        SecretSource(name="c", kind=SecretSourceKind.STDIN),
    ]


@pytest.mark.parametrize(
    "typed",
    [VALUE, f"password={VALUE}", "password=", "password=env:", "password=env:a b", "password=file:", "P=-", "=-"],
)
def test_anything_else_is_refused_and_not_repeated(typed: str) -> None:
    with pytest.raises(ParameterError) as refused:
        parse_sources([typed])

    assert VALUE not in str(refused.value.to_dict())
    assert "env:NAME" in str(refused.value.hint)


def test_a_value_on_the_command_line_is_told_to_be_seen_by_others() -> None:
    with pytest.raises(ParameterError) as refused:
        parse_sources([f"password={VALUE}"])

    assert "process list" in str(refused.value.cause)


def test_a_name_comes_once() -> None:
    with pytest.raises(ParameterError, match="twice"):
        parse_sources(["a=env:A", "a=env:B"])


def test_one_secret_can_come_from_standard_input() -> None:
    with pytest.raises(ParameterError, match="a and b"):
        parse_sources(["a=-", "x=env:X", "b=-"])


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_one_line_end_belongs_to_the_file(tmp_path: Path, end: bytes) -> None:
    (tmp_path / "x").write_bytes(VALUE.encode() + end)

    assert read(f"password=file:{tmp_path}/x") == VALUE
    assert read("password=-", stdin=VALUE.encode() + end) == VALUE


def test_a_second_line_end_belongs_to_the_value() -> None:
    assert read("password=-", stdin=f"{VALUE}\n\n".encode()) == f"{VALUE}\n"


def test_the_environment_gives_a_value_as_it_is() -> None:
    assert read("password=env:PW", PW=f" {VALUE}\n") == f" {VALUE}\n"


def test_a_variable_that_is_not_there_is_named() -> None:
    with pytest.raises(ParameterError, match="no environment variable `PW`"):
        read("password=env:PW")


def test_a_file_that_cannot_be_read_is_an_error_of_the_caller(tmp_path: Path) -> None:
    for path, cause in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ParameterError, match="`password` cannot be read") as refused:
            read(f"password=file:{path}")
        assert cause in str(refused.value.cause)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"x" * (MAX_BYTES + 3), "longer than 16 KiB"),
        (b"x" * (MAX_BYTES + 2), "longer than 16 KiB"),
        (VALUE.encode() + b"\xff", "not UTF-8"),
        (b"short\n", "fewer than 8"),
        (b"", "fewer than 8"),
    ],
)
def test_a_value_that_is_none_is_refused_and_not_repeated(data: bytes, reason: str) -> None:
    with pytest.raises(ParameterError, match=reason) as refused:
        read("password=-", stdin=data)

    assert VALUE not in str(refused.value.to_dict())
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None or refused.value.__suppress_context__
