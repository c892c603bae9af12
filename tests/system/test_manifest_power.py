"""What a manifest can say beside its script, on a real host: each thing works there, is refused, and goes back."""

from __future__ import annotations

import hashlib
import textwrap
from typing import TYPE_CHECKING

import pytest

from workflow_agent.testing.lab.image import DEFAULT_PACKAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.system.machine import APPENDED_LOGS, Machine
else:
    from machine import APPENDED_LOGS

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.fixture(scope="module")
def machine(machines: Callable[..., AbstractContextManager[Machine]]) -> Iterator[Machine]:
    with machines("plain", packages=(*DEFAULT_PACKAGES, "python3")) as made:
        yield made


def own(machine: Machine, name: str, manifest: str, script: str = "set -eu\n") -> str:
    """Write an integration of which everything but its identity is said; gives its folder as it is typed."""
    folder = machine.integration(name, script)
    place = machine.folder / folder / "integration.yaml"
    head = (
        f"schema: workflow-agent/integration/1\nname: {name}\nversion: 1.0.0\ndescription: Of a test.\ncategory: test\n"
    )
    place.write_text(head + textwrap.dedent(manifest), encoding="utf-8")
    return folder


_FAMILY = """
    platforms: [{family: debian, os: [debian, ubuntu]}]
    packages: {debian: [prometheus-node-exporter], ubuntu: [there-is-no-such-package]}
    actions: {install: {network: true}, uninstall: {}}
    checks: [{id: installed, kind: package, name: prometheus-node-exporter}]
    negative_checks: [{id: gone, kind: package, name: prometheus-node-exporter, installed: false}]
"""


def test_the_packages_of_the_family_are_installed_without_a_template(machine: Machine) -> None:
    before = machine.world()
    folder = own(machine, "family", _FAMILY)
    run = machine.json("install", folder, "--yes").data
    assert run["status"] == "succeeded"
    installed = machine.world()

    assert machine.json("uninstall", folder, "--yes").data["changed"] is True
    assert machine.json("rollback", "--yes").code == 0
    machine.assert_as(installed, logs=APPENDED_LOGS)
    assert machine.json("rollback", run["run_id"], "--yes").code == 0
    machine.assert_as(before, logs=APPENDED_LOGS)


def test_a_family_without_packages_is_refused_before_anything_changes(machine: Machine) -> None:
    before = machine.world()
    refused = machine.json("install", own(machine, "other", _FAMILY.replace("debian, ubuntu", "ubuntu")), "--yes")

    assert refused.code == 2, str(refused)
    assert "supported: ubuntu" in refused.error["hint"]
    machine.assert_as(before)


_JUDGED = """
    platforms: [{family: debian, os: [debian]}]
    parameters: {word: {type: string, default: good, pattern: "[a-z]+", description: A word.}}
    actions: {install: {template: install}}
    users: [{name: wa-power, home: /var/lib/wa-power, groups: [adm]}]
    directories: [{path: /var/lib/wa-power/spool, mode: "2750", owner: "wa-power:adm"}]
    files:
      - path: /etc/wa-power/main.conf
        format: text
        content: "word=${{ parameters.word }}\\n"
        mode: "0640"
        owner: root:wa-power
        validate: {argv: [/usr/local/bin/wa-judge, /etc/wa-power/main.conf]}
    services:
      - name: wa-power
        argv: [/usr/local/bin/wa-power]
        exe: /bin/sleep
        user: wa-power
        sysvinit: false
        environment: {GREETING: "hello ${{ parameters.word }} $HOME %h"}
    checks:
      - {id: spool, kind: file, path: /var/lib/wa-power/spool, type: directory, mode: "2750", owner: "wa-power:adm"}
      - {id: conf, kind: file, path: /etc/wa-power/main.conf, mode: "0640", owner: "root:wa-power"}
      - {id: process, kind: process, exe: /bin/sleep, user: wa-power}
      - {id: said, kind: log, path: /var/lib/wa-power/spool/log, contains: "hello ${{ parameters.word }} $HOME %h."}
      - {id: silent, kind: log, path: /var/lib/wa-power/spool/log, contains: nothing of this, present: false}
      - {id: journal, kind: log, unit: wa-power, contains: hello}
"""
#: Makes a daemon, and a judge of files that touches what it should not when nobody holds it back.
_MAKES = """
set -eu
cat >/usr/local/bin/wa-power <<'END'
#!/bin/sh
echo "$GREETING." >/var/lib/wa-power/spool/log
exec /bin/sleep 100000
END
cat >/usr/local/bin/wa-judge <<'END'
#!/bin/sh
grep -q '^word=good$' "$1" || { echo "line 1: no good word" >&2; exit 3; }
END
chmod 755 /usr/local/bin/wa-power /usr/local/bin/wa-judge
"""


