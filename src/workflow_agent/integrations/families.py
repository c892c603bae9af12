"""What an action is made of on a family of systems: its packages, the block that installs them, what goes around."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from workflow_agent.integrations.kinds import ActionName
from workflow_agent.model.errors import UnsupportedPlatformError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workflow_agent.integrations.manifest import Manifest
    from workflow_agent.model.system import TargetFacts

__all__ = ["block_of", "packages_of", "setup_of", "template_of"]

#: Which folder of templates speaks to which package manager.
_BLOCKS: Final = {"apt": "apt"}


def packages_of(manifest: Manifest, facts: TargetFacts) -> tuple[str, ...]:
    """Give the packages for a target: those of its system, else of the family that it names first.

    Raises:
        UnsupportedPlatformError: the manifest has packages, and none for it.
    """
    if not manifest.packages:
        return ()
    for name in (facts.os_id, *facts.os_like):
        if name in manifest.packages:
            return manifest.packages[name]
    raise UnsupportedPlatformError(
        f"{manifest.name} names no packages for {facts.os_id}",
        where=facts.target,
        state="nothing was changed",
        hint="it has packages for " + ", ".join(manifest.packages),
    )


def block_of(action: ActionName | str, facts: TargetFacts, name: str) -> str:
    """Name the template that installs, or removes, packages on a target.

    Raises:
        UnsupportedPlatformError: there is no block for its package manager.
    """
    folder = _BLOCKS.get(facts.package_manager or "")
    if folder is None:
        raise UnsupportedPlatformError(
            f"{name} cannot be installed with {facts.package_manager or 'no package manager'}",
            where=facts.target,
            state="nothing was changed",
            hint="packages are installed with " + ", ".join(_BLOCKS),
        )
    return f"{folder}/{'uninstall' if action == ActionName.UNINSTALL else 'install'}"


def template_of(manifest: Manifest, action: ActionName, facts: TargetFacts) -> str:
    """Name the template of an action: the manifest's, else the block for its packages; empty where it names neither.

    Raises:
        UnsupportedPlatformError: there is no block for the target's package manager.
    """
    declared = manifest.actions[action].template
    if declared is not None or not manifest.packages:
        return declared or ""
    return block_of(action, facts, manifest.name)


def setup_of(manifest: Manifest, action: ActionName, directories: Sequence[str]) -> dict[str, Any]:
    """Give what goes around a script: users, directories (their paths resolved already) and hooks, as JSON."""
    leaving = action is ActionName.UNINSTALL
    hooks = manifest.actions[action].hooks
    users = [user.model_dump(mode="json") for user in manifest.users]
    made = [
        {"path": path, "mode": entry.mode, "owner": entry.owner}
        for path, entry in zip(directories, manifest.directories, strict=True)
    ]
    parts: dict[str, list[Any]] = {"users": users, "directories": [] if leaving else made}
    parts |= {"before": list(hooks.before), "after": list(hooks.after)}
    return {name: part for name, part in parts.items() if part}
