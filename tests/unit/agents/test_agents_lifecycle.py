"""Decisions about what is installed already: parameters, differences, what may go, what proves that it is gone."""

from __future__ import annotations

from typing import Any

import pytest

from workflow_agent.agents.lifecycle import (
    differences,
    given_parameters,
    gone_checks,
    is_removable,
    manifest_action,
    refuse_required,
    refuse_upgrade,
)
from workflow_agent.integrations import Manifest
from workflow_agent.model.errors import ConflictError
from workflow_agent.model.system import Check, Generation, Service


def manifest(*, version: str = "1.0.0", policy: str = "in-place", actions: tuple[str, ...] = ("install",)) -> Manifest:
    parameters = {
        "port": {"type": "port", "description": "Port."},
        "password": {"type": "string", "secret": True, "description": "Secret."},
    }
    return Manifest.model_validate(
        {
            "schema": "workflow-agent/integration/1",
            "name": "x",
            "version": version,
            "description": "X.",
            "category": "test",
            "platforms": [{"family": "debian", "os": ["debian"]}],
            "parameters": parameters,
            "actions": {name: {"template": name} for name in actions},
            "checks": [{"id": "there", "kind": "file", "path": "/x"}],
            "upgrade": {"policy": policy},
        }
    )


def generation(parameters: dict[str, Any], *, version: str = "1.0.0") -> Generation:
    return Generation(
        target="host",
        integration="x",
        run_id="r-1",
        parameter_hash="p",
        parameters=parameters,
        manifest_version=version,
        manifest_hash="another",
        transaction="r-1.1",
        live=True,
        created_at=1.0,
    )


@pytest.mark.parametrize(
    ("path", "removable"),
    [
        ("/", False),
        ("/srv", False),
        ("/etc", False),
        ("/var/lib", False),
        ("/var/log/", False),
        ("/usr/bin", False),
        ("/home/ann", False),
        ("/boot/grub/x", False),
        ("/proc/sys/net", False),
        ("/.workflow-agent/tx/a", False),
        ("/var/lib/workflow-agent", False),
        ("/var/lib/workflow-agent/history.db", False),
        ("/var/lib/workflow-agents", True),
        ("/srv/www", True),
        ("/opt/thing", True),
        ("/var/log/nginx", True),
        ("/home/ann/site", True),
        ("/data/thing", True),
    ],
)
def test_folders_that_a_system_is_made_of_never_go(path: str, removable: bool) -> None:
    assert is_removable(path) is removable


def test_values_of_secrets_are_no_part_of_a_difference() -> None:
    installed = generation({"port": 1, "password": {"secret": "env:OLD"}, "gone": 1})

    found = differences(manifest(version="1.1.0"), {"port": 2, "password": {"secret": "env:NEW"}}, installed)

    assert "OLD" not in str(found)
    assert "NEW" not in str(found)
    assert found["version"] == {"before": "1.0.0", "after": "1.1.0"}
    assert [one["name"] for one in found["parameters"]] == ["port", "password"]
    assert found["dropped"] == ["gone"]


@pytest.mark.parametrize(
    ("action", "given", "expected"),
    [
        ("install", {}, {}),
        ("install", {"port": 3}, {"port": 3}),
        ("verify", {}, {"port": 1}),
        ("verify", {"port": 3}, {"port": 3}),
        ("verify", {"password": "-"}, {"password": "-"}),
        ("upgrade", {"password": "-"}, {"port": 1, "password": "-"}),
        ("repair", {}, {"port": 1}),
        ("uninstall", {}, {"port": 1}),
    ],
)
def test_what_is_installed_is_the_base_where_the_action_goes_on_with_it(
    action: str, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    installed = generation({"port": 1, "password": None, "gone": 1})

    assert given_parameters(action, ["port", "password"], given, installed) == expected
    assert given_parameters(action, ["port", "password"], given, None) == given


@pytest.mark.parametrize(("installed", "offered"), [("1.0.0", "1.0.0"), ("1.9.0", "1.10.0"), ("1.0.0", "1.0.0-rc.1")])
def test_versions_are_numbers_not_text(installed: str, offered: str) -> None:
    refuse_upgrade(manifest(version=offered), generation({}, version=installed))


def test_an_older_version_does_not_follow() -> None:
    with pytest.raises(ConflictError, match="older"):
        refuse_upgrade(manifest(version="1.9.9"), generation({}, version="1.10.0"))


def test_a_port_that_no_check_names_must_be_free_of_the_program() -> None:
    services = [Service(name="a", exe="/usr/bin/a", listens=("tcp/1", "udp/2")), Service(name="b", listens=("tcp/3",))]
    declared = [Check(id="closed", kind="port", spec={"port": 1, "open": False})]

    checks = gone_checks(services, declared)

    assert [(check.id, dict(check.spec)) for check in checks[1:]] == [
        ("a-udp-2-closed", {"port": 2, "protocol": "udp", "open": False, "process": "/usr/bin/a"}),
        ("b-tcp-3-closed", {"port": 3, "protocol": "tcp", "open": False}),
    ]
    assert checks[0] is declared[0]


def test_an_action_of_its_own_is_taken_before_the_installation() -> None:
    both = manifest(actions=("install", "upgrade"))

    assert [manifest_action(both, name) for name in ("upgrade", "repair", "verify", "uninstall")] == [
        "upgrade",
        "install",
        "install",
        "uninstall",
    ]
    assert manifest_action(manifest(), "upgrade") == "install"


def test_everybody_who_needs_it_is_named() -> None:
    refuse_required("x", "host", [])
    with pytest.raises(ConflictError, match="`a`, `b`") as refused:
        refuse_required("x", "host", ["a", "b"])

    assert refused.value.details == {"required_by": ["a", "b"]}
