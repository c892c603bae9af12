"""Ways out of an isolation, tried by scripts of tests: in a capture, in the clone of a rehearsal, without root."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["ESCAPES", "HOME_ESCAPES", "tries"]


def _syscall(number: int, arguments: str) -> str:
    """A system call of x86-64 that may not succeed; the numbers are those of syscalls(2)."""
    # Perl wants texts that could be written to, as elements of an array can.
    return f"perl -e '@given = ({arguments}); exit(syscall({number}, @given) >= 0 ? 0 : 1)'"


def _device(kind: str, major: int, minor: int, use: str = "exec 3<>/tmp/dev") -> str:
    return f"rm -f /tmp/dev; mknod /tmp/dev {kind} {major} {minor} && {use}"


#: Ways to reach more than the capture, by what they try; each ends with 0 where it is open. `/run/host-canary` lies on
#: the host, where a capture has a `/run` of its own.
ESCAPES: Final[Mapping[str, str]] = {
    # mounts
    "mount": "mount -t tmpfs none /mnt",
    "remount": "mount -o remount,rw /proc/sys",
    "remount sysfs": "mount -o remount,rw /sys",
    "unmount": "umount /run",
    "bind": "mount --bind /etc /mnt",
    "move a mount": "mount --move /proc /mnt",
    "proc": "mount -t proc proc /mnt",
    "sysfs anew": "mount -t sysfs sysfs /mnt",
    "devices anew": "mount -t devtmpfs dev /mnt",
    "control groups anew": "mount -t cgroup2 none /mnt",
    "overlay of ours": "cd /tmp; mkdir -p u w; mount -t overlay -o lowerdir=/etc,upperdir=u,workdir=w none /mnt",
    "bpf": "mount -t bpf none /mnt",
    "debugfs": "mount -t debugfs none /mnt",
    "tracefs": "mount -t tracefs none /mnt",
    "securityfs": "mount -t securityfs none /mnt",
    "new kind of mount": _syscall(430, '"tmpfs", 0'),
    "copy of the mounts": _syscall(428, '-100, "/", 0x8001'),
    "pivot": _syscall(155, '"/tmp", "/tmp"'),
    # namespaces and roots
    "new mount namespace": "unshare -m true",
    "new user namespace": "unshare -Urm sh -c 'mount -o remount,bind,rw /sys && echo 1 > /sys/kernel/mm/ksm/run'",
    "other root": "ls /proc/1/root/",
    "other working folder": "ls /proc/1/cwd/run/host-canary",
    "roots of all": "for r in /proc/[0-9]*/root; do [ ! -e $r/run/host-canary ] || exit 0; done; exit 1",
    "other descriptors": "for f in /proc/1/fd/*; do ! readlink $f || exit 0; done; exit 1",
    "folders that are open": "for f in /proc/[0-9]*/fd/*; do [ ! -e $f/run/host-canary ] || exit 0; done; exit 1",
    "enter namespaces": "nsenter -t 1 -m true",
    "enter by descriptor": "exec 3</proc/1/ns/mnt; " + _syscall(308, "3, 0"),
    "out of a chroot": 'perl -e \'mkdir "/tmp/c"; chroot("/tmp/c") or exit 1; chdir ".." for 1..64; chroot ".";'
    ' exit(-e "/run/host-canary" ? 0 : 1)\'',
    "link through another root": "ln -sf /proc/1/root/run/host-canary /srv/link; cat /srv/link",
    # the kernel
    "kernel settings": "echo 1 > /proc/sys/vm/drop_caches",
    "host name": "hostname escaped",
    "host name by setting": "echo escaped > /proc/sys/kernel/hostname",
    "domain name": _syscall(171, '"escaped", 7'),
    "core dumps": "echo '|/bin/sh' > /proc/sys/kernel/core_pattern",
    "loader of modules": "echo /bin/sh > /proc/sys/kernel/modprobe",
    "program formats": "echo : > /proc/sys/fs/binfmt_misc/register",
    "forwarding": "echo 1 > /proc/sys/net/ipv4/ip_forward",
    "huge pages": "echo 1 > /proc/sys/vm/nr_hugepages",
    "system request": "echo h > /proc/sysrq-trigger",
    "sysfs": "echo 1 > /sys/kernel/mm/ksm/run",
    "program for events": "echo /bin/sh > /sys/kernel/uevent_helper",
    "control groups": "[ -e /sys/fs/cgroup/cgroup.procs ] && echo $$ > /sys/fs/cgroup/cgroup.procs",
    "modules": _syscall(175, '0, 0, ""'),
    "another kernel": _syscall(246, "0, 0, 0, 0"),
    "restart keys": _syscall(169, "0xfee1dead, 672274793, 0"),
    "clock": "date -s 2001-01-01",
    "swap": "head -c 65536 /dev/zero > /srv/swap; mkswap /srv/swap; swapon /srv/swap",
    "accounting": "touch /srv/account; " + _syscall(163, '"/srv/account"'),
    "ports of the machine": _syscall(172, "3"),
    "one port of the machine": _syscall(173, "0x70, 1, 1"),
    "memory of the kernel": "head -c1 /proc/kcore",
    "raw handle": _syscall(304, '0, "", 0'),
    "trace": _syscall(101, "16, 1, 0, 0"),
    # devices
    "block device": "mknod /dev/shm/disk b 7 0; head -c1 /dev/shm/disk",
    "block device on disk": "mknod /srv/disk b 7 0; head -c1 /srv/disk",
    "block device in tmp": "mknod /tmp/disk b 7 0; head -c1 /tmp/disk",
    "devices of the system": "mknod /dev/disk b 7 0",
    "memory": _device("c", 1, 1, "head -c1 /tmp/dev"),
    "ports as a file": _device("c", 1, 4, "head -c1 /tmp/dev"),
    "messages of the kernel": _device("c", 1, 11, "echo escaped > /tmp/dev"),
    "console": _device("c", 5, 1, "echo escaped > /tmp/dev"),
    "loop devices": _device("c", 10, 237),
    "file systems of ours": _device("c", 10, 229),
    "network devices": _device("c", 10, 200),
    "virtual machines": _device("c", 10, 232),
    # what is ours, and what others listen on
    "our folder": "echo x > /.workflow-agent/x",
    "content of our folder": '[ -n "$(ls -A /.workflow-agent)" ]',
    "before-images": "find / -xdev -path '*/.workflow-agent/*' 2>/dev/null | grep .",
    "the upper layer": "upper=$(sed -n 's/.*upperdir=\\([^,]*\\).*/\\1/p' /proc/self/mountinfo | head -1);"
    ' ls -A "${upper:?}" | grep .',
    "whiteout by hand": "mknod /srv/white c 0 0",
    "overlay marks by hand": _syscall(188, '"/srv", "trusted.overlay.opaque", "y", 1, 0'),
    "message bus": "[ -S /run/dbus/system_bus_socket ]",
    "init system": "[ -S /run/systemd/private ]",
    "container engine": "[ -S /run/docker.sock ] || [ -S /var/run/docker.sock ]",
}


#: More ways for a person without root, who may make namespaces and has processes, files and a folder in memory outside:
#: `MARK` matches the command line of a process of theirs, `/run/host-canary` and `/tmp/host-canary` are outside.
HOME_ESCAPES: Final[Mapping[str, str]] = {
    "memory of the machine": "[ -e /run/host-canary ]",
    "files of others in tmp": "[ -e /tmp/host-canary ]",
    "a file that outlives it in tmp": "[ -e /tmp/host-canary ] && echo x > /tmp/escaped",
    "own processes": "grep -q MARK /proc/[0-9]*/cmdline",
    "a signal to all": "kill -0 -1; grep -q MARK /proc/[0-9]*/cmdline",
    "home without its layer": "unshare -Urm sh -c 'umount ~ && echo x > ~/escaped'",
    "our folder in the home": '[ -n "$(ls -A ~/.workflow-agent)" ]',
    "our folder without its cover": "unshare -Urm sh -c 'umount ~/.workflow-agent && ls -A ~/.workflow-agent | grep .'",
    "system written to in a namespace": "unshare -Urm sh -c 'mount -o remount,bind,rw / && touch /etc/escaped'",
    "id of somebody else": "unshare -U --map-users=0,0,10 true",
    "root by a setuid program": "su -c true; [ $(id -u) = 0 ]",
    "files of root": "cat /etc/shadow",
    "a file of root": "touch /etc/escaped",
    "a home of others": "ls /root",
    "bus of the session": "[ -S /run/user/$(id -u)/bus ]",
}


def tries(names: Iterable[str], ways: Mapping[str, str] = ESCAPES) -> list[str]:
    """Give the lines of a script: each is tried in a shell of its own; one that works says so."""
    return [f"if (set -e; {ways[name]}) </dev/null >/dev/null 2>&1; then echo 'OPEN {name}'; fi" for name in names]
