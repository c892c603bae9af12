"""What may stand at the end of a command line: commands, options, names of what there is.

A shell's script (``completion_scripts``) asks ``workflow-agent __complete SHELL LINE`` at each TAB, with the line up to
the cursor. The answer is one candidate per line, a tab and its meaning; ``:files`` asks the shell for files. Nothing is
changed and nothing is ever complained about.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import TypeAlias

    from workflow_agent.cli.invocation import Invocation

    #: What may be typed, and its meaning.
    Candidate: TypeAlias = tuple[str, str]
    _Source: TypeAlias = Callable[["_Typed", Invocation], Iterable[Candidate]]

__all__ = ["FILES", "candidates", "complete", "split_line"]

#: The candidate that stands for the shell's own completion of files.
FILES = ":files"
_END = "\ue000"
_SHOWN_RUNS = 50
#: Where bash begins a new word inside an argument.
_BASH_BREAKS = "=:"
#: States and verbs of runs that left, or did not leave, anything to take back.
_STAND = frozenset({"succeeded", "needs-attention"})
_LOOKING = frozenset({"plan", "verify"})


@dataclass(slots=True, kw_only=True)
class _Typed:
    """What stands before the word that is completed."""

    command: Any  # Any: Typer's own classes are private
    root: Any
    path: tuple[str, ...] = ()
    given: list[str] = field(default_factory=list)
    config: str | None = None
    pending: Any = None
    only_arguments: bool = False


def complete(arguments: Sequence[str]) -> int:
    """Answer a shell; gives 0, whatever happens."""
    shell, line = (*arguments, "", "")[:2]
    try:
        found = list(candidates(line))
    except Exception:  # noqa: BLE001  # border: a person who presses TAB wants no error in the middle of the line
        return 0
    cut = max(split_line(line)[-1].rfind(sign) for sign in _BASH_BREAKS) + 1 if shell == "bash" else 0
    for value, meaning in found:
        sys.stdout.write(f"{value if value == FILES else value[cut:]}\t{meaning}\n")
    return 0


def split_line(line: str) -> list[str]:
    """Split a line as a shell does; the last word is the one that is being typed, and may be empty."""
    for closing in ("", "'", '"'):
        try:
            words = shlex.split(f"{line}{_END}{closing}")
        except ValueError:  # a quote that is still open
            continue
        return [word.replace(_END, "") for word in words]
    return [""]


def candidates(line: str) -> Iterator[Candidate]:
    """Give what may stand at the end of a line, the program's name being its first word."""
    import typer  # noqa: PLC0415  # late: 60 ms

    from workflow_agent.cli.tree import build_app  # noqa: PLC0415  # late: with it

    root: Any = typer.main.get_command(build_app())
    *before, current = split_line(line)
    typed = _walked(root, before[1:])
    if typed is not None:
        for value, meaning in _fitting(typed, current):
            if value == FILES or value.startswith(current):
                yield value, " ".join(meaning.split())


def _walked(root: Any, words: Iterable[str]) -> _Typed | None:
    """Read what was typed before; None when a command is not known."""
    typed = _Typed(command=root, root=root)
    for word in words:
        if typed.pending is not None:
            _take(typed, typed.pending, word)
            typed.pending = None
        elif word == "--" and not typed.only_arguments:
            typed.only_arguments = True
        elif word.startswith("-") and not typed.only_arguments:
            name, equals, value = word.partition("=")
            option = _option(typed, name)
            if equals:
                _take(typed, option, value)
            elif option is not None and _takes_value(option):
                typed.pending = option
        elif (children := getattr(typed.command, "commands", None)) is not None:
            if word not in children:
                return None
            typed.command = children[word]
            typed.path = (*typed.path, word)
        else:
            typed.given.append(word)
    return typed


def _take(typed: _Typed, option: Any, value: str) -> None:
    if option is not None and "--config" in option.opts:
        typed.config = value


def _options(typed: _Typed) -> list[Any]:
    commands = [typed.command] if typed.command is typed.root else [typed.command, typed.root]
    return [
        param
        for command in commands
        for param in command.params
        if param.param_type_name == "option" and not param.hidden
    ]


def _option(typed: _Typed, name: str) -> Any:
    return next((option for option in _options(typed) if name in (*option.opts, *option.secondary_opts)), None)


def _takes_value(option: Any) -> bool:
    optional = str(option.metavar or "").startswith("[")
    return not (option.is_flag or option.count or optional)


def _fitting(typed: _Typed, current: str) -> Iterator[Candidate]:
    if typed.pending is not None:
        yield from _values(typed, typed.pending, current)
    elif current.startswith("-") and not typed.only_arguments:
        name, equals, value = current.partition("=")
        if not equals:
            yield from _names_of(_options(typed))
        elif option := _option(typed, name):
            for found, meaning in _values(typed, option, value):
                yield (found if found == FILES else f"{name}={found}"), meaning
    elif (children := getattr(typed.command, "commands", None)) is not None:
        for name, child in children.items():
            if not child.hidden:
                yield name, child.get_short_help_str(60)
    else:
        yield from _arguments(typed, current)


def _names_of(options: Iterable[Any]) -> Iterator[Candidate]:
    for option in options:
        for name in (*option.opts, *option.secondary_opts):
            if name.startswith("--"):
                yield name, str(option.help or "")
    yield "--help", "Show the help."


