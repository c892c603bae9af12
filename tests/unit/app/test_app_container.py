"""The composition root: agents that configuration replaces, agents described, the doctor, errors of runs."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from workflow_agent.agents.person import ApproveReply, ApproveRequest
from workflow_agent.agents.serving import Verb
from workflow_agent.agents.verifier import CurrentReply, CurrentRequest, VerifyReply, VerifyRequest
from workflow_agent.app import load_settings, open_app
from workflow_agent.app.agent_pages import agents_page
from workflow_agent.app.container import AGENTS, build_container
from workflow_agent.app.ownership import RunOwnership
from workflow_agent.app.run_errors import error_of_run
from workflow_agent.model.errors import ConflictError, PermissionDeniedError, RunFailedError, StoreError, UsageError
from workflow_agent.model.event import RunState
from workflow_agent.model.status import RunStatus
from workflow_agent.store import SqliteStore
from workflow_agent.testing.fake_app import open_fake_app
from workflow_agent.testing.fake_target import FakeWorld

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from workflow_agent.app import App
    from workflow_agent.app.container import Container
    from workflow_agent.model.message import Message

ROOT = Path(__file__).parents[3]


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with open_fake_app(tmp_path) as opened:
        yield opened


class Blind:
    """A verifier that believes everything."""

    name = "verifier"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def verbs(self) -> Mapping[str, Verb]:
        return {
            "verify": Verb(VerifyRequest, VerifyReply, self._verify),
            "current": Verb(CurrentRequest, CurrentReply, self._current),
        }

    async def _verify(self, _: VerifyRequest, message: Message) -> tuple[VerifyReply, Mapping[str, Any]]:
        self.asked.append(str(message.step_id))
        return VerifyReply(checks=[]), {}

    async def _current(self, _: CurrentRequest, __: Message) -> tuple[CurrentReply, Mapping[str, Any]]:
        return CurrentReply(unchanged=True, reason=None, missing=[], checks=[]), {}


class Yes:
    """A person who agrees to everything."""

    name = "person"

    def verbs(self) -> Mapping[str, Verb]:
        return {"approve": Verb(ApproveRequest, ApproveReply, self._approve)}

    async def _approve(self, _: ApproveRequest, __: Message) -> tuple[ApproveReply, Mapping[str, Any]]:
        return ApproveReply(approved=True), {}


@pytest.fixture
def agents_of_others(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module that is not ours."""
    module: Any = ModuleType("others")
    module.blind = lambda _: Blind()
    module.yes = lambda _: Yes()
    module.broken = lambda _: 1 / 0
    module.nameless = lambda _: object()
    monkeypatch.setitem(sys.modules, "others", module)
    named: ModuleType = module
    return named


# -- replacing agents ----------------------------------------------------------------------------------------------


async def test_an_agent_is_replaced_by_configuration(tmp_path: Path, agents_of_others: ModuleType) -> None:
    world = FakeWorld(red={"page"})
    overrides = {"agents.verifier": "others:blind", "agents.person": "others:yes"}
    async with open_fake_app(tmp_path, world, overrides=overrides) as app:
        report = await app.run("install", {"integration": "nginx"})
        implementations = {agent["name"]: agent["implementation"] for agent in app.agents()}
        doctor = {check["check"]: check["observed"] for check in await app.doctor()}

    assert (report["status"], report["checks"], report["generation"]) == ("succeeded", [], None)
    assert implementations["verifier"].endswith(":Blind")
    assert implementations["executor"] == "workflow_agent.agents.executor:ExecutorAgent"
    assert "verifier by" in doctor["agents"]


@pytest.mark.parametrize(
    ("target", "part"),
    [
        ("nothing_of_that_name:make", "cannot be loaded"),
        ("others:missing", "cannot be loaded"),
        ("others", "cannot be loaded"),
        (":make", "cannot be loaded"),
        ("others:broken", "cannot be made"),
        ("others:yes", "gives an agent named `person`"),
        ("others:nameless", "gives an agent named `None`"),
    ],
)
async def test_an_agent_that_cannot_be_had_is_a_usage_error(
    tmp_path: Path, agents_of_others: ModuleType, target: str, part: str
) -> None:
    store = SqliteStore.open_read_only(tmp_path)
    container: Container = build_container(load_settings(None, {"agents.verifier": target}, {}), store)

    with pytest.raises(UsageError, match=part) as refused:
        container.verifier()

    assert refused.value.where == "agents.verifier"


