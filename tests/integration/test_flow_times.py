"""Time-outs of commands: all that a step started ends with it; what runs at the end in every case still does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from workflow_agent.agents.process_tree import MARK, end_marked
from workflow_agent.app.flows import open_flows
from workflow_agent.authoring import load_workflow
from workflow_agent.model.status import RunStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from workflow_agent.app.flows import Flows

#: A command that leaves its session, a child of it that does so twice, and one that ignores what can be ignored.
RUNAWAY = "setsid sleep 987 & (setsid sh -c 'setsid sleep 987 & sleep 987' &) ; trap '' TERM INT HUP; sleep 987"


@pytest.fixture
async def flows(tmp_path: Path) -> AsyncIterator[Flows]:
    async with open_flows({"paths.state": str(tmp_path / "state")}) as opened:
        yield opened


def marked(run_id: str) -> list[str]:
    """Command lines of the processes that carry the mark of a run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={run_id}/" in (folder / "environ").read_text(errors="replace"):
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("of", ["step", "run", "scope"])
async def test_everything_that_a_command_started_ends_with_its_time(flows: Flows, tmp_path: Path, of: str) -> None:
    limits = {"step": "timeout_s: 0.5, ", "run": "", "scope": ""}[of]
    slow = f'{{id: slow, uses: shell.run, {limits}with: {{command: "{RUNAWAY}"}}}}'
    scope = f"{{id: s, uses: flow.scope, timeout_s: 0.5, steps: [{slow}]}}"
    text = f"""
name: slow
version: "1"
{"timeout_s: 0.5" if of == "run" else ""}
steps:
  - {scope if of == "scope" else slow}
  - {{id: tidy, uses: shell.run, always: true, timeout_s: 30, with: {{command: "echo over > {tmp_path}/tidied"}}}}
"""
    run = flows.prepare(load_workflow(text, source="slow.yaml"), {})

    state = await flows.run(run)

    assert state.status is RunStatus.FAILED
    assert marked(run.run_id) == []
    assert (tmp_path / "tidied").read_text() == "over\n"
    assert state.steps["tidy"].status.value == "succeeded"


async def test_what_runs_in_every_case_has_a_time_of_its_own(flows: Flows) -> None:
    text = """
name: slow
version: "1"
timeout_s: 0.3
steps:
  - {id: slow, uses: shell.run, with: {command: sleep 987}}
  - {id: tidy, uses: shell.run, always: true, with: {command: sleep 0.5}}
  - {id: hang, uses: shell.run, always: true, timeout_s: 0.3, with: {command: sleep 987}}
"""
    state = await flows.run(flows.prepare(load_workflow(text, source="slow.yaml"), {}))

    assert [state.steps[name].status.value for name in ("slow", "tidy", "hang")] == ["cancelled", "succeeded", "failed"]
    assert state.error is not None
    assert state.error["code"] == "step-timeout"


def test_a_mark_that_nobody_has_ends_nobody() -> None:
    assert end_marked("r-nobody/none/1") == 0
