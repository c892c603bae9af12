"""What pydantic says of data that does not fit a record exactly: converted, or refused with every problem.

The models are made from the records, so that there is one declaration of each.
"""

from __future__ import annotations

import dataclasses
import types
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from workflow_agent.model.exact import Read, Within, hints_of

if TYPE_CHECKING:
    from pydantic import BaseModel

    from workflow_agent.model.data import Data

__all__ = ["judged", "model_of"]

#: What each model was made from.
_RECORDS: dict[type, type[Data]] = {}


def judged(record: type[Data], data: Any) -> Any:  # Any: what came in; a record
    """Validate data and make a record of it.

    Raises:
        pydantic.ValidationError: it is not valid.
    """
    return _own(model_of(record).model_validate(data))


def _own(value: Any) -> Any:  # Any: a value in a valid model, and in a record
    """Put records in the place of the models that were made from them, at any depth of lists."""
    if isinstance(value, list):
        return [_own(item) for item in value]
    record = _RECORDS.get(type(value))
    return value if record is None else record(**{name: _own(item) for name, item in value})


def model_of(record: Any) -> type[BaseModel]:  # Any: a subclass of Data, which the cache's types do not take
    """Give the model that says the same as a record, in pydantic's words."""
    return _model(record)


@cache
def _model(record: type[Data]) -> type[BaseModel]:
    from pydantic import ConfigDict, create_model  # noqa: PLC0415  # late: 130 ms with its core

    fields: dict[str, Any] = {
        item.name: (_hint(hints_of(record)[item.name]), _default(item)) for item in dataclasses.fields(record)
    }
    made: type[BaseModel] = create_model(
        record.__name__,
        __config__=ConfigDict(frozen=True, extra="forbid", strict=record.is_strict),
        __doc__=record.__doc__,
        __module__=record.__module__,
        **fields,
    )
    _RECORDS[made] = record
    return made


def _default(item: dataclasses.Field[Any]) -> Any:  # Any: pydantic's FieldInfo
    from pydantic import Field  # noqa: PLC0415  # late: 130 ms with its core

    if item.default_factory is not dataclasses.MISSING:
        return Field(default_factory=item.default_factory)
    return Field(... if item.default is dataclasses.MISSING else item.default)


def _hint(hint: Any) -> Any:  # Any: a type annotation
    """Say an annotation in pydantic's words: bounds as its fields, records as models."""
    from pydantic import BeforeValidator, Field  # noqa: PLC0415  # late: 130 ms with its core

    from workflow_agent.model.data import Data  # noqa: PLC0415  # it needs this module itself

    origin, arguments = get_origin(hint), get_args(hint)
    if isinstance(hint, type) and origin is None and issubclass(hint, Data):
        return model_of(hint)
    if origin is Annotated:
        finite = False if arguments[0] is float else None
        bounds = [item for item in arguments[1:] if isinstance(item, Within)]
        fields = [Field(ge=item.ge, gt=item.gt, le=item.le, allow_inf_nan=finite) for item in bounds]
        first = [BeforeValidator(item.function) for item in arguments[1:] if isinstance(item, Read)]
        return Annotated[(arguments[0], *fields, *first)]
    if origin is list:
        return list[_hint(arguments[0])]  # type: ignore[misc]  # made while it runs
    if origin in {Union, types.UnionType}:
        return Union[tuple(_hint(item) for item in arguments)]  # noqa: UP007  # made while it runs
    return hint
