"""`discover`: a real program that runs is seen, and what is for it is offered."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from workflow_agent.integrations import Registry, builtin_folder
from workflow_agent.integrations.signs import signs_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def manifest(name: str, **more: Any) -> dict[str, Any]:
    return {
        "schema": "workflow-agent/integration/1",
        "name": name,
        "version": "1.0.0",
        "description": f"What {name} is.",
        "category": "monitoring",
        "platforms": [{"family": "debian", "os": ["debian"]}],
        "actions": {"install": {"template": "apt/install", "with": {"packages": ["wa-kestrel-package"]}}},
        "checks": [{"id": "there", "kind": "file", "path": "/etc/passwd"}],
        **more,
    }


@pytest.fixture
def kestrel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """A program named like no other runs, and three integrations are for it, each said in another way."""
    folder = tmp_path / "integrations"
    service = {"name": "wa-kestrel", "exe": "/opt/bin/wa-kestrel", "listens": ["tcp/${{ parameters.port }}"]}
    parameters = {"port": {"type": "port", "default": 1, "description": "Port."}}
    for data in (
        manifest("wa-kestrel", services=[service], parameters=parameters),
        manifest("wa-kestrel-exporter", requires=["wa-kestrel"]),
        manifest("wa-kestrel-watch", discovery={"processes": ["wa-kestrel", "other"], "ports": [1]}),
        manifest("wa-nothing", discovery={"packages": ["wa-no-such-package"]}),
    ):
        (folder / data["name"]).mkdir(parents=True)
        (folder / data["name"] / "integration.yaml").write_text(yaml.safe_dump(data))
    (folder / "wa-broken").mkdir()
    (folder / "wa-broken" / "integration.yaml").write_text("name: [")
    monkeypatch.setenv("WORKFLOW_AGENT_INTEGRATIONS__FOLDERS", str(folder))
    program = tmp_path / "wa-kestrel"
    shutil.copyfile("/bin/sleep", program)
    program.chmod(0o755)
    process = subprocess.Popen([str(program), "600"])
    yield process
    process.kill()
    process.wait()


def test_a_program_that_runs_is_found_and_all_that_is_for_it_is_offered(
    cli: Callable[..., Any], kestrel: subprocess.Popen[bytes]
) -> None:
    answer = cli("discover", "--json").json

    (item,) = [item for item in answer["data"]["items"] if item["found"] == "wa-kestrel"]
    assert item["state"] == "running"
    assert [(one["sign"], one["value"]) for one in item["evidence"]] == [("process", "wa-kestrel")]
    assert str(kestrel.pid) in item["evidence"][0]["observed"]
    assert [(offer["integration"], offer["how"], offer["installed"]) for offer in item["offers"]] == [
        ("wa-kestrel", "is", False),
        ("wa-kestrel-exporter", "monitors", False),
        ("wa-kestrel-watch", "monitors", False),
    ]
    assert answer["data"]["unreadable"] == ["wa-broken"]
    offered = {offer["integration"] for one in answer["data"]["items"] for offer in one["offers"]}
    assert "wa-nothing" not in offered


def test_people_read_what_was_seen_and_what_to_type(cli: Callable[..., Any], kestrel: subprocess.Popen[bytes]) -> None:
    del kestrel
    told = cli("discover")

    assert "wa-kestrel is running" in told.out
    assert "`workflow-agent plan wa-kestrel-exporter`" in told.out
    assert "wa-broken" in told.err


def test_a_target_that_is_not_there_is_said(cli: Callable[..., Any]) -> None:
    assert cli("discover", "--target", "nowhere").code != 0


def test_shipped_exporters_say_what_they_look_after() -> None:
    registry = Registry([builtin_folder()])
    redis = signs_of(registry.get("prometheus-redis-exporter"), registry.get)
    own = signs_of(registry.get("redis-server"), registry.get)

    assert signs_of(registry.get("postgresql"), registry.get).ports == (5432,)
    assert ("redis-server" in redis.processes, redis.ports, redis.monitors) == (True, (6379,), True)
    assert (own.processes, own.packages, own.ports, own.monitors) == (
        ("redis-server",),
        ("redis-server",),
        (6379,),
        False,
    )


def test_what_only_comes_along_with_an_install_is_no_sign() -> None:
    registry = Registry([builtin_folder()])

    packages = {name: signs_of(registry.get(name), registry.get).packages for name in ("fail2ban", "collectd", "nginx")}

    assert packages == {"fail2ban": ("fail2ban",), "collectd": ("collectd-core",), "nginx": ("nginx",)}
