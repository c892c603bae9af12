"""Base of records that enter or leave as JSON: declared once, checked when they are made from data.

A subclass is a frozen keyword-only dataclass::

    class LookupRequest(Data):
        integration: str
        part: Annotated[int, Within(ge=0)] = 0

What fits exactly is taken at once (``exact``), the rest is pydantic's to judge (``judging``). The three methods are
named as pydantic names them, so that its models can stand beside these.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar, dataclass_transform

from workflow_agent.model.exact import exact
from workflow_agent.model.records import late_dataclass

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Data", "plain"]


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(dataclasses.field,))
class Data:
    """A record. Unknown keys are errors; `strict` (of the class) takes no text for a number and the like."""

    if TYPE_CHECKING:
        __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]
    is_strict: ClassVar[bool] = False

    def __init_subclass__(cls, *, abstract: bool = False, strict: bool | None = None) -> None:
        """Make the class a record, unless it is only a base of others (`abstract`)."""
        super().__init_subclass__()
        if strict is not None:
            cls.is_strict = strict
        if not abstract:
            late_dataclass(cls)

    @classmethod
    def model_validate(cls, data: Any) -> Self:  # Any: what came in
        """Make a record of data.

        Raises:
            pydantic.ValidationError: it is not valid.
        """
        made = exact(cls, data)
        if made is not None:
            return made
        from workflow_agent.model.judging import judged  # noqa: PLC0415  # late: pydantic, 130 ms

        valid: Self = judged(cls, data)
        return valid

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]:
        """Give the JSON Schema."""
        from workflow_agent.model.judging import model_of  # noqa: PLC0415  # late: pydantic, 130 ms

        return model_of(cls).model_json_schema()

    def model_dump(self, *, mode: str = "json", exclude: frozenset[str] = frozenset()) -> dict[str, Any]:
        """Give the JSON form, without the fields of `exclude`; what was made wrongly is noticed here.

        Raises:
            pydantic.ValidationError: a field has a value that it cannot have.
        """
        assert mode == "json", "a record has no other form"
        data: dict[str, Any] = plain(type(self).model_validate(plain(self)))
        return {name: value for name, value in data.items() if name not in exclude}


def plain(value: Any) -> Any:  # Any: a value of the model, and its JSON form
    """Turn dataclasses, enums, tuples, mappings and paths into JSON values."""
    if dataclasses.is_dataclass(value):
        return {item.name: plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, PurePath) else value
