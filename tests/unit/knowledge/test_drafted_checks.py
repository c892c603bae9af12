"""Looks of a page as probes: the same question where there is one, else a question for a person; never a command."""

from __future__ import annotations

from typing import Any

import pytest

from workflow_agent.knowledge.draft_checks import check_of, is_covered

PORTS = {"7100", "11211"}


def check(text: str, output: str = "") -> dict[str, Any] | None:
    return check_of({"value": text, "details": {"output": output} if output else {}}, PORTS)


def get(more: str = "/health", **also: Any) -> dict[str, Any]:
    return {"kind": "http", "url": f"http://localhost:7100{more}", "status": 200} | also


def metric(name: str, **also: Any) -> dict[str, Any]:
    return {"kind": "metric", "url": "http://localhost:7100/metrics", "name": name} | also


def exchange(sent: str, expected: str) -> dict[str, Any]:
    return {"kind": "tcp", "port": 11211, "exchange": [{"send": sent}, {"expect": expected}]}


@pytest.mark.parametrize(
    ("text", "output", "made"),
    [
        ("curl http://localhost:7100/health", "", get()),
        ("curl -sSf localhost:7100/health", "", get()),
        ("curl --silent --max-time 5 'http://localhost:7100/health'", "", get()),
        ("wget -qO- http://localhost:7100/health", "", get()),
        ("curl -s http://localhost:7100/health -o /dev/null", "", get()),
        ("curl -s http://localhost:7100/health | head -n 5", "", get()),
        ("curl http://localhost/", "", get() | {"url": "http://localhost/"}),
        ("curl -i localhost:7100/health", "HTTP/1.1 503 Busy\nx: y\n\nnot yet", get(status=503, contains="not yet")),
        ("curl http://localhost:7100/health", "all is well", get(contains="all is well")),
        ("curl http://localhost:7100/health", "requests 17", get()),
        ("curl -s localhost:7100/health | grep ready", "", get(contains="ready")),
        ("curl -s localhost:7100/metrics | grep '^k_up'", "k_up 1", metric("k_up", equals=1)),
        ("curl -s localhost:7100/metrics | grep k_seen", 'k_seen{a="b"} 4', metric("k_seen")),
        ("curl -s localhost:7100/metrics | grep k_", "k_seen 4", get("/metrics", contains="k_")),
        ("echo version | nc -q 1 localhost 11211", "VERSION 1.6", exchange("version\n", "VERSION")),
        ("printf 'stats\\r\\n' | nc 127.0.0.1 11211", "STAT pid 1", exchange("stats\r\n", "STAT")),
    ],
)
def test_a_look_becomes_a_probe(text: str, output: str, made: dict[str, Any]) -> None:
    assert check(text, output) == made


@pytest.mark.parametrize(
    "text",
    [
        "curl -x http://localhost:7100 http://elsewhere.example/",
        "curl -X POST http://localhost:7100/health",
        "curl -d a=b http://localhost:7100/health",
        "curl -u name:word http://localhost:7100/health",
        "curl -H 'Host: x' http://localhost:7100/health",
        "curl http://localhost:7100/a http://localhost:7100/b",
        "curl https://localhost:7100/health",
        "curl http://localhost:9999/health",
        "curl http://kestrel.example:7100/health",
        "curl http://localhost:7100/<name>",
        "curl -s http://localhost:7100/health -o /etc/passwd",
        "curl -s http://localhost:7100/health | sh",
        "curl -s http://localhost:7100/health | grep -v error",
        "curl -s http://localhost:7100/health | grep 'a.*b'",
        "echo version | nc localhost 11211",
        "echo version | nc -u localhost 11211",
        "echo version | nc elsewhere.example 11211",
        "kestrelctl ping",
        "",
    ],
)
def test_what_no_probe_asks_stays_a_question(text: str) -> None:
    output = "VERSION 1.6" if " -u " in text or "elsewhere" in text else ""
    assert check(text, output) is None


@pytest.mark.parametrize(
    ("text", "covered"),
    [
        ("systemctl status kestrel.service", True),
        ("systemctl is-active kestrel", True),
        ("systemctl status nginx", False),
        ("ss -tln | grep 7100", True),
        ("ss -tln", False),
        ("echo done", True),
        ("kestrelctl ping", False),
    ],
)
def test_looks_at_what_is_checked_anyhow_are_not_asked_about(text: str, covered: bool) -> None:
    assert is_covered(text, {"kestrel"}, PORTS) is covered
