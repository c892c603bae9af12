"""Doors: accounts, keys, sudo and signatures; and processes that belong to everybody."""

from __future__ import annotations

import posixpath
import re
from itertools import pairwise
from typing import TYPE_CHECKING

from workflow_agent.scripts._syntax import walk
from workflow_agent.scripts.policy.calls import constant_inputs, upstream
from workflow_agent.scripts.policy.hits import Hit
from workflow_agent.scripts.policy.unwrapping import SHELLS, is_interpreter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from workflow_agent.scripts.policy.calls import Call, ShellText
    from workflow_agent.scripts.policy.writing import Written

__all__ = ["match_access", "match_written"]

#: Accounts that every Debian system has. Source: base-passwd, /usr/share/base-passwd/passwd.master.
_BASE = frozenset(
    [
        "root",
        "daemon",
        "bin",
        "sys",
        "sync",
        "games",
        "man",
        "lp",
        "mail",
        "news",
        "uucp",
        "proxy",
        "www-data",
        "backup",
        "list",
        "irc",
        "gnats",
        "nobody",
        "_apt",
        "systemd-network",
        "systemd-resolve",
        "systemd-timesync",
        "messagebus",
        "sshd",
        "sudo",
        "wheel",
        "shadow",
        "adm",
    ],
)
_ADMINISTRATORS = frozenset(("sudo", "wheel", "root", "disk", "shadow"))
_POWERFUL = re.compile(r"cap_(setuid|setgid|sys_admin|dac_override|sys_ptrace|sys_module)|all[=+]|^=ep", re.IGNORECASE)
_UNSIGNED = re.compile(
    r"(APT::Get::AllowUnauthenticated|Acquire::Allow(Insecure|Weak|DowngradeToInsecure)Repositories)"
    r"[=\s\"']+(true|1|yes)",
    re.IGNORECASE,
)
_UNSIGNED_OPTIONS = frozenset(
    [
        "--allow-unauthenticated",
        "--allow-insecure-repositories",
        "--force-yes",
        "--nogpgcheck",
        "--no-gpg-checks",
        "--nosignature",
        "--no-gpg-check",
        "--trusted-host",
        "--dangerous",
        "--no-gpg-verify",
        "--allow-untrusted",
    ],
)
_PACKAGERS = frozenset(
    ("apt", "apt-get", "aptitude", "yum", "dnf", "rpm", "zypper", "pip", "pip3", "apk", "python3", "snap", "flatpak")
)
#: (path, text): what a file must not be given. A rule, then both patterns; the text's is searched for.
_WRITES = tuple(
    (rule, re.compile(path), re.compile(text, re.IGNORECASE | re.MULTILINE))
    for rule, path, text in (
        ("access-opened", r"(/root|/home|~|\$HOME|[\ue000\ue001]).*/authorized_keys2?", r""),
        ("access-opened", r"/etc/(passwd|shadow|gshadow)-?", r""),
        ("access-opened", r"/etc/ld\.so\.preload", r""),
        ("access-opened", r"/etc/sudoers(\.d/.*)?", r"NOPASSWD:\s*ALL\b"),
        ("access-opened", r"/etc/pam\.d/.*", r"\bpam_permit\.so"),
        ("access-opened", r"/etc/ssh/sshd_config.*", r"(PermitRootLogin|PermitEmptyPasswords)\s+yes"),
        ("access-opened", r"/etc/polkit-1/rules\.d/.*", r"\A(?s:(?!.*(\bif\b|\?|&&)).*Result\.YES)"),
        ("access-opened", r"/etc/exports(\.d/.*)?", r"^/\s+\*|\*\([^)]*\bno_root_squash"),
        ("access-opened", r"/etc/docker/daemon\.json", r"\A(?s:(?!.*tlsverify).*tcp://(0\.0\.0\.0|\[::\])?:)"),
        ("audit-off", r"/etc/selinux/config", r"SELINUX=(disabled|permissive)"),
        ("audit-off", r"/etc/default/grub.*", r"\b(selinux|apparmor|audit|enforcing)=0"),
        ("firewall-off", r"/etc/ufw/ufw\.conf", r"ENABLED=no"),
        ("packages-unsigned", r"/etc/apt/sources\.list.*", r"trusted[=:]\s*yes"),
        ("packages-unsigned", r"/etc/apt/apt\.conf.*", _UNSIGNED.pattern),
        ("packages-unsigned", r"/etc/yum\.repos\.d/.*", r"gpgcheck\s*=\s*0"),
    )
)
_LISTS_ALL = re.compile(r"(^|\s)(-?[a-zA-Z]*[eAx]|ax\w*|aux\w*)(\s|$)")
_SUDOERS = re.compile(r"/etc/sudoers(\.d/.+)?")


