"""What the shipped integrations declare can be rendered and written, and what people give stays data."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.integrations import Registry, ResolvedAction, bind_parameters, builtin_folder, resolve
from workflow_agent.model.system import InitKind, Severity
from workflow_agent.scripts import lint_template, render_file, render_script, template_folders
from workflow_agent.scripts.writers import write_config
from workflow_agent.targets.env_file import expand_argv, parse_env_file

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.integrations.target_facts import DEBIAN
else:  # pytest puts this folder on the path, the type checker knows modules from the root
    from target_facts import DEBIAN

TEMPLATES = builtin_folder().parent / "templates"
FACTS = replace(DEBIAN, hostname="lab-1", init=InitKind.NONE)


def _resolve(name: str, action: str, **given: Any) -> ResolvedAction:  # Any: parameters
    manifest = Registry([builtin_folder()]).get(name)
    return resolve(manifest, action, bind_parameters(manifest, given), FACTS)


def _script(action: ResolvedAction) -> str:
    return render_script(
        action.template,
        action.context,
        search=template_folders(action.folder, (TEMPLATES,)),
        integration=action.integration,
        action=action.action,
        version=action.version,
    ).text


def _file(action: ResolvedAction, path: str) -> str:
    (file,) = (entry for entry in action.files if entry.path == path)
    if file.template is None:
        return write_config(file.format, file.values)
    search = template_folders(action.folder, (TEMPLATES,))
    return render_file(file.template, action.context, search=search, language=file.format)


@pytest.mark.parametrize("name", ["nginx", "prometheus-node-exporter"])
@pytest.mark.parametrize("action", ["install", "uninstall"])
def test_scripts_are_valid_shell_and_name_the_package(name: str, action: str) -> None:
    text = _script(_resolve(name, action))

    assert name in text
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


@pytest.mark.parametrize("path", sorted(builtin_folder().rglob("*.sh.j2")), ids=lambda path: path.name)
def test_own_templates_are_clean(path: Path) -> None:
    findings = lint_template(path.read_text(encoding="utf-8"), str(path))

    assert [finding for finding in findings if finding.severity is Severity.ERROR] == []


def test_the_site_follows_the_parameters_and_needs_no_ipv6() -> None:
    given = {"port": 8080, "server_name": ["a.example", "*.b.example"], "root": "/srv/www", "index": "start.html"}
    site = _file(_resolve("nginx", "install", **given), "/etc/nginx/sites-available/default")

    for line in (
        "listen 8080 default_server;",
        "server_name a.example *.b.example;",
        "root /srv/www;",
        "index start.html;",
    ):
        assert f"    {line}\n" in site
    assert "[::]" not in site


def test_ipv6_can_be_asked_for() -> None:
    site = _file(_resolve("nginx", "install", ipv6=True), "/etc/nginx/sites-available/default")

    assert "    listen [::]:80 default_server;\n" in site


def test_the_main_file_follows_the_parameters() -> None:
    given = {"worker_processes": "3", "client_max_body_size": "20m", "server_tokens": "on", "gzip": "off"}
    main = _file(_resolve("nginx", "install", **given), "/etc/nginx/nginx.conf")

    for line in ("worker_processes 3;", "client_max_body_size 20m;", "server_tokens on;", "gzip off;"):
        assert line in main


@pytest.mark.parametrize("argument", ["--collector.netdev.device-exclude=^(lo|veth.+)$", "--x=a#b;c&d>e"])
def test_systemd_shell_and_supervisor_read_the_same_arguments(argument: str) -> None:
    """The unit and the init script expand `$ARGS`, our supervisor runs `argv`: all must give the same."""
    action = _resolve("prometheus-node-exporter", "install", extra_args=[argument])
    text = _file(action, "/etc/default/prometheus-node-exporter")
    (service,) = action.services

    values = parse_env_file(text)
    by_unit = expand_argv([service.argv[0], "$ARGS"], values)
    by_supervisor = expand_argv(list(service.argv), values)
    shell = f'{text}\nset -- {service.argv[0]} $ARGS\nprintf "%s\\n" "$@"\n'
    by_shell = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True).stdout.splitlines()

    assert list(service.argv) == list(by_unit) == list(by_supervisor) == by_shell
