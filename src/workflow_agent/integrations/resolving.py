"""From manifest, action, parameters and facts to what is to be done: everything interpolated, nothing written.

Pure. Expressions see ``parameters`` and ``facts``; those of `files`, `checks` and `negative_checks` see
``services.<name>.argv`` and ``.arguments`` (without the program) as well.
"""

from __future__ import annotations

import dataclasses
from dataclasses import field
from typing import TYPE_CHECKING, Any

from workflow_agent.integrations.families import packages_of, setup_of, template_of
from workflow_agent.integrations.fitting import bound_check
from workflow_agent.integrations.kinds import COMMON_CHECK_KEYS, ActionName
from workflow_agent.model.errors import (
    ExpressionError,
    ManifestError,
    MissingCapabilityError,
    NotFoundError,
    UnsupportedPlatformError,
)
from workflow_agent.model.expression import interpolate, parse, text_of
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.records import dataclass
from workflow_agent.model.system import Check, Effect, EffectCommand, InitKind, Service
from workflow_agent.security.marks import mark, marked_names, reference_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from workflow_agent.integrations.checks import CheckSpec
    from workflow_agent.integrations.manifest import (
        Argument,
        CommandDeclaration,
        EffectDeclaration,
        FileDeclaration,
        Item,
        Manifest,
        Platform,
        ServiceDeclaration,
    )
    from workflow_agent.model.system import TargetFacts

