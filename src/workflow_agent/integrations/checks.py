"""Check declarations, one model per kind; what a prober is asked is exactly what these fields say.

The keys of each kind are its contract with the probers (``docs/integrations.md`` lists them). Defaults are
written out in the bound check, so that a prober never has to know them.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, StrictBool, StrictStr, StringConstraints, TypeAdapter

from workflow_agent.integrations.fields import (
    AbsolutePath,
    DynamicBool,
    DynamicExitCode,
    DynamicNumber,
    DynamicPort,
    DynamicScalar,
    DynamicStatus,
    Part,
    Seconds,
    Slug,
    Text,
)

__all__ = [
    "CHECK_KINDS",
    "CheckDeclaration",
    "CheckSpec",
    "CommandCheck",
    "FileCheck",
    "HttpCheck",
    "LogCheck",
    "MetricCheck",
    "PackageCheck",
    "PortCheck",
    "ProcessCheck",
    "SnmpCheck",
    "TcpCheck",
    "TcpStep",
    "UnitCheck",
    "check_adapter",
]

_Url: TypeAlias = Annotated[StrictStr, StringConstraints(pattern=r"^(http://|\$\{\{)", max_length=4096)]
_Mode: TypeAlias = Annotated[StrictStr, StringConstraints(pattern=r"^([0-7]{3,4}|\$\{\{.*\}\})$")]


class CheckDeclaration(Part):
    """Keys that every check has. `when` is an expression; false leaves the check out."""

    id: Slug
    description: Text = ""
    when: Text | None = None
    timeout: Seconds = 10.0


class FileCheck(CheckDeclaration):
    """A path exists (or not), with type, mode, owner and content."""

    kind: Literal["file"]
    path: AbsolutePath
    exists: DynamicBool = True
    type: Literal["file", "directory", "symlink", "fifo", "socket", "block", "char"] | None = None
    mode: _Mode | None = None
    owner: Text | None = None
    contains: Text | None = None


class PackageCheck(CheckDeclaration):
    """A package is installed (or not), in the version given."""

    kind: Literal["package"]
    name: Text
    installed: DynamicBool = True
    version: Text | None = None


class UnitCheck(CheckDeclaration):
    """A systemd unit is active and enabled (or not); not applicable without systemd."""

    kind: Literal["unit"]
    name: Text
    active: StrictBool | None = None
    enabled: StrictBool | None = None


class ProcessCheck(CheckDeclaration):
    """A process runs (or not). `current`: it runs the file that stands at `exe` now."""

    kind: Literal["process"]
    exe: AbsolutePath | None = None
    name: Text | None = None
    user: Text | None = None
    running: StrictBool = True
    current: StrictBool | None = None


class PortCheck(CheckDeclaration):
    """A port is open (or closed), by the process whose executable is `process`."""

    kind: Literal["port"]
    port: DynamicPort
    protocol: Literal["tcp", "udp"] = "tcp"
    address: Text | None = None
    open: DynamicBool = True
    process: AbsolutePath | None = None


class HttpCheck(CheckDeclaration):
    """A GET gives the status, and a body with the text, headers and JSON values given."""

    kind: Literal["http"]
    url: _Url
    status: DynamicStatus = 200
    contains: Text | None = None
    header: dict[StrictStr, Text] | None = None
    json_: dict[StrictStr, DynamicScalar] | None = Field(default=None, alias="json")


class MetricCheck(CheckDeclaration):
    """A page in the Prometheus text format has (or has not) a sample with these labels and a value in range."""

    kind: Literal["metric"]
    url: _Url
    name: Annotated[StrictStr, StringConstraints(pattern=r"^([a-zA-Z_:][a-zA-Z0-9_:]*|\$\{\{.*\}\})$")]
    labels: dict[StrictStr, Text] | None = None
    min: DynamicNumber | None = None
    max: DynamicNumber | None = None
    equals: DynamicNumber | None = None
    present: StrictBool = True


class TcpStep(Part):
    """One step of a conversation: the text that is sent, and a text that has to come back then."""

    send: Annotated[Text, StringConstraints(min_length=1)] | None = None
    expect: Annotated[Text, StringConstraints(min_length=1)] | None = None


class TcpCheck(CheckDeclaration):
    """A server answers over TCP as the steps say; after the last one the connection is closed."""

    kind: Literal["tcp"]
    port: DynamicPort
    address: Text | None = Field(default=None, description="127.0.0.1 without it.")
    exchange: Annotated[tuple[TcpStep, ...], Field(min_length=1)]


class LogCheck(CheckDeclaration):
    """A line of a log file, or of a unit's journal, has the text; of a file, its last mebibyte is read.

    Where systemd does not run, a check of a unit's journal is not applicable.
    """

    kind: Literal["log"]
    path: AbsolutePath | None = None
    unit: Text | None = None
    contains: Annotated[Text, StringConstraints(min_length=1)]
    present: StrictBool = True


class SnmpCheck(CheckDeclaration):
    """An SNMP agent (version 2c) tells the value of an object, and it is as given."""

    kind: Literal["snmp"]
    oid: Annotated[Text, StringConstraints(min_length=1)]
    port: DynamicPort = 161
    address: Text | None = Field(default=None, description="127.0.0.1 without it.")
    community: Text | None = Field(default=None, description="`public` without it.")
    equals: Text | None = None
    contains: Text | None = None


class CommandCheck(CheckDeclaration):
    """A command, run inside the target without a shell, ends with the exit code and output given."""

    kind: Literal["command"]
    argv: Annotated[tuple[Text, ...], Field(min_length=1)]
    exit_code: DynamicExitCode = 0
    stdout_contains: Text | None = None
    live: StrictBool | None = Field(default=None, description="It asks a running service.")


CheckSpec: TypeAlias = Annotated[
    FileCheck
    | PackageCheck
    | UnitCheck
    | ProcessCheck
    | PortCheck
    | HttpCheck
    | MetricCheck
    | TcpCheck
    | LogCheck
    | SnmpCheck
    | CommandCheck,
    Field(discriminator="kind"),
]

CHECK_KINDS: dict[str, type[CheckDeclaration]] = {
    "file": FileCheck,
    "package": PackageCheck,
    "unit": UnitCheck,
    "process": ProcessCheck,
    "port": PortCheck,
    "http": HttpCheck,
    "metric": MetricCheck,
    "tcp": TcpCheck,
    "log": LogCheck,
    "snmp": SnmpCheck,
    "command": CommandCheck,
}


@cache
def check_adapter() -> TypeAdapter[CheckSpec]:
    """Give the validator of one check; built once, because building costs milliseconds."""
    return TypeAdapter(CheckSpec)
