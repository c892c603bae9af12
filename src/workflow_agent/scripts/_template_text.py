"""Where an interpolation of a shell template stands: only a plain place is safe for a quoted word.

A small scanner follows the shell's quoting through the template's own text. At every control tag the text must
be in a plain place too, so that each stretch between tags can be judged alone, whichever branch is taken.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["TemplateToken", "misplaced"]

_PLACES = {
    "'": "single quotes",
    '"': "double quotes",
    "`": "backticks",
    "${": "a parameter expansion",
    "((": "an arithmetic expression",
    "#": "a comment",
    "<<": "a here-document",
    "<<?": "a here-document's delimiter",
    "\\": "an escape (`\\` before it)",
    "$": "an expansion (`$` before it)",
}
_PLAIN = frozenset({"", "$(", "("})


@dataclass(frozen=True, slots=True)
class TemplateToken:
    """One piece of a template: its `kind` (``data``, ``variable`` or ``block``), text and line."""

    kind: str
    text: str
    line: int


@dataclass(slots=True)
class _Scanner:
    """The shell's quoting state; `stack` holds what is open, innermost last."""

    stack: list[str] = field(default_factory=lambda: [""])
    pending: list[tuple[str, bool]] = field(default_factory=list)  # here-documents that begin at the line end
    line_start: str = ""  # what the current line of a here-document holds so far
    previous: str = "\n"  # the last character, to know where words begin

    @property
    def place(self) -> str:
        """What the next character stands in; an empty text means a plain place."""
        top = self.stack[-1]
        if top in _PLAIN:
            return self.previous if self.previous in ("\\", "$", "<<?") else ""
        return top

    def feed(self, text: str) -> None:
        """Read shell text."""
        index = 0
        while index < len(text):
            index += self._step(text, index)

    def word(self) -> None:
        """Read an interpolated word."""
        self.previous = "x"

    def _step(self, text: str, index: int) -> int:
        top = self.stack[-1]
        if top == "<<":
            return self._here_document(text[index])
        if top == "#":
            return self._comment(text, index)
        if top == "'":
            return self._until(text[index], "'")
        if top == '"':
            return self._double_quoted(text, index)
        return self._plain(text, index)

    def _here_document(self, char: str) -> int:
        if char != "\n":
            self.line_start += char
            return 1
        delimiter, strips_tabs = self.pending[0]
        line = self.line_start.lstrip("\t") if strips_tabs else self.line_start
        self.line_start = ""
        if line == delimiter:
            self.pending.pop(0)
            if not self.pending:
                self.stack.pop()
        self.previous = "\n"
        return 1

    def _comment(self, text: str, index: int) -> int:
        if text[index] != "\n":
            return 1
        self.stack.pop()
        return self._newline()

    def _newline(self) -> int:
        self.previous = "\n"
        if self.pending:
            self.stack.append("<<")
        return 1

    def _until(self, char: str, end: str) -> int:
        if char == end:
            self._pop()
        return 1

    def _double_quoted(self, text: str, index: int) -> int:
        char = text[index]
        if char == "\\":
            return 2
        if char == '"':
            self._pop()
            return 1
        return self._opening(text, index) or 1

    def _pop(self) -> None:
        self.stack.pop()
        self.previous = "x"

    def _opening(self, text: str, index: int) -> int:
        """Open a substitution or an expansion; gives the characters read, 0 when there is none."""
        for opener, place in (("$((", "(("), ("$(", "$("), ("${", "${"), ("`", "`")):
            if text.startswith(opener, index):
                if opener == "`" and "`" in self.stack:
                    return 0
                self.stack.append(place)
                self.previous = "\n" if place == "$(" else "x"
                return len(opener)
        return 0

    def _plain(self, text: str, index: int) -> int:
        char, top = text[index], self.stack[-1]
        if self.previous == "\\" or char == "\\":
            self.previous = "\\" if char == "\\" and self.previous != "\\" else "x"
            return 1
        if char == '"' or (char == "'" and self.stack[-2:] != ['"', "${"]):
            self.stack.append(char)
            return 1
        closed = self._closing(text, index, top)
        if closed:
            return closed
        opened = self._opening(text, index)
        if opened:
            return opened
        if top in _PLAIN:
            return self._command_text(text, index)
        self.previous = char
        return 1

    def _closing(self, text: str, index: int, top: str) -> int:
        ends = {"((": "))", "$(": ")", "(": ")", "${": "}", "`": "`"}
        end = ends.get(top)
        if end is None or not text.startswith(end, index):
            return 0
        self._pop()
        return len(end)

    def _command_text(self, text: str, index: int) -> int:
        char = text[index]
        if char == "#" and (self.previous.isspace() or self.previous in ";&|("):
            self.stack.append("#")
            return 1
        if char == "\n":
            return self._newline()
        if text.startswith("<<<", index):
            self.previous = "<"
            return 3
        if text.startswith("<<", index):
            return self._delimiter(text, index)
        if text.startswith("((", index):
            self.stack.append("((")
            return 2
        if char == "(":
            self.stack.append("(")
        self.previous = char
        return 1

    def _delimiter(self, text: str, index: int) -> int:
        end = index + 2
        strips_tabs = text.startswith("-", end)
        end += strips_tabs
        while end < len(text) and text[end] in " \t":
            end += 1
        start = end
        while end < len(text) and text[end] not in " \t\n;&|<>()":
            end += 1
        word = text[start:end]
        if not word:
            self.previous = "<<?"
            return end - index
        self.pending.append(("".join(char for char in word if char not in "\"'\\"), strips_tabs))
        self.previous = "x"
        return end - index


def misplaced(tokens: Iterable[TemplateToken]) -> Iterator[tuple[TemplateToken, str]]:
    """Give the variables and control tags that do not stand in a plain place, with what they stand in."""
    scanner = _Scanner()
    for token in tokens:
        if token.kind == "data":
            scanner.feed(token.text)
            continue
        place = scanner.place
        if token.kind == "variable":
            if place:
                yield token, _PLACES[place]
            scanner.word()
        elif place:
            yield token, _PLACES[place]
