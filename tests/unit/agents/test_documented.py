"""A lookup says what documentation says about the same thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workflow_agent.agents.documented import accepted_parameters, documented
from workflow_agent.knowledge import read_page
from workflow_agent.model.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.unit.agents.conftest import Bench

PAGE = """
# Node exporter

    apt-get install prometheus-node-exporter

It serves metrics on port 9100, and its console listens on port 9999. It runs as the user `prometheus`.

    systemctl restart prometheus-node-exporter
"""


async def test_a_lookup_tells_what_pages_say_and_whether_the_manifest_agrees(bench: Bench) -> None:
    page = read_page(PAGE, "https://docs.example.org/node.md").to_dict()
    await bench.store.knowledge.put(page, source="documentation", subject="prometheus-node-exporter", at=1.0)

    said = (await bench.lookup())["knowledge"]

    agreed = {(fact["kind"], fact["value"]): fact["agrees"] for fact in said}
    assert agreed == {
        ("package", "prometheus-node-exporter"): True,
        ("service", "prometheus-node-exporter"): True,
        ("port", "9100"): True,
        ("port", "9999"): False,
        ("user", "prometheus"): True,
    }
    assert {fact["address"] for fact in said} == {"https://docs.example.org/node.md"}


async def test_without_pages_a_lookup_says_nothing_of_them(bench: Bench) -> None:
    assert (await bench.lookup())["knowledge"] == []


async def test_a_store_that_cannot_be_read_stands_in_nobodys_way() -> None:
    class Broken:
        async def pages(self, subject: str | None = None) -> list[dict[str, Any]]:
            raise StoreError(f"no pages about {subject}")

        async def suggestions(
            self, *, state: str | None = None, integration: str | None = None
        ) -> list[dict[str, Any]]:
            raise StoreError(f"no {state} suggestions about {integration}")

        async def page(self, address: str, *, before: int = 0) -> dict[str, Any]:
            raise AssertionError((address, before))

        async def facts(self, addresses: Sequence[str], kind: str | None = None) -> list[dict[str, Any]]:
            raise AssertionError((addresses, kind))

    assert await documented(Broken(), "nginx", {}) == []
    assert await documented(None, "nginx", {}) == []
    assert await accepted_parameters(Broken(), "nginx") == {}
