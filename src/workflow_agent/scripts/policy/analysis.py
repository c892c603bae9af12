"""Run all matchers over a script and the texts within it; give findings with places."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_agent.model.system import Finding
from workflow_agent.scripts.policy.access import match_access, match_written
from workflow_agent.scripts.policy.bombs import match_bombs
from workflow_agent.scripts.policy.calls import MAX_DEPTH, Call, constant_inputs, read_text, run_texts
from workflow_agent.scripts.policy.carried import texts_run_later
from workflow_agent.scripts.policy.deletes import match_deletes
from workflow_agent.scripts.policy.emptying import match_emptied
from workflow_agent.scripts.policy.fetching import match_fetched, run_files
from workflow_agent.scripts.policy.foreign import foreign_commands, foreign_programs, match_foreign
from workflow_agent.scripts.policy.guards import match_guards
from workflow_agent.scripts.policy.hits import Hit
from workflow_agent.scripts.policy.host import match_history, match_host, match_redirect, undeclared
from workflow_agent.scripts.policy.markers import DECODED, NET, without_markers
from workflow_agent.scripts.policy.network import match_network
from workflow_agent.scripts.policy.packages import match_packages
from workflow_agent.scripts.policy.rights import match_rights
from workflow_agent.scripts.policy.secrets import match_secrets, match_tracing, uses_secrets
from workflow_agent.scripts.policy.table import RULES
from workflow_agent.scripts.policy.unwrapping import is_interpreter
from workflow_agent.scripts.policy.writing import written_paths, written_texts

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from tree_sitter import Node, Point

    from workflow_agent.scripts.policy.calls import ShellText
    from workflow_agent.scripts.policy.writing import Written

__all__ = ["analyse"]

_EXCERPT = 120
_USERS_TABLE = "/var/spool/cron/crontabs/root"
#: What counts in a text that is run later: it has variables and a standing of its own, so only plain harm does.
_GRAVE = frozenset(
    [
        "system-delete",
        "block-device",
        "network-to-shell",
        "decoded-to-shell",
        "fork-bomb",
        "firewall-off",
        "network-down",
        "audit-off",
        "access-opened",
        "kernel-module",
        "kill-all",
    ]
)
_MAX_TEXTS = 200


def analyse(
    text: str,
    *,
    inside_transaction: bool = True,
    secrets: Collection[str] = (),
    declared_paths: Collection[str] | None = None,
) -> list[Finding]:
    """Check a script against the policy.

    Args:
        text: The script.
        inside_transaction: Whether effects on the host's files are captured and can be taken back.
        secrets: Names of variables that hold secrets, besides those that are named like one.
        declared_paths: Folders and files that it may write to; None: anything.

    Returns:
        Findings by line, each rule at most once per place.
    """
    analysis = _Analysis(secrets, declared_paths)
    shell = read_text(without_markers(text))
    lines = text.split("\n")
    found: dict[tuple[str, int, int], Finding] = {}
    for hit in analysis.hits(shell):
        row, column = _start(hit.node)
        rule = RULES[hit.rule]
        found.setdefault(
            (hit.rule, row, column),
            Finding(
                rule=hit.rule,
                severity=rule.inside if inside_transaction else rule.outside,
                message=f"{rule.message}: {hit.detail}" if hit.detail else rule.message,
                line=row + 1,
                column=_characters(lines, row, column) + 1,
                excerpt=lines[row].strip()[:_EXCERPT] if row < len(lines) else "",
                hint=rule.hint,
            ),
        )
    return sorted(found.values(), key=lambda finding: (finding.line, finding.column, finding.rule))


def _start(node: Node) -> Point:
    """Give a node's place; that of a command is its name, since assignments of earlier lines may belong to it."""
    name = node.child_by_field_name("name") if node.type == "command" else None
    return (name or node).start_point


def _characters(lines: list[str], row: int, column: int) -> int:
    """Turn a column in bytes into one in characters."""
    line = lines[row] if row < len(lines) else ""
    return len(line.encode("utf-8", "replace")[:column].decode("utf-8", "ignore"))


