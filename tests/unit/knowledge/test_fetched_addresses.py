"""Which addresses a page may come from."""

from __future__ import annotations

import ipaddress

import pytest

from workflow_agent.knowledge.addresses import refusal
from workflow_agent.knowledge.fetching import FetchLimits, fetch_page, judged_addresses
from workflow_agent.model.errors import PermissionDeniedError, UnreachableError, ValidationError, WorkflowAgentError

REFUSED = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.0.171",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2001::1",
    "2001:0:7f00:1::80ff:fffe",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::1",
    "2002:c0a8:101::1",
    "100::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]
ALLOWED = ["1.1.1.1", "8.8.8.8", "93.184.215.14", "2606:4700::1111", "2a00:1450:4001::200e", "64:ff9b::808:808"]

#: Addresses of pages, each with what stands for the resolver's answer.
HOSTILE = [
    "https://localhost/",
    "https://127.0.0.1/",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0177.0.0.1/",
    "https://１２７.０.０.１/",  # noqa: RUF001  # full-width digits are the point
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[2002:7f00:1::1]/",
    "https://169.254.169.254/latest/meta-data/",
    "https://[::ffff:169.254.169.254]/",
    "https://0/",
    "https://[fe80::1%25lo]/",
]


@pytest.mark.parametrize("text", REFUSED)
def test_an_address_that_is_not_for_everybody_is_refused(text: str) -> None:
    assert refusal(ipaddress.ip_address(text)) is not None


@pytest.mark.parametrize("text", ALLOWED)
def test_an_address_of_the_internet_is_allowed(text: str) -> None:
    assert refusal(ipaddress.ip_address(text)) is None


@pytest.mark.parametrize("address", HOSTILE)
async def test_every_spelling_of_this_machine_is_refused(address: str) -> None:
    """The system's own resolver reads them, as it would for any program."""
    with pytest.raises((PermissionDeniedError, ValidationError)):
        await fetch_page(address)


@pytest.mark.parametrize(
    ("address", "error"),
    [
        ("http://example.org/", ValidationError),
        ("ftp://example.org/", ValidationError),
        ("file:///etc/passwd", ValidationError),
        ("gopher://example.org/", ValidationError),
        ("https://user:password@example.org/", ValidationError),
        ("https://user@example.org/", ValidationError),
        ("https://example.org:22/", PermissionDeniedError),
        ("https://example.org:99999/", ValidationError),
        ("https://exa mple.org/", ValidationError),
        ("https://example.org\\@127.0.0.1/", ValidationError),
        ("https://example.org/\r\nHost: x", ValidationError),
        ("https:///nothing", ValidationError),
        ("https://example.org/" + "x" * 3000, ValidationError),
        ("example.org/page", ValidationError),
    ],
)
async def test_only_addresses_of_pages_are_asked(address: str, error: type[WorkflowAgentError]) -> None:
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(f"{host} {port}")
        return ["93.184.215.14"]

    with pytest.raises(error):
        await judged_addresses(address, FetchLimits(), resolve)

    assert asked == []


async def test_one_bad_answer_among_good_ones_refuses_the_name() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        del host, port
        return ["93.184.215.14", "10.0.0.1"]

    with pytest.raises(PermissionDeniedError, match=r"10\.0\.0\.1 is private"):
        await judged_addresses("https://docs.example.net/", FetchLimits(), resolve)


async def test_a_name_without_addresses_is_unreachable() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        del host, port
        return []

    with pytest.raises(UnreachableError):
        await judged_addresses("https://docs.example.net/", FetchLimits(), resolve)


async def test_what_is_no_address_at_all_is_refused() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        del host, port
        return ["not-an-address"]

    with pytest.raises(PermissionDeniedError):
        await judged_addresses("https://docs.example.net/", FetchLimits(), resolve)


async def test_fetching_can_be_switched_off() -> None:
    with pytest.raises(PermissionDeniedError, match="off"):
        await fetch_page("https://example.org/", FetchLimits(denied=True))
