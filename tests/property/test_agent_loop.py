"""Agents with tools, whatever a model says and wherever the process ends: questions are well formed, work is bounded,
nothing that was done is done again.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_agent import tool_id
from workflow_agent.agents.model_agent import ModelAgent
from workflow_agent.agents.python_agent import Deployer, PythonAgent
from workflow_agent.agents.serving import serve
from workflow_agent.app.clock import SystemClock
from workflow_agent.authoring.sdk.live import LiveFlows
from workflow_agent.bus import InProcessBus
from workflow_agent.model.errors import IterationLimitError
from workflow_agent.model.message import Message
from workflow_agent.security.vault import Vault
from workflow_agent.store import SqliteStore
from workflow_agent.testing.scripted_model import ScriptedModel, tool_call

if TYPE_CHECKING:
    from workflow_agent.agents.chat_models import ChatQuestion

CALLED: list[int] = []


def count(number: int) -> int:
    CALLED.append(number)
    if number % 5 == 0:
        raise ValueError("five")
    return number


COUNT = tool_id(count)

_CALLS = st.one_of(
    st.integers(0, 9).map(lambda number: tool_call("count", {"number": number})),
    st.sampled_from([tool_call("count", "{"), tool_call("cuont"), tool_call("count", {"number": "x"})]),
    st.builds(tool_call, st.text(max_size=5), st.text(max_size=5), st.text(max_size=3)),
)
_REPLIES = st.one_of(st.text(max_size=8), st.lists(_CALLS, min_size=1, max_size=4).map(tuple))


async def act(folder: Path, model: ScriptedModel, **more: Any) -> tuple[Any, list[dict[str, Any]]]:
    """Let an agent work, as the bus does; gives what it answered (None: its iterations were over), and the records."""
    bus, clock, vault = InProcessBus(), SystemClock(), Vault()
    python = PythonAgent(bus, clock, lambda _: folder, vault, LiveFlows(), Deployer())
    served = await serve(bus, python)
    memories = SqliteStore.open_read_only(folder).memories
    verb = ModelAgent(bus, clock, lambda _: folder, vault, model, memories, {}).verbs()["act"]
    request = verb.request.model_validate({"agent": {"id": "a", "tools": [COUNT], **more}, "prompt": "Count."})
    message = Message("agent.model.act", {}, run_id="r-1", step_id="ask", headers={"idempotency-key": "k"})
    try:
        reply, special = await verb.handler(request, message)
    except IterationLimitError as error:
        return None, error.details["_records"]
    finally:
        await served.close()
        await bus.drain()
    return reply, special["_records"]


def is_well_formed(question: ChatQuestion, window: int) -> bool:
    """Say whether a service would take the messages: each reply that calls tools is followed by its results alone."""
    first, *rest = question.messages
    turns = 0
    while rest:
        said, *rest = rest
        calls = [call["id"] for call in said["tool_calls"]]
        results, rest = rest[: len(calls)], rest[len(calls) :]
        turns += 1
        if [each.get("tool_call_id") for each in results] != calls or len(set(calls)) != len(calls):
            return False
        if not all(isinstance(json.loads(call["function"]["arguments"]), dict) for call in said["tool_calls"]):
            return False
    return first == {"role": "user", "content": "Count."} and turns <= window


@settings(max_examples=60, deadline=None)
@given(st.lists(_REPLIES, min_size=6, max_size=6), st.integers(1, 4), st.integers(1, 6))
def test_every_question_is_well_formed_and_there_are_no_more_than_were_allowed(
    replies: list[Any], window: int, most: int
) -> None:
    model = ScriptedModel(*replies)
    with tempfile.TemporaryDirectory() as folder:
        more = {"memory_config": {"window_size": window}, "max_iterations": most}
        reply, _ = asyncio.run(act(Path(folder), model, **more))

    answer = next((index for index, said in enumerate(replies[:most]) if isinstance(said, str)), None)
    assert (reply is None) is (answer is None)
    assert len(model.questions) == (most if answer is None else answer + 1)
    assert all(is_well_formed(question, window) for question in model.questions)


def test_wherever_the_process_ends_the_agent_goes_on_and_does_nothing_twice(tmp_path: Path) -> None:
    """The file of a whole conversation is cut after every line, and in the middle of each."""
    replies = (
        tool_call("count", {"number": 1}),
        (tool_call("count", {"number": 2}), tool_call("count", {"number": 5}), tool_call("cuont")),
        "Done.",
    )
    CALLED.clear()
    whole, records = asyncio.run(act(tmp_path, ScriptedModel(*replies)))
    (file,) = (tmp_path / "agents").iterdir()
    lines = file.read_bytes().splitlines(keepends=True)
    kinds = [json.loads(line) for line in lines]
    calls = [record for record in records if record["kind"] == "tool-call"]
    assert CALLED == [1, 2, 5]

    for cut in range(len(lines) + 1):
        for torn in (b"", *(line[: len(line) // 2] for line in lines[cut : cut + 1])):
            folder = tmp_path / f"{cut}-{len(torn)}"
            (folder / "agents").mkdir(parents=True)
            (folder / "agents" / file.name).write_bytes(b"".join(lines[:cut]) + torn)
            CALLED.clear()
            said = sum(each["kind"] == "reply" for each in kinds[:cut])
            model = ScriptedModel(*replies[said:])

            again, told = asyncio.run(act(folder, model))

            assert again == whole
            assert len(model.questions) == len(replies) - said
            assert [1, 2, 5][sum(each["kind"] == "result" for each in kinds[:cut]) :] == CALLED
            assert [_without_times(one) for one in told if one["kind"] == "tool-call"] == [*map(_without_times, calls)]


def _without_times(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record["data"].items() if key not in {"at", "took_s"}}
