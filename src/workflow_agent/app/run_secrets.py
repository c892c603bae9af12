"""The secrets of a run: checked by their declarations, and replaced by references before anything is written down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import ParameterError
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.security.fingerprint import FingerprintKey
from workflow_agent.security.marks import reference, reference_name
from workflow_agent.security.sources import how_to_give

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from workflow_agent.integrations import Manifest, Registry
    from workflow_agent.security.secret import Secret

__all__ = ["referring_inputs"]


def referring_inputs(
    inputs: Mapping[str, Any], secrets: Mapping[str, Secret], registry: Registry, state: Path
) -> dict[str, Any]:
    """Give a run's inputs with references in the place of secrets.

    Args:
        inputs: Of the run; `integration` and `parameters` count.
        secrets: By the names of parameters.
        registry: Knows which parameters are secrets.
        state: The state folder, where the key of the references' digests is.

    Raises:
        ParameterError: a secret stands among the parameters as its value; a secret's name is none, or its value does
            not fit its declaration. No value is repeated.
        NotFoundError: there is no such integration.
        StoreError: the key cannot be used.
    """
    parameters = inputs.get("parameters")
    given = dict(parameters) if isinstance(parameters, dict) else {}
    if not inputs.get("integration"):
        if "run" not in inputs:  # what happens to an earlier run may need the secrets that it had
            _refuse_homeless(secrets)
        return dict(inputs)
    manifest = registry.find(str(inputs["integration"]))
    _refuse_values(manifest, given)
    for name, secret in secrets.items():
        _check(manifest, name, secret)
    if secrets:
        key = FingerprintKey.open(state)
        given |= {name: reference(name, key.digest(name, secret.reveal())) for name, secret in secrets.items()}
    return {**inputs, "parameters": given}


def _refuse_homeless(secrets: Mapping[str, Secret]) -> None:
    if secrets:
        raise ParameterError(f"nothing takes the secret `{min(secrets)}` here", where="--secret")


def _refuse_values(manifest: Manifest, given: Mapping[str, Any]) -> None:
    """Refuse values before they reach the journal: from `--param` they are in the process list already."""
    for name, declared in manifest.parameters.items():
        if declared.secret and given.get(name) is not None and reference_name(given[name]) != name:
            raise ParameterError(
                f"`{name}` of {manifest.name} is a secret and does not belong among the parameters",
                where=f"{manifest.name} › {name}",
                cause="the process list, the shell's history and the run's record would show it",
                state="nothing was changed, and the value was not kept",
                hint=how_to_give(name),
            )


def _check(manifest: Manifest, name: str, secret: Secret) -> None:
    from workflow_agent.integrations import check_secret  # noqa: PLC0415  # late: pydantic, 36 ms

    declared = manifest.parameters.get(name)
    where = f"{manifest.name} › {name}"
    if declared is None:
        known = [each for each, spec in manifest.parameters.items() if spec.secret]
        raise ParameterError(f"{manifest.name} has no secret `{name}`", where=where, hint=did_you_mean(name, known))
    if not declared.secret:
        raise ParameterError(f"`{name}` of {manifest.name} is no secret", where=where, hint=f"`--param {name}=...`")
    check_secret(declared, name, secret.reveal())
