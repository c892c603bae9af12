"""Old journals replay after upgrades: `golden_journals.py` says how they are made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.unit.engine.golden_journals import FOLDER, event_of, outcome, told
else:
    from golden_journals import FOLDER, event_of, outcome, told

from workflow_agent._version import __version__
from workflow_agent.authoring import read_definition
from workflow_agent.engine import fold
from workflow_agent.engine.snapshots import encoded, may_be_kept, restored

GOLDEN: list[tuple[str, str, dict[str, Any]]] = [
    (path.stem, name, entry)
    for path in sorted(FOLDER.glob("*.json"))
    for name, entry in json.loads(path.read_text(encoding="utf-8")).items()
]


@pytest.mark.parametrize(("release", "name", "entry"), GOLDEN, ids=[f"{release} {name}" for release, name, _ in GOLDEN])
def test_a_journal_of_a_release_means_what_it_meant(release: str, name: str, entry: dict[str, Any]) -> None:
    workflow = read_definition(entry["definition"])
    events = [event_of(event) for event in entry["events"]]

    if "machine" in events[0].data:
        assert events[0].data["workflow_hash"] == workflow.hash, f"{name} of {release} has another identity"
    assert told(workflow, events) == entry["next"]
    assert outcome(workflow, events) == entry["outcome"]


@pytest.mark.parametrize(("release", "name", "entry"), GOLDEN, ids=[f"{release} {name}" for release, name, _ in GOLDEN])
def test_a_journal_of_a_release_means_the_same_from_a_snapshot_at_any_record(
    release: str, name: str, entry: dict[str, Any]
) -> None:
    del release, name
    workflow = read_definition(entry["definition"])
    events = [event_of(event) for event in entry["events"]]
    whole, taken = fold(workflow, events), 0

    for length in range(1, len(events)):
        state = fold(workflow, events[:length])
        if may_be_kept(state):
            stored = json.loads(json.dumps(encoded(state, events[0].data)))
            assert fold(workflow, events[length:], restored(workflow, stored)) == whole
            taken += 1
    assert taken


def test_this_release_has_its_journals() -> None:
    assert __version__ in {release for release, _, _ in GOLDEN}, "python tests/unit/engine/golden_journals.py"
