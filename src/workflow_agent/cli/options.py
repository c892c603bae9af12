"""Options that several commands share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "Allow",
    "Approve",
    "Events",
    "Isolation",
    "Names",
    "OneName",
    "ParamFile",
    "Params",
    "RunId",
    "TargetName",
    "Timeout",
    "Wait",
]

_WHAT = "What"
_HOW = "How"
_CONSENT = "Consent"
_OUTPUT = "Output"

Names = Annotated[
    list[str], typer.Argument(metavar="NAME...", help="Integrations by name, or ./FOLDER.", show_default=False)
]
OneName = Annotated[str, typer.Argument(metavar="NAME", help="Name of an integration, or ./FOLDER.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="Run id, or the beginning of one.")]
Params = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        metavar="K=V",
        help="Set a parameter; repeat for lists; K=@FILE reads a file.",
        rich_help_panel=_WHAT,
        show_default=False,
    ),
]
ParamFile = Annotated[
    Path | None,
    typer.Option(
        "--param-file",
        metavar="FILE",
        help="Read parameters from YAML, JSON or TOML.",
        rich_help_panel=_WHAT,
        show_default=False,
    ),
]
TargetName = Annotated[str, typer.Option("--target", metavar="NAME", help="Where.", rich_help_panel=_WHAT)]
Isolation = Annotated[
    str,
    typer.Option(
        "--isolation", metavar="KIND", help="How effects are contained: auto, transaction.", rich_help_panel=_HOW
    ),
]
Allow = Annotated[
    list[str] | None,
    typer.Option(
        "--allow",
        metavar="RULE_ID",
        help="Accept what this rule finds; recorded.",
        rich_help_panel=_CONSENT,
        show_default=False,
    ),
]
Timeout = Annotated[
    str | None,
    typer.Option(
        "--timeout",
        metavar="TIME",
        help="How long the script may take (90, 90s, 10m).",
        rich_help_panel=_HOW,
        show_default=False,
    ),
]
Wait = Annotated[
    str | None,
    typer.Option(
        "--wait",
        metavar="[=S]",
        help="Wait for a target that another run holds.",
        rich_help_panel=_HOW,
        show_default=False,
    ),
]
Approve = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.", rich_help_panel=_CONSENT)]
Events = Annotated[bool, typer.Option("--events", help="Write each event as a line of JSON.", rich_help_panel=_OUTPUT)]
