"""Read `integration.yaml`: text to a frozen manifest, or every problem with its place.

Three passes, each on the result of the last: YAML (with places), the models, and what holds between fields
(``soundness``). The first pass that finds problems reports all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.authoring.yaml_source import load_yaml, read_text
from workflow_agent.integrations.folder_files import MANIFEST_FILE, file_hashes
from workflow_agent.integrations.problems import WHOLE, ManifestProblem, key_text
from workflow_agent.integrations.secret_places import secret_places
from workflow_agent.integrations.soundness import soundness
from workflow_agent.model.errors import ManifestError, NotFoundError, ValidationError
from workflow_agent.model.identity import content_hash

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from workflow_agent.authoring.yaml_source import YamlDocument
    from workflow_agent.integrations.manifest import Manifest

__all__ = [
    "MANIFEST_FILE",
    "load_manifest",
    "manifest_error",
    "manifest_hash",
    "name_problems",
    "parse_manifest",
    "place_of",
    "read_document",
]


def read_document(folder: Path) -> YamlDocument:
    """Read the manifest's YAML.

    Raises:
        NotFoundError: the folder has no manifest.
        ManifestError: it is too large, not UTF-8 or not YAML.
    """
    file = folder / MANIFEST_FILE
    try:
        return load_yaml(read_text(file), source=str(file))
    except OSError as error:
        hint = f"an integration is a folder with a file `{MANIFEST_FILE}`"
        if folder.name == MANIFEST_FILE:
            hint += f": name the folder, {folder.parent}"
        raise NotFoundError(
            f"{folder} is not an integration", where=str(file), cause=error.strerror, hint=hint
        ) from error
    except ValidationError as error:
        entry = {"where": error.where, "key": WHOLE, "code": "yaml", "message": error.message, "hint": error.hint}
        details = {"errors": [entry], **error.details}
        raise ManifestError(error.message, where=error.where, hint=error.hint, details=details) from error


def parse_manifest(data: Any) -> tuple[Manifest | None, list[ManifestProblem]]:  # Any: what YAML gives
    """Validate a manifest's data; gives the manifest when the models accept it, and every problem found."""
    from pydantic import ValidationError as PydanticError  # noqa: PLC0415  # late: 200 ms, with the models

    from workflow_agent.integrations.manifest import Manifest  # noqa: PLC0415
    from workflow_agent.integrations.schema_problems import problems_of  # noqa: PLC0415

    try:
        manifest = Manifest.model_validate(data)
    except PydanticError as error:
        return None, problems_of(error, data)
    return manifest, soundness(manifest) + secret_places(manifest)


def manifest_hash(folder: Path, data: Any) -> str:
    """Hash what an integration does: its data and every file of its folder that takes part."""
    return content_hash({"data": data, "files": file_hashes(folder)})


def name_problems(manifest: Manifest, folder: Path, name: str | None = None) -> list[ManifestProblem]:
    """Say so when a manifest is not named like the entry point that offers it, or without one like its folder.

    A folder that is a Python package has ``_`` where the name has ``-``.
    """
    if manifest.name == (name or folder.name.replace("_", "-")):
        return []
    if name is not None:
        message = f"is `{manifest.name}` but its entry point is `{name}`"
        return [
            ManifestProblem(
                path=("name",), code="name", message=message, hint="name the entry point like the integration"
            )
        ]
    return [
        ManifestProblem(
            path=("name",),
            code="name",
            message=f"is `{manifest.name}` but its folder is `{folder.name}`",
            hint="name the folder like the integration",
        ),
    ]


def place_of(where: str) -> tuple[int, int]:
    """Give line and column of a ``file:line:column``."""
    _, line, column = where.rsplit(":", 2)
    return int(line), int(column)


def manifest_error(document: YamlDocument, problems: Iterable[ManifestProblem]) -> ManifestError:
    """Make one error of all problems, located; ``details["errors"]`` lists them in the document's order."""
    errors = [
        {
            "where": document.where(problem.path),
            "key": key_text(problem.path),
            "code": problem.code,
            "message": problem.message,
            "hint": problem.hint,
        }
        for problem in problems
    ]
    errors.sort(key=lambda error: place_of(str(error["where"])))
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    what = f"`{first['key']}`" if first["key"] != WHOLE else "the manifest"
    return ManifestError(
        f"{what} {first['message']}{more}",
        where=first["where"],
        hint=first["hint"],
        details={"errors": errors},
    )


def load_manifest(folder: Path, *, name: str | None = None) -> Manifest:
    """Load the integration of a folder.

    Args:
        folder: Holds the manifest.
        name: How it has to be named; like the folder when omitted.

    Raises:
        NotFoundError: the folder has no manifest.
        ManifestError: it is not valid; ``details["errors"]`` lists every problem as ``{where, key, code,
            message, hint}``, `where` being ``file:line:column``.
    """
    folder = folder.absolute()
    document = read_document(folder)
    manifest, problems = parse_manifest(document.data)
    if manifest is not None:
        problems = [*name_problems(manifest, folder, name), *problems]
    if manifest is None or problems:
        raise manifest_error(document, problems)
    return manifest.located(folder, manifest_hash(folder, document.data))