__all__ = [
    "ResolvedAction",
    "ResolvedFile",
    "ResolvedState",
    "check_platform",
    "resolve",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedFile:
    """A file as declared, interpolated; exactly one of `values`, `content`, `template` is set."""

    path: str
    format: str
    values: Any = None  # Any: a JSON value
    content: str | None = None
    template: str | None = None
    mode: str = "0644"
    owner: str = "root:root"
    validate: tuple[str, ...] = ()
    validate_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedState:
    """Data that the service makes: `policy` is keep, snapshot or drop."""

    path: str
    policy: str
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedAction:
    """What an action of an integration means on one target.

    `template` is looked up from `folder` first; without one the script is composed of what is known. `context` is
    what the template may name: the action's `with` keys, ``packages``, ``parameters`` and ``facts``. `setup` is what
    goes around the script: users, directories and hooks. `checks` hold when the action is done; `negative_checks`
    when it is taken back.
    """

    integration: str
    action: str
    version: str
    manifest_hash: str
    template: str
    folder: Path
    context: Mapping[str, Any]
    timeout_s: float | None = None
    setup: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[ResolvedFile, ...] = ()
    services: tuple[Service, ...] = ()
    checks: tuple[Check, ...] = ()
    negative_checks: tuple[Check, ...] = ()
    state_data: tuple[ResolvedState, ...] = ()
    effects: tuple[Effect, ...] = ()
    requires: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    documentation: tuple[Mapping[str, str], ...] = field(default=())


def _suits(platform: Platform, facts: TargetFacts) -> bool:
    return (
        platform.family in {facts.os_id, *facts.os_like}
        and facts.os_id in platform.os
        and (not platform.releases or facts.os_version in platform.releases)
        and (not platform.architectures or facts.architecture in platform.architectures)
        and facts.init in platform.init
    )


def _platform_text(platform: Platform) -> str:
    parts = ["/".join(platform.os), "/".join(platform.releases), "/".join(platform.architectures)]
    return " ".join(part for part in parts if part) + " with init " + "/".join(platform.init)


def check_platform(manifest: Manifest, facts: TargetFacts) -> None:
    """Raise UnsupportedPlatformError, naming what is supported, when the manifest does not cover the target."""
    if any(_suits(platform, facts) for platform in manifest.platforms):
        return
    supported = [_platform_text(platform) for platform in manifest.platforms]
    found = f"{facts.os_id} {facts.os_version} {facts.architecture} with init {facts.init}"
    raise UnsupportedPlatformError(
        f"{manifest.name} does not support {found}",
        where=facts.target,
        hint="supported: " + "; ".join(supported),
        details={"found": found, "supported": supported},
    )


def _check_capabilities(manifest: Manifest, names: Mapping[str, Any], facts: TargetFacts) -> None:
    if facts.capabilities is None:
        return
    needed = [need.name.value for need in manifest.capabilities if _holds(need.when, names)]
    missing = [name for name in needed if name not in facts.capabilities]
    if missing:
        raise MissingCapabilityError(
            f"capability missing: {manifest.name} needs {', '.join(missing)}",
            where=facts.target,
            cause="the kernel gives it to no process there",
            state="nothing was changed",
            hint="install it on the host itself, or give the container the capability where the kernel lets it use it",
            details={"missing": missing},
        )


def _marked(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Put marks in the place of references, so that expressions can put them anywhere."""
    secrets = {name: reference_name(value) for name, value in parameters.items()}
    return {name: mark(secret) if (secret := secrets[name]) else value for name, value in parameters.items()}


def _holds(condition: str | None, names: Mapping[str, Any]) -> bool:
    return condition is None or parse(condition).holds(names)


def _text(value: Any) -> str:  # Any: what an expression gave
    return "" if value is None else text_of(value)


def _path(declared: str, names: Mapping[str, Any]) -> str:
    path = _text(interpolate(declared, names))
    if not path.startswith("/") or ".." in path.split("/") or any(char < " " for char in path):
        raise ManifestError(
            f"`{declared}` became `{path[:60]}`, which is no absolute path",
            hint="use a parameter of type path",
        )
    return path


def _item(item: Item, names: Mapping[str, Any]) -> Iterable[str]:
    rounds = [names]
    if item.each is not None:
        rounds = [{**names, "item": value} for value in parse(item.each).evaluate(names) or ()]
    for scope in rounds:
        if _holds(item.when, scope):
            yield _text(interpolate(item.value, scope))


def _arguments(declared: Iterable[Argument], names: Mapping[str, Any]) -> list[str]:
    """Resolve an argument vector; a whole ``${{ list }}`` is spliced in."""
    result: list[str] = []
    for argument in declared:
        if not isinstance(argument, str):
            result.extend(_item(argument, names))
            continue
        value = interpolate(argument, names)
        result.extend(map(_text, value) if isinstance(value, list | tuple) else [_text(value)])
    return result


def _service(declared: ServiceDeclaration, names: Mapping[str, Any], *, start: bool) -> Service:
    return Service(
        name=declared.name,
        argv=tuple(_arguments(declared.argv, names)),
        user=declared.user,
        environment_file=declared.environment_file,
        environment={name: _text(interpolate(value, names)) for name, value in declared.environment.items()},
        directories=tuple(
            {"path": _path(entry.path, names), "mode": entry.mode, "owner": entry.owner}
            for entry in declared.directories
        ),
        exe=declared.exe,
        listens=tuple(_text(interpolate(port, names)) for port in declared.listens),
        reload=declared.reload,
        start=start and declared.start,
        sysvinit=_truth(declared.sysvinit, names, declared.name),
    )


def _variable_files(services: Iterable[Service], facts: TargetFacts) -> Iterator[ResolvedFile]:
    """Give the drop-ins by which systemd hands on the variables of services."""
    for service in services if facts.init == InitKind.SYSTEMD else ():
        if service.environment:
            yield ResolvedFile(
                path=f"/etc/systemd/system/{service.name}.service.d/50-workflow-agent.conf",
                format="systemd",
                values={"Service": {"Environment": dict(service.environment)}},
            )


def _truth(declared: bool | str, names: Mapping[str, Any], where: str) -> bool:
    value = interpolate(declared, names)
    if not isinstance(value, bool):
        raise ManifestError(f"`{declared}` became no truth value", where=where)
    return value


def _effect(declared: EffectDeclaration, names: Mapping[str, Any]) -> Effect:
    return Effect(
        id=declared.id or "",
        kind=declared.kind.value,
        description=_text(interpolate(declared.description, names)),
        do=_command(declared.do, names),
        undo=_command(declared.undo, names),
        probe=_command(declared.probe, names),
    )


def _effects(manifest: Manifest, names: Mapping[str, Any], *, leaving: bool) -> Iterable[Effect]:
    """Give the effects; an uninstall takes away what can be taken away, in the other order."""
    effects = [_effect(entry, names) for entry in manifest.effects if _holds(entry.when, names)]
    if not leaving:
        return effects
    return [
        dataclasses.replace(effect, do=effect.undo, undo=effect.do, gone=True)
        for effect in reversed(effects)
        if effect.do is not None
    ]


def _command(declared: CommandDeclaration | None, names: Mapping[str, Any]) -> EffectCommand | None:
    if declared is None:
        return None
    data = interpolate(declared.model_dump(mode="json", exclude_none=True), names)
    return EffectCommand(
        argv=tuple(map(_text, data["argv"])),
        stdin=None if "stdin" not in data else _text(data["stdin"]),
        timeout_s=declared.timeout,
        stdout_contains=None if "stdout_contains" not in data else _text(data["stdout_contains"]),
    )


def _file(declared: FileDeclaration, names: Mapping[str, Any]) -> ResolvedFile:
    content = None
    if declared.content is not None:
        content = _text(interpolate(declared.content, names))
    values = interpolate(declared.values, names)
    is_private = "mode" not in declared.model_fields_set and marked_names([values, content])
    return ResolvedFile(
        path=_path(declared.path, names),
        format=declared.format.value,
        values=values,
        content=content,
        template=declared.template,
        mode="0600" if is_private else declared.mode,
        owner=declared.owner,
        **_validation(declared, names),
    )


def _validation(declared: FileDeclaration, names: Mapping[str, Any]) -> dict[str, Any]:
    if declared.validate_ is None:
        return {}
    argv = tuple(_text(interpolate(word, names)) for word in declared.validate_.argv)
    return {"validate": argv, "validate_s": declared.validate_.timeout}


def _check(declared: CheckSpec, names: Mapping[str, Any], where: str) -> Check:
    """Interpolate a check and validate it once more: an expression may have given the wrong type."""
    data = declared.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"when"})
    data = interpolate(data, names)
    bound = bound_check(data) or _judged(data, declared.id, where)
    spec = bound.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=set(COMMON_CHECK_KEYS))
    return Check(id=bound.id, kind=bound.kind, spec=spec, description=bound.description, timeout_s=bound.timeout)


def _judged(data: Any, name: str, where: str) -> CheckSpec:
    from pydantic import ValidationError as PydanticError  # noqa: PLC0415  # late: 200 ms, with the models

    from workflow_agent.integrations.checks import check_adapter  # noqa: PLC0415
    from workflow_agent.integrations.fields import BOUND  # noqa: PLC0415
    from workflow_agent.integrations.schema_problems import problems_of  # noqa: PLC0415

    try:
        return check_adapter().validate_python(data, context=dict(BOUND))
    except PydanticError as error:
        problems = problems_of(error, {"checks": [data]}, prefix=("checks", 0))
        raise ManifestError(
            f"`{name}` became invalid: `{problems[0].path[-1]}` {problems[0].message}",
            where=where,
            hint="the expression gives another type than the key needs",
        ) from error


def _checks(declared: Iterable[CheckSpec], names: Mapping[str, Any], where: str) -> tuple[Check, ...]:
    return tuple(_check(entry, names, where) for entry in declared if _holds(entry.when, names))


def _action_name(manifest: Manifest, action: str) -> ActionName:
    known = [name.value for name in manifest.actions]
    if action not in known:
        raise NotFoundError(
            f"{manifest.name} has no action `{action[:60]}`",
            where=manifest.name,
            hint=did_you_mean(action, known),
        )
    return ActionName(action)


def _state_data(manifest: Manifest, names: Mapping[str, Any]) -> tuple[ResolvedState, ...]:
    return tuple(
        ResolvedState(
            path=_path(entry.path, names),
            policy=entry.policy.value,
            description=entry.description,
        )
        for entry in manifest.state_data
    )


def resolve(
    manifest: Manifest,
    action: str,
    parameters: Mapping[str, Any],
    facts: TargetFacts,
) -> ResolvedAction:
    """Say what an action means here.

    Args:
        manifest: A loaded manifest.
        action: ``install``, ``upgrade``, ``configure`` or ``uninstall``, as far as the manifest has it.
        parameters: As ``bind_parameters`` gives them.
        facts: Of the target.

    Returns:
        For ``uninstall`` no files are written, services are not started again, effects are taken away, and the
        checks are the manifest's negative ones.

    Raises:
        NotFoundError: the manifest has no such action.
        UnsupportedPlatformError: the target is none of its platforms.
        MissingCapabilityError: the target lacks a capability that it needs; an `uninstall` needs none.
        ManifestError: an expression gave a value of the wrong type.
    """
    name = _action_name(manifest, action)
    check_platform(manifest, facts)
    try:
        return _resolve(manifest, name, parameters, facts)
    except ExpressionError as error:
        raise ManifestError(
            f"an expression of {manifest.name} failed: {error.message}",
            where=f"{manifest.name} › {action}",
            cause=error.where,
            hint=error.hint,
        ) from error


def _resolve(
    manifest: Manifest,
    name: ActionName,
    parameters: Mapping[str, Any],
    facts: TargetFacts,
) -> ResolvedAction:
    leaving = name is ActionName.UNINSTALL
    names: dict[str, Any] = {"parameters": _marked(parameters), "facts": dataclasses.asdict(facts)}
    packages = packages_of(manifest, facts)
    named: dict[str, Any] = {"packages": list(packages)} if packages else {}
    if not leaving:
        _check_capabilities(manifest, names, facts)
    declared_services = [entry for entry in manifest.services if _holds(entry.when, names)]
    services = tuple(_service(entry, names, start=not leaving) for entry in declared_services)
    declared = manifest.actions[name]
    context = {**named, **interpolate(declared.with_, names | named), **names}
    names |= named
    names["services"] = {
        entry.name: {"argv": list(entry.argv), "arguments": list(entry.argv[1:])} for entry in services
    }
    where = f"{manifest.name} › {name}"
    negative = _checks(manifest.negative_checks, names, where)
    files = [_file(entry, names) for entry in manifest.files if _holds(entry.when, names)]
    files += _variable_files(services, facts)
    return ResolvedAction(
        integration=manifest.name,
        action=name.value,
        version=manifest.version,
        manifest_hash=manifest.hash,
        template=template_of(manifest, name, facts),
        folder=manifest.folder,
        context=context,
        timeout_s=declared.timeout,
        setup=setup_of(manifest, name, [_path(entry.path, names) for entry in manifest.directories]),
        files=() if leaving else tuple(files),
        services=services,
        checks=negative if leaving else _checks(manifest.checks, names, where),
        negative_checks=() if leaving else negative,
        state_data=_state_data(manifest, names),
        effects=tuple(_effects(manifest, names, leaving=leaving)),
        requires=manifest.requires,
        conflicts=manifest.conflicts,
        documentation=tuple({"url": entry.url, "title": entry.title} for entry in manifest.documentation),
    )
