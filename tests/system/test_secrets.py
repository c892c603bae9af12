"""Canaries: values of secrets are searched for in everything that a run leaves, shows and starts."""

from __future__ import annotations

import base64
import json
import os
import stat
import threading
import time
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.system.machine import COMMAND, Answer, Machine
else:
    from machine import COMMAND

pytestmark = [pytest.mark.root, pytest.mark.slow]

TOKEN: Final = "c4nary/T0ken+with space\"and'$quotes"
PASSWORD: Final = "c4nary-Passw0rd-%-of-a-database"
FILE: Final = "/etc/vault-demo/token.json"
ENV: Final = "/etc/default/vault-demo"
LIVE: Final = "/run/vault-demo-password"
PARAMETERS: Final = """
token: {type: string, secret: true, required: true, description: Token.}
password: {type: string, secret: true, description: Password.}
fails: {type: boolean, default: false, description: Whether the script fails at its end.}
"""
SCRIPT: Final = """
set -eu
mkdir -p /opt/vault-demo /etc/vault-demo
path={{ secret('token') }}
stat -c '%a %U %n' "$path" "$(dirname "$path")"
cat "$path"; echo
printf 'in a word: %s.\\n' "$(cat "$path")"
base64 -w 0 <"$path"; echo
printf 'user:%s' "$(cat "$path")" | base64
od -An -v -tx1 "$path" | tr -d ' \\n'; echo
printf 'addressed: c4nary%%2FT0ken%%2Bwith%%20space%%22and%%27%%24quotes\\n'
head -c 9 "$path"; echo; tail -c +10 "$path"; echo
touch /opt/vault-demo/done
{% if parameters.fails %}
cat "$path" >&2
exit 7
{% endif %}
"""
MORE: Final = """
files:
  - path: /etc/vault-demo/token.json
    format: json
    values: {url: "https://user:${{ parameters.token }}@db", token: "${{ parameters.token }}"}
  - path: /etc/default/vault-demo
    format: env
    values: {DEMO_PASSWORD: "${{ parameters.password }}"}
effects:
  - id: live
    kind: declared
    description: The password in a running place
    do: {argv: [sh, -c, "umask 077; cat >/run/vault-demo-password"], stdin: "${{ parameters.password }}"}
    undo: {argv: [rm, -f, /run/vault-demo-password]}
    probe: {argv: [sh, -c, "test ! -e /run/vault-demo-password || echo there"], stdout_contains: there}
"""
SERVICES: Final = """
- name: vault-demo
  exe: /usr/bin/sleep
  argv: [/usr/bin/sleep, infinity]
  environment_file: /etc/default/vault-demo
  sysvinit: false
"""


