"""From text to calls: every command that a script can run, with wrappers, pipes and nested texts followed."""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import field
from itertools import islice, product
from typing import TYPE_CHECKING

from workflow_agent.model.records import dataclass
from workflow_agent.scripts._syntax import node_text, parse_shell, walk
from workflow_agent.scripts.policy.markers import DECODED, KNOWN, MAYBE, NET, SPLIT
from workflow_agent.scripts.policy.outputs import listed, origin_of, printed
from workflow_agent.scripts.policy.resolving import resolve
from workflow_agent.scripts.policy.scopes import Scope, collect_scope
from workflow_agent.scripts.policy.unwrapping import SHELLS, command_chain, is_interpreter, reads_stdin, shell_texts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

__all__ = [
    "MAX_DEPTH",
    "Call",
    "Redirect",
    "ShellText",
    "constant_inputs",
    "input_texts",
    "read_text",
    "run_texts",
    "upstream",
]

#: How deep texts within texts are followed (``bash -c "eval '…'"``).
MAX_DEPTH = 6
_MAX_VARIANTS = 24
_NEVER_EMPTY = frozenset(
    [
        "mktemp",
        "pwd",
        "date",
        "uname",
        "hostname",
        "id",
        "nproc",
        "getconf",
        "dpkg",
        "arch",
        "tempfile",
        "dirname",
        "basename",
    ]
)
_ENDS = frozenset(("command_substitution", "process_substitution", "function_definition"))


@dataclass(frozen=True, slots=True)
class Call:
    """One command that may run. `argv` begins with the program's name, without a folder."""

    argv: tuple[str, ...]
    node: Node
    wrapped: bool = False

    @property
    def start(self) -> int:
        """Where it begins, in bytes."""
        return self.node.start_byte

    @property
    def name(self) -> str:
        """The program's name."""
        return self.argv[0]


@dataclass(frozen=True, slots=True)
class Redirect:
    """Output sent to a file: the operator and what the target can be."""

    operator: str
    targets: tuple[str, ...]
    node: Node


@dataclass(slots=True)
class ShellText:
    """A script, or a text within one; `origin` is the node of the outermost script that holds it."""

    root: Node
    scope: Scope
    nodes: list[Node]
    depth: int = 0
    origin: Node | None = None
    calls: list[Call] = field(default_factory=list)
    redirects: list[Redirect] = field(default_factory=list)
    _sorted: list[Call] = field(default_factory=list)

    def place(self, node: Node) -> Node:
        """The node of the outermost script to which findings about `node` belong."""
        return self.origin or node

    def calls_in(self, nodes: list[Node]) -> list[Call]:
        """Give the calls that stand within the given nodes, in document order."""
        if len(self._sorted) != len(self.calls):
            self._sorted = sorted(self.calls, key=_start)
        found: dict[int, Call] = {}
        for node in nodes:
            first, last = (bisect_left(self._sorted, byte, key=_start) for byte in (node.start_byte, node.end_byte))
            inside = (call for call in self._sorted[first:last] if call.node.end_byte <= node.end_byte)
            found.update((id(call), call) for call in inside)
        return sorted(found.values(), key=_start) if len(nodes) > 1 else list(found.values())


def _start(call: Call) -> int:
    return call.start


def read_text(
    text: str, *, outer: ShellText | None = None, origin: Node | None = None, arguments: tuple[str, ...] = ()
) -> ShellText:
    """Parse a text and find its calls and redirections, not those of texts within it."""
    root = parse_shell(text).root_node
    nodes = list(walk(root))
    scope = collect_scope(nodes, outer.scope if outer else None)
    scope.substitution = lambda node, depth: _substituted(node, scope, depth)
    scope.piped = lambda node, depth: _piped(node, scope, depth)
    scope.arguments = arguments
    shell = ShellText(root, scope, nodes, outer.depth + 1 if outer else 0, origin)
    for node in nodes:
        if node.type == "command":
            shell.calls += _calls(node, scope, 0)
        elif node.type in ("unset_command", "declaration_command"):
            shell.calls.append(Call(tuple(node_text(child) for child in node.children), node))
        elif node.type == "file_redirect":
            _note_redirect(shell, node)
    shell.calls += [fed for call in shell.calls for fed in _fed(call, shell)]
    return shell


