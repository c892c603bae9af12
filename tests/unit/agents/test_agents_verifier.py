"""Builder, validator and verifier: scripts are built and judged, the world is looked at."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.agents.verifier import VerifierAgent
from workflow_agent.model.errors import (
    CheckFailedError,
    ConflictError,
    DriftFoundError,
    NotFoundError,
    ScriptRefusedError,
    ServiceFailedError,
    ValidationError,
)
from workflow_agent.model.message import Message
from workflow_agent.model.system import CheckStatus
from workflow_agent.testing.fake_target import FakeTarget, FakeTargets, FakeWorld
from workflow_agent.testing.virtual_time import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.unit.agents.conftest import Bench

    from workflow_agent.model.system import Check, CheckResult

CHECKS = [
    {"id": "file", "kind": "file", "spec": {"path": "/etc/x"}},
    {"id": "page", "kind": "http", "spec": {"url": "http://127.0.0.1/"}},
]
GENERATION = {
    "integration": "x",
    "parameters": {"port": 1},
    "parameter_hash": "p",
    "manifest_version": "1.0.0",
    "manifest_hash": "m",
}
MARKER = "'; touch /tmp/marker; echo '$(touch /tmp/marker)`touch /tmp/marker`\n"


async def committed(bench: Bench) -> str:
    script = await bench.built()
    prepared = await bench.ask("executor.prepare", target="host", script=script)
    await bench.ask("executor.commit", target="host", transaction=prepared["transaction"])
    transaction: str = prepared["transaction"]
    return transaction


# -- building and validating ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["prometheus-node-exporter", "nginx"])
async def test_a_shipped_script_is_built_with_its_files_and_found_sound(bench: Bench, name: str) -> None:
    script = await bench.built(integration=name)

    reply = await bench.ask("validator.validate", script=script)

    assert script["provenance"]["integration"] == name
    assert script["files"]
    assert [finding for finding in reply["findings"] if finding["severity"] == "error"] == []
    assert [record["data"] for record in reply["_records"]] == reply["findings"]


async def test_the_same_input_gives_the_same_script(bench: Bench) -> None:
    assert await bench.built() == await bench.built()
    assert (await bench.built())["hash"] != (await bench.built(parameters={"port": 9200}))["hash"]


async def test_a_hostile_parameter_is_refused_or_inert(bench: Bench) -> None:
    with pytest.raises(ValidationError):
        await bench.built(parameters={"extra_args": [MARKER]})
    script = await bench.built(integration="nginx", parameters={"expected_text": MARKER.strip()})

    assert "touch" not in script["text"]


async def test_a_script_that_is_not_sound_is_refused_and_the_findings_are_kept(bench: Bench) -> None:
    script = await bench.built() | {"text": "#!/bin/bash\nif true; then\n"}

    with pytest.raises(ScriptRefusedError) as refused:
        await bench.ask("validator.validate", script=script)

    kinds = {record["kind"] for record in refused.value.details["_records"]}
    assert kinds == {"finding"}
    assert refused.value.exit_code == 2


async def test_a_rule_that_does_not_exist_cannot_be_allowed(bench: Bench) -> None:
    with pytest.raises(ValidationError, match="no rule"):
        await bench.ask("validator.validate", script=await bench.built(), allow=["nonsense"])


@pytest.mark.parametrize(
    ("subject", "data", "key"),
    [
        ("validator.validate", {"script": {"text": "x"}}, "script.hash"),
        ("script-builder.build", {"integration": "x"}, "action"),
        ("verifier.verify", {"target": "host", "checks": [{"id": "x"}]}, "checks.0.kind"),
        ("verifier.verify", {"target": "host", "checks": [], "generation": {}}, "generation.integration"),
        ("verifier.current", {"target": "host", "installed": {}}, "installed"),
    ],
)
async def test_a_request_that_is_not_valid_names_the_key(
    bench: Bench, subject: str, data: dict[str, Any], key: str
) -> None:
    with pytest.raises(ValidationError, match=key):
        await bench.ask(subject, **data)


# -- verify --------------------------------------------------------------------------------------------------------


async def test_green_checks_make_a_generation_live(bench: Bench) -> None:
    bench.world.files["/etc/x"] = ""

    reply = await bench.ask("verifier.verify", target="host", checks=CHECKS, generation=GENERATION, redoes="r-0")

    assert [check["status"] for check in reply["checks"]] == ["passed", "passed"]
    kinds = [record["kind"] for record in reply["_records"]]
    assert kinds == ["check", "check", "redone", "generation"]
    generation = reply["_records"][-1]["data"]
    assert generation == GENERATION | {
        "target": "host",
        "run_id": "r-1",
        "live": True,
        "transaction": None,
        "created_at": 1_800_000_000.0,
    }


async def _committed(bench: Bench) -> str:
    """Bring a file to the fake target; gives the transaction."""
    script = await bench.built()
    prepared = await bench.ask("executor.prepare", target="host", script=script, timeout_s=5)
    transaction: str = prepared["transaction"]
    await bench.ask("executor.commit", target="host", transaction=transaction)
    return transaction


SERVICE = {"name": "web", "argv": ["/bin/web"]}


async def test_what_was_started_has_to_run_on(bench: Bench) -> None:
    transaction = await _committed(bench)
    await bench.ask("executor.activate", target="host", transaction=transaction, services=[SERVICE])
    about: dict[str, Any] = {"target": "host", "checks": CHECKS[1:], "transaction": transaction, "stays": True}
    await bench.ask("verifier.verify", **about)
    bench.world.running.clear()

    with pytest.raises(ServiceFailedError, match="`web` ended within") as caught:
        await bench.ask("verifier.verify", **about)

    assert caught.value.details["missing"] == []
    assert [record["kind"] for record in caught.value.details["_records"]] == ["check"]
    assert not (await bench.ask("verifier.verify", **about | {"started": False}))["left_out"]


@pytest.mark.parametrize(("kind", "waited"), [("http", 0.25), ("process", 1.5)])
async def test_how_long_it_has_to_run_depends_on_what_its_checks_show(kind: str, waited: float) -> None:
    waits: list[float] = []

    class Waiting(FakeTarget):
        async def stay(self, transaction: str, *, for_s: float) -> None:
            waits.append(for_s)

        async def missing_paths(self, transaction: str, *, earlier: Sequence[str] = ()) -> list[str]:
            return []

    class Targets(FakeTargets):
        def get(self, name: str) -> FakeTarget:
            return Waiting(FakeWorld(), name)

    verify = VerifierAgent(Targets(), VirtualClock(), stay_s=1.5, stay_proven_s=0.25).verbs()["verify"]
    check = {"id": "it", "kind": kind, "spec": {}}
    request = {"target": "host", "checks": [check], "transaction": "t-1", "stays": True}

    await verify.handler(
        verify.request.model_validate(request), Message(subject="agent.verifier.verify", data={}, source="test")
    )

    assert waits == [waited]


@pytest.mark.parametrize(("own", "waited"), [(10.0, 3.0), (2.0, 2.0)])
async def test_no_check_is_waited_for_longer_than_the_setting(own: float, waited: float) -> None:
    waits: list[float] = []

    class Waiting(FakeTarget):
        async def check(self, checks: Sequence[Check]) -> list[CheckResult]:
            waits.extend(check.timeout_s for check in checks)
            return []

    class Targets(FakeTargets):
        def get(self, name: str) -> FakeTarget:
            return Waiting(FakeWorld(), name)

    verify = VerifierAgent(Targets(), VirtualClock(), check_s=3.0).verbs()["verify"]
    request = {"target": "host", "checks": [{"id": "it", "kind": "http", "spec": {}, "timeout_s": own}]}

    await verify.handler(
        verify.request.model_validate(request), Message(subject="agent.verifier.verify", data={}, source="test")
    )

    assert waits == [waited]


@pytest.mark.parametrize(("kind", "waited"), [("http", 0.5), ("command", 4.0)])
async def test_while_it_soaks_a_command_has_the_time_of_one_that_works(kind: str, waited: float) -> None:
    waits: list[float] = []

    class Waiting(FakeTarget):
        async def check(self, checks: Sequence[Check]) -> list[CheckResult]:
            waits.extend(check.timeout_s for check in checks)
            return []

    class Targets(FakeTargets):
        def get(self, name: str) -> FakeTarget:
            return Waiting(FakeWorld(), name)

    verify = VerifierAgent(Targets(), VirtualClock()).verbs()["verify"]
    request = {"target": "host", "checks": [{"id": "it", "kind": kind, "spec": {}, "timeout_s": 10.0}], "soak_s": 0.01}

    await verify.handler(
        verify.request.model_validate(request), Message(subject="agent.verifier.verify", data={}, source="test")
    )

    assert waits == [10.0, waited]


class Elsewhere(FakeTarget):
    """A target where checks of units are about nothing."""

    async def check(self, checks: Sequence[Check]) -> list[CheckResult]:
        return [
            dataclasses.replace(result, status=CheckStatus.NOT_APPLICABLE) if result.kind == "unit" else result
            for result in await FakeTarget.check(self, checks)
        ]


class ElsewhereTargets(FakeTargets):
    def __init__(self, *red: str) -> None:
        self._world = FakeWorld(red=set(red))

    def get(self, name: str) -> FakeTarget:
        return Elsewhere(self._world, name)


async def told(verb: str, targets: FakeTargets, **data: Any) -> dict[str, Any]:
    asked = VerifierAgent(targets, VirtualClock()).verbs()[verb]
    message = Message(subject=f"agent.verifier.{verb}", data={}, source="test")
    answer, special = await asked.handler(asked.request.model_validate({"target": "host", **data}), message)
    return answer.model_dump(mode="json") | dict(special)


UNIT = {"id": "unit", "kind": "unit", "spec": {"name": "x"}}
PORT = {"id": "port", "kind": "port", "spec": {"port": 1}}


async def test_a_check_that_does_not_apply_is_no_failure_and_no_pass() -> None:
    reply = await told("verify", ElsewhereTargets(), checks=[PORT, UNIT])

    assert [check["status"] for check in reply["checks"]] == ["passed", "not-applicable"]
    assert [record["data"]["status"] for record in reply["_records"]] == ["passed", "not-applicable"]
    with pytest.raises(CheckFailedError, match="1 of 1 checks failed: port"):
        await told("verify", ElsewhereTargets("port"), checks=[PORT, UNIT])


async def test_what_no_check_was_made_of_is_not_taken_for_installed() -> None:
    wanted = {"installed": None, "version": "1", "manifest_hash": "m", "parameter_hash": "p"}

    assert (await told("current", ElsewhereTargets(), **wanted, checks=[PORT, UNIT]))["adopted"] is True
    assert (await told("current", ElsewhereTargets(), **wanted, checks=[UNIT]))["adopted"] is False


async def test_red_checks_tell_their_class(bench: Bench) -> None:
    bench.world.red.add("page")

    with pytest.raises(CheckFailedError) as caught:
        await bench.ask("verifier.verify", target="host", checks=CHECKS)

    assert caught.value.details["failure"]["source"] == "check"


async def test_a_look_for_drift_says_that_there_is_none(bench: Bench) -> None:
    transaction = await _committed(bench)
    about: dict[str, Any] = {"target": "host", "checks": [], "drift": True, "integration": "x"}

    reply = await bench.ask("verifier.verify", **about, transaction=transaction)

    assert reply["drift"] == {"integration": "x", "items": [], "compared": True, "reason": None}
    assert reply["_records"] == [{"kind": "drift", "data": reply["drift"]}]


async def test_drift_is_an_error_of_its_own_and_is_recorded(bench: Bench) -> None:
    transaction = await _committed(bench)
    paths = sorted(bench.world.transactions[transaction].after)
    bench.world.files[paths[0]] = "another one"
    about: dict[str, Any] = {"target": "host", "checks": [], "drift": True}
    about |= {"integration": "x", "transaction": transaction}

    with pytest.raises(DriftFoundError) as found:
        await bench.ask("verifier.verify", **about)

    assert (found.value.exit_code, found.value.details["paths"]) == (3, [paths[0]])
    assert found.value.hint is not None
    assert "repair x --plan" in found.value.hint
    assert [record["kind"] for record in found.value.details["_records"]] == ["drift"]
    reply = await bench.ask("verifier.verify", **about, state_data=[{"path": paths[0]}])
    assert reply["drift"]["items"] == []


async def test_a_red_check_weighs_more_than_drift_which_is_recorded_all_the_same(bench: Bench) -> None:
    transaction = await _committed(bench)
    bench.world.files.clear()

    with pytest.raises(CheckFailedError, match="1 of 2 checks failed") as failed:
        await bench.ask("verifier.verify", target="host", checks=CHECKS, drift=True, transaction=transaction)

    assert failed.value.details["missing"] == []
    assert len(failed.value.details["checks"]) == 2
    assert failed.value.details["_records"][-1]["data"]["items"] != []


async def test_what_was_never_committed_or_is_gone_is_not_compared_and_that_is_said(bench: Bench) -> None:
    about: dict[str, Any] = {"target": "host", "checks": [], "drift": True}

    adopted = await bench.ask("verifier.verify", **about)
    pruned = await bench.ask("verifier.verify", **about, transaction="gone.1")

    assert [reply["drift"]["compared"] for reply in (adopted, pruned)] == [False, False]
    assert "not installed by workflow-agent" in adopted["drift"]["reason"]
    assert "gone.1" in pruned["drift"]["reason"]


async def test_a_red_check_fails_and_all_results_are_kept(bench: Bench) -> None:
    bench.world.files["/etc/x"] = ""
    bench.world.red.add("page")

    with pytest.raises(CheckFailedError, match="1 of 2 checks failed: page") as failed:
        await bench.ask("verifier.verify", target="host", checks=CHECKS, generation=GENERATION)

    assert failed.value.where == "host › page"
    assert failed.value.cause == "expected as declared, observed something else"
    assert [check["status"] for check in failed.value.details["checks"]] == ["passed", "failed"]
    assert [record["kind"] for record in failed.value.details["_records"]] == ["check", "check"]


async def test_without_services_only_what_needs_none_is_looked_at(bench: Bench) -> None:
    bench.world.files["/etc/x"] = ""
    bench.world.red.add("page")

    reply = await bench.ask("verifier.verify", target="host", checks=CHECKS, started=False)

    assert [check["id"] for check in reply["checks"]] == ["file"]


async def test_a_missing_path_fails_where_all_checks_are_green(bench: Bench) -> None:
    transaction = await committed(bench)
    bench.world.files.clear()

    with pytest.raises(CheckFailedError, match="1 installed paths are missing") as failed:
        await bench.ask("verifier.verify", target="host", checks=[], transaction=transaction)

    assert failed.value.details["missing"] == ["/etc/default/prometheus-node-exporter"]
    assert failed.value.cause is None


# -- current -------------------------------------------------------------------------------------------------------


def current(transaction: str | None = None, **changes: Any) -> dict[str, Any]:
    installed = GENERATION | {
        "target": "host",
        "run_id": "r-0",
        "transaction": transaction,
        "live": True,
        "created_at": 1.0,
    }
    wanted = {"version": "1.0.0", "manifest_hash": "m", "parameter_hash": "p", "checks": CHECKS[1:]}
    return {"target": "host", "installed": installed} | wanted | changes


async def test_installed_complete_and_working_is_unchanged(bench: Bench) -> None:
    reply = await bench.ask("verifier.current", **current(await committed(bench)))

    assert (reply["unchanged"], reply["reason"], reply["_status"]) == (True, None, "unchanged")
    assert "_changed" not in reply, "another part of the run may have changed something"


async def test_another_parameter_a_missing_path_and_a_red_check_are_reasons(bench: Bench) -> None:
    transaction = await committed(bench)
    bench.world.calls.clear()
    parameters = await bench.ask("verifier.current", **current(transaction, parameter_hash="q"))
    looked = list(bench.world.calls)
    bench.world.red.add("page")
    red = await bench.ask("verifier.current", **current(transaction))
    bench.world.files.clear()
    missing = await bench.ask("verifier.current", **current(transaction))

    assert [one["reason"] for one in (parameters, red, missing)] == ["parameters", "checks", "missing-paths"]
    assert not any(one["unchanged"] or "_status" in one for one in (parameters, red, missing))
    assert looked == []
    assert missing["missing"] == ["/etc/default/prometheus-node-exporter"]
    assert red["checks"][0]["status"] == "failed"


@pytest.mark.parametrize("transaction", [None, "r-0.1"])
async def test_without_before_images_the_checks_decide(bench: Bench, transaction: str | None) -> None:
    reply = await bench.ask("verifier.current", **current(transaction))

    assert reply["unchanged"]


@pytest.mark.parametrize(("version", "part"), [("2.0.0", "this is version 2.0.0"), ("1.0.0", "another one")])
async def test_another_manifest_is_a_conflict(bench: Bench, version: str, part: str) -> None:
    with pytest.raises(ConflictError, match=part) as conflict:
        await bench.ask("verifier.current", **current(manifest_hash="n", version=version))

    assert conflict.value.hint == f"`workflow-agent upgrade {GENERATION['integration']}`"
    assert conflict.value.state == "nothing was changed"


async def test_a_target_that_nobody_knows_is_not_found(bench: Bench) -> None:
    with pytest.raises(NotFoundError, match="no target"):
        await bench.ask("verifier.verify", target="moon", checks=[])
