"""Checks on a target: polls each until it holds or its time is over, through one probe program.

The program (:mod:`.probe_program`) sits in the namespaces of the target's process, so that a port that only the
target can reach is seen, and nothing is needed on the target.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import UnreachableError, ValidationError
from workflow_agent.model.system import CheckResult, CheckStatus
from workflow_agent.targets.probe_session import ProbeSession, ProgramDiedError
from workflow_agent.targets.probe_spec import describe, is_negative, validate_spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workflow_agent.model.system import Check

__all__ = ["Prober"]

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 0.5
_PAUSE_GROWTH = 1.5
_CONFIRM_PAUSE_S = 0.05
_SHORTEST_ATTEMPT_S = 1.0
_ATTEMPT_S = 5.0
_ASK_S = 10.0
_AT_ONCE = 32
_OF_PAGES = frozenset({"http", "metric"})


class Prober:
    """Looks at the target whose process is `pid` (0: this machine as we see it).

    The probe program starts with the first question and dies with the thread that started it (the kernel's
    parent-death signal belongs to a thread): ask from the main thread's event loop. A program that dies is
    started again once per question. Safe under cancellation: the question is withdrawn from the program.
    """

    def __init__(self, pid: int = 0) -> None:
        self._pid = pid
        self._program: ProbeSession | None = None
        self._starting = asyncio.Lock()
        self._slots = asyncio.Semaphore(_AT_ONCE)

    def __repr__(self) -> str:
        return f"<Prober of process {self._pid}, {'running' if self._program else 'not started'}>"

    async def check(self, checks: Sequence[Check]) -> list[CheckResult]:
        """Poll all checks at the same time, each until it holds or its `timeout_s` is over.

        The first look is at once; each check gets at least one. What states an absence must hold twice,
        50 ms apart. Checks of one page are looked at together: the server makes it once. A check that cannot be carried
        out gives an error result, never an exception.

        Returns:
            Results in the order asked.
        """
        together: dict[tuple[object, ...], list[int]] = {}
        for number, check in enumerate(checks):
            together.setdefault(_page(check) or (number,), []).append(number)
        results: dict[int, CheckResult] = {}
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._poll([checks[number] for number in item])) for item in together.values()]
        for numbers, task in zip(together.values(), tasks, strict=True):
            results |= zip(numbers, task.result(), strict=True)
        return [results[number] for number in range(len(checks))]

    async def snapshot(self) -> dict[str, Any]:
        """List what runs and listens on the target, for a comparison of before and after.

        Returns:
            ``processes``: pid (as the target numbers it), exe, user, started (clock ticks after boot; pid and
            started identify a process), name · ``listeners``: protocol, address, port, pid (or None). Kernel
            threads, zombies, containers' processes and the probe program itself are left out.

        Raises:
            UnreachableError: The target cannot be entered or read.
        """
        snapshot: dict[str, Any] = await self._ask_data("snapshot")
        return snapshot

    async def running(self, known: Sequence[Sequence[Any]] | None = None) -> dict[str, Any]:
        """Look at modules, settings of the kernel and listeners; see :func:`running_state.running_state`.

        Raises:
            UnreachableError: The target cannot be entered or read.
        """
        state: dict[str, Any] = await self._ask_data("running", known=known)
        return state

    async def hostname(self) -> str:
        """Give the host name of the target's UTS namespace; raises UnreachableError."""
        return str(await self._ask_data("hostname"))

    async def close(self) -> None:
        """End the program and what it runs; asking again starts it again."""
        program, self._program = self._program, None
        if program is not None:
            await program.close(UnreachableError("the prober was closed while it looked"))

    async def _ask_data(self, what: str, **more: Any) -> Any:  # Any: JSON
        reply = await self._ask({"ask": what, "limit_s": _ASK_S, **more})
        if "data" not in reply:
            raise UnreachableError(
                "the target cannot be looked at", where=f"process {self._pid}", cause=reply["observed"]
            )
        return reply["data"]

    async def _poll(self, checks: Sequence[Check]) -> list[CheckResult]:
        """Poll checks that are looked at together, for as long as the first says."""
        started = time.monotonic()
        deadline = started + checks[0].timeout_s
        attempts = [0] * len(checks)
        results: dict[int, CheckResult] = {}
        pause = _FIRST_PAUSE_S
        while True:
            open_ones = [number for number in range(len(checks)) if number not in results]
            replies = await self._look(checks, open_ones, attempts, deadline)
            unsure = [
                number for number, reply in replies.items() if reply["holds"] and is_negative(checks[number].spec)
            ]
            if unsure:
                await asyncio.sleep(_CONFIRM_PAUSE_S)
                replies |= await self._look(checks, unsure, attempts, deadline)
            left = deadline - time.monotonic()
            for number, reply in replies.items():
                if reply["holds"] or "error" in reply or left <= 0:
                    results[number] = _result(checks[number], reply, attempts[number], time.monotonic() - started)
            if len(results) == len(checks):
                return [results[number] for number in range(len(checks))]
            await asyncio.sleep(min(pause, left))
            pause = min(pause * _PAUSE_GROWTH, _LONGEST_PAUSE_S)

    async def _look(
        self, checks: Sequence[Check], numbers: Sequence[int], attempts: list[int], deadline: float
    ) -> dict[int, dict[str, Any]]:
        """Make one attempt at the checks of these numbers; failures to look become replies with `error`."""
        replies: dict[int, dict[str, Any]] = {}
        asked: dict[int, dict[str, Any]] = {}
        for number in numbers:
            attempts[number] += 1
            spec = _plain(checks[number].spec)
            try:
                validate_spec(checks[number].kind, spec)
                asked[number] = {"kind": checks[number].kind, "spec": spec}
            except ValidationError as error:
                replies[number] = _unseen(error)
        if asked:
            limit_s = _attempt_limit(checks[0], deadline - time.monotonic())
            try:
                reply = await self._ask({"ask": "checks", "checks": list(asked.values()), "limit_s": limit_s})
            except UnreachableError as error:
                reply = _unseen(error)
            replies |= zip(asked, reply.get("data") or [reply] * len(asked), strict=True)
        return replies

    async def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        async with self._slots:
            try:
                return await (await self._running()).ask(request)
            except ProgramDiedError:
                pass
            try:
                return await (await self._running()).ask(request)
            except ProgramDiedError as error:
                raise UnreachableError("the probe program died twice", cause=str(error)) from error

    async def _running(self) -> ProbeSession:
        async with self._starting:
            if self._program is not None and self._program.dead:
                program, self._program = self._program, None
                await program.close(ProgramDiedError("it was ended"))
            if self._program is None:
                self._program = await ProbeSession.start(self._pid)
            return self._program


