"""Types of single manifest fields: names, paths, and values that may be written as an expression.

A field is *dynamic* when the author may write ``${{ expression }}`` instead of a value. The same model
validates twice: as written, and *bound*, after the expressions were replaced (``BOUND`` is passed as the
validation context); a bound text is data, whatever it looks like.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

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

from workflow_agent.integrations.kinds import (
    expression_problem,
    path_problem,
    printable_problem,
    value_kind,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "BOUND",
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

#: Validation context of the second pass: expressions are replaced, nothing is read as one any more.
BOUND: Final[Mapping[str, bool]] = {"bound": True}

_MAX_TEXT = 64 * 1024


class Part(BaseModel):
    """Base of every manifest model: frozen, unknown keys refused, inputs never shown in errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _is_bound(info: ValidationInfo) -> bool:
    return bool(info.context and info.context.get("bound"))


def _refuse(problem: tuple[str, str] | None) -> None:
    if problem is not None:
        code, sentence = problem
        raise PydanticCustomError(code, sentence)


def _expression(text: str, info: ValidationInfo) -> str:
    _refuse(expression_problem(text, bound=_is_bound(info)))
    return text


def _absolute(text: str, info: ValidationInfo) -> str:
    _refuse(path_problem(text, bound=_is_bound(info)))
    return text


def _printable(text: str, info: ValidationInfo) -> str:
    _refuse(printable_problem(text, bound=_is_bound(info)))
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
    Discriminator(value_kind),
]
DynamicStatus: TypeAlias = Annotated[
    Annotated[_Status, Tag("value")] | _Expression,
    Discriminator(value_kind),
]
DynamicExitCode: TypeAlias = Annotated[
    Annotated[_ExitCode, Tag("value")] | _Expression,
    Discriminator(value_kind),
]
DynamicNumber: TypeAlias = Annotated[
    Annotated[StrictInt | StrictFloat, Tag("value")] | _Expression,
    Discriminator(value_kind),
]
DynamicPort: TypeAlias = Annotated[
    Annotated[_Port, Tag("value")] | _Expression,
    Discriminator(value_kind),
]
#: A JSON scalar; a text may contain expressions anywhere.
DynamicScalar: TypeAlias = StrictBool | StrictInt | StrictFloat | Text | None
