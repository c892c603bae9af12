"""All commands together, and the options that hold everywhere."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path  # noqa: TC003  # Typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from workflow_agent._version import __version__
from workflow_agent.cli.grammar import TypedGroup
from workflow_agent.cli.style import COLOR_CHOICES
from workflow_agent.model.errors import UsageError
from workflow_agent.model.nearest import did_you_mean

if TYPE_CHECKING:
    from workflow_agent.cli.invocation import Invocation

__all__ = ["COMMANDS", "build_app"]

#: The modules that register commands and groups, in the order of the help, and which: only what was typed is loaded.
COMMANDS = {
    "run_commands": ("install", "plan", "upgrade", "repair", "verify"),
    "flow_commands": ("run", "status", "why"),
    "steering_commands": ("pause", "signal", "approve", "decline"),
    "fork_commands": ("retry", "fork"),
    "debug_commands": ("inspect", "change"),
    "apply_commands": ("apply",),
    "leaving_commands": ("uninstall", "rollback"),
    "unfinished_commands": ("resume", "cancel"),
    "recover_commands": ("recover",),
    "past_commands": ("show", "logs", "diff", "history"),
    "definition_commands": ("validate", "integrations", "workflows"),
    "generation_commands": ("generations",),
    "knowledge_commands": ("knowledge",),
    "discover_commands": ("discover",),
    "improvement_commands": ("improvements",),
    "schedule_commands": ("schedules",),
    "serve_commands": ("serve",),
    "runner_commands": ("runners",),
    "system_commands": ("doctor", "agents", "secrets", "config"),
    "shell_commands": ("completion",),
}


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
        only: The command or group that was typed: the others are left out, because each is loaded and Typer reads its
            signature (25 ms for all). With a word that is none, all are there.
    """
    app = typer.Typer(
        cls=TypedGroup,
        rich_markup_mode=None,
        add_completion=False,
        pretty_exceptions_enable=False,
        epilog="workflow-agent plan nginx\nworkflow-agent install prometheus-node-exporter",
    )
    app.callback(cls=TypedGroup)(_root)
    typed = [module for module, words in COMMANDS.items() if only in words]
    for module in typed or COMMANDS:
        importlib.import_module(f"workflow_agent.cli.{module}").register(app)
    chosen = [command for command in app.registered_commands if command.name == only]
    groups = [group for group in app.registered_groups if group.name == only]
    if chosen or groups:
        app.registered_commands, app.registered_groups = chosen, groups
    return app
