"""Settings: what is declared, and how the sources are put together. Loading makes nothing on disk.

Order, lowest to highest: defaults < the machine's file < the user's file < ``--config`` file < environment < command
line. Nothing is read from the current folder. As root there is no user's file: never root's home.
"""

from __future__ import annotations

import dataclasses
from dataclasses import field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args, get_origin

from workflow_agent.app.settings_named import NAMED, named_entries, named_rows
from workflow_agent.app.settings_sources import (
    CONFIG_FILE,
    EXTRA_VARIABLES,
    PREFIX,
    Sourced,
    default_file,
    environment_values,
    file_values,
    is_root,
    system_folder,
    usual_places,
)
from workflow_agent.model.data import Data, plain
from workflow_agent.model.errors import ValidationError
from workflow_agent.model.exact import Read, Within, hints_of
from workflow_agent.model.nearest import did_you_mean, nearest
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pydantic

    from workflow_agent.agents.chat_backends import Backend
    from workflow_agent.client.runners import Runner
    from workflow_agent.security.credentials import CredentialSet

__all__ = ["COMMAND_LINE", "Settings", "load_settings", "setting_names", "variable_of"]

#: Origin of a value that was given as an option.
COMMAND_LINE = "command line"


def _absolute(value: object) -> object:
    """Read a path; a relative one would depend on the current folder."""
    if not isinstance(value, str):
        return value
    path = Path(value).expanduser()
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    return path


AbsolutePath = Annotated[Path, Read(_absolute)]


class Paths(Data, strict=True):
    """Where things are kept."""

    state: AbsolutePath
    config: AbsolutePath
    runtime: AbsolutePath


class TargetSettings(Data, strict=True):
    """What the names of targets stand for, and what a copy of a host lacks."""

    host_pid: Annotated[int, Within(ge=0)]
    clone_without: list[AbsolutePath]


class Folders(Data, strict=True):
    """Folders that are searched before the shipped ones."""

    folders: list[AbsolutePath]


class Agents(Data, strict=True):
    """Agents of one's own: ``module:factory``, or empty."""

    knowledge: str
    script_builder: str = field(metadata={"key": "script-builder"})
    validator: str
    executor: str
    verifier: str
    recovery: str
    person: str

    def get(self, name: str) -> str | None:
        """Give what replaces the agent of that name; None when nothing does."""
        return getattr(self, name.replace("-", "_"), None) or None


class Limits(Data, strict=True):
    """How much of something there may be."""

    capture_bytes: Annotated[int, Within(gt=0)]
    capture_entries: Annotated[int, Within(gt=0)]
    capture_processes: Annotated[int, Within(gt=0)]
    output_bytes: Annotated[int, Within(gt=0)]
    clone_bytes: Annotated[int, Within(gt=0)]


class Timeouts(Data, strict=True):
    """How long something may take, in seconds."""

    package_lock_s: Annotated[float, Within(ge=0)]
    script_s: Annotated[float, Within(gt=0)]
    target_s: Annotated[float, Within(ge=0)]
    stay_s: Annotated[float, Within(ge=0, le=3600)]
    stay_proven_s: Annotated[float, Within(ge=0, le=3600)]
    check_s: Annotated[float, Within(gt=0, le=3600)]


class Recovery(Data, strict=True):
    """How often and how long a failed attempt before the commit is repeated."""

    attempts: Annotated[int, Within(ge=1, le=20)]
    first_pause_s: Annotated[float, Within(ge=0, le=60)]
    pause_factor: Annotated[float, Within(ge=1, le=10)]
    longest_pause_s: Annotated[float, Within(ge=0, le=60)]
    lock_attempts: Annotated[int, Within(ge=1, le=20)]
    lock_pause_s: Annotated[float, Within(ge=0, le=60)]


class Models(Data, strict=True):
    """The language model that steps which ask one (``model.chat``) ask; empty: none is."""

    url: str
    model: str
    key: str


class Output(Data, strict=True):
    """How things are shown."""

    color: Literal["auto", "always", "never"]
    ascii: bool


