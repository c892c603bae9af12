"""Uninstall, upgrade and repair from end to end, on a target in memory: ends, errors, generations, the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.model.errors import (
    ConflictError,
    DeclinedError,
    NotFoundError,
    RolledBackError,
)
from workflow_agent.model.status import RunStatus
from workflow_agent.testing.fake_app import open_fake_app
from workflow_agent.testing.fake_target import FakeWorld

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from workflow_agent.app import App

CONFIG = "/etc/thing.conf"
DATA = "/var/lib/thing/data"
CACHE = "/var/cache/thing/data"
MANIFEST = """schema: workflow-agent/integration/1
name: thing
version: {version}
description: A thing of a test.
category: test
platforms: [{{family: debian, os: [debian]}}]
parameters:
  port: {{type: port, default: 80, description: Port.}}
  {extra}: {{type: string, default: usual, description: More.}}
actions:
  install: {{template: install}}
  uninstall: {{template: uninstall}}
files:
  - path: /etc/thing.conf
    format: json
    values: {{port: "${{{{ parameters.port }}}}", extra: "${{{{ parameters.{extra} }}}}"}}
services:
  - {{name: thing, exe: /usr/bin/thing, argv: [/usr/bin/thing], listens: ["tcp/${{{{ parameters.port }}}}"]}}
checks:
  - {{id: configured, kind: file, path: /etc/thing.conf}}
  - {{id: works, kind: port, port: "${{{{ parameters.port }}}}", process: /usr/bin/thing}}
negative_checks:
  - {{id: gone, kind: file, path: /etc/thing.conf, exists: false}}
state_data:
  - {{path: /var/lib/thing, policy: keep}}
  - {{path: /var/cache/thing, policy: drop}}
upgrade: {{policy: {policy}}}
"""


class Author:
    """Writes the integration `thing`, and the next version of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, version: str = "1.0.0", *, extra: str = "extra", policy: str = "in-place") -> Mapping[str, Any]:
        (self.folder / "templates").mkdir(parents=True, exist_ok=True)
        text = MANIFEST.format(version=version, extra=extra, policy=policy)
        (self.folder / "integration.yaml").write_text(text, encoding="utf-8")
        (self.folder / "templates/install.sh.j2").write_text("set -eu\ntrue\n", encoding="utf-8")
        removal = f"set -eu\nrm {CONFIG}\nrm {DATA}\n"
        (self.folder / "templates/uninstall.sh.j2").write_text(removal, encoding="utf-8")
        return {"integration": str(self.folder), "approve": True}


@pytest.fixture
def world() -> FakeWorld:
    return FakeWorld(files={DATA: "data", CACHE: "cache"})


@pytest.fixture
async def app(tmp_path: Path, world: FakeWorld) -> AsyncIterator[App]:
    (tmp_path / "own").mkdir()
    async with open_fake_app(tmp_path, world, overrides={"integrations.folders": [str(tmp_path / "own")]}) as opened:
        yield opened


@pytest.fixture
def author(tmp_path: Path) -> Author:
    return Author(tmp_path / "own" / "thing")


async def live(app: App) -> list[str]:
    return [generation.run_id for generation in await app.history.generations("host")]


# -- uninstall -----------------------------------------------------------------------------------------------------


async def test_an_uninstall_ends_the_generation_and_its_rollback_brings_it_back(
    app: App, world: FakeWorld, author: Author
) -> None:
    thing = author.write()
    installed = await app.run("install", thing)
    working = dict(world.files)

    removed = await app.run("uninstall", thing)
    gone, gone_running, gone_live = dict(world.files), set(world.running), await live(app)
    with pytest.raises(ConflictError) as conflict:
        await app.run("rollback", {"run": installed["run_id"], "approve": True})
    back = await app.run("rollback", {"approve": True})
    back_live = await live(app)
    redone = await app.run("rollback", {"run": back["run_id"], "approve": True})

    assert (removed["action"], removed["changed"]) == ("uninstall", True)
    assert {check["id"] for check in removed["checks"]} == {"gone", "thing-tcp-80-closed"}
    assert (gone, gone_running, gone_live) == ({DATA: "data"}, set(), [])
    assert conflict.value.exit_code == 6
    assert conflict.value.hint == f"first `workflow-agent rollback {removed['run_id']}`"
    assert back["undoes"] == removed["run_id"]
    assert {check["id"] for check in back["checks"]} == {"configured", "works"}
    assert back_live == [installed["run_id"]]
    assert (world.files, world.running, await live(app)) == (gone, set(), [])
    assert working == {DATA: "data", CACHE: "cache", CONFIG: working[CONFIG]}
    assert redone["status"] == "succeeded"


