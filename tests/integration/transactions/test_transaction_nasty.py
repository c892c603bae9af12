"""A script of nasty effects: each is listed or told before anybody says yes, nothing else is, and all of it comes off.

What a size, a time, a digest or an image cannot see is in here: see the table of effects below. Files are to be listed
all, and nothing beside them; what is no file is to be told where a transaction cannot hold it.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workflow_agent.testing.lab import diff, digest

if TYPE_CHECKING:
    from workflow_agent.model.system import ChangeSet
    from workflow_agent.testing.transactions import Trial

_CALLS = {"x86_64": {"setxattr": 188, "init_module": 175}, "aarch64": {"setxattr": 5, "init_module": 105}}
_CALL = _CALLS[platform.machine()]
_PORT = 47_613
_SERVER = (
    f'$s = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1", LocalPort => {_PORT}) or die $!;'
    ' open(F, ">", "/tmp/ready"); close F; sleep 99'
)


@dataclass(frozen=True)
class Effect:
    """One effect: what is there before, the script, and the lines ``action path aspects`` that are to be listed."""

    before: str
    script: str
    listed: tuple[str, ...] = ()


FILES = {
    "create": Effect("true", "echo new > create", ("created create",)),
    "edit, same size and time": Effect(
        "echo abc > disguised",
        "echo xyz > disguised; touch -d '2001-01-01 01:01:01.5' disguised",
        ("modified disguised content",),
    ),
    "delete": Effect("echo a > gone", "rm gone", ("deleted gone",)),
    "chmod only": Effect("echo a > mode", "chmod 4711 mode", ("modified mode mode",)),
    "chown only": Effect("echo a > owner", "chown 7:9 owner", ("modified owner owner",)),
    "xattr only": Effect(
        "echo a > attribute",
        f"perl -e 'syscall({_CALL['setxattr']}, @ARGV, 1, 0) == 0 or die $!' attribute user.new v",
        ("modified attribute xattr",),
    ),
    "link retargeted": Effect("ln -s /etc/passwd link", "ln -sfn ../elsewhere link", ("modified link mtime,target",)),
    "file becomes folder": Effect(
        "echo a > turned",
        "rm turned; mkdir turned; echo b > turned/inner",
        ("modified turned type", "created turned/inner"),
    ),
    "folder becomes file": Effect(
        "mkdir flat; echo a > flat/inner", "rm -r flat; echo b > flat", ("modified flat type", "deleted flat/inner")
    ),
    "folder renamed": Effect(
        "mkdir -p from/deep; echo a > from/deep/x",
        "mv from to",
        (
            "deleted from",
            "deleted from/deep",
            "deleted from/deep/x",
            "created to",
            "created to/deep",
            "created to/deep/x",
        ),
    ),
    "hard link added": Effect("echo a > first", "ln first second", ("modified first links", "created second")),
    "FIFO": Effect("true", "mkfifo pipe", ("created pipe",)),
    "socket": Effect(
        "true",
        "perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un($ARGV[0])) or die $!' socket",
        ("created socket",),
    ),
    "device": Effect("true", "mknod null c 1 3", ("created null",)),
    "created, then deleted": Effect("true", "echo a > shortly; rm shortly"),
    "identical rewrite, time restored": Effect("echo a > same", "echo a > same; touch -d '2001-01-01 01:01:01.5' same"),
    "touch only": Effect("echo a > touched", "touch touched", ("modified touched mtime",)),
    "sparse": Effect("true", "truncate -s 10M sparse", ("created sparse",)),
    "swap of two": Effect(
        "echo a > one; echo b > two", "mv one t; mv two one; mv t two", ("modified one content", "modified two content")
    ),
    "name that is no UTF-8": Effect("true", "touch \"$(printf 'a\\377b')\"", ("created a\\xffb",)),
    "name with a newline": Effect("true", "touch \"$(printf 'a\\nb')\"", ("created a\\x0ab",)),
    "folder emptied and filled again": Effect(
        "mkdir again; echo a > again/old",
        "rm -r again; mkdir again; echo b > again/new",
        ("modified again content", "deleted again/old", "created again/new"),
    ),
    "set-group-id folder": Effect("mkdir shared", "chmod 2770 shared", ("modified shared mode",)),
    "truncated": Effect("head -c 9000 /dev/zero > cut", "truncate -s 7 cut", ("modified cut content,mtime",)),
}
#: What a person is to be told: how it is called there, the script, where it is told and by which words.
BEYOND = {
    "user": ("groupadd -g 4242 nasty; useradd -u 4242 -g 4242 -M nasty", "users nasty created"),
    "group": ("groupadd -g 4243 nastier", "groups nastier created"),
    "cron entry": (
        "mkdir -p /etc/cron.d; echo '1 1 1 1 1 root true' > /etc/cron.d/nasty",
        "cron /etc/cron.d/nasty added",
    ),
    "alternative": (
        "update-alternatives --quiet --install /usr/bin/nasty nasty /bin/true 10",
        "created /var/lib/dpkg/alternatives/nasty",
    ),
    "package on hold": ("echo 'tar hold' | dpkg --set-selections", "modified /var/lib/dpkg/status"),
    "unit": (
        "mkdir -p /etc/systemd/system; printf '[Service]\\nExecStart=/bin/true\\n' > /etc/systemd/system/nasty.service",
        "units nasty.service added",
    ),
    "log line": ("echo line >> /var/log/dpkg.log", "appended /var/log/dpkg.log"),
    "sysctl setting": (
        "mkdir -p /etc/sysctl.d; echo vm.swappiness=7 > /etc/sysctl.d/nasty.conf",
        "created /etc/sysctl.d/nasty.conf",
    ),
    "process": ("setsid sleep 4711 < /dev/null > /dev/null 2>&1 &", "outside process sleep 4711"),
    "listener": (
        f"perl -MIO::Socket::INET -e '{_SERVER}' & while [ ! -e /tmp/ready ]; do sleep 0.05; done",
        f"(listens on {_PORT})",
    ),
    "connection": (
        f"perl -MIO::Socket::INET -e 'IO::Socket::INET->new(\"127.0.0.1:{_PORT}\") or die $!'",
        f"outside connection 127.0.0.1:{_PORT}",
    ),
    "entry in memory": ("echo 1 > /run/nasty.pid", "outside memory /run/nasty.pid"),
    "shared memory": ("echo 1 > /dev/shm/nasty", "outside memory /dev/shm/nasty"),
    "host name": ("hostname nastier || true", "outside host name"),
    "mount": ("mount -t tmpfs nasty /mnt || true", "outside mount"),
    "kernel module": (
        f"perl -e 'syscall({_CALL['init_module']}, @ARGV)' module parameters",
        "outside kernel module",
    ),
    "clock": ("date -s '2031-01-01' || true", "outside clock"),
    "swap": ("swapoff -a; swapoff /nowhere || true", "outside swap"),
}
#: What comes with some of the above: caches, locks and copies that the system's own programs write.
_WITH_THEM = (
    "/etc/alternatives/nasty",
    "/usr/bin/nasty",
    "/var/log/alternatives.log",
    "/etc/passwd",
    "/etc/group",
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/subuid",
    "/etc/subgid",
    "/var/lib/dpkg/status-old",
    "/var/lib/dpkg/diversions",
    "/var/mail",
    "/var/lib/dpkg/status",
    "/etc/systemd/system",
    "/etc/systemd/system/nasty.service",
    "/var/lib/dpkg/alternatives/nasty",
    "/etc/cron.d/nasty",
    "/etc/sysctl.d",
    "/var/log/dpkg.log",
)
#: The user's own group, what `mount` writes, what the listener says that it is ready with.
_FACTS_WITH_THEM = ("groups nasty created", "outside memory /run/mount", "outside memory /tmp/ready")


def _lines(changes: ChangeSet) -> list[str]:
    return [f"{one.action} {one.path} {','.join(one.aspects)}".strip() for one in changes.changes]


def _told(changes: ChangeSet) -> list[str]:
    facts = [f"users {one['name']} {one['action']}" for one in changes.users]
    facts += [f"groups {one['name']} {one['action']}" for one in changes.groups]
    facts += [f"units {one['name']} {one['action']}" for one in changes.units]
    facts += [f"cron {one['path']} {one['action']}" for one in changes.cron]
    facts += [f"outside {one['kind']} {one['what']}".strip() for one in changes.outside]
    return [*_lines(changes), *facts]


async def test_every_nasty_effect_is_told_nothing_else_is_and_all_of_it_comes_off(trial: Trial) -> None:
    folder = "/srv/nasty"
    for effect in FILES.values():
        trial.shell(f"mkdir -p {folder}; cd {folder}; {effect.before}")
    trial.shell(f"find {folder} -depth -exec touch -h -d '2001-01-01 01:01:01.5' {{}} +")
    before = digest(trial.lab.root)
    scripts = [*(effect.script for effect in FILES.values()), *(script for script, _ in BEYOND.values())]
    transaction, changes = await trial.capture("\n".join([f"cd {folder}", *scripts]))

    wanted = {f"{action} {folder}/{rest}" for action, rest in _expected()}
    lines, told = _lines(changes), _told(changes)
    assert sorted(wanted - set(lines)) == []  # every effect on a file, with all that it changed
    beyond = [name for name, (_, words) in BEYOND.items() if any(words in line for line in told)]
    assert sorted(BEYOND.keys() - set(beyond)) == []
    extra = [line for line in lines if line not in wanted]
    foreign = [line for line in extra if not line.split(" ")[1].rstrip("-").startswith(_WITH_THEM)]
    facts = told[len(lines) :]
    known = (*(words for _, words in BEYOND.values()), *_FACTS_WITH_THEM)
    foreign += [fact for fact in facts if not any(words in fact for words in known)]
    assert foreign == []
    print(f"{len(wanted)} paths, {len(beyond)} effects beyond files, {len(told)} lines, none of something else")
    notes = "\n".join(changes.notes)
    assert "left running was ended: sleep 4711" in notes
    assert "left in memory is not kept: " in notes
    assert "and was refused: clock, host name, kernel module, mount, swap" in notes
    assert f"talked to 127.0.0.1:{_PORT}" in notes

    await trial.target.commit(transaction)
    await trial.target.rollback(transaction)
    left = diff(before, digest(trial.lab.root))
    assert [line for line in left if "/var/log/" not in line] == []  # appended lines stay


def _expected() -> list[tuple[str, str]]:
    lines = [line for effect in FILES.values() for line in effect.listed]
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines]
