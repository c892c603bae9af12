"""Which line of which template each line of a rendered script came from, and which values are in it.

A render is a generator: while it is suspended, its frames tell the template's line. Source: jinja2 compiles a
template to a module whose `debug_info` maps lines of code to lines of the template, and an ``include`` to a loop
over a local generator named `gen` (jinja2/compiler.py, visit_Include).
"""

from __future__ import annotations

from functools import cache
from types import GeneratorType
from typing import TYPE_CHECKING, Any

from workflow_agent.model.records import dataclass
from workflow_agent.model.system import LineOrigin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from jinja2 import nodes

__all__ = ["LineMap", "TemplateLines", "template_lines"]

_MAX_STEPS = 8


@dataclass(frozen=True, slots=True)
class TemplateLines:
    """What a template's source says of its lines: names of inserted values, and its own text in document order."""

    names: Mapping[int, tuple[str, ...]]
    texts: tuple[tuple[int, str], ...]


class LineMap:
    """Collects origins while a script is rendered.

    Args:
        lines_of: Reads a template.
    """

    def __init__(self, lines_of: Callable[[str], TemplateLines]) -> None:
        self._lines_of = cache(lines_of)
        self._line = 1
        self._pieces: dict[int, list[tuple[str, int]]] = {}

    def follow(self, chunks: Any) -> Iterator[str]:
        """Pass a render's chunks on, noting where each comes from."""
        for chunk in chunks:
            template, line = self._place(chunks, chunk)
            for number, part in enumerate(chunk.split("\n")):
                if part or number == 0:
                    self._pieces.setdefault(self._line + number, []).append((template, line + number))
            self._line += chunk.count("\n")
            yield chunk

    def _place(self, chunks: Any, chunk: str) -> tuple[str, int]:
        template, line, is_value = _mark(chunks)
        if not is_value:  # text of the template's own has no mark; it is the next such text after the last mark
            texts = self._lines_of(template).texts
            line = next((start for start, text in texts if start >= line and text == chunk), line)
        return template, line

    def origins(self) -> tuple[LineOrigin, ...]:
        """Give the map, stretches of consecutive lines put together."""
        found: list[LineOrigin] = []
        for number, pieces in sorted(self._pieces.items()):
            template, line = pieces[0]
            names = tuple(
                dict.fromkeys(name for piece in pieces for name in self._lines_of(piece[0]).names.get(piece[1], ()))
            )
            last = found[-1] if found else None
            follows = last is not None and (template, line) == (last.template, last.line + number - last.first)
            if last is None or names or last.names or not follows:
                found.append(LineOrigin(first=number, template=template, line=line, names=names))
        return tuple(found)


def _mark(generator: Any) -> tuple[str, int, bool]:
    """Give the template and the last marked line before the place at which a render stands; is it marked itself?"""
    frame = (generator.gi_yieldfrom or generator).gi_frame
    while isinstance(inner := frame.f_locals.get("gen"), GeneratorType) and inner.gi_frame is not None:
        frame = inner.gi_frame
    pairs = [pair.partition("=") for pair in frame.f_globals["debug_info"].split("&") if pair]
    marks = [(int(code), int(line)) for line, _, code in pairs if int(code) <= frame.f_lineno]
    code, line = marks[-1] if marks else (0, 1)
    return frame.f_code.co_filename, line, code == frame.f_lineno


def template_lines(tree: nodes.Template) -> TemplateLines:
    """Read a template's tree; loop variables and ``set`` stand for the values that they come from."""
    from jinja2 import nodes as kinds  # noqa: PLC0415 - loaded already by the caller

    sources: dict[str, set[str]] = {}
    for loop in tree.find_all(kinds.For):
        _note(sources, loop.target, loop.iter)
    for assignment in tree.find_all(kinds.Assign):
        _note(sources, assignment.target, assignment.node)
    found: dict[int, set[str]] = {}
    texts = []
    for output in tree.find_all(kinds.Output):
        for part in output.nodes:
            if isinstance(part, kinds.TemplateData):
                texts.append((part.lineno, part.data))
            else:
                found.setdefault(part.lineno, set()).update(_resolved(_names(part), sources))
    return TemplateLines({line: tuple(sorted(names)) for line, names in found.items()}, tuple(sorted(texts)))


def _note(sources: dict[str, set[str]], target: nodes.Node, value: nodes.Node) -> None:
    for name in _names(target):
        sources.setdefault(name, set()).update(_names(value))


def _names(node: nodes.Node) -> set[str]:
    """Give the names in an expression, with constant attributes: ``parameters.port``."""
    from jinja2 import nodes as kinds  # noqa: PLC0415 - loaded already by the caller

    dotted = _dotted(node)
    if dotted:
        return {dotted}
    found = {node.name} if isinstance(node, kinds.Name) else set()
    return found.union(*(_names(child) for child in node.iter_child_nodes()))


def _dotted(node: nodes.Node) -> str | None:
    from jinja2 import nodes as kinds  # noqa: PLC0415 - loaded already by the caller

    if isinstance(node, kinds.Name):
        return str(node.name)
    if isinstance(node, kinds.Getattr):
        before = _dotted(node.node)
        return f"{before}.{node.attr}" if before else None
    if isinstance(node, kinds.Getitem) and isinstance(node.arg, kinds.Const) and isinstance(node.arg.value, str):
        before = _dotted(node.node)
        return f"{before}.{node.arg.value}" if before else None
    return None


def _resolved(names: set[str], sources: Mapping[str, set[str]]) -> set[str]:
    """Replace names of the template's own variables by those that they come from."""
    for _ in range(_MAX_STEPS):
        known = [name for name in names if name.partition(".")[0] in sources]
        if not known:
            break
        names = names.difference(known).union(*(sources[name.partition(".")[0]] for name in known))
    return names - {"loop", "range"}
