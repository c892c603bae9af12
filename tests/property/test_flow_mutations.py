"""Definitions in which a part is of another kind, gone, or elsewhere: read, or refused with a place; never a defect.

The same with many more mutations is a long trial: ``-m long``.
"""

from __future__ import annotations

import copy
import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.authoring.flow_source import read_any
from workflow_agent.engine import plan_of
from workflow_agent.model.errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Texts that between them have every key of the forms.
GOOD: tuple[dict[str, Any], ...] = (
    {
        "name": "nightly",
        "timeout": "1h",
        "durability": "strict",
        "retry": {"max_attempts": 3, "backoff": "exponential", "initial_delay": 1, "max_delay": "5m", "factor": 2},
        "inputs": {"day": {"type": "string", "required": True, "description": "which"}},
        "steps": [
            {"name": "fetch", "command": "echo", "env": {"DAY": "${{ inputs.day }}"}, "pure": True},
            {
                "name": "shout",
                "command": "tr",
                "env": {"TEXT": "${{ steps.fetch.output.stdout }}"},
                "depends_on": ["fetch"],
                "when": 'inputs.day != "sunday"',
                "timeout": "90s",
                "retry": {"max_attempts": 2},
                "on_error": "continue",
                "credentials": ["github"],
            },
        ],
        "on_failure": [{"name": "tell", "command": "echo"}],
    },
    {
        "name": "deploy",
        "version": "1",
        "inputs": {"env": {"type": "string", "required": True}},
        "concurrency": {"key": "deploy-${{ inputs.env }}", "limit": 1, "on_conflict": "wait"},
        "priority": 7,
        "schedule": [
            {
                "cron": "30 2 * * *",
                "timezone": "Europe/Berlin",
                "catch_up": "latest",
                "overlap": "skip",
                "inputs": {"env": "${{ schedule.due }}"},
            }
        ],
        "steps": [
            {"id": "build", "uses": "shell.run", "with": {"command": "make"}, "lock": "folder"},
            {
                "id": "notify",
                "uses": "shell.run",
                "needs": ["build"],
                "with": {"command": "x"},
                "rate": {"key": "chat", "limit": 5, "per_s": "1m"},
                "each": "[1, 2, 3]",
                "undo": {"uses": "shell.run", "with": {"command": "u"}},
            },
        ],
    },
    {
        "id": "tasks",
        "version": "2",
        "tasks": [
            {"id": "a", "type": "tool", "tool_id": "json:dumps", "inputs": {"obj": 1}, "outputs": {"x": "b.y"}},
            {"id": "b", "type": "condition", "condition": "true", "then": ["d"], "else": ["c"]},
            {"id": "c", "type": "tool", "tool_id": "json:dumps", "inputs": {"obj": 2}},
            {"id": "d", "type": "agent", "agent_id": "helper", "inputs": {"prompt": "say it"}},
        ],
        "dependencies": {"b": ["a"]},
        "retry_config": {"max_attempts": 2},
        "error_handling": "compensate",
        "agents": [
            {
                "id": "helper",
                "name": "Helper",
                "model": "m",
                "tools": ["json:dumps"],
                "memory_config": {},
                "max_iterations": 3,
            }
        ],
    },
    {
        "name": "fans",
        "chain": False,
        "max_workers": 3,
        "steps": [
            {"name": "map", "function": "json:dumps", "items": "[1, 2]", "parallel": True, "max_workers": 2},
            {"name": "sum", "function": "json:dumps", "reduce": True, "depends_on": ["map"]},
            {"name": "wait", "uses": "wait.signal", "depends_on": ["sum"]},
            {"name": "made", "image": "debian:12", "with": {"command": "true"}, "dir": "/x"},
            {"name": "again", "command": "true", "until": "state.x > 3", "max_iterations": 4, "join": "any"},
        ],
    },
)
JUNK: tuple[Any, ...] = (
    None, True, False, 0, -1, 2.5, 1e308, 10**30, "", "x", "a" * 300, "${{", "${{ }}", "${{ steps.fetch.output }}",
    "${{ nope.x }}", "\x00", "é\u202e", "../../etc", [], {}, [[]], [None], {"": 1}, {"a": {"b": [1]}}, "1h", "-5m",
    "99999999999h", ["fetch"], ["fetch", "fetch"], {"$secret": "x"}, "inputs.day ==", "1/0", "steps",
    [{"name": "fetch"}],
)  # fmt: skip


def ways(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if way:
        yield way
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from ways(value[key], (*way, key))


def at(value: Any, way: tuple[Any, ...]) -> Any:
    for key in way:
        value = value[key]
    return value


KEYS = sorted({key for good in GOOD for way in ways(good) for key in way if isinstance(key, str)})


def mutated(given: random.Random) -> Any:
    data = copy.deepcopy(given.choice(GOOD))
    for _ in range(given.choice((1, 1, 1, 2, 3, 5))):
        if not (known := [*ways(data)]):
            break
        *way, key = given.choice(known)
        inside, what = at(data, tuple(way)), given.random()
        if what < 0.45:
            inside[key] = copy.deepcopy(given.choice(JUNK))
        elif what < 0.6:
            del inside[key]
        elif what < 0.8:
            inside[key] = copy.deepcopy(at(data, given.choice(known)))
        elif isinstance(inside, dict):
            inside[given.choice(KEYS)] = copy.deepcopy(given.choice(JUNK))
        else:
            inside.append(copy.deepcopy(given.choice(inside)))
    return data


def count_good(seed: int, times: int) -> int:
    """Read mutated definitions; gives how many were good all the same. Anything but ValidationError is a defect."""
    given, good = random.Random(seed), 0
    for _ in range(times):
        text = json.dumps(mutated(given))
        try:
            workflow = read_any(text, source="w.json")
            plan_of(workflow)
        except ValidationError:
            continue
        except Exception as error:
            raise AssertionError(text) from error
        assert len(workflow.hash) == 64
        good += 1
    return good


def test_what_the_mutations_begin_with_is_good() -> None:
    for each in GOOD:
        plan_of(read_any(json.dumps(each), source="w.json"))


@pytest.mark.parametrize("seed", range(4))
def test_a_mutated_definition_is_read_or_refused(seed: int) -> None:
    assert 10 < count_good(seed, 750) < 400


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 120))
def test_many_mutated_definitions_are_read_or_refused(seed: int) -> None:
    assert count_good(seed, 10_000) > 100
