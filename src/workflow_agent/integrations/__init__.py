"""Integrations: manifests, parameters, the registry, lint.

Layout, lowest first::

    fields · checks · manifest      the models (pydantic)
    problems · schema_problems      what is wrong, in an author's words
    values · binding                parameters
    folder_files                    what lies in an integration's folder
    soundness · loading             text to a manifest, or every problem with its place
    brief · requirements            what is asked most often, without the rest
    resolving                       manifest + parameters + facts -> what is to be done
    base · described · discovery    what installed packages offer
    registry · linting · readme_page · schema

Names load when they are first used: pydantic costs 36 ms, which ``--help`` does not pay.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workflow_agent.integrations.base import Installation, IntegrationBase, IntegrationContext, Removal
    from workflow_agent.integrations.binding import bind_parameters, check_secret, parameter_hash
    from workflow_agent.integrations.brief import Brief
    from workflow_agent.integrations.discovery import Plugins
    from workflow_agent.integrations.linting import LintFinding, lint
    from workflow_agent.integrations.loading import load_manifest
    from workflow_agent.integrations.manifest import Manifest, Parameter
    from workflow_agent.integrations.readme_page import readme
    from workflow_agent.integrations.registry import Listing, Registry, builtin_folder, load_folder
    from workflow_agent.integrations.requirements import Requirement, requirements_of
    from workflow_agent.integrations.resolving import (
        ResolvedAction,
        ResolvedFile,
        ResolvedState,
        check_platform,
        resolve,
    )
    from workflow_agent.integrations.schema import manifest_schema

__all__ = [
    "Brief",
    "Installation",
    "IntegrationBase",
    "IntegrationContext",
    "LintFinding",
    "Listing",
    "Manifest",
    "Parameter",
    "Plugins",
    "Registry",
    "Removal",
    "Requirement",
    "ResolvedAction",
    "ResolvedFile",
    "ResolvedState",
    "bind_parameters",
    "builtin_folder",
    "check_platform",
    "check_secret",
    "lint",
    "load_folder",
    "load_manifest",
    "manifest_schema",
    "parameter_hash",
    "readme",
    "requirements_of",
    "resolve",
]

_HOMES = {
    "Brief": "brief",
    "IntegrationContext": "base",
    "Installation": "base",
    "IntegrationBase": "base",
    "Removal": "base",
    "Plugins": "discovery",
    "LintFinding": "linting",
    "Listing": "registry",
    "Requirement": "requirements",
    "requirements_of": "requirements",
    "Manifest": "manifest",
    "Parameter": "manifest",
    "Registry": "registry",
    "ResolvedAction": "resolving",
    "ResolvedFile": "resolving",
    "ResolvedState": "resolving",
    "bind_parameters": "binding",
    "check_secret": "binding",
    "builtin_folder": "registry",
    "check_platform": "resolving",
    "lint": "linting",
    "load_folder": "registry",
    "load_manifest": "loading",
    "manifest_schema": "schema",
    "parameter_hash": "binding",
    "readme": "readme_page",
    "resolve": "resolving",
}


def __getattr__(name: str) -> Any:  # Any: whatever the module holds
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
