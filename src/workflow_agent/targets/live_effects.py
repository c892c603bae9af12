"""Effects beyond files: carried out on the running target, written down before, taken back by a rollback.

The record is JSON that the plan file keeps, one entry per effect: ``{effect, state}``. What a probe finds there
already is not ours and is never taken back, unless an earlier transaction made it (``held``): then an uninstall takes
it away. ``begun`` is written before the command runs, so a crash in between leaves an entry whose probe tells whether
there is something to take back.

What belongs here: the order of probe, record and command. What does not: running a command (``live``), when a rollback
comes here (``host``).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import EffectFailedError
from workflow_agent.model.failpoint import failpoint
from workflow_agent.model.system import Effect, EffectCommand
from workflow_agent.security.marks import fill, marked_names
from workflow_agent.security.sources import how_to_give
from workflow_agent.targets.live import run_live

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from typing import TypeAlias

    from workflow_agent.targets.live import LiveResult

    #: What the plan file keeps of each effect.
    Entries: TypeAlias = tuple[Mapping[str, Any], ...]
    #: Writes the entries down before the call returns.
    Keep: TypeAlias = Callable[[Entries], Awaitable[None]]

__all__ = ["EffectState", "LiveEffects", "open_effects"]

_PAUSE_S = 0.2


class EffectState(StrEnum):
    """How far an effect came."""

    FOUND = "found"
    HELD = "held"
    KEPT = "kept"
    BEGUN = "begun"
    DONE = "done"
    UNDONE = "undone"


_OPEN = frozenset({EffectState.BEGUN, EffectState.DONE})
_OURS = _OPEN | {EffectState.HELD}


def open_effects(entries: Sequence[Mapping[str, Any]]) -> list[Effect]:
    """List the effects that are there by us, latest first."""
    return [_effect(entry["effect"]) for entry in reversed(entries) if entry["state"] in _OPEN]


class LiveEffects:
    """Effects on the target of process `pid`.

    Args:
        pid: The target's process.
        entries: The record of the transaction, as far as there is one.
        keep: Writes the record.
        earlier: What other transactions of the target recorded, the newest first.
        secrets: Take the places of their marks in what commands read. The record has the marks.
    """

    def __init__(
        self,
        pid: int,
        entries: Sequence[Mapping[str, Any]],
        keep: Keep,
        earlier: Sequence[Mapping[str, Any]] = (),
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        self._pid = pid
        self._secrets = secrets or {}
        self._earlier = earlier
        self._entries = {str(entry["effect"]["id"]): entry for entry in entries}
        self._keep = keep

    async def carry_out(self, effects: Sequence[Effect]) -> list[Mapping[str, Any]]:
        """Do what is not there yet, in the order given; gives what was done.

        Raises:
            EffectFailedError: a command failed, or its probe does not find what it should have done.
        """
        done: list[Mapping[str, Any]] = []
        for effect in effects:
            if effect.do is None:
                continue
            state = await self._do(effect, effect.do)
            done.append({"effect": effect.id, "description": effect.description, "state": state.value})
        return done

    async def _do(self, effect: Effect, command: EffectCommand) -> EffectState:
        if effect.gone and not self._made_earlier(effect.id, effect.undo):
            return EffectState.KEPT  # it was there before us, or is not there
        if await self.holds(effect):
            # Where an earlier attempt of this very transaction did it, it stays ours.
            if self._entries.get(effect.id, {}).get("state") in _OPEN:
                return await self._note(effect, EffectState.DONE)
            held = self._made_earlier(effect.id, effect.do)
            return await self._note(effect, EffectState.HELD if held else EffectState.FOUND)
        if lacking := marked_names(command.stdin) - self._secrets.keys():
            raise _lacks(effect, min(lacking))
        await self._note(effect, EffectState.BEGUN)
        failpoint("effect.begun")
        await self._run(effect, command, "carry out")
        failpoint("effect.ran")
        if not await self.holds(effect):
            raise _failure(effect, "was carried out, but it cannot be seen")
        return await self._note(effect, EffectState.DONE)

    def _made_earlier(self, name: str, command: EffectCommand | None) -> bool:
        """Tell whether what `command` makes was made by an earlier transaction, and neither undone nor taken away."""
        for entry in self._earlier:
            effect = _effect(entry["effect"])
            if effect.id == name and command in {effect.do, effect.undo} and entry["state"] != EffectState.UNDONE:
                return entry["state"] in _OURS and not effect.gone
        return False

    async def take_back(self) -> list[Effect]:
        """Undo what is there by us, latest first; gives what could not be taken back."""
        left: list[Effect] = []
        for effect in open_effects(list(self._entries.values())):
            try:
                await self._undo(effect)
            except EffectFailedError:
                left.append(effect)
        return left

    async def look_before_taking_back(self) -> None:
        """Ask every probe, so that a rollback is refused before it begins; raises EffectFailedError."""
        for effect in open_effects(list(self._entries.values())):
            try:
                await self.holds(effect)
            except EffectFailedError as error:
                error.state = "nothing was changed"
                error.hint = "start the service that it belongs to, then run the command again"
                raise

    async def do_again(self, before: Sequence[Mapping[str, Any]]) -> None:
        """Carry out again what was there by us in the record `before`: the rollback that took it back goes no further.

        What fails now stays undone: the failure that stopped the rollback is the one to report.
        """
        for effect in reversed(open_effects(before)):
            with suppress(EffectFailedError):
                await self.carry_out([effect])

    async def _undo(self, effect: Effect) -> None:
        if await self.holds(effect):
            assert effect.undo is not None  # what has `do` has `undo`
            await self._run(effect, effect.undo, "take back")
            if await self.holds(effect):
                raise _failure(effect, "was taken back, but is still there")
        failpoint("effect.undone")
        await self._note(effect, EffectState.UNDONE)

    async def holds(self, effect: Effect) -> bool:
        """Ask the probe until it tells whether the effect is there (`gone`: is not there).

        Raises:
            EffectFailedError: it does not tell in time.
        """
        probe = effect.probe
        assert probe is not None  # what has `do` has `probe`
        deadline = asyncio.get_running_loop().time() + probe.timeout_s
        while True:
            left = deadline - asyncio.get_running_loop().time()
            result = await self._call(probe, max(left, _PAUSE_S))
            if result.ok:
                return ((probe.stdout_contains or "") in result.stdout) is not effect.gone
            if left <= _PAUSE_S:
                raise _failure(effect, "cannot be told to be there or not", result)
            await asyncio.sleep(_PAUSE_S)

    async def _run(self, effect: Effect, command: EffectCommand, verb: str) -> None:
        result = await self._call(command, command.timeout_s)
        if not result.ok:
            raise _failure(effect, f"failed to {verb}", result)

    async def _call(self, command: EffectCommand, timeout_s: float) -> LiveResult:
        stdin = None if command.stdin is None else fill(command.stdin, self._secrets).encode()
        return await run_live(self._pid, command.argv, timeout_s=timeout_s, stdin=stdin)

    async def _note(self, effect: Effect, state: EffectState) -> EffectState:
        self._entries[effect.id] = {"effect": asdict(effect), "state": state.value}
        await self._keep(tuple(self._entries.values()))
        return state


def _lacks(effect: Effect, secret: str) -> EffectFailedError:
    return EffectFailedError(
        f"{effect.description}: needs the secret `{secret}`, which is not stored and was not given",
        where=effect.id,
        hint=f"give it: {how_to_give(secret)}",
        details={"effect": effect.id, "secrets": [secret]},
    )


def _failure(effect: Effect, what: str, result: LiveResult | None = None) -> EffectFailedError:
    ending = None
    if result is not None:
        code = "ran out of time" if result.timed_out else f"ended with {result.exit_code}"
        ending = ": ".join(filter(None, [code, result.last_lines()]))
    return EffectFailedError(
        f"{effect.description}: {what}", where=effect.id, cause=ending, details={"effect": effect.id}
    )


def _effect(data: Mapping[str, Any]) -> Effect:
    commands = {key: _command(data[key]) for key in ("do", "undo", "probe")}
    return Effect(**{**data, **commands})


def _command(data: Mapping[str, Any] | None) -> EffectCommand | None:
    return None if data is None else EffectCommand(**{**data, "argv": tuple(data["argv"])})
