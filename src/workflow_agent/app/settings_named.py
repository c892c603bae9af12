"""Sections of settings whose entries have names: ``[credentials.NAME]``, ``[llm_backends.NAME]``, ``[runners.…]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from workflow_agent.model.errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from workflow_agent.app.settings_sources import Sourced

__all__ = ["NAMED", "named_entries", "named_rows"]


def _credential_set(name: str, table: Any) -> Any:  # Any: as settings have it, and what it is
    from workflow_agent.security.credentials import credential_set  # noqa: PLC0415  # late: few settings have one

    return credential_set(name, table)


def _runner(name: str, table: Any) -> Any:  # Any: as above
    from workflow_agent.client.runners import runner_of_settings  # noqa: PLC0415  # late: as above

    return runner_of_settings(name, table)


def _backend(name: str, table: Any) -> Any:  # Any: as above
    from workflow_agent.agents.chat_backends import backend_of_settings  # noqa: PLC0415  # late: as above

    return backend_of_settings(name, table)


#: By the section's name: reads an entry from its name and its table; raises ValueError, whose text ends the sentence.
NAMED: Final[Mapping[str, Callable[[str, Any], Any]]] = {
    "credentials": _credential_set,
    "runners": _runner,
    "llm_backends": _backend,
}


def named_entries(values: Mapping[str, Sourced]) -> dict[str, dict[str, Any]]:
    """Read the entries of all such sections.

    Raises:
        ValidationError: one is not valid.
    """
    found: dict[str, dict[str, Any]] = {section: {} for section in NAMED}
    for section, name, sourced in _entries(values):
        try:
            found[section][name] = NAMED[section](name, sourced.value)
        except ValueError as error:
            raise ValidationError(f"the setting `{section}.{name[:64]}` {error}", where=sourced.where) from None
    return found


def named_rows(values: Mapping[str, Sourced]) -> list[dict[str, Any]]:
    """List the entries as other settings are listed: they have no environment variable."""
    return [
        {"name": f"{section}.{name}", "value": sourced.value, "origin": sourced.origin, "variable": None}
        for section, name, sourced in sorted(_entries(values), key=lambda entry: entry[:2])
    ]


def _entries(values: Mapping[str, Sourced]) -> list[tuple[str, str, Sourced]]:
    split = [(*full.partition("."), sourced) for full, sourced in values.items()]
    return [(section, name, sourced) for section, _, name, sourced in split if section in NAMED]
