"""What a person types: commands, and their rendering for people and for scripts.

Layout, lowest first::

    style · outcome · direct_values    how text may look; what a command gives; values that need no conversion
    envelope · errors_view · tables · plan_view · run_view    data to text, pure
    grammar                       Typer's classes with our help, errors and suggestions
    invocation · options          what was typed, for all commands
    parameters · sources · linting
    progress · consent · session  a run while it lasts
    run_commands · leaving_commands · recover_commands · past_commands · pruning_commands
    definition_commands · system_commands · shell_commands
    completion_scripts · completion    what a shell asks at each TAB
    tree · entry                  all commands together; the border of the process
    help_pages                    what `--help` prints, written beforehand

``--help`` must stay under 150 ms: modules import nothing heavy at the top, bodies of commands do.
"""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress

__all__ = ["main"]

#: Objects that may be made before the collector looks for cycles. Python's own 700 makes it look hundreds of times at
#: modules and classes that stay, which is a tenth of the time of a command.
_COLLECT_AFTER = 100_000
#: Commands that look at the target; a word too many costs a process that nobody asks anything.
_TARGET_COMMANDS = frozenset({"install", "plan", "verify", "rollback", "upgrade", "repair", "uninstall"})
#: Of those, the ones that will most likely read all that is there.
_CAPTURING_COMMANDS = frozenset({"install", "plan"})


def main(arguments: list[str] | None = None) -> int:
    """Run a command line; gives the exit code. Never raises but for SystemExit on a second interrupt."""
    return _as_process() if arguments is None else _run(arguments)


def _as_process() -> int:
    """Run what this process was started for: the collector of cycles stays out of the way, also at the end."""
    given = sys.argv[1:]
    gc.set_threshold(_COLLECT_AFTER)
    # pydantic would look through everything that is installed for plugins, which we do not use (20 ms)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    alone = "--help" in given or _TARGET_COMMANDS.isdisjoint(given)
    code = _run(given) if alone else _run_beside_program(given)
    gc.freeze()  # what is left goes with the process, nobody has to look for cycles in it
    return code


def _run_beside_program(given: list[str]) -> int:
    """Start the programs that look at the target first: they get ready while we load our own modules."""
    from workflow_agent.targets.spare_program import drop_spare, prepare_spare  # noqa: PLC0415  # late: these need it

    with suppress(OSError):  # who needs it then tries again, and says why it cannot be
        prepare_spare()
        if not _CAPTURING_COMMANDS.isdisjoint(given):
            prepare_spare(kind="walk")
    try:
        _load_injector()
        return _run(given)
    finally:
        drop_spare()


def _load_injector() -> None:
    from workflow_agent.app.lone_injector import load_injector_alone  # noqa: PLC0415  # late: these need it

    load_injector_alone()


def _run(given: list[str]) -> int:
    if given == ["--version"]:
        from workflow_agent._version import __version__  # noqa: PLC0415  # the fast path loads nothing else

        sys.stdout.write(f"workflow-agent {__version__}\n")
        return 0
    if given[:1] == ["__complete"]:
        from workflow_agent.cli.completion import complete  # noqa: PLC0415  # late: a shell asks, at each TAB

        return complete(given[1:])
    if "--help" in given and (page := _written_page(given)) is not None:
        return page
    from workflow_agent.cli.entry import run_command_line  # noqa: PLC0415  # late: typer, 60 ms

    return run_command_line(given)


def _written_page(given: list[str]) -> int | None:
    from workflow_agent.cli.help_pages import page_for, print_page  # noqa: PLC0415  # late: few ask for help

    page = page_for(given)
    return None if page is None or sys.stdout is None else print_page(page)
