"""Programs and packages that are fetched from a network into a file and then run, without a look at what they are."""

from __future__ import annotations

import posixpath
import re
from itertools import pairwise
from typing import TYPE_CHECKING

from workflow_agent.scripts._syntax import node_text, walk
from workflow_agent.scripts.policy.calls import upstream
from workflow_agent.scripts.policy.folders import absolute
from workflow_agent.scripts.policy.hits import Hit
from workflow_agent.scripts.policy.markers import MARKERS
from workflow_agent.scripts.policy.outputs import NETWORK
from workflow_agent.scripts.policy.resolving import resolve
from workflow_agent.scripts.policy.unwrapping import SHELLS, is_interpreter, program, reads_stdin, shell_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tree_sitter import Node

    from workflow_agent.scripts.policy.calls import Call, ShellText

__all__ = ["match_fetched", "run_files"]

_DEVICE = re.compile(r"/dev/(tcp|udp)/")
_LINES = frozenset(("nc", "ncat", "netcat", "telnet", "socat"))
_COPIES = frozenset(("cp", "mv", "install", "ln", "tee"))
_PACKAGES = {"dpkg": ("-i", "--install"), "rpm": ("-i", "-U", "-ivh", "-Uvh", "--install")}
_CLONE_VALUED = frozenset(
    ("-b", "--branch", "--depth", "-c", "--config", "-o", "--origin", "-j", "--jobs", "--reference")
)
_APT = frozenset(("apt", "apt-get", "dnf", "yum"))


def match_fetched(shell: ShellText) -> Iterator[Hit]:
    """Match runs of fetched files that no checksum or signature was compared with, and shells on a connection."""
    yield from _on_connections(shell)
    yield from _shell_on_a_pipe(shell)
    yield from _cloned_and_run(shell)
    fetched = _fetched_files(shell)
    if not fetched:
        return
    checks = [call.node.start_byte for call in shell.calls if _compares(call)]
    for call in shell.calls:
        for word in run_files(call, shell):
            start = fetched.get(_key(word))
            run = call.node.start_byte
            if start is not None and start < run and not any(start < check < run for check in checks):
                yield Hit("network-to-shell", call.node, f"`{program(word)}`")
                break


def _cloned_and_run(shell: ShellText) -> Iterator[Hit]:
    """``git clone URL FOLDER; FOLDER/install.sh``, unless a signature or a commit is asked for in between."""
    folders = [
        (_placed(word, call, shell), call.node.start_byte)
        for call in shell.calls
        if call.name == "git" and "clone" in call.argv
        for word in (*_clone(list(call.argv)), *_clone(_source_words(call.node)))
    ]
    if not folders:
        return
    checks = [call.node.start_byte for call in shell.calls if call.name == "git" and _fixes_commit(call.argv)]
    for call in shell.calls:
        run = call.node.start_byte
        words = [_placed(word, call, shell) for word in run_files(call, shell)]
        for folder, start in folders:
            inside = start < run and any(word.startswith(f"{folder}/") for word in words)
            if inside and not any(start < check < run for check in checks):
                yield Hit("network-to-shell", call.node, f"`{call.name}`")
                break


def _placed(word: str, call: Call, shell: ShellText) -> str:
    return posixpath.normpath(absolute(_key(word), call, shell))


def _clone(words: list[str]) -> list[str]:
    """Give the folder that ``git clone`` makes. Source: git-clone(1)."""
    rest = words[words.index("clone") + 1 :] if "clone" in words else []
    operands = [
        word for before, word in pairwise(["", *rest]) if not word.startswith("-") and before not in _CLONE_VALUED
    ]
    if not operands or not re.match(r"(https?|git|ssh)://|[\w.-]+@[\w.-]+:", operands[0]):
        return []
    return operands[1:2] or [operands[0].rstrip("/").rpartition("/")[2].removesuffix(".git")]


