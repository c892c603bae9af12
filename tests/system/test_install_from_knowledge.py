"""What pages say, installed without an integration: composed of facts, proven, taken back; refused where uncertain."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.system.machine import APPENDED_LOGS, Machine
else:
    from machine import APPENDED_LOGS

pytestmark = [pytest.mark.root, pytest.mark.slow]

PAGE = """# Node metrics

## Installation

### Debian

```sh
sudo apt-get install prometheus-node-exporter
sudo systemctl enable --now prometheus-node-exporter
```

The exporter listens on port 9100.

## Verification

```sh
curl http://localhost:9100/metrics
```
"""


def test_a_page_that_leaves_no_question_is_installed_by_its_name(
    machines: Callable[..., AbstractContextManager[Machine]],
) -> None:
    with machines("systemd") as machine:
        before = machine.world()
        unknown = machine.json("plan", "node-metrics")
        assert (unknown.code, "knowledge:" in unknown.error["hint"]) == (5, False), str(unknown)
        (machine.folder / "page.md").write_text(PAGE, encoding="utf-8")
        assert machine.json("knowledge", "fetch", "./page.md", "--for", "node-metrics").code == 0
        assert "plan knowledge:node-metrics" in machine.json("install", "node-metrics", "--yes").error["hint"]

        run = machine.json("install", "knowledge:node-metrics", "--yes").data
        assert (run["status"], len(run["checks"])) == ("succeeded", 4)
        text = "sudo apt-get install prometheus-node-exporter\nsudo systemctl enable --now prometheus-node-exporter"
        (source,) = run["told"]
        assert source["text_sha256"] == hashlib.sha256(text.encode()).hexdigest()
        assert (source["kind"], source["template"], source["first"]) == ("source", "apt/install", 1)
        shown = machine.cli("show", run["run_id"]).out
        assert (
            f"package prometheus-node-exporter: file://{machine.folder}/page.md line 7, sha256 {source['text_sha256']}"
            in shown
        )
        assert machine.json("verify", "node-metrics").code == 0

        (machine.folder / "page.md").write_text(
            PAGE.replace("apt-get install", "apt-get install nginx"), encoding="utf-8"
        )
        assert machine.json("knowledge", "fetch", "./page.md").data["changed"] is True
        gone = machine.json("uninstall", "node-metrics", "--yes").data
        assert [one["value"] for one in gone["told"]] == ["prometheus-node-exporter"]
        assert machine.json("rollback", "--yes").code == 0
        assert machine.json("rollback", run["run_id"], "--yes").code == 0
        machine.assert_as(before, logs=APPENDED_LOGS)


def test_what_is_uncertain_or_known_better_is_not_installed(machine: Machine) -> None:
    taken = machine.json("install", "knowledge:nginx", "--yes")
    assert (taken.code, taken.error["hint"]) == (6, "`workflow-agent install nginx`"), str(taken)
    (machine.folder / "vague.md").write_text(
        PAGE.replace("node-exporter\nsudo", "node-exporter <plugin>\nsudo"), encoding="utf-8"
    )
    assert machine.json("knowledge", "fetch", "./vague.md", "--for", "vague").code == 0
    refused = machine.json("install", "knowledge:vague", "--yes")
    assert refused.code == 2, str(refused)
    assert refused.error["details"]["questions"] == ["placeholder: what is `<plugin>` to be? (line 7: <plugin>)"]
    assert not (machine.state / "composed").exists()
