"""Text of an expression to its tree: tokens, nodes, precedence parser, located errors.

What belongs here: everything that needs only the text. What does not: values (``expression``).
Grammar, loosest binding first; there is no arithmetic, so a hyphen is part of a name::

    or      = and { "or" and }
    and     = not { "and" not }
    not     = "not" not | compare
    compare = term [ ("==" | "!=" | "<" | "<=" | ">" | ">=" | "in") term ]
    term    = literal | "[" [ or { "," or } ] "]" | "(" or ")" | name "(" [ or { "," or } ] ")" | path
    path    = name { "." name | "[" (integer | text) "]" }

A tree walk would recurse as deep as a person nests, so nesting is capped; chains of ``and`` and ``or`` are
flat nodes and do not count.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, TypeAlias

from workflow_agent.model.errors import ExpressionError
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "FUNCTIONS",
    "MAX_BYTES",
    "MAX_DEPTH",
    "Compare",
    "FunctionCall",
    "Items",
    "Literal",
    "Logic",
    "Node",
    "Not",
    "Path",
    "Token",
    "parse_text",
    "syntax_error",
    "tokens_of",
]

MAX_BYTES = 4096
MAX_DEPTH = 64
#: Function name to number of arguments.
FUNCTIONS = {"len": 1, "default": 2}
_COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})
_CONSTANTS = {"true": True, "false": False, "null": None}
_KEYWORDS = frozenset({"or", "and", "not", "in", *_CONSTANTS})
_ESCAPES = {"\\": "\\", "'": "'", '"': '"', "n": "\n", "t": "\t"}
_EXCERPT_BEFORE = 40
_EXCERPT_LENGTH = 80
_TOKEN = re.compile(
    r"""
      (?P<space>[ \t\r\n]+)
    | (?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![A-Za-z0-9_]))
    | (?P<name>[A-Za-z_][A-Za-z0-9_-]*)
    | (?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    | (?P<mark>==|!=|<=|>=|[<>()\[\],.])
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant."""

    value: str | float | bool | None


@dataclass(frozen=True, slots=True)
class Path:
    """A name and the way down from it; a missing part gives null."""

    parts: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A function of :data:`FUNCTIONS` with as many arguments as it takes."""

    function: str
    arguments: tuple[Node, ...]
    column: int


@dataclass(frozen=True, slots=True)
class Compare:
    """Two values compared; `column` is the operator's."""

    operator: str
    left: Node
    right: Node
    column: int


@dataclass(frozen=True, slots=True)
class Not:
    """A negation."""

    operand: Node
    column: int


@dataclass(frozen=True, slots=True)
class Logic:
    """A chain of ``and`` (`until` is False) or of ``or`` (`until` is True): ends at the first such value."""

    until: bool
    operands: tuple[Node, ...]
    column: int


Node: TypeAlias = Literal | Path | Items | FunctionCall | Compare | Not | Logic


@dataclass(frozen=True, slots=True)
class Token:
    """A word of an expression; `column` counts from 1."""

    kind: str
    text: str
    column: int


def syntax_error(text: str, column: int, message: str, *, hint: str | None = None) -> ExpressionError:
    """Make an error that points at a 1-based column of `text` with a caret under a short excerpt."""
    start = max(0, column - 1 - _EXCERPT_BEFORE)
    shown = "".join(char if char.isprintable() else " " for char in text[start : start + _EXCERPT_LENGTH])
    excerpt = f"{shown}\n{' ' * (column - 1 - start)}^"
    return ExpressionError(
        message,
        where=f"column {column}",
        hint=hint,
        details={"column": column, "excerpt": excerpt},
    )


def parse_text(text: str) -> Node:
    """Parse a whole expression.

    Raises:
        ExpressionError: it is empty, longer than 4 KiB, nested deeper than 64, or not of the grammar.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise syntax_error(text, 1, f"the expression is longer than {MAX_BYTES} bytes")
    return _Parser(text).whole()


def tokens_of(text: str) -> list[Token]:
    """Cut an expression into words, of which the last is its end; raises ExpressionError."""
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _bad_character(text, position)
        kind = str(match.lastgroup)
        if kind == "name" and match.group() in _KEYWORDS:
            kind = "keyword"
        if kind != "space":
            tokens.append(Token(kind, match.group(), position + 1))
        position = match.end()
    return [*tokens, Token("end", "", len(text) + 1)]


def _bad_character(text: str, position: int) -> ExpressionError:
    char = text[position]
    if char in "'\"":
        return syntax_error(text, position + 1, "the text has no closing quote")
    if char in "0123456789":
        return syntax_error(text, position + 1, "this is not a number")
    hints = {
        "=": "write `==` to compare",
        "!": "write `not`, or `!=` to compare",
        "&": "write `and`",
        "|": "write `or`",
        "$": "here the expression stands without `${{ }}`",
    }
    return syntax_error(text, position + 1, f"unexpected character {char!r}", hint=hints.get(char))


class _Parser:
    """One pass over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens_of(text)
        self._next = 0
        self._depth = 0

    def whole(self) -> Node:
        node = self._or()
        if self._peek.kind != "end":
            raise self._unexpected("the end")
        return node

    @property
    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._peek
        self._next += 1
        return token

    def _at(self, *texts: str) -> bool:
        return self._peek.kind in {"mark", "keyword"} and self._peek.text in texts

    def _expect(self, text: str) -> None:
        if not self._at(text):
            raise self._unexpected(f"`{text}`")
        self._take()

    def _unexpected(self, wanted: str) -> ExpressionError:
        token = self._peek
        found = f"`{token.text[:20]}`" if token.text else "the end"
        return syntax_error(self._text, token.column, f"expected {wanted}, found {found}")

    def _deeper(self, rule: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise syntax_error(self._text, self._peek.column, f"nested deeper than {MAX_DEPTH}")
        node = rule()
        self._depth -= 1
        return node

    def _or(self) -> Node:
        return self._chain("or", self._and, until=True)

    def _and(self) -> Node:
        return self._chain("and", self._not, until=False)

    def _chain(self, word: str, rule: Callable[[], Node], *, until: bool) -> Node:
        operands = [rule()]
        column = self._peek.column
        while self._at(word):
            self._take()
            operands.append(rule())
        return operands[0] if len(operands) == 1 else Logic(until, tuple(operands), column)

    def _not(self) -> Node:
        if not self._at("not"):
            return self._compare()
        column = self._take().column
        return Not(self._deeper(self._not), column)

    def _compare(self) -> Node:
        left = self._term()
        if not self._at(*_COMPARISONS):
            return left
        operator = self._take()
        node = Compare(operator.text, left, self._term(), operator.column)
        if self._at(*_COMPARISONS):
            raise syntax_error(self._text, self._peek.column, "comparisons do not chain", hint="join them with `and`")
        return node

    def _term(self) -> Node:
        token = self._peek
        if token.kind == "name":
            return self._name()
        if token.kind == "keyword" and token.text in _CONSTANTS:
            return Literal(_CONSTANTS[self._take().text])
        if token.kind in {"number", "text"}:
            return Literal(self._constant(self._take()))
        if self._at("("):
            self._take()
            node = self._deeper(self._or)
            self._expect(")")
            return node
        if self._at("["):
            self._take()
            return Items(self._list("]"))
        raise self._unexpected("a value")

    def _list(self, closing: str) -> tuple[Node, ...]:
        items: list[Node] = []
        while not self._at(closing):
            if items:
                self._expect(",")
            items.append(self._deeper(self._or))
        self._take()
        return tuple(items)

    def _name(self) -> Node:
        name = self._take()
        if self._at("("):
            return self._call(name)
        parts: list[str | int] = [name.text]
        while self._at(".", "["):
            parts.append(self._member() if self._take().text == "." else self._index())
        return Path(tuple(parts))

    def _call(self, name: Token) -> Node:
        if name.text not in FUNCTIONS:
            known = ", ".join(f"`{function}`" for function in sorted(FUNCTIONS))
            raise syntax_error(self._text, name.column, f"no function `{name.text}`", hint=f"there are {known}")
        self._take()
        arguments = self._list(")")
        wanted = FUNCTIONS[name.text]
        if len(arguments) != wanted:
            message = f"`{name.text}` takes {wanted} argument{'s'[: wanted - 1]}, not {len(arguments)}"
            raise syntax_error(self._text, name.column, message)
        return FunctionCall(name.text, arguments, name.column)

    def _member(self) -> str:
        if self._peek.kind not in {"name", "keyword"}:
            raise self._unexpected("a name")
        return self._take().text

    def _index(self) -> str | int:
        token = self._peek
        value = self._constant(self._take()) if token.kind in {"number", "text"} else None
        if not isinstance(value, (str, int)) or (isinstance(value, int) and value < 0):
            raise syntax_error(self._text, token.column, "an index is a whole number from 0 or a text")
        self._expect("]")
        return value

    def _constant(self, token: Token) -> str | float:
        if token.kind == "text":
            return self._unescape(token)
        if not set(token.text) & set(".eE"):
            return int(token.text)
        number = float(token.text)
        if math.isinf(number):
            raise syntax_error(self._text, token.column, "the number is too large")
        return number

    def _unescape(self, token: Token) -> str:
        def plain(match: re.Match[str]) -> str:
            if match[1] not in _ESCAPES:
                column = token.column + 1 + match.start()
                hint = "a backslash itself is written twice"
                raise syntax_error(self._text, column, f"no escape `{match[0]}`", hint=hint)
            return _ESCAPES[match[1]]

        return re.sub(r"\\(.)", plain, token.text[1:-1], flags=re.DOTALL)
