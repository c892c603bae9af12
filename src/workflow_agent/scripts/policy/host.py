"""What reaches past a host's files: disks, power, kernel, mounts, firewall, audit; and access, logs, crontabs."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from workflow_agent.scripts._syntax import node_text
from workflow_agent.scripts.policy.containers import handed_over
from workflow_agent.scripts.policy.essentials import essential_file
from workflow_agent.scripts.policy.folders import absolute
from workflow_agent.scripts.policy.guards import FIREWALLS, WATCHERS
from workflow_agent.scripts.policy.hits import Hit
from workflow_agent.scripts.policy.markers import MARKERS
from workflow_agent.scripts.policy.paths import (
    is_block_device,
    is_kernel_setting,
    is_log,
    is_under_system,
    system_tree,
)
from workflow_agent.scripts.policy.writing import written_paths

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from workflow_agent.scripts.policy.calls import Call, Redirect, ShellText

__all__ = ["gives_to_all", "is_owned_by_system", "match_history", "match_host", "match_redirect", "undeclared"]

_POWER_VERBS = frozenset(
    [
        "reboot",
        "poweroff",
        "halt",
        "kexec",
        "soft-reboot",
        "suspend",
        "hibernate",
        "hybrid-sleep",
        "rescue",
        "emergency",
        "isolate",
    ]
)
_POWER_METHODS = frozenset(("Reboot", "PowerOff", "Halt", "KExec", "SoftReboot", "Suspend", "Hibernate"))
_POWER_TARGETS = frozenset(f"{verb}.target" for verb in (*_POWER_VERBS, "shutdown"))
_DISK_TOOLS = frozenset(
    [
        "wipefs",
        "blkdiscard",
        "mkswap",
        "fdisk",
        "sfdisk",
        "cfdisk",
        "gdisk",
        "sgdisk",
        "parted",
        "partprobe",
        "hdparm",
        "badblocks",
        "cryptsetup",
        "pvcreate",
        "pvremove",
        "vgcreate",
        "vgremove",
        "lvremove",
        "mdadm",
        "zpool",
        "ddrescue",
        "dcfldd",
        "dc3dd",
        "xfs_repair",
        "fsck",
        "e2fsck",
        "resize2fs",
        "tune2fs",
        "mkntfs",
        "mkdosfs",
        "sg_format",
        "sg_sanitize",
        "nwipe",
        "lvresize",
        "lvreduce",
        "pvmove",
    ]
)
_REPLACES = frozenset(("ln", "cp", "mv", "install", "dd"))
_ONLY_LOOKS = frozenset(
    [
        "-n",
        "--no-act",
        "-l",
        "--list",
        "-p",
        "--print",
        "print",
        "-V",
        "--version",
        "-h",
        "--help",
        "status",
        "luksDump",
        "--detail",
        "--examine",
        "-i",
    ]
)
_WORLD = re.compile(r"(^|,)[ugo]*[oa][ugoa]*[+=][rxXst]*w|(^|,)=[rxXst]*w")


def match_host(call: Call, shell: ShellText) -> Iterator[Hit]:
    """Match one call against the table of programs, and what it writes against devices and kernel settings."""
    matcher = _BY_NAME.get(re.sub(r"-(nft|legacy)$", "", call.name)) or (
        _disk if call.name.startswith(("mkfs.", "mkfs", "mke2fs")) else None
    )
    if matcher is not None:
        words: Sequence[str] = call.argv[1:]
        if call.name in ("chmod", "chown", "chgrp"):
            words = _placed(call, shell)
        rule = matcher(words)
        if rule:
            yield Hit(rule, call.node, f"`{call.name}`")
    for path in written_paths(call):
        yield from _written(path, call)


def _placed(call: Call, shell: ShellText) -> list[str]:
    """Give the arguments of ``chmod MODE PATH …`` and the like with absolute paths."""
    options = [word for word in call.argv[1:] if word.startswith("-")]
    operands = [word for word in call.argv[1:] if not word.startswith("-")]
    return [*options, *operands[:1], *(absolute(word, call, shell) for word in operands[1:])]


def _written(path: str, call: Call) -> Iterator[Hit]:
    if is_block_device(path):
        yield Hit("block-device", call.node, f"`{path}`")
    elif posixpath.normpath(path) == "/proc/sysrq-trigger":
        yield Hit("power", call.node, f"`{path}`")
    elif call.name in _REPLACES and is_log(path):
        yield Hit("traces-wiped", call.node, f"`{path}`")
    elif is_kernel_setting(path):
        yield Hit("kernel-setting", call.node, f"`{path}`")


def match_redirect(redirect: Redirect) -> Iterator[Hit]:
    """Match the target of a redirection."""
    for target in redirect.targets:
        if is_block_device(target):
            yield Hit("block-device", redirect.node, f"`{target}`")
        elif posixpath.normpath(target) == "/proc/sysrq-trigger":
            yield Hit("power", redirect.node, f"`{target}`")
        elif is_kernel_setting(target):
            yield Hit("kernel-setting", redirect.node, f"`{target}`")
        elif is_log(target) and ">>" not in redirect.operator:
            yield Hit("traces-wiped", redirect.node, f"`{target}`")


def match_history(shell: ShellText) -> Iterator[Hit]:
    """Match variables that keep the shell from writing its history."""
    for node in shell.nodes:
        if node.type == "variable_assignment" and re.fullmatch(
            r"HIST(FILE|SIZE|FILESIZE)=(\"\"|''|\"?/dev/null\"?|0)?", node_text(node)
        ):
            yield Hit("traces-wiped", node, f"`{node_text(node)}`")


def undeclared(path: str, declared: Collection[str]) -> bool:
    """Say whether an absolute, fully known path lies outside every declared path, /tmp and /dev."""
    if not path.startswith("/") or MARKERS & set(path):
        return False
    normal = posixpath.normpath(path)
    allowed = (*declared, "/tmp", "/var/tmp", "/dev")  # noqa: S108 - compared, not opened
    return not any(normal == item.rstrip("/") or normal.startswith(item.rstrip("/") + "/") for item in allowed)


def _power(words: Sequence[str]) -> str | None:
    return None if {"-c", "--help", "--version", "-w", "--wtmp-only"} & set(words) else "power"


def _init(words: Sequence[str]) -> str | None:
    return "power" if set(words) & {"0", "1", "6", "s", "S"} else None


def _systemctl(words: Sequence[str]) -> str | None:
    verbs = [word for word in words if not word.startswith("-")]
    if not verbs:
        return None
    if verbs[0] in _POWER_VERBS or (verbs[0] == "start" and _POWER_TARGETS & set(verbs)):
        return "power"
    if verbs[0] not in ("stop", "disable", "mask", "kill"):
        return None
    if any(FIREWALLS.fullmatch(unit) for unit in verbs[1:]):
        return "firewall-off"
    return "audit-off" if any(WATCHERS.fullmatch(unit) for unit in verbs[1:]) else None


def _service(words: Sequence[str]) -> str | None:
    return _systemctl([words[1], words[0]]) if len(words) > 1 else None


def _loginctl(words: Sequence[str]) -> str | None:
    return "power" if set(words) & _POWER_VERBS else None


def _logind(words: Sequence[str]) -> str | None:
    """Match what is asked of logind or systemd over the bus: ``…login1.Manager.Reboot``, or the method alone."""
    return "power" if {word.rpartition(".")[2] for word in words} & _POWER_METHODS else None


def _iptables(words: Sequence[str]) -> str | None:
    flushes = {"-F", "--flush", "-X", "--delete-chain"} & set(words)
    opens = {"-P", "--policy"} & set(words) and "ACCEPT" in words
    return "firewall-off" if flushes or opens else None


def _words(rule: str, *sequences: str) -> Callable[[Sequence[str]], str | None]:
    """Match when all words of one of the sequences are there."""
    wanted = [set(sequence.split()) for sequence in sequences]
    return lambda words: rule if any(each <= set(words) for each in wanted) else None


def _always(rule: str) -> Callable[[Sequence[str]], str | None]:
    return lambda _words: rule


def _unless(rule: str, *harmless: str) -> Callable[[Sequence[str]], str | None]:
    return lambda words: rule if words and not set(words) & set(harmless) else None


def _disk(words: Sequence[str]) -> str | None:
    if set(words) & _ONLY_LOOKS or not words:
        return None
    paths = [word for word in words if word.startswith("/")]
    on_files = paths and not any(path.startswith("/dev/") for path in paths)
    return None if on_files else "block-device"


def _sysctl(words: Sequence[str]) -> str | None:
    changes = any("=" in word or word.startswith(("-w", "--write", "-p", "--load", "--system")) for word in words)
    return "kernel-setting" if changes else None


def _chmod(words: Sequence[str]) -> str | None:
    operands = [word for word in words if not word.startswith("-")]
    if not operands or not gives_to_all(operands[0]):
        return None
    return "world-writable" if any(is_owned_by_system(path) for path in operands[1:]) else None


def gives_to_all(mode: str) -> bool:
    """Say whether a mode lets everybody write."""
    if re.fullmatch(r"[0-7]{3,5}", mode):
        sticky = len(mode) > 3 and int(mode[-4]) & 1  # noqa: PLR2004 - the digit before the last three
        return bool(int(mode[-1]) & 2) and not sticky
    return bool(_WORLD.search(mode))


def is_owned_by_system(path: str) -> bool:
    """Say whether a place is the system's own, not one program's."""
    if system_tree(path):
        return True
    return is_under_system(path) and not path.startswith(("/opt/", "/srv/", "/var/"))


def _chown(words: Sequence[str]) -> str | None:
    recursive = any(word == "--recursive" or re.fullmatch(r"-[a-zA-Z]*R[a-zA-Z]*", word) for word in words)
    operands = [word for word in words if not word.startswith("-")]
    if recursive and any(system_tree(path) for path in operands[1:]):
        return "system-owner"
    away = bool(operands) and not re.match(r"(root|0|:)", operands[0])
    return "system-owner" if away and any(essential_file(path) for path in operands[1:]) else None


def _wipes(words: Sequence[str]) -> str | None:
    return "traces-wiped" if any(is_log(word) for word in words) else None


def _truncate(words: Sequence[str]) -> str | None:
    return _wipes(words)


def _journalctl(words: Sequence[str]) -> str | None:
    return "traces-wiped" if any(word.startswith("--vacuum") for word in words) else None


def _history(words: Sequence[str]) -> str | None:
    return "traces-wiped" if any(re.fullmatch(r"-[a-z]*c[a-z]*", word) for word in words) else None


def _unset(words: Sequence[str]) -> str | None:
    return "traces-wiped" if {"HISTFILE", "HISTSIZE"} & set(words) else None


def _crontab(words: Sequence[str]) -> str | None:
    return (
        "crontab-removed"
        if "/dev/null" in words or any(re.fullmatch(r"-[a-z]*r[a-z]*", word) for word in words)
        else None
    )


def _set(words: Sequence[str]) -> str | None:
    return "traces-wiped" if list(words) == ["+o", "history"] else None


_BY_NAME: Mapping[str, Callable[[Sequence[str]], str | None]] = {
    **dict.fromkeys(("reboot", "shutdown", "poweroff", "halt"), _power),
    **dict.fromkeys(("init", "telinit"), _init),
    **dict.fromkeys(("iptables", "ip6tables", "ebtables", "arptables"), _iptables),
    **dict.fromkeys(_DISK_TOOLS, _disk),
    **dict.fromkeys(("umount", "pivot_root", "swapoff", "fusermount"), _always("mount")),
    **dict.fromkeys(
        ("unshare", "nsenter", "chroot", "machinectl"), _unless("namespace", "--help", "--version", "list")
    ),
    **dict.fromkeys(("insmod", "rmmod"), _always("kernel-module")),
    **dict.fromkeys(("rm", "shred", "unlink"), _wipes),
    **dict.fromkeys(("lxc", "incus"), handed_over),
    "mount": _unless("mount", "-l", "--version", "-V", "-h", "--help", "--show-labels"),
    "swapon": _unless("mount", "-s", "--show", "--summary", "--help"),
    "losetup": _unless("mount", "-a", "--list", "-l", "--all"),
    "modprobe": _unless("kernel-module", "-n", "--dry-run", "--show-depends", "-c", "--showconfig", "-D"),
    "kexec": _always("power"),
    "loginctl": _loginctl,
    **dict.fromkeys(("busctl", "gdbus", "dbus-send"), _logind),
    "systemctl": _systemctl,
    "service": _service,
    "sysctl": _sysctl,
    "ufw": _words("firewall-off", "disable", "reset"),
    "firewall-cmd": _words("firewall-off", "--panic-off", "--set-default-zone=trusted"),
    "debugfs": lambda words: "block-device" if "-w" in words else None,
    "dmsetup": _words("block-device", "remove", "remove_all", "wipe_table", "load", "create"),
    "nvme": _words("block-device", "format", "sanitize", "write", "write-zeroes", "delete-ns"),
    "zfs": _words("block-device", "destroy", "rollback"),
    "auditctl": _words("audit-off", "-e 0", "-D", "-e0"),
    "setenforce": _words("audit-off", "0", "Permissive", "permissive"),
    "aa-teardown": _always("audit-off"),
    "aa-disable": _always("audit-off"),
    "chmod": _chmod,
    "chown": _chown,
    "chgrp": _chown,
    "truncate": _truncate,
    "journalctl": _journalctl,
    "history": _history,
    "unset": _unset,
    "set": _set,
    "crontab": _crontab,
}
