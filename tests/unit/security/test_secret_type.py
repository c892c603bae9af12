"""A secret does not show itself, however it is looked at."""

from __future__ import annotations

import copy
import json
import pickle
import pprint
import traceback
from dataclasses import asdict, dataclass

import pytest

from workflow_agent.security.secret import MAX_BYTES, MIN_CHARACTERS, Secret

VALUE = "c4nary-value"


@dataclass
class Holder:
    secret: Secret


def shown(secret: Secret) -> list[str]:
    return [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r:>40}",
        f"{secret:20}",
        format(secret, ".3"),
        "%s %r" % (secret, secret),  # noqa: UP031  # one more way to format
        pprint.pformat({"a": [secret]}),
        repr(Holder(secret)),
        repr(asdict(Holder(secret))),
        json.dumps({"a": secret}, default=str),
        json.dumps({"a": secret}, default=repr),
        ascii(secret),
    ]


def test_nothing_that_makes_text_shows_the_value() -> None:
    texts = shown(Secret(VALUE))

    assert all("***" in text for text in texts)
    assert not any(VALUE[:4] in text for text in texts)


def test_only_asking_for_it_gives_the_value() -> None:
    assert Secret(VALUE).reveal() == VALUE


def test_json_and_pickle_refuse() -> None:
    secret = Secret(VALUE)

    with pytest.raises(TypeError) as refused:
        json.dumps({"a": secret})
    assert VALUE not in str(refused.value)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(secret, protocol)


def test_a_copy_is_the_secret_itself() -> None:
    secret = Secret(VALUE)

    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret


def test_equal_values_are_equal_and_nothing_else_is() -> None:
    assert Secret(VALUE) == Secret(VALUE)
    assert Secret(VALUE) != Secret(f"{VALUE}.")
    assert Secret(VALUE) != VALUE


def test_it_cannot_be_changed_nor_hashed() -> None:
    secret = Secret(VALUE)

    with pytest.raises(AttributeError):
        secret.other = 1
    with pytest.raises(AttributeError):
        secret._value = "another-value"
    with pytest.raises(AttributeError):
        del secret._value  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        hash(secret)
    assert not hasattr(secret, "__dict__")
    assert secret.reveal() == VALUE


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "fewer than 8"),
        ("short", "fewer than 8"),
        (" " * 5 + "short" + "\n" * 5, "fewer than 8"),
        ("long enough\0", "NUL"),
        ("long enough \ud800", "Unicode"),
        ("x" * (MAX_BYTES + 1), "longer than 16 KiB"),
        ("é" * (MAX_BYTES // 2 + 1), "longer than 16 KiB"),
    ],
)
def test_what_cannot_be_hidden_reliably_is_refused_without_repeating_it(value: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as refused:
        Secret(value)

    assert not value.strip() or value.strip()[:5] not in "".join(traceback.format_exception_only(refused.value))


def test_a_secret_is_a_text() -> None:
    with pytest.raises(TypeError, match="a text"):
        Secret(b"long enough bytes")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["x" * MIN_CHARACTERS, "x" * MAX_BYTES, "two lines\nof it"])
def test_the_limits_themselves_are_allowed(value: str) -> None:
    assert Secret(value).reveal() == value
