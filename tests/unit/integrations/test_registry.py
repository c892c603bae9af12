"""The registry finds integrations by folder name and reads no more than it must."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import workflow_agent.integrations as package
from workflow_agent.integrations import Registry, builtin_folder, load_manifest, readme
from workflow_agent.model.errors import ConflictError, ManifestError, NotFoundError

GOOD = Path(__file__).parents[2] / "examples" / "manifests" / "schema" / "good"


def _place(folder: Path, name: str = "example") -> Path:
    shutil.copytree(GOOD, folder / name)
    return folder


SHIPPED = [
    "apache2",
    "auditd",
    "chrony",
    "collectd",
    "fail2ban",
    "haproxy",
    "mariadb-server",
    "memcached",
    "memcached-exporter",
    "munin-node",
    "netdata",
    "nginx",
    "postgresql",
    "prometheus",
    "prometheus-alertmanager",
    "prometheus-apache-exporter",
    "prometheus-blackbox-exporter",
    "prometheus-mysqld-exporter",
    "prometheus-nginx-exporter",
    "prometheus-node-exporter",
    "prometheus-postgres-exporter",
    "prometheus-process-exporter",
    "prometheus-pushgateway",
    "prometheus-redis-exporter",
    "pypiserver",
    "redis-server",
    "rsyslog",
    "snmpd",
    "squid",
    "statsd-exporter",
]


def test_shipped_integrations_are_found() -> None:
    registry = Registry([builtin_folder()])

    assert registry.names() == SHIPPED
    assert registry.get("nginx").name == "nginx"
    assert {listing.warnings for listing in registry.list()} == {()}


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(NotFoundError) as caught:
        Registry([builtin_folder()]).get("ngnix")

    assert caught.value.hint == "did you mean `nginx`?"


@pytest.mark.parametrize("name", ["..", "../nginx", "nginx/../nginx", "/etc", "", ".", "a\0b", "x" * 10_000_000])
def test_a_name_is_never_a_path(name: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        Registry([builtin_folder()]).get(name)

    assert len(caught.value.message) < 200


def test_without_any_folder_nothing_is_known(tmp_path: Path) -> None:
    registry = Registry([tmp_path / "absent"])

    assert registry.names() == []
    with pytest.raises(NotFoundError) as caught:
        registry.get("nginx")
    assert "integrations list" in str(caught.value.hint)
    with pytest.raises(NotFoundError, match="nginx"):
        Registry([]).get("nginx")


def test_duplicates_are_listed_with_both_places_and_refused_when_asked_for(tmp_path: Path) -> None:
    one, two = _place(tmp_path / "one"), _place(tmp_path / "two")
    registry = Registry([one, two])

    (listing,) = registry.list()
    assert str(one) in listing.warnings[0]
    assert str(two) in listing.warnings[0]
    with pytest.raises(ConflictError) as caught:
        registry.get("example")
    assert [str(one / "example"), str(two / "example")] == caught.value.details["folders"]


def test_a_broken_neighbour_does_no_harm(tmp_path: Path) -> None:
    _place(tmp_path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "integration.yaml").write_text("schema: [", encoding="utf-8")
    (tmp_path / "no-integration").mkdir()
    registry = Registry([tmp_path])

    broken, good = registry.list()
    assert "broken cannot be used" in broken.warnings[0]
    assert (good.version, good.category, good.platforms) == ("1.0.0", "test", ("debian",))
    assert registry.get("example").name == "example"
    with pytest.raises(ManifestError):
        registry.get("broken")


def test_a_folder_named_otherwise_than_its_integration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="its folder is `other`"):
        Registry([_place(tmp_path, "other")]).get("other")


def test_the_registry_says_where_it_looks(tmp_path: Path) -> None:
    assert str(tmp_path) in repr(Registry([tmp_path]))


def test_names_of_the_package_load_late_and_completely() -> None:
    assert sorted(package.__all__) == dir(package)
    for name in package.__all__:
        assert getattr(package, name).__name__ == name
    with pytest.raises(AttributeError):
        _ = package.nothing


def test_importing_the_package_loads_no_pydantic() -> None:
    code = "import sys, workflow_agent.integrations; sys.exit('pydantic' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_readme_says_all_that_a_manifest_says(tmp_path: Path) -> None:
    text = (GOOD / "integration.yaml").read_text(encoding="utf-8")
    text = text.replace("os: [debian]", "os: [debian]\n    releases: ['12']\n    architectures: [x86_64]")
    text = text.replace(
        "    description: TCP port.\n",
        "    description: TCP | port.\n    min: 1\n    max: 9000\n    example: 80\n"
        "  mode:\n    type: list\n    items: enum\n    choices: [a, b]\n    description: Mode.\n    example: [a, b]\n"
        "  token:\n    type: string\n    secret: true\n    required: true\n    description: Token.\n",
    )
    text += "requires: [other]\nconflicts: [third]\neffects: [{kind: irreversible, description: Mail.}]\n"
    text += "state_data: [{path: /var/lib/x}, {path: /var/y, policy: drop, description: Y.}]\nupgrade: {notes: Slow.}\n"
    folder = tmp_path / "example"
    folder.mkdir()
    (folder / "integration.yaml").write_text(text, encoding="utf-8")

    page = readme(load_manifest(folder))

    for part in (
        "| `port` | port, from 1, to 9000 | `8080` | TCP \\| port. |",
        "list of enum, one of `a`, `b`",
        "| `token` | string, secret | required | Token. |",
        "--param port=80 \\\n    --param mode=a \\\n    --param mode=b\n",
        "- debian 12 on x86_64; started by systemd, sysvinit, no init system",
        "- `other`",
        "- `third`",
        "- irreversible: Mail.",
        "- `/var/lib/x` (keep)\n- `/var/y` (drop): Y.",
        "- Slow.",
    ):
        assert part in page
    assert "--param token" not in page


def test_a_readme_of_little_has_no_empty_sections(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "integration.yaml").write_text(
        "schema: workflow-agent/integration/1\nname: small\nversion: 1.0.0\ndescription: Small.\ncategory: test\n"
        "platforms: [{family: debian, os: [debian]}]\nactions: {install: {template: apt/install}}\n"
        "checks: [{id: package, kind: package, name: small, description: Is there.}]\n",
        encoding="utf-8",
    )

    page = readme(load_manifest(folder))

    assert [line for line in page.splitlines() if line.startswith("## ")] == ["## Platforms", "## Checks"]
