"""What a value becomes when a template interpolates it: a quoted word, or a refusal.

What belongs here: values and quoting. What does not: Jinja2 (``_sandbox``), files (``_lookup``).
"""

from __future__ import annotations

import math
import re
import shlex
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import ParameterError
from workflow_agent.model.records import dataclass
from workflow_agent.security.marks import unmarkable

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = [
    "MAX_VALUE_BYTES",
    "MultilineText",
    "OptionWord",
    "Placed",
    "RawText",
    "check_characters",
    "plain_context",
    "quote_for_nginx",
    "quote_for_shell",
    "write_as_text",
]

#: One less than the kernel's limit for a single argument, so that a quoted word can also be passed on.
#: Source: execve(2), MAX_ARG_STRLEN.
MAX_VALUE_BYTES = 128 * 1024 - 1

_MAX_DEPTH = 16
#: Characters that reorder what a person sees; a reader of the script must see what the shell sees.
#: Source: Unicode Standard Annex 9, explicit directional formatting characters.
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_NGINX_BARE = re.compile(r"[A-Za-z0-9_./:@%+,=~*^-]+")


class MultilineText(str):
    """A value whose parameter declares `multiline`: it may contain line ends and tabs."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class RawText:
    """Text that a template asked to insert without quoting (filter ``raw``)."""

    text: str


@dataclass(frozen=True, slots=True)
class OptionWord:
    """A word beginning with ``-`` that the template lists as allowed (filter ``opt``)."""

    text: str


@dataclass(frozen=True, slots=True)
class Placed:
    """A value and where it stands: does it begin a word, does it end one (None: cannot be known)."""

    value: Any  # Any: what the template's expression gave
    starts_word: bool
    ends_word: bool


def plain_context(value: Any, multiline: Collection[str], path: str = "", depth: int = 0) -> Any:
    """Copy a context as plain data, texts marked where their dotted path is in `multiline`.

    Raises:
        ParameterError: something that is no JSON value, or nested too deeply.
    """
    if depth > _MAX_DEPTH:
        raise ParameterError(f"`{path}` is nested deeper than {_MAX_DEPTH} levels")
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        text = str.__str__(value)
        return MultilineText(text) if path in multiline else text
    if isinstance(value, Mapping):
        prefix = f"{path}." if path else ""
        return {str(key): plain_context(item, multiline, f"{prefix}{key}", depth + 1) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [plain_context(item, multiline, path, depth + 1) for item in value]
    raise ParameterError(f"`{path}` is a {type(value).__name__}, which cannot be put into a script")


def check_characters(text: str, *, multiline: bool = False) -> None:
    """Refuse what cannot stand in a script: NUL, control and direction characters, broken Unicode, too much.

    Raises:
        ParameterError: with the reason; the value itself is never repeated (it may be a secret).
    """
    if not unmarkable(text):
        raise ParameterError(
            "a secret cannot be part of a script or of a file from a template",
            hint="a shell template says `{{ secret('NAME') }}`, the path of a file that holds it",
        )
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise ParameterError("a value is not valid Unicode text") from None
    if size > MAX_VALUE_BYTES:
        raise ParameterError(f"a value of {size} bytes is longer than {MAX_VALUE_BYTES} bytes")
    for char in text:
        if char in _BIDI:
            raise ParameterError(f"a value contains the direction character U+{ord(char):04X}")
        if unicodedata.category(char) != "Cc" or (multiline and char in "\n\t"):
            continue
        if char == "\n":
            raise ParameterError("a value contains a line end", hint="declare the parameter as `multiline`")
        if char != "\t":
            raise ParameterError(f"a value contains the control character U+{ord(char):04X}")


def quote_for_shell(value: Any) -> str:
    """Give shell words for a value: a scalar one word, a list one word each, an empty list nothing.

    A word that begins with ``-`` is refused where it could be taken for an option, unless it is an
    :class:`OptionWord`.

    Raises:
        ParameterError: the value cannot be written as words.
    """
    starts_word = True
    if isinstance(value, Placed):
        value, starts_word = value.value, value.starts_word
    if isinstance(value, RawText):
        check_characters(value.text, multiline=True)
        return value.text
    items = value if isinstance(value, list | tuple) else [value]
    return " ".join(_shell_word(item, starts_word or index > 0) for index, item in enumerate(items))


def _shell_word(item: Any, starts_word: bool) -> str:
    if isinstance(item, OptionWord):
        return shlex.quote(item.text)
    text = _scalar(item)
    check_characters(text, multiline=isinstance(item, MultilineText))
    if starts_word and text.startswith("-"):
        raise ParameterError(
            "a value begins with `-` and would be taken for an option",
            hint="the template may list the allowed options: `{{ value | opt('--one', '--two') }}`",
        )
    return shlex.quote(text)


def quote_for_nginx(value: Any) -> str:
    r"""Give nginx tokens: bare where nothing is special, in double quotes with ``\`` and ``"`` escaped otherwise.

    ``$`` is refused, because nginx has no way to write it literally. Inside a longer token nginx takes quotes
    as ordinary characters, so there only bare words are possible.

    Raises:
        ParameterError: the value cannot be written as tokens.

    Source: nginx, src/core/ngx_conf_file.c, ngx_conf_read_token.
    """
    alone = True
    if isinstance(value, Placed):
        alone = value.starts_word and value.ends_word
        value = value.value
    if isinstance(value, RawText):
        check_characters(value.text, multiline=True)
        return value.text
    items = value if isinstance(value, list | tuple) else [value]
    if len(items) != 1 and not alone:
        raise ParameterError("a list is inserted inside a longer nginx token")
    return " ".join(_nginx_token(_scalar(item), alone) for item in items)


def write_as_text(value: Any) -> str:
    """Give a scalar as it stands, for a file that no rule of quoting fits; its line is the template's business.

    What a value may be is for the manifest to say, by `pattern` or `choices`; here none can end its line.

    Raises:
        ParameterError: the value is no scalar, or no part of one line of text.
    """
    if isinstance(value, Placed):
        value = value.value
    if isinstance(value, RawText):
        check_characters(value.text, multiline=True)
        return value.text
    if isinstance(value, list | tuple):
        raise ParameterError("a list is inserted as one text", hint="use `{% for item in … %}` in the template")
    text = _scalar(value)
    check_characters(text)
    return text


def _nginx_token(text: str, alone: bool) -> str:
    check_characters(text)
    if _NGINX_BARE.fullmatch(text):
        return text
    if not alone:
        raise ParameterError(
            "a value with special characters is inserted inside a longer nginx token",
            hint="put spaces around the interpolation, or a space before and `;` after it",
        )
    if "$" in text:
        raise ParameterError("a value contains `$`, which nginx cannot take literally")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _scalar(value: Any) -> str:
    """Write a scalar as text; the exact `str` type matters, subclasses may change what `+` does."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float) and math.isfinite(value):
        return float.__repr__(value)
    if isinstance(value, str):
        return str.__str__(value)
    if value is None:
        raise ParameterError("a value is missing (null)", hint="give it, or use `default(…)` in the template")
    raise ParameterError(f"a value of type {type(value).__name__} cannot be inserted")
