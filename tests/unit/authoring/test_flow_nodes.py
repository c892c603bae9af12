"""Scopes, choices, edges, locks, schedules: the same in every form, and what is wrong is said at its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from workflow_agent.authoring import dump_workflow, load_workflow, read_definition
from workflow_agent.authoring.builder import Step, Workflow
from workflow_agent.authoring.flow_source import load_flow, read_any
from workflow_agent.authoring.sdk.compiling import compile_workflow
from workflow_agent.authoring.sdk.decorators import step, workflow
from workflow_agent.model.errors import ValidationError
from workflow_agent.model.workflow import InputSpec
from workflow_agent.model.workflow import Workflow as Definition

MODEL = """
name: claims
version: "1"
inputs: {size: {type: integer, default: 1}}
concurrency: {key: "claims-${{ inputs.size }}", limit: 2, on_conflict: refuse}
priority: 7
schedule: [{cron: "30 2 * * *", timezone: Europe/Berlin, catch_up: latest, inputs: {size: 5}}]
max_workers: 4
steps:
  - id: route
    uses: flow.choice
    with: {cases: [{name: large, when: "${{ inputs.size > 10 }}"}], default: small}
  - id: pay
    uses: flow.scope
    needs: [route]
    edges: {route: large}
    timeout_s: 90
    lock: account
    steps:
      - {id: reserve, uses: shell.run, with: {command: reserve}}
      - {id: inner, uses: flow.scope, needs: [reserve], steps: [{id: charge, uses: shell.run, with: {command: charge}}]}
    catch: [{id: refund, uses: shell.run, with: {command: refund}}]
    finally: [{id: unlock, uses: shell.run, with: {command: unlock}}]
  - {id: ask, uses: shell.run, with: {command: ask, env: {ITEM: "${{ item }}"}}, each: "[1, 2, 3]", enough: done >= 2,
     rest: finish, grows: true}
  - {id: poll, uses: shell.run, with: {command: poll}, until: "iteration == 3", max_iterations: 5,
     rate: {key: api, limit: 5, per_s: 60}}
  - {id: either, uses: flow.pass, needs: [pay, ask], join: any, cancels: [ask, poll]}
  - {id: soon, uses: flow.pass, needs: [either, poll], join_until: steps.either.status == "succeeded"}
  - {id: said, uses: flow.emit, with: {name: done, data: 5}, needs: [soon]}
  - {id: over, uses: flow.end, with: {status: failed, reason: enough}, needs: [said], edges: {said: failure}}
  - {id: book, uses: hotel.book, undo: {uses: hotel.cancel, with: {why: late}}}
"""
PEOPLE = """
name: claims
version: "1"
inputs: {size: {type: integer, default: 1}}
concurrency: {key: "claims-${{ inputs.size }}", limit: 2, on_conflict: refuse}
priority: 7
schedule: [{cron: "30 2 * * *", timezone: Europe/Berlin, catch_up: latest, inputs: {size: 5}}]
max_workers: 4
steps:
  - name: route
    uses: flow.choice
    with: {cases: [{name: large, when: "${{ inputs.size > 10 }}"}], default: small}
  - name: pay
    uses: flow.scope
    depends_on: [route]
    edges: {route: large}
    timeout: 90s
    lock: account
    steps:
      - {name: reserve, command: reserve}
      - {name: inner, uses: flow.scope, depends_on: [reserve], steps: [{name: charge, command: charge}]}
    catch: [{name: refund, command: refund}]
    finally: [{name: unlock, command: unlock}]
  - {name: ask, command: ask, items: "[1, 2, 3]", enough: done >= 2, rest: finish, grows: true}
  - {name: poll, command: poll, until: "iteration == 3", max_iterations: 5, rate: {key: api, limit: 5, per_s: 1m}}
  - {name: either, uses: flow.pass, depends_on: [pay, ask], join: any, cancels: [ask, poll]}
  - {name: soon, uses: flow.pass, depends_on: [either, poll], join_until: steps.either.status == "succeeded"}
  - {name: said, uses: flow.emit, with: {name: done, data: 5}, depends_on: [soon]}
  - {name: over, uses: flow.end, with: {status: failed, reason: enough}, depends_on: [said], edges: {said: failure}}
  - {name: book, uses: hotel.book, undo: {uses: hotel.cancel, with: {why: late}}}
