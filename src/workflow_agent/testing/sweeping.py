"""Crashing a workflow at every record of its journal: what comes of it must not depend on that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import OutcomeUnknownError
from workflow_agent.model.identity import new_run_id
from workflow_agent.model.records import dataclass
from workflow_agent.model.status import StepStatus
from workflow_agent.testing.cases import Run, WorkflowCase
from workflow_agent.testing.memory import MemoryJournal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from workflow_agent.model.event import Event

__all__ = ["CrashingJournal", "Sweep", "sweep"]


class CrashingJournal(MemoryJournal):
    """A journal whose process dies at one of its transactions; after that nothing is written any more.

    Args:
        at: Number of the transaction, from 1; 0 for never.
        is_kept: Whether that transaction is on disk when the process dies.
    """

    def __init__(self, at: int = 0, *, is_kept: bool = False) -> None:
        super().__init__()
        self._at = at
        self._is_kept = is_kept
        #: Transactions so far.
        self.appends = 0

    async def append(self, run_id: str, expected_head: int, events: Sequence[Event]) -> int:
        """Append, or die; raises OutcomeUnknownError then and ever after."""
        self.appends += 1
        if self._at and self.appends >= self._at:
            if self.appends == self._at and self._is_kept:
                await super().append(run_id, expected_head, events)
            raise OutcomeUnknownError("the process died here")
        return await super().append(run_id, expected_head, events)

    def restart(self) -> None:
        """Let the next process write again."""
        self._at = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What a sweep did: how often the workflow was crashed, and how it ended without a crash."""

    crashes: int
    run: Run


def sweep(
    workflow: Any,
    input: Mapping[str, Any] | None = None,  # noqa: A002  # as it is called everywhere
    *,
    secrets: Mapping[str, str] | None = None,
    signals: Iterable[tuple[str, Any]] = (),
    effects: Callable[[], Any] | None = None,
    reset: Callable[[], object] | None = None,
) -> Sweep:
    """Run a workflow, then once for each crash: before and after each record of its journal reaches the disk.

    Each time another process takes the run up. It must end with the status, the result and the state that it has
    without a crash, and the world must look the same. A step of which an effect must not repeat is *unknown* after a
    crash in it; what becomes of such a run is not compared.

    Args:
        workflow: A workflow in any of its forms.
        input: Its input.
        secrets: Values by name.
        signals: As :meth:`WorkflowCase.run` takes them.
        effects: Gives what the workflow did to the world, to be compared. A step may be asked twice for one effect:
            ``ctx.idempotency_key`` tells that it is the same.
        reset: Makes the world as it was before the workflow ran.

    Raises:
        AssertionError: something depends on the crash; the message says on which one.
    """
    told = [*signals]

    def again(case: WorkflowCase, run_id: str) -> Run:
        return case.run(workflow, input, secrets=secrets, signals=told, run_id=run_id)

    def once(at: int, *, is_kept: bool) -> tuple[Run, Any, int]:
        if reset is not None:
            reset()
        journal, run_id = CrashingJournal(at, is_kept=is_kept), new_run_id()
        with WorkflowCase(journal=journal) as case:
            try:
                run = again(case, run_id)
            except OutcomeUnknownError:
                journal.restart()
                run = again(case, run_id)
        return run, effects() if effects is not None else None, journal.appends

    whole, world, appends = once(0, is_kept=False)
    for at in range(1, appends + 1):
        for is_kept in (False, True):
            run, seen, _ = once(at, is_kept=is_kept)
            _compare(whole, run, f"a crash {'after' if is_kept else 'before'} record {at} of {appends}")
            if seen != world and StepStatus.UNKNOWN not in run.steps.values():
                place = f"a crash {'after' if is_kept else 'before'} record {at} of {appends}"
                raise AssertionError(f"with {place} the world is {seen!r}, without one {world!r}")
    return Sweep(crashes=2 * appends, run=whole)


def _compare(whole: Run, run: Run, place: str) -> None:
    if StepStatus.UNKNOWN in run.steps.values():
        return
    for name, wanted, found in (
        ("status", whole.status, run.status),
        ("error", str(whole.error), str(run.error)),
        ("result", whole.error or whole.result, run.error or run.result),
        ("state", whole.state, run.state),
    ):
        if wanted != found and not (name == "result" and whole.error is not None):
            raise AssertionError(f"with {place} the {name} is {found!r}, without one {wanted!r}")
