"""Kinds of failures that are told apart, and how a failed check is told by what it saw.

What belongs here: the words, and checks. What does not: what programs say (``recovery_rules``).
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.model.records import dataclass
from workflow_agent.model.status import CHECK_IS_NOT_RED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Diagnosis", "FailureClass", "Source", "class_of_check", "diagnose_checks"]


class FailureClass(StrEnum):
    """Kinds of failures that are told apart."""

    LOCK = "lock"
    NETWORK = "network"
    DISK = "disk"
    SIGNATURE = "signature"
    DEPENDENCY = "missing-dependency"
    PORT = "port-in-use"
    PERMISSION = "permission"
    TIME_OUT = "time-out"
    CONFIGURATION = "configuration"
    NOT_RUNNING = "not-running"
    STALE = "stale-program"
    NO_ANSWER = "no-answer"
    WRONG_ANSWER = "wrong-answer"
    NOT_AS_DECLARED = "not-as-declared"
    UNKNOWN = "unknown"


class Source(StrEnum):
    """Where a sign of a failure is looked for."""

    ERROR_CODE = "error-code"
    OUTPUT = "output"
    EXIT_CODE = "exit-code"
    CHECK = "check"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """A class, the sign by which it was recognised (`source`, and `evidence`: the line or the code), who said so."""

    failure: FailureClass
    source: Source | None = None
    evidence: str = ""
    who: str = ""


#: What was seen says more than what follows from it: a service that does not run does not answer either.
_FIRST: Final = (
    FailureClass.PORT,
    FailureClass.STALE,
    FailureClass.NOT_RUNNING,
    FailureClass.NO_ANSWER,
    FailureClass.WRONG_ANSWER,
    FailureClass.NOT_AS_DECLARED,
)
#: Words of our own probes, by kind of check; the first that is found says the class.
_SEEN: Final[Mapping[str, tuple[tuple[str, FailureClass], ...]]] = {
    "process": (
        ("older than the file on disk", FailureClass.STALE),
        ("^is not running", FailureClass.NOT_RUNNING),
        ("", FailureClass.NOT_AS_DECLARED),
    ),
    "port": (
        ("^listens on .*, but cannot connect", FailureClass.NO_ANSWER),
        ("^listens on ", FailureClass.PORT),
        ("", FailureClass.NO_ANSWER),
    ),
    "unit": (
        ("^is (inactive|failed|activating|deactivating|unknown)", FailureClass.NOT_RUNNING),
        ("", FailureClass.NOT_AS_DECLARED),
    ),
    "http": (
        (
            "^(cannot connect|the answer did not end|the connection (ended|broke)|only interim)",
            FailureClass.NO_ANSWER,
        ),
        ("", FailureClass.WRONG_ANSWER),
    ),
    "tcp": (
        ("^cannot connect|, after ``$", FailureClass.NO_ANSWER),
        ("", FailureClass.WRONG_ANSWER),
    ),
    "snmp": (("^no answer", FailureClass.NO_ANSWER), ("", FailureClass.WRONG_ANSWER)),
    "log": (("", FailureClass.NO_ANSWER),),
    "command": (("^did not end within", FailureClass.NO_ANSWER), ("", FailureClass.WRONG_ANSWER)),
    "file": (("", FailureClass.NOT_AS_DECLARED),),
    "package": (("", FailureClass.NOT_AS_DECLARED),),
}
_ABSENT: Final = re.compile(r"\bis (closed|not running|not active|not installed)\b|does not exist|is absent")


def class_of_check(check: Mapping[str, Any]) -> FailureClass:
    """Give the class of one failed check (its JSON: kind, status, observed, expected)."""
    if check.get("status") != "failed":
        return FailureClass.UNKNOWN  # nobody could look
    if _ABSENT.search(str(check.get("expected"))):
        return FailureClass.NOT_AS_DECLARED  # it is there and should be gone
    kind = str(check.get("kind"))
    rules = _SEEN.get("http" if kind == "metric" else kind, ())
    observed = str(check.get("observed"))
    return next((failure for pattern, failure in rules if re.search(pattern, observed)), FailureClass.UNKNOWN)


def diagnose_checks(checks: Iterable[Mapping[str, Any]]) -> Diagnosis:
    """Give the class that explains most of what is red; the evidence is what that check saw."""
    found: dict[FailureClass, Mapping[str, Any]] = {}
    for check in checks:
        if check.get("status") not in CHECK_IS_NOT_RED:
            found.setdefault(class_of_check(check), check)
    for failure in _FIRST:
        if failure in found:
            check = found[failure]
            evidence = f"{check.get('id')}: {check.get('observed')}"
            return Diagnosis(failure=failure, source=Source.CHECK, evidence=evidence, who="checks")
    return Diagnosis(failure=FailureClass.UNKNOWN)
