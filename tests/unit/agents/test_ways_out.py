"""The refusal of a rollback ends with the exact commands that decide it."""

from __future__ import annotations

from typing import Any

from workflow_agent.agents.ways_out import name_tier, name_ways_out
from workflow_agent.model.errors import PathConflictError


def _hint(*conflicts: dict[str, Any], run: str | None = "r-1", target: str = "host") -> str | None:
    error = PathConflictError("changed", hint="as it was", details={"conflicts": list(conflicts)})
    name_ways_out(error, run, target)
    return error.hint


def test_every_path_is_in_the_command_as_a_shell_reads_it() -> None:
    assert _hint({"path": "/etc/a b"}, {"path": "/etc/c"}, target="docker:web") == (
        "keep what is there now: "
        "`workflow-agent rollback r-1 --target docker:web --theirs '/etc/a b' --theirs /etc/c`\n"
        "have it as before the run, what is there now is kept aside: "
        "`workflow-agent rollback r-1 --target docker:web --force`"
    )


def test_what_a_later_run_or_a_package_needs_is_no_question_of_sides() -> None:
    assert _hint({"path": "/a", "run_id": "r-2"}) == "as it was"
    assert _hint({"path": "/a", "needs": "x"}) == "as it was"
    mixed = _hint({"path": "/a", "run_id": "r-2"}, {"path": "/b"})
    assert mixed == "as it was; what somebody else changed is decided with `--theirs PATH` or `--force`"
    assert _hint({"path": "/a"}, run=None) == "as it was"


def test_what_cannot_be_forced_is_not_offered() -> None:
    assert (
        _hint({"path": "/a", "impossible": "gone"})
        == "keep what is there now: `workflow-agent rollback r-1 --theirs /a`"
    )


def test_a_long_list_is_cut_and_said_to_be() -> None:
    hint = _hint(*({"path": f"/{number}"} for number in range(12)))
    assert hint is not None
    assert "--theirs /9`, and so on for each path" in hint


def _tier(way: str | None, *conflicts: dict[str, Any], target: str = "host") -> tuple[str | None, str | None]:
    error = PathConflictError("changed", hint="as it was", details={"conflicts": list(conflicts)})
    name_tier(error, "r-1", target, way)
    return error.details.get("tier"), error.hint


def test_a_refusal_names_the_tier_that_applies_and_goes_to_no_lower_one() -> None:
    tier, hint = _tier("packages", {"path": "/a"}, target="docker:web")
    assert tier == "logical"
    assert hint == (
        "as it was\nas things are its tier is logical, by giving packages the versions that they had, not bit for bit: "
        "`workflow-agent rollback r-1 --target docker:web --logical`"
    )
    tier, hint = _tier(None, {"path": "/a"})
    assert (tier, "its tier is needs-attention" in str(hint)) == ("needs-attention", True)
    assert _tier("packages", {"path": "/a", "run_id": "r-2"}) == (None, "as it was"), "exact, after that run"