def _note_redirect(shell: ShellText, node: Node) -> None:
    operator = next((child.type for child in node.children if not child.is_named), "")
    target = node.child_by_field_name("destination")
    if ">" in operator and target is not None:
        shell.redirects.append(Redirect(operator, tuple(resolve(target, shell.scope)), node))


def _piped(node: Node, scope: Scope, depth: int) -> list[str]:
    """Say what ``read`` can read from its standard input, or what ``printf -v`` gives."""
    own = _calls(node, scope, depth + 1)
    if own and own[0].name == "printf":
        return printed([Call(("printf", *call.argv[3:]), node) for call in own])
    commands = [inner for source in upstream(node) for inner in walk(source) if inner.type == "command"]
    calls = [call for command in commands for call in _calls(command, scope, depth + 1)]
    origin = origin_of(calls)
    if origin:
        return [origin]
    texts = [text for source in upstream(node) for text in _constant_input(source, scope)]
    return [*listed(calls), *(word for text in texts for word in text.split())] or [MAYBE]


def _fed(call: Call, shell: ShellText) -> list[Call]:
    """``… | xargs COMMAND``: what is piped in becomes arguments of the command."""
    if call.name not in ("xargs", "parallel"):
        return []
    sources = upstream(call.node)
    words = listed(shell.calls_in(sources))
    words += [word for source in sources for text in _constant_input(source, shell.scope) for word in text.split()]
    if not words:
        return []
    argv = [*call.argv]
    places = [argv[index + 1] for index, word in enumerate(argv[:-1]) if word == "-I"]
    place = next(iter(places), "{}")
    if any(place in word for word in argv[2:]):
        filled = [[word.replace(place, piece) for word in argv] for piece in words]
    else:
        each = re.search(r" -(n|L) ?1 | --max-(args|lines)[= ]1 ", " ".join(argv))
        filled = [[*argv, word] for word in words] if each else [[*argv, *words]]
    return [Call(tuple(inner), call.node, True) for fed in filled for inner in list(command_chain(fed))[1:]]


def _calls(node: Node, scope: Scope, depth: int) -> list[Call]:
    found: dict[tuple[str, ...], Call] = {}
    for argv in _unaliased(node, scope, depth):
        for position, inner in enumerate(command_chain(argv)):
            key = tuple(inner)
            found.setdefault(key, Call(key, node, position > 0))
    return list(found.values())


def _unaliased(node: Node, scope: Scope, depth: int) -> Iterator[list[str]]:
    """Give argument vectors, an alias replaced by what it stands for."""
    for argv in _variants(node, scope, depth):
        yield argv
        for definition in scope.aliases.get(argv[0], ()) if argv else ():
            for text in resolve(definition, scope, quoted=True, depth=depth + 1):
                yield [*(text.partition("=")[2] or text).split(), *argv[1:]]


def _variants(node: Node, scope: Scope, depth: int) -> Iterator[list[str]]:
    """Give argument vectors: all combinations when they are few, else each word's alternatives alone."""
    name = node.child_by_field_name("name")
    words = [name] if name else []
    words += node.children_by_field_name("argument")
    choices = [[_pieces(text) for text in resolve(word, scope, depth=depth)] for word in words]
    total = 1
    for choice in choices:
        total *= len(choice)
    if total <= _MAX_VARIANTS:
        combinations: Iterator[tuple[list[str], ...]] = product(*choices)
    else:
        first = [choice[0] for choice in choices]
        alone = (
            (*first[:index], option, *first[index + 1 :]) for index, choice in enumerate(choices) for option in choice
        )
        combinations = islice(alone, 4 * _MAX_VARIANTS)
    for combination in combinations:
        yield [piece for pieces in combination for piece in pieces]


def _pieces(text: str) -> list[str]:
    return [piece for piece in text.split(SPLIT) if piece] if SPLIT in text else [text]


