"""A script as it is typed: the path of a file, or ``-`` for stdin; read once, limited in size."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_agent.model.errors import NotFoundError, PermissionDeniedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["STDIN", "read_script"]

STDIN = "-"
_NOTHING = "nothing was begun"


def read_script(typed: str, arguments: Sequence[str]) -> tuple[str, str]:
    """Read a script; gives its name and its text.

    From a pipe it leaves the terminal in the place of stdin, so that a person can still be asked.

    Raises:
        NotFoundError: there is no such file.
        PermissionDeniedError: it may not be read.
        UsageError: it is a folder, or cannot be read.
        ValidationError: it is no script that could be run as it stands.
    """
    from workflow_agent.scripts.plain import plain_script, script_text  # noqa: PLC0415  # late

    if typed == STDIN:
        name, data = "stdin", _read(sys.stdin.fileno())
        _take_terminal()
    else:
        name, data = Path(typed).name, _read_file(typed)
    text = script_text(data, name)
    plain_script(text, name=name, arguments=arguments)  # what cannot be run is refused before a run begins
    return name, text


def _read_file(typed: str) -> bytes:
    hint = None
    try:
        descriptor = os.open(typed, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return _read(descriptor)
        finally:
            os.close(descriptor)
    except FileNotFoundError as error:
        if "/" not in typed:
            hint = "an integration is installed with `workflow-agent install NAME`; `-` reads the script from stdin"
        raise NotFoundError(f"there is no file `{typed[:200]}`", state=_NOTHING, hint=hint) from error
    except IsADirectoryError as error:
        hint = f"name the script in it, or install it: `workflow-agent install {typed}`"
        raise UsageError(f"`{typed[:200]}` is a folder, and no script", state=_NOTHING, hint=hint) from error
    except PermissionError as error:
        raise PermissionDeniedError(f"`{typed[:200]}` may not be read", cause=str(error), state=_NOTHING) from error
    except (OSError, ValueError) as error:
        raise UsageError(f"`{typed[:200]}` cannot be read", cause=str(error), state=_NOTHING) from error


def _read(descriptor: int) -> bytes:
    """Read until the end, or one byte more than any script may have: a device may have no end."""
    from workflow_agent.scripts.validator import MAX_SCRIPT_BYTES  # noqa: PLC0415  # late

    found = bytearray()
    while len(found) <= MAX_SCRIPT_BYTES and (piece := os.read(descriptor, MAX_SCRIPT_BYTES + 1 - len(found))):
        found += piece
    return bytes(found)


def _take_terminal() -> None:
    """Put the terminal in the place of stdin, where there is one: the script came from there, the answer does not."""
    if sys.stdin.isatty() or not sys.stderr.isatty():
        return
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return  # nobody can be asked, as in any pipe
    os.dup2(terminal, sys.stdin.fileno())
    os.close(terminal)
