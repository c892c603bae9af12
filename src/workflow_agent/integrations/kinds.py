"""Words and rules of manifests that the models share with whoever does without the models."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

__all__ = [
    "COMMON_CHECK_KEYS",
    "EXPRESSION_MARK",
    "SCHEMA",
    "ActionName",
    "EffectKind",
    "FileFormat",
    "ParameterType",
    "StatePolicy",
    "UpgradePolicy",
    "argument_kind",
    "expression_problem",
    "path_problem",
    "printable_problem",
    "value_kind",
]

#: The schema version that this release reads.
SCHEMA: Final = "workflow-agent/integration/1"
#: What begins an expression inside a text.
EXPRESSION_MARK: Final = "${{"
#: Keys that are not part of a check's `spec`.
COMMON_CHECK_KEYS: Final = frozenset({"id", "kind", "description", "when", "timeout"})


class ParameterType(StrEnum):
    """Types of parameters; ``binding`` says what each accepts."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    PORT = "port"
    PATH = "path"
    DURATION = "duration"
    LIST = "list"
    ENUM = "enum"
    URL = "url"
    HOST = "host"
    ADDRESS = "address"


class FileFormat(StrEnum):
    """Formats of typed writers; ``text`` is written as it stands or from a template, ``nginx`` from a template."""

    JSON = "json"
    YAML = "yaml"
    TOML = "toml"
    INI = "ini"
    ENV = "env"
    SYSTEMD = "systemd"
    CRON = "cron"
    REDIS = "redis"
    POSTGRESQL = "postgresql"
    NGINX = "nginx"
    TEXT = "text"


class ActionName(StrEnum):
    """Actions that a manifest may define."""

    INSTALL = "install"
    UPGRADE = "upgrade"
    CONFIGURE = "configure"
    UNINSTALL = "uninstall"


class StatePolicy(StrEnum):
    """What becomes of data that the service made when the integration goes."""

    KEEP = "keep"
    SNAPSHOT = "snapshot"
    DROP = "drop"


class EffectKind(StrEnum):
    """How an effect outside the captured files is taken back."""

    COMPENSATED = "compensated"
    DECLARED = "declared"
    IRREVERSIBLE = "irreversible"


class UpgradePolicy(StrEnum):
    """What a newer manifest or package version means for an installation."""

    IN_PLACE = "in-place"
    REINSTALL = "reinstall"
    REFUSE = "refuse"


def argument_kind(value: Any) -> str:  # Any: what YAML gives
    """Say which of an argument's two forms a value has."""
    return "text" if isinstance(value, str) else "item"


def value_kind(value: Any) -> str:  # Any: what YAML gives
    """Say whether a value is written as an expression."""
    return "expression" if isinstance(value, str) and EXPRESSION_MARK in value else "value"


def expression_problem(text: str, *, bound: bool) -> tuple[str, str] | None:
    """Say what is wrong with an expression in the place of a value: a code and a sentence."""
    if bound:
        return "bound_text", "the expression gave a text where another type is needed"
    if not (text.startswith(EXPRESSION_MARK) and text.endswith("}}")):
        return "partial_expression", "should be a value or one whole ${{ expression }}"
    return None


def path_problem(text: str, *, bound: bool) -> tuple[str, str] | None:
    """Say what is wrong with an absolute path: a code and a sentence."""
    if not bound and text.startswith(EXPRESSION_MARK):
        return None
    if not text.startswith("/"):
        return "relative_path", "should be an absolute path"
    if ".." in text.split("/"):
        return "parent_path", "should not contain '..'"
    return None


def printable_problem(text: str, *, bound: bool) -> tuple[str, str] | None:
    """Say what is wrong with a text that should be one line: a code and a sentence."""
    del bound
    if any(ord(char) < ord(" ") for char in text):
        return "control_character", "should not contain control characters"
    return None
