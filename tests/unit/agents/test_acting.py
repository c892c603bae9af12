"""Agents with tools: the loop and its bound, what a model can and cannot do, what is kept and what leaves.

The model is a scripted one behind a real HTTP server; engine, database, processes and files are the real ones.
"""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from workflow_agent import AgentDefinition, Context, MemoryConfig, Step, ToolDefinition, Workflow, secret, tool_id
from workflow_agent.agents.chat_models import ChatReply
from workflow_agent.agents.conversation import Conversation
from workflow_agent.agents.model_agent import ModelAgent
from workflow_agent.app.clock import SystemClock
from workflow_agent.app.flows import open_flows
from workflow_agent.bus import InProcessBus
from workflow_agent.model.errors import ParameterError, StoreError
from workflow_agent.model.event import RecordKind
from workflow_agent.model.message import Message
from workflow_agent.model.status import RunStatus
from workflow_agent.security.vault import Vault
from workflow_agent.store import SqliteStore
from workflow_agent.testing.flows import MockDeployer, open_test_flows
from workflow_agent.testing.model_service import ModelService
from workflow_agent.testing.scripted_model import ScriptedModel, tool_call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from workflow_agent.app.flows import Flows
    from workflow_agent.model.event import RunState

CALLED: list[Any] = []
SERVICES: list[ModelService] = []


@pytest.fixture(autouse=True)
def _forget() -> None:
    CALLED.clear()


def price(item: str, count: int = 1) -> float:
    """Looks up what something costs.

    Args:
        item: What is sold.
        count: How many.
    """
    CALLED.append((item, count))
    return {"tea": 4.2, "milk": 1.1}[item] * count


def huge() -> str:
    return "\x1b[2Jx" + "y" * 500_000


def noted(text: str, ctx: Context) -> None:
    """Notes something."""
    ctx.log(f"noted {text}")
    ctx.state["noted"] = text
    CALLED.append(ctx.idempotency_key)


def tell() -> str:
    return "it is hunter2-of-the-shop"


def busy() -> None:
    """Lets the service refuse the next two questions."""
    CALLED.append("busy")
    SERVICES[0].refusals = [503, 503]


PRICE, HUGE, NOTED, TELL, BUSY = tool_id(price), tool_id(huge), tool_id(noted), tool_id(tell), tool_id(busy)


class House:
    """The application with a model behind HTTP."""

    def __init__(self, folder: Path, flows: Flows, service: ModelService) -> None:
        self._folder = folder
        self.flows = flows
        self.service = service
        self.run_id = ""

    async def act(
        self, agent: AgentDefinition, prompt: str = "What is it?", *, secrets: dict[str, str] | None = None, **more: Any
    ) -> RunState:
        """Run a workflow whose one step lets an agent work."""
        return await self.run(Step("ask").act(agent, prompt, **more), secrets=secrets)

    async def run(self, *steps: Step, secrets: dict[str, str] | None = None) -> RunState:
        run = self.flows.prepare(Workflow("shop", steps=steps), {}, secrets=secrets)
        self.run_id = run.run_id
        return await self.flows.run(run)

    async def records(self, kind: str) -> list[dict[str, Any]]:
        return [dict(record.data) for record in await self.flows.history.records(self.run_id, kind)]

    async def memories(self, collection: str, words: str) -> list[dict[str, Any]]:
        return await SqliteStore.open_read_only(self._folder / "state").memories.recall(collection, words, 10)

    def log(self) -> str:
        return (self._folder / "state/artifacts" / self.run_id / "output.log").read_text()

    def files(self) -> str:
        found = (self._folder / "state/artifacts" / self.run_id / "agents").iterdir()
        return "".join(path.read_text() for path in found)

    def results(self, question: int) -> list[str]:
        """List what tools gave, as the service was told in a question."""
        return [each["content"] for each in self.service.asked[question]["messages"] if each["role"] == "tool"]


@asynccontextmanager
async def house(folder: Path, *answers: Any) -> AsyncIterator[House]:
    service = ModelService(ScriptedModel(*answers))
    async with service.running() as model, open_test_flows(folder, MockDeployer(), model) as flows:
        yield House(folder, flows, service)


def agent(*tools: str, **more: Any) -> AgentDefinition:
    return AgentDefinition(id="clerk", tools=tools, **more)


# -- the loop ----------------------------------------------------------------------------------------------------------


