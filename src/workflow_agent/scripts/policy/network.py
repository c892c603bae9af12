"""The running network: interfaces, routes and what manages them, taken down."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from workflow_agent.scripts.policy.hits import Hit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from workflow_agent.scripts.policy.calls import Call, ShellText

__all__ = ["match_network"]

#: Interfaces that reach other machines, by the names that kernel and udev give. Source: systemd.net-naming-scheme(7).
_REACHES = re.compile(r"(eth|en[opsx]|em|wl|ww|bond|venet|usb)\w*\d\w*")
_MANAGERS = re.compile(r"(networking|network|NetworkManager|systemd-networkd|wicked|dhcpcd)(\.service)?")
_STOPS = frozenset(("stop", "mask", "kill", "down"))
_WHOLE = {
    "route": ("del default", "delete default"),
    "nmcli": ("networking off", "n off", "radio all off", "r all off"),
    "rfkill": ("block all",),
}
_MANAGING = frozenset(("systemctl", "service", "invoke-rc.d", "rc-service"))
_PROGRAMS = _MANAGING | {"ip", "ifconfig", "ifdown", *_WHOLE}
_PARTS = {"l": "link", "r": "route", "ro": "route", "a": "addr", "address": "addr"}


def match_network(call: Call, shell: ShellText) -> Iterator[Hit]:
    """Match one call that takes the network down, unless the script brings the same up again afterwards."""
    speaks_of_it = call.name in _PROGRAMS or call.argv[1:2] == ("stop",)
    down = _taken_down(call) if speaks_of_it else None
    if down is None:
        return
    later = (other for other in shell.calls if other.node.start_byte > call.node.start_byte)
    if not any(down in _brought_up(other) for other in later):
        yield Hit("network-down", call.node, f"`{down}`")


def _taken_down(call: Call) -> str | None:
    """Give the interface, `default` for routes, or `network` for all of it; None where nothing is taken down."""
    words = [word for word in call.argv[1:] if not word.startswith("-")]
    if call.name == "ip":
        return _by_ip(words)
    if call.name == "ifconfig" and "down" not in words:
        return None
    if call.name in ("ifconfig", "ifdown"):
        return "network" if {"-a", "--all"} & set(call.argv) else next(_reaching(words), None)
    if call.name in _WHOLE and " ".join(words) in _WHOLE[call.name]:
        return "default" if call.name == "route" else "network"
    return "network" if _stops_manager(call, words) else None


def _by_ip(words: Sequence[str]) -> str | None:
    part, verb = _PARTS.get(words[0], words[0]) if words else "", words[1] if len(words) > 1 else ""
    if part == "link" and "down" in words:
        return next(_reaching(words), None)
    if part == "route":
        return (
            "default"
            if (verb == "flush" and "cache" not in words) or (verb.startswith("del") and words[2:3] == ["default"])
            else None
        )
    return next(_reaching(words), None) if part == "addr" and verb == "flush" else None


def _reaching(words: Sequence[str]) -> Iterator[str]:
    return (word for word in words if _REACHES.fullmatch(word))


def _stops_manager(call: Call, words: Sequence[str]) -> bool:
    if call.name in _MANAGING:
        return bool(_STOPS & set(words)) and any(_MANAGERS.fullmatch(word) for word in words)
    return bool(_MANAGERS.fullmatch(call.name)) and call.argv[1:2] == ("stop",)  # /etc/init.d/NAME stop


def _brought_up(call: Call) -> set[str]:
    """Name what a call brings up: interfaces, `default`, `network`."""
    words = set(call.argv[1:])
    if call.name in ("ip", "route") and words & {"add", "replace", "change"}:
        return {"default", *_reaching(call.argv)}
    if call.name in ("ip", "ifconfig", "ifup") and (call.name == "ifup" or "up" in words):
        return {"network", *_reaching(call.argv)}
    starts = words & {"start", "restart", "on"}
    manages = call.name in ("nmcli", "rfkill") or any(_MANAGERS.fullmatch(word) for word in (call.name, *words))
    return {"network", "default"} if starts and manages else set()
