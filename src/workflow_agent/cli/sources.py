"""Integrations and workflows for commands that only look: straight from the folders, without the container."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workflow_agent.app import Settings
    from workflow_agent.integrations import Manifest, Registry
    from workflow_agent.model.ports import WorkflowCatalogue

__all__ = ["catalogue_of", "find_integration", "folder_of", "integration_input", "is_folder_name", "registry_of"]


def registry_of(settings: Settings) -> Registry:
    """Give the integrations of the configured folders, the shipped ones and those of installed packages."""
    from workflow_agent.integrations import Plugins, Registry, builtin_folder  # noqa: PLC0415  # late: few commands
    from workflow_agent.store.remembered import RememberedResults  # noqa: PLC0415  # late

    state = settings.paths.state
    folders = [*settings.integrations.folders, state / "packages", state / "composed", builtin_folder()]
    return Registry(folders, Plugins(state / "plugins"), RememberedResults(state / "remembered"))


def catalogue_of(settings: Settings) -> WorkflowCatalogue:
    """Give the workflows of the configured folders and the shipped ones."""
    from workflow_agent.authoring import FolderCatalogue  # noqa: PLC0415  # late: yaml, 16 ms

    shipped = Path(__file__).resolve().parents[1] / "_data" / "config" / "workflows"
    return FolderCatalogue(*settings.workflows.folders, shipped, shipped=shipped)


def is_folder_name(name: str) -> bool:
    """Say whether a name means a folder: it has a slash, or is a folder itself."""
    return "/" in name or name in {".", ".."}


def find_integration(settings: Settings, name: str) -> Manifest:
    """Load an integration by name or folder.

    Raises:
        NotFoundError: there is none; the hint has the nearest names.
        ManifestError: its manifest is not valid.
    """
    if is_folder_name(name):
        from workflow_agent.integrations import load_folder  # noqa: PLC0415  # late: pydantic, 36 ms

        return load_folder(Path(name))
    return registry_of(settings).get(name)


def folder_of(settings: Settings, name: str) -> Path:
    """Give the folder of an integration by name or folder, without reading its manifest.

    Raises:
        NotFoundError: there is none of that name.
        ConflictError: several folders define it.
    """
    return Path(name) if is_folder_name(name) else registry_of(settings).folder(name)


def integration_input(settings: Settings, name: str) -> str:
    """Give what a run is asked for: a name that exists, or the full path of a folder; a run is not begun otherwise.

    Raises:
        NotFoundError: there is none of that name, or the folder holds none.
        ConflictError: several folders define it, or it was changed after it was brought in.
    """
    if is_folder_name(name):
        folder = Path(name).expanduser().resolve()
        if not (folder / "integration.yaml").is_file():
            find_integration(settings, name)  # says what is wrong
        return str(folder)
    registry = registry_of(settings)
    if not registry.knows(name):
        registry.get(name)  # says which names are near
    if (settings.paths.state / "packages" / name).is_dir():
        from workflow_agent.integrations.package_store import PackageStore  # noqa: PLC0415  # late: few come so

        PackageStore(settings.paths.state).check(name)
    return name
