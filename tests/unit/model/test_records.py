"""Frozen dataclasses whose methods are written late are the dataclasses of the standard library in all else."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from dataclasses import FrozenInstanceError, field
from typing import Any, ClassVar

import pytest

from workflow_agent.model.records import dataclass, late_dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """A class as we write them."""

    name: str
    tags: list[str] = field(default_factory=list, hash=False)
    note: str = field(default="", compare=False, repr=False)
    count: int = 1
    known: ClassVar[int] = 7


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Standard:
    """The same, by the standard library."""

    name: str
    tags: list[str] = field(default_factory=list, hash=False)
    note: str = field(default="", compare=False, repr=False)
    count: int = 1
    known: ClassVar[int] = 7


@dataclass(frozen=True, slots=True)
class _Checked:
    low: int
    high: int = 9

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")


def test_objects_are_made_compared_and_shown_as_by_the_standard_library() -> None:
    ours, theirs = _Record(name="a", count=2), _Standard(name="a", count=2)
    assert repr(ours) == repr(theirs).replace("_Standard", "_Record") == "_Record(name='a', tags=[], count=2)"
    assert dataclasses.asdict(ours) == dataclasses.asdict(theirs)
    assert ours == _Record(name="a", count=2, note="not compared")
    assert ours != _Record(name="a", count=3)
    others: list[object] = [theirs, "a", None]
    assert ours not in others
    assert hash(ours) == hash(theirs) == hash(_Record(name="a", count=2, tags=["x"]))
    assert ours.tags is not _Record(name="b").tags
    assert _Record.known == _Standard.known
    assert dataclasses.replace(ours, name="b") == _Record(name="b", count=2)
    assert [item.name for item in dataclasses.fields(_Record)] == [item.name for item in dataclasses.fields(_Standard)]
    assert _Record.__slots__ == _Standard.__slots__


@pytest.mark.parametrize("arguments", [{}, {"name": "a", "more": 1}])
def test_wrong_arguments_are_refused_in_the_same_words(arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError) as theirs:
        _Standard(**arguments)
    with pytest.raises(TypeError) as ours:
        _Record(**arguments)
    assert str(ours.value) == str(theirs.value).replace("_Standard", "_Record")


def test_arguments_by_keyword_only() -> None:
    with pytest.raises(TypeError, match="positional"):
        _Record("a")  # type: ignore[call-arg]


def test_nothing_can_be_set_or_deleted() -> None:
    record: Any = _Record(name="a")
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'name'"):
        record.name = "b"
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'other'"):
        record.other = "b"
    with pytest.raises(FrozenInstanceError, match="cannot delete field 'name'"):
        del record.name
    assert record.name == "a"


def test_what_a_class_checks_after_it_was_filled_is_checked() -> None:
    assert _Checked(1) == _Checked(1, 9)
    assert _Checked.__match_args__ == ("low", "high")
    with pytest.raises(ValueError, match="low is above high"):
        _Checked(10)


def test_copies_and_pickles_are_equal() -> None:
    record = _Record(name="a", tags=["x"])
    assert copy.copy(record) == copy.deepcopy(record) == pickle.loads(pickle.dumps(record)) == record


def test_methods_of_the_class_itself_stay() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Own:
        name: str

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Own) and self.name.lower() == other.name.lower()

        def __hash__(self) -> int:
            return hash(self.name.lower())

        def __repr__(self) -> str:
            return f"<{self.name}>"

    assert Own(name="A") == Own(name="a")
    assert hash(Own(name="A")) == hash("a")
    assert repr(Own(name="A")) == "<A>"


def test_a_class_below_another_one_has_the_fields_of_both() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Below(_Record):
        size: int = 0

    below = Below(name="a", size=3)
    assert (below.name, below.size) == ("a", 3)
    assert below == Below(name="a", size=3)
    assert below != _Record(name="a")


def test_fields_that_nobody_gives_are_filled() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Filled:
        seen: list[int] = field(default_factory=list, init=False)
        level: int = field(default=3, init=False)

    assert (Filled().seen, Filled().level) == ([], 3)
    assert Filled().seen is not Filled().seen
    with pytest.raises(TypeError, match="level"):
        Filled(level=1)  # type: ignore[call-arg]


def test_a_class_without_fields() -> None:
    @dataclass(frozen=True, slots=True)
    class Nothing:
        """Says only what it is."""

    assert Nothing() == Nothing()


def test_a_plain_class_below_one_works() -> None:
    class Plain(_Record):
        pass

    assert Plain(name="a") == Plain(name="a")
    assert repr(Plain(name="a")).startswith("test_a_plain_class_below_one_works.<locals>.Plain(name='a'")


def test_other_options_are_the_standard_librarys() -> None:
    @dataclass(slots=True)
    class Mutable:
        count: int = 0

    mutable = Mutable()
    mutable.count = 2
    assert mutable == Mutable(2)


def test_without_options_it_is_the_standard_librarys() -> None:
    @dataclass
    class Simple:
        count: int = 0

    assert Simple(1) == Simple(count=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _SetLater:
    """One field is nobody's to give, and set once the others are there."""

    name: str
    length: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "length", len(self.name))