class _Analysis:
    def __init__(self, secrets: Collection[str], declared_paths: Collection[str] | None) -> None:
        self._secrets = secrets
        self._declared = declared_paths
        self._texts = 0

    def hits(self, shell: ShellText) -> Iterator[Hit]:
        """Give hits of a text and of all texts within it, placed in the outermost script."""
        for hit in self._own(shell):
            yield Hit(hit.rule, shell.place(hit.node), hit.detail)
        for call in shell.calls:
            for text, arguments in run_texts(shell, call):
                yield from self._within(text, call, shell, arguments)
            for program in foreign_programs(call, shell):
                yield from (Hit(hit.rule, shell.place(hit.node), hit.detail) for hit in match_foreign(program, call))
                for text in foreign_commands(program):
                    yield from self._within(text, call, shell, ())

    def _own(self, shell: ShellText) -> Iterator[Hit]:
        yield from _unparsable(shell)
        yield from match_bombs(shell)
        yield from match_fetched(shell)
        yield from match_history(shell)
        yield from match_emptied(shell)
        written = list(written_texts(shell))
        yield from match_written(written, shell)
        yield from self._run_later(written, shell)
        for redirect in shell.redirects:
            yield from match_redirect(redirect)
            yield from self._undeclared(list(redirect.targets), redirect.node)
        for call in shell.calls:
            yield from match_deletes(call, shell)
            yield from match_packages(call)
            yield from match_guards(call, shell)
            yield from match_host(call, shell)
            yield from match_network(call, shell)
            yield from match_access(call, shell)
            yield from match_rights(call, shell)
            yield from match_secrets(call, shell, self._secrets)
            yield from match_tracing(call, shell, self._secrets)
            yield from _fetched_script(call)
            yield from self._undeclared(written_paths(call), call.node)
        yield from self._traced_from_start(shell)

    def _run_later(self, written: list[Written], shell: ShellText) -> Iterator[Hit]:
        """Judge what is written where something runs it, the script itself too, and what ``crontab`` is given."""
        texts = [(later, node) for path, text, node in written for later in texts_run_later(path, text)]
        if written:
            run = {word for call in shell.calls for word in run_files(call, shell)}
            texts += [(text, node) for path, text, node in written if path in run]
        for call in shell.calls:
            if call.name == "crontab":
                given = [*constant_inputs(shell, call), *(text for path, text, _ in written if path in call.argv[1:])]
                texts += [(later, call.node) for text in given for later in texts_run_later(_USERS_TABLE, text)]
        for text, node in texts:
            found = self._within(text, Call(("cron",), node), shell, ())
            yield from (hit for hit in found if hit.rule in _GRAVE)

    def _undeclared(self, paths: list[str], node: Node) -> Iterator[Hit]:
        for path in paths if self._declared is not None else ():
            if undeclared(path, self._declared or ()):
                yield Hit("undeclared-path", node, f"`{path}`")

    def _traced_from_start(self, shell: ShellText) -> Iterator[Hit]:
        first = shell.nodes[1] if len(shell.nodes) > 1 else None
        if first is None or first.type != "comment" or not (first.text or b"").startswith(b"#!"):
            return
        options = (first.text or b"").partition(b" -")[2]
        if b"x" in options and uses_secrets(shell, self._secrets):
            yield Hit("secret-traced", first)

    def _within(self, text: str, call: Call, shell: ShellText, arguments: tuple[str, ...]) -> Iterator[Hit]:
        """Judge a text that a call runs: where it came from, and what it does."""
        place = shell.place(call.node)
        if NET in text:
            yield Hit("network-to-shell", place, f"`{call.name}`")
        elif DECODED in text:
            yield Hit("decoded-to-shell", place, f"`{call.name}`")
        self._texts += 1
        if shell.depth >= MAX_DEPTH or self._texts > _MAX_TEXTS:
            yield Hit("unparsable", place, "too many texts within texts")
        elif text.strip():
            yield from self.hits(read_text(text, outer=shell, origin=place, arguments=arguments))


def _fetched_script(call: Call) -> Iterator[Hit]:
    """``bash <(curl …)``, ``python3 -c "$(curl …)"``: an argument itself is what was fetched."""
    if not is_interpreter(call.name) and call.name not in ("source", "."):
        return
    operands = [word for word in call.argv[1:] if not word.startswith("-")]
    for word in operands[:1]:
        if NET in word:
            yield Hit("network-to-shell", call.node, f"`{call.name}`")
        elif DECODED in word:
            yield Hit("decoded-to-shell", call.node, f"`{call.name}`")


def _unparsable(shell: ShellText) -> Iterator[Hit]:
    if not shell.root.has_error:
        return
    broken = next((node for node in shell.nodes if node.type == "ERROR" or node.is_missing), shell.root)
    yield Hit("unparsable", broken)
