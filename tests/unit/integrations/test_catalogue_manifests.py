"""Every integration that is shipped says how it is proven, removed, upgraded, and what it keeps."""

from __future__ import annotations

import pytest

from workflow_agent.integrations import Registry, builtin_folder, readme

REGISTRY = Registry([builtin_folder()])
#: What shows function: that a program runs or listens shows presence.
FUNCTION = {"http", "metric", "tcp", "snmp", "log", "command"}
#: They keep nothing that outlives them.
WITHOUT_DATA = {"haproxy", "memcached", "memcached-exporter", "prometheus-blackbox-exporter", "statsd-exporter"}


@pytest.mark.parametrize("name", REGISTRY.names())
def test_each_is_complete(name: str) -> None:
    manifest = REGISTRY.get(name)

    assert (manifest.folder / "README.md").read_text(encoding="utf-8") == readme(manifest)
    assert len(manifest.parameters) >= 5
    assert {check.kind for check in manifest.checks} & FUNCTION
    assert {"process", "unit"} <= {check.kind for check in manifest.negative_checks}
    assert any(check.kind == "process" and check.current for check in manifest.checks)
    assert {"install", "uninstall"} <= manifest.actions.keys()
    assert manifest.upgrade.soak >= 5
    assert bool(manifest.state_data) is (name not in WITHOUT_DATA)
    assert all(parameter.description for parameter in manifest.parameters.values())
    assert manifest.documentation
