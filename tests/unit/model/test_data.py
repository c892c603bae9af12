"""Records that enter and leave as JSON: taken at once where they fit exactly, judged by pydantic otherwise."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Mapping  # noqa: TC003  # the annotations are read
from dataclasses import FrozenInstanceError, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_agent.model.data import Data
from workflow_agent.model.exact import Read, Within, exact
from workflow_agent.model.judging import model_of
from workflow_agent.model.system import Check


class Colour(StrEnum):
    RED = "red"


def even(value: object) -> object:
    if isinstance(value, int) and value % 2:
        raise ValueError("must be even")
    return value


class Inner(Data):
    name: str
    size: Annotated[int, Within(ge=0)] = 0


class Everything(Data):
    """One field of each kind."""

    text: str = ""
    count: int = 0
    ratio: float = 0.0
    flag: bool = False
    anything: Any = None
    colour: Colour = Colour.RED
    word: Literal["a", "b"] = "a"
    maybe: str | None = None
    several: int | str | None = None
    names: list[str] = field(default_factory=list)
    pairs: tuple[int, ...] = ()
    fixed: tuple[int, str] = (0, "")
    table: dict[str, Any] = field(default_factory=dict)
    view: Mapping[str, int] = field(default_factory=dict)
    seconds: Annotated[float, Within(gt=0, le=60)] = 1.0
    twice: Annotated[int, Read(even)] = 0
    inner: Inner | None = None
    inners: list[Inner] = field(default_factory=list)
    check: Check | None = None


class StrictOne(Data, strict=True):
    count: Annotated[int, Within(ge=0)] = 0
    ratio: Annotated[float, Within(ge=0)] = 0.0
    flag: bool = False
    text: str = ""
    names: list[str] = field(default_factory=list)
    word: Literal["a", "b"] = "a"


_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**400), max_value=10**400)
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["a", "red", "1", "yes", "\ud800", b"x", Colour.RED, Path("/x"), 61, 60.0])
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.sampled_from(["name", "size", "x", "id", "kind", "spec"]), inner, max_size=4)
    ),
    max_leaves=5,
)


@dataclass(frozen=True)
class Undecided:
    either: int | list[int] = 0
    number: complex = 0j


@pytest.mark.parametrize(
    ("record", "given"),
    [
        (Everything, {"ratio": 10**400}),
        (Everything, {"text": "\ud800"}),
        (Everything, {"colour": "blue"}),
        (Everything, {"pairs": 5}),
        (Undecided, {"either": 1}),
        (Undecided, {"number": 1}),
    ],
)
def test_what_is_not_exactly_of_its_type_is_left_to_another_judge(record: type, given: dict[str, Any]) -> None:
    assert exact(record, given) is None


def test_a_word_of_an_enum_that_is_one_already_fits() -> None:
    assert exact(Everything, {"colour": Colour.RED}) == Everything(colour=Colour.RED)


def test_a_number_larger_than_any_float_is_judged_as_a_whole_number() -> None:
    assert Within(ge=0).holds(10**400)
    assert not Within(le=5).holds(10**400)


@pytest.mark.parametrize("record", [Everything, StrictOne])
@given(data=st.data())
def test_what_fits_exactly_is_what_pydantic_makes_of_it(record: type[Data], data: st.DataObject) -> None:
    """The short way never takes what pydantic refuses, and never makes something else of it."""
    name = data.draw(st.sampled_from(sorted(model_of(record).model_fields)))
    value = data.draw(_VALUES)

    made = exact(record, {name: value})

    if made is not None:
        judged = getattr(model_of(record).model_validate({name: value}), name)
        plain = judged.model_dump() if isinstance(judged, pydantic.BaseModel) else judged
        mine = getattr(made, name)
        if isinstance(mine, Inner):
            mine = {"name": mine.name, "size": mine.size}
        if isinstance(mine, list) and any(isinstance(item, Inner) for item in mine):
            mine, plain = [item.name for item in mine], [item.name for item in judged]
        assert repr(mine) == repr(plain)  # of numbers too: 1 is not 1.0, and no number is equal to itself


@given(name=st.sampled_from(sorted(model_of(Everything).model_fields)), value=_VALUES)
def test_data_is_refused_exactly_when_pydantic_refuses_it(name: str, value: object) -> None:
    assert told(Everything, {name: value}) == told(model_of(Everything), {name: value})


def told(record: type[Data | pydantic.BaseModel], data: object) -> list[str] | None:
    """Give what is said to be wrong with data; None where it is taken."""
    try:
        record.model_validate(data)
    except pydantic.ValidationError as error:
        return [problem["msg"] for problem in error.errors()]
    return None


def test_what_has_to_be_converted_is_converted() -> None:
    made = Everything.model_validate({"count": "7", "flag": "yes", "inners": [{"name": "x", "size": "2"}], "ratio": 1})
    assert (made.count, made.flag, made.inners, made.ratio) == (7, True, [Inner(name="x", size=2)], 1.0)


def test_unknown_and_missing_keys_are_refused_at_every_depth() -> None:
    with pytest.raises(pydantic.ValidationError, match="Extra inputs are not permitted"):
        Everything.model_validate({"other": 1})
    with pytest.raises(pydantic.ValidationError, match=r"inner\.other"):
        Everything.model_validate({"inner": {"name": "x", "other": 1}})
    with pytest.raises(pydantic.ValidationError, match="Field required"):
        Inner.model_validate({})


def test_no_number_beyond_its_bounds_is_taken() -> None:
    for wrong in (0, 60.5, math.inf, math.nan):
        with pytest.raises(pydantic.ValidationError):
            Everything.model_validate({"seconds": wrong})
    assert Everything.model_validate({"seconds": 60}).seconds == 60.0


def test_a_record_is_frozen_and_compared_by_its_values() -> None:
    made = Inner(name="x")
    with pytest.raises(FrozenInstanceError):
        made.name = "y"  # type: ignore[misc]
    assert replace(made, size=1) == Inner(name="x", size=1)


def test_the_json_form_is_checked_and_can_leave_fields_out() -> None:
    made = Everything(pairs=(1, 2), check=Check(id="a", kind="file", spec={"path": Path("/x")}))
    data = made.model_dump(exclude=frozenset({"text"}))
    assert data["pairs"] == [1, 2]
    assert data["check"]["spec"] == {"path": "/x"}
    assert "text" not in data
    with pytest.raises(pydantic.ValidationError):
        Inner(name=3).model_dump()  # type: ignore[arg-type]


def test_the_schema_says_what_the_record_says() -> None:
    schema = Inner.model_json_schema()
    assert schema["required"] == ["name"]
    assert schema["properties"]["size"]["minimum"] == 0
    assert schema["additionalProperties"] is False


def test_what_fits_is_taken_without_pydantic() -> None:
    """That is why the short way is there."""
    code = (
        "import sys; from workflow_agent.agents.verifier import CurrentRequest;"
        "check = {'id': 'a', 'kind': 'file', 'spec': {'path': '/x'}, 'description': '', 'timeout_s': 1};"
        "CurrentRequest.model_validate({'target': 'host', 'installed': None, 'version': '1', 'manifest_hash': '',"
        "'parameter_hash': '', 'checks': [check]}).model_dump();"
        "print('pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
