"""Shipped definitions as they were when they had been parsed and found valid, so that nobody has to do it again.

``parsed.json`` lies beside the definitions and is made from them::

    python -m workflow_agent.authoring.parsed config/workflows

A definition is taken from it only when its text is still the one that was parsed (SHA-256); a file that is missing,
broken or of another release costs time, nothing else. Only what comes with this package is read like that: a folder of
somebody's own is parsed and checked each time.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_agent.model.data import plain
from workflow_agent.model.exact import exact
from workflow_agent.model.workflow import Workflow

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["PARSED_FILE", "ParsedWorkflows", "parsed_text"]

#: Name of the file in the folder of the definitions.
PARSED_FILE = "parsed.json"


class ParsedWorkflows:
    """What is known of the definitions of a folder; read when it is first asked."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / PARSED_FILE
        self._known: dict[str, Any] | None = None

    def get(self, text: str) -> Workflow | None:
        """Give the definition that a text says; None where that is not known."""
        if self._known is None:
            self._known = self._read()
        return exact(Workflow, self._known.get(_key(text)))

    def _read(self) -> dict[str, Any]:
        try:
            known = json.loads(self._file.read_bytes())
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}


def parsed_text(texts: Iterable[str]) -> str:
    """Write what is known of definitions, given as their texts; raises ValidationError where one is not valid."""
    from workflow_agent.authoring.workflow_source import load_workflow  # noqa: PLC0415  # late: pydantic

    known = {_key(text): _brief(load_workflow(text, source="shipped")) for text in texts}
    return json.dumps(known, indent=0, ensure_ascii=False) + "\n"


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _brief(value: Any) -> Any:  # Any: a value of the model, and its JSON form
    """Leave out what is as it is without being said, so that a new field changes nothing here."""
    if isinstance(value, tuple):
        return [_brief(item) for item in value]
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return {key: _brief(item) for key, item in value.items()} if isinstance(value, dict) else plain(value)
    usual = {item.name: _usual(item) for item in dataclasses.fields(value)}
    given = {name: getattr(value, name) for name in usual}
    return {name: _brief(item) for name, item in given.items() if item != usual[name]}


def _usual(item: dataclasses.Field[Any]) -> Any:  # Any: a field's default
    return item.default if item.default_factory is dataclasses.MISSING else item.default_factory()


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    found = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.yaml"))]
    (folder / PARSED_FILE).write_text(parsed_text(found), encoding="utf-8")
