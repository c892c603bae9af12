from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from workflow_agent.model.event import Event, EventType, Record
from workflow_agent.store.encoding import INLINE_BYTES, column, decode_row, dump_json, encode_event, is_small

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def event(data: object, *records: Record) -> Event:
    assert isinstance(data, dict)
    return Event(run_id="r-1", seq=2, type=EventType.RUN_STARTED, at=0.0, data=data, records=records)


def test_small_data_stays_inline() -> None:
    encoded = encode_event(event({"a": "x" * (INLINE_BYTES - 100)}), lambda _: "never")

    assert encoded.row.blobs is None


def test_only_the_large_values_of_an_object_become_blobs() -> None:
    blobs: dict[str, bytes] = {}

    def put(content: bytes) -> str:
        name = f"blob{len(blobs)}"
        blobs[name] = content
        return name

    data = {"status": "ok", "output": "x" * INLINE_BYTES, "n": 1}
    row = encode_event(event(data), put).row

    assert json.loads(row.data) == {"status": "ok", "output": None, "n": 1}
    assert json.loads(row.blobs or "") == [["output", "blob0"]]
    assert list(decode_row(row.data, row.blobs, blobs.__getitem__).items()) == list(data.items())


def test_records_are_encoded_as_events_are() -> None:
    encoded = encode_event(event({}, Record("script", {"text": "é"})), lambda _: "never")

    assert encoded.records[0].row.data == r'{"text":"\u00e9"}'


@given(st.dictionaries(st.text(), JSON))
def test_what_counts_as_small_needs_no_blob(data: dict[str, object]) -> None:
    if is_small([event(data)]):
        assert len(dump_json(data)) <= INLINE_BYTES


def test_small_is_decided_without_walking_large_data() -> None:
    assert not is_small([event({"list": [0] * 1_000_000})])
    assert not is_small([event({"text": "x" * 1_000_000})])
    assert not is_small([event({str(i): i for i in range(100_000)})])
    assert not is_small([event({}, Record("a", {"x": "y" * INLINE_BYTES}))])
    assert not is_small([event({"a": "x" * 1360, "b": ["never looked at"]})])
    assert is_small([event({"a": [1, {"b": None}], "c": "text"})])


@given(st.text())
def test_any_text_becomes_a_column(text: str) -> None:
    stored = column(text)

    assert isinstance(stored, str)
    stored.encode("utf-8")
    assert "\0" not in stored


def test_columns_of_other_kinds() -> None:
    assert column(None) is None
    assert column(True) == 1
    assert column(2**63 - 1) == 2**63 - 1
    assert column(2**63) == "9223372036854775808"
    assert column(1.5) == 1.5
    assert column(["a", "\udcff"]) == r'["a","\udcff"]'
    assert column({"a": 1}) == '{"a":1}'
    assert column("\udcff\0é") == "\\udcff\\x00é"
    assert column(EventType.RUN_CREATED) == "RunCreated"
