"""What a person types: commands, and their rendering for people and for scripts.

Layout, lowest first::

    style · outcome               how text may look; what a command gives
    envelope · errors_view · tables · plan_view · run_view    data to text, pure
    grammar                       Typer's classes with our help, errors and suggestions
    invocation · options          what was typed, for all commands
    parameters · sources · linting
    progress · consent · session  a run while it lasts
    run_commands · past_commands · definition_commands · system_commands
    tree · entry                  all commands together; the border of the process

``--help`` must stay under 150 ms: modules import nothing heavy at the top, bodies of commands do.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run a command line; gives the exit code. Never raises but for SystemExit on a second interrupt."""
    given = sys.argv[1:] if arguments is None else arguments
    if given == ["--version"]:
        from workflow_agent._version import __version__  # noqa: PLC0415  # the fast path loads nothing else

        sys.stdout.write(f"workflow-agent {__version__}\n")
        return 0
    from workflow_agent.cli.entry import run_command_line  # noqa: PLC0415  # late: typer, 60 ms

    return run_command_line(given)
