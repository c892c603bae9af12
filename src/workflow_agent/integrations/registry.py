"""Which integrations there are: built-in and configured folders, read only as far as they are asked for.

An integration's folder is named like it, so that looking one up never reads another one's manifest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_agent.integrations.loading import MANIFEST_FILE, load_manifest
from workflow_agent.model.errors import ConflictError, ManifestError, NotFoundError, WorkflowAgentError
from workflow_agent.model.nearest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from workflow_agent.integrations.manifest import Manifest

__all__ = ["Listing", "Registry", "builtin_folder", "load_folder"]

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One integration as a list shows it. `error` when its manifest is not valid; then the rest is empty.

    `duplicates` are the folders of other integrations with the same name.
    """

    name: str
    folder: Path
    version: str = ""
    description: str = ""
    category: str = ""
    platforms: tuple[str, ...] = ()
    duplicates: tuple[Path, ...] = ()
    error: WorkflowAgentError | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences that a person should read beside the list."""
        found = []
        if self.duplicates:
            others = ", ".join(str(folder) for folder in self.duplicates)
            found.append(f"{self.name} is defined more than once: {self.folder}, {others}")
        if self.error is not None:
            found.append(f"{self.name} cannot be used: {self.error.message} ({self.error.where})")
        return tuple(found)


def builtin_folder() -> Path:
    """Give the folder of the integrations that are shipped with this package."""
    return Path(str(resources.files("workflow_agent._data"))) / "integrations"


def load_folder(path: Path) -> Manifest:
    """Load the integration of a folder that somebody named (``install ./FOLDER``).

    Raises:
        NotFoundError: it has no manifest.
        ManifestError: its manifest is not valid.
    """
    # resolve: `.` has no name, and the manifest's name is compared with the folder's
    return load_manifest(path.expanduser().resolve())


class Registry:
    """The integrations of some folders, in the order of the folders. Reads disk on every question."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(folders)

    def __repr__(self) -> str:
        return f"Registry({[str(folder) for folder in self._folders]})"

    def names(self) -> list[str]:
        """List names, sorted, without reading a manifest."""
        return sorted({entry.name for entry in self._entries()})

    def get(self, name: str) -> Manifest:
        """Load one integration.

        Raises:
            NotFoundError: there is none of that name; the hint has the nearest names.
            ConflictError: several folders define it; the cause names them.
            ManifestError: its manifest is not valid.
        """
        found = [folder / name for folder in self._folders if self._has(folder, name)]
        if not found:
            raise NotFoundError(
                f"there is no integration `{name[:60]}`",
                cause="searched " + (", ".join(str(folder) for folder in self._folders) or "no folder at all"),
                hint=did_you_mean(name, self.names()) or "see `workflow-agent integrations list`",
            )
        if len(found) > 1:
            raise ConflictError(
                f"integration `{name}` is defined more than once",
                cause=" and ".join(str(folder) for folder in found),
                hint="name one by its path, for example `workflow-agent install ./FOLDER`, or remove the others",
                details={"folders": [str(folder) for folder in found]},
            )
        return load_manifest(found[0])

    def list(self) -> list[Listing]:
        """List all integrations, sorted by name; invalid ones with their error."""
        places: dict[str, list[Path]] = {}
        for entry in self._entries():
            places.setdefault(entry.name, []).append(entry)
        return [_listing(name, places[name]) for name in sorted(places)]

    def _entries(self) -> Iterator[Path]:
        for folder in self._folders:
            if folder.is_dir():
                yield from (entry for entry in sorted(folder.iterdir()) if self._has(folder, entry.name))

    @staticmethod
    def _has(folder: Path, name: str) -> bool:
        # the name is compared first: it may be hostile, and `..` is a folder too
        return bool(_NAME.fullmatch(name)) and (folder / name / MANIFEST_FILE).is_file()


def _listing(name: str, folders: Sequence[Path]) -> Listing:
    duplicates = tuple(folders[1:])
    try:
        manifest = load_manifest(folders[0])
    except (ManifestError, NotFoundError) as error:
        return Listing(name=name, folder=folders[0], duplicates=duplicates, error=error)
    return Listing(
        name=name,
        folder=folders[0],
        version=manifest.version,
        description=manifest.description,
        category=manifest.category,
        platforms=tuple(
            " ".join(filter(None, (os, "/".join(platform.releases))))
            for platform in manifest.platforms
            for os in platform.os
        ),
        duplicates=duplicates,
    )
