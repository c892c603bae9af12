"""Parameters as people give them become typed values, or every problem at once."""

from __future__ import annotations

from typing import Any

import pytest

from workflow_agent.integrations import Manifest, Parameter, bind_parameters, check_secret, parameter_hash
from workflow_agent.model.errors import ParameterError
from workflow_agent.security.marks import mark, reference

DATA: dict[str, Any] = {
    "schema": "workflow-agent/integration/1",
    "name": "example",
    "version": "1.0.0",
    "description": "An example.",
    "category": "test",
    "platforms": [{"family": "debian", "os": ["debian"]}],
    "parameters": {
        "port": {"type": "port", "default": 80, "description": "Port.", "example": 8080},
        "name": {"type": "string", "required": True, "description": "Name."},
        "note": {"type": "string", "description": "Note."},
        "token": {"type": "string", "secret": True, "description": "Token."},
    },
    "actions": {"install": {"template": "apt/install"}},
    "checks": [{"id": "package", "kind": "package", "name": "x"}],
}


@pytest.fixture
def manifest() -> Manifest:
    return Manifest.model_validate(DATA)


def test_defaults_fill_in_and_optional_values_are_null(manifest: Manifest) -> None:
    bound = bind_parameters(manifest, {"name": "web"})

    assert bound == {"port": 80, "name": "web", "note": None, "token": None}
    assert list(bound) == ["port", "name", "note", "token"]


def test_a_null_counts_as_not_given(manifest: Manifest) -> None:
    assert bind_parameters(manifest, {"name": "web", "port": None})["port"] == 80


def test_all_problems_come_at_once(manifest: Manifest) -> None:
    with pytest.raises(ParameterError) as caught:
        bind_parameters(manifest, {"prot": "1", "port": "high"})

    problems = caught.value.details["errors"]
    assert [problem["parameter"] for problem in problems] == ["prot", "port", "name"]
    assert "did you mean `port`" in problems[0]["hint"]
    assert problems[1]["message"] == "parameter `port` must be an integer, not 'high'"
    assert "for example `8080`" in problems[1]["hint"]
    assert problems[2]["message"] == "parameter `name` is required"
    assert "(and 2 more)" in caught.value.message


def test_what_was_given_stands_behind_what_is_wrong_with_it(manifest: Manifest) -> None:
    with pytest.raises(ParameterError) as caught:
        bind_parameters(manifest, {"name": "web", "note": "a\nb", "port": "99999"})

    said = {problem["parameter"]: problem["message"] for problem in caught.value.details["errors"]}
    assert said["note"] == r"parameter `note` contains a line break: 'a\nb'"
    assert said["port"] == "parameter `port` must be a port from 1 to 65535, not '99999'"


def test_huge_values_are_not_repeated_in_the_error(manifest: Manifest) -> None:
    with pytest.raises(ParameterError) as caught:
        bind_parameters(manifest, {"name": "x" * 10_000_000, "n" * 1_000_000: "1"})

    assert len(str(caught.value.to_dict())) < 2000


@pytest.mark.parametrize("given", [[1, 2], {"a": 1}, 3.5])
def test_values_of_other_types_are_named_briefly(manifest: Manifest, given: object) -> None:
    with pytest.raises(ParameterError, match="parameter `port`"):
        bind_parameters(manifest, {"name": "web", "port": given})


def test_a_secret_is_bound_as_its_reference(manifest: Manifest) -> None:
    bound = bind_parameters(manifest, {"name": "web", "token": reference("token", "0" * 64)})

    assert bound["token"] == reference("token", "0" * 64)
    assert bound == bind_parameters(manifest, bound)


def test_the_hash_tells_another_value_of_a_secret(manifest: Manifest) -> None:
    one, other, none = (
        parameter_hash(bind_parameters(manifest, {"name": "web", **given}))
        for given in ({"token": reference("token", "0" * 64)}, {"token": reference("token", "1" * 64)}, {})
    )

    assert len({one, other, none}) == 3


@pytest.mark.parametrize(
    "value",
    [
        "hunter2-hunter2",
        "env:TOKEN",
        {"$secret": "hunter2-hunter2"},
        {"$secret": "token", "digest": "hunter2-hunter2"},
        reference("other", "0" * 64),
        7,
    ],
)
def test_the_value_of_a_secret_is_refused_and_never_shown(manifest: Manifest, value: object) -> None:
    with pytest.raises(ParameterError, match="`token` is a secret") as caught:
        bind_parameters(manifest, {"name": "web", "token": value})

    assert "hunter2" not in str(caught.value.to_dict())
    assert "--secret token=env:NAME" in str(caught.value.hint)


def test_the_value_of_a_secret_must_fit_its_declaration() -> None:
    declared = Parameter.model_validate({"type": "string", "secret": True, "description": "T.", "pattern": "[a-z]+"})

    check_secret(declared, "token", "hunter")
    with pytest.raises(ParameterError, match="`token` does not match the pattern") as caught:
        check_secret(declared, "token", "hunter2-hunter2")
    assert "hunter2" not in str(caught.value.to_dict())


def test_no_text_can_hold_what_stands_for_a_secret(manifest: Manifest) -> None:
    with pytest.raises(ParameterError, match="a character that is none"):
        bind_parameters(manifest, {"name": f"web{mark('token')}"})


def test_the_hash_follows_the_values_not_how_they_were_typed(manifest: Manifest) -> None:
    typed = bind_parameters(manifest, {"name": "web", "port": "80"})
    default = bind_parameters(manifest, {"name": "web"})
    other = bind_parameters(manifest, {"name": "web", "port": 81})

    assert parameter_hash(typed) == parameter_hash(default)
    assert parameter_hash(other) != parameter_hash(default)
