"""Which addresses of the network a page may be fetched from: those that everybody can reach, and no others.

An address may carry another one inside (mapped, 6to4, NAT64, Teredo, compatible); then the inner one is judged too.
Python's ``is_global`` alone lets multicast, NAT64 and compatible forms of loopback through.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Address", "inner_addresses", "refusal"]

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Prefix of RFC 6052 whose last 32 bits are an IPv4 address.
_NAT64: Final = (ipaddress.ip_network("64:ff9b::/96"),)
#: ``::a.b.c.d`` (RFC 4291, section 2.5.5.1) and ``::ffff:0:a.b.c.d`` (RFC 2765).
_COMPATIBLE: Final = (ipaddress.ip_network("::/96"), ipaddress.ip_network("::ffff:0:0:0/96"))
#: Not for everybody, whatever the tables of the interpreter's release say (IANA special-purpose registries).
_SPECIAL: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "240.0.0.0/4",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
    )
)


def refusal(address: Address) -> str | None:
    """Say why nothing is fetched from an address; None where it may be asked."""
    for one in (address, *inner_addresses(address)):
        if reason := _own_refusal(one):
            return reason if one is address else f"it stands for {one}, which is {reason}"
    return None


def inner_addresses(address: Address) -> Iterator[Address]:
    """Give the IPv4 addresses that an IPv6 address carries inside."""
    if isinstance(address, ipaddress.IPv4Address):
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if any(address in network for network in (*_NAT64, *_COMPATIBLE)):
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)


def _own_refusal(address: Address) -> str | None:
    checks = (
        (address.is_loopback, "this machine"),
        (address.is_unspecified, "no address"),
        (address.is_multicast, "multicast"),
        (address.is_link_local, "of this link only"),
        (address.is_private, "private"),
        (address.is_reserved and not _carries(address), "reserved"),
    )
    for holds, reason in checks:
        if holds:
            return reason
    if any(address in network for network in _SPECIAL if network.version == address.version):
        return "for special purposes"
    return None if address.is_global or _carries(address) else "not reachable for everybody"


def _carries(address: Address) -> bool:
    """Tell whether an address is one of NAT64, which is as good as the one inside."""
    return isinstance(address, ipaddress.IPv6Address) and any(address in network for network in _NAT64)