def _fixes_commit(argv: Sequence[str]) -> bool:
    verifies = {"verify-tag", "verify-commit"} & set(argv)
    return bool(verifies) or any(re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", word) for word in argv)


def _shell_on_a_pipe(shell: ShellText) -> Iterator[Hit]:
    """``cat FIFO | sh -i | nc HOST``: somebody else's words go into a shell, and its answers to them."""
    for call in shell.calls:
        if call.name in _LINES and any(each.name in SHELLS for each in shell.calls_in(upstream(call.node))):
            yield Hit("network-to-shell", call.node, f"`{call.name}`")


def _key(word: str) -> str:
    word = re.sub(r"[\"']", "", word).removeprefix("./")
    return re.sub(r"\$\{(\w+)(:?\?[^}]*)?\}", r"$\1", word)


def _source_words(node: Node) -> list[str]:
    name = node.child_by_field_name("name")
    return [
        node_text(word).strip("\"'") for word in [*([name] if name else []), *node.children_by_field_name("argument")]
    ]


def _fetched_files(shell: ShellText) -> Mapping[str, int]:
    """Give the files that hold something fetched: by constant text, or by how the script writes their name."""
    found: dict[str, int] = {}
    for call in shell.calls:
        if call.name in NETWORK:
            for words in (call.argv, ["", *_source_words(call.node)]):
                for word in _outputs(call.name, words):
                    _note(found, word, call.node)
        elif call.name in _COPIES:
            _note_copy(found, call, shell)
    for redirect in shell.redirects:
        statement = redirect.node.parent or redirect.node
        if any(call.name in NETWORK for call in shell.calls_in([statement, *upstream(statement)])):
            destination = redirect.node.child_by_field_name("destination")
            for word in (*redirect.targets, node_text(destination) if destination else ""):
                _note(found, word, redirect.node)
    return found


def _note(found: dict[str, int], word: str, node: Node) -> None:
    if word and not MARKERS & set(word) and not word.startswith(("/dev/", "&")):
        found.setdefault(_key(word), node.start_byte)


def _note_copy(found: dict[str, int], call: Call, shell: ShellText) -> None:
    words = [word for word in call.argv[1:] if not word.startswith("-")]
    piped = call.name == "tee" and any(other.name in NETWORK for other in shell.calls_in(upstream(call.node)))
    if piped or any(_key(word) in found for word in words[:-1]):
        for word in words if piped else words[-1:]:
            _note(found, word, call.node)


def _outputs(name: str, words: Sequence[str]) -> Iterator[str]:
    """Give the files that a call of ``curl`` or ``wget`` writes. Source: curl(1), wget(1)."""
    letter = "o" if name == "curl" else "O"
    folder = _folder(words)
    for index, word in enumerate(words):
        after = words[index + 1] if index + 1 < len(words) else ""
        long = re.fullmatch(r"--output(?:-document)?(?:=(.*))?", word)
        short = re.fullmatch(rf"-[a-zA-Z]*?{letter}(.*)", word) if not word.startswith("--") else None
        if long:
            yield long[1] or after
        elif short:
            yield short[1] or after
        elif "://" in word and (name != "curl" or any(re.fullmatch(r"-[a-zA-Z]*O[a-zA-Z]*", w) for w in words)):
            yield folder + word.rstrip("/").rpartition("/")[2].partition("?")[0]


def _folder(words: Sequence[str]) -> str:
    for word, value in pairwise([*words, ""]):
        long = re.fullmatch(r"--(?:directory-prefix|output-dir)(?:=(.*))?", word)
        if word == "-P" or long:
            return f"{((long and long[1]) or value).rstrip('/')}/"
    return ""


def run_files(call: Call, shell: ShellText) -> Iterator[str]:
    """Give the words of a call that name a file which it runs, or installs as a package."""
    sources = _source_words(call.node)
    # A program's own path: names of calls have no folder, so it is looked for among the command's words.
    yield from (word for word in sources if "/" in word + call.name[:0] and program(word) == call.name)
    yield from (word for word in sources[:1] if word.startswith("$"))
    arguments = list(call.argv[1:])
    if call.name in SHELLS or is_interpreter(call.name) or call.name in ("source", "."):
        operands = shell_words(arguments)[1]
        yield from operands[:1]
        yield from (word for word in sources[1:] if "$" in word and not word.startswith("-"))
    if call.name in SHELLS:
        yield from _read_first(shell)
    if call.name in ("at", "batch"):
        yield from (value for word, value in pairwise(arguments) if word == "-f")
    if call.name in _APT and "install" in arguments:
        yield from (word for word in [*arguments, *sources] if "/" in word or word.startswith("$"))
    if set(arguments) & set(_PACKAGES.get(call.name, ())):
        yield from [*arguments, *sources[1:]]
    if reads_stdin(call.argv):
        yield from _input_files(call, shell)


def _read_first(shell: ShellText) -> Iterator[str]:
    """Give the files that bash reads before what it is given."""
    for recipe in shell.scope.lookup("BASH_ENV") or ():
        for node in recipe:
            yield from resolve(node, shell.scope) if node is not None else ()


def _input_files(call: Call, shell: ShellText) -> Iterator[str]:
    sources = upstream(call.node)
    for node in sources:
        if node.type == "file_redirect":
            target = node.child_by_field_name("destination") or (node.named_children or [node])[-1]
            yield node_text(target)
    for other in shell.calls_in(sources):
        if other.name in ("cat", "sed", "zcat", "tail", "head"):
            yield from [*other.argv[1:], *_source_words(other.node)[1:]]


def _compares(call: Call) -> bool:
    """Say whether a call compares a checksum or a signature."""
    if re.fullmatch(r"(sha\d*|b2|md5)sum|shasum", call.name):
        checks = any(re.fullmatch(r"--check.*|-[a-zA-Z]*c[a-zA-Z]*", word) for word in call.argv[1:])
        return checks or _is_compared(call.node)
    if call.name in ("gpg", "gpg2"):
        return "--verify" in call.argv
    if call.name == "openssl":
        return "-verify" in call.argv or (call.argv[1:2] == ("dgst",) and _is_compared(call.node))
    return call.name in ("gpgv", "gpgv2", "cosign", "minisign", "signify", "cmp", "slsa-verifier")


def _is_compared(node: Node) -> bool:
    """``[ "$(sha256sum FILE)" = … ]``, or kept in a variable for that."""
    current = node.parent
    while current is not None:
        if current.type == "command_substitution":
            return True
        current = current.parent
    return False


def _on_connections(shell: ShellText) -> Iterator[Hit]:
    """Match shells whose input is a connection: ``bash -i >& /dev/tcp/…``, ``nc -e``."""
    descriptors = _connected(shell)
    for call in shell.calls:
        if call.name in ("nc", "ncat", "netcat"):
            if any(re.fullmatch(r"-[a-z]*[ec]|--exec|--sh-exec", word) for word in call.argv[1:]):
                yield Hit("network-to-shell", call.node, f"`{call.name}`")
        elif call.name == "socat":
            if any(re.match(r"(exec|system):", word, re.IGNORECASE) for word in call.argv[1:]):
                yield Hit("network-to-shell", call.node, "`socat`")
        elif call.name in SHELLS and _is_connected(call.node, descriptors):
            yield Hit("network-to-shell", call.node, f"`{call.name}`")


def _redirects_of(node: Node) -> Iterator[Node]:
    parent = node.parent
    if parent is not None and parent.type == "redirected_statement":
        yield from (child for child in parent.children if child.type == "file_redirect")


def _connected(shell: ShellText) -> set[str]:
    found = set()
    for node in shell.nodes:
        if node.type == "file_redirect" and _DEVICE.search(node_text(node)):
            descriptor = node.child_by_field_name("descriptor") or (node.named_children or [node])[0]
            found.add(node_text(descriptor))
    return found


def _is_connected(node: Node, descriptors: set[str]) -> bool:
    redirects = list(_redirects_of(node)) + [item for item in upstream(node) if item.type != "command"]
    commands = [inner for item in upstream(node) for inner in walk(item) if inner.type == "file_redirect"]
    for redirect in [*redirects, *commands]:
        text = node_text(redirect)
        copied = re.fullmatch(r"\d*<&\s*(\d+)", text)
        if _DEVICE.search(text) or (copied and copied[1] in descriptors):
            return True
    return False