"""


def fluent() -> Workflow:
    pay = (
        Step("pay")
        .scope(
            Step("reserve", "reserve"),
            Step("inner").depends("reserve").scope(Step("charge", "charge")),
            catch=[Step("refund", "refund")],
            final=[Step("unlock", "unlock")],
        )
        .after("route", "large")
        .timeout("90s")
        .lock("account")
    )
    steps = [
        Step("route").choice({"large": "inputs.size > 10"}, "small"),
        pay,
        Step("ask", "ask").parallel("[1, 2, 3]").enough("done >= 2", finish=True).grows(),
        Step("poll", "poll").until("iteration == 3", 5).rate("api", 5, "1m"),
        Step("either").uses("flow.pass").join("any", "pay", "ask").cancels("ask", "poll"),
        Step("soon").uses("flow.pass").join_until('steps.either.status == "succeeded"', "either", "poll"),
        Step("said").emit("done", 5).depends("soon"),
        Step("over").end("failed", reason="enough").depends("said").after("said", "failure"),
        Step("book").uses("hotel.book").undo("hotel.cancel", why="late"),
    ]
    made = Workflow("claims", steps=steps).params(size=1).concurrency("claims-${{ inputs.size }}", 2, "refuse")
    return (
        made.priority(7)
        .schedule("30 2 * * *", "Europe/Berlin", catch_up="latest", inputs={"size": 5})
        .more(max_workers=4)
    )


def test_every_form_gives_the_same_definition() -> None:
    model = load_workflow(MODEL, source="model.yaml")

    assert [each.id for each in model.steps][:8] == [
        "route", "pay", "reserve", "inner", "charge", "refund", "unlock", "ask",
    ]  # fmt: skip
    assert load_flow(PEOPLE, source="people.yaml").to_dict() == model.to_dict()
    assert fluent().compile().to_dict() == model.to_dict()
    assert read_any(PEOPLE, source="people.yaml").hash == fluent().hash == model.hash


def test_what_is_written_is_read_back_and_a_kept_definition_is_read() -> None:
    model = load_workflow(MODEL, source="model.yaml")

    assert load_workflow(dump_workflow(model), source="again.yaml") == model
    assert read_definition(json.loads(json.dumps(model.to_dict()))) == model


def test_a_chain_leaves_what_is_in_scopes_alone() -> None:
    made = Workflow("w").add(Step("a", "a")).add(Step("s").scope(Step("b", "b"), Step("c", "c"))).step("d", "d").chain()

    assert {each.id: each.needs for each in made.compile().steps} == {
        "a": (), "s": ("a",), "b": (), "c": (), "d": ("s",),
    }  # fmt: skip


def test_small_words_of_the_fluent_form() -> None:
    steps = [
        Step("a").choice({"x": "true"}, every=True),
        Step("b").emit("go"),
        Step("c", "c").until("true"),
        Step("d", "d").parallel([1]).enough("true"),
        Step("e").uses("hotel.book").undo("hotel.cancel"),
        Step("f").end(),
    ]

    made = {each.id: each for each in Workflow("w", steps=steps).compile().steps}

    assert made["a"].with_ == {"cases": [{"name": "x", "when": "${{ true }}"}], "every": True}
    assert (made["b"].with_, made["c"].max_iterations, made["d"].rest) == ({"name": "go"}, None, "stop")
    assert (made["e"].undo, made["f"].with_) == ({"uses": "hotel.cancel"}, {"status": "succeeded"})


def test_decorators_say_what_is_natural_in_python() -> None:
    @workflow(name="jobs", concurrency={"key": "jobs"}, priority=9, schedule=[{"cron": "@daily"}])
    class Jobs:
        @step(lock="db", rate={"key": "api", "limit": 2, "per_s": "1m"})
        def fetch(self) -> int:
            return 1

        @step(until="previous.value == 3", max_iterations=9)
        def poll(self) -> int:
            return 3

        @step(depends_on=["fetch"], edges={"fetch": "failure"})
        def sorry(self) -> None: ...

        @step(
            depends_on=["fetch", "poll"], join="any", cancels=["poll"], when=lambda fetch_result, poll_result: True
        )  # names say which results
        def first(self) -> None: ...

    made = compile_workflow(Jobs)
    steps = {each.id: each for each in made.steps}

    assert made.concurrency == {"key": "jobs", "limit": 1, "on_conflict": "wait"}
    assert (made.priority, made.schedule[0]["overlap"]) == (9, "skip")
    assert (steps["fetch"].lock, steps["fetch"].rate) == ("db", {"key": "api", "limit": 2, "per_s": 60.0})
    assert (steps["poll"].until, steps["poll"].max_iterations) == ("previous.value == 3", 9)
    assert steps["sorry"].edges == {"fetch": "failure"}
    assert (steps["first"].join, steps["first"].cancels) == ("any", ("poll",))


# -- what is wrong, and where ----------------------------------------------------------------------------------------


def refused(text: str, read: Any = load_workflow) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        read(text, source="w.yaml")
    return [(each["path"], each["message"]) for each in caught.value.details["problems"]]


def of(steps: str, more: str = "") -> str:
    return f'name: w\nversion: "1"\n{more}\nsteps:\n{steps}'


A = "  - {id: a, uses: x.y}\n"
INPUTS = "inputs: {n: {type: integer}, t: {type: string}, l: {type: array}, o: {type: object}, b: {type: boolean}}"


@pytest.mark.parametrize(
    ("steps", "path", "message"),
    [
        (A + "  - {id: b, uses: x.y, edges: {a: success}}", "steps.1.edges.a", "`b` does not need `a`"),
        (A + "  - {id: b, uses: x.y, needs: [a], edges: {a: sucess}}", "steps.1.edges.a", "`a` has no end `sucess`"),
        (A + "  - {id: b, uses: x.y, cancels: [c]}", "steps.1.cancels.0", "there is no step `c`"),
        (A + "  - {id: b, uses: x.y, cancels: [b]}", "steps.1.cancels.0", "a step cannot cancel itself"),
        (
            A + "  - {id: b, uses: x.y, always: true, cancels: [a]}",
            "steps.1.cancels.0",
            "only main steps cancel, and are cancelled",
        ),
        (
            A + "  - {id: b, uses: x.y, needs: [a], join: 2}",
            "steps.1.join",
            "`b` never runs: it waits for 2 of 1 needs",
        ),
        (
            A + "  - {id: b, uses: x.y, join_until: 'true'}",
            "steps.1.join_until",
            "a step that waits until something holds has `needs`",
        ),
        (
            A + "  - {id: b, uses: x.y, needs: [a], join: any, join_until: 'true'}",
            "steps.1.join_until",
            "a step says `join` or `join_until`, not both",
        ),
        (A + "  - {id: b, uses: x.y, enough: done > 1}", "steps.1.enough", "only a step with `each` has items"),
        (A + "  - {id: b, uses: x.y, grows: true}", "steps.1.grows", "only a step with `each` has items"),
        (A + "  - {id: b, uses: x.y, rest: finish}", "steps.1.rest", "only a step with `enough` leaves a rest"),
        (A + "  - {id: b, uses: x.y, part: catch}", "steps.1.part", "only a step of a scope belongs to a part of one"),
        (A + "  - {id: b, uses: x.y, scope: a}", "steps.1.scope", "there is no scope `a`"),
        (A + "  - {id: b, uses: flow.scope}", "steps.1", "the scope `b` holds no steps"),
        (
            "  - {id: s, uses: flow.scope, scope: t}\n  - {id: t, uses: flow.scope, scope: s}",
            "steps.0.scope",
            "scopes are in each other: s → t → s",
        ),
        (
            "  - {id: s, uses: flow.scope, steps: [{id: b, uses: x.y, always: true}]}",
            "steps.0.steps.0.scope",
            "a step of a scope is one of the main steps",
        ),
        (
            "  - {id: s, uses: flow.scope, always: true, steps: [{id: b, uses: x.y}]}",
            "steps.0.uses",
            "`flow.scope` is for the main steps",
        ),
        (
            "  - {id: s, uses: flow.scope, steps: [{id: b, uses: x.y, needs: [a]}]}\n" + A,
            "steps.0.steps.0.needs.0",
            "`b` and `a` are not in the same scope",
        ),
        ("  - {id: s, uses: flow.scope, steps: {id: b}}", "steps.0.steps", "must be a list of steps"),
        ("  - {id: s, uses: flow.scope, stps: [{id: b, uses: x.y}]}", "steps.0.stps", "there is no such key"),
        (
            "  - {id: s, uses: flow.scope, steps: [{id: b, uses: x.y, neds: [a]}]}",
            "steps.0.steps.0.neds",
            "there is no such key",
        ),
        (
            "  - {id: s, uses: flow.scope, each: '[1]', steps: [{id: b, uses: x.y}]}",
            "steps.0.each",
            "a step that the engine carries out (`flow.scope`) has no `each`",
        ),
        (
            "  - {id: p, uses: flow.pass, lock: k}",
            "steps.0.lock",
            "a step that the engine carries out (`flow.pass`) has no `lock`",
        ),
        (
            "  - {id: p, uses: flow.pass, retry: {attempts: 2}}",
            "steps.0.retry",
            "a step that the engine carries out (`flow.pass`) has no `retry`",
        ),
        (
            "  - {id: e, uses: flow.end}\n  - {id: b, uses: x.y, needs: [e]}",
            "steps.1.needs.0",
            "`b` never runs: `e` ends the run",
        ),
        (A + "  - {id: b, uses: x.y, when: 1 > 2}", "steps.1.when", "`b` never runs: its condition never holds"),
        ("  - {id: c, uses: flow.choice}", "steps.0", "`flow.choice` needs `cases`"),
        (
            "  - {id: c, uses: flow.choice, with: {cases: [{name: x}]}}",
            "steps.0.with.cases.0",
            "a case has a `name` and a `when`",
        ),
        (
            "  - {id: c, uses: flow.choice, with: {cases: [{name: x, when: a > 1}]}}",
            "steps.0.with.cases.0.when",
            "a case's `when` is a text, which is not true or false",
        ),
        (
            "  - {id: c, uses: flow.choice, with: {cases: [{name: skip, when: true}]}}",
            "steps.0.with.cases.0.name",
            "`skip` is an end that every step can have, no name of a case",
        ),
        ("  - {id: c, uses: flow.emit, with: {nam: x}}", "steps.0", "`flow.emit` needs `name`"),
        ("  - {id: c, uses: wait.timer}", "steps.0", "`wait.timer` needs `seconds` or `until`"),
        (
            "  - {id: c, uses: workflow.run, with: {workflow: w, input: {}}}",
            "steps.0.with.input",
            "`workflow.run` has no `input`",
        ),
        (A + "  - {id: b, uses: x.y, lock: '${{ steps.c.output }}'}", "steps.1.lock", "there is no `steps.c`"),
        (A + "  - {id: b, uses: x.y, lock: '${{ 1 + }}'}", "steps.1.lock", "unexpected character '+' (column 3)"),
        (
            A + "  - {id: b, uses: x.y, rate: {key: k, limit: 0, per_s: 1}}",
            "steps.1.rate.limit",
            "Input should be greater than or equal to 1",
        ),
    ],
)
def test_what_can_never_be_is_refused_at_its_place(steps: str, path: str, message: str) -> None:
    found = refused(of(steps))

    assert (path, message) in found


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("each", "inputs.n", "`each` must give a list, and this is of type integer"),
        ("when", "inputs.t", "`when` must give true or false, and this is of type string"),
        ("when", "len(inputs.l)", "`when` must give true or false, and this is of type integer"),
        ("when", "inputs.n < inputs.t", "`<` compares two numbers or two texts, not integer and string"),
        ("when", "inputs.l > 1", "`>` compares two numbers or two texts, not array and integer"),
        ("when", "inputs.n == 'five'", "a value of type integer is never equal to one of type string"),
        ("when", "inputs.n in 5", "nothing is in a value of type integer"),
        ("when", "inputs.n in inputs.t", "a value of type integer cannot be in one of type string"),
        ("when", "inputs.t.first == 1", "`inputs.t` is of type string, and has no part `first`"),
        ("when", "inputs.o[0] == 1", "`inputs.o` is of type object, and has no part `0`"),
        ("when", "len(inputs.n) > 1", "a value of type integer has no length"),
        ("when", "inputs.b and inputs.n", "`and`, `or` and `not` take true or false, not a value of type integer"),
        ("when", "not inputs.t", "`and`, `or` and `not` take true or false, not a value of type string"),
        ("when", "default(inputs.n, 5)", "`when` must give true or false, and this is of type integer"),
        ("when", "[1, len(inputs.b)] == inputs.l", "a value of type boolean has no length"),
    ],
)
def test_an_input_is_used_as_what_it_is_declared(key: str, text: str, message: str) -> None:
    assert refused(of(f'  - {{id: b, uses: x.y, {key}: "{text}"}}', INPUTS)) == [(f"steps.0.{key}", message)]


@pytest.mark.parametrize(
    "text",
    [
        "inputs.b",
        "inputs.n > 1.5",
        "inputs.t in ['a']",
        "inputs.n == null",
        "inputs.n in inputs.l",
        "inputs.t in inputs.o",
        "inputs.l[0] == 5",
        "inputs.o.a.b == 1",
        "default(inputs.b, false)",
        "default(inputs.o.a, 1) == 1",
        "run.id == 'x'",
        "inputs.b or null",
    ],
)
def test_what_fits_is_taken(text: str) -> None:
    assert load_workflow(of(f'  - {{id: b, uses: x.y, when: "{text}"}}', INPUTS), source="w.yaml").steps[0].when == text


@pytest.mark.parametrize(
    ("more", "path", "message"),
    [
        (
            "schedule: [{cron: '* * *'}]",
            "schedule.0.cron",
            "a cron expression has five fields: minute, hour, day of month, month, day of week",
        ),
        (
            "schedule: [{cron: '@daily', timezone: Mars/Base}]",
            "schedule.0.timezone",
            "there is no time zone `Mars/Base` on this machine",
        ),
        (
            "schedule: [{cron: '@daily', overlap: both}]",
            "schedule.0.overlap",
            "must be one of skip, queue, allow, cancel",
        ),
        ("schedule: [{cron: '@daily', cach_up: all}]", "schedule.0.cach_up", "there is no such key"),
        (
            "schedule: [{cron: '@daily'}, {cron: '@daily', overlap: skip}]",
            "schedule.1",
            "there are two schedules with these times and inputs",
        ),
        ("schedule: [{cron: '@daily', inputs: {m: 1}}]\n" + INPUTS, "schedule.0.inputs.m", "there is no input `m`"),
        (
            "schedule: [{cron: '@daily', inputs: {n: x}}]\n" + INPUTS,
            "schedule.0.inputs.n",
            "must be of type integer, not string",
        ),
        (
            "schedule: [{cron: '@daily', inputs: {t: '${{ schedule.at }}'}}]\n" + INPUTS,
            "schedule.0.inputs.t",
            "there is no `schedule.at`",
        ),
        (
            "schedule: [{cron: '@daily', inputs: {t: '${{ 1 + }}'}}]\n" + INPUTS,
            "schedule.0.inputs.t",
            "unexpected character '+'",
        ),
        ("schedule: [{cron: '@daily'}]\ninputs: {n: {required: true}}", "schedule.0", "the input `n` is missing"),
        ("concurrency: {key: 'a-${{ steps.a.output }}'}", "concurrency.key", "there is nothing called `steps` here"),
        ("concurrency: {key: k, limt: 1}", "concurrency.limt", "there is no such key"),
    ],
)
def test_what_holds_of_the_whole_is_checked(more: str, path: str, message: str) -> None:
    assert (path, message) in refused(of(A, more))


def test_places_in_the_form_of_people() -> None:
    text = """
