"""The values that a process has."""

from __future__ import annotations

import pytest

from workflow_agent.model.errors import ParameterError
from workflow_agent.security.delivery import secret_path
from workflow_agent.security.marks import mark
from workflow_agent.security.secret import Secret
from workflow_agent.security.vault import Vault

VALUE = "c4nary-value"


@pytest.fixture
def vault() -> Vault:
    vault = Vault()
    vault.hold("r-1", {"password": Secret(VALUE)})
    return vault


def test_a_run_has_its_own_secrets_until_it_ends(vault: Vault) -> None:
    assert vault.names("r-1") == {"password"}
    assert vault.reveal("r-1", "password") == VALUE
    vault.drop("r-1")

    assert vault.names("r-1") == frozenset()
    assert vault.masker("r-1") is None


@pytest.mark.parametrize("run", ["r-2", None])
def test_another_run_has_none_of_them(vault: Vault, run: str | None) -> None:
    assert vault.names(run) == frozenset()
    assert vault.masker(run) is None
    with pytest.raises(ParameterError):
        vault.reveal(run, "password")


def test_marks_are_filled(vault: Vault) -> None:
    assert vault.filled("r-1", {"a": [f"x{mark('password')}"]}) == {"a": [f"x{VALUE}"]}
    assert vault.filled("r-1", ["no mark"]) == ["no mark"]


def test_what_is_missing_is_named_with_how_to_give_it(vault: Vault) -> None:
    with pytest.raises(ParameterError, match="`api_key`, `token`") as refused:
        vault.filled("r-1", mark("password") + mark("token") + mark("api_key"))

    assert "--secret api_key=env:NAME" in str(refused.value.hint)
    assert refused.value.details == {"secrets": ["api_key", "token"]}


def test_a_masker_is_made_once(vault: Vault) -> None:
    masker = vault.masker("r-1")

    assert masker is not None
    assert masker.mask(f"a {VALUE}") == "a ***"
    assert vault.masker("r-1") is masker


def test_holding_nothing_is_holding_nothing(vault: Vault) -> None:
    vault.hold("r-3", {})

    assert vault.masker("r-3") is None


def test_a_script_finds_a_secret_at_a_fixed_place() -> None:
    assert secret_path("password") == "/run/workflow-agent/secrets/password"
