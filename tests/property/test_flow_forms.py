"""The same workflow, written in every form, is the same definition."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_agent import (
    AgentDefinition,
    ErrorHandler,
    MemoryConfig,
    RetryPolicy,
    Step,
    ToolDefinition,
    Workflow,
    secret,
    step,
    workflow,
)  # fmt: skip
from workflow_agent.authoring import dump_workflow, load_workflow
from workflow_agent.authoring.flow_source import load_flow
from workflow_agent.authoring.sdk.compiling import compile_workflow

if TYPE_CHECKING:
    from collections.abc import Callable

    from workflow_agent.model.workflow import Workflow as Definition

_DURATIONS = {90: ("90s", "1m30s", 90), 3600: ("1h", "60m", 3600), 0.25: ("250ms", 0.25, "0.25s")}


@st.composite
def retries(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "max_attempts": draw(st.integers(1, 9)),
        "backoff": draw(st.sampled_from(["exponential", "constant"])),
        "max_delay": draw(st.sampled_from(["1m", 60, "1h"])),
    }


@st.composite
def definitions(draw: st.DrawFn) -> dict[str, Any]:
    """What an author wants to say, as plain data in the form of YAML."""
    names = [f"step{number}" for number in range(draw(st.integers(1, 6)))]
    steps: list[dict[str, Any]] = []
    for index, name in enumerate(names):
        said: dict[str, Any] = {"name": name, "function": f"shop.jobs:Jobs.{name}"}
        before = [
            other for other in names[:index] if not next(s for s in steps if s["name"] == other).get("always_run")
        ]
        needs = draw(st.lists(st.sampled_from(before), unique=True)) if before else []
        said |= {"depends_on": needs} if needs else {}
        kind = draw(st.sampled_from(["plain", "parallel", "dynamic", "always"]))
        if kind == "parallel":
            said |= {"parallel": True, "max_workers": draw(st.integers(1, 5))}
        elif kind == "dynamic" and len(needs) == 1:
            said |= {"dynamic": True}
        elif kind == "always":
            said |= {"always_run": True}
        said |= draw(st.fixed_dictionaries({}, optional={
            "when": st.sampled_from(["inputs.input.size > 3", "len(state) == 0"]),
            "timeout": st.sampled_from([choice for texts in _DURATIONS.values() for choice in texts]),
            "retry": retries(),
            "on_error": st.just("continue"),
            "pure": st.just(True),
        }))  # fmt: skip
        steps.append(said)
    return {
        "name": draw(st.sampled_from(["nightly", "a-b", "x_1"])),
        "version": draw(st.sampled_from(["1", "2.0"])),
        "steps": steps,
        **draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "timeout": st.sampled_from(["2h", "120m", 7200]),
                    "retry": retries(),
                    "durability": st.sampled_from(["strict", "pipelined", "exit"]),
                },
            )
        ),
    }


_CLERK = AgentDefinition(
    id="clerk", tools=("shop.jobs:price", "weigh"), max_iterations=3, memory_config=MemoryConfig(window_size=4)
)
_WEIGH = ToolDefinition(id="weigh", command="wc -c", parameters={"what": {"type": "string"}})
_OTHER = ToolDefinition(id="other", command="true")
#: The same two, and what is as it would be if it were left out.
_PARTS: dict[str, Any] = {
    "agents": [
        {"id": "clerk", "name": "", "tools": ["shop.jobs:price", "weigh"], "max_iterations": 3,
         "memory_config": {"window_size": 4, "long_term": False}},
        {"id": "unused"},
    ],
    "tools": [
        {"id": "weigh", "command": "wc -c", "parameters": {"what": {"type": "string"}}, "timeout": "1m"},
        {"id": "other", "command": "true"},
    ],
}  # fmt: skip


#: What each step that is no function says, in YAML and in the fluent form.
_WORDS: dict[str, tuple[dict[str, Any], Callable[[Step], Step]]] = {
    "command": (
        {"command": "make", "env": {"A": "1", "T": {"$secret": "token"}}, "dir": "/x", "with": {"stop_signal": "INT"}},
        lambda step: step.shell("make").env(A="1", T=secret("token")).dir("/x").signal_on_stop("INT"),
    ),
    "exit codes": (
        {"command": "make", "with": {"exit_codes": [0, 3], "keep_as": "made"}},
        lambda step: step.script("make").continue_on(exit_code=[3]).output("made"),
    ),
    "container": (
        {"image": "a:1", "with": {"command": ["x"], "services": [{"name": "s", "image": "b:1", "ready": ["true"]}]}},
        lambda step: step.docker("a:1", ["x"]).with_service("s", "b:1", ready=["true"]),
    ),
    "http": (
        {"uses": "http.request", "with": {"url": "https://example.org", "method": "POST", "body": {"a": 1},
                                          "headers": {"A": {"$secret": "token", "before": "Bearer "}}}},
        lambda step: step.http("https://example.org", "POST", {"A": secret("token", "Bearer ")}, {"a": 1}),
    ),
    "ssh": (
        {"uses": "ssh.run", "with": {"host": "web1", "command": "uptime", "user": "ann", "port": 2222}},
        lambda step: step.ssh("web1", "uptime", "ann", 2222),
    ),
    "model": ({"uses": "model.chat", "with": {"prompt": "who?", "as_json": True}},
              lambda step: step.chat("who?", as_json=True)),
    "agent": (
        {"agent": "clerk", "prompt": "who?", "with": {"as_json": True}},
        lambda step: step.act(_CLERK, "who?", [_OTHER, _WEIGH], as_json=True),
    ),
    "webhook": ({"uses": "notify.webhook", "with": {"url": {"$secret": "hook"}, "text": "done"}},
                lambda step: step.webhook(secret("hook"), "done")),
    "file": ({"uses": "notify.file", "with": {"path": "/tmp/x", "text": "done"}},
             lambda step: step.note("/tmp/x", "done")),
    "timer": ({"uses": "wait.timer", "with": {"seconds": 3}}, lambda step: step.wait(3)),
    "workflow": ({"uses": "workflow.run", "with": {"workflow": "other", "inputs": {"a": 1}}},
                 lambda step: step.sub_workflow("other", a=1)),
}  # fmt: skip


@given(st.lists(st.sampled_from(sorted(_WORDS)), min_size=1, max_size=5), st.booleans())
def test_steps_without_python_have_one_hash_in_every_form(kinds: list[str], is_chain: bool) -> None:
    named = [(f"step{number}", kind) for number, kind in enumerate(kinds)]
    said = {"name": "words", "chain": is_chain, "steps": [{"name": name, **_WORDS[kind][0]} for name, kind in named]}
    said |= _PARTS if "agent" in kinds else {}
    made = Workflow("words", steps=[_WORDS[kind][1](Step(name)) for name, kind in named])
    body = {name: _WORDS[kind][1](Step(name)) for name, kind in named}
    if is_chain:
        made.chain()
        for before, (name, _) in pairwise([("", ""), *named]):
            body[name].depends(*filter(None, [before[0]]))
    cls = workflow(name="words")(type("Words", (), {"__module__": "shop.jobs", "__qualname__": "Words", **body}))
    forms = {
        "yaml": load_flow(yaml.safe_dump(json.loads(json.dumps(said)), sort_keys=False), source="w.yaml"),
        "json": load_flow(json.dumps(said), source="w.json"),
        "fluent": made.compile(),
        "decorated": compile_workflow(cls),
    }

    assert {name: form.hash for name, form in forms.items()} == dict.fromkeys(forms, forms["yaml"].hash)
    compiled = load_workflow(dump_workflow(forms["fluent"]), source="compiled.yaml")
    assert compiled.hash == forms["yaml"].hash


def decorated(said: dict[str, Any]) -> Definition:
    """Write it as a class."""
    body: dict[str, Any] = {"__module__": "shop.jobs", "__qualname__": "Jobs"}
    for one in said["steps"]:

        def method(self: object) -> None:
            """Says something that is no part of the identity."""

        method.__name__ = one["name"]
        method.__qualname__ = f"Jobs.{one['name']}"
        method.__module__ = "shop.jobs"
        retry = RetryPolicy(**one["retry"]) if "retry" in one else None
        body[one["name"]] = step(
            name=one["name"],
            depends_on=one.get("depends_on", ()),
            timeout=one.get("timeout"),
            parallel=bool(one.get("parallel") or one.get("dynamic")),
            dynamic=bool(one.get("dynamic")),
            max_workers=one.get("max_workers"),
            when=one.get("when"),
            retry_policy=retry,
            error_handler=ErrorHandler(one.get("on_error", "fail")),
            always_run=bool(one.get("always_run")),
            pure=bool(one.get("pure")),
        )(method)
    cls = type("Jobs", (), body)
    retry = RetryPolicy(**said["retry"]) if "retry" in said else None
    made = workflow(
        name=said["name"], version=said["version"], description="for people", timeout=said.get("timeout"),
        retry_policy=retry, durability=said.get("durability", "strict"),
    )(cls)  # fmt: skip
    return compile_workflow(made)


def fluent(said: dict[str, Any]) -> Definition:
    """Write it as calls."""
    made = Workflow(said["name"], "said otherwise").version(said["version"])
    if "timeout" in said:
        made.timeout(said["timeout"])
    if "durability" in said:
        made.durability(said["durability"])
    if "retry" in said:
        made.retry(RetryPolicy(**said["retry"]))
    for one in said["steps"]:
        each = Step(one["name"]).python(one["function"]).depends(one.get("depends_on", []))
        if "when" in one:
            each.when(one["when"])
        if "timeout" in one:
            each.timeout(one["timeout"])
        if "retry" in one:
            each.retry(RetryPolicy(**one["retry"]))
        if one.get("dynamic"):
            each.dynamic()
        elif one.get("parallel"):
            each.parallel(max_concurrent=one["max_workers"])
        if one.get("always_run"):
            each.always()
        if one.get("pure"):
            each.pure()
        made.add(each.continue_on(one.get("on_error") == "continue"))
    return made.compile()


def other_durations(said: dict[str, Any]) -> dict[str, Any]:
    """Say the same times in other words."""
    words = {text: texts[0] for texts in _DURATIONS.values() for text in texts}
    return said | {
        "steps": [one | ({"timeout": words[one["timeout"]]} if "timeout" in one else {}) for one in said["steps"]]
    }


@settings(max_examples=250)
@given(definitions())
def test_all_forms_have_one_hash(said: dict[str, Any]) -> None:
    forms = {
        "yaml": load_flow(yaml.safe_dump(said, sort_keys=False), source="w.yaml"),
        "yaml, otherwise": load_flow(yaml.safe_dump(other_durations(said), sort_keys=True), source="w.yaml"),
        "json": load_flow(json.dumps(said), source="w.json"),
        "fluent": fluent(said),
        "decorated": decorated(said),
    }

    assert {name: form.hash for name, form in forms.items()} == dict.fromkeys(forms, forms["yaml"].hash)
    compiled = load_workflow(dump_workflow(forms["decorated"]), source="compiled.yaml")
    assert compiled.hash == forms["yaml"].hash


@given(definitions())
def test_another_step_is_another_definition(said: dict[str, Any]) -> None:
    more = said | {"steps": [*said["steps"], {"name": "one-more", "function": "shop.jobs:Jobs.one_more"}]}

    assert fluent(more).hash != fluent(said).hash
