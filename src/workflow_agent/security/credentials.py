"""Named sets of variables that steps see in their environment: plain texts, and secrets by where they come from.

Settings have the sets; a step names them. Values of secrets are read when a run begins, or is taken up, and are in
memory only.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.model.errors import NotFoundError, ParameterError, ValidationError
from workflow_agent.model.named_table import check_named_table
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.records import dataclass
from workflow_agent.security.sources import SecretSource, SecretSourceKind, read_secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from workflow_agent.security.secret import Secret

__all__ = ["CredentialSet", "credential_set", "described", "named_sets", "read_set", "source_variables"]

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_KEYS: Final = ("description", "variables")
#: Ends of names whose value is a secret in every case; as text it would stand in `config show` and in outputs.
_TELLING: Final = ("TOKEN", "PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "API_KEY", "PRIVATE_KEY", "SECRET_KEY")


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialSet:
    """One set: its variables are texts, or sources of secrets."""

    name: str
    description: str
    variables: Mapping[str, str | SecretSource]


def credential_set(name: str, table: Any) -> CredentialSet:  # Any: as settings have it
    """Read a set as it stands in settings.

    Raises:
        ValueError: it is none; the sentence says why, and never repeats a value.
    """
    check_named_table(name, table, _KEYS)
    description, variables = table.get("description", ""), table.get("variables")
    if not isinstance(description, str):
        raise ValueError("has a `description` that is no text")  # noqa: TRY004  # as above
    if not isinstance(variables, dict) or not variables:
        raise ValueError("needs a table `variables` with at least one variable")
    read = {variable: _declared(variable, value) for variable, value in variables.items()}
    return CredentialSet(name=name, description=description, variables=read)


def _declared(variable: str, value: Any) -> str | SecretSource:  # Any: as settings have it
    if not _VARIABLE.fullmatch(variable):
        raise ValueError(f"has `{variable[:64]}`, which is no name of an environment variable")
    if isinstance(value, str):
        if variable.upper().endswith(_TELLING):
            raise ValueError(
                f'has a text for `{variable}`, which is a secret by its name: write `{{ file = "PATH" }}` or'
                ' `{ env = "NAME" }`'
            )
        if "\0" in value:
            raise ValueError(f"has a NUL character in `{variable}`")
        return value
    sources = {"env": SecretSourceKind.ENVIRONMENT, "file": SecretSourceKind.FILE}
    if not isinstance(value, dict) or len(value) != 1 or not set(value) <= set(sources):
        raise ValueError(
            f'has `{variable}`, which is neither a text nor `{{ env = "NAME" }}` nor `{{ file = "PATH" }}`'
        )
    ((kind, place),) = value.items()
    if not isinstance(place, str) or not place or "\0" in place:
        raise ValueError(f"has `{variable}`, whose `{kind}` is no text")
    if kind == "env" and not _VARIABLE.fullmatch(place):
        raise ValueError(f"has `{variable}`, whose `env` is no name of an environment variable")
    if kind == "file":
        place = str(Path(place).expanduser())
        if not Path(place).is_absolute():
            raise ValueError(f"has `{variable}`, whose `file` is no absolute path")
    return SecretSource(name=variable, kind=sources[kind], place=place)


def described(each: CredentialSet, environ: Mapping[str, str]) -> dict[str, Any]:
    """Give what may be listed of a set: name, description, variables (name, source, whether that is available)."""
    items = [
        {"name": name, "source": _source(value), "available": _is_there(value, environ)}
        for name, value in each.variables.items()
    ]
    return {"name": each.name, "description": each.description, "variables": items}


def _source(value: str | SecretSource) -> str:
    return "text" if isinstance(value, str) else f"{value.kind}:{value.place}"


def _is_there(value: str | SecretSource, environ: Mapping[str, str]) -> bool:
    if isinstance(value, str):
        return True
    if value.kind is SecretSourceKind.ENVIRONMENT:
        return value.place in environ
    return os.access(value.place, os.R_OK) and Path(value.place).is_file()


def named_sets(
    names: Iterable[Any],  # Any: JSON values
    known: Mapping[str, CredentialSet],
    where: str,
) -> list[CredentialSet]:
    """Find the sets that a step names.

    Raises:
        NotFoundError: there is no such set.
        ValidationError: two of them have the same variable, or what is named is no name.
    """
    found: list[CredentialSet] = []
    homes: dict[str, str] = {}
    for name in dict.fromkeys(str(name) for name in names):
        if name not in known:
            hint = did_you_mean(name, known) or "`workflow-agent secrets list` lists them; settings declare them"
            raise NotFoundError(f"there is no set of credentials `{name[:64]}`", where=where, hint=hint)
        for variable in known[name].variables:
            if variable in homes:
                raise ValidationError(
                    f"the credentials `{homes[variable]}` and `{name}` both have the variable `{variable}`", where=where
                )
            homes[variable] = name
        found.append(known[name])
    return found


def source_variables(sets: Iterable[CredentialSet]) -> frozenset[str]:
    """Give the environment variables from which secrets of sets come."""
    sources = [value for each in sets for value in each.variables.values() if not isinstance(value, str)]
    return frozenset(source.place for source in sources if source.kind is SecretSourceKind.ENVIRONMENT)


def read_set(each: CredentialSet, environ: Mapping[str, str]) -> dict[str, str | Secret]:
    """Read the values of a set.

    Raises:
        ParameterError: a source cannot be read, or its value is none that a secret can have; set and variable are
            named, no value is.
    """
    values: dict[str, str | Secret] = {}
    for name, value in each.variables.items():
        if isinstance(value, str):
            values[name] = value
            continue
        where = f"credentials.{each.name} › {name}"
        try:
            values[name] = read_secret(value, environ=environ, where=where)
        except ParameterError as error:
            error.hint = error.hint or f"the settings say that it comes from {_source(value)}"
            raise
    return values
