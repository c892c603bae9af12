"""Names of the kernel's capabilities, and which of them a process can use at all. Pure.

Source: linux/capability.h of Linux 6.1; capabilities(7); kernel/audit.c, audit_netlink_ok.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Capability", "usable_capabilities"]


class Capability(StrEnum):
    """A capability, without `CAP_`; in the order of the kernel's bits."""

    CHOWN = "CHOWN"
    DAC_OVERRIDE = "DAC_OVERRIDE"
    DAC_READ_SEARCH = "DAC_READ_SEARCH"
    FOWNER = "FOWNER"
    FSETID = "FSETID"
    KILL = "KILL"
    SETGID = "SETGID"
    SETUID = "SETUID"
    SETPCAP = "SETPCAP"
    LINUX_IMMUTABLE = "LINUX_IMMUTABLE"
    NET_BIND_SERVICE = "NET_BIND_SERVICE"
    NET_BROADCAST = "NET_BROADCAST"
    NET_ADMIN = "NET_ADMIN"
    NET_RAW = "NET_RAW"
    IPC_LOCK = "IPC_LOCK"
    IPC_OWNER = "IPC_OWNER"
    SYS_MODULE = "SYS_MODULE"
    SYS_RAWIO = "SYS_RAWIO"
    SYS_CHROOT = "SYS_CHROOT"
    SYS_PTRACE = "SYS_PTRACE"
    SYS_PACCT = "SYS_PACCT"
    SYS_ADMIN = "SYS_ADMIN"
    SYS_BOOT = "SYS_BOOT"
    SYS_NICE = "SYS_NICE"
    SYS_RESOURCE = "SYS_RESOURCE"
    SYS_TIME = "SYS_TIME"
    SYS_TTY_CONFIG = "SYS_TTY_CONFIG"
    MKNOD = "MKNOD"
    LEASE = "LEASE"
    AUDIT_WRITE = "AUDIT_WRITE"
    AUDIT_CONTROL = "AUDIT_CONTROL"
    SETFCAP = "SETFCAP"
    MAC_OVERRIDE = "MAC_OVERRIDE"
    MAC_ADMIN = "MAC_ADMIN"
    SYSLOG = "SYSLOG"
    WAKE_ALARM = "WAKE_ALARM"
    BLOCK_SUSPEND = "BLOCK_SUSPEND"
    AUDIT_READ = "AUDIT_READ"
    PERFMON = "PERFMON"
    BPF = "BPF"
    CHECKPOINT_RESTORE = "CHECKPOINT_RESTORE"


#: What is asked of the whole machine, and not of a user namespace: none but the first one has it.
_OF_THE_MACHINE = frozenset(
    {
        Capability.SYS_MODULE,
        Capability.SYS_RAWIO,
        Capability.SYS_TIME,
        Capability.SYSLOG,
        Capability.AUDIT_CONTROL,
        Capability.AUDIT_WRITE,
        Capability.AUDIT_READ,
        Capability.MAC_ADMIN,
        Capability.MAC_OVERRIDE,
        Capability.WAKE_ALARM,
        Capability.BLOCK_SUSPEND,
    }
)


def usable_capabilities(bits: int, *, first_user_namespace: bool, first_pid_namespace: bool) -> tuple[str, ...]:
    """Name the capabilities of a set that the kernel lets a process use there, sorted.

    Args:
        bits: The set, such as `CapBnd` of ``/proc/PID/status``.
        first_user_namespace: Whether it lives in the machine's own user namespace.
        first_pid_namespace: Whether it lives in the machine's own namespace of processes, as an audit daemon must.
    """
    found = {one for bit, one in enumerate(Capability) if bits >> bit & 1}
    if not first_user_namespace:
        found -= _OF_THE_MACHINE
    if not first_pid_namespace:
        found -= {Capability.AUDIT_CONTROL}
    return tuple(sorted(one.value for one in found))
