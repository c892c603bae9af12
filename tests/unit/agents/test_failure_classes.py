"""Failed checks are told by their class: by what they saw, never by the words of whom they asked."""

from __future__ import annotations

from typing import Any

import pytest

from workflow_agent.agents.failure_classes import FailureClass, Source, class_of_check, diagnose_checks
from workflow_agent.agents.recovery_rules import diagnose
from workflow_agent.agents.red_checks import failure_of
from workflow_agent.model.errors import CheckFailedError, ServiceFailedError
from workflow_agent.model.event import RecordKind
from workflow_agent.model.system import CheckResult, CheckStatus
from workflow_agent.targets.probe_spec import CHECK_KINDS


def check(kind: str, observed: str, expected: str = "it works", **more: Any) -> dict[str, Any]:
    return {"id": kind, "kind": kind, "status": "failed", "observed": observed, "expected": expected, **more}


@pytest.mark.parametrize(
    ("red", "failure"),
    [
        (check("process", "is not running"), FailureClass.NOT_RUNNING),
        (check("process", "is running (pid 3) as root, older than the file on disk: pid 3"), FailureClass.STALE),
        (check("process", "is running (pid 3) as root, not as www"), FailureClass.NOT_AS_DECLARED),
        (check("process", "is running (pid 3)", "process /x is not running"), FailureClass.NOT_AS_DECLARED),
        (check("port", "nothing listens"), FailureClass.NO_ANSWER),
        (check("port", "nothing listens there, but on ::1"), FailureClass.NO_ANSWER),
        (check("port", "listens on 0.0.0.0 by /usr/bin/perl (pid 9)"), FailureClass.PORT),
        (check("port", "listens on ::, but cannot connect to port 1: no answer"), FailureClass.NO_ANSWER),
        (check("port", "listens on 0.0.0.0", "port tcp/1 is closed"), FailureClass.NOT_AS_DECLARED),
        (check("unit", "is inactive (dead), unit file enabled"), FailureClass.NOT_RUNNING),
        (check("unit", "is active (running), unit file disabled"), FailureClass.NOT_AS_DECLARED),
        (check("http", "cannot connect to port 80: 127.0.0.1: Connection refused"), FailureClass.NO_ANSWER),
        (check("http", "the answer did not end in time: 0 bytes came"), FailureClass.NO_ANSWER),
        (check("http", "answers 500, 9 bytes; another status"), FailureClass.WRONG_ANSWER),
        (check("metric", "the connection ended early: 5 bytes came"), FailureClass.NO_ANSWER),
        (check("metric", "value 0"), FailureClass.WRONG_ANSWER),
        (check("tcp", "step 1: no such answer in time, after ``"), FailureClass.NO_ANSWER),
        (check("tcp", "step 2: no such answer in time, after `-ERR no such user`"), FailureClass.WRONG_ANSWER),
        (check("command", "did not end within 1.0 s"), FailureClass.NO_ANSWER),
        (check("command", "exits with 1: Permission denied"), FailureClass.WRONG_ANSWER),
        (check("log", "the text is not there"), FailureClass.NO_ANSWER),
        (check("file", "does not exist"), FailureClass.NOT_AS_DECLARED),
        (check("package", "is not installed (install ok unpacked)"), FailureClass.NOT_AS_DECLARED),
        (check("http", "probes speak http only") | {"status": "error"}, FailureClass.UNKNOWN),
        (check("of-a-plugin", "odd"), FailureClass.UNKNOWN),
    ],
)
def test_a_red_check_has_the_class_of_what_it_saw(red: dict[str, Any], failure: FailureClass) -> None:
    assert class_of_check(red) is failure


def test_every_kind_of_check_has_classes() -> None:
    for kind in CHECK_KINDS:
        assert class_of_check(check(kind, "something else")) is not FailureClass.UNKNOWN, kind


def test_of_several_red_checks_the_one_counts_that_explains_the_others() -> None:
    red = [check("metric", "cannot connect to port 1: refused"), check("process", "is not running")]

    found = diagnose_checks([check("file", "is a file") | {"status": "passed"}, *red])

    assert (found.failure, found.source) == (FailureClass.NOT_RUNNING, Source.CHECK)
    assert found.evidence == "process: is not running"


def test_checks_that_nobody_could_make_have_no_class() -> None:
    assert diagnose_checks([check("http", "x") | {"status": "error"}]).failure is FailureClass.UNKNOWN


def test_the_words_of_who_was_asked_are_no_sign_of_the_network() -> None:
    """A refused connection to the service that was just installed is not a network that is down."""
    red = [check("http", "cannot connect to port 80: 127.0.0.1: Connection refused")]
    error = CheckFailedError("1 of 1 checks failed: http", cause="Connection refused", details={"checks": red})

    assert diagnose(error.to_dict()).failure is FailureClass.NO_ANSWER


def test_a_class_that_was_told_stays() -> None:
    told = {"class": "disk", "source": "output", "evidence": "No space left on device"}
    found = diagnose(ServiceFailedError("x", cause="Permission denied", details={"failure": told}).to_dict())

    assert (found.failure, found.source, found.evidence) == (FailureClass.DISK, Source.OUTPUT, told["evidence"])
    other = ServiceFailedError("x", cause="Permission denied", details={"failure": {"class": "unknown"}}).to_dict()
    assert diagnose(other).failure is FailureClass.PERMISSION


def result(kind: str, observed: str) -> CheckResult:
    return CheckResult(id=kind, kind=kind, status=CheckStatus.FAILED, observed=observed, expected="it works")


def records(*results: CheckResult) -> list[dict[str, Any]]:
    data = [{"id": one.id, "kind": one.kind, "status": "failed", "observed": one.observed} for one in results]
    return [{"kind": RecordKind.CHECK, "data": one | {"expected": "it works"}} for one in data]


def test_the_last_words_of_a_service_say_why_its_checks_are_red() -> None:
    red = result("port", "nothing listens")
    died = ServiceFailedError("`web` does not run as it should", cause="bind(): Address already in use")

    error = failure_of("host", [red], [], records(red), died)

    assert isinstance(error, CheckFailedError)
    assert error.details["failure"]["class"] == "port-in-use"
    assert "Address already in use" in str(error.cause)


def test_a_service_that_does_not_stay_is_a_failure_though_every_check_held() -> None:
    died = ServiceFailedError("`web` does not run as it should: it ended", cause="it ended")

    error = failure_of("host", [], [], [], died)

    assert error is died
    assert error.details["failure"]["class"] == "not-running"


def test_missing_paths_have_no_class() -> None:
    error = failure_of("host", [], ["/etc/x"], [])

    assert "failure" not in error.details
    assert error.message == "1 installed paths are missing or were replaced: /etc/x"
