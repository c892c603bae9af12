"""Packages that are removed although the system, its firewall or its access control is made of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from workflow_agent.scripts.policy.hits import Hit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from workflow_agent.scripts.policy.calls import Call

__all__ = ["match_packages"]

_APT = frozenset(("remove", "purge", "autoremove", "autopurge"))
_VERBS = {
    **dict.fromkeys(("apt", "apt-get", "aptitude"), _APT),
    **dict.fromkeys(("dnf", "yum", "microdnf", "zypper"), frozenset(("remove", "erase", "rm", "autoremove"))),
    "apk": frozenset(("del",)),
    "dpkg": frozenset(("-r", "-P", "--remove", "--purge")),
    "rpm": frozenset(("-e", "--erase", "-ev", "-evh")),
    "pacman": frozenset(("-R", "-Rs", "-Rns", "-Rdd", "-Rsc", "--remove")),
}
#: Essential and what only works with them. Source: `dpkg-query -f '${Essential} ${Package}'`, Debian 12.
_ESSENTIAL = re.compile(
    r"(base-files|base-passwd|bash|bsdutils|coreutils|dash|debianutils|diffutils|dpkg|findutils|grep|gzip|hostname|"
    r"init|init-system-helpers|libc-bin|libc6|libpam[^ ]*|login|mount|ncurses-base|ncurses-bin|passwd|perl-base|sed|"
    r"systemd|systemd-sysv|sysvinit-utils|tar|util-linux|apt|libsystemd0|libssl3|libselinux1|zlib1g|udev|"
    r"glibc|rpm|dnf|yum|filesystem|setup|musl|alpine-baselayout|apk-tools|pacman|"
    r"(linux-image|kernel|grub)(-.*)?)([:=/].*)?-?"
)
_EVERYTHING = re.compile(r"[.*?^$~]+|\?essential|~E")
_FIREWALLS = re.compile(r"(ufw|firewalld|nftables|iptables|iptables-persistent|netfilter-persistent|shorewall)(:.*)?-?")
_CONTROLS = re.compile(r"(apparmor|selinux-basics|selinux-policy-.*|libapparmor1)(:.*)?-?")
_FORCED = re.compile(r"--allow-remove-essential|--force-remove-essential|APT::Get::allow-remove-essential=(1|true|yes)")


def match_packages(call: Call) -> Iterator[Hit]:
    """Match the removal of packages by any package manager."""
    words = call.argv[1:]
    verbs = _VERBS.get(call.name)
    if verbs is None or {"-s", "--simulate", "--dry-run", "--no-act", "--just-print"} & set(words):
        return
    for word in words:
        if _FORCED.search(word):
            yield Hit("system-delete", call.node, f"`{word}`")
    removed = _removed(words, verbs)
    for names, rule in ((_ESSENTIAL, "system-delete"), (_FIREWALLS, "firewall-off"), (_CONTROLS, "audit-off")):
        for name in removed:
            if names.fullmatch(name) or (rule == "system-delete" and _EVERYTHING.fullmatch(name)):
                yield Hit(rule, call.node, f"package `{name}`")


def _removed(words: Sequence[str], verbs: frozenset[str]) -> list[str]:
    """Give the packages that a command removes: after its verb, or marked with a minus in an ``apt-get install``."""
    operands = [word for word in words if not word.startswith("-")]
    if verbs & set(words):
        return [word for word in operands if word not in verbs and not word.endswith("+")]
    if verbs is _APT and "install" in operands:
        return [word for word in operands if word.endswith("-")]
    return []
