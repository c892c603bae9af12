"""Control-flow patterns by their numbers: multiple instances, cancellation, completion, critical sections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.model.status import RunStatus

if TYPE_CHECKING:
    from tests.unit.engine.driver_house import House
    from tests.unit.engine.pattern_house import Play, pattern, statuses

    from workflow_agent.model.message import Message
else:
    from pattern_house import Play, pattern, statuses


async def test_12_multiple_instances_without_synchronization(house: House) -> None:
    play = Play(house, pattern(12), held=["letters[0]", "letters[1]"])
    await play.begin(fines=[1, 2])
    await play.until_asked("letters[0]", "letters[1]")
    await play.until_told("StepSucceeded", "close")

    play.let("letters[0]", "letters[1]")

    assert (await play.end()).status is RunStatus.SUCCEEDED


async def test_13_multiple_instances_with_design_time_knowledge(house: House) -> None:
    play = Play(house, pattern(13))

    await play.run()

    assert play.asked == ["sign[0]", "sign[1]", "sign[2]", "file"]


async def test_14_multiple_instances_with_run_time_knowledge(house: House) -> None:
    play = Play(house, pattern(14))
    play.answers = {"list": {"orders": [7, 8]}}

    await play.run()

    assert play.asked == ["list", "check[0]", "check[1]", "report"]


async def test_15_multiple_instances_without_run_time_knowledge(house: House) -> None:
    play = Play(house, pattern(15), held=["crawl[1]"])
    play.answers = {
        "crawl[0]": {"_state": {"set": {"pages": ["/", "/a", "/b"]}}},
        "crawl[2]": {"_state": {"set": {"pages": ["/", "/a", "/b", "/c"]}}},
    }
    await play.begin(first="/")
    await play.until_asked("crawl[3]")
    assert "report" not in play.asked

    play.let("crawl[1]")

    state = await play.end()
    assert len(state.steps["crawl"].output) == 4
    assert play.asked[-1] == "report"


async def test_34_static_partial_join_for_multiple_instances(house: House) -> None:
    play = Play(house, pattern(34), held=["vote[3]", "vote[4]"])
    await play.begin(members=[*range(5)])
    await play.until_told("StepSucceeded", "decide")
    play.let("vote[3]", "vote[4]")

    state = await play.end()

    assert play.ended[-2:] == ["vote[3]", "vote[4]"]
    assert play.asked.count("decide") == 1
    assert state.status is RunStatus.SUCCEEDED


async def test_35_cancelling_partial_join_for_multiple_instances(house: House) -> None:
    play = Play(house, pattern(35), held=["vote[3]", "vote[4]"])

    state = await play.run(members=[*range(5)])

    items: Any = state.steps["vote"].items
    assert [item.status.value for item in items] == ["succeeded"] * 3 + ["cancelled"] * 2
    assert statuses(state) == {"vote": "succeeded", "decide": "succeeded"}


async def test_36_dynamic_partial_join_for_multiple_instances(house: House) -> None:
    play = Play(house, pattern(36), held=["crawl[1]"])

    def found(message: Message) -> dict[str, Any]:
        return {"_state": {"set": {"found": message.data["page"] == "/b"}}}

    play.answers = {"crawl[0]": {"_state": {"set": {"pages": ["/", "/a", "/b"]}}}, "crawl[2]": found}

    state = await play.run(first="/")

    items: Any = state.steps["crawl"].items
    assert [item.status.value for item in items] == ["succeeded", "cancelled", "succeeded"]
    assert statuses(state) == {"crawl": "succeeded", "report": "succeeded"}


async def test_39_critical_section(house: House) -> None:
    play = Play(house, pattern(39), held=["debit", "credit"])
    await play.begin()
    await play.until_asked("debit")
    assert play.asked == ["debit"]

    play.let("debit")
    await play.until_asked("credit")
    play.let("credit")

    assert set(statuses(await play.end()).values()) == {"succeeded"}


async def test_19_cancel_activity(house: House) -> None:
    play = Play(house, pattern(19), held=["inspect"])
    run_id = await play.begin()
    await play.until_asked("inspect")

    await house.driver.signal(run_id, "withdraw")

    state = await play.end()
    assert statuses(state)["inspect"] == "cancelled"
    assert (state.status, play.asked[-1]) == (RunStatus.SUCCEEDED, "file")


async def test_19_an_activity_that_nobody_cancels(house: House) -> None:
    state = await Play(house, pattern(19)).run()

    assert statuses(state) == {
        "inspect": "succeeded", "withdrawn": "cancelled", "inspected": "succeeded", "file": "succeeded",
    }  # fmt: skip


async def test_25_cancel_region(house: House) -> None:
    play = Play(house, pattern(25), held=["assess"])
    run_id = await play.begin()
    await play.until_asked("assess")

    await house.driver.signal(run_id, "fraud")

    state = await play.end()
    assert statuses(state) == {
        "claim": "cancelled", "assess": "cancelled", "pay": "skipped", "unlock": "succeeded",
        "fraud": "succeeded", "settled": "skipped", "archive": "succeeded",
    }  # fmt: skip
    assert state.status is RunStatus.SUCCEEDED


async def test_26_cancel_multiple_instance_activity(house: House) -> None:
    play = Play(house, pattern(26), held=["fold[1]"])
    run_id = await play.begin(proteins=["a", "b", "c"])
    await play.until_asked("fold[1]", "fold[2]")

    await house.driver.signal(run_id, "stop")

    state = await play.end()
    items: Any = state.steps["fold"].items
    assert [item.status.value for item in items] == ["succeeded", "cancelled", "succeeded"]
    assert (statuses(state)["fold"], state.status) == ("cancelled", RunStatus.SUCCEEDED)


async def test_27_complete_multiple_instance_activity(house: House) -> None:
    play = Play(house, pattern(27), held=["survey[1]"])
    play.answers = {"survey[0]": {"answer": 42}}
    run_id = await play.begin(members=["a", "b"])
    await play.until_asked("survey[1]")

    await house.driver.signal(run_id, "close")

    state = await play.end()
    assert state.steps["survey"].output == [{"answer": 42}, None]
    assert statuses(state) == {"closing": "succeeded", "survey": "succeeded", "evaluate": "succeeded"}
