"""`plan`, `verify` and `rollback` from the command line to the exit code, with agents that know the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

AGENTS = """
from pydantic import ConfigDict
from workflow_agent.agents.serving import Reply, Request, Verb
from workflow_agent.model.errors import CheckFailedError, DriftFoundError


class Anything(Request):
    model_config = ConfigDict(extra="allow")


class Answer(Reply):
    model_config = ConfigDict(extra="allow")


class Agent:
    def __init__(self, name, **answers):
        self.name = name
        self._answers = answers

    def verbs(self):
        return {verb: Verb(Anything, Answer, self._handler(verb)) for verb in self._answers}

    def _handler(self, verb):
        async def handle(request, message):
            answer = self._answers[verb]
            if isinstance(answer, Exception):
                raise answer
            return Answer(**answer), {}
        return handle


CHANGES = [{"path": "/etc/x", "action": "created", "kind": "file"}]


def knowledge(container):
    facts = {"target": "host", "tier": "exact", "tier_reason": None}
    return Agent("knowledge", lookup={"integration": "nginx", "version": "1.0.0", "facts": facts, "services": [],
                                      "effects": []}, locate={"direction": "undo"})


def busy(container):
    return Agent("executor", prepare={"change_set": {"changes": CHANGES}})


def idle(container):
    return Agent("executor", prepare={"change_set": {"changes": []}})


def red(container):
    checks = [{"id": "port", "status": "failed", "observed": "closed", "expected": "open"}]
    return Agent("verifier", verify=CheckFailedError("1 of 1 checks failed: port", details={"checks": checks}))


def drifted(container):
    items = [{"path": "/etc/x", "state": "modified", "aspects": ["content"], "diff": None}]
    found = {"integration": "nginx", "items": items, "compared": True, "reason": None}
    details = {"paths": ["/etc/x"], "_records": [{"kind": "drift", "data": found}]}
    return Agent("verifier", verify=DriftFoundError("1 path drifted", details=details))
