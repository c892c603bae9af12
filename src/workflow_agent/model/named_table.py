"""Entries of settings that have names, as ``[runners.NAME]``: the same rules for the name and the keys of each kind."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.model.nearest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["check_named_table"]

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")


def check_named_table(name: str, table: Any, keys: Sequence[str]) -> None:  # Any: as settings have it
    """Check that an entry is a table with a name of the right form, and that its keys are known.

    Raises:
        ValueError: it is not; the text ends a sentence about the setting, and never repeats a value.
    """
    if not _NAME.fullmatch(name):
        raise ValueError("needs a name in lower case: letters, digits, `-` and `_`, a letter first")
    if not isinstance(table, dict):
        known = ", ".join(f"`{key}`" for key in keys)
        raise ValueError(f"must be a table with {known}")  # noqa: TRY004  # ends a sentence of the settings
    for key in table:
        if key not in keys:
            raise ValueError(f"has no key `{key[:64]}`; {did_you_mean(key, keys)}")
