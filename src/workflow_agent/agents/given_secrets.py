"""Secrets that a declared step names: ``{"$secret": "token"}`` stands for the value, ``before`` is put in front of it.

The journal has the name. The value is put in its place here, at the last moment, and leaves in no reply.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.security.marks import SECRET

if TYPE_CHECKING:
    from workflow_agent.security.vault import Vault

__all__ = ["filled", "filled_texts", "names_secret", "secret_names"]

_BEFORE: Final = "before"


def names_secret(value: Any) -> bool:  # Any: a JSON value
    """Say whether a secret is named anywhere in a value."""
    if isinstance(value, Mapping):
        return _is_secret(value) or any(map(names_secret, value.values()))
    return isinstance(value, list | tuple) and any(map(names_secret, value))


def secret_names(value: Any) -> frozenset[str]:  # Any: a JSON value
    """Give the names of all secrets that a value names."""
    if isinstance(value, Mapping):
        if _is_secret(value):
            return frozenset({str(value[SECRET])})
        return frozenset().union(*map(secret_names, value.values()))
    return frozenset().union(*map(secret_names, value)) if isinstance(value, list | tuple) else frozenset()


def filled(value: Any, vault: Vault, run_id: str | None) -> Any:  # Any: a JSON value
    """Put the values of secrets where they are named; raises ParameterError when the run was not given one."""
    if isinstance(value, Mapping):
        if _is_secret(value):
            return str(value.get(_BEFORE, "")) + vault.reveal(run_id, str(value[SECRET]))
        return {key: filled(item, vault, run_id) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [filled(item, vault, run_id) for item in value]
    return value


def filled_texts(values: Mapping[str, Any], vault: Vault, run_id: str | None) -> dict[str, str]:  # Any: JSON values
    """Give a mapping of texts, secrets filled in; null is an empty text, what is no text is written as JSON.

    Raises:
        ParameterError: the run was not given a secret.
    """
    return {name: _text(value) for name, value in filled(values, vault, run_id).items()}


def _text(value: Any) -> str:  # Any: a JSON value
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _is_secret(value: Mapping[str, Any]) -> bool:
    return SECRET in value and set(value) <= {SECRET, _BEFORE}
