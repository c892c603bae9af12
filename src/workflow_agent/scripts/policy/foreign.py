"""Programs in other languages that a script carries: Python, Perl, Ruby, Node, PHP, awk.

These are not parsed. What is looked for is what such one-liners are used for when they do harm; text that they
give to a shell is judged like any other.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from workflow_agent.scripts.policy.calls import input_texts
from workflow_agent.scripts.policy.essentials import essential_file
from workflow_agent.scripts.policy.hits import Hit
from workflow_agent.scripts.policy.paths import is_block_device, system_tree
from workflow_agent.scripts.policy.unwrapping import SHELLS, is_interpreter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workflow_agent.scripts.policy.calls import Call, ShellText

__all__ = ["foreign_commands", "foreign_programs", "match_foreign"]

_TEXT = r"""\s*\(?\s*\[?\s*(?:r|b)?["']([^"']+)["']"""
_DELETES = re.compile(r"\b(?:rmtree|remove_tree|rm_rf|rm_r|rmSync|rmdirSync|removedirs)\b" + _TEXT)
#: One file: what a language calls removing, emptying or moving it, then its name; or the name, then the method.
_REMOVES_FILE = re.compile(
    r"\b(?:unlink|unlinkSync|remove|truncate|truncateSync|rename|renameSync|move|rm|rmSync|delete|glob)\b" + _TEXT
)
_TCL = re.compile(r"\bfile\s+(?:delete|rename)\s+(?:-force\s+)?(?:--\s+)?\{?(/[^\s}]*)")
_METHOD = re.compile(r"""Path\(\s*["']([^"']+)["']\s*\)\.(?:unlink|rename|replace|rmdir|write_text|write_bytes)\b""")
_EMPTIES = re.compile(
    r"""\b(?:open|writeFileSync|writeFile|file_put_contents|File\.write)\b\s*\(?[^"']*["']([^"']+)["']\s*,\s*["'](?:w|>?["'])"""
)
_INTO = re.compile(r"""[^->=]>\s*["'](/[^"']+)["']""")
_OPENS = re.compile(r"\bopen\b" + _TEXT + r"""\s*,\s*["'](?:[wa>+]|r\+|.*>)""")
_FETCHES = re.compile(
    r"urlopen|urllib|requests\.get|http\.client|https?\.get|require\(.https?.\)|LWP|open-uri|Net::HTTP|\bfetch\(|file_get_contents\s*\(.?http|"
    r"HTTP::Tiny|urlretrieve"
)
_DECODES = re.compile(
    r"b64decode|decodebytes|fromhex|unhexlify|decode_base64|base64_decode|Buffer\.from|atob\(|gzinflate|str_rot13|rot13"
)
_RUNS = re.compile(
    r"\b(exec|eval|compile|system|popen|subprocess|child_process|execSync|spawn|passthru|shell_exec|runpy)\b"
)
_CONNECTS = re.compile(r"\bsocket\b|\bSocket\b|fsockopen|TCPSocket|net\.connect")
_SHELL = re.compile(r"dup2|pty\.spawn|/bin/(ba|da)?sh|fdopen")
_FORKS = re.compile(r"while\b.{0,40}\bfork\b|\bfork\b.{0,20}\bwhile\b|fork\s+while\s+fork|loop\s*\{\s*fork", re.DOTALL)
_COMMANDS = re.compile(
    r"""\b(?:system|popen|execSync|exec|shell_exec|passthru|getoutput|check_output|call|run|Popen|spawn)\s*\(?\s*["'](.+?)["']\s*[,)}\]]?"""
)
_LISTS = re.compile(
    r"""\b(?:run|call|check_call|check_output|Popen|system|spawnSync|execvp?)\s*\(\s*\[?\s*((?:["'][^"']*["']\s*,?\s*\[?\s*)+)"""
)
_PIPED = re.compile(r"""["']([^"']+)["']\s*\|\s*["'](?:ba|da)?sh["']""")
_AWK = frozenset(("awk", "gawk", "mawk", "nawk"))


def foreign_programs(call: Call, shell: ShellText) -> list[str]:
    """Give the texts of programs in other languages that a call runs."""
    words = list(call.argv[1:])
    if call.name in _AWK:
        return next(([word] for word in words if not word.startswith("-")), [])
    if not is_interpreter(call.name) or call.name in SHELLS:
        return []
    texts = [value for word, value in pairwise(words) if re.fullmatch(r"-[a-zA-Z]*[cerE]", word)]
    return texts + input_texts(shell, call)


#: Each entry of a folder that is listed, by its name.
_EACH = re.compile(r"""\bfor\s+(\w+)\s+in\s+(?:sorted\()?os\.(?:listdir|scandir)\(\s*["']([^"']+)["']""")
_WALKS = re.compile(r"""\bfor\s+[\w\s,()]+\sin\s+os\.walk\(\s*["']([^"']+)["'](.*)""", re.DOTALL)
_REMOVES_ANY = r"\b(?:rmtree|unlink|remove|removedirs|rmdir)\("
_CHOOSES = r"\bif\b|\bfilter\b|\bcontinue\b"
_REMOVES_NAMED = r"\b(?:rmtree|unlink|remove|removedirs|rename|move)\([^\n]*\b{name}\b"


def match_foreign(program: str, call: Call) -> Iterator[Hit]:
    """Match what a program in another language does itself."""
    for found in (*_DELETES.finditer(program), *_TCL.finditer(program)):
        tree = system_tree(found[1])
        if tree:
            yield Hit("system-delete", call.node, f"`{tree}`")
    yield from (Hit("system-delete", call.node, f"`{tree}`") for tree in _emptied_one_by_one(program))
    files = [
        found[1] for pattern in (_REMOVES_FILE, _TCL, _METHOD, _EMPTIES, _INTO) for found in pattern.finditer(program)
    ]
    for path in files:
        lost = system_tree(path, needs_glob=True) or essential_file(path)
        if lost:
            yield Hit("system-delete", call.node, f"`{lost}`")
    if any(is_block_device(found[1]) for found in _OPENS.finditer(program)):
        yield Hit("block-device", call.node, f"`{call.name}`")
    if (_FETCHES.search(program) and _RUNS.search(program)) or (_CONNECTS.search(program) and _SHELL.search(program)):
        yield Hit("network-to-shell", call.node, f"`{call.name}`")
    if _DECODES.search(program) and _RUNS.search(program):
        yield Hit("decoded-to-shell", call.node, f"`{call.name}`")
    if _FORKS.search(program):
        yield Hit("fork-bomb", call.node)


def _emptied_one_by_one(program: str) -> Iterator[str]:
    """Give system folders whose entries are listed and removed."""
    for found in _EACH.finditer(program):
        tree = system_tree(found[2])
        if tree and re.search(_REMOVES_NAMED.format(name=found[1]), program):
            yield tree
    for found in _WALKS.finditer(program):
        tree = system_tree(found[1])
        if tree and re.search(_REMOVES_ANY, found[2]) and not re.search(_CHOOSES, found[2]):
            yield tree


def foreign_commands(program: str) -> list[str]:
    """Give the shell commands that a program in another language starts."""
    found = [match[1] for pattern in (_COMMANDS, _PIPED) for match in pattern.finditer(program)]
    lists = (re.findall(r"""["']([^"']*)["']""", match[1]) for match in _LISTS.finditer(program))
    return found + [" ".join(words) for words in lists if len(words) > 1]
