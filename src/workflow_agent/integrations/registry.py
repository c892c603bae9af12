"""Which integrations there are: configured and built-in folders, then installed packages, read only when asked for.

An integration's folder is named like it, so that looking one up never reads another one's manifest. Packages are looked
at for names that no folder has, and for lists.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_agent.integrations.brief import Brief, brief_of
from workflow_agent.integrations.folder_files import MANIFEST_FILE, folder_hash
from workflow_agent.model.data import plain
from workflow_agent.model.errors import ConflictError, ManifestError, NotFoundError, WorkflowAgentError
from workflow_agent.model.identity import content_hash
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from workflow_agent.integrations.discovery import Plugin, Plugins
    from workflow_agent.integrations.manifest import Manifest
    from workflow_agent.model.ports import Memory

__all__ = ["Listing", "Registry", "builtin_folder", "load_folder"]

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One integration as a list shows it. `error` when it cannot be used; then the rest is empty.

    `origin` says where it comes from: a folder, or a package and its entry point. `duplicates` are the origins of
    others with the same name.
    """

    name: str
    origin: str
    version: str = ""
    description: str = ""
    category: str = ""
    platforms: tuple[str, ...] = ()
    duplicates: tuple[str, ...] = ()
    error: WorkflowAgentError | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences that a person should read beside the list."""
        found = []
        if self.duplicates:
            found.append(f"{self.name} is defined more than once: {', '.join((self.origin, *self.duplicates))}")
        if self.error is not None:
            why = self.error.cause or self.error.message
            found.append(f"{self.name} cannot be used: {why} ({self.error.where})")
        return tuple(found)


def builtin_folder() -> Path:
    """Give the folder of the integrations that are shipped with this package."""
    return Path(__file__).resolve().parents[1] / "_data" / "integrations"


def load_folder(path: Path) -> Manifest:
    """Load the integration of a folder that somebody named (``install ./FOLDER``).

    Raises:
        NotFoundError: it has no manifest.
        ManifestError: its manifest is not valid.
    """
    from workflow_agent.integrations.loading import load_manifest  # noqa: PLC0415  # late: pydantic

    # resolve: `.` has no name, and the manifest's name is compared with the folder's
    return load_manifest(path.expanduser().resolve())


class _Folder:
    """An integration that lies in a folder of a registry."""

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self.origin = str(folder)
        self.folder = folder

    def load(self) -> Manifest:
        from workflow_agent.integrations.loading import load_manifest  # noqa: PLC0415  # late: pydantic

        return load_manifest(self.folder)

    look = load


class Registry:
    """The integrations of some folders, in the order of the folders, and of installed packages.

    Reads disk on every question.

    Args:
        folders: The first one is asked first.
        plugins: What installed packages offer; nothing when omitted.
        memory: Remembers what follows from manifests; nothing is remembered when omitted.
    """

    def __init__(self, folders: Sequence[Path], plugins: Plugins | None = None, memory: Memory | None = None) -> None:
        self._folders = tuple(folders)
        self._plugins = plugins
        self._memory = memory
        self._loaded: tuple[str, Manifest] | None = None

    def __repr__(self) -> str:
        return f"Registry({[str(folder) for folder in self._folders]})"

    def names(self) -> list[str]:
        """List names, sorted, without reading a manifest."""
        return sorted({place.name for place in self._places()})

    def knows(self, name: str) -> bool:
        """Tell whether there is an integration of that name; packages are looked at only when no folder has it."""
        return bool(self._of_name(name))

    def folder(self, name: str) -> Path:
        """Give the folder of one integration, valid or not; raises as ``get`` does, but for what is in the folder."""
        return self._one(name).folder

    def origin(self, name: str) -> str:
        """Say where one integration comes from; raises as ``get`` does, but for what is in the folder."""
        return self._one(name).origin

    def get(self, name: str) -> Manifest:
        """Load one integration.

        Raises:
            NotFoundError: there is none of that name; the hint has the nearest names.
            ConflictError: several folders, or else several packages, define it; the cause names them.
            ManifestError: it is not valid.
        """
        return self._one(name).load()

    def _of_name(self, name: str) -> Sequence[_Folder | Plugin]:
        found = [_Folder(folder / name) for folder in self._folders if self._has(folder, name)]
        return found or (self._plugins.named(name) if self._plugins else [])

    def _one(self, name: str) -> _Folder | Plugin:
        found = self._of_name(name)
        if not found:
            raise NotFoundError(
                f"there is no integration `{name[:60]}`",
                cause="searched " + (", ".join(str(folder) for folder in self._folders) or "no folder at all"),
                hint=did_you_mean(name, self.names()) or "see `workflow-agent integrations list`",
            )
        if len(found) > 1:
            raise ConflictError(
                f"integration `{name}` is defined more than once",
                cause=" and ".join(place.origin for place in found),
                hint="name one by its path, for example `workflow-agent install ./FOLDER`, or remove the others",
                details={"folders": [place.origin for place in found]},
            )
        return found[0]

    def find(self, name: str) -> Manifest:
        """Load an integration by its name, or by its folder's path when the name has a slash.

        Raises:
            NotFoundError: there is none; what :meth:`get` and :func:`load_folder` raise besides.
        """
        if not _is_path(name):
            return self.get(name)
        try:
            return load_folder(Path(name))
        except (OSError, ValueError, RuntimeError) as error:  # a name that no file system takes, a loop of links
            raise NotFoundError(f"there is no folder `{name[:80]}`", cause=str(error)[:200]) from error

    def brief(self, name: str) -> Brief:
        """Give one integration in brief; raises as :meth:`find` does."""
        return Brief.model_validate(self.derived(name, {"what": "brief"}, lambda manifest: plain(brief_of(manifest))))

    def derived(self, name: str, question: Mapping[str, Any], derive: Callable[[Manifest], Any]) -> Any:
        """Give what follows from a manifest, without reading it where that is known already.

        Args:
            name: As for :meth:`find`.
            question: What is asked, as JSON; with the manifest's folder all that the answer depends on.
            derive: Answers from the manifest, as JSON; nothing but a value that is not None is remembered.

        Raises:
            WorkflowAgentError: as :meth:`find` does, and what `derive` raises.
        """
        place = self._place(name) if self._memory is not None else None
        before = _hash_of(place)
        if self._memory is None or before is None:
            return derive(self.find(name))
        key = content_hash({"folder": before, "question": question})
        known = self._memory.recall(key)
        if known is None:
            if self._loaded is None or self._loaded[0] != before:
                self._loaded = (before, self.load(name, place))
            known = derive(self._loaded[1])
            if _hash_of(place) == before:  # nobody wrote in it meanwhile
                self._memory.keep(key, known)
        return known

    def load(self, name: str, place: Path | None) -> Manifest:
        """Load an integration: without the models where it lies in a folder and fits, else as :meth:`find` does."""
        from workflow_agent.integrations.fitting import fitting_manifest  # noqa: PLC0415  # late: yaml, 16 ms

        return (None if place is None else fitting_manifest(place)) or self.find(name)

    def _place(self, name: str) -> Path | None:
        """Give the folder whose files say all about an integration; None where code has a say, or there is none."""
        if _is_path(name):
            try:
                return Path(name).expanduser().resolve()
            except (OSError, ValueError, RuntimeError):  # as `find` says
                return None
        place = self._one(name)
        return place.folder if isinstance(place, _Folder) else None

    def list(self) -> list[Listing]:
        """List all integrations, sorted by name; those that cannot be used with their error."""
        places: dict[str, list[_Folder | Plugin]] = {}
        for place in self._places():
            places.setdefault(place.name, []).append(place)
        return [_listing(name, places[name]) for name in sorted(places)]

    def _places(self) -> Iterator[_Folder | Plugin]:
        for folder in self._folders:
            if folder.is_dir():
                yield from (_Folder(entry) for entry in sorted(folder.iterdir()) if self._has(folder, entry.name))
        if self._plugins is not None:
            yield from self._plugins.all()

    @staticmethod
    def _has(folder: Path, name: str) -> bool:
        # the name is compared first: it may be hostile, and `..` is a folder too
        return bool(_NAME.fullmatch(name)) and (folder / name / MANIFEST_FILE).is_file()


def _is_path(name: str) -> bool:
    return "/" in name or name in {".", ".."}


def _hash_of(folder: Path | None) -> str | None:
    """Hash the folder of an integration; None where it cannot be read."""
    try:
        return folder_hash(folder) if folder is not None else None
    except OSError:
        return None


def _listing(name: str, places: Sequence[_Folder | Plugin]) -> Listing:
    origin, *duplicates = (place.origin for place in places)
    try:
        manifest = places[0].look()
    except (ManifestError, NotFoundError) as error:
        return Listing(name=name, origin=origin, duplicates=tuple(duplicates), error=error)
    return Listing(
        name=name,
        origin=origin,
        version=manifest.version,
        description=manifest.description,
        category=manifest.category,
        platforms=tuple(
            " ".join(filter(None, (os, "/".join(platform.releases))))
            for platform in manifest.platforms
            for os in platform.os
        ),
        duplicates=tuple(duplicates),
    )
