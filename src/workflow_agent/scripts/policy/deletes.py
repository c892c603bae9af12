"""Deletes of whole system folders, however they are written."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from workflow_agent.scripts.policy.folders import absolute
from workflow_agent.scripts.policy.hits import Hit
from workflow_agent.scripts.policy.paths import system_tree
from workflow_agent.scripts.policy.resolving import MAYBE
from workflow_agent.scripts.policy.unwrapping import narrowed_find

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workflow_agent.scripts.policy.calls import Call, ShellText

__all__ = ["match_deletes"]

_REMOVERS = frozenset(("rm", "unlink", "shred", "srm", "rmdir"))


def match_deletes(call: Call, shell: ShellText) -> Iterator[Hit]:
    """Match `rm`, `find`, `mv`, `tar`, `git clean` and `rsync --delete` on system folders."""
    if call.name in _REMOVERS:
        yield from _removal(call, shell)
    elif call.name == "find":
        yield from _find(call, shell)
    elif call.name == "mv":
        operands = _operands(call.argv[1:])
        yield from _targets(call, shell, operands[:-1], needs_glob=False)
    elif call.name == "tar" and "--remove-files" in call.argv:
        yield from _targets(call, shell, _operands(call.argv[1:]), needs_glob=False)
    elif call.name == "git":
        yield from _git(call, shell)
    elif call.name == "rsync" and any(word.startswith("--del") for word in call.argv):
        yield from _targets(call, shell, _operands(call.argv[1:])[-1:], needs_glob=False)


def _git(call: Call, shell: ShellText) -> Iterator[Hit]:
    """``git clean -f``, also with ``-C FOLDER``."""
    words = call.argv[1:]
    if "clean" not in words or not any(re.fullmatch(r"--force|-[a-zA-Z]*f[a-zA-Z]*", word) for word in words):
        return
    folders = [value for word, value in pairwise(words) if word == "-C"]
    targets = [word for word in words[words.index("clean") + 1 :] if not word.startswith("-")]
    yield from _targets(call, shell, folders or targets or ["."], needs_glob=False)


def _operands(words: tuple[str, ...]) -> list[str]:
    """Give the words that are no options; after ``--`` every word is one."""
    if "--" in words:
        split = words.index("--")
        return [*_operands(words[:split]), *words[split + 1 :]]
    return [word for word in words if not word.startswith("-") or word == "-"]


def _is_recursive(words: tuple[str, ...]) -> bool:
    options = words[: words.index("--")] if "--" in words else words
    return any(
        (word.startswith("--r") and "--recursive".startswith(word))
        or (word.startswith("-") and not word.startswith("--") and ("r" in word or "R" in word))
        for word in options
    )


def _removal(call: Call, shell: ShellText) -> Iterator[Hit]:
    words = call.argv[1:]
    if "--no-preserve-root" in words:
        yield Hit("system-delete", call.node, "`--no-preserve-root`")
    recursive = call.name == "rm" and _is_recursive(words)
    yield from _targets(call, shell, _operands(words), needs_glob=not recursive)


def _targets(call: Call, shell: ShellText, targets: list[str], *, needs_glob: bool) -> Iterator[Hit]:
    for target in targets:
        path = absolute(target, call, shell)
        tree = system_tree(path, needs_glob=needs_glob)
        if tree is None:
            continue
        rule = "delete-maybe-empty" if MAYBE in path else "system-delete"
        yield Hit(rule, call.node, f"`{tree}`")


def _find(call: Call, shell: ShellText) -> Iterator[Hit]:
    roots, narrowed = narrowed_find(call.argv)
    removes = "-delete" in call.argv or any(
        word in _REMOVERS or word.rpartition("/")[2] in _REMOVERS for word in _executed(call.argv)
    )
    if removes and not narrowed:
        yield from _targets(call, shell, roots, needs_glob=False)


def _executed(argv: tuple[str, ...]) -> Iterator[str]:
    for index, word in enumerate(argv[:-1]):
        if word in ("-exec", "-execdir", "-ok", "-okdir"):
            yield from argv[index + 1 : index + 4]
