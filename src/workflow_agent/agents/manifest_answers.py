"""What a manifest means for parameters and for a target: answers that the registry may know already.

Each is a pure function of the integration's folder and what is said in the question, so that it can be remembered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.agents.lifecycle import leaving_parts
from workflow_agent.model.data import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.integrations import Manifest, Registry, ResolvedAction
    from workflow_agent.model.system import TargetFacts

__all__ = ["bound_parameters", "resolved_parts"]


def bound_parameters(registry: Registry, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Give all parameters of an integration, and their hash.

    Raises:
        ParameterError: what is given cannot be meant.
    """

    def derive(manifest: Manifest) -> dict[str, Any]:
        from workflow_agent.integrations import bind_parameters, parameter_hash  # noqa: PLC0415  # late: pydantic

        parameters = bind_parameters(manifest, given)
        return {"parameters": parameters, "hash": parameter_hash(parameters)}

    found: dict[str, Any] = registry.derived(name, {"what": "parameters", "given": plain(given)}, derive)
    return found


def resolved_parts(
    registry: Registry,
    name: str,
    action: str,
    parameters: Mapping[str, Any],
    facts: TargetFacts,
    *,
    purge: bool | None,
) -> dict[str, Any]:
    """Say what an action means on a target, as parts of a lookup's reply; `purge` is that of an uninstall.

    Raises:
        UnsupportedPlatformError: the integration is not for that target.
        ManifestError: an expression gives a value of the wrong type.
    """

    def derive(manifest: Manifest) -> dict[str, Any]:
        from workflow_agent.integrations import resolve  # noqa: PLC0415  # late: pydantic

        resolved = resolve(manifest, action, parameters, facts)
        parts: dict[str, Any] = plain(_parts(resolved) | leaving_parts(resolved, purge))
        return parts

    question = {"what": "action", "action": action, "parameters": parameters, "facts": plain(facts), "purge": purge}
    found: dict[str, Any] = registry.derived(name, question, derive)
    return found


def _parts(resolved: ResolvedAction) -> dict[str, Any]:
    return {
        "template": resolved.template,
        "folder": str(resolved.folder),
        "context": dict(resolved.context),
        "setup": dict(resolved.setup),
        "files": [plain(item) for item in resolved.files],
        "services": [plain(service) for service in resolved.services],
        "checks": [plain(check) for check in resolved.checks],
        "negative_checks": [plain(check) for check in resolved.negative_checks],
        "state_data": [plain(item) for item in resolved.state_data],
        "effects": [plain(effect) for effect in resolved.effects],
        "requires": list(resolved.requires),
    }
