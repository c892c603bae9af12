"""One form for manifests: the keys in their order, no trailing blanks, no double empty lines.

Works on the text, so that comments and the author's own line breaks stay. What a manifest means never changes: the
result is read again and compared.
"""

from __future__ import annotations

import re
from typing import Final

from workflow_agent.authoring.yaml_source import load_yaml
from workflow_agent.integrations.manifest import Manifest

__all__ = ["formatted"]

_KEY = re.compile(r"([A-Za-z_][A-Za-z0-9_]*):(\s|$)")
_EDITOR: Final = "# yaml-language-server:"
#: The order of top-level keys.
_ORDER: Final = {field.alias or name: place for place, (name, field) in enumerate(Manifest.model_fields.items())}


def formatted(text: str, *, source: str = "integration.yaml") -> str:
    """Give a manifest's text in the one form; a text that would mean something else afterwards is given as it is.

    Raises:
        ValidationError: it is no YAML.
    """
    data = load_yaml(text, source=source).data
    result = _formatted(text)
    return result if _means(result, source) == data else text


def _means(text: str, source: str) -> object:
    return load_yaml(text, source=source).data


def _formatted(text: str) -> str:
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    while lines and not lines[0]:
        lines.pop(0)
    head = [lines.pop(0)] if lines and lines[0].startswith(_EDITOR) else []
    if not any(_KEY.match(line) for line in lines):
        return _joined([*head, *lines])
    blocks = _blocks(lines)
    ordered = sorted(blocks, key=lambda block: _ORDER.get(block[0], len(_ORDER)))
    if [name for name, _ in ordered] != [name for name, _ in blocks]:
        # what began the file had no empty line before it, and what comes first now needs none
        ordered = [
            (name, _without_leading_blank(part)) if not index else (name, part)
            for index, (name, part) in enumerate(ordered)
        ]
    return _joined([*head, *(line for _, part in ordered for line in part)])


def _without_leading_blank(lines: list[str]) -> list[str]:
    return lines[1:] if lines and not lines[0] else lines


def _blocks(lines: list[str]) -> list[tuple[str, list[str]]]:
    """Split into top-level keys; comments and empty lines right before a key belong to it."""
    blocks: list[tuple[str, list[str]]] = []
    waiting: list[str] = []
    for line in lines:
        found = _KEY.match(line)
        if found is not None:
            blocks.append((found[1], [*waiting, line]))
            waiting = []
        elif not line or line.startswith("#"):
            waiting.append(line)
        else:
            blocks[-1][1].extend([*waiting, line]) if blocks else blocks.append(("", [*waiting, line]))
            waiting = []
    if waiting and blocks:
        blocks[-1][1].extend(waiting)
    return blocks


def _joined(lines: list[str]) -> str:
    """Put lines together; several empty ones are one, and none ends the text."""
    kept: list[str] = []
    for line in lines:
        if line or (kept and kept[-1]):
            kept.append(line)
    return "\n".join(kept).rstrip("\n") + "\n"
