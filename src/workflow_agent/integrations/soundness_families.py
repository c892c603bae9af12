"""What must hold of packages by family, and of what an integration needs around its services."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_agent.integrations.kinds import ActionName
from workflow_agent.integrations.problems import ManifestProblem
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.system import InitKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workflow_agent.integrations.manifest import Manifest

__all__ = ["packages_problems", "surroundings_problems"]

#: Actions for which there are blocks that the script can be composed of.
_COMPOSED = frozenset({ActionName.INSTALL, ActionName.UPGRADE, ActionName.UNINSTALL})


def packages_problems(manifest: Manifest) -> Iterator[ManifestProblem]:
    """Find platforms without packages, packages without a platform, and packages that are named twice."""
    known = {name for platform in manifest.platforms for name in (platform.family, *platform.os)}
    for name, packages in manifest.packages.items():
        if name not in known:
            yield ManifestProblem(
                path=("packages", name),
                code="packages",
                message="is the family of none of the `platforms`",
                hint=did_you_mean(name, sorted(known)),
            )
        for index, package in enumerate(packages):
            if package in packages[:index]:
                path = ("packages", name, index)
                yield ManifestProblem(path=path, code="duplicate", message=f"is the package `{package}` once more")
    for index, platform in enumerate(manifest.platforms if manifest.packages else ()):
        if platform.family in manifest.packages:
            continue
        for place, name in enumerate(platform.os):
            if name not in manifest.packages:
                also = "" if name == platform.family else f", neither as `{name}`"
                either = f"{also} nor as `{platform.family}`" if also else f" as `{name}`"
                message = f"has no `packages`{either}"
                yield ManifestProblem(path=("platforms", index, "os", place), code="packages", message=message)


def surroundings_problems(manifest: Manifest) -> Iterator[ManifestProblem]:
    """Find actions that nothing carries out, and variables that an init script would not hand on."""
    for name, action in manifest.actions.items():
        if action.template is None and name not in _COMPOSED:
            message = "needs a `template`: there are no blocks of which it could be composed"
            yield ManifestProblem(path=("actions", name.value), code="template", message=message)
    has_scripts = any(InitKind.SYSVINIT in platform.init for platform in manifest.platforms)
    for index, service in enumerate(manifest.services):
        if service.environment and has_scripts and service.sysvinit is True:
            yield ManifestProblem(
                path=("services", index, "environment"),
                code="environment",
                message="would not reach it where its init script starts it",
                hint="say `sysvinit: false`: then our supervisor starts it there, or leave `sysvinit` out of `init`",
            )