# -- agents described ----------------------------------------------------------------------------------------------


async def test_every_verb_publishes_json_schemas(app: App) -> None:
    agents = app.agents()

    assert [agent["name"] for agent in agents] == list(AGENTS)
    assert json.loads(json.dumps(agents)) == agents
    for agent in agents:
        assert agent["subjects"] == [f"agent.{agent['name']}.{verb}" for verb in agent["verbs"]]
        for verb in agent["verbs"]:
            for schema in agent["schemas"][verb].values():
                jsonschema.Draft202012Validator.check_schema(schema)
                assert schema["additionalProperties"] is False


async def test_agents_that_load_late_have_the_verbs_that_were_announced(app: App) -> None:
    announced = {name: sorted(verbs) for name, verbs in AGENTS.items()}

    assert {agent["name"]: agent["verbs"] for agent in app.agents()} == announced


async def test_every_step_of_the_shipped_pipelines_gives_the_fields_that_its_verb_takes(app: App) -> None:
    schemas = {
        f"{agent['name']}.{verb}": agent["schemas"][verb]["request"]
        for agent in app.agents()
        for verb in agent["verbs"]
    }
    for name in app.catalogue.names():
        workflow = app.catalogue.get(name)
        for step in (*workflow.steps, *workflow.on_failure):
            schema = schemas[step.uses]
            assert set(step.with_) <= set(schema["properties"]), (name, step.id)
            assert set(schema.get("required", ())) <= set(step.with_), (name, step.id)


async def test_the_page_about_agents_is_what_the_agents_say(app: App) -> None:
    page = (ROOT / "docs" / "agents.md").read_text(encoding="utf-8")

    assert page == agents_page(app.agents()), "write it anew: python -m workflow_agent.app.agent_pages docs/agents.md"


# -- the doctor ----------------------------------------------------------------------------------------------------


async def test_the_doctor_finds_a_fresh_place_well(app: App) -> None:
    found = await app.doctor()

    assert {check["status"] for check in found} <= {"ok", "warn"}
    assert all(check.keys() == {"check", "status", "observed", "fix"} for check in found)
    assert all(check["observed"] for check in found)
    assert len({check["check"] for check in found}) == len(found) == 18
    seen = {check["check"]: check["observed"] for check in found}
    assert seen["database"] == "sound"
    assert seen["package manager"] == "apt"
    assert seen["init"].startswith("none")
    assert "install" in seen["workflows"]


async def test_the_doctor_never_raises_and_says_what_to_do(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "workflow-agent.db").write_bytes(b"this is no database at all, whatever its name says" * 30)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "bad.yaml").write_text("nonsense: [")
    (tmp_path / "integrations" / "bad").mkdir(parents=True)
    (tmp_path / "integrations" / "bad" / "integration.yaml").write_text("nonsense: [")
    overrides = {
        "paths.state": str(state),
        "workflows.folders": [str(tmp_path / "own")],
        "integrations.folders": [str(tmp_path / "integrations")],
        "agents.person": "nothing:here",
        "targets.host_pid": 2**22,
    }
    async with open_app(load_settings(None, overrides, {}), read_only=True) as app:
        found = {check["check"]: check for check in await app.doctor()}

    bad = {name for name, check in found.items() if check["status"] == "fail"}
    assert {"database", "clock", "workflows", "agents", "platform", "init", "bash", "space on target"} <= bad
    assert found["integrations"]["status"] == "warn"
    assert "bad" in found["integrations"]["observed"]
    assert "move the database" in found["database"]["fix"]
    assert found["python"]["status"] == "ok"


@pytest.mark.parametrize(
    ("check", "patch", "status", "part"),
    [
        ("python", ("sys.version_info", (3, 10, 0)), "fail", ""),
        ("user", ("os.geteuid", lambda: 1000), "warn", "1000"),
        ("state folder", ("os.access", lambda *_: False), "fail", "not writable"),
        ("bash", ("os.access", lambda *_: False), "fail", "not found"),
        ("space for state", ("shutil.disk_usage", lambda _: Free(1 << 29)), "warn", "0.5 GiB"),
        ("space on target", ("shutil.disk_usage", lambda _: Free(1 << 20)), "fail", "0.0 GiB"),
        ("platform", ("_LOOKS", {"platform": lambda _: 1 / 0}), "fail", "ZeroDivisionError"),
    ],
)
async def test_the_doctor_tells_each_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: str, patch: tuple[str, object], *, status: str, part: str
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_text("")
    async with open_fake_app(tmp_path) as app:
        before = {each["check"]: each for each in await app.doctor()}
        with monkeypatch.context() as changed:
            changed.setattr(f"workflow_agent.app.doctor.{patch[0]}", patch[1])
            found = {each["check"]: each for each in await app.doctor()}

    assert before["configuration"]["observed"].endswith("config.toml is read")
    assert (found[check]["status"], part in found[check]["observed"]) == (status, True)
    assert found[check]["fix"]


