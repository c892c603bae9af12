"""What settles a crash is killed itself, at every failure point that it passes, and settled again: never a mixture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from workflow_agent.model import failpoint
from workflow_agent.model.errors import PrunedError
from workflow_agent.model.system import Effect, EffectCommand
from workflow_agent.targets.transaction import TransactionState
from workflow_agent.testing.lab import diff

if TYPE_CHECKING:
    from tests.integration.transactions.crash_scene import KILLED, OPERATIONS, killed_in_turn, look, ready

    from workflow_agent.testing.transactions import Trial
else:
    from crash_scene import KILLED, OPERATIONS, killed_in_turn, look, ready

#: Failure points that a settle passes, by what it settles.
AFTER_A_COMMIT_OR_ROLLBACK = (
    "transaction.plan-written",
    "transaction.plan-renamed",
    "transaction.sync",
    "transaction.undo.operation",
    "transaction.undone",
)
AFTER_A_PRUNE = ("transaction.prune.folder",)
AFTER_EFFECTS = ("effect.undone",)
MET = {*AFTER_A_COMMIT_OR_ROLLBACK, *AFTER_A_PRUNE, *AFTER_EFFECTS}
#: Those that it does not pass: a settle goes back only, does nothing, and gives nothing up anew.
NOT_MET = {
    "transaction.commit.operation",
    "transaction.committed",
    "transaction.pruned",
    "effect.begun",
    "effect.ran",
    "data.copying",
    "data.copied",
    "transaction.standing",  # these transactions have no services; `tests/system/test_resume_and_cancel.py` has some
}
#: A settle touches the target alone: these are about our own database and its workflows.
OF_OTHERS = ("store.", "engine.")
_MOST = 100


def test_every_failure_point_is_met_or_known_not_to_be() -> None:
    of_targets = {name for name in failpoint.known() if not name.startswith(OF_OTHERS)}
    assert of_targets == MET | NOT_MET
    assert not MET & NOT_MET


@pytest.mark.parametrize("begun", [("commit", "transaction.committed"), ("rollback", "transaction.undo.operation:6")])
async def test_settling_a_commit_or_a_rollback_is_killed_everywhere(trial: Trial, begun: tuple[str, str]) -> None:
    before, _, transaction = await ready(trial)
    for point in AFTER_A_COMMIT_OR_ROLLBACK:
        passed = 0
        for n in range(1, _MOST):
            if begun[0] == "rollback":
                await trial.target.acquire(trial.run_id)
                await trial.target.commit(transaction)
            codes = await killed_in_turn(trial, transaction, [begun, ("settle", f"{point}:{n}"), ("settle", None)])
            assert (codes[0], codes[2]) == (KILLED, 0), (point, n)
            assert diff(before, look(trial)) == [], (point, n)
            assert trial.target._folders.read(transaction).state is TransactionState.ROLLED_BACK, (point, n)
            if codes[1] == 0:
                break
            passed = n
        assert passed >= (OPERATIONS if point == "transaction.undo.operation" else 1), point


async def test_settling_a_prune_is_killed_everywhere(trial: Trial) -> None:
    _, after, transaction = await ready(trial)
    (point,) = AFTER_A_PRUNE
    for n in range(1, _MOST):
        await trial.target.acquire(trial.run_id)
        await trial.target.commit(transaction)
        folder = trial.lab.root / ".workflow-agent/tx" / transaction
        steps = [("prune", "transaction.pruned"), ("settle", f"{point}:{n}"), ("settle", None)]
        codes = await killed_in_turn(trial, transaction, steps)
        assert (codes[0], codes[2]) == (KILLED, 0), n
        assert diff(after, look(trial)) == [], n
        assert {path.name for path in folder.iterdir()} == {"plan.json", "contents.json"}, n
        await trial.target.acquire(trial.run_id)
        with pytest.raises(PrunedError):
            await trial.target.rollback(transaction)
        trial.shell("rm -rf /srv/crash")
        if codes[1] == 0:
            assert n > 1, f"{point} is never passed"
            return
        assert codes[1] == KILLED
        _, after, transaction = await ready(trial)
    raise AssertionError(f"{point} is passed without an end")


async def test_settling_effects_beyond_files_is_killed_everywhere(trial: Trial) -> None:
    before, _, transaction = await ready(trial)
    (point,) = AFTER_EFFECTS
    roles = ["/srv/role-1", "/srv/role-2"]
    for n in range(1, _MOST):
        await trial.target.acquire(trial.run_id)
        await trial.target.commit(transaction)
        await trial.target.configure(transaction, [_role(path) for path in roles])
        assert trial.shell(f"cat {' '.join(roles)}") == "here\nhere\n"
        steps = [("rollback", "transaction.plan-renamed:1"), ("settle", f"{point}:{n}"), ("settle", None)]
        codes = await killed_in_turn(trial, transaction, steps)
        assert (codes[0], codes[2]) == (KILLED, 0), n
        assert diff(before, look(trial)) == [], n
        assert not any((trial.lab.root / path[1:]).exists() for path in roles), n
        if codes[1] == 0:
            assert n == len(roles) + 1
            return
        assert codes[1] == KILLED


@pytest.mark.parametrize("point", sorted(NOT_MET))
async def test_what_a_settle_does_not_pass_is_not_passed(trial: Trial, point: str) -> None:
    before, _, transaction = await ready(trial)
    steps = [("commit", "transaction.committed"), ("settle", point)]
    assert await killed_in_turn(trial, transaction, steps) == [KILLED, 0]
    assert diff(before, look(trial)) == []


def _role(path: str) -> Effect:
    """A file with a line, as a role in a database would be."""
    return Effect(
        id=path.rpartition("/")[2],
        kind="declared",
        description=f"A line in {path}.",
        do=EffectCommand(argv=("sh", "-euc", f"echo here > {path}")),
        undo=EffectCommand(argv=("rm", path)),
        probe=EffectCommand(argv=("sh", "-c", f"cat {path} || true"), stdout_contains="here"),
    )