def spellings(value: str) -> set[bytes]:
    """Give what is searched for; base64 without what depends on the neighbours."""
    data = value.encode()
    inner = {
        base64.b64encode(b"x" * before + data)[(0, 2, 3)[before] : (before + len(data)) * 8 // 6] for before in range(3)
    }
    halves = {data[:9], data[9:]}
    return (
        {data, quote(value, safe="").encode(), json.dumps(value)[1:-1].encode(), data.hex().encode()} | inner | halves
    )


CANARIES: Final = {needle for value in (TOKEN, PASSWORD) for needle in spellings(value)}


def leaks(data: bytes) -> set[bytes]:
    return {needle for needle in CANARIES if needle in data}


def _is_open(folder: Path) -> bool:
    """Tell whether somebody else than root may enter a folder, or one above it."""
    try:
        return all(each.stat().st_mode & 0o077 for each in (folder, *list(folder.parents)[:2]))
    except OSError:
        return False  # gone since


class Watch:
    """Looks at every process of the system, again and again: command lines, and environments of all but the service.

    And at what our command has written so far: the files that it holds open, and its state with the log of the database
    before that is folded into it.
    """

    def __init__(self, state: Path) -> None:
        self.looks = 0
        self.found: set[str] = set()
        self.has_seen_what_is_given = False
        self.has_seen_a_log = False
        self.open_files = 0
        self._state = state
        self._stop = threading.Event()

    @contextmanager
    def looking(self) -> Iterator[Watch]:
        thread = threading.Thread(target=self._look_on)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def _look_on(self) -> None:
        while not self._stop.is_set():
            begun = time.monotonic()
            for entry in os.scandir("/proc"):
                if entry.name.isdigit():
                    self._look_at(Path(entry.path))
            self._look_at_state()
            self.looks += 1
            self._stop.wait(max(0.0, 0.01 - (time.monotonic() - begun)))

    def _look_at_state(self) -> None:
        for folder, folders, names in os.walk(self._state):
            if Path(folder) == self._state / "containers":
                # What a script writes for a container is staged here, as in `/.workflow-agent` of a host.
                self.found |= {f"open to others: {name}" for name in folders if _is_open(Path(folder, name))}
                folders.clear()
            for path in (Path(folder, name) for name in names):
                try:
                    data = path.read_bytes() if path.is_file() else b""
                except OSError:
                    continue  # gone since
                self.has_seen_a_log |= path.name.endswith("-wal") and bool(data)
                if leaks(data):
                    self.found.add(f"state: {path.name}")

    def _look_at_open_files(self, process: Path) -> None:
        """Look at regular files only: to read a pipe would take what is meant for another."""
        for opened in (process / "fd").iterdir():
            try:
                if not stat.S_ISREG(opened.stat().st_mode):
                    continue
                name, data = opened.readlink(), opened.read_bytes()
            except OSError:
                continue
            self.open_files += 1
            if leaks(data):
                self.found.add(f"open: {name}")

    def _look_at(self, process: Path) -> None:
        with suppress(OSError):
            if str(COMMAND).encode() in (process / "cmdline").read_bytes():
                self._look_at_open_files(process)
        for name in ("cmdline", "environ"):
            try:
                data = (process / name).read_bytes()
                if not leaks(data):
                    continue
                line = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            command = b" ".join(line).decode(errors="replace")
            if name == "environ" and command.startswith("/usr/bin/sleep infinity"):
                continue  # the service, whose manifest asks for it
            if name == "environ" and b"GIVEN_TOKEN=" in data and str(COMMAND) in command:
                self.has_seen_what_is_given = True  # what the person gave to the command itself
                continue
            self.found.add(f"{name} of {command[:200]}")


CHECKS: Final = """
- {id: there, kind: file, path: /opt/vault-demo/done}
- {id: private, kind: file, path: /etc/vault-demo/token.json, mode: "0600"}
- {id: runs, kind: process, exe: /usr/bin/sleep}
"""
NAME: Final = "./own/vault-demo"
SECRETS: Final = ("--secret", "token=env:GIVEN_TOKEN", "--secret", "password=-")


def run(machine: Machine, *arguments: str) -> Answer:
    answer = machine.cli(*arguments, stdin=f"{PASSWORD}\n", environ={"GIVEN_TOKEN": TOKEN})
    assert leaks(answer.out.encode()) == set(), str(answer)
    assert leaks(answer.err.encode()) == set(), str(answer)
    return answer


def holding(root: Path) -> list[str]:
    """Name the files below a folder that hold a canary."""
    found = []
    for folder, folders, names in os.walk(root):
        if folder == str(root):
            folders[:] = [name for name in folders if name not in {"proc", "sys", "dev"}]
        for name in names:
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink() and leaks(path.read_bytes()):
                found.append(f"/{path.relative_to(root)}")
    return sorted(found)


def installs(machine: Machine) -> str:
    """Plan, fail, install, find it unchanged, verify; gives the run."""
    machine.integration("vault-demo", SCRIPT, parameters=PARAMETERS, services=SERVICES, more=MORE, checks=CHECKS)
    before = machine.world()
    with Watch(machine.state).looking() as watch:
        planned = run(machine, "plan", NAME, *SECRETS)
        failed = run(machine, "install", NAME, *SECRETS, "--param", "fails=true", "--yes")
        assert (planned.code, failed.code) == (0, 1), f"{planned}{failed}"
        machine.assert_as(before)
        installed = run(machine, "install", NAME, *SECRETS, "--yes", "--events")
        assert installed.code == 0, str(installed)
        assert run(machine, "install", NAME, *SECRETS, "--yes", "--json").data["changed"] is False
        assert run(machine, "verify", NAME, "--json").data["status"] == "succeeded"
    assert watch.looks > 50
    assert watch.has_seen_what_is_given
    assert watch.has_seen_a_log
    assert watch.open_files > 0
    assert watch.found == set()
    return str(json.loads(installed.out.splitlines()[-1])["data"]["run_id"])


def holds_them_where_declared(machine: Machine) -> None:
    root = machine.host.root
    told = json.loads(Path(root, FILE.lstrip("/")).read_text(encoding="utf-8"))
    assert told == {"url": f"https://user:{TOKEN}@db", "token": TOKEN}
    assert Path(root, ENV.lstrip("/")).read_text(encoding="utf-8") == f'DEMO_PASSWORD="{PASSWORD}"\n'
    for path in (FILE, ENV):
        status = Path(root, path.lstrip("/")).stat()
        assert (status.st_mode & 0o7777, status.st_uid) == (0o600, 0)
    assert machine.host.run(["cat", LIVE]).stdout == PASSWORD
    assert holding(root) == sorted([ENV, FILE, LIVE])
    assert holding(machine.state) == []


def shows_nothing(machine: Machine, run_id: str) -> None:
    for arguments in (
        ("show", run_id),
        ("show", run_id, "--json"),
        ("logs", run_id),
        ("logs", run_id, "--json"),
        ("diff", run_id),
        ("diff", run_id, "--json"),
        ("history", "--json"),
        ("history",),
        ("history", "--integration", "vault-demo"),
        ("history", "--integration", "vault-demo", "--json"),
        ("verify", NAME),
    ):
        answer = run(machine, *arguments)
        assert answer.code == 0, str(answer)
    run(machine, "doctor", "--json")
    logs = run(machine, "logs", run_id).out
    assert "in a word: ***." in logs
    assert "600 root /run/workflow-agent/secrets/token" in logs
    assert "700 root /run/workflow-agent/secrets" in logs
    assert "addressed: ***" in logs
    parameters = run(machine, "show", run_id, "--json").data["generation"]["parameters"]
    assert parameters["token"]["$secret"] == "token"


def needs_them_again(machine: Machine) -> None:
    """A repair writes the file anew; without the values it says which one it needs, and changes nothing."""
    path = Path(machine.host.root, FILE.lstrip("/"))
    aside = path.with_name("aside")
    path.rename(aside)
    lacking = machine.json("repair", NAME, "--yes")
    assert (lacking.code, path.exists()) == (2, False), str(lacking)
    assert "--secret" in lacking.error["hint"]
    assert run(machine, "repair", NAME, *SECRETS, "--yes", "--json").data["changed"] is True
    assert TOKEN in json.loads(path.read_text(encoding="utf-8"))["token"]
    assert run(machine, "rollback", *SECRETS[-2:], "--yes", "--json").data["status"] == "succeeded"
    assert not path.exists()
    aside.rename(path)


def takes_them_away(machine: Machine, run_id: str) -> None:
    rolled = machine.json("rollback", run_id, "--yes")
    assert rolled.code == 0, str(rolled)
    assert leaks(rolled.out.encode()) == set()
    root = machine.host.root
    # What is kept for doing it again, in the folder that only root may enter.
    assert [path for path in holding(root) if not path.startswith("/.workflow-agent/")] == []
    assert not Path(root, LIVE.lstrip("/")).exists()
    assert holding(machine.state) == []
    kept = Path(root, ".workflow-agent").stat()
    assert (kept.st_mode & 0o7777, kept.st_uid) == (0o700, 0)


@pytest.mark.parametrize("kind", ["plain", pytest.param("docker-plain", marks=pytest.mark.long)])
def test_values_go_where_they_are_meant_to_and_nowhere_else(
    machines: Callable[..., AbstractContextManager[Machine]], kind: str
) -> None:
    with machines(kind) as machine:
        run_id = installs(machine)
        holds_them_where_declared(machine)
        shows_nothing(machine, run_id)
        needs_them_again(machine)
        takes_them_away(machine, run_id)
