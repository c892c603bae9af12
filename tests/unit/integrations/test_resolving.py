"""Manifest, parameters and facts give exactly what is to be done; nothing that a person gives is read as code."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.integrations import (
    Manifest,
    Registry,
    ResolvedAction,
    bind_parameters,
    builtin_folder,
    check_platform,
    resolve,
)
from workflow_agent.model.errors import ManifestError, NotFoundError, ParameterError, UnsupportedPlatformError
from workflow_agent.model.system import Effect, InitKind
from workflow_agent.targets.probe_spec import validate_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.unit.integrations.target_facts import DEBIAN
else:  # pytest puts this folder on the path, the type checker knows modules from the root
    from target_facts import DEBIAN

FACTS = replace(DEBIAN, hostname="lab-1", init=InitKind.NONE)
EXPORTER = "prometheus-node-exporter"


def _resolve(name: str, action: str = "install", **given: Any) -> ResolvedAction:  # Any: parameters
    manifest = Registry([builtin_folder()]).get(name)
    return resolve(manifest, action, bind_parameters(manifest, given), FACTS)


def _spec(action: ResolvedAction, check: str) -> Mapping[str, Any]:
    return next(entry.spec for entry in action.checks if entry.id == check)


def test_the_exporters_arguments_follow_the_parameters() -> None:
    action = _resolve(
        EXPORTER,
        port="9200",
        listen_address="127.0.0.1",
        enabled_collectors=["processes", "tcpstat"],
        disabled_collectors="wifi",
        only_enabled_collectors="yes",
        extra_args=["--web.max-requests=5"],
    )

    (service,) = action.services
    assert service.argv == (
        "/usr/bin/prometheus-node-exporter",
        "--web.listen-address=127.0.0.1:9200",
        "--log.level=info",
        "--collector.textfile.directory=/var/lib/prometheus/node-exporter",
        "--collector.disable-defaults",
        "--collector.processes",
        "--collector.tcpstat",
        "--no-collector.wifi",
        "--web.max-requests=5",
    )
    (file,) = action.files
    assert (file.path, file.format) == ("/etc/default/prometheus-node-exporter", "env")
    assert {"ARGS": list(service.argv[1:])} == file.values
    assert service.listens == ("tcp/9200",)
    assert _spec(action, "page")["url"] == "http://127.0.0.1:9200/metrics"
    assert not {"nodename", "memory", "clock"} & {check.id for check in action.checks}


def test_the_exporters_metrics_are_those_of_the_target() -> None:
    action = _resolve(EXPORTER)

    assert _spec(action, "nodename")["labels"] == {"nodename": "lab-1"}
    assert _spec(action, "port")["port"] == 9100
    assert _spec(action, "memory")["url"] == "http://127.0.0.1:9100/metrics"


@pytest.mark.parametrize(
    "argument",
    [
        "--log.level=debug",
        "--web.listen-address=:1",
        "--x=a b",
        "--x='a'",
        '--x="a"',
        "--x=a\\d",
        "--x=`id`",
        "--x=$(id)",
        "--x=$HOME",
        "--x=${HOME}",
        "--x=/etc/*",
        "--x=[a]",
        "--x=a\nb",
        "-x",
        "x; reboot",
    ],
)
def test_arguments_that_a_reader_of_the_defaults_file_would_change_are_refused(argument: str) -> None:
    with pytest.raises(ParameterError):
        _resolve(EXPORTER, extra_args=[argument])


@pytest.mark.parametrize("argument", ["--web.disable-exporter-metrics", "--collector.x.exclude=^(a|b.+)$"])
def test_ordinary_arguments_pass(argument: str) -> None:
    assert _resolve(EXPORTER, extra_args=[argument]).services[0].argv[-1] == argument


def test_nginx_writes_its_site_from_templates() -> None:
    action = _resolve("nginx", port=8080, root="/srv/www")

    assert [(file.path, file.template) for file in action.files] == [
        ("/etc/nginx/nginx.conf", "main"),
        ("/etc/nginx/sites-available/default", "site"),
    ]
    assert action.context["packages"] == ["nginx"]
    assert action.context["parameters"]["port"] == 8080
    assert action.context["facts"]["hostname"] == "lab-1"
    assert action.state_data[0].path == "/srv/www"


def test_nginx_is_checked_by_content() -> None:
    packaged = _resolve("nginx")
    own = _resolve("nginx", root="/srv/www", expected_text="${{ facts.hostname }}")

    assert _spec(packaged, "packaged-page")["contains"] == "Welcome to nginx!"
    # a value that looks like an expression is data
    assert _spec(own, "start-page")["contains"] == "${{ facts.hostname }}"
    assert "packaged-page" not in {check.id for check in own.checks}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("server_name", "a; return 200"),
        ("server_name", "a {"),
        ("root", "/srv/www; }"),
        ("root", "/srv/$(id)"),
        ("root", "relative"),
        ("worker_processes", "2; user root"),
        ("client_max_body_size", "1m;"),
        ("index", "a b"),
        ("port", "80 ssl"),
    ],
)
def test_nginx_parameters_cannot_add_directives(name: str, value: str) -> None:
    with pytest.raises(ParameterError):
        _resolve("nginx", **{name: value})


@pytest.mark.parametrize("name", [EXPORTER, "nginx"])
@pytest.mark.parametrize("action", ["install", "uninstall"])
def test_probers_accept_every_check_of_the_shipped_integrations(name: str, action: str) -> None:
    resolved = _resolve(name, action)

    assert resolved.checks
    for check in (*resolved.checks, *resolved.negative_checks):
        validate_spec(check.kind, check.spec)


@pytest.mark.parametrize("name", [EXPORTER, "nginx"])
def test_uninstall_writes_and_starts_nothing_and_proves_absence(name: str) -> None:
    install, uninstall = _resolve(name), _resolve(name, "uninstall")

    assert uninstall.files == ()
    assert [service.start for service in uninstall.services] == [False]
    assert install.negative_checks == uninstall.checks
    assert uninstall.negative_checks == ()
    assert uninstall.template == "apt/uninstall"


def test_an_unknown_action_gets_the_nearest() -> None:
    with pytest.raises(NotFoundError) as caught:
        _resolve("nginx", "instal")

    assert "`install`" in str(caught.value.hint)


@pytest.mark.parametrize(
    "change",
    [{"os_id": "alpine"}, {"os_version": "11"}, {"os_id": "ubuntu", "os_like": ("debian",)}],
)
def test_an_unsupported_platform_is_refused_naming_what_is_supported(change: dict[str, Any]) -> None:
    manifest = Registry([builtin_folder()]).get("nginx")

    with pytest.raises(UnsupportedPlatformError) as caught:
        check_platform(manifest, replace(FACTS, **change))

    assert "debian 12 with init systemd/sysvinit/none" in str(caught.value.hint)


DATA: dict[str, Any] = {
    "schema": "workflow-agent/integration/1",
    "name": "example",
    "version": "1.0.0",
    "description": "An example.",
    "category": "test",
    "platforms": [{"family": "debian", "os": ["ubuntu"], "architectures": ["x86_64"], "init": ["systemd"]}],
    "parameters": {"text": {"type": "string", "description": "Text."}},
    "actions": {"install": {"template": "apt/install", "timeout": 30}},
    "files": [
        {"path": "/etc/${{ facts.hostname }}", "format": "text", "content": "x ${{ parameters.text }}"}
        | {"when": "parameters.text != null"},
    ],
    "services": [
        {
            "name": "d",
            "argv": ["/d", "${{ parameters.text }}", {"value": "-v", "when": "facts.is_root"}],
            "directories": [{"path": "/run/${{ facts.hostname }}", "owner": "d:d"}],
        },
    ],
    "checks": [{"id": "port", "kind": "port", "port": "${{ parameters.text }}", "when": "parameters.text != null"}],
    "effects": [{"kind": "irreversible", "description": "Sends mail."}],
    "documentation": [{"url": "https://example.org/", "title": "Manual"}],
}
UBUNTU = replace(FACTS, os_id="ubuntu", os_like=("debian",), init=InitKind.SYSTEMD)


def test_platforms_match_by_family_system_architecture_and_init() -> None:
    manifest = Manifest.model_validate(DATA)

    check_platform(manifest, UBUNTU)
    for change in ({"init": InitKind.NONE}, {"architecture": "aarch64"}, {"os_like": ("suse",)}):
        with pytest.raises(UnsupportedPlatformError):
            check_platform(manifest, replace(UBUNTU, **change))


def test_conditions_leave_out_files_checks_and_arguments() -> None:
    manifest = Manifest.model_validate(DATA)

    action = resolve(manifest, "install", {"text": None}, replace(UBUNTU, is_root=False))

    assert action.files == ()
    assert action.checks == ()
    assert action.services[0].argv == ("/d", "")
    assert action.services[0].directories == ({"path": "/run/lab-1", "mode": "0755", "owner": "d:d"},)
    assert action.effects == (Effect(kind="irreversible", description="Sends mail."),)
    assert action.documentation == ({"url": "https://example.org/", "title": "Manual"},)
    assert action.timeout_s == 30


def test_text_files_are_interpolated() -> None:
    manifest = Manifest.model_validate(DATA | {"checks": [{"id": "p", "kind": "package", "name": "x"}]})

    (file,) = resolve(manifest, "install", {"text": "a"}, UBUNTU).files

    assert (file.path, file.content) == ("/etc/lab-1", "x a")


@pytest.mark.parametrize("text", ["high", "${{ 80 }}"])
def test_an_expression_that_gives_the_wrong_type_is_told_by_key(text: str) -> None:
    manifest = Manifest.model_validate(DATA)

    with pytest.raises(ManifestError) as caught:
        resolve(manifest, "install", {"text": text}, UBUNTU)

    assert "`port` became invalid: `port`" in caught.value.message


@pytest.mark.parametrize("text", ["etc/x", "/srv/../etc/x", "/srv/\n", None])
@pytest.mark.parametrize("key", ["files", "state_data"])
def test_an_expression_cannot_make_another_path_than_an_absolute_one(key: str, text: str | None) -> None:
    entry = {"path": "${{ parameters.text }}"}
    more = {"format": "text", "content": ""} if key == "files" else {}
    checks = [{"id": "p", "kind": "package", "name": "x"}]
    manifest = Manifest.model_validate(DATA | {"checks": checks, "files": [], key: [entry | more]})

    with pytest.raises(ManifestError, match="no absolute path"):
        resolve(manifest, "install", {"text": text}, UBUNTU)


def test_an_expression_that_fails_names_the_integration() -> None:
    checks = [{"id": "p", "kind": "package", "name": "x", "when": "parameters.text"}]
    manifest = Manifest.model_validate(DATA | {"checks": checks})

    with pytest.raises(ManifestError, match="an expression of example failed"):
        resolve(manifest, "install", {"text": "a"}, UBUNTU)
