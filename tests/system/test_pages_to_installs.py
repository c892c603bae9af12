"""Pages of documentation, as vendors write them, to verified installs and back: nobody answers anything on the way."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.system.machine import APPENDED_LOGS, Machine
else:
    from machine import APPENDED_LOGS

pytestmark = [pytest.mark.root, pytest.mark.slow]

PAGES = Path(__file__).parents[1] / "corpus" / "vendors"
#: Page, package, files that it writes, kinds of its checks beside package, unit and port.
WALKS = [
    ("node-exporter", "prometheus-node-exporter", [], ["metric"]),
    ("nginx-status", "nginx", ["/etc/nginx/conf.d/pinedrop-status.conf"], ["http"]),
    ("cache-server", "memcached", [], ["tcp"]),
    ("tinyproxy", "tinyproxy", ["/etc/tinyproxy/tinyproxy.conf"], []),
    ("haproxy-guide", "haproxy", ["/etc/haproxy/haproxy.cfg"], ["http", "http"]),
    ("blackbox", "prometheus-blackbox-exporter", ["/etc/prometheus/blackbox.yml"], ["metric"]),
    ("redis-queue", "redis-server", [], []),
    ("metrics-store", "prometheus", ["/etc/prometheus/prometheus.yml"], ["http"]),
    ("message-broker", "mosquitto", ["/etc/mosquitto/conf.d/harbour.conf"], []),
    ("filter-proxy", "privoxy", ["/etc/privoxy/config"], []),
    ("rsyslog-host", "rsyslog", ["/etc/rsyslog.d/10-receive.conf"], []),
]
#: What the running program wrote about the host, which is no part of what was installed: it stays. (systemd makes and
#: removes private folders of services in `/var/tmp`, whose time is new.)
_WRITTEN = {"rsyslog": ("changed: /var/log: mtime_ns", "created: /var/log/")}
_USUAL = {"package", "unit", "port"}


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its name there
        """Say nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The pages, served as their vendors do."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(PAGES)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def host(machines: Callable[..., AbstractContextManager[Machine]]) -> Iterator[Machine]:
    packages = tuple(sorted(["prometheus-alertmanager", *(package for _, package, _, _ in WALKS)]))
    with machines("systemd", packages=packages) as machine:
        yield machine


def known(machine: Machine, site: str, page: str) -> None:
    address = f"http://{site}/{page}.html"
    assert machine.json("knowledge", "fetch", address, "--for", page, "--allow-host", site).code == 0


@pytest.mark.parametrize("walk", WALKS, ids=[walk[0] for walk in WALKS])
def test_a_page_that_says_everything_is_installed_verified_and_taken_back(
    host: Machine, site: str, walk: tuple[str, str, list[str], list[str]]
) -> None:
    page, package, files, checks = walk
    before = host.world()
    known(host, site, page)

    run = host.json("install", f"knowledge:{page}", "--yes").data

    assert run["status"] == "succeeded"
    assert {one["status"] for one in run["checks"]} - {"not-applicable"} == {"passed"}
    assert sorted(one["kind"] for one in run["checks"] if one["kind"] not in _USUAL) == checks
    assert {"package", "unit", "port"} <= {one["kind"] for one in run["checks"]}
    facts = [(one["fact"], one["value"]) for one in run["told"]]
    assert facts == [("package", package), *(("content", path) for path in files)]
    assert host.json("verify", page).code == 0
    assert host.json("rollback", run["run_id"], "--yes").code == 0
    left = before.differences(host.world(), host.host.root, logs=APPENDED_LOGS)
    apart = ("changed: /var/tmp: mtime_ns", *_WRITTEN.get(package, ()))
    assert [line for line in left if not line.startswith(apart)] == []


def test_what_a_page_says_and_the_host_cannot_run_is_taken_back(host: Machine, site: str) -> None:
    """Alertmanager looks for a private address, and the host has none but loopback."""
    before = host.world()
    known(host, site, "alert-router")

    failed = host.json("install", "knowledge:alert-router", "--yes")

    assert (failed.code, failed.error["state"]) == (9, "everything that the run changed was taken back"), str(failed)
    assert "prometheus-alertmanager" in failed.error["details"]["message"]
    left = before.differences(host.world(), host.host.root, logs=APPENDED_LOGS)
    assert [line for line in left if not line.startswith("changed: /var/tmp: mtime_ns")] == []


@pytest.mark.parametrize("page", ["open-placeholder", "open-part", "open-step", "open-module"])
def test_a_page_that_leaves_something_open_is_not_installed(host: Machine, site: str, page: str) -> None:
    before = host.world()
    known(host, site, page)

    refused = host.json("install", f"knowledge:{page}", "--yes")

    assert (refused.code, refused.error["state"]) == (2, "nothing was changed"), str(refused)
    assert refused.error["details"]["questions"]
    assert before.differences(host.world(), host.host.root) == []


def test_a_draft_of_a_page_is_installed_like_any_integration(host: Machine) -> None:
    before = host.world()
    page = str(PAGES / "haproxy-guide.html")
    drafted = host.json("integrations", "init", "balancer", "--from-docs", page).data
    assert [one.partition("?")[0] for one in drafted["questions"]] == []

    run = host.json("install", "./balancer", "--yes").data

    assert {one["status"] for one in run["checks"]} - {"not-applicable"} == {"passed"}
    assert host.host.run(["stat", "-c", "%a %U:%G", "/etc/haproxy/haproxy.cfg"]).stdout == "644 root:root\n"
    assert host.json("rollback", "--yes").code == 0
    assert before.differences(host.world(), host.host.root, logs=APPENDED_LOGS) == []
