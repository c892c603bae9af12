"""Commands for the shell in which people work: completion."""

from __future__ import annotations

from typing import Annotated

import typer

from workflow_agent.cli.grammar import declare
from workflow_agent.cli.outcome import Outcome
from workflow_agent.model.errors import UsageError
from workflow_agent.model.nearest import did_you_mean

__all__ = ["register"]


def completion(
    ctx: typer.Context, shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")]
) -> Outcome:
    """Print the script that completes commands and names in a shell."""
    from workflow_agent.cli.completion_scripts import SCRIPTS  # noqa: PLC0415  # late: one command needs it

    del ctx
    script = SCRIPTS.get(shell)
    if script is None:
        raise UsageError(f"there is no completion for `{shell[:40]}`", hint=did_you_mean(shell, SCRIPTS))
    data = {"shell": shell, "script": script}
    return Outcome(data=data, lines=lambda _: script.removesuffix("\n").split("\n"))


def register(app: typer.Typer) -> None:
    """Add the commands."""
    examples = ["completion bash > /etc/bash_completion.d/workflow-agent", "completion fish | source"]
    declare(app, "completion", panel="What there is", examples=examples)(completion)