async def test_services_run_until_consent_and_again_after_a_rollback(
    app: App, world: FakeWorld, author: Author
) -> None:
    thing = author.write()
    await app.run("install", thing)
    asked: list[Mapping[str, Any]] = []

    async def no(summary: Mapping[str, Any]) -> bool:
        asked.append(summary)
        assert world.running == {"thing"}
        return False

    with pytest.raises(DeclinedError):
        await app.run("uninstall", {**thing, "approve": False}, approver=no)
    await app.run("uninstall", thing)
    stopped = set(world.running)
    await app.run("rollback", {"approve": True})

    assert (asked[0]["action"], asked[0]["keep"]) == ("uninstall", ["/var/lib/thing"])
    assert (stopped, world.running) == (set(), {"thing"})


async def test_the_parameters_of_what_is_installed_are_used(app: App, author: Author) -> None:
    thing = author.write()
    await app.run("install", {**thing, "parameters": {"port": 81}})

    removed = await app.run("uninstall", thing)

    assert "thing-tcp-81-closed" in {check["id"] for check in removed["checks"]}


async def test_installed_again_after_an_uninstall_the_way_back_is_to_nothing(
    app: App, world: FakeWorld, author: Author
) -> None:
    thing = author.write()
    first = await app.run("install", thing)
    await app.run("uninstall", thing)
    second = await app.run("install", {**thing, "parameters": {"port": 81}})

    assert (second["changed"], await live(app)) == (True, [second["run_id"]])
    back = await app.run("rollback", {"approve": True})
    assert {check["id"] for check in back["checks"]} == {"gone"}, "the first one was uninstalled: it is not back"
    assert (CONFIG in world.files, await live(app)) == (False, [])
    assert first["run_id"] != second["run_id"]


async def test_purged_data_goes_and_comes_back(app: App, world: FakeWorld, author: Author) -> None:
    thing = author.write()
    await app.run("install", thing)

    await app.run("uninstall", {**thing, "purge": True})
    purged = dict(world.files)
    await app.run("rollback", {"approve": True})

    assert purged == {}
    assert (world.files[DATA], world.files[CACHE]) == ("data", "cache")


async def test_what_is_not_there_is_left_alone(app: App, world: FakeWorld, author: Author) -> None:
    nothing = await app.run("uninstall", author.write())

    assert (nothing["changed"], nothing["rollback_command"]) == (False, None)
    assert "prepare" not in world.calls
    with pytest.raises(NotFoundError):
        await app.run("uninstall", {"integration": "never-was", "approve": True})


async def test_what_somebody_else_installed_goes_and_only_that_comes_back(
    app: App, world: FakeWorld, author: Author
) -> None:
    world.files[CONFIG] = "by hand"
    thing = author.write()
    outputs: dict[str, Any] = {}

    def keep(event: Mapping[str, Any], _: str) -> None:
        if event["type"] == "StepSucceeded":
            outputs[event["step"]] = event["data"]["output"]

    removed = await app.run("uninstall", thing, on_event=keep)
    gone = CONFIG in world.files
    await app.run("rollback", {"approve": True})

    assert (outputs["absent"]["adopted"], removed["changed"], gone) == (True, True, False)
    assert world.files[CONFIG] == "by hand"


async def test_what_is_not_gone_afterwards_is_taken_back_and_runs_again(
    app: App, world: FakeWorld, author: Author
) -> None:
    thing = author.write()
    installed = await app.run("install", thing)
    world.red.add("gone")

    with pytest.raises(RolledBackError, match="gone"):
        await app.run("uninstall", thing)

    assert (CONFIG in world.files, world.running, await live(app)) == (True, {"thing"}, [installed["run_id"]])


async def test_what_another_one_requires_stays(app: App, world: FakeWorld, author: Author, tmp_path: Path) -> None:
    thing = author.write()
    await app.run("install", thing)
    other = Author(tmp_path / "own" / "other")
    needs = other.write()
    text = (other.folder / "integration.yaml").read_text(encoding="utf-8")
    text = text.replace("name: thing", "name: other").replace("actions:", "requires: [thing]\nactions:", 1)
    text = text.replace("/etc/thing.conf", "/etc/other.conf")
    (other.folder / "integration.yaml").write_text(text, encoding="utf-8")
    await app.run("install", needs)

    with pytest.raises(ConflictError, match="`other`") as refused:
        await app.run("uninstall", thing)

    assert refused.value.details["required_by"] == ["other"]
    assert (refused.value.hint, CONFIG in world.files) == ("first `workflow-agent uninstall other`", True)


async def test_a_plan_of_an_uninstall_changes_nothing(app: App, world: FakeWorld, author: Author) -> None:
    thing = author.write()
    await app.run("install", thing)
    files = dict(world.files)

    plan = await app.run("plan", {"integration": thing["integration"], "planned": "uninstall"})

    assert (plan["action"], plan["changed"], plan["changes"]["deleted"]) == ("plan", False, 2)
    assert (world.files, world.running) == (files, {"thing"})


# -- upgrade -------------------------------------------------------------------------------------------------------


