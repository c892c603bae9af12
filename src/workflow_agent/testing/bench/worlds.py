"""Everything of a target that a test must find as it was, and what is left of an integration when it went."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from workflow_agent.model.records import dataclass
from workflow_agent.testing.lab.digest import diff, grown_logs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workflow_agent.testing.lab import FileRecord, LabHost

__all__ = ["GROWING_LOGS", "Left", "World", "left", "lines_apart", "lines_left", "look"]

#: Nothing takes lines out of a log: these get longer whoever removes packages, and are not counted.
GROWING_LOGS = frozenset(
    {"/var/log/apt/history.log", "/var/log/apt/term.log", "/var/log/dpkg.log", "/var/log/alternatives.log"}
)
#: systemd makes and removes the private folders of services there, under another name at each start.
_RESTLESS = re.compile(r"changed: /var/tmp: mtime_ns |\w+: /var/tmp/systemd-private-")
#: A folder whose time alone differs: something in it came or went.
_TIME_ALONE = re.compile(r"changed: (\S+): mtime_ns \d+ -> \d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Files, accounts, packages and processes of a target at one time."""

    files: dict[str, FileRecord]
    users: frozenset[str]
    packages: frozenset[str]
    processes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Counts of what differs from before."""

    added: int
    changed: int
    users: int
    packages: int
    processes: int

    def __str__(self) -> str:
        if not self:
            return "nothing"
        words = [f"{self.added:,} + {self.changed:,} paths"] if self.added or self.changed else []
        for count, word in ((self.users, "user"), (self.packages, "package"), (self.processes, "process")):
            if count:
                plural = "" if count == 1 else "es" if word.endswith("s") else "s"
                words.append(f"{count} {word}{plural}")
        return ", ".join(words)

    def __bool__(self) -> bool:
        return any(asdict(self).values())


def look(host: LabHost) -> World:
    """Read a target; programs of Python are ours, which look."""
    passwd = (host.root / "etc/passwd").read_text(encoding="utf-8").splitlines()
    listing = host.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\\n"]).stdout.splitlines()
    return World(
        files=host.digest(all_anew=False),
        users=frozenset(line.partition(":")[0] for line in passwd),
        packages=frozenset(line.split()[0] for line in listing if line.endswith(" installed")),
        processes=tuple(sorted(one.program for one in host.processes() if "python" not in one.program)),
    )


def lines_left(host: LabHost, before: World, after: World, *, apart: Iterable[str] = ()) -> list[str]:
    """List the paths that differ, but for logs that only grew and what stands below `apart` (others' own data)."""
    grown = GROWING_LOGS & set(grown_logs(host.root, before.files, after.files))
    lines = diff(before.files, after.files)
    lines = [line for line in lines if line.split(": ")[1] not in grown and not _RESTLESS.match(line)]
    return lines_apart(lines, apart)


def lines_apart(lines: Iterable[str], apart: Iterable[str]) -> list[str]:
    """Leave out what stands below `apart`, and the time of a folder in which one of these stands: it may have come."""
    apart = tuple(apart)
    folders = tuple(f"{path.rstrip('/')}/" for path in apart)
    homes = {str(PurePosixPath(path).parent) for path in apart}
    lines = [line for line in lines if not f"{line.split(': ')[1]}/".startswith(folders or ("//",))]
    return [line for line in lines if not ((timed := _TIME_ALONE.fullmatch(line)) and timed[1] in homes)]


def left(host: LabHost, before: World, *, apart: Iterable[str] = ()) -> tuple[Left, list[str]]:
    """Compare a target with what it was: counts, and a line for each thing that differs."""
    after = look(host)
    lines = lines_left(host, before, after, apart=apart)
    added = sum(line.startswith("created: ") for line in lines)
    more = Counter(after.processes) - Counter(before.processes)
    users, packages = after.users - before.users, after.packages - before.packages
    counts = Left(
        added=added,
        changed=len(lines) - added,
        users=len(users),
        packages=len(packages),
        processes=more.total(),
    )
    named = (("user", users), ("package", packages), ("process", more.elements()))
    return counts, [*lines, *(f"new {word}: {name}" for word, names in named for name in sorted(names))]
