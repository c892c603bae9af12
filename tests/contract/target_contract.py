"""What every target promises. Subclass `TargetContract`; give a `target` fixture and access to its files."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.errors import (
    NotFoundError,
    PathConflictError,
    PrunedError,
    ScriptFailedError,
    StepTimeoutError,
    TargetLockedError,
    TransactionError,
)
from workflow_agent.model.identity import new_run_id
from workflow_agent.model.system import ChangeAction, Check, CheckStatus, FileWrite, Provenance, Script

if TYPE_CHECKING:
    from workflow_agent.model.ports import Target
    from workflow_agent.model.system import ChangeSet

__all__ = ["TargetContract", "script"]

PATH = "/etc/contract.conf"


def script(text: str = "echo hello", content: str = "new\n") -> Script:
    """Make a script that writes one file."""
    return Script(
        text=text + "\n",
        hash="0" * 64,
        provenance=Provenance(integration="x", action="install", version="1", template="t", template_hash="0"),
        files=(FileWrite(path=PATH, format="text", content=content),),
    )


class TargetContract:
    """The promises."""

    #: Long enough for a script of one line.
    patience_s = 60.0

    def read(self, path: str) -> str | None:
        """Read a file of the target; None when there is none."""
        raise NotImplementedError

    def write(self, path: str, text: str) -> None:
        """Write a file of the target."""
        raise NotImplementedError

    def remove(self, path: str) -> None:
        """Remove a file of the target."""
        raise NotImplementedError

    async def prepared(self, target: Target, run_id: str, content: str = "new\n") -> tuple[str, ChangeSet, list[str]]:
        lines: list[str] = []
        await target.acquire(run_id)
        transaction, change_set = await target.prepare(
            run_id, script(content=content), timeout_s=self.patience_s, on_output=lines.append
        )
        return transaction, change_set, lines

    async def committed(self, target: Target, run_id: str, content: str = "new\n") -> str:
        transaction, _, _ = await self.prepared(target, run_id, content)
        await target.commit(transaction)
        return transaction

    async def test_facts_name_the_target(self, target: Target) -> None:
        facts = await target.facts()

        assert facts.target == target.name
        assert facts.os_id == "debian"

    async def test_one_run_holds_it_and_the_refusal_names_that_run(self, target: Target) -> None:
        first, second = new_run_id(), new_run_id()
        await target.acquire(first)
        await target.acquire(first)

        with pytest.raises(TargetLockedError, match=first) as refused:
            await target.acquire(second, wait_s=0.05)
        await target.release(second)
        with pytest.raises(TargetLockedError):
            await target.acquire(second)
        await target.release(first)
        await target.release(first)
        await target.acquire(second)
        await target.release(second)

        assert refused.value.details["run_id"] == first

    async def test_a_waiting_run_gets_it_when_it_is_given_back(self, target: Target) -> None:
        first, second = new_run_id(), new_run_id()
        await target.acquire(first)
        waiting = asyncio.create_task(target.acquire(second, wait_s=30))
        await asyncio.sleep(0)

        await target.release(first)
        await waiting

        with pytest.raises(TargetLockedError, match=second):
            await target.acquire(first)
        await target.release(second)

    async def test_preparing_shows_changes_and_output_and_changes_nothing(self, target: Target) -> None:
        run_id = new_run_id()
        transaction, change_set, lines = await self.prepared(target, run_id)

        assert transaction.startswith(run_id)
        assert (PATH, ChangeAction.CREATED) in [(change.path, change.action) for change in change_set.changes]
        assert lines == ["hello"]
        assert self.read(PATH) is None
        await target.discard(transaction)
        await target.release(run_id)

    async def test_commit_rollback_and_commit_again_are_exact(self, target: Target) -> None:
        run_id = new_run_id()
        self.write(PATH, "before\n")
        transaction = await self.committed(target, run_id)
        assert self.read(PATH) == "new\n"

        undone = await target.rollback(transaction)
        assert (self.read(PATH), undone["was"], undone["left"], undone["exact"]) == ("before\n", "committed", [], True)
        figures = await target.commit(transaction)
        assert (self.read(PATH), figures["operations"] > 0) == ("new\n", True)
        await target.rollback(transaction)

        assert self.read(PATH) == "before\n"
        await target.release(run_id)

    async def test_rolling_back_twice_says_that_it_was_done(self, target: Target) -> None:
        run_id = new_run_id()
        transaction = await self.committed(target, run_id)
        await target.rollback(transaction)

        again = await target.rollback(transaction)

        assert again["was"] == "rolled-back"
        assert self.read(PATH) is None
        await target.release(run_id)

    async def test_looking_at_a_rollback_changes_nothing(self, target: Target) -> None:
        run_id = new_run_id()
        transaction = await self.committed(target, run_id)

        plan = await target.rollback(transaction, plan_only=True)

        assert (plan["was"], plan["removed"]) == ("committed", 1)
        assert self.read(PATH) == "new\n"
        await target.rollback(transaction)
        await target.release(run_id)

    async def test_a_committed_transaction_is_not_committed_again_nor_discarded(self, target: Target) -> None:
        run_id = new_run_id()
        transaction = await self.committed(target, run_id)

        with pytest.raises(TransactionError, match="committed"):
            await target.commit(transaction)
        await target.discard(transaction)

        assert (await target.rollback(transaction))["was"] == "committed"
        await target.release(run_id)

    async def test_rolling_a_capture_back_forgets_it(self, target: Target) -> None:
        run_id = new_run_id()
        transaction, _, _ = await self.prepared(target, run_id)

        assert (await target.rollback(transaction))["was"] == "captured"

        with pytest.raises(NotFoundError):
            await target.commit(transaction)
        await target.discard(transaction)
        await target.release(run_id)

    async def test_what_it_does_not_hold_is_said(self, target: Target) -> None:
        run_id = new_run_id()
        await target.acquire(run_id)

        for ask in (target.commit, target.rollback, target.missing_paths, target.drift):
            with pytest.raises(NotFoundError):
                await ask(f"{run_id}.9")
        await target.discard(f"{run_id}.9")
        await target.release(run_id)

    async def test_a_failed_script_leaves_nothing_and_tells_its_last_words(self, target: Target) -> None:
        run_id = new_run_id()
        await target.acquire(run_id)
        lines: list[str] = []

        with pytest.raises(ScriptFailedError) as failed:
            await target.prepare(
                run_id, script("echo oh no\nexit 3"), timeout_s=self.patience_s, on_output=lines.append
            )

        assert (failed.value.details["exit_code"], failed.value.details["tail"]) == (3, ["oh no"])
        assert (failed.value.cause, lines) == ("oh no", ["oh no"])
        assert self.read(PATH) is None
        await target.release(run_id)

    async def test_a_script_out_of_time_leaves_nothing(self, target: Target) -> None:
        run_id = new_run_id()
        await target.acquire(run_id)

        with pytest.raises(StepTimeoutError):
            await target.prepare(run_id, script("echo a\nsleep 300"), timeout_s=1.0, on_output=lambda _: None)

        assert self.read(PATH) is None
        transaction = await self.committed(target, run_id)
        await target.rollback(transaction)
        await target.release(run_id)

    async def test_a_cancelled_script_leaves_nothing(self, target: Target) -> None:
        run_id = new_run_id()
        await target.acquire(run_id)
        begun = asyncio.Event()
        task = asyncio.create_task(
            target.prepare(
                run_id, script("echo a\nsleep 300"), timeout_s=self.patience_s, on_output=lambda _: begun.set()
            )
        )
        await asyncio.wait_for(begun.wait(), self.patience_s)

        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert self.read(PATH) is None
        transaction = await self.committed(target, run_id)
        await target.rollback(transaction)
        await target.release(run_id)

    async def test_a_file_that_somebody_changed_is_a_conflict_by_name(self, target: Target) -> None:
        run_id = new_run_id()
        transaction, _, _ = await self.prepared(target, run_id)
        self.write(PATH, "somebody else's\n")

        with pytest.raises(PathConflictError, match=re.escape(PATH)):
            await target.commit(transaction)
        self.remove(PATH)
        await target.discard(transaction)
        transaction = await self.committed(target, run_id)
        self.write(PATH, "somebody else's\n")
        for plan_only in (True, False):
            with pytest.raises(PathConflictError, match=re.escape(PATH)):
                await target.rollback(transaction, plan_only=plan_only)

        assert self.read(PATH) == "somebody else's\n"
        await target.release(run_id)

    async def test_missing_and_replaced_paths_are_listed(self, target: Target) -> None:
        run_id = new_run_id()
        transaction = await self.committed(target, run_id)
        assert await target.missing_paths(transaction) == []

        self.remove(PATH)

        assert await target.missing_paths(transaction) == [PATH]
        await target.release(run_id)

    async def test_drift_is_told_with_both_sides(self, target: Target) -> None:
        run_id = new_run_id()
        transaction = await self.committed(target, run_id)
        assert await target.drift(transaction) == []

        self.write(PATH, "somebody else's\n")
        modified = await target.drift(transaction)
        self.remove(PATH)
        missing = await target.drift(transaction)

        assert [(item["path"], item["state"]) for item in (*modified, *missing)] == [
            (PATH, "modified"),
            (PATH, "missing"),
        ]
        keys = {"path", "state", "aspects", "expected", "observed", "diff"}
        assert all(item.keys() == keys for item in (*modified, *missing))
        assert await target.drift(transaction, data=[PATH.rpartition("/")[0]]) == []
        await target.release(run_id)

    async def test_a_plan_may_come_after_others_that_stand_now(self, target: Target) -> None:
        run_id = new_run_id()
        first = await self.committed(target, run_id)
        second = await self.committed(target, run_id, "newer\n")
        assert {first, second} <= set(await target.kept_transactions())

        with pytest.raises(PathConflictError, match=re.escape(PATH)):
            await target.rollback(first, plan_only=True)
        plans = [await target.rollback(first, plan_only=True, after=[second])]
        plans.append(await target.rollback(second, plan_only=True, after=[]))

        assert [plan["was"] for plan in plans] == ["committed", "committed"]
        assert self.read(PATH) == "newer\n"
        for transaction in (second, first):
            await target.rollback(transaction)
        assert self.read(PATH) is None
        await target.release(run_id)

    async def test_what_is_not_as_before_a_transaction_is_told_whatever_became_of_it(self, target: Target) -> None:
        run_id = new_run_id()
        first = await self.committed(target, run_id)
        assert [(one["path"], one["state"]) for one in await target.compare(first)] == [(PATH, "left")]
        second = await self.committed(target, run_id, "newer\n")
        (differs,) = await target.compare(second)
        assert (differs["state"], differs["aspects"]) == ("differs", ["content"])
        self.remove(PATH)
        (missing,) = await target.compare(second)
        assert (missing["state"], missing["observed"]) == ("missing", None)
        await target.prune([first], plan_only=False)
        assert await target.compare(first) == [], "as before, and known without before-images"
        self.write(PATH, "new\n")
        assert await target.compare(second) == [], "another inode with the content of before"
        with pytest.raises(NotFoundError):
            await target.compare("r-none.1")
        self.remove(PATH)
        await target.release(run_id)

    async def test_before_images_are_given_up_for_good_and_only_of_what_is_over(self, target: Target) -> None:
        run_id = new_run_id()
        captured, _, _ = await self.prepared(target, run_id, "other\n")
        await target.discard(captured)
        stands = await self.committed(target, run_id)
        undone = await self.committed(target, run_id, "newer\n")
        await target.rollback(undone)
        open_one, _, _ = await self.prepared(target, run_id, "third\n")
        every = [stands, undone, open_one, "r-none.1"]

        foreseen = await target.prune(every, plan_only=True)
        kept = await target.kept_transactions()
        done = {one["transaction"]: one for one in await target.prune(every)}
        again = {one["transaction"]: one["was"] for one in await target.prune(every)}

        assert {stands, undone, open_one} <= set(kept)
        assert all(one.keys() == {"transaction", "was", "bytes", "entries", "pruned"} for one in foreseen)
        assert not any(one["pruned"] for one in foreseen)
        assert {name: (one["was"], one["pruned"]) for name, one in done.items()} == {
            stands: ("committed", True),
            undone: ("rolled-back", True),
            open_one: ("captured", False),
            "r-none.1": ("gone", False),
        }
        assert again == {stands: "pruned", undone: "gone", open_one: "captured", "r-none.1": "gone"}
        assert {stands, undone, open_one} & set(await target.kept_transactions()) == {open_one}
        with pytest.raises(PrunedError):
            await target.rollback(stands)
        with pytest.raises(PrunedError):
            await target.rollback(stands, plan_only=True)
        assert self.read(PATH) == "new\n"
        assert await target.missing_paths(stands) == [], "what it left is still known"
        self.remove(PATH)
        assert [one["state"] for one in await target.drift(stands)] == ["missing"]
        await target.discard(open_one)
        await target.release(run_id)

    async def test_the_next_run_forgets_the_capture_of_a_dead_one_and_its_own_stays(self, target: Target) -> None:
        first, second = new_run_id(), new_run_id()
        transaction, _, _ = await self.prepared(target, first)
        await target.release(first)
        await target.acquire(first)
        assert (await target.rollback(transaction))["was"] == "captured"
        transaction, _, _ = await self.prepared(target, first)
        await target.release(first)

        await target.acquire(second)

        with pytest.raises(NotFoundError):
            await target.commit(transaction)
        await target.release(second)

    async def test_a_transaction_that_started_nothing_has_nothing_to_wait_for(self, target: Target) -> None:
        run_id = new_run_id()
        transaction = await self.committed(target, run_id)
        await target.activate(transaction, [])

        async with asyncio.timeout(30):
            await target.stay(transaction, for_s=3600)

        await target.rollback(transaction)
        await target.release(run_id)

    async def test_checks_are_answered_in_order(self, target: Target) -> None:
        self.write(PATH, "x\n")

        results = await target.check(
            [
                Check(id="there", kind="file", spec={"path": PATH}, timeout_s=0.1),
                Check(id="gone", kind="file", spec={"path": "/etc/contract-none"}, timeout_s=0.1),
            ]
        )

        assert [(result.id, result.status) for result in results] == [
            ("there", CheckStatus.PASSED),
            ("gone", CheckStatus.FAILED),
        ]