def test_a_file_that_its_own_program_refuses_is_not_installed(machine: Machine) -> None:
    before = machine.world()
    folder = own(machine, "judged", _JUDGED, _MAKES)
    refused = machine.json("install", folder, "--param", "word=bad", "--yes")

    assert refused.code == 1, str(refused)
    assert refused.error["message"] == "the validation of /etc/wa-power/main.conf ended with exit code 3"
    assert "line 1: no good word" in refused.error["cause"]
    machine.assert_as(before)


def test_accounts_folders_and_variables_are_there_and_go_again(machine: Machine) -> None:
    before = machine.world()
    folder = own(machine, "judged", _JUDGED, _MAKES)
    plan = machine.cli("plan", folder)
    assert "judged by  `/usr/local/bin/wa-judge /etc/wa-power/main.conf`" in plan.out
    machine.assert_as(before)
    run = machine.json("install", folder, "--yes").data
    assert {check["status"] for check in run["checks"]} - {"not-applicable"} == {"passed"}
    assert "wa-power" in machine.host.run(["id", "-nG", "wa-power"]).stdout.split()
    assert "adm" in machine.host.run(["id", "-nG", "wa-power"]).stdout.split()

    assert machine.json("rollback", "--yes").code == 0
    machine.assert_as(before)


_HOOKED = """
    platforms: [{family: debian, os: [debian]}]
    parameters: {word: {type: string, default: good, description: A word.}}
    actions: {install: {template: install, hooks: {before: [first], after: [last]}}}
    checks: [{id: there, kind: file, path: /opt/wa-hooked/last, contains: "hooked good script"}]
"""


def hooked(machine: Machine, last: str = "") -> tuple[str, Path]:
    """Write an integration with hooks; each file of Python in it would leave a marker if anybody loaded it."""
    folder = own(machine, "hooked", _HOOKED, "set -eu\necho script >>/opt/wa-hooked/first\n")
    place = machine.folder / folder
    marker = machine.folder / "marker"
    (place / "hooks").mkdir(exist_ok=True)
    text = f"import os, json, sys\nopen({str(marker)!r}, 'w') if os.path.isdir({str(machine.folder)!r}) else None\n"
    first = "told = json.load(sys.stdin)\nos.makedirs('/opt/wa-hooked')\n"
    first += "open('/opt/wa-hooked/first', 'w').write(f\"{told['integration']} {told['parameters']['word']} \")\n"
    usual = "open('/opt/wa-hooked/last', 'w').write(open('/opt/wa-hooked/first').read())\n"
    (place / "hooks/first.py").write_text(text + first, encoding="utf-8")
    (place / "hooks/last.py").write_text(text + (last or usual), encoding="utf-8")
    for name in ("__init__.py", "setup.py", "conftest.py", "templates/__init__.py"):
        (place / name).write_text(text, encoding="utf-8")
    return folder, marker


def test_nothing_of_an_integration_runs_where_its_hooks_are_not_allowed(machine: Machine) -> None:
    before = machine.world()
    folder, marker = hooked(machine)
    for command in (["integrations", "lint"], ["integrations", "info"], ["validate"]):
        machine.cli(*command, folder)
    for command in (["plan"], ["install", "--yes"]):
        refused = machine.json(*command, folder)
        assert refused.code == 2, str(refused)
        assert "hooks/first.py" in refused.error["message"]
        assert "--allow python-hook" in refused.error["hint"]
    lacking = machine.json("plan", folder, "--allow", "python-hook")
    assert lacking.error["message"] == "the hook hooks/first.py ended with exit code 127"
    assert "cannot start /usr/bin/python3" in lacking.error["details"]["tail"][-1]
    assert not marker.exists()
    machine.assert_as(before)


@pytest.fixture(scope="module")
def snake(machines: Callable[..., AbstractContextManager[Machine]]) -> Iterator[Machine]:
    """Give a host that has Python."""
    with machines("plain", packages=(*DEFAULT_PACKAGES, "python3")) as made:
        made.host.run(["apt-get", "install", "-y", "--no-install-recommends", "python3"])
        yield made


def test_allowed_hooks_are_shown_run_inside_the_capture_and_go_back(snake: Machine) -> None:
    machine, before = snake, snake.world()
    folder, marker = hooked(machine)
    digest = hashlib.sha256((machine.folder / folder / "hooks/last.py").read_bytes()).hexdigest()
    plan = machine.cli("plan", folder, "--allow", "python-hook")
    assert f"hook       Python hooks/last.py, sha256 {digest} (after)" in plan.out
    machine.assert_as(before)

    assert machine.json("install", folder, "--allow", "python-hook", "--yes").data["status"] == "succeeded"
    assert not marker.exists()
    assert machine.json("rollback", "--yes").code == 0
    machine.assert_as(before)


def test_a_hook_that_fails_refuses_everything_with_what_it_said(snake: Machine) -> None:
    machine, before = snake, snake.world()
    folder, _ = hooked(machine, "raise SystemExit('the licence has run out')\n")
    refused = machine.json("install", folder, "--allow", "python-hook", "--yes")

    assert refused.code == 1, str(refused)
    assert refused.error["message"] == "the hook hooks/last.py ended with exit code 1"
    assert "the licence has run out" in refused.error["cause"]
    machine.assert_as(before)