def match_written(written: Sequence[Written], shell: ShellText) -> Iterator[Hit]:
    """Match what is written into files that decide who may do what."""
    checked = any(
        call.name == "visudo" and re.search(r"(^|\s)(-\w*c|--check)", " ".join(call.argv)) for call in shell.calls
    )
    for path, text, node in written:
        normal = posixpath.normpath(path) if path.startswith("/") else path
        for rule, where, what in _WRITES:
            if where.fullmatch(normal) and what.search(text):
                yield Hit(rule, node, f"`{normal}`")
        if _SUDOERS.fullmatch(normal) and not checked:
            yield Hit("sudoers-unchecked", node, f"`{normal}`")


def match_access(call: Call, shell: ShellText) -> Iterator[Hit]:
    """Match one call that opens a door, removes what others need, or ends what is not its own."""
    matcher = _BY_NAME.get(call.name)
    rule = matcher(call.argv[1:]) if matcher else None
    whole = _BY_CALL.get(call.name)
    rule = whole(call, shell) if rule is None and whole else rule
    if rule is not None:
        yield Hit(rule, call.node, f"`{call.name}`")


def _operands(words: Sequence[str]) -> list[str]:
    return [word for word in words if not word.startswith("-")]


def _has(words: Sequence[str], letters: str, *long: str) -> bool:
    """Say whether one of the short options (also in a cluster) or long options is among the words."""
    return any(word in long or re.fullmatch(rf"-[a-zA-Z]*[{letters}][a-zA-Z]*", word) for word in words)


def _passwd(words: Sequence[str]) -> str | None:
    return "access-opened" if _has(words, "du", "--delete", "--unlock") else None


def _account(words: Sequence[str]) -> str | None:
    pairs = list(zip(words, [*words[1:], ""], strict=True))
    root = any((word in ("-u", "--uid") and value == "0") or word in ("--uid=0", "-u0") for word, value in pairs)
    empty = any(word in ("-p", "--password") and value == "" for word, value in pairs)
    return "access-opened" if root or empty or _has_group(pairs) else None


def _has_group(pairs: list[tuple[str, str]]) -> bool:
    return any(
        re.fullmatch(r"-[a-zA-Z]*G|--groups|-a?g", word) and _ADMINISTRATORS & set(value.split(","))
        for word, value in pairs
    ) or any(word.startswith("--groups=") and _ADMINISTRATORS & set(word[9:].split(",")) for word, _ in pairs)


def _adduser(words: Sequence[str]) -> str | None:
    """``adduser USER GROUP``, ``gpasswd -a USER GROUP``."""
    names = _operands(words)
    return "access-opened" if len(names) > 1 and names[-1] in _ADMINISTRATORS else _account(words)


def _removed(words: Sequence[str]) -> str | None:
    names = _operands(words)
    return "account-removed" if _BASE & set(names) or any("/" in name for name in names) else None


def _kill(words: Sequence[str]) -> str | None:
    if words and words[0] in ("-l", "-L", "--list", "-0"):
        return None
    rest = list(words)
    if rest and rest[0] in ("-s", "-n", "--signal", "-q"):
        del rest[:2]
        if words[1] in ("0", "EXIT"):
            return None
    elif rest and rest[0].startswith("-") and rest[0] != "--" and len(rest) > 1:
        del rest[0]
    return "kill-all" if {"-1", "1"} & set(rest) else None


def _takes_all(call: Call, shell: ShellText) -> str | None:
    """``kill $(ps -e -o pid=)``: every process, as long as nothing chooses among them."""
    nodes = [node for node in walk(call.node) if node.type == "command_substitution"] or upstream(call.node)
    sources = [(other.name, " ".join(other.argv[1:])) for other in shell.calls_in(nodes)]
    lists = any(name == "ps" and _LISTS_ALL.search(words) for name, words in sources)
    return "kill-all" if lists and not any(_chooses(name, words) for name, words in sources) else None


def _chooses(name: str, words: str) -> bool:
    if name in ("awk", "sed"):
        return bool(re.search(r"/.+/|==", words))
    return bool(re.fullmatch(r"[efz]?grep|head|pgrep", name) or re.search(r"(^|\s)(-C|-p|-u|-U|--pid|--ppid)", words))


