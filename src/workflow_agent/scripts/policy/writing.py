"""What a script writes where: paths with the text that goes to them, as far as it can be read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from workflow_agent.scripts._syntax import node_text, walk
from workflow_agent.scripts.policy.calls import upstream
from workflow_agent.scripts.policy.outputs import printed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

    from workflow_agent.scripts.policy.calls import Call, ShellText

__all__ = ["Written", "edits_in_place", "written_paths", "written_texts"]

#: A path, the text that goes there ("" when it cannot be read), and where that stands.
Written = tuple[str, str, "Node"]
_TAKE_PATHS = frozenset(("tee", "shred", "truncate", "touch", "mkdir", "rm", "rmdir", "unlink", "mkfifo"))
_SOCAT_FILE = re.compile(r"(?:open|file|gopen|create)[\w-]*:([^,]+)", re.IGNORECASE)
_COPY = frozenset(("cp", "mv", "install", "ln", "rsync", "scp"))


def written_paths(call: Call) -> list[str]:
    """Give the paths that a call writes to, as far as its arguments tell."""
    words = [word for word in call.argv[1:] if not word.startswith("-")]
    if call.name == "dd":
        return [word[3:] for word in words if word.startswith("of=")]
    if call.name in _TAKE_PATHS:
        return words
    if call.name in _COPY or (call.name == "qemu-img" and "convert" in words):
        return words[-1:]
    if edits_in_place(call):
        return [word for word in words if word != "inplace"][1:]
    if call.name in ("chmod", "chown", "chgrp"):
        return words[1:]
    return _written_by_socat(call, words) if call.name == "socat" else []


def edits_in_place(call: Call) -> bool:
    """Say whether a program for lines puts what it gives in the place of what it has read."""
    if call.name == "sed":
        return any(word.startswith(("-i", "--in-place")) for word in call.argv)
    if call.name in ("awk", "gawk"):
        return "inplace" in call.argv or "--include=inplace" in call.argv
    return call.name in ("perl", "ruby") and any(re.fullmatch(r"-[pnalw0]*i\S*", word) for word in call.argv[1:])


def _written_by_socat(call: Call, words: list[str]) -> list[str]:
    ends = words[-1:] if "-u" in call.argv else words[:1] if "-U" in call.argv else words
    return [found[1] for word in ends if (found := _SOCAT_FILE.match(word))]


def written_texts(shell: ShellText) -> Iterator[Written]:
    """Give everything that a script writes into files, by redirection, ``tee``, ``sed -i``, ``cp`` and the like."""
    for redirect in shell.redirects:
        statement = redirect.node.parent or redirect.node
        text = _text_from([statement], shell)
        for target in redirect.targets:
            yield target, text, redirect.node
    for call in shell.calls:
        if call.name in ("tee", "sponge"):
            text = _text_from([*upstream(call.node), *_own_inputs(call)], shell)
        elif edits_in_place(call):
            text = " ".join(call.argv[1:])
        elif call.name in _COPY or call.name == "dd":
            text = ""
        else:
            continue
        for path in written_paths(call) or _sponged(call):
            yield path, text, call.node


def _sponged(call: Call) -> list[str]:
    return list(call.argv[-1:]) if call.name == "sponge" else []


def _own_inputs(call: Call) -> list[Node]:
    """``tee FILE <<END``: the here-document beside the command."""
    parent = call.node.parent
    if parent is None or parent.type != "redirected_statement":
        return []
    return [child for child in parent.children if child.type == "heredoc_redirect"]


def _text_from(nodes: list[Node], shell: ShellText) -> str:
    """Put together the constant text that commands and here-documents at some nodes give."""
    texts = printed(shell.calls_in(nodes))
    for node in nodes:
        texts += [node_text(inner) for inner in walk(node) if inner.type == "heredoc_body"]
    return "\n".join(texts)
