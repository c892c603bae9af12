"""Options that several commands share, declared once: alone, and in groups that a command takes as one parameter.

A command that takes a group is registered through :func:`spread`, which spells the group's options out for Typer.
"""

from __future__ import annotations

import inspect
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from workflow_agent.cli.outcome import Outcome

__all__ = [
    "Allow",
    "Approve",
    "BreakBefore",
    "Consent",
    "Edited",
    "Events",
    "Inputs",
    "Isolation",
    "KeepOnFailure",
    "Names",
    "NoWait",
    "OneName",
    "ParamFile",
    "Params",
    "PlanOut",
    "RunId",
    "Scripting",
    "Secrets",
    "SomeNames",
    "Targets",
    "Timeout",
    "Values",
    "Wait",
    "Where",
    "spread",
    "valued",
]

_WHAT = "What"
_HOW = "How"
_CONSENT = "Consent"
_OUTPUT = "Output"


def valued(*flags: str, metavar: str, text: str, panel: str) -> Any:  # Any: what Typer reads in an annotation
    """Declare an option with a value, and without a default that would say anything."""
    return typer.Option(*flags, metavar=metavar, help=text, rich_help_panel=panel, show_default=False)


Names = Annotated[
    list[str], typer.Argument(metavar="NAME...", help="Integrations by name, or ./FOLDER.", show_default=False)
]
SomeNames = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME...", help="Integrations by name, or ./FOLDER.", show_default=False),
]
OneName = Annotated[str, typer.Argument(metavar="NAME", help="Name of an integration, or ./FOLDER.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="Run id, or the beginning of one.")]
Params = Annotated[
    list[str] | None,
    valued("--param", metavar="K=V", text="Set a parameter; repeat for lists; K=@FILE reads a file.", panel=_WHAT),
]
ParamFile = Annotated[
    Path | None,
    valued("--param-file", metavar="FILE", text="Read parameters from YAML, JSON or TOML.", panel=_WHAT),
]
Secrets = Annotated[
    list[str] | None,
    valued("--secret", metavar="K=SOURCE", text="Give a secret: K=env:NAME, K=file:PATH or K=- (stdin).", panel=_WHAT),
]
Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        metavar="NAME",
        help="Where: host, docker:CONTAINER; repeat for several, one after the other.",
        rich_help_panel=_WHAT,
        show_default="host",
    ),
]
Isolation = Annotated[
    str,
    typer.Option(
        "--isolation",
        metavar="KIND",
        help="auto, transaction; a plan also container: in a clone.",
        rich_help_panel=_HOW,
    ),
]
Allow = Annotated[
    list[str] | None,
    valued("--allow", metavar="RULE_ID", text="Accept what this rule finds; recorded.", panel=_CONSENT),
]
Timeout = Annotated[
    str | None,
    valued("--timeout", metavar="TIME", text="How long the script may take (90, 90s, 10m).", panel=_HOW),
]
Wait = Annotated[
    str | None,
    valued("--wait", metavar="[=S]", text="Wait for a target that another run holds.", panel=_HOW),
]
Approve = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.", rich_help_panel=_CONSENT)]
Events = Annotated[bool, typer.Option("--events", help="Write each event as a line of JSON.", rich_help_panel=_OUTPUT)]
BreakBefore = Annotated[
    list[str] | None,
    valued("--break-before", metavar="STEP", text="Pause before this step.", panel=_HOW),
]
Inputs = Annotated[
    list[str] | None,
    valued("--input", metavar="K=V", text="Give an input: JSON, or text; K=@FILE reads it from a file.", panel=_WHAT),
]
NoWait = Annotated[
    bool,
    typer.Option(
        "--no-wait", help="Leave it to a process of its own, which outlives this terminal.", rich_help_panel=_HOW
    ),
]
KeepOnFailure = Annotated[
    bool, typer.Option("--keep-on-failure", help="Leave a failed state to look at.", rich_help_panel=_HOW)
]
PlanOut = Annotated[
    Path | None,
    valued("--out", "-o", metavar="FILE", text="Keep the plan; `install --apply-plan FILE` does it.", panel=_OUTPUT),
]
_PlanOnly = Annotated[bool, typer.Option("--plan", help="Only show what would change.", rich_help_panel=_CONSENT)]
_Check = Annotated[bool, typer.Option("--check", help="With --plan: exit 3 on changes.", rich_help_panel=_CONSENT)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """Parameters of the integration, and its secrets."""

    param: Params = None
    param_file: ParamFile = None
    secret: Secrets = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where, and whether to wait for it."""

    target: Targets = None
    wait: Wait = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scripting:
    """How a script is run."""

    isolation: Isolation = "auto"
    timeout: Timeout = None
    allow: Allow = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """Whether it is done, asked about, or only shown."""

    yes: Approve = False
    plan_only: _PlanOnly = False
    check: _Check = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """Which version of edited configuration files it shall be, where nobody is asked."""

    theirs: Annotated[
        list[str] | None,
        typer.Option(
            "--theirs",
            metavar="PATH",
            help="Keep the edited file PATH as it is; may be repeated.",
            rich_help_panel="Conflicts",
            show_default=False,
        ),
    ] = None
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Write over edited files; a rollback brings them back.", rich_help_panel="Conflicts"
        ),
    ] = False


def spread(function: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """Give a command whose groups of options are spelled out; `function` gets the groups."""
    declared = inspect.signature(function, eval_str=True).parameters.values()
    groups: dict[str, Any] = {one.name: one.annotation for one in declared if is_dataclass(one.annotation)}

    def command(**values: Any) -> Outcome:  # Any: what Typer parsed
        parts = {
            name: group(**{field.name: values.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        return function(**values, **parts)

    def spelled_out() -> Iterator[inspect.Parameter]:
        for one in declared:
            yield from _options_of(groups[one.name]) if one.name in groups else (_by_name(one),)

    command.__name__, command.__doc__, command.__annotations__ = function.__name__, function.__doc__, {}
    command.__signature__ = inspect.Signature(list(spelled_out()))  # type: ignore[attr-defined]  # what Typer reads
    return command


@cache
def _options_of(group: Any) -> tuple[inspect.Parameter, ...]:
    hints = get_type_hints(group, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    return tuple(
        inspect.Parameter(one.name, keyword, default=one.default, annotation=hints[one.name]) for one in fields(group)
    )


def _by_name(parameter: inspect.Parameter) -> inspect.Parameter:
    return parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
