"""`rollback RUN --cascade` takes back the later runs that stand on a run, the newest first, and then the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.system.machine import APPENDED_LOGS, Machine
else:
    from machine import APPENDED_LOGS

pytestmark = [pytest.mark.root, pytest.mark.slow]

#: Small packages, made on the host, and what each needs.
_MADE = {"wa-lib": "", "wa-user": "Depends: wa-lib", "wa-beside": ""}
_MAKE = """
mkdir -p /srv/made/t/DEBIAN; cd /srv/made
printf '%s\\n' 'Package: {name}' 'Version: 1' 'Architecture: all' 'Maintainer: lab <lab@example.org>' {more} \
  'Description: made for a test' > t/DEBIAN/control
dpkg-deb -b t {name}.deb >/dev/null; rm -r t
"""
_WITH_CONFIG = "echo lib > /etc/wa.conf\n"
_INSTALL = "set -eu\napt-get install -y /srv/made/{0}.deb\nmkdir -p /opt/{0}\ntouch /opt/{0}/done\n"


@pytest.fixture(scope="module")
def machine(machines: Callable[..., AbstractContextManager[Machine]]) -> Iterator[Machine]:
    with machines("plain") as made:
        for name, more in _MADE.items():
            made.host.run(["bash", "-euc", _MAKE.format(name=name, more=f"'{more}'" if more else "")])
        folder = made.folder / "config"
        folder.mkdir(exist_ok=True)
        (folder / "config.toml").write_text(f'[integrations]\nfolders = ["{made.folder}/own"]\n', encoding="utf-8")
        yield made


def _install(machine: Machine, name: str, script: str = "", *, requires: str = "") -> str:
    more = f"requires: [{requires}]\n" if requires else ""
    folder = machine.integration(name, _INSTALL.format(name) + script if name in _MADE else script, more=more)
    run_id: str = machine.json("install", folder, "--yes").data["run_id"]
    return run_id


def _undone(machine: Machine, *run_ids: str) -> list[str]:
    return [machine.json("show", run).data["status"] for run in run_ids]


def test_packages_and_paths_that_stand_on_a_run_go_first_and_what_does_not_stays(machine: Machine) -> None:
    before = machine.world()
    library = _install(machine, "wa-lib", _WITH_CONFIG)
    user = _install(machine, "wa-user")
    beside = _install(machine, "wa-beside")
    editor = _install(machine, "editor", "mkdir -p /opt/editor; touch /opt/editor/done; echo more >> /etc/wa.conf\n")

    refused = machine.json("rollback", library, "--yes")
    assert refused.code == 6, str(refused)
    assert f"/etc/wa.conf (run {editor})" in refused.error["message"]
    assert "--cascade" in refused.error["hint"]

    planned = machine.json("rollback", library, "--cascade", "--plan", "--check")
    wanted = [one["run_id"] for one in planned.envelope["data"]["items"]]
    assert (planned.code, wanted[-1], set(wanted)) == (3, library, {user, editor, library})
    assert _undone(machine, library, user, editor) == ["succeeded"] * 3

    done = machine.json("rollback", library, "--cascade", "--yes").data
    assert [one["undoes"] for one in done["items"]] == wanted
    assert _undone(machine, library, user, editor, beside) == ["rolled-back"] * 3 + ["succeeded"]
    audit = machine.host.run(["bash", "-c", "dpkg --audit; dpkg-query -W -f '${Package}\\n' 'wa-*'"])
    assert audit.stdout.split() == ["wa-beside"]

    assert machine.json("rollback", beside, "--cascade", "--yes").data["undoes"] == beside, "nothing stands on it"
    machine.assert_as(before, logs=APPENDED_LOGS)


def test_one_question_for_all_and_a_no_takes_nothing_back(machine: Machine) -> None:
    before = machine.world()
    library, user = _install(machine, "wa-lib", _WITH_CONFIG), _install(machine, "wa-user")
    with machine.running("rollback", library, "--cascade", terminal=True) as running:
        running.wait_for("Take all of them back")
        running.type("n\n")
        answer = running.finish()
    assert answer.code == 1, str(answer)
    assert f"{user}  install wa-user" in answer.err + answer.out
    assert _undone(machine, library, user) == ["succeeded"] * 2
    with machine.running("rollback", library, "--cascade", terminal=True) as running:
        running.wait_for("Take all of them back")
        running.type("y\n")
        answer = running.finish()
    assert answer.code == 0, str(answer)
    assert _undone(machine, library, user) == ["rolled-back"] * 2
    machine.assert_as(before, logs=APPENDED_LOGS)


def test_what_requires_an_integration_stands_on_it(machine: Machine) -> None:
    before = machine.world()
    below = _install(machine, "below", "mkdir -p /opt/below; touch /opt/below/done\n")
    above = _install(machine, "above", "mkdir -p /opt/above; touch /opt/above/done\n", requires="below")
    done = machine.json("rollback", below, "--cascade", "--yes").data
    assert [one["undoes"] for one in done["items"]] == [above, below]
    machine.assert_as(before)


def test_what_a_person_changed_is_no_run_and_stops_all_of_it(machine: Machine) -> None:
    first = _install(machine, "first", "mkdir -p /opt/first; touch /opt/first/done; echo first > /etc/first.conf\n")
    inside = _install(machine, "inside", "mkdir -p /opt/inside; touch /opt/inside/done /opt/first/inside\n")
    machine.host.run(["bash", "-c", "echo mine >> /etc/first.conf"])
    state = machine.world()
    for more in (["--plan"], ["--yes"]):
        refused = machine.json("rollback", first, "--cascade", *more)
        assert refused.code == 6, str(refused)
        assert "/etc/first.conf" in refused.error["message"]
    assert _undone(machine, first, inside) == ["succeeded"] * 2
    machine.assert_as(state)


def test_without_a_run_there_is_nothing_that_could_stand_on_it(machine: Machine) -> None:
    refused = machine.json("rollback", "--cascade", "--yes")
    assert (refused.code, refused.error["where"]) == (2, "--cascade")
