"""What somebody changed since an installation: listed with exit 3, and nothing else is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.system.machine import Answer, Machine

pytestmark = [pytest.mark.root, pytest.mark.slow]

NAME = "prometheus-node-exporter"
PROGRAM = "/usr/bin/prometheus-node-exporter"
CONFIGURATION = "/etc/default/prometheus-node-exporter"
MANUAL = "/usr/share/man/man1/prometheus-node-exporter.1.gz"


def drifted(answer: Answer) -> dict[str, dict[str, Any]]:
    assert answer.code == 3, str(answer)
    assert answer.error["code"] == "changes-pending.drift"
    return {item["path"]: item for item in answer.envelope["data"]["drift"]["items"]}


def test_drift_is_listed_and_a_repair_brings_back_what_is_the_packages(fresh: Machine) -> None:
    machine = fresh
    assert machine.json("install", NAME, "--yes").code == 0
    root = machine.host.root
    assert machine.cli("verify", "redis-server", "--drift").code == 1, "it is not installed"
    clean = machine.json("verify", NAME, "--drift")
    assert clean.data["drift"] == {"integration": NAME, "items": [], "compared": True, "reason": None}
    assert {check["status"] for check in clean.data["checks"]} - {"not-applicable"} == {"passed"}

    program, manual, configuration = (root / path[1:] for path in (PROGRAM, MANUAL, CONFIGURATION))
    content = manual.read_bytes()
    # The same content in another inode, at another time: nothing that anybody needs to hear of.
    manual.unlink()
    manual.write_bytes(content)
    assert machine.json("verify", NAME, "--drift").code == 0

    manual.unlink()
    program.chmod(0o700)
    with configuration.open("a") as stream:
        stream.write("# mine\n")
    found = drifted(machine.json("verify", NAME, "--drift"))
    assert {path: item["state"] for path, item in found.items()} == {
        PROGRAM: "attributes",
        CONFIGURATION: "modified",
        MANUAL: "missing",
    }
    assert found[PROGRAM]["aspects"] == ["mode"]
    assert (found[PROGRAM]["expected"]["mode"], found[PROGRAM]["observed"]["mode"]) == ("0755", "0700")
    assert found[MANUAL]["observed"] is None
    assert found[CONFIGURATION]["diff"].endswith("+# mine")
    shown = machine.cli("verify", "--drift")
    assert shown.code == 3, str(shown)
    assert f"- {MANUAL}  missing" in shown.out
    assert "+# mine" in shown.out
    assert "3 paths drifted" in shown.err
    everything = machine.json("verify", "--drift")
    assert [report["drift"]["integration"] for report in everything.envelope["data"]["items"]] == [NAME]

    assert machine.json("rollback", "--yes").code == 6, "what somebody changed is not overwritten"
    plan = machine.cli("repair", NAME, "--plan", "--check")
    assert plan.code == 3, str(plan)
    assert f"{PROGRAM}  mode 0755 -> 0700: is put right" in plan.out
    assert drifted(machine.json("verify", NAME, "--drift")).keys() == found.keys(), "a plan changes nothing"
    refused = machine.json("repair", NAME, "--yes")
    assert (refused.code, refused.error["code"]) == (6, "conflict.paths"), str(refused)
    assert CONFIGURATION in str(refused.error)
    assert drifted(machine.json("verify", NAME, "--drift")).keys() == found.keys(), "nobody decided about the edit"
    repaired = machine.json("repair", NAME, "--yes", "--force").data
    assert repaired["changed"] is True
    assert {item["path"] for item in repaired["broken"]["drift"]} == found.keys()
    assert machine.json("verify", NAME, "--drift").code == 0
    assert machine.json("rollback", "--yes").code == 0
    again = machine.json("verify", NAME, "--drift")
    assert again.code == 1, "nobody but root may run the program: that weighs more, and the drift is told as well"
    assert {item["path"] for item in again.envelope["data"]["drift"]["items"]} == found.keys()


def test_a_persons_own_configuration_is_named_and_kept_by_a_repair(fresh: Machine) -> None:
    assert fresh.json("install", "nginx", "--yes").code == 0
    program, configuration = (fresh.host.root / path for path in ("usr/sbin/nginx", "etc/nginx/mime.types"))
    program.chmod(0o700)
    text = configuration.read_text(encoding="utf-8") + "# mine\n"
    configuration.write_text(text, encoding="utf-8")
    assert set(drifted(fresh.json("verify", "nginx", "--drift"))) == {"/usr/sbin/nginx", "/etc/nginx/mime.types"}

    repaired = fresh.cli("repair", "nginx", "--yes")
    assert repaired.code == 0, str(repaired)
    assert "was wrong /usr/sbin/nginx  mode 0755 -> 0700: is put right" in repaired.out
    assert "was wrong /etc/nginx/mime.types  modified: content: stays as it is" in repaired.out

    assert program.stat().st_mode & 0o7777 == 0o755
    assert configuration.read_text(encoding="utf-8") == text
    assert set(drifted(fresh.json("verify", "nginx", "--drift"))) == {"/etc/nginx/mime.types"}

    # All that is installed is looked at, whatever the first says; a person who stops it stops all of it.
    assert fresh.json("install", NAME, "--yes").code == 0
    configuration.write_text("broken", encoding="utf-8")
    everything = fresh.json("verify", "--drift")
    assert everything.code == 1, str(everything)
    assert everything.error["hint"] == "`workflow-agent repair nginx` repairs it"
    assert [report["status"] for report in everything.envelope["data"]["items"]] == ["failed", "succeeded"]
    with fresh.running("verify", "--drift", "--json") as running:
        running.wait_for("running verify")  # nginx's, which waits for its configuration to become good
        running.interrupt()
        stopped = running.finish()
    assert stopped.code == 130, str(stopped)
    assert [report["integration"] for report in stopped.envelope["data"]["items"]] == ["nginx"]