def _page(check: Check) -> tuple[object, ...] | None:
    """Tell what checks of the same page, of one kind and with the same time, have in common."""
    return (check.kind, str(check.spec.get("url")), check.timeout_s) if check.kind in _OF_PAGES else None


def _unseen(error: ValidationError | UnreachableError) -> dict[str, Any]:
    text = ": ".join(filter(None, [error.message, error.cause]))
    return {"holds": False, "observed": text, "error": text}


def _attempt_limit(check: Check, left: float) -> float:
    """Bound one attempt: a hanging server must not eat the whole time, a slow one must be able to answer."""
    limit = left if check.kind == "command" else min(left, max(_ATTEMPT_S, left / 2))
    return max(_SHORTEST_ATTEMPT_S, limit)


def _plain(value: Any) -> Any:  # Any: JSON values, perhaps in read-only mappings and tuples
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _result(check: Check, reply: Mapping[str, Any], attempts: int, duration_s: float) -> CheckResult:
    status = CheckStatus.PASSED if reply["holds"] else CheckStatus.FAILED
    if not reply.get("applies", True):
        status = CheckStatus.NOT_APPLICABLE
    return CheckResult(
        id=check.id,
        kind=check.kind,
        status=CheckStatus.ERROR if "error" in reply else status,
        observed=str(reply["observed"]),
        expected=describe(check.kind, _plain(check.spec)),
        description=check.description,
        duration_s=round(duration_s, 6),
        attempts=attempts,
    )
