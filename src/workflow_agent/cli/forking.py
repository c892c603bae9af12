"""``retry`` and ``fork``: what will be done again is shown and asked about, then the new run is driven."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

from workflow_agent.app import open_app
from workflow_agent.app.flow_fork import Fork, fork_of
from workflow_agent.app.flow_records import records_of
from workflow_agent.cli.consent import answer_is_yes, read_answer, require_consent
from workflow_agent.cli.flow_outcome import detached_outcome, ended_outcome, revealed
from workflow_agent.cli.flow_session import Drive, carry_out
from workflow_agent.cli.resuming import wanted_secrets
from workflow_agent.cli.secret_input import given_secrets
from workflow_agent.cli.steering_commands import require_own
from workflow_agent.cli.style import safe
from workflow_agent.model.errors import DeclinedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from workflow_agent.cli.invocation import Invocation
    from workflow_agent.cli.outcome import Outcome
    from workflow_agent.cli.style import Style
    from workflow_agent.model.workflow import Workflow
    from workflow_agent.security.secret import Secret

__all__ = ["carry_out_fork", "drive_of_fork", "fork_lines"]


def carry_out_fork(
    invocation: Invocation, run: str, wanted: Mapping[str, Any], secrets: Sequence[str], *, yes: bool, no_wait: bool
) -> Outcome:
    """Make a run from another one and drive it.

    Args:
        invocation: What was typed for all commands.
        run: The other run's id, or the beginning of it.
        wanted: ``how``, ``first`` (step), ``given`` (inputs), ``break_before``.
        secrets: As typed, ``name=SOURCE``.
        yes: Do not ask whether effects may repeat.
        no_wait: Leave it to a process of its own.

    Raises:
        ConflictError: the run cannot be retried.
        ConsentError: effects may repeat, and nobody can be asked.
        DeclinedError: the person said no.
        CommandFailedError: the new run did not succeed.
    """
    fork, definition = asyncio.run(_found(invocation, run, wanted))
    asyncio.run(_consent(invocation, fork, wanted["how"], yes=yes))
    names = fork.meta.get("secrets", ())
    given = given_secrets(invocation, wanted_secrets(secrets, names), ())
    if no_wait:
        kept = {"run_id": fork.run_id, "origin": fork.origin, "inputs": fork.inputs}
        return detached_outcome(
            invocation,
            {"fork": {**kept, "meta": fork.meta, "beginning": fork.beginning}, "secrets": revealed(given)},
        )
    return ended_outcome(carry_out(invocation, drive_of_fork(fork, definition, given)))


def drive_of_fork(fork: Fork, definition: Workflow, secrets: Mapping[str, Secret]) -> Drive:
    """Say how the new run is driven."""
    return Drive(run_id=fork.run_id, definition=definition, act=lambda flows: flows.begin_fork(fork, secrets))


async def _found(invocation: Invocation, prefix: str, wanted: Mapping[str, Any]) -> tuple[Fork, Workflow]:
    async with open_app(invocation.settings(), read_only=True) as app:
        run_id = await app.history.resolve(prefix)
        await require_own(app, run_id)
        records = records_of(app)
        options = {name: value for name, value in wanted.items() if name != "first"}
        return await fork_of(records, run_id, wanted["first"], **options), await records.definition(run_id)


async def _consent(invocation: Invocation, fork: Fork, verb: str, *, yes: bool) -> None:
    """Show what is done again; ask where effects may repeat."""
    for line in fork_lines(fork, invocation.style(sys.stderr)):
        invocation.say(line)
    if not fork.again:
        return
    require_consent(given=yes, verb=f"{verb} a run whose effects may repeat", hint="add `--yes`")
    if yes:
        return
    question = invocation.style(sys.stderr).paint("Do them again?", "bold")
    sys.stderr.write(f"\n{question} [y/N] ")
    sys.stderr.flush()
    if not answer_is_yes(await read_answer()):
        raise DeclinedError("not done: you said no", state="nothing was begun")


def fork_lines(fork: Fork, style: Style) -> Iterator[str]:
    """Write which steps are kept, and which are done again although they began before."""
    yield f"run {fork.run_id}, made from {fork.origin}"
    if fork.kept:
        yield f"  kept      {', '.join(safe(name) for name in fork.kept)}"
    for each in fork.again:
        told = "" if each.effect == "at_least_once" else f", {each.effect.replace('_', '-')}"
        was = f"{safe(each.uses)}{told}, was {each.status}"
        yield f"  again     {style.paint(safe(each.step), 'yellow')} ({was}): its effect may repeat"
