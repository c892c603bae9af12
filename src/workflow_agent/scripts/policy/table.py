"""The policy's rules: id, weight inside a transaction and outside of one, what to say, what to do instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_agent.model.records import dataclass
from workflow_agent.model.system import Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RULES", "Rule"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. Inside a transaction, what only endangers the host's files is a warning: it is taken back."""

    id: str
    inside: Severity
    outside: Severity
    message: str
    hint: str


def _error(rule: str, message: str, hint: str) -> Rule:
    return Rule(rule, Severity.ERROR, Severity.ERROR, message, hint)


def _softer(rule: str, message: str, hint: str) -> Rule:
    return Rule(rule, Severity.WARNING, Severity.ERROR, message, hint)


_ALL = (
    _error(
        "system-delete",
        "deletes a folder or an essential file of the whole system",
        "delete the one thing that is meant",
    ),
    _error(
        "delete-maybe-empty",
        "deletes a folder of the whole system if a variable is empty",
        "write `${NAME:?}`, which stops the script when the variable is empty",
    ),
    _error("block-device", "writes to a disk or to raw memory", "work on files"),
    _error(
        "network-to-shell",
        "runs what it fetches from a network",
        "fetch it to a file, compare its checksum, then run it",
    ),
    _error("decoded-to-shell", "runs encoded text that nobody can read here", "write the commands out"),
    _error("fork-bomb", "starts copies of itself without end", "remove it"),
    _error("secret-echoed", "prints a secret", "write it to a file with mode 0600, or pass it on standard input"),
    _error(
        "secret-traced", "traces commands (`set -x`) while secrets are in use", "trace only where no secret is used"
    ),
    _error("power", "stops or restarts the machine", "declare under `effects` that a restart is needed"),
    _error("kernel-module", "loads or removes a kernel module", "do it outside of an integration"),
    _error("kernel-setting", "changes the running kernel", "write a file in /etc/sysctl.d"),
    _error("mount", "mounts, unmounts or swaps", "do it outside of an integration"),
    _error("namespace", "enters another root or namespace, past the transaction", "choose the target with `--target`"),
    _error("firewall-off", "switches the firewall off or empties it", "add the one rule that is needed"),
    _error(
        "network-down",
        "takes the running network down",
        "change its files; who runs the host decides when they are taken up",
    ),
    _error("audit-off", "switches auditing or access control off", "add the one exception that is needed"),
    _error("access-opened", "opens the system to others", "name the one account and the one command that is needed"),
    _error(
        "packages-unsigned", "takes packages whose signature nobody checks", "add the source's key with `signed-by=`"
    ),
    _error("kill-all", "ends processes that are not its own", "end one process by its number, or stop its service"),
    _error(
        "secret-argument",
        "gives a secret to a program as an argument, which everybody can read in its command line",
        "pass it on standard input, in the environment, or in a file with mode 0600",
    ),
    _softer("world-writable", "lets everybody write to the system", "give the one user or group access"),
    _softer("system-owner", "gives a folder of the whole system to another owner", "name the one folder"),
    _softer(
        "system-closed",
        "takes rights to a folder of the whole system away",
        "name the one file or folder that is meant",
    ),
    _softer("traces-wiped", "wipes logs or history", "leave them; rotate logs with logrotate"),
    _softer("crontab-removed", "removes a whole crontab", "remove the one line, or use a file in /etc/cron.d"),
    _softer("account-removed", "removes an account of the base system", "remove the one account that is its own"),
    _softer(
        "sudoers-unchecked",
        "changes what sudo may do without a check; one error there locks everybody out",
        "write it to a temporary file, check that with `visudo -cf`, then put it in place",
    ),
    _softer("undeclared-path", "writes to a path that is not declared", "declare the path, or do not write there"),
    _error("unparsable", "cannot be read as bash, so the rules cannot see what it does", "write it more plainly"),
)
#: Rules by id.
RULES: Mapping[str, Rule] = {rule.id: rule for rule in _ALL}
