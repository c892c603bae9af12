"""The text of files that hold secrets, written at the last moment."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from workflow_agent.model.errors import ValidationError

if TYPE_CHECKING:
    from workflow_agent.model.system import FileWrite, Script
    from workflow_agent.security.vault import Vault

__all__ = ["filled_script"]

_OTHERS = 0o077


def filled_script(script: Script, vault: Vault, run_id: str) -> Script:
    """Give the script with the values of secrets in its files.

    Raises:
        ParameterError: a secret is missing; it says which, and how to give it.
        ValidationError: a value cannot be written in a file's format, or others could read the file.
    """
    if all(file.values is None for file in script.files):
        return script
    return replace(script, files=tuple(_filled(file, vault, run_id) for file in script.files))


def _filled(file: FileWrite, vault: Vault, run_id: str) -> FileWrite:
    if file.values is None:
        return file
    if int(file.mode, 8) & _OTHERS:
        raise ValidationError(
            f"others could read `{file.path}`, which holds a secret",
            cause=f"its mode is {file.mode}",
            hint="leave `mode` out, or say 0600 or 0400",
        )
    from workflow_agent.scripts import write_config  # noqa: PLC0415  # late: only files with secrets need it

    return replace(file, content=write_config(file.format, vault.filled(run_id, file.values)), values=None)