"""
HEAD = (
    "schema: workflow-agent/workflow/1\nname: {}\nversion: '1'\ninputs:\n  integration: {{type: string, default: ''}}\n"
)
WORKFLOWS = {
    "plan": "steps: [{id: lookup, uses: knowledge.lookup}, {id: prepare, uses: executor.prepare, needs: [lookup]}]\n",
    "verify": "steps: [{id: verify, uses: verifier.verify}]\n",
    "rollback": "steps: [{id: locate, uses: knowledge.locate}]\n",
}


@pytest.fixture
def answers(tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Replace knowledge, verifier, and the executor by the one named."""
    del state
    (tmp_path / "known_answers.py").write_text(AGENTS, encoding="utf-8")
    (tmp_path / "workflows").mkdir()
    for name, text in WORKFLOWS.items():
        (tmp_path / f"workflows/{name}.yaml").write_text(HEAD.format(name) + text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("WORKFLOW_AGENT_WORKFLOWS__FOLDERS", str(tmp_path / "workflows"))
    monkeypatch.setenv("WORKFLOW_AGENT_AGENTS__KNOWLEDGE", "known_answers:knowledge")
    monkeypatch.setenv("WORKFLOW_AGENT_AGENTS__VERIFIER", "known_answers:red")

    def use(executor: str) -> None:
        monkeypatch.setenv("WORKFLOW_AGENT_AGENTS__EXECUTOR", f"known_answers:{executor}")

    use("busy")
    return use


@pytest.mark.parametrize("verb", [["plan", "nginx"], ["install", "nginx", "--plan"]])
@pytest.mark.parametrize(
    ("executor", "more", "code"), [("busy", [], 0), ("busy", ["--check"], 3), ("idle", ["--check"], 0)]
)
def test_check_exits_3_exactly_when_something_would_change(
    cli: Callable[..., Any],
    answers: Callable[[str], None],
    *,
    verb: list[str],
    executor: str,
    more: list[str],
    code: int,
) -> None:
    answers(executor)

    result = cli(*verb, *more)
    envelope = cli(*verb, *more, "--json")

    assert result.code == envelope.code == code
    assert ("+ /etc/x" in result.out) is (executor == "busy")
    assert "nothing was changed; run r-" in result.out
    assert envelope.json["ok"] is True
    assert envelope.json["data"]["plan"]["tier"] == "exact"
    assert envelope.json["data"]["status"] == "succeeded"


def test_several_plans_are_items(cli: Callable[..., Any], answers: Callable[[str], None]) -> None:
    del answers
    names = ["nginx", "prometheus-node-exporter"]

    assert len(cli("plan", *names, "--json").json["data"]["items"]) == 2
    assert cli("plan", *names).out.count("1.0.0 on host") == 2


def test_red_checks_are_an_error_with_the_run_as_data(cli: Callable[..., Any], answers: Callable[[str], None]) -> None:
    del answers
    people, script = cli("verify", "nginx"), cli("verify", "nginx", "--json")

    assert people.code == script.code == 1
    assert "x port" in people.err.replace("✗", "x")
    assert "expected open" in people.err
    assert script.json["ok"] is False
    assert script.json["error"]["code"] == "step-failed.checks"
    assert script.json["error"]["hint"].startswith("`workflow-agent install nginx` installs it, or repairs")
    assert script.json["data"]["status"] == "failed"
    assert script.json["error"]["run_id"] == script.json["data"]["run_id"]


@pytest.mark.parametrize(
    ("typed", "place"),
    [
        ("upgrade nginx --yes", "upgrade"),
        ("repair nginx --yes", "repair"),
        ("repair nginx --plan", "repair"),
    ],
)
def test_the_place_of_an_error_is_the_command_that_was_typed(cli: Callable[..., Any], typed: str, place: str) -> None:
    people, script = cli(*typed.split()), cli(*typed.split(), "--json")

    assert f"{place} › lookup" in people.err
    assert script.json["error"]["where"].startswith(f"{place} › lookup")


def test_a_refused_parameter_leaves_nothing_to_recover_and_nothing_claims_so(cli: Callable[..., Any]) -> None:
    refused = cli("install", "nginx", "--yes", "--param", "prot=1")

    assert refused.code == 2
    assert "unchanged recover" in refused.err
    assert "succeeded" not in refused.err


def test_rollback_names_the_run_before_anything_is_begun(
    cli: Callable[..., Any], answers: Callable[[str], None]
) -> None:
    del answers
    assert cli("rollback", "--yes").code == 0
    assert cli("rollback", "r-7Z", "--yes").code == 5
    assert len(cli("history", "--json").json["data"]["items"]) == 1


def test_drift_exits_3_with_the_paths_in_the_report(
    cli: Callable[..., Any], answers: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    del answers
    monkeypatch.setenv("WORKFLOW_AGENT_AGENTS__VERIFIER", "known_answers:drifted")

    people, script = cli("verify", "nginx", "--drift"), cli("verify", "nginx", "--drift", "--json")

    assert people.code == script.code == 3
    assert "~ /etc/x  modified: content" in people.out
    assert "error[changes-pending.drift]: 1 path drifted" in people.err
    assert script.json["error"]["code"] == "changes-pending.drift"
    assert [item["path"] for item in script.json["data"]["drift"]["items"]] == ["/etc/x"]


def test_nothing_installed_is_nothing_to_verify_and_parameters_need_a_name(
    cli: Callable[..., Any], answers: Callable[[str], None]
) -> None:
    del answers
    cli("verify", "nginx")

    assert cli("verify", "--json").json["data"] == {"items": []}
    assert "nothing is installed" in cli("verify", "--drift").out
    refused = cli("verify", "--param", "port=1")
    assert refused.code == 2
    assert "name it" in refused.err
