"""The manifest `integration.yaml` as frozen models. Reading it is in ``loading``, using it in ``resolving``.

The top-level keys are fixed; each model below is one of their values. Descriptions of fields become the JSON
Schema's descriptions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import (
    Discriminator,
    Field,
    JsonValue,
    PrivateAttr,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    StringConstraints,
    Tag,
)

from workflow_agent.integrations.checks import CheckSpec  # noqa: TC001 - pydantic reads it
from workflow_agent.integrations.fields import AbsolutePath, DynamicBool, Identifier, Part, Seconds, Slug, Text, Version
from workflow_agent.integrations.kinds import (
    SCHEMA,
    ActionName,
    EffectKind,
    FileFormat,
    ParameterType,
    StatePolicy,
    UpgradePolicy,
    argument_kind,
)
from workflow_agent.model.capability import Capability  # noqa: TC001 - pydantic reads it
from workflow_agent.model.system import InitKind

__all__ = [
    "SCHEMA",
    "Account",
    "Action",
    "ActionName",
    "Argument",
    "CapabilityNeed",
    "CommandDeclaration",
    "Directory",
    "Discovery",
    "Documentation",
    "EffectDeclaration",
    "EffectKind",
    "EffectProbe",
    "FileDeclaration",
    "FileFormat",
    "Hooks",
    "Item",
    "Manifest",
    "Parameter",
    "ParameterType",
    "Platform",
    "ServiceDeclaration",
    "StateData",
    "StatePolicy",
    "Upgrade",
    "UpgradePolicy",
    "Validation",
]

_Octal: TypeAlias = Annotated[StrictStr, StringConstraints(pattern=r"^[0-7]{3,4}$")]
_Owner: TypeAlias = Annotated[StrictStr, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]{0,31}:[a-z_][a-z0-9_-]{0,31}$")]
_TemplateName: TypeAlias = Annotated[
    StrictStr,
    StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]*(/[a-z0-9][a-z0-9_.-]*){0,3}$"),
    Field(description="Looked up in the integration's `templates` folder first; without the suffix."),
]
_Listen: TypeAlias = Annotated[StrictStr, StringConstraints(pattern=r"^(tcp|udp)/([0-9]{1,5}|\$\{\{.+\}\})$")]
_HookName: TypeAlias = Annotated[
    StrictStr,
    StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$"),
    Field(description="The file `hooks/NAME.py` of the integration's folder."),
]
_Variable: TypeAlias = Annotated[StrictStr, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
_Package: TypeAlias = Annotated[StrictStr, StringConstraints(pattern=r"^[a-z0-9][a-z0-9+.-]{0,127}$")]
_Url: TypeAlias = Annotated[StrictStr, StringConstraints(pattern=r"^https?://\S+$", max_length=2048)]


class Platform(Part):
    """A family of systems that the integration was tested on."""

    family: Slug = Field(description="Package family: the `ID` or one of `ID_LIKE` of os-release.")
    os: Annotated[tuple[Slug, ...], Field(min_length=1)]
    releases: tuple[StrictStr, ...] = Field(default=(), description="`VERSION_ID`s; empty: any.")
    architectures: tuple[StrictStr, ...] = Field(default=(), description="As `uname -m` says; empty: any.")
    init: tuple[InitKind, ...] = Field(default=(InitKind.SYSTEMD, InitKind.SYSVINIT, InitKind.NONE))


class CapabilityNeed(Part):
    """A capability of the kernel that it cannot work without: where the target lacks it, nothing is begun."""

    name: Capability
    when: Text | None = None


class Parameter(Part):
    """A value that people set.

    `min` and `max` bound a number's value, a text's length, a list's count (durations: seconds). For a list,
    `items` is the type of its items, and `pattern` and `choices` hold for each of them.
    """

    type: ParameterType
    description: Annotated[Text, StringConstraints(min_length=1)]
    default: JsonValue = None
    required: StrictBool = False
    secret: StrictBool = False
    multiline: StrictBool = False
    pattern: StrictStr | None = Field(default=None, description="The whole text must match (Python `re`).")
    choices: tuple[StrictStr | StrictInt | StrictFloat, ...] = ()
    min: StrictInt | StrictFloat | None = None
    max: StrictInt | StrictFloat | None = None
    items: ParameterType | None = None
    example: JsonValue = None


class Item(Part):
    """One entry of an argument vector, left out unless `when` holds, repeated for `each` item.

    Inside `value` and `when`, ``item`` is the item.
    """

    value: Text
    when: Text | None = None
    each: Text | None = Field(default=None, description="An expression that gives a list.")


Argument: TypeAlias = Annotated[
    Annotated[Text, Tag("text")] | Annotated[Item, Tag("item")],
    Discriminator(argument_kind),
]


class Hooks(Part):
    """Python files of the folder `hooks`, run as children inside the capture: nothing of them runs anywhere else."""

    before: tuple[_HookName, ...] = Field(default=(), description="Run before the script.")
    after: tuple[_HookName, ...] = Field(default=(), description="Run after the script and the files.")


class Action(Part):
    """Which script template carries the action out, and what it is given.

    Without `template` the script is composed of known blocks, from what `packages` says or what is known of it.
    """

    template: _TemplateName | None = None
    with_: dict[Identifier, JsonValue] = Field(default_factory=dict, alias="with")
    timeout: Seconds | None = Field(default=None, description="Seconds that the script may take.")
    network: StrictBool = Field(
        default=False, description="It needs the network; a rehearsal in a clone has none else."
    )
    hooks: Hooks = Field(default_factory=Hooks)


class Validation(Part):
    """A command without a shell that judges a file in the capture, before anything is committed: it ends with 0."""

    argv: Annotated[tuple[Annotated[Text, StringConstraints(min_length=1)], ...], Field(min_length=1)]
    timeout: Seconds = 30.0


class FileDeclaration(Part):
    """A configuration file, written by the writer of its format.

    `values` for typed formats, `content` or `template` for text, `template` for nginx.
    """

    path: AbsolutePath
    format: FileFormat
    values: dict[str, JsonValue] | list[JsonValue] | None = None
    content: Text | None = None
    template: _TemplateName | None = None
    mode: _Octal = "0644"
    owner: _Owner = "root:root"
    when: Text | None = None
    validate_: Validation | None = Field(default=None, alias="validate")


class Account(Part):
    """A system user that has to be there, with a group of its name; one that is there is left as it is.

    It goes with `uninstall --purge` only.
    """

    name: Annotated[StrictStr, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]
    home: AbsolutePath = "/nonexistent"
    shell: AbsolutePath = "/usr/sbin/nologin"
    groups: tuple[Annotated[StrictStr, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")], ...] = Field(
        default=(), description="Further groups, which have to be there."
    )


class Directory(Part):
    """A directory that must be there: of a service before it starts, of an integration when its files are written."""

    path: AbsolutePath
    mode: _Octal = "0755"
    owner: _Owner = "root:root"


class ServiceDeclaration(Part):
    """A long-running service. `argv`, `user`, `environment_file`: for targets without an init system."""

    name: Annotated[StrictStr, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9@._-]{0,127}$")]
    argv: tuple[Argument, ...] = ()
    user: Annotated[StrictStr, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")] = "root"
    environment_file: AbsolutePath | None = None
    environment: dict[_Variable, Text] = Field(
        default_factory=dict,
        description="Variables: a drop-in of the unit under systemd, else given by the supervisor.",
    )
    exe: AbsolutePath | None = None
    listens: tuple[_Listen, ...] = Field(default=(), description="Ports that it opens, such as `tcp/9100`.")
    directories: tuple[Directory, ...] = ()
    reload: Text | None = Field(default=None, description="A signal such as `HUP`, or none: restart.")
    start: StrictBool = True
    sysvinit: DynamicBool = Field(default=True, description="Its script in `/etc/init.d` can be used.")
    when: Text | None = None


class CommandDeclaration(Part):
    """A command on the running target, without a shell; it has worked when it ends with 0."""

    argv: Annotated[tuple[Text, ...], Field(min_length=1)]
    stdin: Text | None = Field(default=None, description="What it reads; nothing without it.")
    timeout: Seconds = 30.0


class EffectProbe(CommandDeclaration):
    """Tells whether an effect is there: it ends with 0, and prints the text or does not.

    Any other ending tells nothing; it is asked again until its `timeout` is over.
    """

    stdout_contains: Annotated[Text, StringConstraints(min_length=1)]


class EffectDeclaration(Part):
    """Something beyond files, such as a row in a database, said before it is done.

    With `do` it is carried out on the running services, unless `probe` finds it there already; `undo` takes it back.
    Without `do` the script does it, and it is only said.
    """

    id: Slug | None = None
    kind: EffectKind
    description: Annotated[Text, StringConstraints(min_length=1)]
    when: Text | None = None
    do: CommandDeclaration | None = None
    undo: CommandDeclaration | None = None
    probe: EffectProbe | None = None


class StateData(Part):
    """Data that the running service makes, and what becomes of it."""

    path: AbsolutePath
    policy: StatePolicy = StatePolicy.KEEP
    description: Text = ""


class Upgrade(Part):
    """How a newer version comes in. `soak` seconds after it the checks must still hold."""

    policy: UpgradePolicy = UpgradePolicy.IN_PLACE
    soak: Annotated[StrictFloat, Field(ge=0, le=3600)] = 0.0
    notes: Text = ""


class Discovery(Part):
    """By what one sees that a target has something for this integration: what it is, or what it looks after.

    Without it, that is the services of what it requires, and its own where it requires nothing.
    """

    processes: tuple[Annotated[StrictStr, StringConstraints(pattern=r"^[^/\s][^/\s]{0,127}$")], ...] = Field(
        default=(), description="Names of programs that run, such as `redis-server`."
    )
    packages: tuple[Annotated[StrictStr, StringConstraints(pattern=r"^[a-z0-9][a-z0-9+.-]{0,127}$")], ...] = ()
    ports: tuple[Annotated[StrictInt, Field(ge=1, le=65535)], ...] = Field(
        default=(), description="TCP ports on which something usually listens; none of them is a sign alone."
    )


class Documentation(Part):
    """A page that says more."""

    url: _Url
    title: Annotated[Text, StringConstraints(min_length=1)]


class Manifest(Part):
    """An integration: what it needs, installs, writes, starts and proves.

    `folder` and `hash` are set by ``load_manifest``.
    """

    schema_: Literal["workflow-agent/integration/1"] = Field(alias="schema")
    name: Slug
    version: Version
    description: Annotated[Text, StringConstraints(min_length=1, max_length=400)]
    category: Slug
    homepage: _Url | None = None
    platforms: Annotated[tuple[Platform, ...], Field(min_length=1)]
    capabilities: tuple[CapabilityNeed, ...] = ()
    parameters: dict[Identifier, Parameter] = Field(default_factory=dict)
    requires: tuple[Slug, ...] = ()
    conflicts: tuple[Slug, ...] = ()
    packages: dict[Slug, Annotated[tuple[_Package, ...], Field(min_length=1)]] = Field(
        default_factory=dict, description="Packages by the `ID` or one of `ID_LIKE` of os-release; the nearest counts."
    )
    users: tuple[Account, ...] = ()
    directories: tuple[Directory, ...] = ()
    actions: dict[ActionName, Action]
    files: tuple[FileDeclaration, ...] = ()
    services: tuple[ServiceDeclaration, ...] = ()
    checks: Annotated[tuple[CheckSpec, ...], Field(min_length=1)]
    negative_checks: tuple[CheckSpec, ...] = ()
    effects: tuple[EffectDeclaration, ...] = ()
    state_data: tuple[StateData, ...] = ()
    upgrade: Upgrade = Field(default_factory=Upgrade)
    discovery: Discovery | None = None
    documentation: tuple[Documentation, ...] = ()

    _folder: Path = PrivateAttr(default=Path())
    _hash: str = PrivateAttr(default="")

    @property
    def folder(self) -> Path:
        """The folder that it was read from."""
        return self._folder

    @property
    def hash(self) -> str:
        """Content hash (SHA-256, hex) of its data and of every file of the folder that takes part."""
        return self._hash

    def located(self, folder: Path, content: str) -> Manifest:
        """Give the same manifest with its folder and content hash set."""
        copy = self.model_copy()
        copy._folder = folder  # noqa: SLF001 - a copy of ourselves
        copy._hash = content  # noqa: SLF001 - a copy of ourselves
        return copy
