"""YAML and JSON text to plain data, with the place of each value.

What belongs here: reading text safely. What does not: what the data means (``workflow_source``, manifests).

The parser's event stream is read instead of PyYAML's own loaders, because those follow YAML 1.1 (``on`` is a
boolean, ``010`` is eight, ``2024-01-01`` is a date), keep the last of two equal keys, expand aliases without
bound and recurse as deep as the text nests. Here: the core schema of YAML 1.2, limited to what JSON can say;
keys are always texts; anchors, aliases, tags and numbers that start with a zero are refused.

Source: YAML 1.2.2, chapter 10.3 (core schema).
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from workflow_agent.authoring.text_file import MAX_BYTES, read_text
from workflow_agent.model.errors import ValidationError
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    #: The way to a value: keys and indexes from the top.
    Way: TypeAlias = tuple[str | int, ...]

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_NODES", "YamlDocument", "load_yaml", "read_text", "scalar"]

MAX_DEPTH = 64
MAX_NODES = 50_000
_MAX_DIGITS = 100

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]")
_SURROGATES = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
# Characters that JSON strings may hold as they are and YAML may not, or takes for line ends.
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class _Mark:
    """Place of a key (or list item) and of its value, 1-based."""

    line: int
    column: int
    value_line: int
    value_column: int


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """Plain data (JSON values) and where each part of it stands in the text.

    Attributes:
        data: What the text says; None for an empty text.
        source: Name of the file, as errors show it.
    """

    data: Any  # Any: a JSON value
    source: str
    _marks: dict[Way, _Mark]

    def where(self, way: Sequence[str | int] = ()) -> str:
        """Give ``file:line:column`` of a key or list item; of the nearest part that exists."""
        mark = self._mark(way)
        return f"{self.source}:{mark.line}:{mark.column}"

    def where_value(self, way: Sequence[str | int] = ()) -> str:
        """Give ``file:line:column`` of the value itself; of the nearest part that exists."""
        mark = self._mark(way)
        return f"{self.source}:{mark.value_line}:{mark.value_column}"

    def _mark(self, way: Sequence[str | int]) -> _Mark:
        rest = tuple(way)
        while rest and rest not in self._marks:
            rest = rest[:-1]
        return self._marks.get(rest, _Mark(1, 1, 1, 1))


def load_yaml(text: str, *, source: str) -> YamlDocument:
    """Parse one document of YAML 1.2 (and so of JSON).

    Raises:
        ValidationError: `where` is ``file:line:column``. The text is over 1 MiB, is no YAML, has more than one
            document, nests deeper than 64, has more than 50,000 nodes, repeats a key, uses anchors, aliases or
            tags, or says what JSON cannot.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise ValidationError("the text is not valid Unicode", where=source, cause=str(error)) from error
    if size > MAX_BYTES:
        raise ValidationError(f"the text is larger than {MAX_BYTES} bytes", where=source)
    return _Builder(_json_as_yaml(text), source).document()


def scalar(text: str) -> str | float | bool | None:
    """Read a plain scalar by the core schema; raises ValueError for what JSON cannot say or people misread."""
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _NO_NUMBER.fullmatch(text):
        raise ValueError(f"`{text}` is not a number that JSON knows")
    is_integer = bool(_INTEGER.fullmatch(text))
    if not is_integer and not _FLOAT.fullmatch(text):
        return text
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"the number is longer than {_MAX_DIGITS} characters")
    if _LEADING_ZERO.match(text):
        raise ValueError(f"`{text}` starts with a zero: write it in quotes, or without the zero")
    if is_integer:
        return int(text, 0)
    if math.isinf(number := float(text)):
        raise ValueError(f"`{text}` is too large")
    return number


def _json_as_yaml(text: str) -> str:
    """Remove the places where YAML is no superset of JSON: tabs, pairs of surrogates, odd characters.

    Only text that is JSON is touched: there a raw tab can stand only between tokens (it becomes a space, so
    columns stay) and an odd character only inside a string (it becomes an escape).
    """
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    escaped = _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text.replace("\t", " "))
    return _SURROGATES.sub(_join_surrogates, escaped)


def _join_surrogates(match: re.Match[str]) -> str:
    pair = bytes.fromhex(match[2] + match[3])
    return match[1] + pair.decode("utf-16-be")


class _Open:
    """A mapping or list that is being filled."""

    __slots__ = ("key", "key_mark", "value", "way")

    def __init__(self, way: Way, value: dict[str, Any] | list[Any]) -> None:
        self.way = way
        self.value = value
        self.key: str | None = None
        self.key_mark: Any = None  # Any: yaml.Mark