async def test_what_tools_give_is_told_until_the_model_answers(tmp_path: Path) -> None:
    both = (tool_call("price", {"item": "milk"}, "a"), tool_call("price", {"item": "tea", "count": 2}, "b"))
    async with house(tmp_path, tool_call("price", {"item": "tea"}), both, "Thirteen.") as shop:
        state = await shop.act(agent(PRICE, system_prompt="Be short.", model="big"), "What is the sum?", max_tokens=50)
        calls = await shop.records(RecordKind.TOOL_CALL)

    output = state.steps["ask"].output
    assert state.status is RunStatus.SUCCEEDED
    assert (output["text"], output["iterations"], output["calls"], output["model"]) == ("Thirteen.", 3, 3, "big")
    assert CALLED == [("tea", 1), ("milk", 1), ("tea", 2)]
    first, _, last = shop.service.asked
    assert first["messages"] == [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "What is the sum?"},
    ]
    assert (first["model"], first["max_tokens"]) == ("big", 50)
    assert first["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "price",
                "description": "Looks up what something costs.",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "item": {"type": "string", "description": "What is sold."},
                        "count": {"type": "integer", "description": "How many."},
                    },
                    "additionalProperties": False,
                    "required": ["item"],
                },
            },
        }
    ]
    assert [each["role"] for each in last["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
        "tool",
        "tool",
    ]
    assert [call["id"] for call in last["messages"][4]["tool_calls"]] == ["a", "b"]
    assert shop.results(2) == ["4.2", "1.1", "8.4"]
    assert [(call["turn"], call["tool"], call["result"], call["is_error"]) for call in calls] == [
        (1, "price", "4.2", False),
        (2, "price", "1.1", False),
        (2, "price", "8.4", False),
    ]
    assert json.loads(calls[2]["arguments"]) == {"item": "tea", "count": 2}
    assert 'turn 1: calls price {"item": "tea"}' in shop.log()
    assert "turn 1: price gave 4.2" in shop.log()


@pytest.mark.parametrize(("more", "most"), [({}, 10), ({"max_iterations": 3}, 3)])
async def test_a_model_that_always_calls_a_tool_is_stopped(tmp_path: Path, more: dict[str, Any], most: int) -> None:
    async with house(tmp_path) as shop:
        shop.service.script.says("*", tool_call("price", {"item": "tea"}))
        state = await shop.run(Step("ask").act(agent(PRICE, **more), "What is it?").retry(3, "1ms"))
        calls = await shop.records(RecordKind.TOOL_CALL)

    error = state.steps["ask"].error
    assert error is not None
    assert state.status is RunStatus.FAILED
    assert (error["code"], error["where"]) == ("step-failed.iterations", "ask")
    assert error["message"] == f"the agent `clerk` came to no answer in {most} iterations"
    assert error["state"] == f"it called `price` {most} times"
    assert "max_iterations" in error["hint"]
    assert len(shop.service.asked) == len(CALLED) == len(calls) == most


async def test_an_agent_without_tools_is_asked_once_and_offers_none(tmp_path: Path) -> None:
    async with house(tmp_path, "Hm.") as shop:
        state = await shop.act(agent())

    assert state.steps["ask"].output["text"] == "Hm."
    assert "tools" not in shop.service.asked[0]


async def test_an_answer_that_should_be_json_is_asked_for_again(tmp_path: Path) -> None:
    async with house(tmp_path, "well ...", '{"sum": 3}') as shop:
        state = await shop.run(Step("ask").act(agent(), "What?", as_json=True).output("found"))

    assert state.steps["ask"].output["value"] == {"sum": 3}
    assert state.state == {"found": {"sum": 3}}
    assert "no JSON" in shop.service.asked[1]["messages"][-1]["content"]


async def test_only_the_last_turns_are_sent_again(tmp_path: Path) -> None:
    asked = [tool_call("price", {"item": "tea", "count": count}) for count in range(1, 6)]
    async with house(tmp_path, *asked, "Done.") as shop:
        await shop.act(agent(PRICE, memory_config=MemoryConfig(window_size=2)), "Count.")

    assert [shop.results(number) for number in range(6)] == [
        [], ["4.2"], ["4.2", "8.4"], ["8.4", "12.600000000000001"], ["12.600000000000001", "16.8"], ["16.8", "21.0"],
    ]  # fmt: skip
    for each in shop.service.asked:
        assert each["messages"][0] == {"role": "user", "content": "Count."}
        assert [m["role"] for m in each["messages"][1:]] == ["assistant", "tool"] * ((len(each["messages"]) - 1) // 2)


# -- tools that fail, and models that do not keep to what they were told -----------------------------------------------


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (tool_call("prise", {"item": "tea"}), "error: there is no tool `prise`; did you mean `price`?"),
        (tool_call("price", "{nonsense"), "error: the arguments are no JSON: JSONDecodeError"),
        (tool_call("price", "[1]"), "error: the arguments are no JSON object"),
        (tool_call("price", {}), "error: the arguments are not as declared: `item` is missing"),
        (tool_call("price", {"item": 3}), "`item` must be of type string, not integer"),
        (tool_call("price", {"item": "tea", "cuont": 1}), "there is no `cuont` (did you mean `count`?)"),
        (tool_call("price", {"item": "te\0a"}), "a text holds a NUL"),
        (tool_call("price", '{"item": "\\ud800"}'), "error: the arguments are no JSON: UnicodeEncodeError"),
        (tool_call("price", {"item": "x" * 70_000}), "longer than 64000 characters"),
        (tool_call("price", {"item": "coffee"}), "error: `ask` raised KeyError: 'coffee'"),
    ],
)
async def test_what_cannot_be_called_is_told_to_the_model(tmp_path: Path, call: Any, told: str) -> None:
    async with house(tmp_path, call, "I see.") as shop:
        state = await shop.act(agent(PRICE))
        (kept,) = await shop.records(RecordKind.TOOL_CALL)

    assert state.steps["ask"].output["iterations"] == 2
    assert told in shop.results(1)[0]
    assert "return" not in shop.results(1)[0]  # no line of the function's source
    assert kept["is_error"] is True
    arguments = shop.service.asked[1]["messages"][1]["tool_calls"][0]["function"]["arguments"]
    assert isinstance(json.loads(arguments), dict)


