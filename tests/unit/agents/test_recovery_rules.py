"""Classes of failures, recognised from what programs really said (``tests/examples/failures``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workflow_agent.agents.recovery_rules import (
    RULES,
    Bounds,
    Decision,
    FailureClass,
    Source,
    decide,
    diagnose,
    retry_pause,
)
from workflow_agent.model.errors import ScriptFailedError, StepTimeoutError, TargetLockedError, WorkflowAgentError

SAMPLES = sorted((Path(__file__).parents[2] / "examples" / "failures").glob("*.txt"))


def error_of(sample: Path) -> dict[str, Any]:
    """Make the error of a script that ended as a sample did: its exit code, then its last lines."""
    first, *lines = sample.read_text(encoding="utf-8").splitlines()
    code = int(first.removeprefix("exit "))
    tail = lines[-20:]
    last = next((line for line in reversed(tail) if line.strip()), None)
    return ScriptFailedError("it failed", cause=last, details={"exit_code": code, "tail": tail}).to_dict()


def class_of(sample: Path) -> FailureClass:
    """The class that a sample's name begins with."""
    return next(item for item in FailureClass if sample.stem.startswith(item.value))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_what_programs_say_is_recognised(sample: Path) -> None:
    found = diagnose(error_of(sample))

    assert found.failure is class_of(sample)
    assert found.evidence


def test_every_class_has_samples() -> None:
    told_otherwise = {FailureClass.UNKNOWN, FailureClass.STALE, FailureClass.NO_ANSWER, FailureClass.WRONG_ANSWER}
    told_otherwise.add(FailureClass.NOT_AS_DECLARED)
    assert {class_of(sample) for sample in SAMPLES} == set(FailureClass) - told_otherwise


def test_every_rule_of_the_output_is_a_sign_that_some_sample_or_error_shows() -> None:
    shown = {(found.failure, found.who) for sample in SAMPLES for found in [diagnose(error_of(sample))]}
    untold = {(rule.failure, rule.who) for rule in RULES if rule.source is Source.OUTPUT} - shown

    # Of these two there is no sample; errors with their words are tested below.
    assert untold == {(FailureClass.DISK, "apt"), (FailureClass.DISK, "the capture's quota")}


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (TargetLockedError("a package lock is held: /x"), FailureClass.LOCK),
        (StepTimeoutError("the script did not end within 1 s"), FailureClass.TIME_OUT),
        (ScriptFailedError("x", details={"exit_code": 126}), FailureClass.PERMISSION),
        (ScriptFailedError("x", details={"exit_code": 127}), FailureClass.DEPENDENCY),
        (ScriptFailedError("x", details={"exit_code": 1, "tail": ["nothing to say"]}), FailureClass.UNKNOWN),
        (ScriptFailedError("x", details={"tail": "no list"}), FailureClass.UNKNOWN),
        (ScriptFailedError("the script staged 9 MiB and 3 entries on /"), FailureClass.DISK),
        (ScriptFailedError("x", cause="E: You don't have enough free space in /var/cache/"), FailureClass.DISK),
    ],
)
def test_errors_of_ours_and_exit_codes_are_recognised(error: WorkflowAgentError, failure: FailureClass) -> None:
    assert diagnose(error.to_dict()).failure is failure


def test_what_led_to_a_failure_counts_before_what_followed_from_it() -> None:
    tail = ["Err: Temporary failure resolving 'deb.debian.org'", "E: Unable to locate package nginx"]

    found = diagnose(ScriptFailedError("x", details={"exit_code": 100, "tail": tail}).to_dict())

    assert (found.failure, found.evidence) == (FailureClass.NETWORK, tail[0])


def test_before_the_commit_only_locks_and_networks_are_tried_again_and_after_it_everything_is_taken_back() -> None:
    before = {failure: decide(failure, committed=False) for failure in FailureClass}

    assert before.pop(FailureClass.LOCK) is Decision.WAIT
    assert before.pop(FailureClass.NETWORK) is Decision.RETRY
    assert set(before.values()) == {Decision.STOP}
    assert {decide(failure, committed=True) for failure in FailureClass} == {Decision.ROLL_BACK}


def test_pauses_grow_and_end() -> None:
    bounds = Bounds(attempts=5, first_pause_s=2, pause_factor=3, longest_pause_s=10, lock_attempts=2, lock_pause_s=0.5)

    assert [retry_pause(FailureClass.NETWORK, attempt, bounds) for attempt in range(1, 6)] == [2, 6, 10, 10, None]
    assert [retry_pause(FailureClass.LOCK, attempt, bounds) for attempt in (1, 2)] == [0.5, None]
    assert retry_pause(FailureClass.DISK, 1, bounds) is None
