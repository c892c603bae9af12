"""Commands behind commands: ``sudo``, ``env``, ``xargs``, ``find -exec`` … and shell text given as an argument."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from workflow_agent.model.records import dataclass
from workflow_agent.scripts.policy.carried import carried_texts
from workflow_agent.scripts.policy.containers import CLIENTS, contained_command
from workflow_agent.scripts.policy.essentials import essentials_found
from workflow_agent.scripts.policy.markers import KNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "INTERPRETERS",
    "SHELLS",
    "command_chain",
    "found_by_find",
    "is_interpreter",
    "narrowed_find",
    "program",
    "reads_stdin",
    "shell_texts",
    "shell_words",
]

SHELLS = frozenset(("sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "rbash", "fish"))
#: Programs that run a text which arrives on their standard input.
INTERPRETERS = SHELLS | {"perl", "ruby", "node", "php", "lua", "tclsh"}
_PYTHON = re.compile(r"python[0-9.]*")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_MAX_CHAIN = 12


@dataclass(frozen=True, slots=True)
class _Wrapper:
    """How to find the command behind a command: options that take a value, words before the command."""

    valued: frozenset[str] = frozenset()
    positional: int = 0
    assignments: bool = False


def _wrapper(valued: str = "", positional: int = 0, *, assignments: bool = False) -> _Wrapper:
    return _Wrapper(frozenset(valued.split()), positional, assignments)


_WRAPPERS = {
    "sudo": _wrapper("-u -g -h -p -C -T -R -D -r -t -U --user --group --chdir --host", assignments=True),
    "doas": _wrapper("-u -C"),
    "runuser": _wrapper("-u -g -G --user --group"),
    "env": _wrapper("-u -C --unset --chdir", assignments=True),
    "command": _wrapper(),
    "builtin": _wrapper(),
    "exec": _wrapper("-a"),
    "nohup": _wrapper(),
    "time": _wrapper("-f -o --format --output"),
    "nice": _wrapper("-n --adjustment"),
    "ionice": _wrapper("-c -n --class --classdata"),
    "chrt": _wrapper("", 1),
    "taskset": _wrapper("", 1),
    "timeout": _wrapper("-k -s --kill-after --signal", 1),
    "setsid": _wrapper(),
    "stdbuf": _wrapper("-i -o -e --input --output --error"),
    "flock": _wrapper("-w -E --timeout --conflict-exit-code", 1),
    "xargs": _wrapper("-I -n -P -L -d -E -s -a --max-args --max-procs --delimiter --replace --arg-file"),
    "parallel": _wrapper("-j -n -a --jobs"),
    "busybox": _wrapper(),
    "toybox": _wrapper(),
    "chronic": _wrapper(),
    "fakeroot": _wrapper("-l -f -s -i"),
    "strace": _wrapper("-e -o -p -s"),
    "chroot": _wrapper("", 1),
    "nsenter": _wrapper("-t -S -G"),
    "unshare": _wrapper(),
    "watch": _wrapper("-n --interval -q --equexit"),
    "entr": _wrapper(),
    "hyperfine": _wrapper("-w -r -n --warmup --runs --min-runs"),
    **dict.fromkeys(
        ("gosu", "su-exec", "s6-setuidgid", "setuidgid", "setarch", "faketime", "logsave"), _wrapper("", 1)
    ),
    "setpriv": _wrapper("--reuid --regid --groups --inh-caps --ambient-caps --bounding-set --securebits"),
    "chpst": _wrapper("-u -U -b -e -n -l -m -d -o -p -f -c"),
    "pkexec": _wrapper("--user"),
    "ltrace": _wrapper("-e -o -p -s -n"),
    "valgrind": _wrapper(),
    "xvfb-run": _wrapper("-s -n -e -f -p"),
    "aa-exec": _wrapper("-p -n --profile --namespace"),
    "cgexec": _wrapper("-g"),
    "cpulimit": _wrapper("-l -c --limit"),
    "systemd-cat": _wrapper("-t -p --identifier --priority"),
    "systemd-inhibit": _wrapper(),
    "prlimit": _wrapper(),
    "numactl": _wrapper("-N -m -C -i"),
    "proot": _wrapper("-r -b -w -R"),
    "screen": _wrapper("-S -t -c -s"),
    **dict.fromkeys(
        (
            *("unbuffer", "eatmydata", "dumb-init", "tini", "dbus-run-session", "firejail", "linux32", "linux64"),
            *("run-one", "catchsegv", "torsocks", "proxychains", "proxychains4", "rlwrap", "sem", "ssh-agent"),
        ),
        _wrapper(),
    ),
    "systemd-run": _wrapper("-p -u -E --unit --property --setenv"),
}


def program(word: str) -> str:
    """The name of the program that a command word means: no folder, no marker of an unknown folder."""
    return word.rsplit("/", 1)[-1].rsplit(KNOWN, 1)[-1]


def command_chain(argv: Sequence[str]) -> Iterator[list[str]]:
    """Give the command as written, then each command behind it, names without folders."""
    current = list(argv)
    for _ in range(_MAX_CHAIN):
        while current and _ASSIGNMENT.match(current[0]):
            current.pop(0)
        if not current:
            return
        current[0] = program(current[0])
        yield current
        if current[0] == "find":
            yield from _executed_by_find(current)
            return
        inner = _behind(current)
        if inner is None:
            return
        current = inner


def _behind(argv: list[str]) -> list[str] | None:
    if argv[0] in CLIENTS:
        return contained_command(argv)
    if argv[0] in _OWN_WAYS:
        return _OWN_WAYS[argv[0]](argv)
    wrapper = _WRAPPERS.get(argv[0])
    if wrapper is None or (argv[0] == "command" and argv[1:2] and argv[1] in ("-v", "-V")):
        return None
    index, skipped = 1, 0
    while index < len(argv):
        word = argv[index]
        if word == "--":
            index += 1
            break
        if word.startswith("-") and word != "-":
            if argv[0] == "env" and word in ("-S", "--split-string"):
                return [*" ".join(argv[index + 1 : index + 2]).split(), *argv[index + 2 :]]
            index += 2 if word in wrapper.valued else 1
        elif wrapper.assignments and _ASSIGNMENT.match(word):
            index += 1
        elif skipped < wrapper.positional:
            skipped += 1
            index += 1
        else:
            break
    return argv[index + wrapper.positional - skipped :] if index < len(argv) else []


def _started(argv: list[str]) -> list[str]:
    """``start-stop-daemon --start --exec PROGRAM -- ARGUMENT …``."""
    pairs = pairwise(argv)
    programs = [value for word, value in pairs if word in ("-x", "--exec", "-a", "--startas")]
    rest = argv[argv.index("--") + 1 :] if "--" in argv else []
    return [*programs[-1:], *rest] if programs else []


def _in_coprocess(argv: list[str]) -> list[str]:
    """``coproc COMMAND …``, ``coproc NAME { COMMAND …; }``."""
    return argv[argv.index("{") + 1 :] if "{" in argv[1:3] else argv[1:]


_OWN_WAYS = {"start-stop-daemon": _started, "coproc": _in_coprocess}


def _executed_by_find(argv: list[str]) -> Iterator[list[str]]:
    for start, word in enumerate(argv):
        if word in ("-exec", "-execdir", "-ok", "-okdir"):
            rest = argv[start + 1 :]
            ends = [index for index, item in enumerate(rest) if item in (";", "+")]
            inner = rest[: ends[0]] if ends else rest
            for found in found_by_find(argv) if inner else ():
                yield from command_chain([word.replace("{}", found) for word in inner])


def shell_texts(argv: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Give texts that this command runs as shell script, each with the arguments that it gives them.

    ``sh -c TEXT NAME ARGUMENT …``, ``eval``, ``trap``, ``su -c``, ``watch``.
    """
    name, arguments = argv[0], list(argv[1:])
    if name in SHELLS:
        return _after_c(arguments)
    return [(text, ()) for text in _plain_texts(name, arguments)]


