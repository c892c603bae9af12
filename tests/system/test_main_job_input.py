"""Bad input through the command line: refused with a name, or inert; a marker shows that nothing was carried out."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from workflow_agent.integrations import bind_parameters, builtin_folder, load_folder
from workflow_agent.model.errors import ParameterError

if TYPE_CHECKING:
    from tests.system.machine import APPENDED_LOGS, COMMAND, Answer, Machine
else:
    from machine import APPENDED_LOGS, COMMAND

pytestmark = [pytest.mark.root, pytest.mark.slow]

NODE_EXPORTER = "prometheus-node-exporter"
MARKER = "/marker-of-a-test"
HOSTILE = {
    "single quote": f"'; touch {MARKER}; '",
    "double quote": f'"; touch {MARKER}; "',
    "substitution": f"$(touch {MARKER})",
    "backticks": f"`touch {MARKER}`",
    "command": f"; touch {MARKER}",
    "ampersand": f"& touch {MARKER} &",
    "pipe": f"| touch {MARKER}",
    "newline": f"a\ntouch {MARKER}\n",
    "carriage return": f"a\rtouch {MARKER}",
    "template": f"{{{{ cycler.__init__.__globals__.os.popen('touch {MARKER}').read() }}}}",
    "expression": "${{ facts.hostname }}",
    "option": "-oX",
    "long option": f"--collector.textfile.directory=/;touch {MARKER}",
    "parent": "../../../../etc/passwd",
    "absolute parent": "/../../etc/passwd",
    "unicode": "\u202egnp.exe\u2066\ufeff\u00e9\U0001f600",
    "escape": "\x1b]0;owned\x07\x1b[2J",
    "brace": f"}} touch {MARKER} {{",
    "directive": f"80; }} location / {{ root /; }} # {MARKER}",
    "variable": "$HOME${PATH}",
    "glob": "/*",
    "long": "x" * 70_000,
    "nested": "[[[[[[[[[[[[[[[[[[[[",
    "empty": "",
}
#: What no text file may hold.
NO_TEXT = ["a\0b", "\ud800"]


def parameters(integration: str) -> list[str]:
    manifest = yaml.safe_load((builtin_folder() / integration / "integration.yaml").read_text(encoding="utf-8"))
    return list(manifest["parameters"])


def no_marker(machine: Machine) -> None:
    assert not (machine.host.root / MARKER[1:]).exists()
    assert not Path(MARKER).exists()
    assert list(machine.folder.glob(f"**/*{MARKER[1:]}*")) == []


@pytest.mark.parametrize(
    ("arguments", "code", "kind", "near"),
    [
        (["install", "ngnix", "--yes"], 5, "not-found", "nginx"),
        (["plan", "prometheus-node-exportre"], 5, "not-found", NODE_EXPORTER),
        (["verify", "ngin"], 5, "not-found", "nginx"),
        (["install", "./nowhere", "--yes"], 5, "not-found", None),
        (["install", "nginx", "--param", "prot=80", "--yes"], 2, "validation.parameter", "port"),
        (["install", "nginx", "--target", "hots", "--yes"], 5, "not-found", "host"),
        (["install", "nginx", "--target", "docker:x", "--yes"], 5, "not-found", None),
        (["install", "nginx", "--yse"], 2, "usage", "--yes"),
        (["instal", "nginx"], 2, "usage", "install"),
        (["install"], 2, "usage", None),
        (["install", "nginx", "--isolation", "container", "--yes"], 2, "usage", "plan"),
        (["install", "nginx", "--timeout", "soon", "--yes"], 2, "usage", "10m"),
        (["install", "nginx", "--param", "port", "--yes"], 2, "validation.parameter", "port"),
        (["install", "nginx", "--param", "port=80"], 2, "usage.consent", "--yes"),
        (["rollback", "r-nothing", "--yes"], 5, "not-found", "history"),
        (["show", "r-nothing"], 5, "not-found", "history"),
        (["history", "--status", "faild"], 2, "usage", "failed"),
    ],
)
def test_what_is_not_known_is_refused_with_the_nearest_name(
    machine: Machine, arguments: list[str], code: int, kind: str, near: str | None
) -> None:
    before = machine.transactions()
    answer = machine.json(*arguments)
    assert answer.code == code, str(answer)
    assert answer.error["code"] == kind
    assert near is None or near in f"{answer.error['hint']} {answer.error['message']} {answer.error['cause']}"
    assert machine.transactions() == before
    read = machine.cli(*arguments)
    assert read.code == code
    assert read.err.count(f"error[{kind}]: ") == 1
    assert "Traceback" not in read.err


def test_all_problems_of_parameters_are_told_at_once(machine: Machine) -> None:
    kept = machine.transactions()
    wrong = ["port=99999", "gzip=perhaps", "worker_connections=many", "root=relative", "nonsense=1"]
    answer = machine.cli("install", "nginx", "--yes", *[part for item in wrong for part in ("--param", item)])
    assert answer.code == 2, str(answer)
    for name in ("port", "gzip", "worker_connections", "root", "nonsense"):
        assert name in answer.err
    assert machine.transactions() == kept


def accepted(integration: str) -> dict[str, list[str]]:
    """Find what the declared types let through, parameter by parameter."""
    manifest = load_folder(builtin_folder() / integration)
    found: dict[str, list[str]] = {}
    for parameter in parameters(integration):
        for text in HOSTILE.values():
            with suppress(ParameterError):
                bind_parameters(manifest, {parameter: text})
                found.setdefault(parameter, []).append(text)
    return found


def joined(integration: str, texts: dict[str, list[str]]) -> dict[str, str]:
    """Put into each parameter as much of what it accepts as fits."""
    manifest = load_folder(builtin_folder() / integration)
    values = {}
    for parameter, parts in texts.items():
        values[parameter] = parts[0]
        for part in parts[1:]:
            with suppress(ParameterError):
                more = f"{values[parameter]} {part}"
                bind_parameters(manifest, {parameter: more})
                values[parameter] = more
    return values


def with_file(machine: Machine, *arguments: str, values: object) -> Answer:
    file = machine.folder / "hostile.json"
    file.write_text(json.dumps(values), encoding="utf-8")
    return machine.json(*arguments, "--param-file", str(file))


@pytest.mark.parametrize("integration", ["nginx", NODE_EXPORTER])
def test_hostile_texts_in_every_parameter_are_refused_by_name(machine: Machine, integration: str) -> None:
    names, texts = parameters(integration), list(HOSTILE.values())
    harmless, kept = accepted(integration), machine.transactions()
    for turn in (0, 9, 17):
        values = {name: texts[(number + turn) % len(texts)] for number, name in enumerate(names)}
        answer = with_file(machine, "install", integration, "--yes", values=values)
        assert answer.code == 2, str(answer)
        assert answer.error["code"] == "validation.parameter"
        for name, text in values.items():
            assert text in harmless.get(name, ()) or name in json.dumps(answer.error), name
    for text in NO_TEXT:
        assert with_file(machine, "install", integration, "--yes", values={names[0]: text}).code == 2
    no_marker(machine)
    assert machine.transactions() == kept


@pytest.mark.parametrize("integration", ["nginx", NODE_EXPORTER])
def test_hostile_texts_that_a_type_admits_are_inert(machine: Machine, integration: str) -> None:
    before = machine.world()
    values = joined(integration, accepted(integration))
    answer = with_file(machine, "install", integration, "--yes", values=values)
    no_marker(machine)
    assert answer.code in {0, 9}, str(answer)
    if answer.code == 0:
        assert machine.json("rollback", "--yes").code == 0
    machine.assert_as(before, logs=APPENDED_LOGS)
    for text in ("\x1b]0;", "\u202e"):
        assert text not in answer.err


def test_ten_megabytes_are_refused_without_being_read_to_the_end(machine: Machine) -> None:
    huge = machine.folder / "huge.json"
    huge.write_text(json.dumps({"expected_text": "x" * 10_000_000}), encoding="utf-8")
    for how in (["--param-file", str(huge)], ["--param", f"expected_text=@{huge}"]):
        answer = machine.json("install", "nginx", "--yes", *how)
        assert answer.code == 2, str(answer)[:500]
        assert len(answer.out) < 10_000
    huge.unlink()


def test_hostile_names_are_refused(machine: Machine) -> None:
    for name in (f"$(touch {MARKER})", "../../etc", f"x;touch {MARKER}", "\x1b[31mred", "x" * 10_000):
        for command in (["install", name, "--yes"], ["show", name], ["rollback", name, "--yes"], ["verify", name]):
            answer = machine.json(*command)
            assert answer.code in {2, 5}, str(answer)
            assert "\x1b" not in answer.out
    no_marker(machine)


def test_another_distribution_is_refused(machine: Machine) -> None:
    release = machine.host.root / "usr/lib/os-release"
    debian = release.read_text(encoding="utf-8")
    before = machine.world()
    try:
        release.write_text('ID=slackware\nVERSION_ID="15"\nPRETTY_NAME="Slackware 15"\n', encoding="utf-8")
        answer = machine.json("install", "nginx", "--yes")
    finally:
        release.write_text(debian, encoding="utf-8")
        mtime = before.files["/usr/lib/os-release"].mtime_ns
        os.utime(release, ns=(mtime, mtime))
    assert answer.code == 2, str(answer)
    assert answer.error["code"] == "validation.platform"
    assert "slackware" in json.dumps(answer.error)
    machine.assert_as(before)


def test_what_the_kernel_gives_nobody_there_is_said_before_anything_is_begun(machine: Machine) -> None:
    before = machine.world()

    answer = machine.json("install", "auditd", "--yes")

    assert answer.code == 2, str(answer)
    assert answer.error["code"] == "validation.capability"
    assert answer.error["message"] == "capability missing: auditd needs AUDIT_CONTROL"
    machine.assert_as(before)


def test_without_root_people_may_look_but_not_change(machine: Machine) -> None:
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    if subprocess.run([*nobody, str(COMMAND), "--version"], check=False, capture_output=True).returncode != 0:
        pytest.skip("another user cannot run the command where this repository lies")
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, 65534, 65534)
        places = {"STATE": f"{folder}/state", "CONFIG": f"{folder}/config"}
        own = {f"WORKFLOW_AGENT_PATHS__{name}": path for name, path in places.items()}
        # With a home folder of theirs they may change that (test_without_root).
        own |= {"HOME": "/nonexistent", "WORKFLOW_AGENT_TARGETS__HOST_PID": "0"}
        for command in (["install", "nginx", "--yes"], ["rollback", "--yes"]):
            answer = machine.json(*command, environ=own, prefix=nobody)
            assert answer.code in ({4} if command[0] == "install" else {4, 5}), str(answer)
        refused = machine.cli("install", "nginx", "--yes", environ=own, prefix=nobody)
        assert "error[permission]: " in refused.err
        assert "sudo" in refused.err
        for command in (["history"], ["integrations", "list"], ["workflows", "show", "install"], ["config", "show"]):
            assert machine.json(*command, environ=own, prefix=nobody).code == 0
