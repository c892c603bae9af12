"""What every carrier of messages promises. Subclass `BusContract` and give it a `bus` fixture to put one under it.

Nothing here looks inside a bus. `pause` is the only thing to override: it lets all happen that can happen without
further input, so that "this has not happened" means something.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.model.errors import (
    DeadlineExceededError,
    InternalError,
    NoResponderError,
    NotFoundError,
    UnreachableError,
    UsageError,
    WorkflowAgentError,
    error_classes,
)
from workflow_agent.model.message import PRIORITY_HIGH, PRIORITY_LOW, Message

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine, Mapping

    from workflow_agent.model.ports import Bus

__all__ = ["BusContract", "Gate", "Inbox", "within"]

PATIENCE_S = 10.0

MATCHES = [
    ("a.b", "a.b", True),
    ("a.b", "a.c", False),
    ("a.b", "a.b.c", False),
    ("a.*", "a.b", True),
    ("a.*", "a", False),
    ("a.*", "a.b.c", False),
    ("*.b", "a.b", True),
    ("a.*.c", "a.b.c", True),
    ("a.>", "a.b", True),
    ("a.>", "a.b.c", True),
    ("a.>", "a", False),
    (">", "a", True),
    (">", "a.b.c", True),
    ("*", "a.b", False),
    ("*.>", "a", False),
    ("*.>", "a.b.c", True),
]
BAD_SUBJECTS = ["", ".", "a.", ".a", "a..b", "a b", "a.\tb", "a\n", "a\x00b", "a\u00a0b", "a.*", ">", "a.b*", "a>.b"]
BAD_PATTERNS = ["", ".", "a.", ".a", "a..b", "a b", "a.b\n", "a*", "*a.b", "a.>b", "a.>.b", ">.>", "**"]


async def within(thing: Awaitable[Any]) -> Any:  # Any: whatever is awaited
    """Wait for something that must come; a test that would hang fails instead."""
    return await asyncio.wait_for(thing, PATIENCE_S)


class Inbox:
    """A handler that keeps what it gets."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._news = asyncio.Condition()

    async def __call__(self, message: Message) -> None:
        async with self._news:
            self.messages.append(message)
            self._news.notify_all()

    @property
    def subjects(self) -> list[str]:
        return [message.subject for message in self.messages]

    async def holds(self, count: int) -> None:
        async with self._news:
            await within(self._news.wait_for(lambda: len(self.messages) >= count))


