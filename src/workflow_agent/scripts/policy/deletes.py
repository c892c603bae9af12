"""Deletes of whole system folders and of essential files, however they are written."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from workflow_agent.scripts.policy.essentials import essential_file
from workflow_agent.scripts.policy.folders import absolute
from workflow_agent.scripts.policy.hits import Hit
from workflow_agent.scripts.policy.markers import MAYBE
from workflow_agent.scripts.policy.paths import system_tree
from workflow_agent.scripts.policy.unwrapping import found_by_find
from workflow_agent.scripts.policy.writing import written_texts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workflow_agent.scripts.policy.calls import Call, ShellText

__all__ = ["match_deletes"]

_REMOVERS = frozenset(("rm", "unlink", "shred", "srm", "rmdir", "wipe", "scrub", "trash", "trash-put", "rimraf"))
_ASK_FOR_FOLDERS = frozenset(("rm", "srm", "wipe"))  # with an option; the others take none, or all that they get
_TAKE_FOLDERS = frozenset(("trash", "trash-put", "rimraf"))


def match_deletes(call: Call, shell: ShellText) -> Iterator[Hit]:
    """Match `rm`, `find`, `mv`, `tar`, `git clean` and `rsync --delete` on system folders."""
    if call.name in _REMOVERS:
        yield from _removal(call, shell)
    elif call.name == "find":
        yield from _find(call, shell)
    elif call.name == "mv":
        operands = _operands(call.argv[1:])
        yield from _targets(call, shell, operands[:-1], needs_glob=False)
    elif _removes_sources(call):
        yield from _targets(call, shell, _operands(call.argv[1:]), needs_glob=False)
    elif call.name == "git":
        yield from _git(call, shell)
    elif call.name == "rsync" and any(word.startswith("--del") for word in call.argv):
        yield from _targets(call, shell, _operands(call.argv[1:])[-1:], needs_glob=False)


def _removes_sources(call: Call) -> bool:
    """Say whether an archiver or copier deletes what it has taken."""
    words = call.argv[1:]
    if call.name in ("gzip", "bzip2", "xz", "lzma"):
        return not any(
            re.fullmatch(r"-[a-zA-Z0-9]*[cdklt][a-zA-Z0-9]*|--(stdout|keep|decompress|list|test)", w) for w in words
        )
    if call.name == "zip":
        return any(re.fullmatch(r"-[a-zA-Z0-9]*m[a-zA-Z0-9]*|--move", word) for word in words)
    taking = {"tar": "--remove-files", "rsync": "--remove-source-files", "7z": "-sdel", "7za": "-sdel", "zstd": "--rm"}
    return taking.get(call.name, "") in words


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
    recursive = call.name in _TAKE_FOLDERS or (call.name in _ASK_FOR_FOLDERS and _is_recursive(words))
    yield from _targets(call, shell, _operands(words), needs_glob=not recursive)


def _targets(call: Call, shell: ShellText, targets: list[str], *, needs_glob: bool) -> Iterator[Hit]:
    for target in targets:
        path = absolute(target, call, shell)
        tree = system_tree(path, needs_glob=needs_glob) or _lost_file(path, call, shell)
        if tree is None:
            continue
        rule = "delete-maybe-empty" if MAYBE in path else "system-delete"
        yield Hit(rule, call.node, f"`{tree}`")


def _lost_file(path: str, call: Call, shell: ShellText) -> str | None:
    """Give the essential file that a target means, unless the script writes it anew afterwards."""
    if sum(MAYBE in segment for segment in path.split("/")) > 1:
        return None  # as for folders: several would have to be empty at once
    file = essential_file(path.replace(MAYBE, ""))
    if file is None:
        return None
    anew = (written for written, _, node in written_texts(shell) if node.start_byte > call.node.start_byte)
    return None if any(essential_file(written) == file for written in anew) else file


def _find(call: Call, shell: ShellText) -> Iterator[Hit]:
    removes = "-delete" in call.argv or any(
        word in _REMOVERS or word.rpartition("/")[2] in _REMOVERS for word in _executed(call.argv)
    )
    if removes:
        yield from _targets(call, shell, found_by_find(call.argv), needs_glob=False)


def _executed(argv: tuple[str, ...]) -> Iterator[str]:
    for index, word in enumerate(argv[:-1]):
        if word in ("-exec", "-execdir", "-ok", "-okdir"):
            yield from argv[index + 1 : index + 4]