def test_a_field_that_nobody_gives_and_that_has_no_default_is_left_to_the_class() -> None:
    assert [_SetLater(name="abc").length for _ in range(10)] == [3] * 10  # the later ones by a written `__init__`


def test_a_copy_differs_where_it_is_told_to_and_shares_the_rest() -> None:
    first = _Record(name="a", tags=["x"], note="n")

    second = replace(first, name="b", count=3)

    assert (second.name, second.count, second.note) == ("b", 3, "n")
    assert second.tags is first.tags
    assert type(second) is _Record
    assert first == _Record(name="a", tags=["x"])
    with pytest.raises(FrozenInstanceError):
        second.name = "c"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        replace(first, unknown=1)  # type: ignore[call-arg]


def test_a_copy_is_checked_where_the_class_checks() -> None:
    assert replace(_Checked(1), low=2) == _Checked(2)
    with pytest.raises(ValueError, match="low is above high"):
        replace(_Checked(1), low=10)


def test_the_first_objects_of_a_class_are_as_the_later_ones() -> None:
    @dataclass(frozen=True, slots=True)
    class Mixed:
        first: int
        second: list[int] = field(default_factory=list)
        third: str = field(default="c", kw_only=True)

    made = [Mixed(1, [2]) for _ in range(8)]
    assert made == [Mixed(first=1, second=[2], third="c")] * 8
    assert made[0].second is not made[7].second
    assert Mixed.__match_args__ == ("first", "second")


@pytest.mark.parametrize("arguments", [(), (1, 2, 3), (1, 2)])
def test_the_first_object_is_refused_in_the_same_words(arguments: tuple[int, ...]) -> None:
    @dataclass(frozen=True, slots=True)
    class Ours:
        low: int

    @dataclasses.dataclass(frozen=True, slots=True)
    class Theirs:
        low: int

    with pytest.raises(TypeError) as theirs:
        Theirs(*arguments)
    with pytest.raises(TypeError) as ours:
        Ours(*arguments)
    assert str(ours.value) == str(theirs.value).replace("Theirs", "Ours")
    with pytest.raises(TypeError, match="multiple values"):
        Ours(1, low=2)  # type: ignore[misc]


def test_fields_are_those_of_the_standard_library_whoever_asks_first() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Asked:
        """Known by its fields."""

        name: str
        tags: list[str] = field(default_factory=list, hash=False, metadata={"a": 1})

    for asked in (Asked, Asked(name="a")):
        fields = {item.name: item for item in dataclasses.fields(asked)}
        assert list(fields) == ["name", "tags"]
        assert not fields["tags"].hash
        assert dict(fields["tags"].metadata) == {"a": 1}
        assert fields["name"].kw_only
        assert (fields["name"].type, fields["name"].default) == ("str", dataclasses.MISSING)
    assert dataclasses.is_dataclass(Asked)
    assert Asked.__doc__ == "Known by its fields."


def test_several_threads_may_be_the_first() -> None:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    for _ in range(20):

        @dataclass(frozen=True, slots=True, kw_only=True)
        class Shared:
            name: str
            size: int = 0

        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda size, kind=Shared: kind(name="a", size=size), range(40)))
        assert [one.size for one in made] == list(range(40))
        assert len({repr(one) for one in made}) == 40


def test_a_class_that_is_made_a_dataclass_where_it_stands_has_its_defaults() -> None:
    class Plain:
        name: str
        size: int = field(default=3, repr=False)
        tags: list[str] = field(default_factory=list)

    late_dataclass(Plain)

    made: Any = Plain(name="a")  # type: ignore[call-arg]  # it takes them from now on
    assert (made.name, made.size, made.tags, Plain.size) == ("a", 3, [], 3)
    assert not hasattr(Plain, "tags")
    assert "name='a', tags=[]" in repr(made)
    assert replace(made, size=4).size == 4


def test_what_another_thread_found_out_meanwhile_is_taken() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Shared:
        name: str

    late_fields = vars(Shared)["__dataclass_fields__"]
    stand_in = vars(Shared)["__repr__"]
    said = repr(Shared(name="a"))

    assert late_fields.__get__(None, Shared) == Shared.__dataclass_fields__
    assert stand_in(Shared(name="a")) == said


def test_the_first_object_takes_no_name_that_there_is_not() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class First:
        name: str

    with pytest.raises(TypeError, match="unexpected keyword argument 'nam'"):
        First(name="a", nam="b")  # type: ignore[call-arg]