class Settings(Data, strict=True):
    """All settings, valid and frozen; each value knows where it came from."""

    paths: Paths
    targets: TargetSettings
    integrations: Folders
    templates: Folders
    workflows: Folders
    agents: Agents
    limits: Limits
    timeouts: Timeouts
    recovery: Recovery
    models: Models
    output: Output
    #: By the setting's name; settings that were loaded have their own.
    _origins: ClassVar[dict[str, str]] = {}
    _named: ClassVar[dict[str, dict[str, Any]]] = {}
    _named_rows: ClassVar[list[dict[str, Any]]] = []

    @property
    def credentials(self) -> Mapping[str, CredentialSet]:
        """Sets of credentials by name."""
        return self._named.get("credentials", {})

    @property
    def runners(self) -> Mapping[str, Runner]:
        """Servers that drive runs, by name; this process, ``local``, is not among them."""
        return self._named.get("runners", {})

    @property
    def llm_backends(self) -> Mapping[str, Backend]:
        """Further services of language models, by name."""
        return self._named.get("llm_backends", {})

    def origin(self, name: str) -> str:
        """Say where the value of ``section.key`` came from: a file, a variable, an option or ``default``."""
        return self._origins[name]

    def rows(self) -> list[dict[str, Any]]:
        """List every setting: name, value (JSON), origin, variable (None for entries with names of their own)."""
        return [
            {
                "name": one.name,
                "value": plain(getattr(getattr(self, one.section), one.key)),
                "origin": self._origins[one.name],
                "variable": variable_of(one.name),
            }
            for one in _declared()
        ] + self._named_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class _Declared:
    """One setting: its name ``section.key`` as people write it, where its value stands, and its type."""

    name: str
    section: str
    key: str
    annotation: Any  # Any: a type annotation


@cache
def _declared() -> tuple[_Declared, ...]:
    return tuple(
        _Declared(
            name=f"{section}.{item.metadata.get('key', item.name)}",
            section=section,
            key=item.name,
            annotation=hints_of(model)[item.name],
        )
        for section, model in hints_of(Settings).items()
        for item in dataclasses.fields(model)
    )


def setting_names() -> list[str]:
    """List the names ``section.key`` of all settings in the order of their declaration."""
    return [one.name for one in _declared()]


def variable_of(name: str) -> str:
    """Give the environment variable of a setting."""
    return PREFIX + name.replace(".", "__").replace("-", "_").upper()


def load_settings(config_file: Path | None, overrides: Mapping[str, object], environ: Mapping[str, str]) -> Settings:
    """Put the settings together.

    Args:
        config_file: The file of ``--config``, which then must exist.
        overrides: Values of options by ``section.key``; None means not given.
        environ: The environment.

    Raises:
        NotFoundError: `config_file` does not exist.
        ValidationError: a file is not valid; a section, key or variable is unknown; a value is of the wrong type.
    """
    values = usual_places(environ, is_root=is_root()) | _as_defaults(file_values(default_file(), required=True))
    from_environment = _known_variables(environment_values(environ))
    given = {name: Sourced(value, COMMAND_LINE) for name, value in overrides.items() if value is not None}
    layers = [_known(file_values(path)) for path in _files((values | from_environment | given)["paths.config"])]
    if config_file is not None:
        layers.append(_known(file_values(config_file, required=True)))
    for layer in [*layers, from_environment, _known(given)]:
        values = values | layer
    return _build(values)


def _as_defaults(values: dict[str, Sourced]) -> dict[str, Sourced]:
    return {name: Sourced(sourced.value, "default") for name, sourced in values.items()}


def _files(folder: Sourced) -> list[Path]:
    """List the files to read, lowest first; as root there is one, in the machine's folder or the one that was named."""
    try:
        own = Path(str(_absolute(folder.value))) / CONFIG_FILE
    except ValueError as error:
        raise ValidationError(f"the setting `paths.config` {error}", where=folder.where) from error
    return [own] if is_root() else list(dict.fromkeys([system_folder() / CONFIG_FILE, own]))


