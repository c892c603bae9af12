"""The border of the process: whatever happens inside becomes output, an exit code, and never a traceback."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import typer
from typer.exceptions import TyperException

from workflow_agent.cli.envelope import envelope, json_line
from workflow_agent.cli.errors_view import error_lines
from workflow_agent.cli.grammar import PROGRAM, first_word, help_text, hoisted, usage_error
from workflow_agent.cli.invocation import Invocation
from workflow_agent.cli.outcome import CommandFailedError, Outcome
from workflow_agent.cli.style import harden_streams, safe
from workflow_agent.model.errors import InterruptedRunError, WorkflowAgentError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["run_command_line"]


def run_command_line(arguments: Sequence[str]) -> int:
    """Run a command line and print what it gives; gives the exit code."""
    harden_streams()
    given = list(arguments)
    before_end = given[: given.index("--")] if "--" in given else given
    invocation = Invocation(json="--json" in before_end)
    try:
        code = _guarded(given, invocation)
        sys.stdout.flush()
    except BrokenPipeError:
        # who read us has seen enough; what is still buffered must not complain at exit either
        code = _silence_stdout()
    return code


def _silence_stdout() -> int:
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _guarded(arguments: list[str], invocation: Invocation) -> int:
    try:
        outcome = _dispatch(arguments, invocation)
    except CommandFailedError as failed:
        return _print_failure(invocation, failed.error, failed.outcome)
    except WorkflowAgentError as error:
        return _print_failure(invocation, error)
    except TyperException as error:
        return _print_failure(invocation, usage_error(error))
    except (KeyboardInterrupt, typer.Abort):
        return _print_failure(invocation, InterruptedRunError("interrupted", state="nothing was begun"))
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001  # the border: a defect must not show as a traceback
        from workflow_agent.cli.crash import crash_error  # noqa: PLC0415  # late: only when it crashed

        return _print_failure(invocation, crash_error(error, arguments, invocation))
    return _print_outcome(invocation, outcome)


def _dispatch(arguments: list[str], invocation: Invocation) -> Outcome | int:
    from workflow_agent.cli.tree import build_app  # noqa: PLC0415  # a defect there is a crash report too

    ordered = hoisted(arguments)
    command: Any = typer.main.get_command(build_app(first_word(ordered)))
    if page := help_text(command, ordered):
        _print(page)
        return 0
    result = command.main(ordered, prog_name=PROGRAM, standalone_mode=False, obj=invocation)
    # `--help` and `--version` end with a number; an interrupt that Typer saw does too
    if isinstance(result, int) and result == InterruptedRunError.exit_code:
        raise KeyboardInterrupt
    return result if isinstance(result, Outcome) else int(result or 0)


def _print_outcome(invocation: Invocation, outcome: Outcome | int) -> int:
    if isinstance(outcome, int):
        return outcome
    _warn(invocation, outcome)
    if invocation.json and not outcome.streamed:
        _print(json_line(envelope(outcome.data, warnings=outcome.warnings)))
    elif outcome.streamed:
        _print_result(outcome, None)
    else:
        _print_lines(invocation, outcome)
    return outcome.exit_code


def _print_failure(invocation: Invocation, error: WorkflowAgentError, outcome: Outcome | None = None) -> int:
    if outcome is not None and outcome.streamed:
        _print_result(outcome, error)
    elif invocation.json:
        warnings = outcome.warnings if outcome is not None else ()
        _print(json_line(envelope(outcome.data if outcome is not None else None, error=error, warnings=warnings)))
    elif outcome is not None:
        _print_lines(invocation, outcome)
        sys.stdout.flush()
    if not invocation.json:
        for line in error_lines(error, invocation.style(sys.stderr)):
            sys.stderr.write(f"{line}\n")
    return error.exit_code


def _print_result(outcome: Outcome, error: WorkflowAgentError | None) -> None:
    """End a stream of JSON lines with the envelope, marked as the last line."""
    if outcome.data:
        _print(json_line({"type": "result", **envelope(outcome.data, error=error, warnings=outcome.warnings)}))


def _print_lines(invocation: Invocation, outcome: Outcome) -> None:
    for line in outcome.lines(invocation.style(sys.stdout)):
        _print(line)


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _warn(invocation: Invocation, outcome: Outcome) -> None:
    if not invocation.json:
        for warning in outcome.warnings:
            sys.stderr.write(f"{invocation.style(sys.stderr).paint('warning:', 'yellow')} {safe(warning)}\n")
