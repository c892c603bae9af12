"""What is asked of a manifest most often, without the manifest: reading and checking one takes a tenth of a second."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  # the annotations are read
from typing import TYPE_CHECKING, Protocol

from workflow_agent.model.data import Data

if TYPE_CHECKING:
    from workflow_agent.integrations.manifest import Manifest

__all__ = ["Brief", "BriefParameter", "BriefUpgrade", "Requiring", "brief_of"]


class Requiring(Protocol):
    """Whatever says which integrations it requires and which it excludes: a manifest, or the brief of one."""

    @property
    def name(self) -> str:
        """Name of the integration."""
        ...

    @property
    def requires(self) -> tuple[str, ...]:
        """Names of those that have to be there first."""
        ...

    @property
    def conflicts(self) -> tuple[str, ...]:
        """Names of those that cannot be there as well."""
        ...


class BriefParameter(Data):
    """What kind of value people set."""

    secret: bool
    required: bool
    multiline: bool


class BriefUpgrade(Data):
    """How a newer version comes in."""

    policy: str
    soak: float
    notes: str


class Brief(Data):
    """A manifest in brief, of the folder with these contents (`hash`). `actions` says which need the network."""

    name: str
    version: str
    description: str
    hash: str
    requires: tuple[str, ...]
    conflicts: tuple[str, ...]
    parameters: Mapping[str, BriefParameter]
    upgrade: BriefUpgrade
    actions: Mapping[str, bool]


def brief_of(manifest: Manifest) -> Brief:
    """Give a manifest in brief."""
    return Brief(
        name=manifest.name,
        version=manifest.version,
        description=manifest.description,
        hash=manifest.hash,
        requires=manifest.requires,
        conflicts=manifest.conflicts,
        parameters={
            name: BriefParameter(secret=spec.secret, required=spec.required, multiline=spec.multiline)
            for name, spec in manifest.parameters.items()
        },
        upgrade=BriefUpgrade(
            policy=manifest.upgrade.policy.value, soak=manifest.upgrade.soak, notes=manifest.upgrade.notes
        ),
        actions={name.value: action.network for name, action in manifest.actions.items()},
    )
