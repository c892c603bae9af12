"""The envelope is built by hand for speed; it must still be the frozen dataclass that it says it is."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import pickle

import pytest

from workflow_agent.model.message import PRIORITY_NORMAL, Message

FULL = Message(
    "a.b",
    {"n": [1, None]},
    type="event",
    source="agent.x",
    correlation_id="c",
    causation_id="p",
    run_id="r-1",
    step_id="s",
    attempt=2,
    priority=0,
    headers={"traceparent": "00"},
    reply_to="back",
    id="id-1",
)


def test_only_the_subject_must_be_given() -> None:
    message = Message("a")
    assert (message.data, message.headers, message.type, message.source) == ({}, {}, "request", "")
    assert (message.attempt, message.priority, message.deadline) == (1, PRIORITY_NORMAL, None)


def test_ids_are_fresh_and_sort_in_the_order_of_creation() -> None:
    ids = [Message("a").id for _ in range(300)]
    assert sorted(set(ids)) == ids


def test_the_constructor_takes_exactly_the_fields_in_their_order() -> None:
    names = [field.name for field in dataclasses.fields(Message)]
    assert list(inspect.signature(Message).parameters) == names


def test_each_argument_reaches_its_own_field() -> None:
    names = [field.name for field in dataclasses.fields(Message)]
    message = Message(**{name: f"value of {name}" for name in names})  # type: ignore[arg-type]
    assert {name: getattr(message, name) for name in names} == {name: f"value of {name}" for name in names}


def test_it_cannot_be_changed_and_takes_no_other_names() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        FULL.subject = "other"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        del FULL.subject
    assert not hasattr(FULL, "__dict__")


def test_equality_hash_and_repr_go_by_the_fields() -> None:
    assert dataclasses.replace(FULL) == FULL
    assert dataclasses.replace(FULL, id="id-2") != FULL
    assert repr(FULL).startswith("Message(subject='a.b', data={'n': [1, None]}, type='event'")
    plain = dataclasses.replace(FULL, data=(), headers=())  # type: ignore[arg-type]  # something that has a hash
    assert hash(plain) == hash(dataclasses.replace(plain))


def test_copies_and_pickles_are_equal_messages() -> None:
    for twin in (copy.copy(FULL), copy.deepcopy(FULL), pickle.loads(pickle.dumps(FULL))):
        assert type(twin) is Message
        assert twin == FULL
    assert copy.deepcopy(FULL).data is not FULL.data


def test_the_wire_form_is_a_cloud_event_and_comes_back() -> None:
    event = json.loads(json.dumps(FULL.to_dict()))
    assert {"specversion": "1.0", "id": "id-1", "source": "agent.x", "type": "event"}.items() <= event.items()
    assert Message.from_dict(event) == FULL
    assert "runid" not in Message("a").to_dict()
