"""Plan files: what is compared, and that anything else than what was planned is refused before it counts."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.agents.agreement import Disagreement, disagreements, expectation
from workflow_agent.model.errors import PlanStaleError

if TYPE_CHECKING:
    from collections.abc import Callable

LOOKUP = {
    "version": "1.0.0",
    "manifest_hash": "m",
    "parameter_hash": "p",
    "facts": {"hostname": "web1", "os_id": "debian", "kernel": "6.1", "tier": "exact"},
}
SCRIPT = {"hash": "s", "text": "exit 0"}
CHANGES = {
    "packages": [{"name": "nginx", "version": "1.22", "action": "installed"}],
    "changes": [
        {
            "path": "/etc/x",
            "action": "created",
            "kind": "file",
            "after": {"mode": "0644", "uid": 0, "gid": 0, "size": 9},
        },
        {"path": "/etc/old", "action": "deleted", "kind": "file", "after": None},
        {"path": "/srv", "action": "modified", "kind": "directory", "aspects": ["mtime"], "after": {"mode": "0755"}},
        {"path": "/var/log/x.log", "action": "appended", "kind": "file", "aspects": ["content"], "after": None},
    ],
}


def now() -> dict[str, Any]:
    return copy.deepcopy({"lookup": LOOKUP, "script": SCRIPT, "change_set": CHANGES})


def test_a_plan_keeps_what_two_runs_of_it_have_in_common() -> None:
    kept = expectation(LOOKUP, SCRIPT, CHANGES)

    assert kept["script_hash"] == "s"
    assert "kernel" not in kept["facts"]
    assert kept["packages"] == {"nginx 1.22": "installed"}
    assert kept["paths"] == {"/etc/x": "created file 0644 0 0", "/etc/old": "deleted file"}
    assert disagreements(kept, kept) == []


def test_nothing_to_do_is_a_plan_too() -> None:
    assert expectation(LOOKUP, None, None) | {"facts": {}, "packages": {}, "paths": {}} == {
        "version": "1.0.0",
        "manifest_hash": "m",
        "parameter_hash": "p",
        "script_hash": None,
        "facts": {},
        "packages": {},
        "paths": {},
        "edited": {},
    }


def _other_version(what: dict[str, Any]) -> None:
    what["change_set"]["packages"][0]["version"] = "1.23"


def _other_mode(what: dict[str, Any]) -> None:
    what["change_set"]["changes"][0]["after"]["mode"] = "4755"


def _more(what: dict[str, Any]) -> None:
    what["change_set"]["changes"].append({"path": "/etc/cron.d/y", "action": "created", "kind": "file", "after": {}})


def _other_script(what: dict[str, Any]) -> None:
    what["script"]["hash"] = "t"


def _other_host(what: dict[str, Any]) -> None:
    what["lookup"]["facts"]["hostname"] = "web2"


DIFFERENT: dict[Callable[[dict[str, Any]], None], list[Disagreement]] = {
    _other_version: [
        Disagreement(what="nginx 1.22", planned="installed", now=None),
        Disagreement(what="nginx 1.23", planned=None, now="installed"),
    ],
    _other_mode: [Disagreement(what="/etc/x", planned="created file 0644 0 0", now="created file 4755 0 0")],
    _more: [Disagreement(what="/etc/cron.d/y", planned=None, now="created file")],
    _other_script: [Disagreement(what="script hash", planned="s", now="t")],
    _other_host: [Disagreement(what="hostname", planned="web1", now="web2")],
}


@pytest.mark.parametrize("change", DIFFERENT, ids=lambda function: function.__name__)
def test_each_difference_is_found_by_name(change: Callable[[dict[str, Any]], None]) -> None:
    what = now()
    change(what)
    assert disagreements(expectation(**now()), expectation(**what)) == DIFFERENT[change]


async def test_what_is_as_planned_goes_on(bench: Any) -> None:
    planned = {"host": {"nginx": expectation(**now())}}
    answer = await bench.ask("validator.agree", target="host", integration="nginx", planned=planned, **now())
    assert answer == {"paths": 2}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_other_version, "only in the plan: nginx 1.22 (installed); not in the plan: nginx 1.23 (installed)"),
        (_other_script, "another script"),
        (_other_mode, "/etc/x was created file 0644 0 0, is created file 4755 0 0"),
    ],
)
async def test_what_is_not_as_planned_is_stale(bench: Any, change: Callable[[dict[str, Any]], None], told: str) -> None:
    planned = {"host": {"nginx": expectation(**now())}}
    what = now()
    change(what)
    with pytest.raises(PlanStaleError) as caught:
        await bench.ask("validator.agree", target="host", integration="nginx", planned=planned, **what)
    assert caught.value.cause == told
    assert caught.value.state == "nothing was changed"
    assert caught.value.exit_code == 6


async def test_many_differences_are_counted_and_all_in_the_details(bench: Any) -> None:
    planned = {"host": {"nginx": expectation(**now())}}
    what = now()
    for number in range(5):
        what["change_set"]["changes"].append({"path": f"/etc/{number}", "action": "created", "kind": "file"})
    with pytest.raises(PlanStaleError) as caught:
        await bench.ask("validator.agree", target="host", integration="nginx", planned=planned, **what)
    assert str(caught.value.cause).endswith(" (and 2 more)")
    assert len(caught.value.details["differences"]) == 5


@pytest.mark.parametrize(("target", "integration"), [("docker:web", "nginx"), ("host", "redis-server")])
async def test_what_the_plan_does_not_name_is_stale(bench: Any, target: str, integration: str) -> None:
    planned = {"host": {"nginx": expectation(**now())}}
    with pytest.raises(PlanStaleError) as caught:
        await bench.ask("validator.agree", target=target, integration=integration, planned=planned, **now())
    assert caught.value.cause == f"`{integration}` on `{target}` is not in it"