def _known(values: dict[str, Sourced]) -> dict[str, Sourced]:
    """Refuse names that nobody knows."""
    names = setting_names()
    sections = sorted([*hints_of(Settings), *NAMED])
    for name, sourced in values.items():
        section, dot, key = name.partition(".")
        if section not in sections:
            kind = "section" if dot else "key outside of a section"
            raise ValidationError(
                f"there is no {kind} `{section[:64]}` in the settings",
                where=sourced.where,
                hint=did_you_mean(section, sections),
            )
        if not dot:
            raise ValidationError(f"`{section}` is a section, not a value", where=sourced.where)
        if key and name not in names and section not in NAMED:
            keys = [known.partition(".")[2] for known in names if known.startswith(f"{section}.")]
            raise ValidationError(
                f"there is no setting `{key[:64]}` in the section `{section}`",
                where=sourced.where,
                hint=_elsewhere(key, names) or did_you_mean(key, keys),
            )
        if name == "paths.config" and sourced.origin not in {COMMAND_LINE, variable_of(name)}:
            raise ValidationError(
                "`paths.config` says where this file is, so it cannot stand in it",
                where=sourced.where,
                hint=f"set the environment variable `{variable_of(name)}`",
            )
    return {name: sourced for name, sourced in values.items() if not name.endswith(".")}


def _elsewhere(key: str, names: list[str]) -> str | None:
    """Say in which section a key stands that is known, but not here."""
    found = [name for name in names if name.partition(".")[2] == key]
    return f"did you mean `{found[0]}`?" if found else None


def _known_variables(values: dict[str, Sourced]) -> dict[str, Sourced]:
    by_variable = {variable_of(name): name for name in setting_names()}
    known = {}
    for sourced in values.values():
        name = by_variable.get(sourced.origin)
        if name is None:
            near = nearest(sourced.origin, [*by_variable, *EXTRA_VARIABLES])
            hint = f"did you mean `{near[0]}`?" if near else "`workflow-agent config show` lists the variables"
            raise ValidationError(
                f"the environment variable `{sourced.origin[:100]}` is no setting", where="environment", hint=hint
            )
        known[name] = sourced
    return known


_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def _typed(text: str, annotation: Any) -> object:  # Any: a type annotation
    """Read the text of a variable by the declared type; what cannot be read stays text and is refused later."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if annotation is bool:
        return _WORDS.get(text.strip().lower(), text)
    if annotation in {int, float}:
        try:
            return annotation(text)
        except ValueError:
            return text
    if get_origin(annotation) is list:
        return _listed(text)
    return text


def _listed(text: str) -> object:
    if not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    import json  # noqa: PLC0415  # late: lists are seldom written so

    try:
        return json.loads(text)
    except ValueError:
        return text


def _build(values: dict[str, Sourced]) -> Settings:
    tree: dict[str, dict[str, object]] = {section: {} for section in hints_of(Settings)}
    for one in _declared():
        sourced = values[one.name]
        tree[one.section][one.key] = _typed(sourced.value, one.annotation) if sourced.is_text else sourced.value
    try:
        settings = Settings.model_validate(tree)
    except ValueError as error:
        from pydantic import ValidationError as PydanticError  # noqa: PLC0415  # late: who refuses has loaded it

        if not isinstance(error, PydanticError):
            raise
        raise _refused(error, values) from None
    object.__setattr__(settings, "_origins", {name: values[name].origin for name in setting_names()})
    object.__setattr__(settings, "_named", named_entries(values))
    object.__setattr__(settings, "_named_rows", named_rows(values))
    return settings


_WANTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "a text",
    "bool_type": "true or false",
    "list_type": "a list",
    "is_instance_of": "a path",
}


def _refused(error: pydantic.ValidationError, values: Mapping[str, Sourced]) -> ValidationError:
    first = error.errors(include_url=False)[0]
    name = next(one.name for one in _declared() if first["loc"][:2] == (one.section, one.key))
    sourced = values[name]
    kind = first["type"]
    if kind == "literal_error":
        said = f"must be one of {first['ctx']['expected']}".replace("'", "`")
    elif kind in _WANTED:
        said = f"must be {_WANTED[kind]}"
    elif kind == "value_error":
        said = str(first["ctx"]["error"])
    else:
        said = first["msg"].replace("Input should", "must")
    return ValidationError(
        f"the setting `{name}` {said}", where=sourced.where, cause=f"it is {str(first['input'])[:200]!r}"
    )
