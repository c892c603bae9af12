"""What guards or watches a host: tables of the firewall, daemons that are ended or kept from starting, access lists."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from workflow_agent.scripts._syntax import node_text, walk
from workflow_agent.scripts.policy.calls import constant_inputs
from workflow_agent.scripts.policy.folders import absolute
from workflow_agent.scripts.policy.hits import Hit
from workflow_agent.scripts.policy.paths import is_under_system, system_tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workflow_agent.scripts.policy.calls import Call, ShellText

__all__ = ["FIREWALLS", "WATCHERS", "match_guards"]

#: Services that are a firewall, and services that write down or bound what others do.
FIREWALLS = re.compile(r"(firewalld|ufw|nftables|iptables|ip6tables|netfilter-persistent|shorewall)(\.service)?")
WATCHERS = re.compile(
    r"(auditd|apparmor|selinux.*|rsyslogd?|syslog-ng|systemd-journald|(syslog|systemd-journald.*)\.socket)(\.service)?"
)
_EMPTIES = re.compile(r"\b(?:delete|destroy|flush)\s+(?:table|chain)\s+(?:(?:ip|ip6|inet|arp|bridge|netdev)\s+)?(\S+)")
_MAKES = r"\b(?:add|create)?\s*table\s+(?:(?:ip|ip6|inet|arp|bridge|netdev)\s+)?{name}(?![\w-])"
_REMOVES = re.compile(r"(?:delete|destroy|flush)\s+table")
_PUTS_AWAY = frozenset(("ln", "cp", "install", "mv", "rm", "unlink", "truncate", "chmod"))
_PROGRAM = re.compile(r"/(usr/)?s?bin/")
_DOES_NOTHING = re.compile(r"(/usr)?/bin/(true|false|:)|/dev/null")
_KILLERS = frozenset(("pkill", "killall", "killall5", "skill"))
#: Signals that ask a daemon to read its settings or its logs again.
_ASKS = frozenset(
    (*("-0", "-1", "-HUP", "-SIGHUP", "-USR1", "-SIGUSR1", "-USR2", "-SIGUSR2"), *("HUP", "SIGHUP", "USR1", "USR2"))
)
_FINDERS = frozenset(("pidof", "pgrep"))
_OTHERS = re.compile(r"(^|[,\s])(d(efault)?:)?o(ther)?:[^:]*:?[rx-]*w", re.IGNORECASE)


def match_guards(call: Call, shell: ShellText) -> Iterator[Hit]:
    """Match one call that switches off what guards or watches the host."""
    rule = None
    if call.name == "nft":
        rule = _nft(call, shell)
    elif call.name in _KILLERS:
        rule = None if _ASKS & set(call.argv[1:]) else _daemon(call.argv[1:])
    elif call.name == "kill":
        rule = _daemon(_asked_for(call, shell))
    elif call.name in ("update-rc.d", "chkconfig", "rc-update", "invoke-rc.d", "rc-service", "initctl", "sv"):
        off = {"disable", "remove", "off", "del", "stop", "down", "delete", "kill"} & set(call.argv[1:])
        rule = _daemon(call.argv[1:]) if off else None
    elif call.argv[1:2] == ("stop",):  # /etc/init.d/NAME stop
        rule = _daemon((call.name,))
    elif call.name in _PUTS_AWAY:
        rule = _program(call)
    elif call.name == "setfacl":
        rule = _acl(call, shell)
    if rule is not None:
        yield Hit(rule, call.node, f"`{call.name}`")


def _daemon(words: tuple[str, ...] | list[str]) -> str | None:
    names = [re.sub(r"^\^|\$$", "", word.rpartition("/")[2]) for word in words if not word.startswith("-")]
    if any(FIREWALLS.fullmatch(name) for name in names):
        return "firewall-off"
    return "audit-off" if any(WATCHERS.fullmatch(name) for name in names) else None


def _program(call: Call) -> str | None:
    """``ln -sf /bin/true /usr/sbin/auditd``, and other ways to put a watcher's program away."""
    words = [word for word in call.argv[1:] if not word.startswith("-")]
    if call.name in ("ln", "cp", "install"):
        words = words[-1:] if any(_DOES_NOTHING.fullmatch(word) for word in words[:-1]) else []
    elif call.name == "mv":
        words = words[:-1]
    elif call.name == "chmod":
        takes = re.fullmatch(r"[augo]*-[rwst]*x[rwxst]*|0?[0246]{3}", next(iter(call.argv[1:]), ""))
        words = list(call.argv[2:]) if takes else []
    written = node_text(call.node)  # a package that leaves goes through its own programs by a variable
    return _daemon([word for word in words if _PROGRAM.match(word) and word in written])


def _asked_for(call: Call, shell: ShellText) -> list[str]:
    """``kill "$(pidof auditd)"``: the names whose processes are asked for."""
    if _ASKS & set(call.argv[1:]):
        return []
    inside = [node for node in walk(call.node) if node.type == "command_substitution"]
    return [word for other in shell.calls_in(inside) if other.name in _FINDERS for word in other.argv[1:]]


def _nft(call: Call, shell: ShellText) -> str | None:
    """A table or chain that is deleted or emptied, unless the script makes that table itself."""
    texts = [" ".join(word for word in call.argv[1:] if not word.startswith("-"))]
    texts += constant_inputs(shell, call)
    if any(re.search(r"\bflush\s+ruleset\b", text) and not re.search(r"\btable\s", text) for text in texts):
        return "firewall-off"
    own = _REMOVES.sub("", node_text(shell.root))
    names = (found[1].strip(";\"'") for text in texts for found in _EMPTIES.finditer(text))
    return "firewall-off" if any(not re.search(_MAKES.format(name=re.escape(name)), own) for name in names) else None


def _acl(call: Call, shell: ShellText) -> str | None:
    """``setfacl -m o::rwx``: everybody may write, by another way than ``chmod``."""
    if not any(_OTHERS.search(word) for word in call.argv[1:]):
        return None
    paths = [absolute(word, call, shell) for word in call.argv[1:] if not word.startswith("-")]
    owned = any(
        system_tree(path) or (is_under_system(path) and not path.startswith(("/opt/", "/srv/"))) for path in paths
    )
    return "world-writable" if owned else None