async def test_a_function_that_is_not_there_is_refused_before_the_model_is_asked(tmp_path: Path) -> None:
    async with house(tmp_path, "Never.") as shop:
        state = await shop.act(agent(PRICE.replace(":price", ":prise")))

    error = state.steps["ask"].error
    assert error is not None
    assert (error["code"], error["hint"]) == ("not-found", "did you mean `price`?")
    assert shop.service.asked == []


async def test_one_reply_may_call_so_many_tools(tmp_path: Path) -> None:
    async with house(tmp_path, tuple(tool_call("price", {"item": "tea"}) for _ in range(40)), "Enough.") as shop:
        await shop.act(agent(PRICE))

    assert len(CALLED) == 32
    assert shop.results(1)[-1].startswith("error: one reply may call 32 tools")
    assert len({call["id"] for call in shop.service.asked[1]["messages"][1]["tool_calls"]}) == 33


async def test_what_a_tool_gives_is_bounded_and_has_no_controls(tmp_path: Path) -> None:
    async with house(tmp_path, tool_call("huge"), "Long.") as shop:
        await shop.act(agent(HUGE))
        (kept,) = await shop.records(RecordKind.TOOL_CALL)

    (told,) = shop.results(1)
    assert told.startswith("\ufffd[2Jxyyy")
    assert told.endswith("[484005 characters more are left out]")
    assert len(told) < 17_000
    assert len(kept["result"]) == 2000
    assert "\x1b" not in shop.log()


async def test_what_a_function_logs_and_keeps_is_of_the_step(tmp_path: Path) -> None:
    async with house(tmp_path, tool_call("noted", {"text": "one"}), tool_call("noted", {"text": "two"}), "Ok.") as shop:
        state = await shop.act(agent(NOTED))
        said = [record["message"] for record in await shop.records(RecordKind.LOG)]

    assert state.state == {"noted": "two"}
    assert {"noted one", "noted two"} <= set(said)
    assert len(set(CALLED)) == 2  # a key for each call


# -- declared tools ----------------------------------------------------------------------------------------------------


async def test_a_command_finds_its_arguments_in_variables_and_never_in_its_text(tmp_path: Path) -> None:
    tool = ToolDefinition(
        id="weigh",
        description="Counts bytes.",
        parameters={"what": {"type": "string", "description": "The text."}, "path": {"type": "integer", "default": 7}},
        command='printf %s "$ARG_WHAT" | wc -c; echo "$ARG_PATH $MODE"; command -v wc >/dev/null',
        env={"MODE": "fast"},
        dir=str(tmp_path),
    )
    asked = tool_call("weigh", {"what": f"'\"; touch {tmp_path}/owned; $(touch {tmp_path}/owned) `id`"})
    async with house(tmp_path, asked, "Done.") as shop:
        await shop.act(agent("weigh"), tools=[tool])

    expected = len(json.loads(asked.arguments)["what"])
    assert shop.results(1) == [f"{expected}\n7 fast"]
    assert not (tmp_path / "owned").exists()
    schema = shop.service.asked[0]["tools"][0]["function"]["parameters"]
    assert schema["required"] == ["what"]
    assert schema["properties"]["path"] == {"type": "integer", "default": 7}