class Gate:
    """A handler that tells when it has begun and goes on when it is let."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.cancelled: list[str] = []
        self.running = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self, message: Message) -> dict[str, Any]:
        self.begun.append(message.subject)
        self.running.set()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled.append(message.subject)
            raise
        self.ended.append(message.subject)
        return {"gate": message.subject}


def now() -> float:
    return asyncio.get_running_loop().time()


async def echo(message: Message) -> Mapping[str, Any]:
    return {"echo": message.data}


def start(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.create_task(coroutine)


class BusContract:
    """The promises. A subclass gives the fixture ``bus``: an open bus, drained after the test."""

    async def pause(self) -> None:
        """Let everything happen that can happen now."""
        for _ in range(50):
            await asyncio.sleep(0)

    # -- publish ---------------------------------------------------------------------------------------------

    async def test_a_subject_with_a_subscriber_is_heard(self, bus: Bus) -> None:
        async def hear(_: Message) -> None:
            """Take it."""

        subscription = await bus.subscribe("heard.*", hear)
        assert bus.is_heard("heard.here")
        await subscription.close()
        with pytest.raises(UsageError):
            bus.is_heard("heard.*")

    async def test_a_subscriber_gets_the_message_that_was_published(self, bus: Bus) -> None:
        inbox = Inbox()
        await bus.subscribe("run.r-1.event", inbox)
        sent = Message("run.r-1.event", {"n": [1, None, "ü"]}, run_id="r-1", headers={"traceparent": "00-1"})
        await bus.publish(sent)
        await inbox.holds(1)
        assert inbox.messages == [sent]

    @pytest.mark.parametrize(("pattern", "subject", "expected"), MATCHES)
    async def test_patterns_follow_the_rules_of_nats(
        self, bus: Bus, pattern: str, subject: str, expected: bool
    ) -> None:
        everything, matching = Inbox(), Inbox()
        await bus.subscribe(">", everything)
        await bus.subscribe(pattern, matching)
        await bus.publish(Message(subject))
        await everything.holds(1)
        await self.pause()
        assert matching.subjects == ([subject] if expected else [])

    @pytest.mark.parametrize("subject", BAD_SUBJECTS)
    async def test_a_subject_that_breaks_the_rules_is_refused(self, bus: Bus, subject: str) -> None:
        await bus.subscribe(">", echo)
        with pytest.raises(UsageError):
            await bus.publish(Message(subject))
        with pytest.raises(UsageError):
            await bus.request(Message(subject))

    @pytest.mark.parametrize("pattern", BAD_PATTERNS)
    async def test_a_pattern_that_breaks_the_rules_is_refused(self, bus: Bus, pattern: str) -> None:
        with pytest.raises(UsageError):
            await bus.subscribe(pattern, echo)

    @pytest.mark.parametrize("options", [{"limit": 0}, {"concurrency": 0}, {"queue": ""}, {"queue": "a b"}])
    async def test_a_subscription_that_could_not_work_is_refused(self, bus: Bus, options: dict[str, Any]) -> None:
        with pytest.raises(UsageError):
            await bus.subscribe("a", echo, **options)

    async def test_nobody_needs_to_listen_to_a_published_message(self, bus: Bus) -> None:
        await bus.publish(Message("a.b"))

    async def test_every_subscriber_gets_its_own_copy(self, bus: Bus) -> None:
        inboxes = [Inbox(), Inbox(), Inbox()]
        for inbox, pattern in zip(inboxes, ["a.b", "a.*", ">"], strict=True):
            await bus.subscribe(pattern, inbox)
        await bus.publish(Message("a.b"))
        for inbox in inboxes:
            await inbox.holds(1)

    async def test_what_one_subscriber_does_to_a_message_the_others_do_not_see(self, bus: Bus) -> None:
        tried = []
        inbox = Inbox()

        async def meddle(message: Message) -> None:
            tried.append(message.subject)
            with suppress(TypeError):  # refused, or done to a copy
                message.data["list"].append(2)

        await bus.subscribe("a.b", meddle)
        await bus.subscribe("a.*", inbox)
        await bus.publish(Message("a.b", {"list": [1]}))
        await inbox.holds(1)
        await bus.drain()

        assert (tried, inbox.messages[0].data) == (["a.b"], {"list": [1]})

    async def test_messages_of_equal_priority_keep_their_order(self, bus: Bus) -> None:
        inbox = Inbox()
        await bus.subscribe("n", inbox, limit=3)
        for number in range(500):
            await bus.publish(Message("n", {"n": number}))
        await inbox.holds(500)
        assert [message.data["n"] for message in inbox.messages] == list(range(500))

    async def test_priority_orders_what_waits(self, bus: Bus) -> None:
        gate = Gate()
        await bus.subscribe(">", gate)
        await bus.publish(Message("first"))
        await within(gate.running.wait())
        for subject, priority in [("low", PRIORITY_LOW), ("b", 5), ("c", 5), ("high", PRIORITY_HIGH), ("3", 3)]:
            await bus.publish(Message(subject, priority=priority))
        gate.open.set()
        await within(bus.drain())
        assert gate.ended == ["first", "high", "3", "b", "c", "low"]

    async def test_concurrency_bounds_how_many_handlers_run(self, bus: Bus) -> None:
        gate = Gate()
        await bus.subscribe("a", gate, concurrency=3)
        for _ in range(5):
            await bus.publish(Message("a"))
        await self.pause()
        assert len(gate.begun) == 3
        gate.open.set()
        await within(bus.drain())
        assert len(gate.ended) == 5

    # -- queue groups ----------------------------------------------------------------------------------------

    async def test_one_member_of_a_group_gets_each_message(self, bus: Bus) -> None:
        members, alone = [Inbox(), Inbox(), Inbox()], Inbox()
        for member in members:
            await bus.subscribe("job.*", member, queue="workers")
        await bus.subscribe("job.*", alone)
        for number in range(30):
            await bus.publish(Message("job.a", {"n": number}))
        await alone.holds(30)
        await self.pause()
        numbers = [message.data["n"] for member in members for message in member.messages]
        assert sorted(numbers) == list(range(30))
        assert all(member.messages for member in members)

    async def test_members_of_a_group_may_have_different_patterns(self, bus: Bus) -> None:
        exact, wild, other = Inbox(), Inbox(), Inbox()
        await bus.subscribe("job.a", exact, queue="workers")
        await bus.subscribe("job.*", wild, queue="workers")
        await bus.subscribe("job.>", other, queue="auditors")
        for _ in range(10):
            await bus.publish(Message("job.a"))
        await other.holds(10)
        await self.pause()
        assert len(exact.messages) + len(wild.messages) == 10

    async def test_a_member_that_is_busy_is_passed_over(self, bus: Bus) -> None:
        gate, inbox = Gate(), Inbox()
        await bus.subscribe("job", gate, queue="workers")
        await bus.publish(Message("job"))
        await within(gate.running.wait())
        await bus.subscribe("job", inbox, queue="workers")
        await bus.publish(Message("job"))
        await inbox.holds(1)
        gate.open.set()

    # -- back-pressure ---------------------------------------------------------------------------------------

    async def test_a_publisher_waits_while_a_queue_is_full(self, bus: Bus) -> None:
        gate = Gate()
        await bus.subscribe(">", gate, limit=1)
        await bus.publish(Message("runs"))
        await within(gate.running.wait())
        await bus.publish(Message("waits"))
        third, fourth = start(bus.publish(Message("third"))), start(bus.publish(Message("fourth")))
        await self.pause()
        assert not third.done()
        assert not fourth.done()
        gate.open.set()
        await within(third)
        await within(fourth)
        await within(bus.drain())
        assert gate.ended == ["runs", "waits", "third", "fourth"]

    async def test_a_full_subscriber_does_not_stall_the_others(self, bus: Bus) -> None:
        gate, inbox = Gate(), Inbox()
        await bus.subscribe("a", gate, limit=1)
        await bus.subscribe("a", inbox)
        publishers = [start(bus.publish(Message("a"))) for _ in range(4)]
        await inbox.holds(4)
        assert sum(publisher.done() for publisher in publishers) < 4
        gate.open.set()
        await within(asyncio.gather(*publishers))

    async def test_a_cancelled_publisher_leaves_nothing_in_the_full_queue(self, bus: Bus) -> None:
        gate = Gate()
        await bus.subscribe(">", gate, limit=1)
        await bus.publish(Message("runs"))
        await within(gate.running.wait())
        await bus.publish(Message("waits"))
        publisher = start(bus.publish(Message("given-up")))
        await self.pause()
        publisher.cancel()
        with pytest.raises(asyncio.CancelledError):
            await within(publisher)
        last = start(bus.publish(Message("last")))
        gate.open.set()
        await within(last)
        await within(bus.drain())
        assert gate.ended == ["runs", "waits", "last"]

    async def test_a_publisher_waits_no_longer_than_the_deadline(self, bus: Bus) -> None:
        gate = Gate()
        await bus.subscribe(">", gate, limit=1)
        await bus.publish(Message("runs"))
        await within(gate.running.wait())
        await bus.publish(Message("waits", deadline=now() - 1))
        with pytest.raises(DeadlineExceededError):
            await within(bus.publish(Message("late", deadline=now() + 0.01)))
        gate.open.set()
        await within(bus.drain())
        assert gate.ended == ["runs", "waits"]

    # -- request and reply -----------------------------------------------------------------------------------

    async def test_a_request_is_answered_by_what_the_handler_returns(self, bus: Bus) -> None:
        await bus.subscribe("agent.echo.*", echo)
        request = Message("agent.echo.say", {"n": 1}, run_id="r-1", step_id="s", attempt=3, headers={"a": "b"})
        reply = await within(bus.request(request))
        assert reply.data == {"echo": {"n": 1}}
        assert reply.type == "reply"
        assert (reply.correlation_id, reply.causation_id) == (request.id, request.id)
        assert (reply.run_id, reply.step_id, reply.attempt) == ("r-1", "s", 3)
        assert reply.headers == {"a": "b"}
        assert reply.id != request.id

    async def test_a_reply_keeps_the_correlation_of_its_conversation(self, bus: Bus) -> None:
        await bus.subscribe("a", echo)
        reply = await within(bus.request(Message("a", correlation_id="talk")))
        assert reply.correlation_id == "talk"

    async def test_a_handler_that_returns_nothing_gives_an_empty_reply(self, bus: Bus) -> None:
        await bus.subscribe("a", Inbox())
        assert (await within(bus.request(Message("a")))).data == {}

    async def test_a_handler_that_returns_no_mapping_is_a_defect(
        self, bus: Bus, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def handler(message: Message) -> Any:
            return [message.subject]

        await bus.subscribe("a", handler)
        with pytest.raises(InternalError):
            await within(bus.request(Message("a")))
        assert "list" in caplog.text

    async def test_a_request_that_nobody_answers_fails_at_once(self, bus: Bus) -> None:
        await bus.subscribe("agent.other.*", echo)
        with pytest.raises(NoResponderError, match=r"agent\.none\.do"):
            await within(bus.request(Message("agent.none.do"), timeout_s=3600))

    async def test_the_first_reply_wins(self, bus: Bus) -> None:
        gate = Gate()
        await bus.subscribe("a", gate)
        await bus.subscribe("a", echo)
        reply = await within(bus.request(Message("a", {"n": 1})))
        assert reply.data == {"echo": {"n": 1}}
        gate.open.set()
        await within(bus.drain())
        assert gate.ended == ["a"]

    async def test_a_request_waits_for_room_and_is_answered(self, bus: Bus) -> None:
        gate = Gate()
        await bus.subscribe(">", gate, limit=1)
        requests = [start(bus.request(Message(subject), timeout_s=60)) for subject in "abcde"]
        await within(gate.running.wait())
        gate.open.set()
        replies = await within(asyncio.gather(*requests))
        assert [reply.data["gate"] for reply in replies] == list("abcde")

    async def test_many_requests_at_once_each_get_their_own_reply(self, bus: Bus) -> None:
        await bus.subscribe("a", echo, concurrency=4, limit=8)
        replies = await within(asyncio.gather(*(bus.request(Message("a", {"n": n})) for n in range(200))))
        assert [reply.data["echo"]["n"] for reply in replies] == list(range(200))

    # -- errors ----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("error_class", list(error_classes()), ids=lambda cls: cls.__name__)
    async def test_an_error_arrives_at_the_requester_as_it_was_raised(
        self, bus: Bus, error_class: type[WorkflowAgentError]
    ) -> None:
        error = error_class("no", where="w", cause="c", state="s", hint="h", run_id="r-1", details={"paths": ["/a"]})

        async def handler(message: Message) -> None:
            raise error

        await bus.subscribe("a", handler)
        with pytest.raises(WorkflowAgentError) as caught:
            await within(bus.request(Message("a")))
        assert type(caught.value) is error_class
        assert caught.value.to_dict() == error.to_dict()

    async def test_any_other_exception_arrives_as_a_defect_and_is_logged(
        self, bus: Bus, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def handler(message: Message) -> None:
            raise ZeroDivisionError(message.subject)

        await bus.subscribe("a", handler)
        with pytest.raises(InternalError) as caught:
            await within(bus.request(Message("a", run_id="r-1")))
        assert caught.value.cause == "ZeroDivisionError: a"
        assert caught.value.run_id == "r-1"
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
        assert "ZeroDivisionError" in caplog.text

    async def test_a_handler_that_is_cancelled_from_within_is_a_defect_too(
        self, bus: Bus, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def handler(message: Message) -> None:
            forever = asyncio.get_running_loop().create_future()
            forever.cancel()
            await forever

        await bus.subscribe("a", handler)
        with pytest.raises(InternalError):
            await within(bus.request(Message("a")))
        assert "CancelledError" in caplog.text

    @pytest.mark.parametrize("error", [ValueError("x"), NotFoundError("x")])
    async def test_a_failing_handler_goes_on_with_the_next_message(
        self, bus: Bus, caplog: pytest.LogCaptureFixture, error: Exception
    ) -> None:
        async def handler(message: Message) -> Mapping[str, Any]:
            if message.data:
                raise error
            return {"alive": True}

        await bus.subscribe("a", handler)
        for _ in range(3):
            await bus.publish(Message("a", {"fail": True}))
        assert (await within(bus.request(Message("a")))).data == {"alive": True}
        assert len(caplog.records) == 3

    # -- deadlines and cancellation --------------------------------------------------------------------------

    @pytest.mark.parametrize(("timeout_s", "deadline_s"), [(0.01, None), (None, 0.01), (60.0, 0.01), (0.01, 60.0)])
    async def test_a_request_ends_at_the_earlier_of_its_two_times(
        self, bus: Bus, timeout_s: float | None, deadline_s: float | None
    ) -> None:
        await bus.subscribe("a", Gate())
        deadline = None if deadline_s is None else now() + deadline_s
        with pytest.raises(DeadlineExceededError):
            await within(bus.request(Message("a", deadline=deadline), timeout_s=timeout_s))

    @pytest.mark.parametrize("timeout_s", [0.0, -1.0])
    async def test_a_request_whose_time_is_over_is_not_sent(self, bus: Bus, timeout_s: float) -> None:
        inbox = Inbox()
        await bus.subscribe("a", inbox)
        with pytest.raises(DeadlineExceededError):
            await bus.request(Message("a"), timeout_s=timeout_s)
        await self.pause()
        assert inbox.messages == []

    @pytest.mark.parametrize("by_deadline", [True, False])
    async def test_giving_up_a_request_frees_its_handler(self, bus: Bus, by_deadline: bool) -> None:
        """The handler is cancelled and has ended before the requester goes on; the next request is answered."""
        gate = Gate()
        await bus.subscribe(">", gate)
        request = start(bus.request(Message("slow"), timeout_s=0.01 if by_deadline else 60))
        await within(gate.running.wait())
        if not by_deadline:
            request.cancel()
        with pytest.raises(DeadlineExceededError if by_deadline else asyncio.CancelledError):
            await within(request)
        assert gate.cancelled == ["slow"]
        gate.open.set()
        assert (await within(bus.request(Message("next")))).data == {"gate": "next"}

    @pytest.mark.parametrize("by_deadline", [True, False])
    @pytest.mark.parametrize("limit", [1, 8])
    async def test_giving_up_a_request_takes_it_out_of_the_queue(self, bus: Bus, by_deadline: bool, limit: int) -> None:
        """Whether it was queued or waited for room; what came after it moves up."""
        gate = Gate()
        await bus.subscribe(">", gate, limit=limit)
        await bus.publish(Message("runs"))
        await within(gate.running.wait())
        given_up = [
            start(bus.request(Message(subject, priority=priority), timeout_s=0.01 if by_deadline else 60))
            for subject, priority in [("a", 5), ("b", 0), ("c", 9), ("d", 5)]
        ]
        kept = start(bus.publish(Message("kept")))
        await self.pause()
        for request in given_up:
            if not by_deadline:
                request.cancel()
            with pytest.raises(DeadlineExceededError if by_deadline else asyncio.CancelledError):
                await within(request)
        gate.open.set()
        await within(kept)
        await within(bus.drain())
        assert gate.begun == ["runs", "kept"]

    async def test_a_given_up_request_gives_up_what_its_handler_asked_for(self, bus: Bus) -> None:
        gate = Gate()

        async def relay(message: Message) -> Mapping[str, Any]:
            return (await bus.request(replace(message, subject="inner"))).data

        await bus.subscribe("outer", relay)
        await bus.subscribe("inner", gate)
        request = start(bus.request(Message("outer")))
        await within(gate.running.wait())
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await within(request)
        assert gate.cancelled == ["inner"]

    # -- asking without waiting ------------------------------------------------------------------------------

    async def test_an_answer_calls_the_function_once_and_later(self, bus: Bus) -> None:
        gate = Gate()
        await bus.subscribe("a", gate, concurrency=2)
        await bus.subscribe("*", gate)
        answers: list[Any] = []
        gate.open.set()

        asked = bus.ask(Message("a", run_id="r-1"), answers.append)

        assert (answers, asked.done()) == ([], False)
        assert await within(asked.wait(60))
        await self.pause()
        assert [(answer.data, answer.run_id) for answer in answers] == [({"gate": "a"}, "r-1")]
        assert gate.ended == ["a", "a"]

    async def test_an_error_of_the_handler_is_an_answer(self, bus: Bus) -> None:
        async def refuse(message: Message) -> None:
            raise NotFoundError("not here") if message.subject == "a" else ValueError("defect")

        await bus.subscribe(">", refuse)
        answers: list[Any] = []

        asked = [bus.ask(Message(subject), answers.append) for subject in "ab"]

        assert all([await within(each.wait(60)) for each in asked])
        assert [type(answer) for answer in answers] == [NotFoundError, InternalError]

    async def test_asking_where_nobody_answers_fails_at_once(self, bus: Bus) -> None:
        with pytest.raises(NoResponderError):
            bus.ask(Message("agent.none.do"), print)
        with pytest.raises(UsageError):
            bus.ask(Message("agent.*"), print)

    async def test_giving_up_what_was_asked_frees_its_handler_and_calls_nobody(self, bus: Bus) -> None:
        gate, answers = Gate(), list[Any]()
        await bus.subscribe(">", gate)
        running, queued = bus.ask(Message("slow"), answers.append), bus.ask(Message("queued"), answers.append)
        await within(gate.running.wait())

        assert not await within(running.wait(0.01))
        await within(queued.give_up())
        await within(running.give_up())

        assert (gate.begun, gate.cancelled, answers) == (["slow"], ["slow"], [])
        assert running.done()
        assert await within(running.wait(60))
        await within(running.give_up())
        gate.open.set()
        assert (await within(bus.request(Message("next")))).data == {"gate": "next"}

    async def test_what_was_asked_is_refused_when_the_bus_stops_at_once(self, bus: Bus) -> None:
        gate, answers = Gate(), list[Any]()
        await bus.subscribe("a", gate)
        bus.ask(Message("a"), answers.append)
        bus.ask(Message("a"), answers.append)
        await within(gate.running.wait())
        draining = start(bus.drain())
        await self.pause()
        draining.cancel()
        with pytest.raises(asyncio.CancelledError):
            await within(draining)

        assert [type(answer) for answer in answers] == [UnreachableError, UnreachableError]
        with pytest.raises(UnreachableError):
            bus.ask(Message("a"), print)

    # -- handlers that send ----------------------------------------------------------------------------------

    async def test_handlers_may_request_and_publish(self, bus: Bus) -> None:
        inbox = Inbox()

        async def relay(message: Message) -> Mapping[str, Any]:
            await bus.publish(Message("log.relay"))
            reply = await bus.request(Message("inner", message.data))
            return {"relayed": reply.data}

        await bus.subscribe("outer", relay)
        await bus.subscribe("inner", echo)
        await bus.subscribe("log.>", inbox)
        reply = await within(bus.request(Message("outer", {"n": 1})))
        assert reply.data == {"relayed": {"echo": {"n": 1}}}
        await inbox.holds(1)

    async def test_a_request_to_the_own_subscription_ends_by_its_deadline(self, bus: Bus) -> None:
        async def handler(message: Message) -> Mapping[str, Any]:
            if message.data:
                return {"inner": True}
            try:
                await bus.request(Message("a", {"inner": True}), timeout_s=0.01)
            except DeadlineExceededError:
                return {"deadline": True}
            return {}

        lone = await bus.subscribe("a", handler)
        assert (await within(bus.request(Message("a")))).data == {"deadline": True}
        await lone.close()
        await bus.subscribe("a", handler, concurrency=2)
        assert (await within(bus.request(Message("a")))).data == {}

    # -- ending ----------------------------------------------------------------------------------------------

    async def test_closing_a_subscription_handles_what_is_queued_first(self, bus: Bus) -> None:
        gate, inbox = Gate(), Inbox()
        subscription = await bus.subscribe("a.*", gate, limit=2)
        publishers = [start(bus.publish(Message(f"a.{n}"))) for n in range(5)]
        await within(gate.running.wait())
        closing = start(subscription.close())
        await self.pause()
        await bus.subscribe("a.*", inbox)
        await bus.publish(Message("a.new"))
        assert not closing.done()
        gate.open.set()
        await within(closing)
        await within(asyncio.gather(*publishers))
        assert gate.ended == [f"a.{n}" for n in range(5)]
        await inbox.holds(1)
        await subscription.close()

    async def test_a_closed_subscription_answers_no_more(self, bus: Bus) -> None:
        subscription = await bus.subscribe("a", echo)
        await within(bus.request(Message("a")))
        await subscription.close()
        with pytest.raises(NoResponderError):
            await bus.request(Message("a"))

    async def test_a_handler_may_close_its_own_subscription(self, bus: Bus) -> None:
        async def once(message: Message) -> Mapping[str, Any]:
            await subscription.close()
            return {"last": message.subject}

        subscription = await bus.subscribe("a", once)
        assert (await within(bus.request(Message("a")))).data == {"last": "a"}
        with pytest.raises(NoResponderError):
            await bus.request(Message("a"))

    async def test_draining_handles_what_is_queued(self, bus: Bus) -> None:
        gate = Gate()
        await bus.subscribe("a", gate, limit=2)
        publishers = [start(bus.publish(Message("a"))) for _ in range(6)]
        request = start(bus.request(Message("a")))
        await within(gate.running.wait())
        draining = [start(bus.drain()), start(bus.drain())]
        await self.pause()
        assert not any(task.done() for task in draining)
        gate.open.set()
        await within(asyncio.gather(*draining, *publishers))
        assert len(gate.ended) == 7
        assert (await within(request)).data == {"gate": "a"}
        await bus.drain()

    async def test_nothing_is_taken_after_draining(self, bus: Bus) -> None:
        await bus.subscribe("a", echo)
        await within(bus.drain())
        for refused in (bus.publish(Message("a")), bus.request(Message("a")), bus.subscribe("a", echo)):
            with pytest.raises(UnreachableError) as caught:
                await refused
            assert type(caught.value) is UnreachableError

    async def test_while_draining_only_handlers_at_work_may_send(self, bus: Bus) -> None:
        gate, inbox = Gate(), Inbox()

        async def relay(message: Message) -> Mapping[str, Any]:
            await gate(message)
            await bus.publish(Message("log"))
            return (await bus.request(Message("inner"))).data

        await bus.subscribe("outer", relay)
        await bus.subscribe("inner", echo)
        await bus.subscribe("log", inbox)
        request = start(bus.request(Message("outer")))
        await within(gate.running.wait())
        draining = start(bus.drain())
        await self.pause()
        with pytest.raises(UnreachableError):
            await bus.publish(Message("log"))
        gate.open.set()
        await within(draining)
        assert (await within(request)).data == {"echo": {}}
        assert inbox.subjects == ["log"]

    async def test_a_handler_cannot_drain_its_own_bus(self, bus: Bus) -> None:
        async def handler(message: Message) -> None:
            await bus.drain()

        await bus.subscribe("a", handler)
        with pytest.raises(UsageError):
            await within(bus.request(Message("a")))

    async def test_cancelling_a_drain_stops_at_once(self, bus: Bus) -> None:
        """What runs is cancelled, what waits is refused, nobody is left waiting."""
        gate = Gate()
        await bus.subscribe("a", gate, limit=2)
        requests = [start(bus.request(Message("a"))) for _ in range(5)]
        publisher = start(bus.publish(Message("a")))
        await within(gate.running.wait())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await bus.drain()
        outcomes = await within(asyncio.gather(*requests, publisher, return_exceptions=True))
        assert [type(outcome) for outcome in outcomes] == [UnreachableError] * 6
        assert gate.cancelled == ["a"]
        with pytest.raises(UnreachableError):
            await bus.publish(Message("a"))
        await within(bus.drain())

    async def test_subscriptions_leave_no_task_behind(self, bus: Bus) -> None:
        before = asyncio.all_tasks()
        for _ in range(50):
            subscription = await bus.subscribe("a", echo, concurrency=4)
            await within(asyncio.gather(*(bus.request(Message("a"), timeout_s=5) for _ in range(6))))
            await bus.publish(Message("a"))
            await subscription.close()
        assert asyncio.all_tasks() == before
