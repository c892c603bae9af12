"""Workflows by name, from folders of YAML files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_agent.authoring.text_file import read_text
from workflow_agent.model.errors import NotFoundError, ValidationError
from workflow_agent.model.nearest import did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

    from workflow_agent.model.workflow import Workflow

__all__ = ["FolderCatalogue"]


class FolderCatalogue:
    """Port `WorkflowCatalogue` on folders; ``install.yaml`` holds the workflow ``install``.

    Files are listed at each question and read at most once, when they are first asked for. Blocks.

    Args:
        folders: Where to look; an earlier one hides the same name in a later one. A missing one is empty.
        shipped: The one of them that came with this package: its definitions need not be parsed again.
    """

    def __init__(self, *folders: Path, shipped: Path | None = None) -> None:
        self._folders = folders
        self._shipped = shipped
        self._known: dict[Path, Workflow] = {}

    def __repr__(self) -> str:
        return f"FolderCatalogue({', '.join(str(folder) for folder in self._folders)})"

    def names(self) -> list[str]:
        """List names, sorted."""
        return sorted(self._paths())

    def get(self, name: str) -> Workflow:
        """Give a workflow.

        Raises:
            NotFoundError: there is none of that name; the hint has the nearest ones.
            ValidationError: its file is no valid definition, or names another workflow.
        """
        paths = self._paths()
        if name not in paths:
            raise NotFoundError(f"there is no workflow `{name[:64]}`", hint=did_you_mean(name, paths))
        path = paths[name]
        if path not in self._known:
            self._known[path] = self._read(path)
        return self._known[path]

    def _paths(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for folder in self._folders:
            for path in sorted(folder.glob("*.yaml")):
                found.setdefault(path.stem, path)
        return found

    def _read(self, path: Path) -> Workflow:
        text = _text(path)
        workflow = self._parsed(text) if path.parent == self._shipped else None
        if workflow is None:
            from workflow_agent.authoring.workflow_source import load_workflow  # noqa: PLC0415  # late: pydantic

            workflow = load_workflow(text, source=str(path))
        if workflow.name != path.stem:
            message = f"the file is called `{path.stem}`, its workflow `{workflow.name}`"
            raise ValidationError(message, where=str(path), hint="give both one name")
        return workflow

    def _parsed(self, text: str) -> Workflow | None:
        from workflow_agent.authoring.parsed import ParsedWorkflows  # noqa: PLC0415  # late: few commands need it

        assert self._shipped is not None
        return ParsedWorkflows(self._shipped).get(text)


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except OSError as error:
        raise ValidationError("the definition cannot be read", where=str(path), cause=error.strerror) from error
