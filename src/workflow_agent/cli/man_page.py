"""The manual page, ``man/workflow-agent.1``, made from the tree of commands.

``python -m workflow_agent.cli.man_page FILE`` writes it; a test compares it. Source: man(7), groff_man(7).
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["man_page"]

#: When this text was last changed by hand; readers want one.
_DATE = "2026-11-21"
_WHAT = (
    "Runs installers as transactions. What a script does is captured and shown, then committed, started and checked. "
    "A failure takes everything back, and so does `rollback`, later."
)
_STREAMS = "Data goes to stdout, talk to stderr. Options that hold everywhere may stand before or after the command."
_FILES = (
    ("/etc/workflow-agent/config.toml", "settings of the machine"),
    ("$XDG_CONFIG_HOME/workflow-agent/config.toml", "settings of the user, unless root"),
    ("/var/lib/workflow-agent", "database, output and artifacts of runs of root; of others below $XDG_STATE_HOME"),
    ("/.workflow-agent", "transactions, on each file system that took part"),
)
_ENVIRONMENT = (
    ("WORKFLOW_AGENT_SECTION__KEY", "a setting; `workflow-agent config show` lists all"),
    ("WORKFLOW_AGENT_NO_PROGRESS", "plain lines instead of the live tree"),
    ("NO_COLOR, CLICOLOR_FORCE", "colours, as everywhere"),
)
_EXIT_CODES = (
    (0, "done"),
    (1, "failed or declined; nothing was changed"),
    (2, "the command line, a parameter or a definition is not valid; nobody could be asked"),
    (3, "with --check: something would change"),
    (4, "not permitted"),
    (5, "not found"),
    (6, "conflict: the target is held by another run, or paths were changed by somebody else"),
    (7, "the database or an agent cannot be reached"),
    (8, "waiting took too long"),
    (9, "failed, and everything was taken back"),
    (10, "failed, and something is left: the target needs attention"),
    (70, "a defect of workflow-agent"),
    (130, "interrupted"),
)


def man_page(root: Any, version: str) -> str:  # Any: Typer's own classes are private
    """Give the page in the macros of man(7).

    Args:
        root: The command line as Typer holds it.
        version: Of the program.
    """
    lines = [
        f'.TH WORKFLOW\\-AGENT 1 "{_DATE}" "workflow\\-agent {_text(version)}" "User Commands"',
        ".nh",
        ".ad l",
        ".SH NAME",
        f"workflow\\-agent \\- {_text(str(root.help).rstrip('.').lower())}",
        ".SH SYNOPSIS",
        ".B workflow\\-agent",
        "[\\fIOPTION\\fR]... \\fICOMMAND\\fR [\\fIARGUMENT\\fR]...",
        ".SH DESCRIPTION",
        _text(_WHAT),
        ".PP",
        _text(_STREAMS),
        ".SH OPTIONS",
        *(line for param in root.params for line in _option(param)),
        ".SH COMMANDS",
    ]
    for path, command in _commands(root, ""):
        lines += _command(path, command)
    lines += [".SH EXIT STATUS", *_pairs((str(code), meaning) for code, meaning in _EXIT_CODES)]
    lines += [".SH ENVIRONMENT", *_pairs(iter(_ENVIRONMENT)), ".SH FILES", *_pairs(iter(_FILES))]
    lines += [".SH SEE ALSO", ".BR systemctl (1),", ".BR apt\\-get (8)"]
    return "\n".join(lines) + "\n"


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, child in command.commands.items():
        if child.hidden:
            continue
        if getattr(child, "invoke_without_command", False):
            yield f"{path}{name}", child
        if hasattr(child, "commands"):
            yield from _commands(child, f"{path}{name} ")
        else:
            yield f"{path}{name}", child


def _command(path: str, command: Any) -> Iterator[str]:
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    shown = " ".join(f"\\fI{_text(str(param.metavar))}\\fR" for param in arguments)
    yield f".SS {_text(path)} {shown}".rstrip()
    yield _text(" ".join(str(command.help).split()))
    for param in command.params:
        if param.param_type_name == "option" and not param.hidden:
            yield from _option(param)
    yield ".PP"
    yield "Examples:"
    yield ".PP"
    yield ".nf"
    yield ".RS 4"
    yield from (_text(line) for line in str(command.epilog).splitlines())
    yield ".RE"
    yield ".fi"


def _option(param: Any) -> Iterator[str]:
    names = ", ".join(f"\\fB{_text(name)}\\fR" for name in (*param.opts, *param.secondary_opts))
    takes = param.metavar and not (param.is_flag or param.count)
    yield ".TP"
    yield f"{names} \\fI{_text(str(param.metavar))}\\fR" if takes else names
    yield _text(str(param.help))


def _pairs(pairs: Iterator[tuple[str, str]]) -> Iterator[str]:
    for name, meaning in pairs:
        yield ".TP"
        yield f".B {_text(name)}"
        yield _text(meaning)


def _text(text: str) -> str:
    r"""Write text as it stands: ``\`` and ``-`` as characters, no line that begins like a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga")
    return re.sub(r"^(?=[.'])", r"\\&", escaped)


def _main(arguments: list[str]) -> None:
    import typer  # noqa: PLC0415  # late: this file is also read for its function

    from workflow_agent._version import __version__  # noqa: PLC0415
    from workflow_agent.cli.tree import build_app  # noqa: PLC0415

    (file,) = arguments
    Path(file).write_text(man_page(typer.main.get_command(build_app()), __version__), encoding="utf-8")


if __name__ == "__main__":
    _main(sys.argv[1:])
