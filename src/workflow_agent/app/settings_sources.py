"""Where values of settings come from: files, environment, command line. Knows nothing of what is valid.

Each source is read to a flat mapping ``section.key`` -> :class:`Sourced`; later ones win (``settings`` merges them).
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import NotFoundError, ValidationError
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CONFIG_FILE",
    "EXTRA_VARIABLES",
    "PREFIX",
    "Sourced",
    "default_file",
    "environment_values",
    "file_values",
    "is_root",
    "system_folder",
    "usual_places",
]

#: Prefix of every environment variable that is ours.
PREFIX = "WORKFLOW_AGENT_"
#: Variables with our prefix that are no settings.
EXTRA_VARIABLES = frozenset(
    {
        "WORKFLOW_AGENT_API_TOKEN",
        "WORKFLOW_AGENT_API_URL",
        "WORKFLOW_AGENT_FAILPOINT",
        "WORKFLOW_AGENT_NO_PROGRESS",
    }
)
CONFIG_FILE = "config.toml"
_NAME = "workflow-agent"


@dataclass(frozen=True, slots=True)
class Sourced:
    """A value as it was given. `origin` is a file, a variable or an option; `line` its line in a file.

    `is_text` says that the value came as text and is still to be read by the declared type.
    """

    value: Any  # Any: whatever TOML, the environment or the caller holds
    origin: str
    line: int | None = None
    is_text: bool = False

    @property
    def where(self) -> str:
        """Place as errors show it."""
        return f"{self.origin}:{self.line}" if self.line else self.origin


def system_folder() -> Path:
    """Give the folder of the machine's configuration."""
    return Path("/etc") / _NAME


def default_file() -> Path:
    """Give the file with the defaults, which is part of the package."""
    return Path(__file__).resolve().parents[1] / "_data" / "config" / "defaults.toml"


def usual_places(environ: Mapping[str, str], *, is_root: bool) -> dict[str, Sourced]:
    """Give the places that hold when nobody says otherwise. Nothing is made.

    Source: XDG Base Directory Specification 0.8; relative paths in its variables are to be ignored.
    """
    if is_root:
        places = {"state": Path("/var/lib") / _NAME, "config": system_folder(), "runtime": Path("/run") / _NAME}
        return {f"paths.{key}": Sourced(str(path), "default (as root)") for key, path in places.items()}
    home = Path(environ.get("HOME") or Path("~").expanduser())
    state = _xdg(environ, "XDG_STATE_HOME", home / ".local" / "state")
    return {
        "paths.state": state,
        "paths.config": _xdg(environ, "XDG_CONFIG_HOME", home / ".config"),
        "paths.runtime": _xdg(environ, "XDG_RUNTIME_DIR", Path(str(state.value)) / "run", named=False),
    }


def _xdg(environ: Mapping[str, str], variable: str, otherwise: Path, *, named: bool = True) -> Sourced:
    text = environ.get(variable, "")
    if text and Path(text).is_absolute():
        return Sourced(str(Path(text) / _NAME), f"default ({variable})")
    return Sourced(str(otherwise / _NAME if named else otherwise), "default")


def file_values(path: Path, *, required: bool = False) -> dict[str, Sourced]:
    """Read a TOML file; a missing one has no values unless it is required.

    Raises:
        NotFoundError: it is required and missing.
        ValidationError: it cannot be read, is no TOML, or has keys outside of sections.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except (FileNotFoundError, NotADirectoryError) as error:
        if required:
            raise NotFoundError("there is no such configuration file", where=str(path)) from error
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValidationError("the configuration file is not valid TOML", where=str(path), cause=str(error)) from error
    except OSError as error:
        raise ValidationError(
            "the configuration file cannot be read", where=str(path), cause=error.strerror or str(error)
        ) from error
    values = {}
    for section, content in document.items():
        if not isinstance(content, dict):
            values[section] = Sourced(content, str(path), _line_of(text, None, section))
            continue
        values |= {
            f"{section}.{key}": Sourced(value, str(path), _line_of(text, section, key))
            for key, value in content.items()
        }
        if not content:
            # an empty section still has a name that may be wrong
            values[f"{section}."] = Sourced(None, str(path), _line_of(text, section, None))
    return values


def _line_of(text: str, section: str | None, key: str | None) -> int | None:
    """Find the line of a key in a section; None where it is written in a way that a search by eye would miss too."""
    current: str | None = None
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("["):
            current = stripped.strip("[] \t").strip("\"'")
            if current == (section if key is None else f"{section}.{key}"):
                return number
        elif current == section and key is not None and stripped.split("=")[0].strip().strip("\"'") == key:
            return number
    return None


def environment_values(environ: Mapping[str, str]) -> dict[str, Sourced]:
    """Read the variables with our prefix: ``WORKFLOW_AGENT_SECTION__KEY`` is ``section.key``.

    A variable without two underscores in a row gives a key without a dot, which nobody knows.
    """
    return {
        name.removeprefix(PREFIX).lower().replace("__", ".", 1): Sourced(value, name, is_text=True)
        for name, value in sorted(environ.items())
        if name.startswith(PREFIX) and name not in EXTRA_VARIABLES
    }


def is_root() -> bool:
    """Say whether the process may do everything."""
    return os.geteuid() == 0
