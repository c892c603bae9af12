"""The shared records: errors, messages, states, paths, change sets."""

from __future__ import annotations

import gc
import json

import pytest

from workflow_agent.model import ports
from workflow_agent.model.errors import (
    CallerError,
    CheckFailedError,
    InternalError,
    ParameterError,
    WorkflowAgentError,
    WorldError,
    error_classes,
    error_from_dict,
)
from workflow_agent.model.identity import RUN_ID_PATTERN, content_hash, message_ids, new_run_id, ulid
from workflow_agent.model.message import Message
from workflow_agent.model.status import RunStatus, StepStatus, style_of
from workflow_agent.model.system import Change, ChangeAction, ChangeSet, escape_path, unescape_path


@pytest.mark.parametrize("cls", list(error_classes()))
def test_every_error_survives_the_way_through_json(cls: type[WorkflowAgentError]) -> None:
    error = cls(where="w", cause="c", state="s", hint="h", run_id="r-1", details={"k": [1]})

    again = error_from_dict(json.loads(json.dumps(error.to_dict())))

    assert (type(again), again.to_dict()) == (cls, error.to_dict())
    assert repr(again) == f"{cls.__name__}({cls.code!r}, {error.message!r})"


def test_codes_are_unique_and_only_the_world_is_retried() -> None:
    classes = list(error_classes())
    callers = [cls for cls in classes if issubclass(cls, CallerError) and cls.retryable]

    assert len({cls.code for cls in classes}) == len(classes)
    assert [cls.code for cls in callers] == ["conflict.target-locked"]
    assert WorldError.retryable
    assert not InternalError.retryable


def test_what_others_derive_comes_out_as_what_it_is_a_kind_of() -> None:
    """A requester must hear of it, whatever its constructor takes."""

    class OddError(CheckFailedError):
        def __init__(self, number: int) -> None:
            super().__init__(f"number {number}")

    again = error_from_dict(OddError(7).to_dict())

    del OddError
    gc.collect()  # other tests walk the tree of errors
    assert (type(again), again.message) == (CheckFailedError, "number 7")


def test_an_unknown_code_is_a_defect_of_ours() -> None:
    assert type(error_from_dict({"code": "from-the-future", "message": "m"})) is InternalError


def test_a_hint_that_is_given_replaces_the_default_one() -> None:
    assert ParameterError("m").hint is None
    assert ParameterError("m", hint="do this").hint == "do this"


def test_a_message_survives_the_way_over_a_wire() -> None:
    full = Message(
        "agent.x.go", {"k": 1}, source="engine", run_id="r-1", step_id="a", headers={"traceparent": "t"}, reply_to="i"
    )
    bare = Message("a.b", source="s")

    for message in (full, bare):
        assert Message.from_dict(json.loads(json.dumps(message.to_dict()))) == message
    assert full.to_dict()["specversion"] == "1.0"
    assert "runid" not in bare.to_dict()


def test_ids_sort_in_the_order_of_time() -> None:
    make = message_ids()
    ids = [make() for _ in range(300)]

    assert ids == sorted(ids)
    assert ulid(0, b"\0" * 10) < ulid(1, b"\0" * 10) < ulid(1, b"\xff" * 10) < ulid(2, b"\0" * 10)
    assert RUN_ID_PATTERN.match(new_run_id())


def test_equal_values_have_equal_hashes() -> None:
    assert content_hash({"b": 1, "a": [2]}) == content_hash({"a": [2], "b": 1}) != content_hash({"a": [2]})


@pytest.mark.parametrize("status", [*RunStatus, *StepStatus])
def test_every_state_has_a_style_by_value_and_by_word(status: RunStatus | StepStatus) -> None:
    assert style_of(status) is style_of(status.value)
    assert style_of(status).ascii.isascii()


@pytest.mark.parametrize(
    "raw", [b"/etc/plain", b"/a b/\xc3\xa4", b"/bad\xff\xfe", b"/new\nline\t", b"/back\\slash\\x41"]
)
def test_a_path_survives_being_written_as_printable_text(raw: bytes) -> None:
    text = escape_path(raw)

    assert text.isprintable()
    assert unescape_path(text) == raw


def test_a_change_set_counts_by_action() -> None:
    created = Change(path="/a", action=ChangeAction.CREATED, kind="file")
    changes = ChangeSet(changes=(created, created))

    assert [changes.count(action) for action in ChangeAction] == [2, 0, 0, 0]


def test_ports_are_small() -> None:
    for name in ("Bus", "Journal", "Clock", "WorkflowCatalogue", "Subscription"):
        methods = [each for each in vars(getattr(ports, name)) if not each.startswith("_")]
        assert len(methods) <= 6