def _plain_texts(name: str, arguments: list[str]) -> list[str]:
    if name == "eval":
        return [" ".join(arguments)]
    if name == "trap":
        words = [word for word in arguments if word != "--"]
        return words[:1] if len(words) > 1 else []
    if name in ("su", "script", "flock", "runuser", "sg", "capsh"):
        return [arguments[i + 1] for i, word in enumerate(arguments[:-1]) if word in ("-c", "--command")]
    if name in ("watch", "entr", "hyperfine"):
        return [" ".join(_behind([name, *arguments]) or [])]
    if name in ("tmux", "screen"):
        return [arguments[-1]] if arguments else []
    return carried_texts([name, *arguments])


_SHELL_VALUED = frozenset(("-o", "+o", "-O", "+O", "--rcfile", "--init-file"))


def _after_c(arguments: list[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Give the text after ``-c``: the first word that is no option, wherever options of the shell stand."""
    options, operands = shell_words(arguments)
    runs_text = any(re.fullmatch(r"-[a-zA-Z]*c[a-zA-Z]*", word) for word in options)
    return [(operands[0], tuple(operands[1:]))] if runs_text and operands else []


def shell_words(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split a shell's arguments into its options and the operands that follow them."""
    index = 0
    while index < len(arguments) and arguments[index].startswith(("-", "+")) and arguments[index] not in ("-", "--"):
        index += 2 if arguments[index] in _SHELL_VALUED else 1
    operands = list(arguments[index:])
    return list(arguments[:index]), operands[1:] if operands[:1] in (["-"], ["--"]) else operands


_STDIN = frozenset(("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"))


def is_interpreter(name: str) -> bool:
    """Say whether a program runs texts that it is given."""
    return name in INTERPRETERS or bool(_PYTHON.fullmatch(name))


def reads_stdin(argv: Sequence[str]) -> bool:
    """Say whether this is an interpreter that takes its program from standard input."""
    name, arguments = argv[0], argv[1:]
    if name in ("source", "."):
        return bool(arguments) and arguments[0] in _STDIN
    if name in ("at", "batch"):  # text that a shell runs later
        return not {"-f", "-c", "-l", "-r", "-d"} & set(arguments)
    if name in SHELLS:
        return _shell_reads_stdin(arguments)
    return is_interpreter(name) and _program_reads_stdin(arguments)


def _shell_reads_stdin(arguments: Sequence[str]) -> bool:
    options, operands = shell_words(arguments)
    text = any(re.fullmatch(r"-[a-zA-Z]*c[a-zA-Z]*", word) for word in options)
    from_stdin = any(re.fullmatch(r"-[a-zA-Z]*s[a-zA-Z]*", word) for word in options)
    return not text and (from_stdin or not operands or operands[0] in _STDIN)


def _program_reads_stdin(arguments: Sequence[str]) -> bool:
    for word in arguments:
        if word in _STDIN:
            return True
        if word in ("-c", "-e", "-m", "-n", "-p", "-r") or not word.startswith("-"):
            return False
    return True


_NARROWING = re.compile(
    r"-(i?name|i?path|i?wholename|i?regex|[acm](min|time)|newer.*|(no)?(user|group)|[ug]id|samefile|empty|size|perm|inum)"
)


def narrowed_find(argv: Sequence[str]) -> tuple[list[str], bool]:
    """Give the roots of a ``find``, and whether a test keeps it from taking everything below them."""
    roots = []
    for word in argv[1:]:
        if word in ("-H", "-L", "-P"):
            continue
        if word.startswith(("-", "(", "!")):
            break
        roots.append(word)
    tests = list(argv[1 + len(roots) :])
    narrowed = any(
        _NARROWING.fullmatch(word) and (not word.endswith("name") or value.strip("*.") != "")
        for word, value in zip(tests, [*tests, ""][1:], strict=True)
    )
    return roots or ["."], narrowed


def found_by_find(argv: Sequence[str]) -> list[str]:
    """Give what a ``find`` gives: its roots, or where tests narrow it a name below each, an essential file if any."""
    roots, narrowed = narrowed_find(argv)
    if not narrowed:
        return roots
    essential = essentials_found(roots, argv[1:])
    return [essential] if essential else [f"{root}/{KNOWN}" for root in roots]
