"""By what one sees on a target that an integration fits: programs that run, packages, ports."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from workflow_agent.integrations.kinds import ActionName
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from workflow_agent.integrations.manifest import Manifest

__all__ = ["Signs", "signs_of"]

_PARAMETER: Final = re.compile(r"\$\{\{\s*parameters\.(\w+)\s*\}\}")
_LISTEN: Final = re.compile(r"tcp/(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """What there is to look for. `monitors` says that it is something else that the integration looks after."""

    processes: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    monitors: bool = False


def signs_of(manifest: Manifest, other: Callable[[str], Manifest]) -> Signs:
    """Say by what one sees that an integration fits.

    Args:
        manifest: The integration.
        other: Gives another one by name; raises NotFoundError or ManifestError.
    """
    said = manifest.discovery
    if said is not None:
        return Signs(processes=said.processes, packages=said.packages, ports=said.ports, monitors=True)
    if not manifest.requires:
        return _own(manifest)
    required = [_own(other(name)) for name in manifest.requires]
    return Signs(
        processes=tuple(name for signs in required for name in signs.processes),
        packages=tuple(name for signs in required for name in signs.packages),
        ports=tuple(port for signs in required for port in signs.ports),
        monitors=True,
    )


def _own(manifest: Manifest) -> Signs:
    """Give the signs of the thing itself: its services' programs, its packages, the ports that it opens by default."""
    programs = [service.exe or _first(service.argv) for service in manifest.services]
    listens = [_with_defaults(manifest, listen) for service in manifest.services for listen in service.listens]
    return Signs(
        processes=tuple(dict.fromkeys(program.rsplit("/", 1)[-1] for program in programs if program)),
        packages=_own_packages(manifest),
        ports=tuple(dict.fromkeys(int(found[1]) for listen in listens if (found := _LISTEN.fullmatch(listen)))),
    )


def _own_packages(manifest: Manifest) -> tuple[str, ...]:
    """Give the packages that are the thing itself: what comes along with an install stays when it goes."""
    come, go = (_packages(manifest, action) for action in (ActionName.INSTALL, ActionName.UNINSTALL))
    return tuple(name for name in come if name in go) or come


def _packages(manifest: Manifest, name: ActionName) -> tuple[str, ...]:
    action = manifest.actions.get(name)
    declared = [package for packages in manifest.packages.values() for package in packages]
    packages = action.with_.get("packages", declared) if action is not None else ()
    named = packages if isinstance(packages, list | tuple) else ()
    return tuple(package for package in named if isinstance(package, str) and "$" not in package)


def _first(argv: tuple[object, ...]) -> str:
    return str(argv[0]) if argv and isinstance(argv[0], str) and argv[0].startswith("/") else ""


def _with_defaults(manifest: Manifest, text: str) -> str:
    def default(found: re.Match[str]) -> str:
        spec = manifest.parameters.get(found[1])
        return "" if spec is None or spec.default is None else str(spec.default)

    return _PARAMETER.sub(default, text)