def _password(call: Call, shell: ShellText) -> str | None:
    """``echo root:… | chpasswd``."""
    texts = constant_inputs(shell, call)
    return "access-opened" if any(re.search(r"^root:", text, re.MULTILINE) for text in texts) else None


def _pkill(words: Sequence[str]) -> str | None:
    names = _operands(words)
    pairs = zip(words, [*words[1:], ""], strict=True)
    of_root = any(word in ("-u", "-U", "--euid", "--uid", "--user") and value in ("root", "0") for word, value in pairs)
    everything = any(name in (".", ".*", "", "^", "systemd", "init", "dbus-daemon") for name in names)
    return "kill-all" if everything or (of_root and len(names) < 2) else None  # noqa: PLR2004 - the user's name alone


def _setcap(words: Sequence[str]) -> str | None:
    strong = any(_POWERFUL.search(word) for word in words)
    return "access-opened" if strong and any(_is_runner(word) for word in words) else None


def _is_runner(path: str) -> bool:
    name = posixpath.basename(path)
    return (
        name in SHELLS
        or is_interpreter(name)
        or name in ("find", "vim", "vi", "less", "awk", "env", "busybox", "tar", "cp")
    )


def _setuid(call: Call, shell: ShellText) -> str | None:
    """``chmod 4755``, ``chmod u+s``, ``install -m 4755`` on a shell, a copy of one, or where others can write."""
    words = _operands(call.argv[1:])
    if call.name == "install":
        modes = [value for word, value in pairwise(call.argv) if word in ("-m", "--mode")]
        paths, runners = words[-1:], any(_is_runner(word) for word in words)
    else:
        modes, paths, runners = words[:1], words[1:], False
    if not any(map(_sets_user, modes)):
        return None
    copies = {
        other.argv[-1]
        for other in shell.calls
        if other.name in ("cp", "install", "mv") and any(_is_runner(word) for word in other.argv[1:-1])
    }
    exposed = ("/tmp/", "/var/tmp/", "/dev/shm/", "/home/")  # noqa: S108 - compared, not opened
    found = runners or any(_is_runner(path) or path in copies or path.startswith(exposed) for path in paths)
    return "access-opened" if found else None


def _sets_user(mode: str) -> bool:
    if re.fullmatch(r"0?[4567][0-7]{3}", mode):
        return bool(int(mode[-4]) & 4)
    return bool(re.search(r"(^|,)[uoa]*\+[rwxXt]*s", mode))


def _unsigned(call: Call, _: ShellText) -> str | None:
    if call.name == "python3" and "pip" not in call.argv:
        return None
    options = {word.partition("=")[0] for word in call.argv[1:] if word.partition("=")[2] not in ("no", "false", "0")}
    if _UNSIGNED_OPTIONS & options or _UNSIGNED.search(" ".join(call.argv)):
        return "packages-unsigned"
    return None


def _visudo(call: Call, shell: ShellText) -> str | None:
    """``echo … | EDITOR='tee -a' visudo``: checked, and open all the same."""
    opens = re.compile(r"NOPASSWD:\s*ALL\b", re.IGNORECASE)
    return "access-opened" if any(opens.search(text) for text in constant_inputs(shell, call)) else None


def _restored(call: Call, _: ShellText) -> str | None:
    """``iptables-restore < /dev/null``."""
    parent = call.node.parent
    text = (parent.text or b"") if parent is not None and parent.type == "redirected_statement" else b""
    return "firewall-off" if re.search(rb"<\s*/dev/null", text) else None


_BY_NAME: Mapping[str, Callable[[Sequence[str]], str | None]] = {
    "passwd": _passwd,
    **dict.fromkeys(("useradd", "usermod"), _account),
    **dict.fromkeys(("adduser", "gpasswd", "addgroup"), _adduser),
    **dict.fromkeys(("userdel", "deluser", "groupdel", "delgroup"), _removed),
    "kill": _kill,
    "killall5": lambda _words: "kill-all",
    **dict.fromkeys(("pkill", "killall"), _pkill),
    "setcap": _setcap,
}
_BY_CALL: Mapping[str, Callable[[Call, ShellText], str | None]] = {
    **dict.fromkeys(_PACKAGERS, _unsigned),
    **dict.fromkeys(("chmod", "install"), _setuid),
    **dict.fromkeys(("iptables-restore", "ip6tables-restore"), _restored),
    "kill": _takes_all,
    "chpasswd": _password,
    "visudo": _visudo,
}
