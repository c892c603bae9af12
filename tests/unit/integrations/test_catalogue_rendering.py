"""What the integrations of the catalogue mean, as files to look at: ``tests/examples/integrations``.

``python tests/unit/integrations/test_catalogue_rendering.py`` writes them anew; look at the difference before it is
committed.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.integrations import Registry, ResolvedAction, bind_parameters, builtin_folder, resolve
from workflow_agent.model.errors import ParameterError, ValidationError
from workflow_agent.model.system import InitKind
from workflow_agent.scripts import render_file, render_script, template_folders
from workflow_agent.scripts.writers import write_config
from workflow_agent.security.marks import fill, reference
from workflow_agent.targets.probe_spec import describe, validate_spec

if TYPE_CHECKING:
    from tests.unit.integrations.target_facts import DEBIAN
else:  # pytest puts this folder on the path, the type checker knows modules from the root
    from target_facts import DEBIAN


EXAMPLES = Path(__file__).parents[2] / "examples" / "integrations"
TEMPLATES = builtin_folder().parent / "templates"
REGISTRY = Registry([builtin_folder()])
FACTS = replace(DEBIAN, hostname="lab-1", init=InitKind.SYSVINIT)
#: What a secret's value is here: quotes, blanks and signs that some reader takes for its own.
VALUE = 'it\'s "a b" $HOME `id` \\ #1 %s'
#: Every parameter of each integration, none at its default.
ALL: dict[str, dict[str, Any]] = {
    "redis-server": {
        "port": 6380,
        "bind": ["10.0.0.5", "::1"],
        "password": reference("password", "0" * 64),
        "protected_mode": False,
        "maxmemory": "256mb",
        "maxmemory_policy": "allkeys-lru",
        "append_only": True,
        "append_fsync": "always",
        "save": "900 1 300 10",
        "databases": 4,
        "max_clients": 200,
        "idle_timeout": 300,
        "log_level": "warning",
    },
    "prometheus-redis-exporter": {
        "port": 9999,
        "listen_address": "127.0.0.1",
        "redis_host": "cache.example.org",
        "redis_port": 6380,
        "redis_user": "metrics",
        "password": reference("password", "0" * 64),
        "single_keys": ["db0=jobs:waiting", "jobs/done"],
        "system_metrics": True,
        "connection_timeout": 3,
        "debug": True,
    },
    "postgresql": {
        "port": 5433,
        "listen_addresses": ["*"],
        "max_connections": 200,
        "shared_buffers": "512MB",
        "work_mem": "16MB",
        "maintenance_work_mem": "128MB",
        "effective_cache_size": "2GB",
        "max_wal_size": "2GB",
        "wal_level": "logical",
        "max_wal_senders": 5,
        "synchronous_commit": False,
        "log_min_duration_ms": 250,
        "idle_in_transaction_timeout_ms": 60000,
    },
    "prometheus-postgres-exporter": {
        "port": 9999,
        "listen_address": "127.0.0.1",
        "postgresql_port": 5433,
        "database": "app",
        "data_source_name": reference("data_source_name", "0" * 64),
        "auto_discover_databases": True,
        "exclude_databases": "template0,template1",
        "settings_metrics": False,
        "log_level": "debug",
    },
}
VARIANTS = [(name, variant) for name in ALL for variant in ("default", "all")]
HOSTILE = [
    "$(id)",
    "`id`",
    "a b",
    "a'b",
    'a"b',
    "a\\",
    "a\nb",
    "a\nrequirepass x",
    "x; reboot",
    "a\u2028b",
    "-x",
    "--help",
    "../../etc",
    "${{ parameters.port }}",
    "{{ 7 * 7 }}",
    "%n",
    "#",
    "",
    "a\tb",
    "\ufdd0password\ufdd1",
]


def resolved(name: str, **given: Any) -> ResolvedAction:
    manifest = REGISTRY.get(name)
    return resolve(manifest, "install", bind_parameters(manifest, given), FACTS)


def files(action: ResolvedAction) -> list[tuple[str, str, str, str]]:
    """Give path, mode, owner and text of each file, with secrets in their places."""
    search = template_folders(action.folder, (TEMPLATES,))
    secrets = dict.fromkeys(("password", "data_source_name"), VALUE)
    found = []
    for file in action.files:
        if file.template is not None:
            text = render_file(file.template, action.context, search=search, language=file.format)
        else:
            text = write_config(file.format, fill(file.values, secrets))
        found.append((file.path, file.mode, file.owner, text))
    return found


def script(action: ResolvedAction) -> str:
    return render_script(
        action.template,
        action.context,
        search=template_folders(action.folder, (TEMPLATES,)),
        integration=action.integration,
        action=action.action,
        version=action.version,
    ).text


def page(name: str, variant: str) -> str:
    """Write everything that an installation means."""
    action = resolved(name, **(ALL[name] if variant == "all" else {}))
    parts = [f"# {name}, parameters: {variant}\n", "## script\n", script(action)]
    for path, mode, owner, text in files(action):
        parts.append(f"## file {path} {mode} {owner}\n{text}")
    for service in action.services:
        shown = {key: value for key, value in asdict(service).items() if value not in (None, (), "", {})}
        parts.append(f"## service\n{json.dumps(shown, indent=2)}\n")
    parts.append(
        "## checks\n" + "".join(f"{check.id}: {describe(check.kind, dict(check.spec))}\n" for check in action.checks)
    )
    parts.append(
        "## gone\n"
        + "".join(f"{check.id}: {describe(check.kind, dict(check.spec))}\n" for check in action.negative_checks)
    )
    parts += [f"## effect\n{json.dumps(asdict(effect), indent=2)}\n" for effect in action.effects]
    parts.append("## data\n" + "".join(f"{state.path} {state.policy}\n" for state in action.state_data))
    return "\n".join(parts)


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_an_installation_means_what_was_looked_at(name: str, variant: str) -> None:
    expected = (EXAMPLES / f"{name}-{variant}.txt").read_text(encoding="utf-8")

    assert page(name, variant) == expected, "test_catalogue_rendering.py, run as a program, writes it anew"


@pytest.mark.parametrize("name", ALL)
def test_every_parameter_is_set_to_something_else_than_its_default(name: str) -> None:
    declared = REGISTRY.get(name).parameters

    assert declared.keys() == ALL[name].keys()
    assert [key for key, value in ALL[name].items() if value == declared[key].default] == []


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("init", InitKind)
def test_every_init_system_gets_services_and_checks_that_can_be_carried_out(name: str, init: InitKind) -> None:
    manifest = REGISTRY.get(name)
    action = resolve(manifest, "install", bind_parameters(manifest, {}), replace(FACTS, init=init))

    assert action.services
    for check in [*action.checks, *action.negative_checks]:
        validate_spec(check.kind, check.spec)


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("name", ALL)
def test_hostile_texts_are_refused_or_stay_data(name: str, hostile: str) -> None:
    """Whatever a parameter is given, no other line, directive, argument or command comes of it."""
    text, lines, words = usual(name)
    for parameter, declared in REGISTRY.get(name).parameters.items():
        if declared.type not in {"string", "list", "address"}:
            continue
        try:
            action = resolved(name, **{parameter: [hostile] if declared.type == "list" else hostile})
            written = files(action)
        except (ParameterError, ValidationError):
            continue
        assert script(action) == text
        assert [found.count("\n") for _, _, _, found in written] == lines
        assert [len(service.argv) - count for service, count in zip(action.services, words, strict=True)] <= [1]


@cache
def usual(name: str) -> tuple[str, list[int], list[int]]:
    """Give the script without parameters, the lines of its files, the words of its services."""
    action = resolved(name)
    lines = [found.count("\n") for _, _, _, found in files(action)]
    return script(action), lines, [len(service.argv) for service in action.services]


@pytest.mark.parametrize("name", ["prometheus-redis-exporter", "prometheus-postgres-exporter"])
def test_a_shell_reads_from_the_defaults_file_what_was_given(name: str) -> None:
    action = resolved(name, **ALL[name])
    (text,) = (text for path, _, _, text in files(action) if path.startswith("/etc/default/"))
    variable = "REDIS_PASSWORD" if name == "prometheus-redis-exporter" else "DATA_SOURCE_NAME"

    shown = subprocess.run(
        ["sh", "-c", f'{text}\nprintf "%s\\n" "${variable}" $ARGS'], capture_output=True, text=True, check=True
    )

    assert shown.stdout.splitlines() == [VALUE, *action.services[0].argv[1:]]
    assert action.services[0].sysvinit is False, "its init script would not hand the secret on"


def test_files_with_secrets_are_for_their_owner_only() -> None:
    for name, given in ALL.items():
        for path, mode, _, text in files(resolved(name, **given)):
            assert (VALUE.split(maxsplit=1)[0] not in text) or mode == "0600", path


if __name__ == "__main__":
    for one, kind in VARIANTS:
        (EXAMPLES / f"{one}-{kind}.txt").write_text(page(one, kind), encoding="utf-8")
