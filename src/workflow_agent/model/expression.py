"""The expression language of workflows and manifests: small, total, typed, without side effects.

What belongs here: values, references, and ``${{ … }}`` inside JSON values. The grammar is in
``_expression_syntax``. Nothing here evaluates Python, and text that an expression gives is never scanned again.

Rules of values (JSON values: null, boolean, number, text, list, object):

* A missing part of a path is null. ``and``, ``or``, ``not`` take booleans, and null as false.
* ``==`` of different types is false; integers and floats compare as numbers; a boolean is no number.
* ``<``, ``<=``, ``>``, ``>=`` take two numbers or two texts.
* ``x in y``: an element of a list, a part of a text, a key of an object; nothing is in null.
* ``len(x)``: of a text (characters), list or object; of null 0. ``default(a, b)``: b where a is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.model._expression_syntax import (
    MAX_DEPTH,
    Compare,
    FunctionCall,
    Items,
    Literal,
    Logic,
    Node,
    Not,
    Path,
    parse_text,
    syntax_error,
)
from workflow_agent.model.errors import ExpressionError
from workflow_agent.model.identity import canonical_json
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TypeAlias

    #: The way to a part of a JSON value: keys and indexes.
    Way: TypeAlias = tuple[str | int, ...]

__all__ = ["Expression", "expressions_in", "interpolate", "parse", "references_of", "text_of"]

_OPEN = "${{"
_CLOSE = "}}"
#: Characters of a text whose parts are remembered.
_KEPT_LENGTH = 2048
#: Characters of a text that is put together, and of a whole value; a part counts as some.
MAX_TEXT: Final = 64 << 20
MAX_SIZE: Final = 256 << 20
_PART_SIZE: Final = 256
#: Floats below this are whole numbers exactly, so they are written without a fraction.
_EXACT = 2.0**53


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression.

    `references` are the paths that it reads, dotted (``steps.build.output.script``, ``items.0``).
    """

    text: str
    root: Node = field(repr=False)
    references: frozenset[str] = field(repr=False)

    def evaluate(self, names: Mapping[str, Any]) -> Any:  # Any: a JSON value
        """Give the value; `names` maps roots to JSON values. Raises ExpressionError for a wrong type."""
        return _Evaluation(self.text, names).value(self.root)

    def holds(self, names: Mapping[str, Any]) -> bool:
        """Evaluate a condition; null is false. Raises ExpressionError when it gives no boolean."""
        evaluation = _Evaluation(self.text, names)
        return evaluation.boolean(evaluation.value(self.root), 1)


@lru_cache(maxsize=512)
def parse(text: str) -> Expression:
    """Parse an expression (without ``${{ }}``); at most 4 KiB, nested at most 64 deep.

    Raises:
        ExpressionError: `where` is the column, `details` has ``column`` and ``excerpt`` with a caret.
    """
    root = parse_text(text)
    return Expression(text, root, frozenset(_paths(root)))


def interpolate(value: Any, names: Mapping[str, Any]) -> Any:  # Any: JSON in, JSON out
    """Replace each ``${{ expression }}`` in the texts of a JSON value; keys stay as they are.

    A text that is one expression and nothing else becomes its value; inside other text the value is
    written by :func:`text_of`. ``$${{`` stands for a literal ``${{``.

    What is put together may grow by a factor with each step that does it; so its size is bounded, at 64 Mi characters
    for a text, and for all of it, where it holds more than one list or object, at 256 Mi.

    Raises:
        ExpressionError: `where` names the way to the text and the column in it; or it gets too large.
    """
    parts: list[Any] = []
    found = _interpolate(value, names, (), parts)
    if len(parts) > 1:
        _check_size(parts)
    return found


def references_of(value: Any) -> frozenset[str]:  # Any: a JSON value
    """Collect what the expressions in a JSON value read; raises ExpressionError as `interpolate` does."""
    return frozenset().union(*(expression.references for _, expression in expressions_in(value)))


def expressions_in(value: Any) -> Iterator[tuple[Way, Expression]]:  # Any: a JSON value
    """Find the expressions in the texts of a JSON value, each with the way to its text.

    Raises:
        ExpressionError: one of them is not valid; `details` has its way as ``path``.
    """
    for way, text in _texts(value, ()):
        for part in _split_at(text, way):
            if isinstance(part, Expression):
                yield way, part


