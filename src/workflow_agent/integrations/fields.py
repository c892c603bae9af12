"""Types of single manifest fields: names, paths, and values that may be written as an expression.

A field is *dynamic* when the author may write ``${{ expression }}`` instead of a value. The same model
validates twice: as written, and *bound*, after the expressions were replaced (``BOUND`` is passed as the
validation context); a bound text is data, whatever it looks like.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    StringConstraints,
    Tag,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "BOUND",
    "EXPRESSION_MARK",
    "AbsolutePath",
    "DynamicBool",
    "DynamicExitCode",
    "DynamicNumber",
    "DynamicPort",
    "DynamicScalar",
    "DynamicStatus",
    "Identifier",
    "Part",
    "Seconds",
    "Slug",
    "Text",
    "Version",
]

#: What begins an expression inside a text.
EXPRESSION_MARK: Final = "${{"
#: Validation context of the second pass: expressions are replaced, nothing is read as one any more.
BOUND: Final[Mapping[str, bool]] = {"bound": True}

_MAX_TEXT = 64 * 1024


class Part(BaseModel):
    """Base of every manifest model: frozen, unknown keys refused, inputs never shown in errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _is_bound(info: ValidationInfo) -> bool:
    return bool(info.context and info.context.get("bound"))


def _kind_of(value: Any) -> str:  # Any: what YAML gives
    return "expression" if isinstance(value, str) and EXPRESSION_MARK in value else "value"


def _expression(text: str, info: ValidationInfo) -> str:
    if _is_bound(info):
        raise PydanticCustomError("bound_text", "the expression gave a text where another type is needed")
    if not (text.startswith(EXPRESSION_MARK) and text.endswith("}}")):
        raise PydanticCustomError("partial_expression", "should be a value or one whole ${{ expression }}")
    return text


def _absolute(text: str, info: ValidationInfo) -> str:
    if not _is_bound(info) and text.startswith(EXPRESSION_MARK):
        return text
    if not text.startswith("/"):
        raise PydanticCustomError("relative_path", "should be an absolute path")
    if ".." in text.split("/"):
        raise PydanticCustomError("parent_path", "should not contain '..'")
    return text


def _printable(text: str) -> str:
    if any(ord(char) < ord(" ") for char in text):
        raise PydanticCustomError("control_character", "should not contain control characters")
    return text


Slug: TypeAlias = Annotated[StrictStr, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Identifier: TypeAlias = Annotated[StrictStr, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Version: TypeAlias = Annotated[StrictStr, StringConstraints(pattern=r"^\d+\.\d+\.\d+(-[0-9a-z.]+)?$")]
Text: TypeAlias = Annotated[StrictStr, StringConstraints(max_length=_MAX_TEXT)]
AbsolutePath: TypeAlias = Annotated[
    StrictStr,
    StringConstraints(min_length=1, max_length=4096),
    AfterValidator(_printable),
    AfterValidator(_absolute),
    Field(description="An absolute path, or a text that begins with ${{ expression }}."),
]
Seconds: TypeAlias = Annotated[StrictFloat, Field(gt=0, le=3600, description="Seconds.")]

_Expression: TypeAlias = Annotated[
    StrictStr,
    StringConstraints(pattern=r"^\$\{\{"),
    AfterValidator(_expression),
    Tag("expression"),
]
_Port: TypeAlias = Annotated[StrictInt, Field(ge=1, le=65535)]
_Status: TypeAlias = Annotated[StrictInt, Field(ge=100, le=599)]
_ExitCode: TypeAlias = Annotated[StrictInt, Field(ge=0, le=255)]

DynamicBool: TypeAlias = Annotated[
    Annotated[StrictBool, Tag("value")] | _Expression,
    Discriminator(_kind_of),
]
DynamicStatus: TypeAlias = Annotated[
    Annotated[_Status, Tag("value")] | _Expression,
    Discriminator(_kind_of),
]
DynamicExitCode: TypeAlias = Annotated[
    Annotated[_ExitCode, Tag("value")] | _Expression,
    Discriminator(_kind_of),
]
DynamicNumber: TypeAlias = Annotated[
    Annotated[StrictInt | StrictFloat, Tag("value")] | _Expression,
    Discriminator(_kind_of),
]
DynamicPort: TypeAlias = Annotated[
    Annotated[_Port, Tag("value")] | _Expression,
    Discriminator(_kind_of),
]
#: A JSON scalar; a text may contain expressions anywhere.
DynamicScalar: TypeAlias = StrictBool | StrictInt | StrictFloat | Text | None
