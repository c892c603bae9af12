"""Essential files that are emptied or overwritten while their name stays."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from workflow_agent.scripts._syntax import node_text
from workflow_agent.scripts.policy.calls import constant_inputs, upstream
from workflow_agent.scripts.policy.essentials import essential_file
from workflow_agent.scripts.policy.folders import absolute
from workflow_agent.scripts.policy.hits import Hit
from workflow_agent.scripts.policy.outputs import printed
from workflow_agent.scripts.policy.writing import edits_in_place, written_paths, written_texts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

    from workflow_agent.scripts.policy.calls import Call, Redirect, ShellText

__all__ = ["match_emptied"]

_SILENT = frozenset((":", "true", "false", "exec", "sync"))
_NOTHING = frozenset(("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"))
_COPIES = frozenset(("dd", "cp", "mv", "install", "ln", "rsync", "scp"))
#: What is no text: whatever a shell writes there, it is no program, library or database any more.
_BINARY = re.compile(r"/(usr/)?(bin|sbin|lib|lib32|lib64)/.*|/boot/(?!grub).*|/var/lib/(dpkg|rpm)/.*")
_MADE_ANEW = frozenset(("/etc/hosts", "/etc/resolv.conf"))
#: Programs for `gawk` that give no line.
_NO_LINE = re.compile(r"\s*(0|(NR\s*>\s*0|1|//)?\s*\{\s*next;?\s*\}|BEGIN\s*\{\s*exit;?\s*\})\s*")
_EDITORS = frozenset(("ex", "ed", "vi", "vim", "nvim"))
_ALL_LINES = re.compile(r"^\+?:?(%|[01],\$|,)d\b", re.MULTILINE)
_TAKES_ALL_LINES = re.compile(r"((0|1|/\.?\*?\^?/?),?(\$|/\$?/)?)?\s*d;?|/\.?\*?/d|//d|Q|1?q0?")


def match_emptied(shell: ShellText) -> Iterator[Hit]:
    """Match redirections and calls that leave an essential file without its content."""
    for redirect in shell.redirects:
        for target in redirect.targets:
            file = _needed(target)
            if file and ">>" not in redirect.operator and _loses(file, redirect, shell):
                yield Hit("system-delete", redirect.node, f"`{file}` is emptied")
    for call in shell.calls:
        for path in _emptied_by(call, shell):
            file = _needed(absolute(path, call, shell))
            if file and not _filled_later(file, call.node, shell):
                yield Hit("system-delete", call.node, f"`{file}` is emptied")


def _needed(path: str) -> str | None:
    """Give an essential file, or one that others make anew when it is gone, but not when it is empty."""
    return essential_file(path) or (path if path in _MADE_ANEW else None)


def _loses(file: str, redirect: Redirect, shell: ShellText) -> bool:
    if _BINARY.fullmatch(file):
        return True
    return _gives_nothing(redirect, shell) and not _filled_later(file, redirect.node, shell)


def _filled_later(file: str, node: Node, shell: ShellText) -> bool:
    """Say whether the script puts anything there afterwards that could be a text for it."""
    if _BINARY.fullmatch(file):
        return False
    written = ((path, later) for path, _, later in written_texts(shell) if later.start_byte > node.start_byte)
    return any(_needed(path) == file for path, _ in written)


def _gives_nothing(redirect: Redirect, shell: ShellText) -> bool:
    statement = redirect.node.parent or redirect.node
    body = statement.child_by_field_name("body")
    if body is not None and body.type == "list":  # a redirection belongs to the last of `a && b > FILE`
        body = body.named_children[-1]
    calls = shell.calls_in([body] if body is not None else [])
    if any(child.type in ("heredoc_redirect", "herestring_redirect") for child in statement.children):
        return False
    return not any(text.strip() for text in printed(calls)) and all(map(_is_silent, calls))


def _is_silent(call: Call) -> bool:
    if call.name in _SILENT or call.name in ("echo", "printf"):
        return True
    return call.name == "cat" and set(call.argv[1:]) <= {"/dev/null"} and len(call.argv) > 1


def _emptied_by(call: Call, shell: ShellText) -> list[str]:
    words = list(call.argv[1:])
    if call.name == "truncate":
        return [word for word in words if word.startswith("/") or "/" in word] or words[-1:]
    if call.name in _COPIES and _NOTHING & {word.removeprefix("if=") for word in words}:
        return written_paths(call)
    if call.name in ("tee", "sponge") and _reads_nothing(call, shell):
        return words
    if call.name in _EDITORS and any(_ALL_LINES.search(text) for text in (*words, *constant_inputs(shell, call))):
        return [word for word in words if not word.startswith(("-", "+"))]
    if call.name in ("awk", "gawk") and edits_in_place(call) and any(map(_NO_LINE.fullmatch, words)):
        return written_paths(call)
    sed = call.name == "sed" and any(_TAKES_ALL_LINES.fullmatch(word.strip("'\"")) for word in words)
    return written_paths(call) if sed else []


def _reads_nothing(call: Call, shell: ShellText) -> bool:
    """``tee FILE < /dev/null``, ``: | tee FILE``."""
    sources = upstream(call.node)
    if any(re.match(r"<\s*/dev/null", node_text(node)) for node in sources):
        return True
    calls = shell.calls_in(sources)
    return bool(calls) and all(map(_is_silent, calls)) and not any(text.strip() for text in printed(calls))
