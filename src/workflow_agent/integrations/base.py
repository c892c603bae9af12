"""Integrations written as Python classes: their methods return what a folder would hold, and carry out nothing.

A package offers such a class under the entry point group ``workflow_agent.integrations``. Its methods are called once
when the integration is asked for, with places where values will stand instead of values. What they return is read like
any other integration: validated, rendered with quoting, checked by the policy, captured, shown, committed. So a class
can compute what it says, and do nothing by itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import field
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import ManifestError
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Installation", "IntegrationBase", "IntegrationContext", "Removal"]


class IntegrationContext:
    """What the methods of an integration may name: the places where values will stand when a run knows them.

    Args:
        parameters: Names of the declared parameters.
    """

    def __init__(self, parameters: Iterable[str]) -> None:
        self._parameters = frozenset(parameters)

    def parameter(self, name: str) -> str:
        """Give the expression that becomes a parameter's value, for files, services and checks.

        Raises:
            ManifestError: `metadata` declares no such parameter.
        """
        return f"${{{{ parameters.{self._declared(name)} }}}}"

    def in_script(self, name: str) -> str:
        """Give what becomes a parameter's value, quoted for the shell, in the text of a script.

        Raises:
            ManifestError: `metadata` declares no such parameter.
        """
        return f"{{{{ parameters.{self._declared(name)} }}}}"

    def fact(self, name: str) -> str:
        """Give the expression that becomes a fact about the target, for files, services and checks."""
        return f"${{{{ facts.{name} }}}}"

    def _declared(self, name: str) -> str:
        if name in self._parameters:
            return name
        hint = did_you_mean(name, self._parameters)
        raise ManifestError(f"there is no parameter `{name[:60]}`", hint=hint or "declare it in `metadata`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """How an integration is installed.

    `script` is the text of a shell template; `with_` what else it may name. `files` and `services` are entries as in a
    manifest; `templates` are further templates by file name (``site.nginx.j2``). `timeout_s` bounds the script.
    """

    script: str
    with_: Mapping[str, Any] = field(default_factory=dict)  # Any: JSON values, as everywhere below
    files: Sequence[Mapping[str, Any]] = ()
    services: Sequence[Mapping[str, Any]] = ()
    templates: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """How an integration is removed: a script like that of an installation, and the checks that it is gone."""

    script: str
    checks: Sequence[Mapping[str, Any]]
    with_: Mapping[str, Any] = field(default_factory=dict)
    timeout_s: float | None = None


class IntegrationBase(ABC):
    """An integration as a class. It is made without arguments; its methods only describe."""

    @abstractmethod
    def metadata(self) -> Mapping[str, Any]:
        """Give the other keys of a manifest, such as `name`, `version`, `platforms`, `parameters`."""

    @abstractmethod
    def install(self, context: IntegrationContext) -> Installation:
        """Say how it is installed."""

    @abstractmethod
    def verify(self, context: IntegrationContext) -> Sequence[Mapping[str, Any]]:
        """Give the checks that hold when it works, as in a manifest."""

    def uninstall(self, context: IntegrationContext) -> Removal | None:
        """Say how it is removed; None when it can only be rolled back."""
        del context
        return None