async def test_a_command_that_fails_or_takes_too_long_is_a_result(tmp_path: Path) -> None:
    tools = [
        ToolDefinition(id="bad", command="echo why; exit 3"),
        ToolDefinition(id="slow", command="sleep 60", timeout="200ms"),
    ]
    async with house(tmp_path, (tool_call("bad"), tool_call("slow")), "Hm.") as shop:
        state = await shop.act(agent("bad", "slow"), tools=tools)

    assert state.status is RunStatus.SUCCEEDED
    assert shop.results(1) == [
        "error: the command of `ask` ended with code 3\nwhy",
        "error: Nothing came of agent.shell.run in time",
    ]


async def test_a_request_has_its_arguments_encoded_where_they_belong(tmp_path: Path) -> None:
    seen: list[tuple[str, str, Any]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.method, request.raw_path, await request.text()))
        return web.json_response({"ok": request.headers.get("X-Key")})

    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", answer)
    async with TestServer(application) as server:
        url = str(server.make_url("/things/"))
        name, more = {"type": "string"}, {"type": "object"}
        tools = [
            ToolDefinition(id="look", url=url + "{name}", parameters={"name": name, "q": name}),
            ToolDefinition(
                id="put", method="POST", url=url + "{name}", parameters={"name": name, "body": more},
                headers={"X-Key": secret("key")},
            ),
        ]  # fmt: skip
        asked = (
            tool_call("look", {"name": "a/../b?x=1", "q": "&y=2"}),
            tool_call("put", {"name": "é", "body": {"n": 1}}),
            tool_call("look", {"name": "..", "q": ""}),
        )
        async with house(tmp_path, asked, "Done.") as shop:
            await shop.act(agent("look", "put"), tools=tools, secrets={"key": "hunter2-of-the-shop"})

    assert seen == [
        ("GET", "/things/a%2F..%2Fb%3Fx=1?q=%26y%3D2", ""),
        ("POST", "/things/%C3%A9", '{"body": {"n": 1}}'),
    ]
    assert shop.results(1) == ['{"ok": null}', '{"ok": "***"}', "error: `..` cannot stand in an address"]


# -- secrets -----------------------------------------------------------------------------------------------------------


async def test_no_secret_leaves_or_is_kept(tmp_path: Path) -> None:
    word = "hunter2-of-the-shop"
    asked = (tool_call("tell"), tool_call("price", {"item": word}))
    async with house(tmp_path, asked, f"It is {word}.") as shop:
        state = await shop.act(
            agent(TELL, PRICE, system_prompt=f"The word is {word}."), f"Is it {word}?", secrets={"word": word}
        )
        kept = json.dumps([await shop.records(kind) for kind in (RecordKind.TOOL_CALL, RecordKind.LOG)])

    assert state.steps["ask"].output["text"] == "It is ***."
    assert shop.service.asked[0]["messages"][1]["content"] == "Is it ***?"
    for text in (json.dumps(shop.service.asked), kept, shop.log(), shop.files()):
        assert "hunter2" not in text


async def test_a_secret_that_a_tool_needs_is_missed_before_the_model_is_asked(tmp_path: Path) -> None:
    model = ScriptedModel("x")
    memories = SqliteStore.open_read_only(tmp_path).memories
    verb = ModelAgent(InProcessBus(), SystemClock(), lambda _: tmp_path, Vault(), model, memories, {}).verbs()["act"]
    asked = {
        "agent": {"id": "clerk", "tools": ["look"]},
        "tools": [{"id": "look", "command": "true", "env": {"TOKEN": {"$secret": "token"}}}],
        "prompt": "What?",
    }
    message = Message("agent.model.act", asked, run_id="r-1", step_id="ask")
    other = {"agent": {"id": "clerk", "llm_backend": "defualt"}}
    for change, told in (({}, "secret `token`"), ({"prompt": ""}, "give a `prompt`"), (other, "`defualt`")):
        with pytest.raises(ParameterError, match=told):
            await verb.handler(verb.request.model_validate(asked | change), message)
    assert model.questions == []


