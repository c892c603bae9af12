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

import gc
import sys

__all__ = ["main"]

#: Objects that may be made before the collector looks for cycles. Python's own 700 makes it look hundreds of times at
#: modules and classes that stay, which is a tenth of the time of a command.
_COLLECT_AFTER = 100_000


def main(arguments: list[str] | None = None) -> int:
    """Run a command line; gives the exit code. Never raises but for SystemExit on a second interrupt."""
    return _as_process() if arguments is None else _run(arguments)


def _as_process() -> int:
    """Run what this process was started for: the collector of cycles stays out of the way, also at the end."""
    gc.set_threshold(_COLLECT_AFTER)
    try:
        return _run(sys.argv[1:])
    finally:
        gc.freeze()  # what is left goes with the process, nobody has to look for cycles in it


def _run(given: list[str]) -> int:
    if given == ["--version"]:
        from workflow_agent._version import __version__  # noqa: PLC0415  # the fast path loads nothing else

        sys.stdout.write(f"workflow-agent {__version__}\n")
        return 0
    from workflow_agent.cli.entry import run_command_line  # noqa: PLC0415  # late: typer, 60 ms

    return run_command_line(given)