def _arguments(typed: _Typed, current: str) -> Iterable[Candidate]:
    declared = [param for param in typed.command.params if param.param_type_name == "argument"]
    at = len(typed.given)
    if at >= len(declared) and not (declared and declared[-1].nargs == -1):
        return ()
    return _values(typed, declared[min(at, len(declared) - 1)], current)


def _values(typed: _Typed, param: Any, current: str) -> Iterable[Candidate]:
    """Give what a parameter takes, told by its name or else by how its value is called."""
    from workflow_agent.cli.invocation import Invocation  # noqa: PLC0415  # late: with what answers

    source = next((_BY_NAME[name] for name in param.opts if name in _BY_NAME), None)
    source = source or _BY_METAVAR.get(str(param.metavar or "").rstrip("."))
    if source is None:
        return ()
    if source is _integrations and current.startswith((".", "/", "~")):
        return [(FILES, "")]
    return source(typed, Invocation(config=Path(typed.config) if typed.config else None))


# -- what there is ---------------------------------------------------------------------------------------------------


def _files(_: _Typed, __: Invocation) -> Iterable[Candidate]:
    return [(FILES, "")]


def _integrations(typed: _Typed, invocation: Invocation) -> Iterable[Candidate]:
    from workflow_agent.cli.sources import catalogue_of, registry_of  # noqa: PLC0415  # late: pydantic, 36 ms

    if typed.path[:1] == ("workflows",):
        return [(name, "workflow") for name in catalogue_of(invocation.settings()).names()]
    found = registry_of(invocation.settings()).names()
    return [(name, "integration") for name in found if name not in typed.given]


def _verbs(_: _Typed, invocation: Invocation) -> Iterable[Candidate]:
    from workflow_agent.cli.sources import catalogue_of  # noqa: PLC0415  # late: yaml, 16 ms

    # A logical rollback is listed as a rollback.
    return [(name, "") for name in catalogue_of(invocation.settings()).names() if not name.startswith("rollback-")]


def _runs(typed: _Typed, invocation: Invocation) -> Iterable[Candidate]:
    """Give the runs with which the command can do anything."""
    fits = _FITTING_RUNS.get(typed.path[0], lambda _: True)
    return [(str(run["run_id"]), _run_text(run)) for run in _past(invocation) if fits(run)]


def _is_unfinished(run: Any) -> bool:
    from workflow_agent.model.status import TERMINAL_RUN  # noqa: PLC0415  # late: two commands need it

    return run["status"] not in TERMINAL_RUN


def _stands(run: Any) -> Any:
    return run["changed"] and run["status"] in _STAND and run["action"] not in _LOOKING


_FITTING_RUNS: dict[str, Callable[[Any], bool]] = {
    "cancel": _is_unfinished,
    "resume": _is_unfinished,
    "rollback": _stands,
}


def _run_text(run: Any) -> str:
    return " ".join(str(run[key]) for key in ("action", "integration", "target", "status") if run.get(key))


def _past(invocation: Invocation) -> list[Any]:
    from workflow_agent.cli.past import ask  # noqa: PLC0415  # late: 100 ms
    from workflow_agent.model.errors import WorkflowAgentError  # noqa: PLC0415  # late, with it

    try:
        return list(ask(invocation, lambda app: app.history.runs(limit=_SHOWN_RUNS)))
    except WorkflowAgentError:  # of an older release, say: what does not come from it is offered all the same
        return []


def _targets(_: _Typed, invocation: Invocation) -> Iterable[Candidate]:
    known = {"host": "this machine", "docker:": "a container, by name"}
    used = {str(run["target"]): "used before" for run in _past(invocation) if run.get("target")}
    return sorted((used | known).items())


def _states(_: _Typed, __: Invocation) -> Iterable[Candidate]:
    from workflow_agent.model.status import RunStatus  # noqa: PLC0415  # late: one option needs it

    return [(state.value, "") for state in RunStatus]


def _parameters(typed: _Typed, invocation: Invocation, *, secret: bool = False) -> Iterable[Candidate]:
    from workflow_agent.cli.sources import find_integration  # noqa: PLC0415  # late: pydantic, 36 ms

    found: dict[str, str] = {}
    for name in typed.given:
        for key, declared in find_integration(invocation.settings(), name).parameters.items():
            if declared.secret is secret:
                found.setdefault(f"{key}=", declared.description)
    return found.items()


def _secrets(typed: _Typed, invocation: Invocation) -> Iterable[Candidate]:
    return _parameters(typed, invocation, secret=True)


def _words(*words: str) -> _Source:
    return lambda _, __: [(word, "") for word in words]


_BY_NAME: dict[str, _Source] = {
    "--action": _verbs,
    "--color": _words("auto", "always", "never"),
    "--integration": _integrations,
    "--isolation": _words("auto", "transaction", "container"),
    "--param": _parameters,
    "--secret": _secrets,
    "--status": _states,
    "--target": _targets,
}
_BY_METAVAR: dict[str, _Source] = {
    "FILE": _files,
    "NAME": _integrations,
    "[NAME]": _integrations,
    "RUN": _runs,
    "SCRIPT": _files,
    "[RUN]": _runs,
    "SHELL": _words("bash", "zsh", "fish"),
}
