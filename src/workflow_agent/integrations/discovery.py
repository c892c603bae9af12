"""Integrations that installed packages offer: entry points of the group ``workflow_agent.integrations``.

The entry point is named like the integration. Its value is a package whose folder holds `integration.yaml` (nothing of
it is executed), an attribute that is the path of such a folder, or a class on ``IntegrationBase``. Packages are
looked at only when a name is not found in the folders, and for lists. One that is broken is an error of its own and
of no other.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from contextlib import redirect_stdout
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_agent.integrations.folder_files import MANIFEST_FILE
from workflow_agent.integrations.problems import key_text
from workflow_agent.model.errors import ManifestError, WorkflowAgentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from importlib.metadata import EntryPoint

    from workflow_agent.integrations.described import Description
    from workflow_agent.integrations.manifest import Manifest

__all__ = ["GROUP", "Plugin", "Plugins"]

GROUP = "workflow_agent.integrations"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_HINT = "the value is a package or a path with `integration.yaml`, or a class on `IntegrationBase`"


class Plugin:
    """One entry point. Nothing is imported before it is asked for.

    Args:
        entry: What the package declares.
        distribution: Name and version of the package.
        place: Where the folders of classes are written.
    """

    def __init__(self, entry: EntryPoint, distribution: str, place: Path) -> None:
        self.name = entry.name
        self.origin = f"{distribution} (entry point {entry.value})"
        self._entry = entry
        self._place = place

    def __repr__(self) -> str:
        return f"Plugin({self.name!r}, {self.origin!r})"

    @property
    def folder(self) -> Path:
        """The folder of the integration; that of a class is written now.

        Raises:
            ManifestError: the package does not offer what it says, or its code fails.
        """
        found = self._found
        if isinstance(found, Path):
            return found
        try:
            return found.write(self._place, self.name)
        except OSError as error:
            raise self._error(f"its folder cannot be written: {error}") from error

    def load(self) -> Manifest:
        """Load the integration.

        Raises:
            ManifestError: it cannot be used.
        """
        from workflow_agent.integrations.loading import load_manifest  # noqa: PLC0415  # late: pydantic

        self._check_name()
        return load_manifest(self.folder, name=self.name)

    def look(self) -> Manifest:
        """Read the integration for a list: as ``load``, but nothing is written.

        Raises:
            ManifestError: it cannot be used.
        """
        from workflow_agent.integrations import loading  # noqa: PLC0415  # late: pydantic

        self._check_name()
        found = self._found
        if isinstance(found, Path):
            return loading.load_manifest(found, name=self.name)
        manifest, problems = loading.parse_manifest(found.data)
        if manifest is not None:
            problems = [*loading.name_problems(manifest, Path(), self.name), *problems]
        if manifest is None or problems:
            raise self._error(f"`{key_text(problems[0].path)}` {problems[0].message}", problems[0].hint)
        return manifest

    def _check_name(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise self._error("the entry point's name is none of an integration", "such as `my-exporter`")

    @cached_property
    def _found(self) -> Path | Description:
        try:
            with redirect_stdout(sys.stderr):  # ours is data
                return self._resolve()
        except WorkflowAgentError as error:
            cause = f"{error.message}: {error.cause}" if error.cause else error.message
            raise self._error(cause, error.hint) from error
        except (Exception, SystemExit) as error:  # border: the code of a plug-in may do anything
            raise self._error(f"{type(error).__name__}: {error}") from error

    def _resolve(self) -> Path | Description:
        # late: integrations in folders do not pay for these
        from workflow_agent.integrations.base import IntegrationBase  # noqa: PLC0415
        from workflow_agent.integrations.described import describe  # noqa: PLC0415

        if not self._entry.attr:
            return self._package()
        value: Any = self._entry.load()
        if isinstance(value, type) and issubclass(value, IntegrationBase):
            value = value()
        if isinstance(value, IntegrationBase):
            return describe(value)
        if isinstance(value, str | os.PathLike):
            return _with_manifest([Path(value)], self._entry.value)
        raise ManifestError(f"`{self._entry.value}` is a value of type {type(value).__name__}", hint=_HINT)

    def _package(self) -> Path:
        """Find a package's folder without executing it; those that it lies in are imported."""
        spec = importlib.util.find_spec(self._entry.module)
        if spec is None:
            raise ManifestError(f"there is no package `{self._entry.module}`", hint=_HINT)
        return _with_manifest(map(Path, spec.submodule_search_locations or ()), self._entry.value)

    def _error(self, cause: str, hint: str | None = None) -> ManifestError:
        return ManifestError(f"the plug-in `{self.name}` cannot be used", where=self.origin, cause=cause, hint=hint)


def _with_manifest(folders: Iterable[Path], value: str) -> Path:
    for folder in folders:
        if folder.is_absolute() and (folder / MANIFEST_FILE).is_file():
            return folder
    raise ManifestError(f"`{value}` holds no `{MANIFEST_FILE}`", hint=_HINT)


class Plugins:
    """The integrations that installed packages offer. Looks anew on every question.

    Args:
        place: Where the folders of classes are written.
    """

    def __init__(self, place: Path) -> None:
        self._place = place

    def __repr__(self) -> str:
        return f"Plugins({str(self._place)!r})"

    def all(self) -> list[Plugin]:
        """List them by name, then by package."""
        return sorted(self._entries(), key=lambda plugin: (plugin.name, plugin.origin))

    def named(self, name: str) -> list[Plugin]:
        """List those of one name."""
        return [plugin for plugin in self.all() if plugin.name == name]

    def _entries(self) -> Iterator[Plugin]:
        from importlib import metadata  # noqa: PLC0415  # late: 20 ms

        seen: set[str] = set()
        for distribution in metadata.distributions():
            try:
                name, version = distribution.metadata["Name"], distribution.version
                entries = distribution.entry_points.select(group=GROUP)
            except Exception:  # noqa: BLE001, S112  # border: a damaged package that nobody asked for is none of ours
                continue
            key = re.sub(r"[-_.]+", "-", str(name)).lower()
            if key not in seen:  # the first on the path is the one that is imported
                seen.add(key)
                yield from (Plugin(entry, f"{name} {version}", self._place) for entry in entries)