# -- stopping, going on ------------------------------------------------------------------------------------------------


async def test_a_step_whose_time_is_over_ends_with_the_tool_that_it_waits_for(tmp_path: Path) -> None:
    tool = ToolDefinition(id="slow", command=f"echo $$ > {tmp_path}/pid; exec sleep 60")
    async with house(tmp_path, tool_call("price", {"item": "tea"}), tool_call("slow"), "Never.") as shop:
        state = await shop.run(Step("ask").act(agent(PRICE, "slow"), "Go.", tools=[tool]).timeout("1s"))
        calls = await shop.records(RecordKind.TOOL_CALL)

    error = state.steps["ask"].error
    assert error is not None
    assert error["code"] == "step-timeout"
    assert len(shop.service.asked) == 2
    assert [call["tool"] for call in calls] == ["price"]
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_a_run_that_is_cancelled_ends_with_the_tool_that_it_waits_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "began")
    tool = ToolDefinition(id="slow", command=f"echo $$ > {tmp_path}/began; exec sleep 60")
    async with house(tmp_path, tool_call("price", {"item": "tea"}), tool_call("slow"), "Never.") as shop:
        running = asyncio.create_task(shop.act(agent(PRICE, "slow"), "Go.", tools=[tool]))
        pid = int(await asyncio.to_thread((tmp_path / "began").read_text))
        assert await shop.flows.cancel(shop.run_id, "enough")
        state = await running
        calls = await shop.records(RecordKind.TOOL_CALL)
        said = [record["message"] for record in await shop.records(RecordKind.LOG)]

    assert state.status is RunStatus.CANCELLED
    assert [call["tool"] for call in calls] == ["price"]
    assert "turn 2: calls slow {}" in said
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_another_attempt_goes_on_and_calls_nothing_twice(tmp_path: Path) -> None:
    async with house(tmp_path, tool_call("busy"), "Four.") as shop:
        SERVICES[:] = [shop.service]
        state = await shop.run(Step("ask").act(agent(BUSY), "What is it?").retry(3, "1ms"))
        calls = await shop.records(RecordKind.TOOL_CALL)

    assert state.steps["ask"].output["text"] == "Four."
    assert state.steps["ask"].attempt == 3
    assert CALLED == ["busy"]
    assert [call["attempt"] for call in calls] == [1]
    assert [len(each["messages"]) for each in shop.service.asked] == [1, 3, 3, 3]


async def test_each_item_of_a_parallel_step_has_a_conversation_of_its_own(tmp_path: Path) -> None:
    async with house(tmp_path) as shop:
        for item, cost in (("tea", "4.2"), ("milk", "1.1")):
            shop.service.script.says(f"What costs {item}?", tool_call("price", {"item": item}))
            shop.service.script.says(cost, f"{item} {cost}")
        state = await shop.run(Step("ask").act(agent(PRICE), "What costs ${{ item }}?").parallel(["tea", "milk"]))

    assert [each["text"] for each in state.steps["ask"].output] == ["tea 4.2", "milk 1.1"]


async def test_odd_text_of_a_model_is_kept_and_remembered(tmp_path: Path) -> None:
    odd = "a \ud800 \x00 \u202e b"
    async with house(tmp_path, odd, "Hm.") as shop:
        state = await shop.act(agent(memory_config=MemoryConfig(long_term=True)), "What is odd?")
        await shop.act(agent(memory_config=MemoryConfig(long_term=True)), "What was odd?")

    assert state.steps["ask"].output["text"] == odd
    assert "Answered: a " in shop.service.asked[1]["messages"][0]["content"]


def test_what_a_crash_left_of_a_line_was_not_said_and_a_damaged_file_is_no_beginning(tmp_path: Path) -> None:
    path = tmp_path / "agents" / "ask.jsonl"
    first = Conversation(path)
    first.begin([{"role": "user", "content": "Do it."}])
    first.reply(ChatReply(text="", model="m", calls=(tool_call("price", {"item": "tea"}),)))
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(b'{"kind": "call", "ind')

    again = Conversation(path)
    assert again.opening == first.opening
    assert again.turns == first.turns
    assert path.read_bytes() == whole
    again.begin_call(0)
    assert Conversation(path).turns[0].begun == {0}
    path.write_bytes(whole.replace(b'"reply"', b'"rep'))
    with pytest.raises(StoreError, match="cannot be read"):
        Conversation(path)