def _substituted(node: Node, scope: Scope, depth: int) -> list[str]:
    """Say what a substitution gives: constant text where that is plain to see, a marker otherwise."""
    commands = [inner for inner in walk(node) if inner.type == "command"]
    calls = [call for command in commands for call in _calls(command, scope, depth + 1)]
    origin = origin_of(calls)
    if origin:
        return [origin]
    if len(commands) != 1 or node.type == "process_substitution" or not calls:
        return [KNOWN if node.type == "process_substitution" else MAYBE]
    first = calls[0]
    if first.name == "which" or (first.name == "command" and first.argv[1:2] == ("-v",)):
        return [first.argv[-1]]
    if first.name in _NEVER_EMPTY:
        return [KNOWN]
    if first.name in scope.functions:
        return _given_by_function(first.name, scope, depth)
    return [text.rstrip("\n") for text in printed(calls)] or [MAYBE]


def _given_by_function(name: str, scope: Scope, depth: int) -> list[str]:
    within = (inner for inner in walk(scope.functions[name]) if inner.type == "command")
    printing = (printed(_calls(command, scope, depth + 1)) for command in within)
    return scope.remember(("function", name), ([text.rstrip("\n") for text in texts] for texts in printing))


def upstream(node: Node) -> list[Node]:
    """Give the nodes whose output reaches a command's standard input."""
    sources: list[Node] = [child for child in node.children if child.type == "herestring_redirect"]
    current = node
    while current.parent is not None and current.type not in _ENDS:
        parent = current.parent
        if _takes_output(parent):
            sources += _writers(parent)
        if parent.type == "pipeline":
            sources += [child for child in parent.named_children if child.end_byte <= current.start_byte]
        if current.type == "pipeline" and parent.type == "heredoc_redirect" and parent.parent is not None:
            sources.append(parent.parent)
        if parent.type == "redirected_statement":
            sources += [
                child
                for child in parent.children_by_field_name("redirect")
                if child.start_byte >= current.end_byte and not _is_output(child)
            ]
        current = parent
    return sources


def _takes_output(node: Node) -> bool:
    return node.type == "process_substitution" and (node.text or b"").startswith(b">(")


def _writers(substitution: Node) -> list[Node]:
    """Give what can reach ``>(…)``: the words of the command that is given it, and what is piped into that."""
    command = substitution.parent
    while command is not None and command.type not in ("command", "redirected_statement"):
        command = command.parent
    if command is None:
        return []
    body = command.child_by_field_name("body") if command.type == "redirected_statement" else command
    return [*([body] if body is not None else []), *upstream(command)]


def _is_output(redirect: Node) -> bool:
    return redirect.type == "file_redirect" and not any(child.type == "<" for child in redirect.children)


def run_texts(shell: ShellText, call: Call) -> list[tuple[str, tuple[str, ...]]]:
    """Give the texts that a call runs as shell script, each with the arguments that it is given."""
    texts = shell_texts(call.argv)
    given = input_texts(shell, call)
    if is_interpreter(call.name) and call.name not in SHELLS:  # another language: where it came from counts alone
        given = [text for text in given if NET in text or DECODED in text]
    return texts + [(text, ()) for text in given]


def input_texts(shell: ShellText, call: Call) -> list[str]:
    """Give the program texts that an interpreter reads on its standard input."""
    if not reads_stdin(call.argv):
        return []
    origin = origin_of(shell.calls_in(upstream(call.node)))
    return [*([origin] if origin else []), *constant_inputs(shell, call)]


def constant_inputs(shell: ShellText, call: Call) -> list[str]:
    """Give the constant texts that a call is given on its standard input."""
    sources = upstream(call.node)
    texts = printed(shell.calls_in(sources))
    for source in sources:
        texts += _constant_input(source, shell.scope)
    return texts


def _constant_input(source: Node, scope: Scope) -> list[str]:
    texts: list[str] = []
    for node in walk(source):
        if node.type == "heredoc_body":
            texts.append(node_text(node))
        elif node.type == "herestring_redirect":
            texts += resolve(node.named_children[-1], scope) if node.named_children else []
    return texts
