"""What is known about a service and what became of it. Plain values; see ``services``."""

from __future__ import annotations

import re
from enum import StrEnum

from workflow_agent.model.errors import ParameterError
from workflow_agent.model.records import dataclass

__all__ = ["ServiceKind", "ServiceState", "StartOutcome", "StopNeed", "StopOutcome", "checked_name"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9:_.@\\-]{0,200}")


class ServiceKind(StrEnum):
    """What keeps a service. `absent`: nothing does, whether or not a process of it runs."""

    SYSTEMD = "systemd"
    SYSVINIT = "sysvinit"
    SUPERVISED = "supervised"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """A service at one moment.

    `enabled` and `masked` are None where the notion does not exist (static units, sysvinit's masking,
    supervised services). `main_pids` are ids as this process sees them.
    """

    name: str
    kind: ServiceKind
    active: bool
    enabled: bool | None = None
    masked: bool | None = None
    main_pids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOutcome:
    """How a service was started.

    `reason` says why another kind than the target's own was taken, `created_directories` which folders were
    made for it outside of any transaction (only supervised services).
    """

    kind: ServiceKind
    was_active: bool
    main_pids: tuple[int, ...]
    reason: str | None = None
    created_directories: tuple[str, ...] = ()


class StopNeed(StrEnum):
    """What it took to stop a service: nothing ran, its init sufficed, we had to ask, we had to kill."""

    NOTHING = "nothing"
    INIT = "init"
    TERM = "term"
    KILL = "kill"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopOutcome:
    """How a service was stopped. `ended` are the processes that ran before and are proven gone."""

    kind: ServiceKind
    needed: StopNeed
    ended: tuple[int, ...] = ()


def checked_name(name: str) -> str:
    """Let only names pass that can be neither an option, nor a path, nor more than one word.

    Raises:
        ParameterError: It is none.
    """
    if not _NAME.fullmatch(name):
        raise ParameterError(f"`{name[:80]!r}` is no name of a service", details={"name": name[:200]})
    return name