async def test_an_agent_names_its_service(tmp_path: Path) -> None:
    one, other = ModelService(ScriptedModel("I am one.")), ModelService(ScriptedModel("I am other."))
    async with one.running(), other.running():
        table = {"url": other.url, "model": "small"}
        places = {f"paths.{name}": str(tmp_path / name) for name in ("state", "config", "runtime")}
        async with open_flows(
            places | {"models.url": one.url, "models.model": "big", "llm_backends.small": table}
        ) as flows:
            said = []
            for name in ("", "default", "small", "smal"):
                agent = AgentDefinition(id="clerk", llm_backend=name)
                one.script.says("*", "I am one.")
                run = flows.prepare(Workflow("w").add(Step("ask").act(agent, "Who?")), {})
                step = (await flows.run(run)).steps["ask"]
                said.append(step.output["text"] if step.output else (step.error or {})["hint"])

    assert said == ["I am one.", "I am one.", "I am other.", "did you mean `small`?"]
    assert [each["model"] for each in (*one.asked, *other.asked)] == ["big", "big", "small"]


# -- memory ------------------------------------------------------------------------------------------------------------


def remembering(collection: str = "", agent_id: str = "clerk", *, long_term: bool = True) -> AgentDefinition:
    return AgentDefinition(id=agent_id, memory_config=MemoryConfig(long_term=long_term, collection=collection))


async def test_an_agent_that_remembers_is_given_what_fits_of_its_collection(tmp_path: Path) -> None:
    async with house(tmp_path, "Green.", "Ten.", "As before.", "Hm.", "Hm.", "Hm.") as shop:
        await shop.act(remembering("shop"), "Which colour has the fence?")
        first = shop.run_id
        await shop.act(remembering("shop", "other"), "How many cows are there?")
        await shop.act(remembering("shop"), "What colour was that fence, again?")
        await shop.act(remembering("farm"), "What colour was that fence, again?")
        await shop.act(remembering(), "What colour was that fence, again?")
        await shop.act(remembering("shop", long_term=False), "What colour was that fence, again?")
        kept = await shop.memories("shop", "which colour fence cows")
        own = await shop.memories("clerk", "colour")

    asked = [each["messages"][0]["content"] for each in shop.service.asked]
    assert asked[0] == "Which colour has the fence?"
    assert asked[2].startswith("Notes of earlier tasks.")
    assert "- Asked: Which colour has the fence?\n  Answered: Green." in asked[2]
    assert asked[2].endswith("The task now:\n\nWhat colour was that fence, again?")
    assert asked[3] == asked[4] == asked[5] == "What colour was that fence, again?"
    assert [(each["asked"], each["answered"], each["agent"]) for each in kept] == [
        ("Which colour has the fence?", "Green.", "clerk"),
        ("What colour was that fence, again?", "As before.", "clerk"),
        ("How many cows are there?", "Ten.", "other"),
    ]
    assert kept[0]["run_id"] == first
    assert [each["answered"] for each in own] == ["Hm."]


async def test_without_long_term_nothing_is_kept_nor_read(tmp_path: Path) -> None:
    async with house(tmp_path, "Green.", "Hm.") as shop:
        await shop.act(remembering("shop", long_term=False), "Which colour has the fence?")
        await shop.act(remembering("shop"), "Which colour has the fence?")
        kept = await shop.memories("shop", "fence")

    assert shop.service.asked[1]["messages"][0]["content"] == "Which colour has the fence?"
    assert [each["answered"] for each in kept] == ["Hm."]


async def test_no_secret_is_remembered(tmp_path: Path) -> None:
    word = "hunter2-of-the-shop"
    async with house(tmp_path, f"It is {word}.", "Hm.") as shop:
        await shop.act(remembering("shop"), f"Is the word {word}?", secrets={"word": word})
        await shop.act(remembering("shop"), "What is the word?")
        kept = await shop.memories("shop", "word")

    assert [each["asked"] for each in kept] == ["What is the word?", "Is the word ***?"]
    assert "hunter2" not in json.dumps([kept, shop.service.asked])


async def test_a_step_that_fails_leaves_no_memory(tmp_path: Path) -> None:
    async with house(tmp_path) as shop:
        shop.service.script.says("*", tool_call("price", {"item": "tea"}))
        memory = MemoryConfig(long_term=True)
        await shop.act(agent(PRICE, memory_config=memory, max_iterations=1), "What costs tea?")
        kept = await shop.memories("clerk", "tea")

    assert kept == []
