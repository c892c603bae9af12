"""The sets of credentials that the steps of a workflow name: found and read before anything of the run is done."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.app.settings import load_settings
from workflow_agent.authoring.flow_lowering import WITH_ENVIRONMENT
from workflow_agent.model.errors import ValidationError, WorkflowAgentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from workflow_agent.model.workflow import Workflow
    from workflow_agent.security.credentials import CredentialSet
    from workflow_agent.security.secret import Secret

__all__ = ["credentials_of", "listed_credentials"]

_KEY: Final = "credentials"


def credentials_of(
    definition: Workflow, known: Mapping[str, CredentialSet], environ: Mapping[str, str], *, may_lack: bool = False
) -> dict[str, dict[str, str | Secret]]:
    """Read all sets that steps of a workflow name, each once.

    With `may_lack`, those that cannot be had are left out: the steps that name them fail, and others do not.

    Raises:
        NotFoundError: the settings have no such set.
        ValidationError: two sets of one step have the same variable, or what names them is no list of names.
        ParameterError: a value cannot be read.
    """
    asked = [*_asked(definition)]
    if not asked:
        return {}
    found: dict[str, dict[str, str | Secret]] = {}
    for where, names in asked:
        try:
            found |= _read(where, names, known, environ)
        except WorkflowAgentError as error:
            error.state = error.state or "no step was started"
            if not may_lack:
                raise
    return found


def _read(
    where: str,
    names: Any,  # Any: a JSON value
    known: Mapping[str, CredentialSet],
    environ: Mapping[str, str],
) -> dict[str, dict[str, str | Secret]]:
    from workflow_agent.security.credentials import named_sets, read_set  # noqa: PLC0415  # late: few steps name one

    if not isinstance(names, list | tuple):
        raise ValidationError("`credentials` is a list of names", where=where)
    return {each.name: read_set(each, environ) for each in named_sets(names, known, where)}


def _asked(definition: Workflow) -> Iterator[tuple[str, Any]]:  # Any: JSON values
    for step in (*definition.steps, *definition.on_failure):
        where = f"{definition.name} › {step.id}"
        if step.uses in WITH_ENVIRONMENT and _KEY in step.with_:
            yield where, step.with_[_KEY]
        undo = step.undo or {}
        if undo.get("uses") in WITH_ENVIRONMENT and _KEY in undo.get("with", {}):
            yield f"{where} › undo", undo["with"][_KEY]


def listed_credentials(overrides: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
    """List the sets of the settings, sorted: name, description, variables (name, source, available); no value.

    Args:
        overrides: Settings by ``section.key``, above the environment.
    """
    from workflow_agent.security.credentials import described  # noqa: PLC0415  # late: few ask

    sets = load_settings(None, overrides or {}, os.environ).credentials
    return [described(sets[name], os.environ) for name in sorted(sets)]
