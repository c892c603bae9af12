"""Whose before-images can be given up: counted in runs that can be taken back, and never what somebody still needs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.model.errors import PrunedError
from workflow_agent.testing.fake_target import FakeTransaction

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.unit.agents.conftest import Bench

UNDO, REDO = ("rolled-back", "undone"), ("committed", "redone")


async def installed(bench: Bench, run_id: str, *, state: str = "committed", **more: Any) -> None:
    """Put an installation into history and on the target."""
    transaction = {"transaction": f"{run_id}.1", "target": "host", "state": state, "tier": "exact"}
    await bench.ran(run_id, records=[("transaction", transaction)], **more)
    bench.world.transactions[f"{run_id}.1"] = FakeTransaction(f"{run_id}.1", run_id, state, {"/x": None}, {"/x": "x"})


async def took_back(bench: Bench, run_id: str, source: str, way: tuple[str, str] = UNDO, **more: Any) -> None:
    """Roll a run back, or bring it again."""
    state, kind = way
    records: Sequence[tuple[str, Mapping[str, Any]]] = [
        ("transaction", {"transaction": f"{source}.1", "target": "host", "state": state}),
        (kind, {"run": source}),
    ]
    await bench.ran(run_id, action="rollback", records=records, **more)
    bench.world.transactions[f"{source}.1"].state = state


async def chosen(bench: Bench, **data: Any) -> tuple[list[str], dict[str, str]]:
    reply = await bench.ask("knowledge.prunable", run_id="r-99", target="host", **data)
    return reply["transactions"], {one["transaction"]: one["why"] for one in reply["stays"]}


async def test_the_newest_runs_that_can_be_taken_back_keep_theirs(bench: Bench) -> None:
    for name in ("r-1", "r-2", "r-3"):
        await installed(bench, name)
    await bench.ran("r-4", action="verify", changed=False)

    assert await chosen(bench, keep=2) == (["r-1.1"], {"r-3.1": "newest", "r-2.1": "newest"})
    assert await chosen(bench, keep=0) == (["r-3.1", "r-2.1", "r-1.1"], {})
    assert (await chosen(bench, keep=9))[0] == []


async def test_a_rollback_counts_as_what_needs_the_images_of_the_run_that_it_undid(bench: Bench) -> None:
    for name in ("r-1", "r-2"):
        await installed(bench, name)
    await took_back(bench, "r-3", "r-1")

    assert await chosen(bench, keep=1) == (["r-2.1"], {"r-1.1": "newest"})

    await took_back(bench, "r-4", "r-1", REDO)
    assert await chosen(bench, keep=1) == (["r-2.1"], {"r-1.1": "newest"}), "it came again last"


async def test_what_took_itself_back_goes_and_counts_for_nothing(bench: Bench) -> None:
    await installed(bench, "r-1")
    await installed(bench, "r-2", state="rolled-back", status="rolled-back")

    assert await chosen(bench, keep=1) == (["r-2.1"], {"r-1.1": "newest"})


async def test_what_is_not_over_stays_whatever_was_asked_for(bench: Bench) -> None:
    await installed(bench, "r-1", status="needs-attention")
    await installed(bench, "r-2", status="running")
    await installed(bench, "r-3")
    await took_back(bench, "r-4", "r-3", status="needs-attention")

    assert await chosen(bench) == (
        [],
        {"r-1.1": "needs-attention", "r-2.1": "unfinished", "r-3.1": "needs-attention"},
    )


async def test_what_is_younger_stays_and_both_limits_hold_together(bench: Bench) -> None:
    for name in ("r-1", "r-2"):
        await installed(bench, name)
    age = time.time() - 1_800_000_000.0  # of the bench's clock

    assert (await chosen(bench, older_than_s=max(age, 0.0) + 3600.0))[0] == []
    if age > 60:
        assert len((await chosen(bench, older_than_s=30.0))[0]) == 2
        assert await chosen(bench, older_than_s=30.0, keep=1) == (["r-1.1"], {"r-2.1": "newest"})


async def test_what_this_history_does_not_know_stays(bench: Bench) -> None:
    bench.world.transactions["r-7.1"] = FakeTransaction("r-7.1", "r-7", "committed", {"/x": None})

    assert await chosen(bench) == ([], {})
    assert "r-7.1" in bench.world.transactions


async def test_history_hears_of_what_is_given_up_and_a_rollback_of_it_is_refused(bench: Bench) -> None:
    await installed(bench, "r-1")
    await installed(bench, "r-2")
    await took_back(bench, "r-3", "r-2")
    named: dict[str, Any] = {"target": "host", "transactions": ["r-1.1", "r-2.1"]}

    foreseen = await bench.ask("executor.prune", run_id="r-4", **named, plan_only=True)
    assert (foreseen["bytes"], foreseen["entries"], foreseen["_records"]) == (20, 2, [])
    assert foreseen["_changed"] is False
    reply = await bench.ask("executor.prune", run_id="r-4", **named)
    await bench.ran("r-4", action="prune", records=[(one["kind"], one["data"]) for one in reply["_records"]])

    assert (reply["bytes"], reply["_changed"]) == (20, True)
    assert (await bench.store.history.run("r-1"))["pruned_by"] == "r-4"
    latest = await bench.store.history.latest_transaction("host")
    assert latest is not None
    assert latest["run_id"] == "r-1", "it is in force, and is not passed over in silence"
    for run, word in (("r-1", "taken back"), ("r-3", "come again"), ("", "taken back")):
        with pytest.raises(PrunedError, match=word) as refused:
            await bench.ask("knowledge.locate", target="host", run=run)
        assert refused.value.exit_code == 6
        assert refused.value.cause == "run r-4 did that"
        assert "`workflow-agent" in str(refused.value.hint)
    bench.world.crash()
    assert await chosen(bench) == ([], {})


async def test_what_a_dead_run_gave_up_is_told_to_history_later(bench: Bench) -> None:
    await installed(bench, "r-1")
    await bench.ask("executor.prune", run_id="r-2", target="host", transactions=["r-1.1"])
    bench.world.crash()

    found = await bench.ask("knowledge.prunable", run_id="r-3", target="host")
    assert (found["transactions"], found["unrecorded"]) == ([], ["r-1.1"])
    reply = await bench.ask("executor.prune", run_id="r-3", target="host", transactions=found["unrecorded"])
    assert [record["data"]["transaction"] for record in reply["_records"]] == ["r-1.1"]
    assert reply["_changed"] is False
