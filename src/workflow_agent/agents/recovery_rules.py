"""What kind of failure is it, and what is to be done about it? One table of patterns, one of decisions.

Every pattern was taken from what programs really said; the samples are ``tests/examples/failures``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from workflow_agent.agents.failure_classes import Diagnosis, FailureClass, Source, diagnose_checks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "RULES",
    "Bounds",
    "Decision",
    "Diagnosis",
    "FailureClass",
    "Sign",
    "Source",
    "decide",
    "diagnose",
    "retry_pause",
]


class Decision(StrEnum):
    """What is to be done: before the commit an attempt is repeatable, because nothing of the target changed."""

    RETRY = "retry"
    WAIT = "wait"
    ROLL_BACK = "roll-back"
    STOP = "stop"


class Sign(NamedTuple):
    """A sign of a class: the code of an error, a pattern in what was said, or an exit code."""

    failure: FailureClass
    source: Source
    pattern: str
    who: str


_LOCK, _NETWORK, _DISK, _SIGNATURE = (
    FailureClass.LOCK,
    FailureClass.NETWORK,
    FailureClass.DISK,
    FailureClass.SIGNATURE,
)
_DEPENDENCY, _PORT, _PERMISSION, _TIME_OUT = (
    FailureClass.DEPENDENCY,
    FailureClass.PORT,
    FailureClass.PERMISSION,
    FailureClass.TIME_OUT,
)
#: The first rule that matches says the class; what leads to other failures stands before them.
RULES = (
    Sign(_LOCK, Source.ERROR_CODE, "conflict.target-locked", "a package lock of the target"),
    Sign(_TIME_OUT, Source.ERROR_CODE, "step-timeout", "the script's own time"),
    Sign(_PERMISSION, Source.ERROR_CODE, "permission", "workflow-agent"),
    Sign(_DISK, Source.OUTPUT, r"No space left on device|\bENOSPC\b|Disk quota exceeded", "the kernel"),
    Sign(_DISK, Source.OUTPUT, r"You don't have enough free space in", "apt"),
    Sign(_DISK, Source.OUTPUT, r"the script staged \d+ MiB and \d+ entries", "the capture's quota"),
    Sign(_SIGNATURE, Source.OUTPUT, r"\b(NO_PUBKEY|EXPKEYSIG|EXPSIG|BADSIG|REVKEYSIG|KEYEXPIRED) ?\w*", "gpgv"),
    Sign(_SIGNATURE, Source.OUTPUT, r"The repository '[^']*' is not signed", "apt"),
    Sign(_SIGNATURE, Source.OUTPUT, r"Hash Sum mismatch|File has unexpected size", "apt"),
    Sign(_SIGNATURE, Source.OUTPUT, r"Can't check signature|BAD signature", "gpg"),
    Sign(_SIGNATURE, Source.OUTPUT, r"computed checksums? did NOT match", "sha256sum"),
    Sign(_SIGNATURE, Source.OUTPUT, r"SSL certificate problem|certificate verif\w+ failed|CERTIFICATE_VERIFY", "TLS"),
    Sign(_LOCK, Source.OUTPUT, r"Could not get lock \S+|is another process using it", "apt"),
    Sign(_LOCK, Source.OUTPUT, r"lock was locked by another process", "dpkg"),
    Sign(_LOCK, Source.OUTPUT, r"cannot lock /etc/\w+; try again later", "useradd"),
    Sign(_LOCK, Source.OUTPUT, r"failed to get lock", "flock"),
    Sign(_LOCK, Source.OUTPUT, r"database (table )?is locked", "SQLite, debconf"),
    Sign(_NETWORK, Source.OUTPUT, r"Temporary failure resolving|Could not resolve|Name or service not known", "DNS"),
    Sign(
        _NETWORK, Source.OUTPUT, r"Could not connect to|Cannot initiate the connection to|Failed to connect to", "apt"
    ),
    Sign(_NETWORK, Source.OUTPUT, r"Connection (refused|reset by peer|timed out)|Network is unreachable", "the kernel"),
    Sign(_NETWORK, Source.OUTPUT, r"No route to host|curl: \((5|6|7|28|35|52|55|56)\)", "curl"),
    Sign(_NETWORK, Source.OUTPUT, r"E: Failed to fetch", "apt"),
    Sign(_PORT, Source.OUTPUT, r"(?i)\baddress already in use", "the kernel"),
    Sign(_DEPENDENCY, Source.OUTPUT, r"Unable to locate package \S+|no such package: \S+", "apt"),
    Sign(_DEPENDENCY, Source.OUTPUT, r"has no installation candidate|Version '[^']*' for '[^']*' was not found", "apt"),
    Sign(_DEPENDENCY, Source.OUTPUT, r"unmet dependencies|held broken packages|dependency problems", "apt, dpkg"),
    Sign(_DEPENDENCY, Source.OUTPUT, r"error while loading shared libraries: \S+", "ld.so"),
    Sign(_DEPENDENCY, Source.OUTPUT, r"No module named \S+|Can't locate \S+ in @INC", "Python, Perl"),
    Sign(_DEPENDENCY, Source.OUTPUT, r"\S+: command not found", "bash"),
    Sign(_PERMISSION, Source.OUTPUT, r"Permission denied|Operation not permitted|are you root\?", "the kernel"),
    Sign(_PERMISSION, Source.OUTPUT, r"Read-only file system", "the kernel"),
    Sign(
        FailureClass.CONFIGURATION,
        Source.OUTPUT,
        r"FATAL CONFIG FILE ERROR|configuration file \S+ test failed|unknown directive|unknown (long )?flag"
        r"|[Ee]rror loading config|configuration file \S+ contains errors|[Cc]onfiguration error|Bad configuration",
        "programs that refuse their configuration",
    ),
    Sign(
        FailureClass.NOT_RUNNING,
        Source.OUTPUT,
        r"Job for \S+ failed|Unit \S+ is masked|does not run as it should|cannot be started",
        "systemctl",
    ),
    Sign(_TIME_OUT, Source.EXIT_CODE, "124", "timeout"),
    Sign(_PERMISSION, Source.EXIT_CODE, "126", "bash"),
    Sign(_DEPENDENCY, Source.EXIT_CODE, "127", "bash"),
)
_CHECKS = "step-failed.checks"
_BEFORE = {FailureClass.LOCK: Decision.WAIT, FailureClass.NETWORK: Decision.RETRY}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How often and how long a step before the commit is tried again (``[recovery]``).

    Pauses grow from `first_pause_s` by `pause_factor` up to `longest_pause_s`; for a lock they are `lock_pause_s`.
    """

    attempts: int = 3
    first_pause_s: float = 2.0
    pause_factor: float = 3.0
    longest_pause_s: float = 30.0
    lock_attempts: int = 3
    lock_pause_s: float = 1.0


