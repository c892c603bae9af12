"""What a step measured in a server's process: in the run's metrics, and in what Prometheus scrapes from there."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from workflow_agent import WorkflowClient
from workflow_agent.testing.server import ServerProcess

if TYPE_CHECKING:
    from pathlib import Path

CODE = """
def measure(ctx):
    ctx.metric("rows", 3, {"table": "orders"})
    ctx.metric("rows", ctx.input["rows"], {"table": "orders"})
"""


def _ask(server: ServerProcess, path: str, order: object = None, token: str | None = None) -> bytes:
    headers = {"Authorization": f"Bearer {token or server.token}", "Content-Type": "application/json"}
    data = None if order is None else json.dumps(order).encode()
    request = urllib.request.Request(server.url + path, data=data, headers=headers)  # our own server
    with urllib.request.urlopen(request, timeout=30) as answer:  # as above
        body: bytes = answer.read()
        return body


def test_a_value_of_a_step_is_in_the_metrics_of_its_run_and_in_the_scrape(tmp_path: Path) -> None:
    (tmp_path / "measuring.py").write_text(CODE)
    flow = {"name": "import", "steps": [{"name": "load", "function": "measuring:measure"}]}

    with ServerProcess(
        tmp_path / "state", environ={"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    ) as server:
        ran = json.loads(
            _ask(server, "/api/v1/workflows/execute", {"workflow": flow, "input": {"rows": 41}, "mode": "sync"})
        )
        text = _ask(server, "/metrics").decode()
        with pytest.raises(urllib.error.HTTPError, match="401"):
            _ask(server, "/metrics", token="wrong")

    assert ran["status"] == "succeeded"
    client = WorkflowClient(settings={"paths.state": str(tmp_path / "state")})
    assert [each["value"] for each in client.get_run_metrics(ran["run_id"])] == [3.0, 41.0]
    samples = {sample.name: sample for family in text_string_to_metric_families(text) for sample in family.samples}
    rows = samples["workflow_agent_step_rows"]
    assert (rows.labels, rows.value) == ({"workflow": "import", "step": "load", "table": "orders"}, 41.0)
    assert samples["process_start_time_seconds"].value > 0
