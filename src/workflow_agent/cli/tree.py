"""All commands together, and the options that hold everywhere."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003  # Typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from workflow_agent._version import __version__
from workflow_agent.cli import (
    apply_commands,
    debug_commands,
    definition_commands,
    discover_commands,
    flow_commands,
    fork_commands,
    generation_commands,
    improvement_commands,
    knowledge_commands,
    leaving_commands,
    past_commands,
    recover_commands,
    run_commands,
    schedule_commands,
    shell_commands,
    steering_commands,
    system_commands,
    unfinished_commands,
)
from workflow_agent.cli.grammar import Group
from workflow_agent.cli.style import COLOR_CHOICES
from workflow_agent.model.errors import UsageError
from workflow_agent.model.nearest import did_you_mean

if TYPE_CHECKING:
    from workflow_agent.cli.invocation import Invocation

__all__ = ["build_app"]


def _print_version(value: bool | None) -> None:
    if value:
        sys.stdout.write(f"workflow-agent {__version__}\n")
        raise typer.Exit


def _root(
    ctx: typer.Context,
    *,
    as_json: Annotated[bool | None, typer.Option("--json", help="Write one JSON object to stdout.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Read settings from this file too.")
    ] = None,
    color: Annotated[str | None, typer.Option("--color", metavar="WHEN", help="Colours: auto, always, never.")] = None,
    quiet: Annotated[bool | None, typer.Option("--quiet", "-q", help="Only results and errors.")] = None,
    verbose: Annotated[
        int | None, typer.Option("--verbose", "-v", count=True, show_default=False, help="Everything; no list is cut.")
    ] = None,
    version: Annotated[
        bool | None, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = None,
) -> None:
    """Change systems safely: preview, install, verify, take back."""
    del version  # its callback has printed it
    invocation: Invocation = ctx.obj
    if color is not None and color not in COLOR_CHOICES:
        raise UsageError(
            f"`{color[:40]}` says nothing about colours", where="--color", hint=did_you_mean(color, COLOR_CHOICES)
        )
    invocation.json = invocation.json or bool(as_json)
    invocation.config = config
    invocation.color = color
    invocation.quiet = bool(quiet)
    invocation.verbose = verbose or 0


def build_app(only: str | None = None) -> typer.Typer:
    """Put the command line together; imports and registers, does nothing.

    Args:
        only: The command or group that was typed: the others are left out, because Typer reads the signature of each
            (15 ms for all). With a word that is none, all are there.
    """
    app = typer.Typer(
        cls=Group,
        rich_markup_mode=None,
        add_completion=False,
        pretty_exceptions_enable=False,
        epilog="workflow-agent plan nginx\nworkflow-agent install prometheus-node-exporter",
    )
    app.callback(cls=Group)(_root)
    for commands in (
        run_commands,
        flow_commands,
        steering_commands,
        fork_commands,
        debug_commands,
        apply_commands,
        leaving_commands,
        unfinished_commands,
        recover_commands,
        past_commands,
        definition_commands,
        generation_commands,
        knowledge_commands,
        discover_commands,
        improvement_commands,
        schedule_commands,
        system_commands,
        shell_commands,
    ):
        commands.register(app)
    chosen = [command for command in app.registered_commands if command.name == only]
    groups = [group for group in app.registered_groups if group.name == only]
    if chosen or groups:
        app.registered_commands, app.registered_groups = chosen, groups
    return app
