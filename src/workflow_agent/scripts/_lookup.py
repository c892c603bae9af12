"""The one lookup rule for templates. Nothing else finds a template: no platform variants, no fallbacks.

A template called ``apt/install`` in the language ``sh`` is the file ``apt/install.sh.j2`` of the first folder
that has it: the integration's own ``templates`` folder, then the configured template folders in order.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from workflow_agent.model.errors import NotFoundError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["MAX_TEMPLATE_BYTES", "find_template", "read_template", "template_folders"]

#: A template is read by people; a larger one is a mistake.
MAX_TEMPLATE_BYTES = 256 * 1024

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*(/[a-z0-9][a-z0-9_.-]*){0,3}")


def template_folders(integration_folder: Path | None, configured: Sequence[Path]) -> tuple[Path, ...]:
    """Give the folders that are searched, in order: the integration's own, then the configured ones."""
    own = () if integration_folder is None else (integration_folder / "templates",)
    return (*own, *configured)


def find_template(name: str, search: Sequence[Path], *, language: str = "sh") -> Path:
    """Find the file of a template; a link that leads out of its folder does not count.

    Raises:
        ValidationError: the name is not made of plain path segments.
        NotFoundError: no folder has it; names the folders searched and the nearest names.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise ValidationError(
            f"template name {name!r} is not valid",
            hint="use lower-case letters, digits, `-`, `_`, `.` and `/`, without the suffix",
        )
    suffix = f".{language}.j2"
    for folder in search:
        root = folder.resolve()
        candidate = (root / f"{name}{suffix}").resolve()
        if candidate.is_file() and candidate.is_relative_to(root):
            return candidate
    known = sorted({found for folder in search for found in _names(folder, suffix)})
    nearest = get_close_matches(name, known, n=3)
    raise NotFoundError(
        f"there is no template `{name}`",
        cause="searched " + (", ".join(str(folder) for folder in search) or "no folder at all"),
        hint=f"did you mean `{nearest[0]}`?" if nearest else f"a template is a file NAME{suffix}",
        details={"folders": [str(folder) for folder in search], "nearest": nearest},
    )


def read_template(path: Path) -> str:
    """Read a template's text; raises ValidationError when it is too large or not UTF-8."""
    raw = path.read_bytes()
    if len(raw) > MAX_TEMPLATE_BYTES:
        raise ValidationError(f"template is larger than {MAX_TEMPLATE_BYTES} bytes", where=str(path))
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValidationError("template is not UTF-8 text", where=str(path), cause=str(error)) from error
    if "\0" in text:
        raise ValidationError("template contains a NUL character", where=str(path))
    return text


def _names(folder: Path, suffix: str) -> list[str]:
    if not folder.is_dir():
        return []
    return [path.relative_to(folder).as_posix().removesuffix(suffix) for path in sorted(folder.rglob(f"*{suffix}"))]