def diagnose(error: Mapping[str, Any]) -> Diagnosis:
    """Recognise the class of an error, given as its JSON.

    Looked at are its code, its exit code (``details.exit_code``) and what was said: ``details.tail`` and
    ``details.trouble``, its cause and its message. Failed checks are told by what they saw: words of the programs that
    they asked would mislead. A class that was told before stays.
    """
    details = error.get("details") or {}
    told = _told(details.get("failure"))
    if told is not None:
        return told
    if error.get("code") == _CHECKS:
        return diagnose_checks(details.get("checks") or ())
    lines = list(_lines(error, details))
    for rule in RULES:
        evidence = _sign(rule, error, details, lines)
        if evidence is not None:
            return Diagnosis(failure=rule.failure, source=rule.source, evidence=evidence, who=rule.who)
    return Diagnosis(failure=FailureClass.UNKNOWN)


def _told(failure: Any) -> Diagnosis | None:  # Any: a JSON value
    """Read the class that an error carries."""
    name = failure.get("class") if isinstance(failure, dict) else None
    known = next((kind for kind in FailureClass if kind == name), FailureClass.UNKNOWN)
    if known is FailureClass.UNKNOWN:
        return None
    source = next((kind for kind in Source if kind == failure.get("source")), None)
    return Diagnosis(failure=known, source=source, evidence=str(failure.get("evidence") or ""))


def _lines(error: Mapping[str, Any], details: Mapping[str, Any]) -> Iterator[str]:
    """Give what was said, the last words first."""
    tail = details.get("tail")
    if isinstance(tail, list):
        yield from reversed([str(line) for line in tail])
    for text in (details.get("trouble"), error.get("cause"), error.get("message")):
        if text:
            yield from str(text).splitlines()


def _sign(rule: Sign, error: Mapping[str, Any], details: Mapping[str, Any], lines: list[str]) -> str | None:
    if rule.source is Source.ERROR_CODE:
        return str(error.get("cause") or error.get("message") or "") if error.get("code") == rule.pattern else None
    if rule.source is Source.EXIT_CODE:
        return f"exit code {rule.pattern}" if str(details.get("exit_code")) == rule.pattern else None
    pattern = re.compile(rule.pattern)
    return next((line.strip() for line in lines if pattern.search(line)), None)


def decide(failure: FailureClass, *, committed: bool) -> Decision:
    """Say what is to be done about a failure. Once a commit has begun, everything is taken back."""
    return Decision.ROLL_BACK if committed else _BEFORE.get(failure, Decision.STOP)


def retry_pause(failure: FailureClass, attempt: int, bounds: Bounds) -> float | None:
    """Give the pause in seconds after attempt number `attempt` (from 1); None: there is no other attempt."""
    decision = decide(failure, committed=False)
    if decision is Decision.WAIT:
        return bounds.lock_pause_s if attempt < bounds.lock_attempts else None
    if decision is Decision.RETRY and attempt < bounds.attempts:
        return min(bounds.first_pause_s * bounds.pause_factor ** (attempt - 1), bounds.longest_pause_s)
    return None
