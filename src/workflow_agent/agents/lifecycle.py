"""What an action means for something that is installed already: its parameters, what differs, what stays, what goes.

Pure; the knowledge agent asks. What belongs here: decisions from a manifest and a generation. What does not: reading
history and targets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.agents.serving import plain
from workflow_agent.model.errors import ConflictError, NotFoundError
from workflow_agent.model.system import Check
from workflow_agent.security.marks import reference_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from workflow_agent.integrations import Brief, Manifest, ResolvedAction
    from workflow_agent.model.system import Generation, Service

__all__ = [
    "ACTIONS_ON_INSTALLED",
    "copied_parts",
    "differences",
    "given_parameters",
    "gone_checks",
    "is_removable",
    "leaving_parts",
    "manifest_action",
    "refuse_not_installed",
    "refuse_required",
    "refuse_upgrade",
]

#: Actions that only make sense for what is installed.
ACTIONS_ON_INSTALLED = frozenset({"upgrade", "repair"})
#: Actions that go on with the parameters of what is installed where none are given.
_ON_BASE = frozenset({"verify", "upgrade", "repair", "uninstall"})
_SECRET = "(secret)"  # noqa: S105 - stands for one
#: Folders of the system: nothing in them is an integration's data before the third name of its path.
_SYSTEM = frozenset({"bin", "etc", "home", "lib", "lib32", "lib64", "libx32", "media", "mnt", "sbin", "usr", "var"})
_SYSTEM_DEPTH = 2
_NOT_ON_DISK = frozenset({"boot", "dev", "proc", "run", "sys", "tmp", ".workflow-agent"})
_OURS = "/var/lib/workflow-agent"


def manifest_action(manifest: Manifest | Brief, action: str) -> str:
    """Give the action of the manifest that carries out what is asked for."""
    if action == "uninstall":
        return action
    return action if action in {str(name) for name in manifest.actions} else "install"


def given_parameters(
    action: str, declared: Iterable[str], given: Mapping[str, Any], installed: Generation | None
) -> dict[str, Any]:
    """Give what a person gave, on the base of what is installed where the action goes on with that.

    A parameter of the installed version that the manifest does not declare any more is left out. `verify` takes its
    parameters from one of both: what is given, but for secrets, is a question about another installation.
    """
    asks_otherwise = action == "verify" and any(reference_name(value) is None for value in given.values())
    if installed is None or action not in _ON_BASE or asks_otherwise:
        return dict(given)
    known = frozenset(declared)
    base = {name: value for name, value in installed.parameters.items() if value is not None and name in known}
    return base | dict(given)


def differences(manifest: Manifest | Brief, parameters: Mapping[str, Any], installed: Generation) -> dict[str, Any]:
    """Say what is another one than in what is installed.

    Returns:
        ``{version: {before, after} | None, parameters: [{name, before, after}], dropped: [name]}``; values of secrets
        are not in it.
    """
    secret = {name for name, spec in manifest.parameters.items() if spec.secret}
    before = installed.parameters
    changed = [
        {
            "name": name,
            "before": _SECRET if name in secret and before.get(name) is not None else before.get(name),
            "after": _SECRET if name in secret and value is not None else value,
        }
        for name, value in parameters.items()
        if before.get(name) != value
    ]
    versions = {"before": installed.manifest_version, "after": manifest.version}
    return {
        "version": versions if installed.manifest_version != manifest.version else None,
        "parameters": changed,
        "dropped": sorted(name for name in before if name not in manifest.parameters),
    }


def refuse_not_installed(manifest: Manifest | Brief, action: str, target: str, installed: Generation | None) -> None:
    """Raise NotFoundError for an action on what is not installed by us."""
    if installed is None and action in ACTIONS_ON_INSTALLED:
        raise NotFoundError(
            f"`{manifest.name}` was not installed on `{target}` by workflow-agent, or is not any more",
            state="nothing was changed",
            hint=f"`workflow-agent install {manifest.name}`",
        )


def refuse_upgrade(manifest: Manifest | Brief, installed: Generation) -> None:
    """Raise ConflictError where a manifest cannot follow the installed one."""
    if installed.manifest_hash == manifest.hash:
        return
    name, before = manifest.name, installed.manifest_version
    if _numbers(manifest.version) < _numbers(before):
        raise ConflictError(
            f"version {before} of `{name}` is installed, {manifest.version} is older",
            state="nothing was changed",
            hint=f"`workflow-agent rollback {installed.run_id}` goes back to what was before",
        )
    policy = str(manifest.upgrade.policy)
    if policy != "in-place":
        raise ConflictError(
            f"version {manifest.version} of `{name}` does not follow {before} in place (its manifest: `{policy}`)",
            cause=manifest.upgrade.notes or None,
            state="nothing was changed",
            hint=f"`workflow-agent uninstall {name}`, then install it" if policy == "reinstall" else None,
        )


def refuse_required(name: str, target: str, needed_by: Sequence[str]) -> None:
    """Raise ConflictError where something that is installed needs what is to go."""
    if needed_by:
        others = ", ".join(f"`{other}`" for other in needed_by)
        raise ConflictError(
            f"`{name}` is required by what is installed on `{target}`: {others}",
            state="nothing was changed",
            hint=f"first `workflow-agent uninstall {needed_by[0]}`",
            details={"required_by": list(needed_by)},
        )


def leaving_parts(resolved: ResolvedAction, purge: bool | None) -> dict[str, Any]:
    """Say what an uninstall stops, keeps and removes; nothing of it for other actions (`purge` is None).

    State data is kept unless its policy is to drop it, or everything is purged; what the system itself is made of stays
    even then.
    """
    if purge is None:
        return {"stops": [], "keep": [], "removes": []}
    kept = [item.path for item in resolved.state_data if not purge and item.policy != "drop"]
    going = [item.path for item in resolved.state_data if purge or item.policy == "drop"]
    kept += [path for path in going if not is_removable(path)]
    return {
        "stops": [service.name for service in resolved.services],
        "keep": kept,
        "removes": [path for path in going if path not in kept],
        "context": {**resolved.context, "purge": bool(purge or resolved.context.get("purge"))},
        "checks": [plain(check) for check in gone_checks(resolved.services, resolved.checks)],
    }


def copied_parts(state_data: Sequence[Mapping[str, Any]], action: str, *, purge: bool) -> list[str]:
    """Name the data of which a copy is taken first: what is purged has its before-images."""
    if action not in {"upgrade", "uninstall"} or purge:
        return []
    paths = [str(item["path"]) for item in state_data if item["policy"] == "snapshot"]
    return [path for path in paths if is_removable(path)]


def _numbers(version: str) -> tuple[int, ...]:
    """Read the three numbers of a version."""
    return tuple(int(part) for part in version.partition("-")[0].split(".") if part.isdigit())


def is_removable(path: str) -> bool:
    """Tell whether a path may go as an integration's data: it is no folder that the system itself is made of."""
    names = [name for name in path.split("/") if name]
    if len(names) < _SYSTEM_DEPTH or names[0] in _NOT_ON_DISK or path == _OURS or path.startswith(f"{_OURS}/"):
        return False
    return len(names) > _SYSTEM_DEPTH or names[0] not in _SYSTEM


def gone_checks(services: Sequence[Service], declared: Sequence[Check]) -> list[Check]:
    """Give the checks that something is gone: those of the manifest, and what they leave open about its services.

    A service that is stopped is proven to have no process; a port that its program still holds is somebody else's
    copy of it, or one that was started by hand.
    """
    ports = {str(check.spec["port"]) for check in declared if check.kind == "port"}
    checks = list(declared)
    for service in services:
        for listen in service.listens:
            protocol, _, port = listen.partition("/")
            if port in ports:
                continue
            spec: dict[str, Any] = {"port": int(port), "protocol": protocol, "open": False}
            spec |= {"process": service.exe} if service.exe else {}
            name = f"{service.name}-{protocol}-{port}-closed"
            text = "The program holds the port no more."
            checks.append(Check(id=name, kind="port", spec=spec, description=text))
    return checks
