"""Rights to whole system folders: taken away, so that nobody can log in or run anything, or given as one is made."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from workflow_agent.scripts.policy.essentials import essential_file
from workflow_agent.scripts.policy.folders import absolute
from workflow_agent.scripts.policy.hits import Hit
from workflow_agent.scripts.policy.host import gives_to_all, is_owned_by_system
from workflow_agent.scripts.policy.paths import system_tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workflow_agent.scripts.policy.calls import Call, ShellText

__all__ = ["match_rights"]

#: Folders into which every program looks, whoever runs it.
_EVERYBODYS = frozenset(
    ("/", "/bin", "/etc", "/lib", "/lib64", "/sbin", "/usr", "/usr/bin", "/usr/lib", "/usr/sbin", "/usr/share", "/var")
)
_TAKES = re.compile(r"(^|,)[ugo]*([ao][ugoa]*)?-[wst]*[rxX]|(^|,)[ugoa]*=[wst]*(,|$)")
_NOTHING = re.compile(r"(^|,)(d(efault)?:)?(u(ser)?|g(roup)?|o(ther)?|m(ask)?)?:[^:,]*:(-+|0)(,|$)")
_LOCKS = re.compile(r"[+=][a-zA-Z]*[ia][a-zA-Z]*")
_READ_AND_ENTER = 5


def match_rights(call: Call, shell: ShellText) -> Iterator[Hit]:
    """Match ``chmod``, ``chattr`` and ``setfacl`` that close a system folder, ``install -d -m 777`` that opens one."""
    if call.name in ("install", "mkdir"):
        modes = [value for word, value in pairwise(call.argv) if re.fullmatch(r"-[a-zA-Z]*m|--mode", word)]
        modes += [word.partition("=")[2] for word in call.argv if word.startswith("--mode=")]
        targets = [absolute(word, call, shell) for word in call.argv[1:] if word.startswith("/")]
        if any(map(gives_to_all, modes)) and any(map(is_owned_by_system, targets[-1:])):
            yield Hit("world-writable", call.node, f"`{call.name}`")
        return
    if call.name == "umask" and _opens_the_rest(call, shell):
        yield Hit("world-writable", call.node, "`umask`")
    closed = _closed(call, shell)
    if closed is not None:
        yield Hit("system-closed", call.node, f"`{closed}`")


def _opens_the_rest(call: Call, shell: ShellText) -> bool:
    """``umask 000``: everybody may write what is made from here on; not in a subshell, nor where it is set again."""
    current = call.node.parent
    while current is not None and current.type not in ("subshell", "command_substitution"):
        current = current.parent
    later = any(other.name == "umask" and other.node.start_byte > call.node.start_byte for other in shell.calls)
    modes = [word for word in call.argv[1:] if re.fullmatch(r"[0-7]{1,4}", word)]
    return current is None and not later and any(not int(mode[-1]) & 2 for mode in modes)


def _closed(call: Call, shell: ShellText) -> str | None:
    words = list(call.argv[1:])
    operands = [word for word in words if not word.startswith("-")]
    if call.name == "chmod":
        # A mode may begin with a minus: `chmod -x FILE`.
        mode = next((word for word in words if re.fullmatch(r"[0-7]{1,5}|[ugoa]*[-+=][rwxXst,=+ugoa-]*", word)), "")
        recursive = any(word == "--recursive" or re.fullmatch(r"-[a-zA-Z]*R[a-zA-Z]*", word) for word in words)
        paths = [word for word in operands if word != mode]
        return _first_closed([absolute(path, call, shell) for path in paths], mode, recursive=recursive)
    if call.name == "chattr" and any(map(_LOCKS.fullmatch, words)):
        paths = [absolute(word, call, shell) for word in operands if not _LOCKS.fullmatch(word)]
        return next((path for path in paths if system_tree(path) or essential_file(path)), None)
    if call.name == "setfacl" and any(map(_NOTHING.search, words)):
        paths = [absolute(word, call, shell) for word in operands]
        return next((tree for path in paths if (tree := system_tree(path))), None)
    return None


def _first_closed(paths: list[str], mode: str, *, recursive: bool) -> str | None:
    """Give the system folder that a mode closes: to its owner, or to everybody where everybody has to enter."""
    for path in paths:
        tree = system_tree(path)
        if tree is None:
            continue
        if re.fullmatch(r"[0-7]{1,5}", mode):
            owner, others = (int(digit) for digit in (mode.zfill(3)[-3], mode[-1]))
            if owner & _READ_AND_ENTER != _READ_AND_ENTER or (tree in _EVERYBODYS and not others & 1):
                return tree
        elif _TAKES.search(mode) and (recursive or tree in _EVERYBODYS):
            return tree
    return None
