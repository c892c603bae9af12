"""A run of a person's workflow before it is begun: which one it is, and whether it is the one that exists."""

from __future__ import annotations

import hashlib
import socket
from dataclasses import field
from typing import TYPE_CHECKING, Any

from workflow_agent.app.application import current_user
from workflow_agent.authoring.durability import durability_of
from workflow_agent.authoring.flow_lowering import INPUT, INSTANCE, is_open
from workflow_agent.authoring.sdk.compiling import compile_workflow, instance_input, instance_to_run
from workflow_agent.authoring.sdk.values import as_json
from workflow_agent.engine import checked_inputs
from workflow_agent.engine.driver import run_id_of_key
from workflow_agent.model.errors import ConflictError, NotFoundError, ParameterError, ValidationError
from workflow_agent.model.identity import content_hash, new_run_id
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.model.records import dataclass
from workflow_agent.model.status import OWN_ACTION
from workflow_agent.security.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from workflow_agent.model.event import Event
    from workflow_agent.model.workflow import Durability, Workflow

__all__ = ["FlowRun", "check_same", "check_steps", "child_id", "missing_secrets", "prepared", "secrets_of"]

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
#: Characters of a run id that are random; those before them are its time.
_RANDOM = 16
_TIME = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRun:
    """A run before it is begun."""

    run_id: str
    definition: Workflow
    inputs: Mapping[str, Any]
    instance: object | None
    secrets: Mapping[str, Secret]
    meta: Mapping[str, Any]
    #: What the run's first record says besides: breakpoints, and what it keeps of the run that it is made from.
    beginning: Mapping[str, Any] = field(default_factory=dict)
    durability: Durability | None = None
    #: It is only brought to its end: credentials that cannot be had any more do not keep it from that.
    is_ending: bool = False


def prepared(
    workflow: Any,
    given: Mapping[str, Any],
    *,
    run_id: str | None = None,
    secrets: Mapping[str, str | Secret] | None = None,
    tags: Mapping[str, str] | None = None,
    idempotency_key: str | None = None,
    break_before: Collection[str] = (),
    durability: str | None = None,
    made_with: Mapping[str, Any] | None = None,
    **meta: Any,  # Any: JSON values
) -> FlowRun:
    """Say which run is wanted.

    Args:
        workflow: What :func:`compile_workflow` takes.
        given: The run's input.
        run_id: The id; made from the key, or fresh, when None.
        secrets: Values of at least 8 characters, by name. They stay in memory.
        tags: Kept with the run.
        idempotency_key: The run of this workflow with this key is begun once.
        break_before: Steps before which the run pauses.
        durability: When its records reach the disk; as the workflow says when None.
        made_with: What the class of a definition was made with, as `instance_input` gives it.
        meta: Kept with the run.

    Raises:
        ValidationError: the workflow, the input or a secret is not valid.
        NotFoundError: there is no such step to pause before.
    """
    definition = compile_workflow(workflow)
    check_steps(definition, break_before)
    instance = instance_to_run(workflow)
    values = as_json(dict(given), what="the input", where=f"workflow {definition.name}")
    inputs = {INPUT: values} if is_open(definition) else values
    if INSTANCE in definition.inputs:
        inputs[INSTANCE] = instance_input(instance) if made_with is None else dict(made_with)
    if run_id is None:
        run_id = new_run_id() if idempotency_key is None else run_id_of_key(definition.name, idempotency_key)
    kept = {
        "action": OWN_ACTION,
        "host": socket.gethostname(),
        "user": current_user(),
        "tags": dict(tags or {}),
        **meta,
    }
    if secrets:
        kept["secrets"] = sorted(secrets)  # their names, so that who takes the run up can be asked for them
    if idempotency_key is not None:
        kept["idempotency_key"] = idempotency_key
    return FlowRun(
        run_id=run_id,
        definition=definition,
        inputs=inputs,
        instance=instance,
        secrets=secrets_of(secrets or {}),
        meta=as_json(kept, what="the tags"),
        beginning={"break_before": sorted(break_before)} if break_before else {},
        durability=None if durability is None else durability_of(durability),
    )


def check_steps(definition: Workflow, names: Iterable[str]) -> None:
    """Check that steps are main steps of a workflow; raises NotFoundError."""
    known = [step.id for step in definition.steps if not step.always]
    for name in names:
        if name not in known:
            raise NotFoundError(
                f"`{definition.name}` has no step `{name[:60]}`", where="break before", hint=did_you_mean(name, known)
            )


def missing_secrets(created: Event, given: Mapping[str, Secret]) -> None:
    """Check that a run that is taken up has the secrets that it was begun with.

    Raises:
        ParameterError: some are not there; they are named.
    """
    missing = [name for name in created.data["meta"].get("secrets", ()) if name not in given]
    if missing:
        told = ", ".join(f"`{name}`" for name in missing)
        options = " ".join(f"--secret {name}=SOURCE" for name in missing)
        raise ParameterError(
            f"the run was begun with secrets, which are not kept: {told}",
            run_id=created.run_id,
            state="the run stands where it stood",
            hint=f"add `{options}`: env:NAME, file:PATH or -",
            details={"secrets": missing},
        )


def secrets_of(values: Mapping[str, str | Secret]) -> dict[str, Secret]:
    """Make secrets of texts; raises ValidationError, without the value, for what can be none."""
    return {name: _secret(name, value) for name, value in values.items()}


def _secret(name: str, value: str | Secret) -> Secret:
    if isinstance(value, Secret):
        return value
    try:
        return Secret(value)
    except (ValueError, TypeError) as error:
        raise ValidationError(f"the secret `{name[:60]}` {error}", where="secrets") from None


def child_id(parent: str, step: str, definition: Workflow, given: Any, number: int) -> str:  # Any: a JSON value
    """Give the id of a child, the same for every attempt at the step; it sorts beside its parent."""
    key = content_hash([parent, step, definition.hash, given, number])
    return parent[: len("r-") + _TIME] + _characters(key, _RANDOM)


def _characters(text: str, length: int) -> str:
    number = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
    return "".join(_ALPHABET[(number >> (5 * place)) & 31] for place in range(length))


def check_same(run: FlowRun, created: Mapping[str, Any]) -> None:
    """Compare a run with the one that the journal has under its id, as its RunCreated says.

    Raises:
        ConflictError: that is a run of another workflow, or with another input.
    """
    for name, known, wanted in (
        ("workflow", created["workflow_hash"], run.definition.hash),
        ("input", content_hash(created["inputs"]), content_hash(checked_inputs(run.definition, run.inputs))),
    ):
        if known != wanted:
            raise ConflictError(
                f"run {run.run_id} exists, with another {name}",
                run_id=run.run_id,
                hint="an idempotency key stands for one workflow with one input: use another key",
            )
