"""Typer's command and group with our help, our errors and our suggestions.

Help is plain text (no rich: 60 ms): one line, options by group, those that hold everywhere, examples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

from workflow_agent.cli.direct_values import pass_directly
from workflow_agent.cli.style import safe
from workflow_agent.model.errors import UsageError
from workflow_agent.model.nearest import did_you_mean, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from typer.exceptions import TyperException

__all__ = [
    "AFTER_DASHES",
    "EVERYWHERE",
    "PROGRAM",
    "ListingGroup",
    "NamingGroup",
    "TypedCommand",
    "TypedGroup",
    "declare",
    "first_word",
    "help_text",
    "hoisted",
    "usage_error",
]

PROGRAM = "workflow-agent"
#: Where a command finds how many words stand after ``--`` (in the context's `meta`).
AFTER_DASHES = "workflow-agent.after-dashes"
#: Title of the options that hold for every command.
EVERYWHERE = "Everywhere"
_OTHER = "Options"
_FLAGS = frozenset({"--json", "-q", "--quiet", "-v", "-vv", "--verbose"})
_WITH_VALUE = frozenset({"--config", "--color"})
_LONGEST_SHOWN = 64
#: Where the values of arguments are found, by what the arguments are called.
_LISTED = {
    "NAME": f"`{PROGRAM} integrations list` lists what can be installed",
    "NAME...": f"`{PROGRAM} integrations list` lists what can be installed",
    "workflows NAME": f"`{PROGRAM} workflows list` lists them",
    "RUN": f"`{PROGRAM} history` lists the runs",
}
#: Likeness (0 to 1) of a typing error; less is another word.
_CLEAR = 0.8
#: What others call the option for parameters.
_OF_OTHERS = frozenset({"set", "var", "parameter", "extra_vars"})
#: A command in the list of all: its first sentence, wrapped and never cut.
_LONGEST_SUMMARY = 200
#: What people type elsewhere for what is called otherwise here.
_SYNONYMS = {
    "abort": "cancel",
    "add": "install",
    "check": "verify",
    "continue": "resume",
    "dry-run": "plan",
    "info": "integrations info",
    "kill": "cancel",
    "lint": "integrations lint",
    "list": "integrations list",
    "log": "logs",
    "ls": "integrations list",
    "preview": "plan",
    "delete": "uninstall",
    "fix": "repair",
    "purge": "uninstall",
    "remove": "uninstall",
    "revert": "rollback",
    "runs": "history",
    "search": "integrations list",
    "settings": "config show",
    "status": "history",
    "stop": "cancel",
    "test": "verify",
    "undo": "rollback",
    "update": "upgrade",
}


def hoisted(arguments: list[str]) -> list[str]:
    """Move options that hold everywhere to the front, so that they may stand anywhere before ``--``.

    Raises:
        UsageError: the last word is one that needs a value.
    """
    front: list[str] = []
    rest: list[str] = []
    left = iter(arguments)
    for argument in left:
        if argument == "--":
            return [*front, *rest, argument, *left]
        if argument in _FLAGS or ("=" in argument and argument.partition("=")[0] in _WITH_VALUE):
            front.append(argument)
        elif argument in _WITH_VALUE:
            front += [argument, _following(left, argument)]
        else:
            rest.append(argument)
    return [*front, *rest]


def first_word(ordered: list[str]) -> str | None:
    """Give the first word of an ordered command line that is no option and no option's value: the command."""
    left = iter(ordered)
    for argument in left:
        if argument in _WITH_VALUE:
            next(left, None)
        elif not argument.startswith("-"):
            return argument
    return None


def _following(left: Iterator[str], option: str) -> str:
    value = next(left, None)
    if value is None:
        raise UsageError(f"`{option}` needs a value", hint=f"`{PROGRAM} --help` shows the usage")
    return value


