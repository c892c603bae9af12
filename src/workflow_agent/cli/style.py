"""How text may look on a stream: colours, symbols, width; and how text from outside is made harmless."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING, TextIO

from workflow_agent.model.records import dataclass
from workflow_agent.model.status import style_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["COLOR_CHOICES", "Style", "clip", "is_unicode_locale", "safe", "style_for", "wants_color"]

COLOR_CHOICES = ("auto", "always", "never")
#: Source: ECMA-48, Select Graphic Rendition.
_CODES = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "dim": "2", "bold": "1"}
_LEAST_WIDTH = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """What a stream can show. `width` is None where nothing may be cut (a pipe, a file)."""

    color: bool = False
    unicode: bool = False
    width: int | None = None
    verbose: int = 0

    def paint(self, text: str, color: str) -> str:
        """Put a colour around a text; words and symbols say the same without it."""
        return f"\x1b[{_CODES[color]}m{text}\x1b[0m" if self.color and text else text

    def symbol(self, status: str) -> str:
        """Give the symbol of a state of a run or step."""
        look = style_of(status)
        return look.symbol if self.unicode else look.ascii

    def status(self, status: str, *, width: int = 0) -> str:
        """Write a state: symbol and word, coloured."""
        return self.paint(f"{self.symbol(status)} {status}".ljust(width), style_of(status).colour)

    def glyph(self, unicode: str, ascii_form: str) -> str:
        """Choose the form of a sign that the terminal can show."""
        return unicode if self.unicode else ascii_form


def safe(text: object) -> str:
    r"""Write text from outside with everything that a terminal could obey as ``\xNN`` or ``\uNNNN``.

    Control characters, line ends, marks of writing direction and lone surrogates are no printable characters;
    a tab is kept as a blank.
    """
    plain = str(text).replace("\t", " ")
    if plain.isprintable():
        return plain
    return "".join(char if char.isprintable() else _escaped(char) for char in plain)


def _escaped(char: str) -> str:
    code = ord(char)
    if code <= 0xFF:  # noqa: PLR2004  # two digits are enough
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004


def clip(text: str, width: int | None, *, ellipsis: str = "...") -> str:
    """Cut a text to a width, saying so."""
    if width is None or len(text) <= width:
        return text
    return text[: max(width - len(ellipsis), 0)] + ellipsis[:width]


def wants_color(choice: str, environ: Mapping[str, str], *, is_terminal: bool, from_option: bool = False) -> bool:
    """Decide about colour: ``--color`` first, then NO_COLOR, CLICOLOR_FORCE, the settings, TERM=dumb, the terminal.

    Source: no-color.org (any value but the empty one counts), bixense.com/clicolors.
    """
    if from_option and choice != "auto":
        return choice == "always"
    if environ.get("NO_COLOR"):
        return False
    if environ.get("CLICOLOR_FORCE", "0") not in {"", "0"}:
        return True
    if choice != "auto":
        return choice == "always"
    return is_terminal and environ.get("TERM") != "dumb"


def is_unicode_locale(environ: Mapping[str, str], encoding: str | None) -> bool:
    """Say whether more than ASCII can be shown: the stream writes UTF-8 and the locale does not deny it.

    In the C locale Python itself sets LC_CTYPE to ``C.UTF-8`` (PEP 538), which then says nothing about the terminal.
    """
    if (encoding or "").lower().replace("-", "") != "utf8":
        return False
    ctype = environ.get("LC_CTYPE", "")
    language = environ.get("LANG", "")
    if ctype == "C.UTF-8" and language in {"C", "POSIX"}:
        ctype = ""
    locale = environ.get("LC_ALL") or ctype or language
    return not locale or "utf8" in locale.lower().replace("-", "")


def style_for(
    stream: TextIO,
    environ: Mapping[str, str],
    *,
    color: str = "auto",
    from_option: bool = False,
    ascii_only: bool = False,
    verbose: int = 0,
) -> Style:
    """Find out what a stream can show."""
    is_terminal = _is_terminal(stream)
    width = None
    if is_terminal:
        width = max(shutil.get_terminal_size().columns, _LEAST_WIDTH)
    return Style(
        color=wants_color(color, environ, is_terminal=is_terminal, from_option=from_option),
        unicode=not ascii_only and is_unicode_locale(environ, stream.encoding),
        width=width,
        verbose=verbose,
    )


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def harden_streams() -> None:
    """Let no character that a stream cannot encode raise; a stream that is missing becomes a silent one."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123  # lives as long as we do
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
