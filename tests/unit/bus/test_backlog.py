"""The priority queue of a subscriber."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workflow_agent.bus.backlog import Backlog, Delivery
from workflow_agent.model.message import Message


def delivery(priority: int) -> Delivery:
    return Delivery(Message("a", priority=priority), None)


def drained(backlog: Backlog) -> list[Delivery]:
    return [backlog.pop() for _ in range(backlog.size)]


@given(priorities=st.lists(st.integers(-3, 12), max_size=30), data=st.data())
def test_it_gives_what_is_left_by_priority_then_age(priorities: list[int], data: st.DataObject) -> None:
    backlog = Backlog()
    deliveries = [delivery(priority) for priority in priorities]
    for each in deliveries:
        backlog.push(each)
    gone = data.draw(st.sets(st.sampled_from(range(len(deliveries)))) if deliveries else st.just(set()))
    for index in gone:
        assert backlog.remove(deliveries[index])
        assert not backlog.remove(deliveries[index])
    left = [each for index, each in enumerate(deliveries) if index not in gone]
    assert backlog.size == len(left)
    assert drained(backlog) == sorted(left, key=lambda each: each.message.priority)
    assert backlog.size == 0


def test_a_delivery_that_no_lane_took_has_nothing_to_withdraw() -> None:
    assert delivery(5).withdraw() is None
