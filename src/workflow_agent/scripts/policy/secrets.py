"""Secrets that a script would print, and traces that would print them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from workflow_agent.scripts._syntax import node_text, walk
from workflow_agent.scripts.policy.hits import Hit

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from tree_sitter import Node

    from workflow_agent.scripts.policy.calls import Call, ShellText

__all__ = ["match_secrets", "match_tracing"]

_NAME = re.compile(r"PASSWORD|PASSWD|PASSPHRASE|TOKEN|SECRET|CREDENTIAL|(?<!PUBLIC)_KEY$", re.IGNORECASE)
_NOT_THE_VALUE = re.compile(r"_(FILE|PATH|DIR|URL|URI|ID|NAME|LENGTH|LEN|COUNT|TYPE|TTL)$", re.IGNORECASE)
_PRINTERS = frozenset(("echo", "printf", "logger", "wall", "write", "cat", "printenv", "declare", "typeset"))
#: Names whose variable holds the secret itself, not the path of a file: only these count on command lines.
_ON_A_LINE = re.compile(r"PASSWORD|PASSWD|PASSPHRASE|TOKEN|SECRET|API_?KEY|ACCESS_?KEY", re.IGNORECASE)
#: Commands of the shell itself have no command line that others could read. Source: bash(1), SHELL BUILTIN COMMANDS.
_BUILTINS = frozenset(
    [
        "echo",
        "printf",
        "export",
        "declare",
        "typeset",
        "local",
        "readonly",
        "read",
        "test",
        "[",
        "[[",
        ":",
        "true",
        "false",
        "set",
        "unset",
        "return",
        "exit",
        "eval",
        "exec",
        "command",
        "builtin",
        "shift",
        "trap",
        "let",
        "mapfile",
        "readarray",
        "source",
        ".",
        "cd",
        "pushd",
        "if",
        "while",
        "wait",
        "alias",
    ],
)
_SHOWN = re.compile(r"/dev/(stdout|stderr|tty.*|console|fd/[12])|&?[12]|/var/log/.*")  # others read logs
_SHOWERS = frozenset(("tee", "cat", "less", "more", "head", "tail", "sed", "grep", "logger"))


def is_secret(name: str, declared: Collection[str]) -> bool:
    """Say whether a variable is declared secret, or named like one."""
    return name in declared or bool(_NAME.search(name) and not _NOT_THE_VALUE.search(name))


def match_secrets(call: Call, shell: ShellText, declared: Collection[str]) -> Iterator[Hit]:
    """Match commands that show a secret: on their output, or to everybody who looks at their command line."""
    yield from _printed(call, shell, declared)
    if _lists_variables(call) and uses_secrets(shell, declared) and _is_shown(call.node, shell):
        yield Hit("secret-echoed", call.node, f"`{' '.join(call.argv)}`")
    if call.wrapped or call.name in _BUILTINS | _PRINTERS or call.name in shell.scope.functions:
        return
    for word in call.node.children_by_field_name("argument"):
        kept = call.name in ("env", "sudo") and re.match(r"[A-Za-z_]\w*=", node_text(word))
        name = next(_expanded(word, declared), None)
        if name is not None and not kept and (name in declared or _ON_A_LINE.search(name)):
            yield Hit("secret-argument", call.node, f"`{name}`")
            return


def _lists_variables(call: Call) -> bool:
    """``env``, ``printenv``, ``set``, ``export -p``: every variable with its value."""
    if call.name in ("env", "printenv"):
        return all(word in ("-0", "--null") for word in call.argv[1:])
    if call.name == "set":
        return len(call.argv) == 1
    return call.name in ("export", "declare", "typeset") and all(word in ("-p", "-x", "-px") for word in call.argv[1:])


def _printed(call: Call, shell: ShellText, declared: Collection[str]) -> Iterator[Hit]:
    """Match printing commands whose arguments or input hold a secret and whose output is shown."""
    if call.name not in _PRINTERS or call.argv[1:2] == ("-v",):
        return
    if call.name in ("declare", "typeset") and "-p" not in call.argv:
        return
    name = next(_secrets_in(call, declared), None)
    if name is not None and (call.name in ("logger", "wall", "write") or _is_shown(call.node, shell)):
        yield Hit("secret-echoed", call.node, f"`{name}`")


def _secrets_in(call: Call, declared: Collection[str]) -> Iterator[str]:
    if call.name in ("printenv", "declare", "typeset"):
        yield from (word for word in call.argv[1:] if is_secret(word, declared))
        return
    parts = call.node.children_by_field_name("argument")
    if call.name == "cat":
        parts = [child for child in call.node.children if child.type == "herestring_redirect"]
        parent = call.node.parent
        if parent is not None and parent.type == "redirected_statement":
            parts += [child for child in parent.children if child.type == "heredoc_redirect"]
    for part in parts:
        yield from _expanded(part, declared)


def _expanded(node: Node, declared: Collection[str]) -> Iterator[str]:
    """Give the secret variables whose value becomes part of a word; a length or ``:+`` does not count."""
    stack = [node]
    while stack:
        current = stack.pop()
        if current.type in ("command_substitution", "process_substitution"):
            continue
        if current.type in ("simple_expansion", "expansion"):
            operator = current.child_by_field_name("operator")
            name = next((child for child in walk(current) if child.type == "variable_name"), None)
            if (
                name is not None
                and (operator is None or node_text(operator) not in ("#", ":+", "+"))
                and is_secret(node_text(name), declared)
            ):
                yield node_text(name)
        stack.extend(reversed(current.children))


def _is_shown(node: Node, shell: ShellText) -> bool:
    current = node
    while current.parent is not None:
        parent = current.parent
        if parent.type in ("command_substitution", "process_substitution"):
            return False
        if parent.type == "redirected_statement" and _leaves(parent):
            return False
        if parent.type == "pipeline" or _pipes_on(parent):
            after = [
                child for child in walk(parent) if child.type == "command" and child.start_byte >= current.end_byte
            ]
            if after:
                last = shell.calls_in([after[-1]])
                return bool(last) and last[0].name in _SHOWERS and _is_shown(after[-1], shell)
        current = parent
    return True


def _pipes_on(statement: Node) -> bool:
    """``cat <<END | next``: the pipe is part of the here-document."""
    return statement.type == "redirected_statement" and any(
        grandchild.type == "pipeline"
        for child in statement.children
        if child.type == "heredoc_redirect"
        for grandchild in child.children
    )


def _leaves(statement: Node) -> bool:
    """Say whether a statement's standard output goes to a file that nobody watches."""
    for node in walk(statement):
        if node.type != "file_redirect" or (
            node.parent is not None and node.parent.id != statement.id and node.parent.type != "heredoc_redirect"
        ):
            continue
        descriptor = node.child_by_field_name("descriptor")
        target = node.child_by_field_name("destination")
        to_output = descriptor is None or node_text(descriptor) == "1"
        writes = any(">" in child.type for child in node.children)
        if to_output and writes and target is not None and not _SHOWN.fullmatch(node_text(target).strip("\"'")):
            return True
    return False


def match_tracing(call: Call, shell: ShellText, declared: Collection[str]) -> Iterator[Hit]:
    """Match ``set -x`` and ``bash -x`` in a script that uses secrets."""
    words = call.argv[1:]
    traces = (call.name == "set" or call.name.endswith("sh")) and (
        "xtrace" in words or any(re.fullmatch(r"-[a-zA-Z]*x[a-zA-Z]*", word) for word in words[:3])
    )
    if traces and uses_secrets(shell, declared):
        yield Hit("secret-traced", call.node)


def uses_secrets(shell: ShellText, declared: Collection[str]) -> bool:
    """Say whether any variable of the script is a secret."""
    return any(node.type == "variable_name" and is_secret(node_text(node), declared) for node in shell.nodes)