async def test_an_upgrade_takes_what_is_installed_as_its_base_and_goes_back(
    app: App, world: FakeWorld, author: Author
) -> None:
    first = await app.run("install", {**author.write(), "parameters": {"port": 81, "extra": "mine"}})
    text = world.files[CONFIG]
    thing = {**author.write("1.1.0", extra="other"), "action": "upgrade"}

    with pytest.raises(ConflictError) as refused:
        await app.run("install", {**thing, "action": "install"})
    upgraded = await app.run("install", thing)
    again = await app.run("install", thing)
    live_then = await live(app)
    await app.run("rollback", {"approve": True})

    assert refused.value.hint == "`workflow-agent upgrade thing`"
    assert (upgraded["action"], upgraded["generation"]["manifest_version"]) == ("upgrade", "1.1.0")
    assert upgraded["generation"]["parameters"] == {"port": 81, "other": "usual"}
    assert (again["changed"], live_then) == (False, [upgraded["run_id"]])
    assert (world.files[CONFIG], await live(app)) == (text, [first["run_id"]])


async def test_what_differs_is_said_before_consent(app: App, author: Author) -> None:
    await app.run("install", {**author.write(), "parameters": {"port": 81}})
    asked: list[Mapping[str, Any]] = []

    async def yes(summary: Mapping[str, Any]) -> bool:
        asked.append(summary)
        return True

    thing = {**author.write("1.1.0", extra="other"), "action": "upgrade", "approve": False, "parameters": {"port": 82}}
    await app.run("install", thing, approver=yes)

    assert asked[0]["differences"] == {
        "version": {"before": "1.0.0", "after": "1.1.0"},
        "parameters": [
            {"name": "port", "before": 81, "after": 82},
            {"name": "other", "before": None, "after": "usual"},
        ],
        "dropped": ["extra"],
    }


@pytest.mark.parametrize(
    ("version", "policy", "part"),
    [("0.9.9", "in-place", "older"), ("2.0.0", "refuse", "refuse"), ("2.0.0", "reinstall", "reinstall")],
)
async def test_an_upgrade_that_cannot_follow_is_refused(
    app: App, author: Author, version: str, policy: str, part: str
) -> None:
    await app.run("install", author.write())

    with pytest.raises(ConflictError, match=part):
        await app.run("install", {**author.write(version, policy=policy), "action": "upgrade"})


@pytest.mark.parametrize("action", ["upgrade", "repair"])
async def test_what_is_not_installed_is_neither_upgraded_nor_repaired(app: App, author: Author, action: str) -> None:
    with pytest.raises(NotFoundError) as refused:
        await app.run("install", {**author.write(), "action": action})

    assert refused.value.hint == "`workflow-agent install thing`"


# -- repair --------------------------------------------------------------------------------------------------------


async def test_a_repair_says_what_was_wrong_and_puts_it_right(app: App, world: FakeWorld, author: Author) -> None:
    thing = {**author.write(), "action": "repair"}
    await app.run("install", {**thing, "action": "install", "parameters": {"port": 81}})
    text = world.files[CONFIG]
    green = await app.run("install", thing)
    world.files[CONFIG] = "changed"

    repaired = await app.run("install", thing)
    fixed = world.files[CONFIG]
    back = await app.run("rollback", {"approve": True})

    assert (green["changed"], green["broken"]) == (False, None)
    assert (repaired["action"], repaired["changed"]) == ("repair", True)
    assert (repaired["broken"]["reason"], repaired["broken"]["missing"]) == ("missing-paths", [CONFIG])
    assert repaired["generation"]["parameters"]["port"] == 81
    assert (fixed, world.files[CONFIG]) == (text, "changed"), "taken back, it is as broken as it was"
    assert (back["status"], back["checks"]) == (RunStatus.SUCCEEDED, [])


async def test_a_service_that_died_is_started_again(app: App, world: FakeWorld, author: Author) -> None:
    thing = author.write()
    installed = await app.run("install", thing)
    world.running.clear()
    world.red.add("works")

    async def heal() -> None:
        world.red.clear()

    world.hooks["activate"] = heal
    repaired = await app.run("install", thing)

    assert (repaired["broken"]["reason"], repaired["changed"], world.running) == ("checks", True, {"thing"})
    assert {check["status"] for check in repaired["checks"]} == {"passed"}
    assert await live(app) == [installed["run_id"]], "nothing new was installed"

    world.files[CONFIG] = "changed"
    again = await app.run("install", {**thing, "action": "repair"})
    assert again["broken"]["missing"] == [CONFIG]


async def test_after_a_repair_of_a_stopped_service_a_rollback_of_the_installation_leaves_nothing_live(
    app: App, world: FakeWorld, author: Author
) -> None:
    thing = author.write()
    installed = await app.run("install", thing)
    world.running.clear()
    world.red.add("works")

    async def heal() -> None:
        world.red.clear()

    world.hooks["activate"] = heal
    await app.run("install", thing)

    back = await app.run("rollback", {"run": installed["run_id"], "approve": True})

    assert (back["status"], await live(app), world.running) == (RunStatus.SUCCEEDED, [], set())
    assert CONFIG not in world.files