class Free:
    """What is free on a disk."""

    def __init__(self, free: int) -> None:
        self.free = free


async def test_the_doctor_really_tries_a_capture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(_: object) -> str | None:
        raise PermissionDeniedError

    async def impossible(_: object) -> str | None:
        return "the kernel has no overlay file system"

    async def works(_: object) -> str | None:
        return None

    found = []
    async with open_fake_app(tmp_path) as app:
        for attempt in (refused, impossible, works):
            monkeypatch.setattr("workflow_agent.testing.fake_target.FakeTarget.try_capture", attempt, raising=False)
            found += [check for check in await app.doctor() if check["check"] == "capture"]

    assert [check["status"] for check in found] == ["warn", "fail", "ok"]
    assert "no overlay" in found[1]["observed"]


async def test_looking_makes_nothing(tmp_path: Path) -> None:
    settings = load_settings(None, {"paths.state": str(tmp_path / "state"), "targets.host_pid": 2**22}, {})
    async with open_app(settings, read_only=True) as app:
        found = {check["check"]: check["observed"] for check in await app.doctor()}
        assert await app.history.runs() == []

    assert found["database"].startswith("none yet")
    assert found["state folder"].endswith("will be made")
    assert not (tmp_path / "state").exists()


async def test_a_clock_that_is_wrong_is_seen(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    async def clock(now: float) -> tuple[str, str]:
        with monkeypatch.context() as patch:
            told = SimpleNamespace(time=lambda: now, strftime=time.strftime, gmtime=time.gmtime)
            patch.setattr("workflow_agent.app.doctor.time", told)  # there only: runs have a clock of their own
            (found,) = [check for check in await app.doctor() if check["check"] == "clock"]
        return found["status"], found["observed"].partition(": ")[2]

    fresh = await clock(1.0)
    await app.run("verify", {"integration": "prometheus-node-exporter"})
    behind = await clock(1_750_000_000.0)
    now = await clock(time.time())

    assert fresh == ("fail", "it is in the past")
    assert behind == ("fail", "it is before the newest run")
    assert now == ("ok", "")


# -- parts ---------------------------------------------------------------------------------------------------------


def state(status: RunStatus, **fields: Any) -> RunState:
    return RunState(run_id="r-1", head=9, status=status, workflow="install", inputs={}, steps={}, **fields)


@pytest.mark.parametrize(
    ("end", "code", "told"),
    [
        (state(RunStatus.FAILED), 1, "nothing was changed"),
        (state(RunStatus.FAILED, changed=True), 1, "changes of the run are in place"),
        (state(RunStatus.FAILED, error=RunFailedError(state="half").to_dict()), 1, "half"),
        (state(RunStatus.CANCELLED, cancel_reason="enough"), 130, "nothing was changed"),
        (state(RunStatus.ROLLED_BACK, cancel_reason="enough"), 130, "everything that the run changed was taken back"),
        (state(RunStatus.NEEDS_ATTENTION, cancel_reason="enough"), 10, "changes of the run are in place"),
        (state(RunStatus.ROLLED_BACK), 9, "everything that the run changed was taken back"),
    ],
)
def test_the_end_of_a_run_is_an_error_that_says_what_is_left(end: RunState, code: int, told: str) -> None:
    error = error_of_run(end)

    assert (error.exit_code, error.state, error.run_id) == (code, told, "r-1")


def test_a_run_has_one_owner(tmp_path: Path) -> None:
    ownership = RunOwnership(lambda run_id: tmp_path / run_id)

    with pytest.raises(StoreError, match="cannot be written"), ownership.held("r-1"):
        pass
    (tmp_path / "r-1").mkdir()
    with ownership.held("r-1"):
        with pytest.raises(ConflictError, match="another process"), ownership.held("r-1"):
            pass
    with ownership.held("r-1"):
        pass


async def test_a_user_without_a_name_is_a_number(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("uid not found")

    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setattr("getpass.getuser", nameless)

    report = await app.run("plan", {"integration": "nginx"})

    assert report["user"].isdigit()