class _Builder:
    """One pass over the events of one text, with a stack of its own instead of recursion."""

    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self._source = source
        self._marks: dict[Way, _Mark] = {}
        self._stack: list[_Open] = []
        self._nodes = 0
        self._documents = 0
        self._data: Any = None  # Any: a JSON value

    def document(self) -> YamlDocument:
        import yaml  # noqa: PLC0415  # late: 16 ms

        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            for event in yaml.parse(self._text, Loader=loader):
                self._take(type(event).__name__, event)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            hint = "indent with blanks: YAML knows no tabs there" if self._has_tab(mark) else None
            self._refuse(mark, f"this is not YAML: {error.problem or error.context}", hint=hint)
        except yaml.YAMLError as error:
            character = getattr(error, "character", None)
            named = f": it holds the character U+{character:04X}" if isinstance(character, int) else ""
            where = self._place_of_character(character)
            raise ValidationError(f"this is not YAML{named}", where=where, cause=str(error)) from error
        return YamlDocument(self._data, self._source, self._marks)

    def _place_of_character(self, character: Any) -> str:  # Any: of yaml's reader, which counts bytes or characters
        """Place the first of a character that no YAML text may hold."""
        before, found, _ = self._text.partition(chr(character)) if isinstance(character, int) else (self._text, "", "")
        line = before.rpartition("\n")[2]
        return f"{self._source}:{before.count(chr(10)) + 1}:{len(line) + 1}" if found else self._source

    def _has_tab(self, mark: Any) -> bool:  # Any: yaml.Mark, or None
        """Say whether a tab stands where the parser stopped, or in what indents that line."""
        line = self._text.split("\n")[mark.line] if mark is not None and mark.line <= self._text.count("\n") else ""
        return "\t" in line[: max(mark.column, len(line) - len(line.lstrip())) + 1] if line else False

    def _take(self, name: str, event: Any) -> None:  # Any: yaml.Event
        if name == "DocumentStartEvent":
            self._documents += 1
            if self._documents > 1:
                self._refuse(event.start_mark, "there is more than one document")
        elif name == "AliasEvent" or getattr(event, "anchor", None):
            self._refuse(event.start_mark, "anchors and aliases are not supported")
        elif getattr(event, "tag", None):
            self._refuse(event.start_mark, "tags are not supported")
        elif name == "ScalarEvent":
            self._scalar(event)
        elif name in {"MappingStartEvent", "SequenceStartEvent"}:
            value: dict[str, Any] | list[Any] = {} if name == "MappingStartEvent" else []
            self._stack.append(_Open(self._place(value, event), value))
            if len(self._stack) > MAX_DEPTH:
                self._refuse(event.start_mark, f"nested deeper than {MAX_DEPTH}")
        elif name in {"MappingEndEvent", "SequenceEndEvent"}:
            self._stack.pop()

    def _scalar(self, event: Any) -> None:  # Any: yaml.ScalarEvent
        top = self._stack[-1] if self._stack else None
        if top is not None and isinstance(top.value, dict) and top.key is None:
            if event.value in top.value:
                self._refuse(event.start_mark, f"the key `{event.value}` stands here twice")
            top.key, top.key_mark = event.value, event.start_mark
            return
        value = event.value
        if event.implicit[0]:  # a plain scalar: its type follows from its text
            try:
                value = scalar(value)
            except ValueError as error:
                self._refuse(event.start_mark, str(error))
        self._place(value, event)

    def _place(self, value: Any, event: Any) -> Way:  # Any: a JSON value, yaml.Event
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._refuse(event.start_mark, f"there are more than {MAX_NODES} values")
        if not self._stack:
            self._data = value
            return self._remember((), event.start_mark, event.start_mark)
        top = self._stack[-1]
        if isinstance(top.value, list):
            top.value.append(value)
            return self._remember((*top.way, len(top.value) - 1), event.start_mark, event.start_mark)
        if top.key is None:
            self._refuse(event.start_mark, "a key must be a text")
        key, top.key = top.key, None
        top.value[key] = value
        return self._remember((*top.way, key), top.key_mark, event.start_mark)

    def _remember(self, way: Way, key: Any, value: Any) -> Way:  # Any: yaml.Mark
        self._marks[way] = _Mark(key.line + 1, key.column + 1, value.line + 1, value.column + 1)
        return way

    def _refuse(self, mark: Any, message: str, *, hint: str | None = None) -> NoReturn:  # Any: yaml.Mark
        where = f"{self._source}:{mark.line + 1}:{mark.column + 1}"
        raise ValidationError(message, where=where, hint=hint, details={"excerpt": "\n".join(self._excerpt(mark))})

    def _excerpt(self, mark: Any) -> Iterator[str]:  # Any: yaml.Mark
        lines = self._text.split("\n")
        if mark.line < len(lines):
            start = max(0, mark.column - 60)
            yield "".join(char if char.isprintable() else " " for char in lines[mark.line][start : start + 100])
            yield " " * (mark.column - start) + "^"