def declare(
    app: typer.Typer, name: str, *, panel: str | None = None, examples: Iterable[str]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function as a command; its docstring is the help, every command has examples."""
    return app.command(
        name, cls=TypedCommand, rich_help_panel=panel, epilog="\n".join(f"{PROGRAM} {example}" for example in examples)
    )


class _Help:
    """Writes options by group and examples as they stand."""

    def format_options(self: Any, ctx: Any, formatter: Any) -> None:  # Any: Typer's own classes are private
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None:
                continue
            is_argument = param.param_type_name == "argument"
            title = "Arguments" if is_argument else getattr(param, "rich_help_panel", None) or _OTHER
            groups.setdefault(title, []).append(record)
        root = ctx.find_root()
        if root is not ctx:
            everywhere = [param.get_help_record(root) for param in root.command.params]
            own = groups.pop(_OTHER, [])
            helping = [record for record in own if record[0] == "--help"]
            if rest := [record for record in own if record[0] != "--help"]:
                groups[_OTHER] = rest
            groups[EVERYWHERE] = [record for record in everywhere if record] + helping
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records)
        if isinstance(self, TyperGroup):
            self.format_commands(ctx, formatter)

    def format_epilog(self: Any, ctx: Any, formatter: Any) -> None:
        del ctx
        if self.epilog:
            with formatter.section("Examples"):
                for line in self.epilog.splitlines():
                    formatter.write(f"  {line}\n")


class TypedCommand(_Help, TyperCommand):
    """One command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Let ``--wait`` stand without a value, which Typer's options cannot."""
        end = args.index("--") if "--" in args else len(args)
        ctx.meta[AFTER_DASHES] = max(len(args) - end - 1, 0)
        args = [f"{arg}=" if arg == "--wait" and at < end else arg for at, arg in enumerate(args)]
        pass_directly(self.get_params(ctx))
        return super().parse_args(ctx, args)


class TypedGroup(_Help, TyperGroup):
    """Commands under a noun, or all of them. Alone it shows its help."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Show the help when nothing was typed."""
        pass_directly(self.get_params(ctx))
        return super().parse_args(ctx, args or ["--help"])

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List commands by group."""
        groups: dict[str, list[tuple[str, str]]] = {}
        widest = max(len(name) for name in self.list_commands(ctx))
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            assert command is not None
            title = getattr(command, "rich_help_panel", None) or "Commands"
            row = (name.ljust(widest), command.get_short_help_str(_LONGEST_SUMMARY))
            groups.setdefault(str(title), []).append(row)
        for title, rows in groups.items():
            with formatter.section(title):
                formatter.write_dl(rows)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command, or say which ones are near."""
        name = args[0]
        if name.startswith("-") or self.get_command(ctx, name) is not None:
            return super().resolve_command(ctx, args)
        path = ctx.command_path
        raise UsageError(
            f"there is no command `{path} {safe(name[:_LONGEST_SHOWN])}`",
            hint=_command_hint(name, path, self.list_commands(ctx), is_root=ctx.parent is None),
        )


class ListingGroup(TypedGroup):
    """Commands under a noun that is a command itself."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take it as it was typed: alone it lists."""
        pass_directly(self.get_params(ctx))
        return TyperGroup.parse_args(self, ctx, args)


class NamingGroup(TypedGroup):
    """Commands under a noun, where a name in the place of a command lists what belongs to it."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; a word that is none, and like none, is a name."""
        known = self.list_commands(ctx)
        is_name = not args[0].startswith("-") and not nearest(args[0], known)
        return super().resolve_command(ctx, ["list", *args] if is_name else args)


def _command_hint(name: str, path: str, known: list[str], *, is_root: bool) -> str:
    near = [_SYNONYMS[name]] if is_root and name in _SYNONYMS else nearest(name, known)
    if not near and is_root:
        near = [_SYNONYMS[word] for word in nearest(name, _SYNONYMS)[:1]]
    if near:
        return "did you mean " + " or ".join(f"`{path} {command}`" for command in near) + "?"
    return f"`{path} --help` lists the commands"


def help_text(root: Any, arguments: list[str]) -> str | None:
    """Give the help that a command line asks for, without Typer reading the options (it loads pydantic for that).

    None when it asks for none, or names a command that is not there.
    """
    asked = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if "--help" not in asked:
        return None
    command, context = root, typer.Context(root, info_name=PROGRAM)
    for word in asked:
        children = getattr(command, "commands", None)
        if word.startswith("-") or children is None:
            continue
        if word not in children:
            return None
        command = children[word]
        context = typer.Context(command, info_name=word, parent=context)
    return str(command.get_help(context))


def usage_error(error: TyperException) -> UsageError:
    """Say in our form what Typer found wrong with a command line."""
    context: Any = getattr(error, "ctx", None)
    path = context.command_path if context is not None else PROGRAM
    usage = f"`{path} --help` shows the usage"
    option = getattr(error, "option_name", None)
    if option is not None and type(error).__name__ == "NoSuchOption":
        hint = _option_hint(option, _options_of(context))
        return UsageError(f"`{path}` has no option `{safe(option[:_LONGEST_SHOWN])}`", hint=hint or usage)
    if type(error).__name__ == "MissingParameter":
        name = str(getattr(getattr(error, "param", None), "metavar", ""))
        usage = _LISTED.get(f"workflows {name}" if " workflows " in path else name, usage)
    described = getattr(error, "format_message", error.__str__)()
    text = " ".join(safe(described).replace("\\x0a", " ").split()).rstrip(".")
    return UsageError(text[:1].lower() + text[1:], where=path, hint=usage)


def _option_hint(option: str, known: list[str]) -> str | None:
    """Name the nearest options; what resembles none where there are parameters is meant as one of those."""
    name = option.lstrip("-").replace("-", "_")
    if "--param" not in known or nearest(option, known, least=_CLEAR) or not name.isidentifier():
        return did_you_mean(option, known)
    if name in _OF_OTHERS:
        return "a parameter of the integration is set with `--param NAME=VALUE`"
    return f"a parameter of the integration is set with `--param {name[:_LONGEST_SHOWN]}=VALUE`"


def _options_of(context: Any) -> list[str]:
    if context is None:
        return []
    commands = [context.command, context.find_root().command]
    names = {name for command in commands for param in command.params for name in [*param.opts, *param.secondary_opts]}
    return sorted(name for name in {*names, "--help"} if name.startswith("--"))
