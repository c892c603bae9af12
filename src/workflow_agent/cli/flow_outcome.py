"""What commands say of a run of a person's own workflow: its result, or who drives it now."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from workflow_agent.cli.outcome import CommandFailedError, Outcome
from workflow_agent.model.status import TERMINAL_RUN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from workflow_agent.cli.flow_session import FlowEnded
    from workflow_agent.cli.invocation import Invocation
    from workflow_agent.security.secret import Secret

__all__ = ["detached_outcome", "ended_outcome", "revealed"]


def ended_outcome(ended: FlowEnded, *, streamed: bool = False) -> Outcome:
    """Give the result of a run that has ended.

    Raises:
        CommandFailedError: it did not succeed.
    """
    outcome = Outcome(data={"result": ended.result, **ended.report}, lines=lambda _: _lines(ended), streamed=streamed)
    if ended.error is not None:
        raise CommandFailedError(ended.error, outcome)
    return outcome


def _lines(ended: FlowEnded) -> Iterator[str]:
    if ended.error is None:
        yield json.dumps(ended.result, indent=2, ensure_ascii=False)


def revealed(secrets: Mapping[str, Secret]) -> dict[str, str]:
    """Give the values of secrets, for the pipe to the process that drives the run."""
    return {name: secret.reveal() for name, secret in secrets.items()}


def detached_outcome(invocation: Invocation, job: Mapping[str, Any]) -> Outcome:
    """Let a process of its own drive a run; its id is the data, how it is followed is talk.

    Raises:
        WorkflowAgentError: the run was refused.
    """
    from workflow_agent.cli.detaching import detach  # noqa: PLC0415  # late: few runs are

    begun = detach(invocation, job)
    run_id = begun["run_id"]
    if begun["status"] in TERMINAL_RUN:
        invocation.say(f"run {run_id} has ended: {begun['status']}")
    else:
        invocation.say(f"process {begun['pid']} drives run {run_id}, also when this terminal is closed")
        invocation.say(f"hint: `workflow-agent logs -f {run_id}` follows it, `workflow-agent cancel {run_id}` stops it")
    return Outcome(data=begun, lines=lambda _: [run_id])
