"""Commands that a program carries: in its options, in a language of its own, in files that something runs."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["carried_texts", "texts_run_later"]

_ADDRESS = r"(?:[0-9$,+~!]|/(?:[^/\\]|\\.)*/)*"
_SED_RUNS = re.compile(rf"(?:^|[;{{\n])\s*{_ADDRESS}\s*e\s+([^\n]+)")
_SED_REPLACES = re.compile(r"s([^\w\s\\])(?:\\.|(?!\1)[^\\])*\1((?:\\.|(?!\1)[^\\])*)\1[0-9gImMp]*e", re.DOTALL)
_SED_TEXTS = re.compile(r"-[nErsuz]*e|--expression")
#: Options whose value is a command, by program: the option, then what is before the command in its value.
_OPTIONS = {
    "tar": re.compile(r"--(?:checkpoint-action=exec|to-command|use-compress-program|rsh-command|info-script)=(.+)"),
    "ssh": re.compile(r"-?o?(?:ProxyCommand|LocalCommand|KnownHostsCommand)[= ](.+)"),
    "git": re.compile(r"alias\.[\w-]+=!(.+)|core\.(?:pager|editor|sshCommand|fsmonitor)=(.+)"),
    "rsync": re.compile(r"--rsh=(.+)"),
}
_OPTIONS["scp"] = _OPTIONS["sftp"] = _OPTIONS["ssh"]
_EDITORS = frozenset(("vim", "vi", "nvim", "ex", "view", "ed"))
_EDITOR_RUNS = re.compile(r"^\+?:?(?:silent )?!(.+)|^\+?:?call system\(['\"](.+)['\"]\)")
_CRONTAB = re.compile(r"/etc/crontab|/etc/cron\.d/[^/]+")
_CRONTAB_OF_USER = re.compile(r"/var/spool/cron/(?:crontabs/)?[^/]+")
_CRON_LINE = re.compile(r"^[ \t]*(?:@\w+|(?:[\d*/,a-zA-Z-]+[ \t]+){4}[\d*/,a-zA-Z-]+)[ \t]+(.+)$", re.MULTILINE)
_UNIT = re.compile(r"/(?:etc|lib|usr/lib|run)/systemd/(?:system|user)/.+\.(?:service|socket|mount|conf)")
_EXEC_LINE = re.compile(r"^\s*Exec\w+\s*=\s*[-@+!:|]*(.+)$", re.MULTILINE)
_APT_HOOK = re.compile(r"/etc/apt/apt\.conf(?:\.d/.+)?")
_HOOK = re.compile(r"(?:Pre|Post)-Invoke[^{;]*\{?\s*\"([^\"]+)\"", re.IGNORECASE)
_UDEV = re.compile(r"/(?:etc|lib|usr/lib)/udev/rules\.d/.+")
_UDEV_RUN = re.compile(r"(?:RUN|PROGRAM)(?:\{\w+\})?\+?=+\"([^\"]+)\"")
_RUN_AS_THEY_ARE = re.compile(
    r"/etc/(?:rc\.local|profile|bash\.bashrc|init\.d/[^/]+|profile\.d/.+|update-motd\.d/.+|cron\.(?:hourly|daily|weekly|"
    r"monthly)/.+|(?:network|dhcp|kernel|apm)/.+\.d/.+)|(?:/root|/home/[^/]+|~)/\.(?:bashrc|profile|bash_profile|"
    r"bash_login|bash_logout|zshrc|zprofile|zshenv|xinitrc)"
)
_TMPFILES = re.compile(r"/(?:etc|run|usr/lib|lib)/tmpfiles\.d/.+\.conf")
_REMOVED_AT_BOOT = re.compile(r"^[rR][!-=~^]*\s+(/\S*)", re.MULTILINE)
_LOGROTATE = re.compile(r"/etc/logrotate\.(?:conf|d/.+)")
_LOGROTATE_SCRIPT = re.compile(
    r"^\s*(?:(?:pre|post)rotate|firstaction|lastaction|preremove)\n(.*?)^\s*endscript", re.MULTILINE | re.DOTALL
)
#: Files, what of them is run, and what stands for the program that does it.
_RUN_IN_PARTS = (
    (_UNIT, _EXEC_LINE, ""),
    (_APT_HOOK, _HOOK, ""),
    (_UDEV, _UDEV_RUN, ""),
    (_LOGROTATE, _LOGROTATE_SCRIPT, ""),
    (_TMPFILES, _REMOVED_AT_BOOT, "rm -rf "),
)
_MAKEFILE = re.compile(r"(?:.*/)?(?:(?:GNU)?[Mm]akefile|[^/]+\.mk)")
_RECIPE = re.compile(r"^\t[-@+]*(.+)$", re.MULTILINE)
_SHEBANG = re.compile(r"\s*#!\s*\S*(?:/|\s)(?:ba|da|k|z)?sh\b")


def carried_texts(argv: Sequence[str]) -> list[str]:
    """Give the commands that a call carries in its options or its program, to be run by a shell."""
    name, words = argv[0], list(argv[1:])
    if name == "sed":
        return [text for program in _sed_programs(words) for text in _sed_commands(program)]
    if name in _EDITORS:
        return [found[1] or found[2] for word in words if (found := _EDITOR_RUNS.search(word))]
    pattern = _OPTIONS.get(name)
    joined = [" ".join(pair) for pair in pairwise(words) if pair[0] in ("-o", "-e")]
    candidates = [*words, *(pair.removeprefix("-o ") for pair in joined if name != "rsync")]
    if name == "git" and "config" in words:  # stored, and run later
        candidates += ["=".join(pair) for pair in pairwise(words)]
    texts = [next(filter(None, found.groups())) for word in candidates if pattern and (found := pattern.search(word))]
    if name == "rsync":
        texts += [pair.removeprefix("-e ") for pair in joined if pair.startswith("-e ")]
    return texts


def _sed_programs(words: list[str]) -> list[str]:
    given = [value for word, value in pairwise(words) if _SED_TEXTS.fullmatch(word)]
    given += [word.partition("=")[2] for word in words if word.startswith("--expression=")]
    return given or [word for word in words if not word.startswith("-")][:1]


def _sed_commands(program: str) -> list[str]:
    replaced = [re.sub(r"\\(.)", r"\1", found[2]) for found in _SED_REPLACES.finditer(program)]
    return [*_SED_RUNS.findall(program), *replaced]


def texts_run_later(path: str, text: str) -> list[str]:
    """Give the commands of a text that something runs once it is in a file: cron, systemd, apt, udev, make, a shell."""
    if _CRONTAB.fullmatch(path):
        return [re.sub(r"^\S+\s+", "", line) for line in _CRON_LINE.findall(text)]
    if _CRONTAB_OF_USER.fullmatch(path):
        return list(_CRON_LINE.findall(text))
    for places, commands, before in _RUN_IN_PARTS:
        if places.fullmatch(path):
            return [before + command for command in commands.findall(text)]
    if _MAKEFILE.fullmatch(path):
        return [re.sub(r"\$\((\w+)\)", r"${\1}", line).replace("$$", "$") for line in _RECIPE.findall(text)]
    return [text] if _RUN_AS_THEY_ARE.fullmatch(path) or _SHEBANG.match(text) else []