name: w
schedule: [{cron: "* *"}]
steps:
  - name: s
    uses: flow.scope
    steps:
      - {name: a, command: a, edges: {b: failure}}
"""
    with pytest.raises(ValidationError) as caught:
        load_flow(text, source="w.yaml")

    assert [each["where"] for each in caught.value.details["problems"]] == ["w.yaml:3:13", "w.yaml:8:39"]
    assert refused(text.replace("failure}", "failure}, join: [1]"), load_flow)[0][0].startswith("steps.0.steps.0.join.")
    assert ("steps.0.use", "there is no such key") in refused(text.replace("    uses", "    use"), load_flow)


def test_keys_of_parts_of_a_step_are_known() -> None:
    steps = "  - {id: a, uses: x.y, retry: {atempts: 1}, undo: {use: x.y}, rate: {kye: k}}"

    found = dict(refused(of(steps)))

    assert {path for path, message in found.items() if message == "there is no such key"} == {
        "steps.0.retry.atempts", "steps.0.undo.use", "steps.0.rate.kye",
    }  # fmt: skip


def test_scopes_have_a_depth() -> None:
    inner: dict[str, Any] = {"id": "s17", "uses": "x.y"}
    for depth in range(17):
        inner = {"id": f"d{depth}", "uses": "flow.scope", "steps": [inner]}
    text = json.dumps({"name": "w", "version": "1", "steps": [inner]})

    (found,) = refused(text)

    assert found[1] == "scopes are nested deeper than 16"


def test_the_hash_of_what_says_nothing_new_is_as_before() -> None:
    plain = Definition(
        name="w", version="1", steps=load_workflow(of(A), source="w.yaml").steps, inputs={"n": InputSpec()}
    )

    assert set(plain.to_dict()) == {"schema", "name", "version", "steps", "inputs"}
    assert set(plain.steps[0].to_dict()) == {"id", "uses"}