def test_what_cannot_be_undone_needs_a_word_of_its_own(machine: Machine) -> None:
    before = machine.world()
    more = "effects: [{kind: irreversible, description: Tells the maker.}]\n"
    folder = machine.integration("lasting", "set -eu\nmkdir -p /opt/lasting; touch /opt/lasting/done\n", more=more)
    refused = machine.json("install", folder, "--yes")
    assert refused.code == 2, str(refused)
    assert "does what cannot be undone: Tells the maker." in refused.error["message"]
    machine.assert_as(before)

    assert machine.json("install", folder, "--yes", "--allow", "irreversible-effect").code == 0
    assert machine.json("rollback", "--yes").code == 0
    machine.assert_as(before)


_SOAKING = """
    platforms: [{family: debian, os: [debian]}]
    actions: {install: {template: install}}
    services: [{name: wa-soak, argv: [/usr/local/bin/wa-soak], exe: /bin/sleep, sysvinit: false}]
    checks:
      - {id: alive, kind: file, path: /opt/wa-soak/alive}
    upgrade: {soak: 6.0}
"""
_SOAKS = """
set -eu
mkdir -p /opt/wa-soak
cat >/usr/local/bin/wa-soak <<'END'
#!/bin/sh
touch /opt/wa-soak/alive
AGES
exec /bin/sleep 100000
END
chmod 755 /usr/local/bin/wa-soak
"""


def test_an_upgrade_that_fails_while_it_soaks_is_taken_back(machine: Machine) -> None:
    folder = own(machine, "soaking", _SOAKING, _SOAKS.replace("AGES", "true"))
    assert machine.json("install", folder, "--yes").code == 0
    program = machine.host.root / "usr/local/bin/wa-soak"
    old = program.read_text(encoding="utf-8")
    own(machine, "soaking", _SOAKING, _SOAKS.replace("AGES", "sleep 2; rm /opt/wa-soak/alive"))
    manifest = machine.folder / folder / "integration.yaml"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace("1.0.0", "2.0.0"), encoding="utf-8")
    failed = machine.json("upgrade", folder, "--yes")

    assert failed.code == 9, str(failed)
    assert "alive" in failed.error["cause"]
    assert program.read_text(encoding="utf-8") == old
    assert machine.json("verify", "soaking").code in {0, 5}
    assert machine.json("rollback", "--yes").code == 0


_UNIT = """
    platforms: [{family: debian, os: [debian], init: [systemd]}]
    actions: {install: {template: install}}
    services: [{name: wa-unit, environment: {GREETING: "hello $HOME %h"}}]
    checks:
      - {id: unit, kind: unit, name: wa-unit.service, active: true}
      - {id: said, kind: log, unit: wa-unit, contains: "hello $HOME %h."}
      - {id: silent, kind: log, unit: wa-unit, contains: nothing of this, present: false}
"""
_MAKES_UNIT = """
set -eu
cat >/etc/systemd/system/wa-unit.service <<'END'
[Service]
ExecStart=/bin/sh -c 'echo "$$GREETING."; exec /bin/sleep 100000'
END
"""


def test_under_systemd_variables_reach_the_unit_and_its_journal_is_read(
    machines: Callable[..., AbstractContextManager[Machine]],
) -> None:
    with machines("systemd") as machine:
        before = machine.world()
        run = machine.json("install", own(machine, "unit", _UNIT, _MAKES_UNIT), "--yes").data
        assert {check["id"]: check["status"] for check in run["checks"]} == dict.fromkeys(
            ("unit", "said", "silent"), "passed"
        )
        assert machine.json("rollback", "--yes").code == 0
        machine.assert_as(before)


_DECLARED = """
    platforms: [{family: debian, os: [debian]}]
    actions: {install: {template: install}, uninstall: {template: install}}
    checks: [{id: works, kind: file, path: /run/wa-effect/SEEN, type: directory}]
    effects:
      - id: folder
        kind: declared
        description: A folder that only the running system has.
        do: {argv: [/bin/mkdir, -p, /run/wa-effect/there]}
        undo: {argv: [/bin/rm, -r, /run/wa-effect]}
        probe: {argv: [/usr/bin/find, /run, -maxdepth, "1", -name, wa-effect], stdout_contains: wa-effect}
"""


def test_a_declared_effect_is_made_probed_and_taken_back(machine: Machine) -> None:
    before = machine.world()
    folder = own(machine, "effect", _DECLARED.replace("SEEN", "there"), "set -eu\ntouch /opt/wa-effect\n")
    place = machine.host.root / "run/wa-effect"
    assert machine.json("install", folder, "--yes").code == 0
    assert (place / "there").is_dir()
    assert machine.json("rollback", "--yes").code == 0
    assert not place.exists()

    own(machine, "effect", _DECLARED.replace("SEEN", "elsewhere") + "\n", "set -eu\ntouch /opt/wa-effect\n")
    assert machine.json("install", folder, "--yes").code == 9
    assert not place.exists()
    machine.assert_as(before)
