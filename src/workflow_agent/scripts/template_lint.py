"""Lint of shell templates: what would let a value become code is an error, what deserves a look a warning."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from workflow_agent.model.system import Finding, Severity
from workflow_agent.scripts._template_text import TemplateToken, misplaced

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from jinja2 import nodes

__all__ = ["lint_template"]

_BUILT_IN_NAMES = frozenset({"range", "loop", "secret"})
#: Commands that read an argument as code or as an arithmetic expression, however well it is quoted.
#: Source: bash(1), eval, let, trap, test -v and array subscripts.
_READS_CODE = frozenset(
    ["eval", "let", "trap", "source", ".", "declare", "typeset", "local", "export", "readonly", "unset", "alias"]
)
_SHELLS = frozenset(["sh", "bash", "dash", "zsh", "ksh"])
_PLACEHOLDER = re.compile(r"wa_value_(\d+)_")


def lint_template(text: str, source: str, *, declared: Collection[str] | None = None) -> list[Finding]:
    """Check a shell template's text.

    Args:
        text: The template.
        source: Its path, for the findings.
        declared: Names that the context will hold; None leaves unknown names unchecked.

    Returns:
        Findings in the order of lines. Rules: ``template.syntax``, ``template.misplaced``,
        ``template.code-position``, ``template.unknown-variable`` (errors), ``template.raw`` (warning).
    """
    from jinja2 import TemplateSyntaxError  # noqa: PLC0415 - late: 40 ms

    from workflow_agent.scripts._sandbox import TemplateEnvironment  # noqa: PLC0415 - late: 40 ms

    environment = TemplateEnvironment()
    try:
        tree = environment.parse(text)
        tokens = list(_tokens(environment.lex(text)))
        findings = [
            *_misplaced(tokens, source),
            *_code_positions(tokens, source),
            *_raw_uses(tree, source),
            *(_unknown(tree, declared, source) if declared is not None else ()),
        ]
    except TemplateSyntaxError as error:
        return [_finding("template.syntax", error.lineno, error.message or "syntax error", source)]
    except RecursionError:
        return [_finding("template.syntax", 1, "the template is nested too deeply", source)]
    return sorted(findings, key=lambda finding: (finding.line, finding.rule))


def _finding(rule: str, line: int, message: str, source: str, *, hint: str | None = None) -> Finding:
    severity = Severity.WARNING if rule == "template.raw" else Severity.ERROR
    return Finding(rule=rule, severity=severity, message=message, line=line, source=source, hint=hint)


def _tokens(lexed: Any) -> Iterator[TemplateToken]:
    """Reduce jinja2's tokens to text, interpolations and control tags; comments vanish."""
    for line, kind, value in lexed:
        if kind == "data":
            yield TemplateToken("data", value, line)
        elif kind == "variable_begin":
            yield TemplateToken("variable", "", line)
        elif kind in ("block_begin", "raw_begin", "raw_end"):
            yield TemplateToken("block", "", line)


def _misplaced(tokens: list[TemplateToken], source: str) -> Iterator[Finding]:
    for token, place in misplaced(tokens):
        what = "an interpolation" if token.kind == "variable" else "a control tag"
        yield _finding(
            "template.misplaced",
            token.line,
            f"{what} stands in {place}",
            source,
            hint='assign it first: `name={{ value }}`, then use `"$name"`'
            if token.kind == "variable"
            else "close quotes, comments and here-documents before the tag",
        )


def _code_positions(tokens: list[TemplateToken], source: str) -> Iterator[Finding]:
    """Find interpolations that the shell would run although they are one quoted word."""
    from workflow_agent.scripts._syntax import parse_shell  # noqa: PLC0415 - late: 30 ms

    parts: list[str] = []
    lines: list[int] = []
    for token in tokens:
        if token.kind == "data":
            parts.append(token.text)
        elif token.kind == "variable":
            parts.append(f"wa_value_{len(lines)}_")
            lines.append(token.line)
    for node in _walk(parse_shell("".join(parts)).root_node):
        found = _PLACEHOLDER.search(node.text.decode()) if node.child_count == 0 else None
        danger = _danger(node) if found else None
        if found and danger:
            yield _finding("template.code-position", lines[int(found[1])], danger, source)


def _walk(node: Any) -> Iterator[Any]:
    stack = [node]
    while stack:
        current = stack.pop()
        yield current
        stack.extend(reversed(current.children))


def _danger(node: Any) -> str | None:
    """Say why the shell would read the word at `node` as code; None when it would not."""
    current = node
    while current is not None:
        if current.type == "command_name":
            return "an interpolation stands where a command's name is expected"
        if current.type in ("test_command", "arithmetic_expansion", "subscript", "c_style_for_statement"):
            return "an interpolation stands in a test or arithmetic, which the shell evaluates"
        if current.type == "declaration_command" and not _is_value(node):
            return "an interpolation names a variable"
        if current.type == "command":
            return _command_danger(current)
        current = current.parent
    return None


def _is_value(node: Any) -> bool:
    parent = node.parent
    return (
        node.type != "variable_name"
        and parent is not None
        and parent.type in ("variable_assignment", "concatenation", "array")
    )


def _command_danger(command: Any) -> str | None:
    words = [child.text.decode() for child in command.named_children]
    name = words[0].rpartition("/")[2]
    if name in _READS_CODE or (name in _SHELLS and "-c" in words):
        return f"an interpolation is read as code by `{name}`"
    return None


def _raw_uses(tree: nodes.Template, source: str) -> Iterator[Finding]:
    from jinja2 import nodes as kinds  # noqa: PLC0415 - loaded already by the caller

    for node in tree.find_all(kinds.Filter):
        if node.name == "raw":
            yield _finding("template.raw", node.lineno, "a value is inserted without quoting", source)


def _unknown(tree: nodes.Template, declared: Collection[str], source: str) -> Iterator[Finding]:
    from jinja2 import meta  # noqa: PLC0415 - loaded already by the caller
    from jinja2 import nodes as kinds  # noqa: PLC0415 - loaded already by the caller

    missing = meta.find_undeclared_variables(tree) - set(declared) - _BUILT_IN_NAMES
    seen: set[str] = set()
    for node in tree.find_all(kinds.Name):
        if node.name in missing and node.name not in seen:
            seen.add(node.name)
            yield _finding("template.unknown-variable", node.lineno, f"nothing gives `{node.name}`", source)
