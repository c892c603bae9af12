"""A defect of ours: the trace goes to a file, without the values that were typed; the person gets its path."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_agent._version import __version__
from workflow_agent.model.errors import InternalError
from workflow_agent.security.masker import Masker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workflow_agent.cli.invocation import Invocation

__all__ = ["crash_error", "redacted"]

_HIDDEN = "***"
_LEAST_HIDDEN = 4


def redacted(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Hide the values of parameters; gives the arguments as they may be shown, and the values that may not."""
    shown: list[str] = []
    values: list[str] = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        name, equals, value = argument.removeprefix("--param=").partition("=")
        if equals and (before == "--param" or argument.startswith("--param=")):
            values.append(value)
            shown.append(f"{'--param=' if argument.startswith('--param=') else ''}{name}={_HIDDEN}")
        else:
            shown.append(argument)
    return shown, values


def crash_error(error: Exception, arguments: Sequence[str], invocation: Invocation) -> InternalError:
    """Write the report and make the error that tells where it is."""
    shown, values = redacted(arguments)
    text = "\n".join(
        [
            f"workflow-agent {__version__}, Python {platform.python_version()}, {platform.platform()}",
            f"arguments: {shown}",
            "",
            "".join(traceback.format_exception(error)),
        ]
    )
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= _LEAST_HIDDEN:
            text = text.replace(value, _HIDDEN)
    text = Masker(invocation.secrets.values()).mask(text)
    path = _write(text, _folder(invocation))
    return InternalError(
        f"workflow-agent failed unexpectedly: {type(error).__name__}",
        where=str(path) if path else None,
        state="if a run had begun, the next install or rollback on its target takes it back",
        hint="please report it, with the file named above" if path else "please report it",
    )


def _folder(invocation: Invocation) -> Path | None:
    """Give the state folder where it is there already; a crash makes none."""
    try:
        folder = invocation.settings().paths.state
    except Exception:  # noqa: BLE001  # the border: the settings may be what crashed
        return None
    return folder if folder.is_dir() and os.access(folder, os.W_OK) else None


def _write(text: str, folder: Path | None) -> Path | None:
    for place in (folder, Path(tempfile.gettempdir())):
        if place is None:
            continue
        try:
            descriptor, name = tempfile.mkstemp(
                prefix=f"crash-{time.strftime('%Y%m%d-%H%M%S')}-", suffix=".txt", dir=place
            )
        except OSError:
            continue
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(text)
        return Path(name)
    sys.stderr.write(text)
    return None