def text_of(value: Any) -> str:  # Any: a JSON value
    """Write a value inside text: texts as they are, numbers at their shortest, the rest as canonical JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return str(int(value))
    try:
        return canonical_json(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ExpressionError("the value cannot be written as text", cause=str(error)) from error


def _paths(node: Node) -> Iterator[str]:
    match node:
        case Path(parts):
            yield ".".join(str(part) for part in parts)
        case Items(children) | FunctionCall(_, children, _) | Logic(_, children, _):
            for child in children:
                yield from _paths(child)
        case Compare(_, left, right, _):
            yield from _paths(left)
            yield from _paths(right)
        case Not(operand, _):
            yield from _paths(operand)
        case _:
            return


class _Evaluation:
    """One walk over one tree; the text is kept for errors only."""

    def __init__(self, text: str, names: Mapping[str, Any]) -> None:
        self._text = text
        self._names = names

    def value(self, node: Node) -> Any:  # Any: a JSON value
        match node:
            case Literal(value):
                return value
            case Path(parts):
                return _follow(self._names, parts)
            case Items(items):
                return [self.value(item) for item in items]
            case FunctionCall():
                return self._call(node)
            case Compare():
                return self._compare(node)
            case _:
                return self._logic(node)

    def boolean(self, value: Any, column: int) -> bool:
        if value is None or isinstance(value, bool):
            return bool(value)
        message = f"expected true or false, found {_kind(value)}"
        raise syntax_error(self._text, column, message, hint="compare it: `x != null`, `len(x) > 0`")

    def _logic(self, node: Not | Logic) -> bool:
        if isinstance(node, Not):
            return not self.boolean(self.value(node.operand), node.column)
        results = (self.boolean(self.value(operand), node.column) for operand in node.operands)
        return node.until if any(result is node.until for result in results) else not node.until

    def _call(self, call: FunctionCall) -> Any:
        first = self.value(call.arguments[0])
        if call.function == "default":
            return self.value(call.arguments[1]) if first is None else first
        if first is None:
            return 0
        if isinstance(first, (str, list, tuple, Mapping)):
            return len(first)
        raise syntax_error(self._text, call.column, f"{_kind(first)} has no length")

    def _compare(self, node: Compare) -> bool:
        left, right = self.value(node.left), self.value(node.right)
        if node.operator in {"==", "!="}:
            return _equal(left, right) is (node.operator == "==")
        if node.operator == "in":
            return self._contains(left, right, node.column)
        kinds = {_kind(left), _kind(right)}
        if kinds not in ({"a number"}, {"a text"}):
            message = f"`{node.operator}` compares two numbers or two texts, not {_kind(left)} and {_kind(right)}"
            raise syntax_error(self._text, node.column, message)
        before, same = left < right, left == right
        results = {"<": before, "<=": before or same, ">": not (before or same), ">=": not before}
        return bool(results[node.operator])

    def _contains(self, item: Any, container: Any, column: int) -> bool:
        if container is None:
            return False
        if isinstance(container, (list, tuple)):
            return any(_equal(item, other) for other in container)
        if isinstance(container, (str, Mapping)) and isinstance(item, str):
            return item in container
        raise syntax_error(self._text, column, f"{_kind(item)} cannot be in {_kind(container)}")


def _follow(value: Any, parts: tuple[str | int, ...]) -> Any:
    for part in parts:
        if isinstance(part, str) and isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(part, int) and isinstance(value, (list, tuple)) and part < len(value):
            value = value[part]
        else:
            return None
    return value


def _kind(value: Any) -> str:
    kinds = (
        (type(None), "null"),
        (bool, "a boolean"),
        ((int, float), "a number"),
        (str, "a text"),
        ((list, tuple), "a list"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), "an object")


def _equal(left: Any, right: Any) -> bool:
    """Compare JSON values by type and value; a stack, because outputs of steps may nest deeply."""
    pending = [(left, right)]
    while pending:
        a, b = pending.pop()
        kind = _kind(a)
        if kind != _kind(b):
            return False
        if kind in {"a list", "an object"}:
            if len(a) != len(b) or (kind == "an object" and a.keys() != b.keys()):
                return False
            pending += zip(a, b, strict=True) if kind == "a list" else ((a[key], b[key]) for key in a)
        elif a != b:
            return False
    return True


def _interpolate(value: Any, names: Mapping[str, Any], way: Way, large: list[Any]) -> Any:
    """Replace; `large` takes the lists and objects that expressions gave, one with brackets in it twice."""
    _check_depth(way)
    if isinstance(value, str):
        if _OPEN not in value:
            return value
        found = _fill(value, names, way)
        if isinstance(found, (list, tuple, Mapping)):
            large += [found] * (2 if "[" in value else 1)
        return found
    if isinstance(value, (list, tuple)):
        return [_interpolate(item, names, (*way, index), large) for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {key: _interpolate(item, names, (*way, key), large) for key, item in value.items()}
    return value


def _check_size(values: list[Any]) -> None:
    """Count parts and characters until it is too much: a value of which parts are the same object is never unfolded."""
    left, pending = MAX_SIZE, [*values]
    while pending:
        value = pending.pop()
        items = value.values() if isinstance(value, Mapping) else value
        left -= _PART_SIZE * len(value)
        for item in items if left > 0 else ():
            if isinstance(item, str):
                left -= len(item)
            elif isinstance(item, (list, tuple, Mapping)):
                pending.append(item)
        if left <= 0:
            raise ExpressionError(
                f"the value gets larger than {MAX_SIZE >> 20} Mi characters",
                cause="parts of it are put into it again and again",
                hint="pass on what the next step needs, or a file",
            )


def _joined(parts: Sequence[str | Expression], names: Mapping[str, Any]) -> str:
    found: list[str] = []
    size = 0
    for part in parts:
        found.append(part if isinstance(part, str) else text_of(part.evaluate(names)))
        size += len(found[-1])
        if size > MAX_TEXT:
            raise ExpressionError(
                f"the text gets longer than {MAX_TEXT >> 20} Mi characters",
                hint="pass on what the next step needs, or a file",
            )
    return "".join(found)


def _fill(text: str, names: Mapping[str, Any], way: Way) -> Any:
    parts = _split_at(text, way)
    try:
        if len(parts) == 1 and isinstance(parts[0], Expression):
            return parts[0].evaluate(names)
        return _joined(parts, names)
    except ExpressionError as error:
        raise _placed(error, way) from error


def _texts(value: Any, way: Way) -> Iterator[tuple[Way, str]]:
    _check_depth(way)
    if isinstance(value, str):
        yield way, value
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _texts(item, (*way, index))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, (*way, key))


def _check_depth(way: Way) -> None:
    if len(way) > MAX_DEPTH:
        raise ExpressionError(f"the value is nested deeper than {MAX_DEPTH}")


def _split_at(text: str, way: Way) -> Sequence[str | Expression]:
    try:
        # The texts of a workflow are met again in each of its runs; what is not one of those is not worth keeping.
        return _split_again(text) if len(text) <= _KEPT_LENGTH else _split(text)
    except ExpressionError as error:
        raise _placed(error, way) from error


def _placed(error: ExpressionError, way: Way) -> ExpressionError:
    path = ".".join(str(part) for part in way)
    where = ", ".join(part for part in (path, error.where) if part) or None
    details = error.details | {"path": list(way)}
    return ExpressionError(error.message, where=where, cause=error.cause, hint=error.hint, details=details)


@lru_cache(maxsize=4096)
def _split_again(text: str) -> tuple[str | Expression, ...]:
    return tuple(_split(text))


def _split(text: str) -> list[str | Expression]:
    """Cut a text into literal parts and expressions."""
    parts: list[str | Expression] = []
    position = 0
    for start, end in expression_spans(text):
        literal = text[position : start - len(_OPEN)].replace("$" + _OPEN, _OPEN)
        parts += [literal] * bool(literal)
        parts.append(parse(text[start:end].strip()))
        position = end + len(_CLOSE)
    literal = text[position:].replace("$" + _OPEN, _OPEN)
    return [*parts, *[literal] * bool(literal)]


def expression_spans(text: str) -> Iterator[tuple[int, int]]:
    """Find the expressions in a text: where the inside of each ``${{ }}`` begins and ends.

    ``$${{`` stands for ``${{`` itself. Raises ExpressionError where one has no end.
    """
    position = 0
    while (start := text.find(_OPEN, position)) >= 0:
        inside = start + len(_OPEN)
        if text[position:start].endswith("$"):
            position = inside
            continue
        end = _end(text, inside)
        yield inside, end
        position = end + len(_CLOSE)


def _end(text: str, position: int) -> int:
    """Find the ``}}`` that closes an expression; one inside quotes does not."""
    quote = ""
    index = position
    while index < len(text):
        char = text[index]
        if quote:
            index += char == "\\"
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif text.startswith(_CLOSE, index):
            return index
        index += 1
    raise syntax_error(text, position - len(_OPEN) + 1, "`${{` has no closing `}}`")
