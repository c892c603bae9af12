"""Journals of releases, replayed for ever: what a run of yesterday was about to do, it does today.

``python tests/unit/engine/golden_journals.py`` writes the file of this release, once, when it is made: the reference
workflows are run, and each of their journals is kept with what it folds to. Files of releases are never changed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_agent._version import __version__
from workflow_agent.authoring import read_definition
from workflow_agent.engine import replay
from workflow_agent.model.event import Event, EventType
from workflow_agent.testing import StepwiseJournal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.unit.engine.test_engine_sweep import CHILD, FLOWS, World

    from workflow_agent.model.workflow import Workflow

else:
    from test_engine_sweep import CHILD, FLOWS, World

FOLDER = Path(__file__).parents[2] / "examples" / "journals"
_RUN = "r-01ARZ3NDEKTSV4RRFFQ69G5FAV"
#: One that goes strictly step by step, as runs did before there was anything else.
STEP_BY_STEP = "sequence"


def told(workflow: Workflow, events: Sequence[Event]) -> list[list[str]]:
    """Say for each record what is to be done after it: kinds of commands, with their units."""
    lines = []
    for length in range(1, len(events) + 1):
        _, commands = replay(workflow, events[:length])
        lines.append([" ".join(filter(None, (type(each).__name__, getattr(each, "step", None)))) for each in commands])
    return lines


def outcome(workflow: Workflow, events: Sequence[Event]) -> dict[str, Any]:
    """Say what a journal folds to."""
    state, _ = replay(workflow, events)
    return {
        "status": state.status.value,
        "steps": {name: [cell.status.value, cell.output] for name, cell in state.steps.items()},
        "output": state.output,
        "state": dict(state.state),
    }


def event_of(data: Mapping[str, Any]) -> Event:
    return Event(**(dict(data) | {"type": EventType(data["type"])}))


def kept(definition: Mapping[str, Any], events: Sequence[Event]) -> dict[str, Any]:
    workflow = read_definition(definition)
    return {
        "definition": dict(definition),
        "events": [event.to_dict() for event in events],
        "next": told(workflow, events),
        "outcome": outcome(workflow, events),
    }


async def _record() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, workflow in FLOWS.items():
        journal = StepwiseJournal()
        world = World(journal, {})
        await world.open()
        await world.driver.start(workflow, {}, run_id=_RUN)
        await world.bus.drain()
        for run_id in journal.run_ids:
            title = name if run_id == _RUN else f"{name}, the child"
            definition = workflow if run_id == _RUN else CHILD
            found[title] = kept(definition.to_dict(), await journal.events(run_id))
    whole = found[STEP_BY_STEP]
    events = [event_of(event) for event in whole["events"]]
    created = {key: value for key, value in events[0].data.items() if key != "machine"}
    events[0] = Event(run_id=_RUN, seq=1, type=EventType.RUN_CREATED, at=events[0].at, data=created)
    found["step by step"] = kept(whole["definition"], events)
    return found


def main() -> int:
    """Write the file of this release; one that is there stays as it is."""
    path = FOLDER / f"{__version__}.json"
    if path.exists():
        print(f"{path} is there: journals of a release are written once", file=sys.stderr)
        return 1
    FOLDER.mkdir(exist_ok=True)
    path.write_text(json.dumps(asyncio.run(_record()), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
