"""`rollback --to`: the list that is asked about, and what is said when one of several could not be taken back."""

from __future__ import annotations

from typing import Any

import pytest

from workflow_agent.cli.going_back import going_lines, told_back
from workflow_agent.cli.outcome import CommandFailedError
from workflow_agent.cli.session import Ended
from workflow_agent.cli.style import Style
from workflow_agent.model.errors import PathConflictError

HOSTILE = "a\x1b[31m\nb"


def _run(run_id: str, *names: str) -> dict[str, Any]:
    previews = [{"integration": name, "restored": 1200, "removed": 2, "owned": [], "merged": []} for name in names]
    return {"run_id": run_id, "action": "install", "integration": names[0], "version": None, "previews": previews}


def _ended(run_id: str, **more: Any) -> Ended:
    report = {"run_id": run_id, "status": "succeeded", "action": "rollback", "integration": "x", "target": "host"}
    return Ended(run_id=run_id, report=report, **more)


def test_everything_that_goes_is_one_list() -> None:
    later, earlier = _run("r-3", "nginx"), _run("r-2", "exporter", HOSTILE)
    earlier |= {"action": "apply", "integration": None, "script": "mine.sh"}
    later["previews"][0] |= {"owned": ["/var/lib/x/data"], "merged": ["/etc/passwd"]}

    lines = list(going_lines("r-1", "host", [later, earlier], Style()))

    assert [line.strip() for line in lines] == [
        "take back 2 runs on host, in this order",
        "r-3  install nginx",
        "1,200 restored, 2 removed",
        "data     /var/lib/x/data",
        "merged   /etc/passwd",
        "r-2  apply mine.sh",
        "exporter: 1,200 restored, 2 removed",
        "a\\x1b[31m\\x0ab: 1,200 restored, 2 removed",
        "run r-1 stays, and what came before it",
    ]
    assert list(going_lines("r-1", "docker:web", [], Style())) == ["nothing came after run r-1 on docker:web"]


def test_where_one_fails_what_is_back_and_what_is_not_is_named() -> None:
    runs = [_run(name, "x") for name in ("r-4", "r-3", "r-2")]
    error = PathConflictError("changed since", state="nothing was changed")

    with pytest.raises(CommandFailedError) as failed:
        told_back("r-1", runs, [_ended("r-5"), _ended("r-6", error=error)], events=False)

    assert failed.value.error.state == (
        "nothing was changed; taken back before it: r-4, which stay so; not taken back: r-3, r-2"
    )
    assert [report["run_id"] for report in failed.value.outcome.data["items"]] == ["r-5", "r-6"]


def test_all_of_them_are_the_data_and_their_warnings_are_kept() -> None:
    runs = [_run(name, "x") for name in ("r-3", "r-2")]

    outcome = told_back("r-1", runs, [_ended("r-4", warnings=("one",)), _ended("r-5")], events=False)

    assert (outcome.data["to"], len(outcome.data["items"]), outcome.warnings) == ("r-1", 2, ("one",))
    assert "r-5" in "\n".join(outcome.lines(Style()))
    assert list(told_back("r-1", [], [], events=False).lines(Style())) == ["nothing came after run r-1"]
