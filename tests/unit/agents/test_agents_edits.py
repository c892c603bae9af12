"""What is decided about edited configuration files before an upgrade writes over them."""

from __future__ import annotations

from typing import Any

import pytest

from workflow_agent.agents.agreement import disagreements, expectation
from workflow_agent.agents.edits import kept_edit, open_edits, refused_edits
from workflow_agent.model.errors import UsageError

EDITS: list[dict[str, Any]] = [{"path": path, "run_id": "r-1"} for path in ("/etc/a/one", "/etc/a/two", "/etc/b")]


@pytest.mark.parametrize(
    ("theirs", "force", "stay", "left"),
    [
        ([], False, [], ["/etc/a/one", "/etc/a/two", "/etc/b"]),
        ([], True, [], []),
        (["/etc/b"], False, ["/etc/b"], ["/etc/a/one", "/etc/a/two"]),
        (["/etc/a/"], True, ["/etc/a/one", "/etc/a/two"], []),
        (["/etc/a", "/etc/b"], False, ["/etc/a/one", "/etc/a/two", "/etc/b"], []),
    ],
)
def test_what_was_said_beforehand_holds(theirs: list[str], *, force: bool, stay: list[str], left: list[str]) -> None:
    kept, rest = open_edits(EDITS, theirs, force=force)
    assert (kept, [one["path"] for one in rest]) == (stay, left)


@pytest.mark.parametrize("path", ["/etc/a/on", "/etc", "etc/b"])
def test_a_path_that_nobody_edited_is_refused_with_the_nearest(path: str) -> None:
    if path == "/etc":
        assert open_edits(EDITS, [path], force=False)[1] == []
        return
    with pytest.raises(UsageError, match="nobody edited") as caught:
        open_edits(EDITS, [path], force=True)
    assert "/etc/" in (caught.value.hint or "")


def test_the_refusal_names_every_path_and_both_commands() -> None:
    many = [{"path": f"/etc/{number}"} for number in range(12)]
    error = refused_edits(many, "upgrade", "my app", "docker:web")
    assert error.exit_code == 6
    assert "/etc/9 and 2 more" in error.message
    assert "`workflow-agent upgrade 'my app' --target docker:web --theirs /etc/0 " in (error.hint or "")
    assert (error.hint or "").endswith("`workflow-agent upgrade 'my app' --target docker:web --force`")
    assert len(error.details["conflicts"]) == 12
    assert refused_edits(EDITS[:1], "repair", "app").message == "edited since a run wrote it: /etc/a/one"


def test_a_kept_edit_is_a_decision_as_rollbacks_have_them() -> None:
    assert kept_edit("/etc/b") == {
        "path": "/etc/b",
        "decision": "theirs",
        "group": None,
        "records": [],
        "aside": None,
    }


def test_a_plan_is_stale_where_somebody_edited_since() -> None:
    planned = expectation({}, None, {"edits": EDITS[:1]})
    now = expectation({}, None, {"edits": EDITS[:2]})
    assert disagreements(planned, planned) == []
    assert [(one.what, one.planned) for one in disagreements(planned, now)] == [("/etc/a/two", None)]
