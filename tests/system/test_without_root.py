"""A person without root: what lies in their home folder is changed by transactions, and nothing else is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import workflow_agent
from workflow_agent.testing.escapes import ESCAPES, HOME_ESCAPES, tries
from workflow_agent.testing.lab import FileRecord, diff, digest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.root, pytest.mark.slow]

UID, OTHER = 43210, 43211
#: Namespaces of people without root are turned off for whoever runs this, as a distribution may do for all.
TURNED_OFF = """
import ctypes, os, sys
ready, go = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    assert ctypes.CDLL(None).unshare(0x10000000) == 0
    os.write(ready[1], b"x")
    os.read(go[0], 1)
    with open("/proc/sys/user/max_user_namespaces", "w") as stream:
        stream.write("0")
    os.execvp(sys.argv[1], sys.argv[1:])
os.read(ready[0], 1)
for name in ("uid_map", "gid_map"):
    with open(f"/proc/{child}/{name}", "w") as stream:
        stream.write("0 0 65536")
os.write(go[1], b"x")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
SETUP = """\
#!/bin/bash
set -eu
test "$(id -u)" = 43210
test "$(pwd)" = "$HOME"
tar -xf ~/tool.tar -C ~
mkdir -p ~/.local/bin
ln -s ~/tool/run ~/.local/bin/tool
echo 'alias t=tool' >>~/.bashrc
rm -r ~/old
mv ~/notes ~/papers
chmod 600 ~/one
systemctl --user daemon-reload
tool
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody without root, and their home folder."""

    uid: int
    home: Path
    interpreter: str

    def run(self, *arguments: str, off: bool = False, **more: str) -> subprocess.CompletedProcess[str]:
        become = ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups", "env", "-i"]
        variables = {
            "PATH": f"/usr/bin:/bin:{sysconfig.get_path('scripts')}",  # for shellcheck, where the system has none
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": python_path(),
            **more,
        }
        command = [*become, *(f"{name}={value}" for name, value in variables.items()), self.interpreter]
        command += ["-m", "workflow_agent", *arguments]
        if off:
            command = [sys.executable, "-c", TURNED_OFF, *command]
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, cwd=self.home)

    def json(self, *arguments: str, off: bool = False) -> dict[str, Any]:
        answer = self.run(*arguments, "--json", off=off)
        assert answer.stdout.count("\n") == 1, f"{answer.stdout!r} {answer.stderr!r}"
        found: dict[str, Any] = json.loads(answer.stdout)
        return found

    def own(self, path: str, text: str) -> Path:
        """Write a file of theirs."""
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        for one in (file, *file.parents):
            if one.is_relative_to(self.home):
                os.chown(one, self.uid, self.uid)
        return file

    def world(self) -> dict[str, FileRecord]:
        """Give everything in the home folder but what the command keeps there."""
        ours = (".workflow-agent", ".local/state/workflow-agent")
        found = digest(self.home)
        return {path: one for path, one in found.items() if not path.lstrip("/").startswith(ours)}


def python_path() -> str:
    source = Path(workflow_agent.__file__).resolve().parents[1]
    return os.pathsep.join([str(source), sysconfig.get_path("purelib")])


def interpreter() -> str:
    """Give a Python that somebody without root can start and that has what we need."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    look = "import subprocess, sys, workflow_agent.app; sys.exit(subprocess.call([sys.executable, '-c', '']))"
    for path in (sys.executable, f"/usr/bin/python{version}", "/usr/bin/python3"):
        become = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "env", f"PYTHONPATH={python_path()}"]
        done = subprocess.run([*become, path, "-c", look], check=False, capture_output=True, cwd="/")
        if done.returncode == 0:
            return path
    pytest.skip("no Python here can be started without root")


@pytest.fixture(scope="module")
def homes() -> Iterator[Path]:
    """Give a folder on an ext4 disk of its own that everybody may enter."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))
    folder.chmod(0o755)
    image, place = folder / "disk", folder / "homes"
    place.mkdir()
    with image.open("wb") as stream:
        stream.truncate(128 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
        shutil.rmtree(folder)


def person(homes: Path, name: str, uid: int) -> Person:
    home = homes / name
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(mode=0o700)
    os.chown(home, uid, uid)
    found = Person(uid=uid, home=home, interpreter=interpreter())
    for path, text in {".bashrc": "# mine\n", "notes/a": "a\n", "old/b/c": "c\n", "one": "1\n"}.items():
        found.own(path, text)
    tool = home / "src" / "tool"
    tool.mkdir(parents=True)
    (tool / "run").write_text("#!/bin/sh\necho the tool runs\n", encoding="utf-8")
    (tool / "run").chmod(0o755)
    subprocess.run(["tar", "-cf", str(home / "tool.tar"), "-C", str(home / "src"), "tool"], check=True)
    shutil.rmtree(home / "src")
    os.chown(home / "tool.tar", uid, uid)
    return found


@pytest.fixture
def ada(homes: Path) -> Person:
    made = person(homes, "ada", UID)
    made.own("nothing.sh", "true\n")
    assert made.json("apply", "nothing.sh", "--yes")["ok"]  # makes the folder of the database
    return made


def test_an_installer_in_the_home_folder_is_previewed_applied_and_taken_back_exactly(ada: Person) -> None:
    ada.own("setup.sh", SETUP)
    before = ada.world()

    planned = ada.json("apply", "setup.sh", "--plan")
    assert planned["ok"], planned
    assert diff(before, ada.world()) == []
    assert any(
        f"only what lies in {ada.home} can be changed" in note for note in planned["data"]["change_set"]["notes"]
    )
    assert planned["data"]["tier"] == "exact"
    looks = {look["check"]: look for look in ada.json("doctor")["data"]["items"]}
    assert looks["capture"]["observed"].startswith("overlay mounts work in your home folder")

    done = ada.json("apply", "setup.sh", "--yes")
    assert done["ok"], done
    ran = subprocess.run([str(ada.home / ".local/bin/tool")], check=True, capture_output=True, text=True)
    assert ran.stdout == "the tool runs\n"
    assert (ada.home / ".bashrc").read_text(encoding="utf-8") == "# mine\nalias t=tool\n"
    assert not (ada.home / "old").exists()
    owners = {entry.stat(follow_symlinks=False).st_uid for entry in os.scandir(ada.home)}
    assert owners == {UID}

    assert ada.json("rollback", "--yes")["ok"]
    assert diff(before, ada.world()) == []


@pytest.mark.parametrize("point", ["transaction.commit.operation:3", "transaction.committed"])
def test_what_was_killed_in_a_commit_is_taken_back_by_the_next_command(ada: Person, point: str) -> None:
    ada.own("setup.sh", SETUP)
    before = ada.world()

    killed = ada.run("apply", "setup.sh", "--yes", WORKFLOW_AGENT_FAILPOINT=f"{point}=kill")
    assert killed.returncode == -9, killed.stderr
    assert diff(before, ada.world()) != []

    assert ada.json("apply", "nothing.sh", "--yes")["ok"]
    assert diff(before, ada.world()) == []


def test_what_root_would_be_needed_for_is_refused_to_the_script_as_it_is_outside(ada: Person) -> None:
    commands = ["touch /etc/foo", "mkdir /usr/local/foo", "rm /etc/hostname", "cat /etc/shadow", "ls /root"]
    ada.own("no.sh", "".join(f"{command} || true\n" for command in commands) + "id -u >~/who\n")

    done = ada.json("apply", "no.sh", "--yes")
    output = ada.run("logs", done["data"]["run_id"]).stdout
    denied = [line for line in output.splitlines() if "Permission denied" in line]
    assert len(denied) == len(commands), output
    assert (ada.home / "who").read_text(encoding="utf-8") == f"{UID}\n"


#: Run by the person: what they capture is printed, and thrown away.
CAPTURE = """
import asyncio, sys
from workflow_agent.targets.home import HomeTarget
from workflow_agent.testing.transactions import shell_script
async def main():
    target = HomeTarget()
    await target.acquire("ways")
    try:
        script = shell_script(sys.stdin.read())
        told = lambda line: print(line, flush=True)
        transaction, _ = await target.prepare("ways", script, timeout_s=100, on_output=told)
        await target.discard(transaction)
    finally:
        await target.close()
asyncio.run(main())
"""
MARK = "a-process-outside"
#: Those that harm nobody where they work: outside, without a capture, they have to.
OPEN_OUTSIDE = ["memory of the machine", "files of others in tmp", "own processes", "a signal to all"]


@pytest.fixture
def outside(ada: Person) -> Iterator[None]:
    """Something of the machine's, and a process of the person's own."""
    places = [Path("/run/host-canary"), Path("/tmp/host-canary")]
    for place in places:
        place.write_text("host", encoding="ascii")
    become = ["setpriv", f"--reuid={ada.uid}", f"--regid={ada.uid}", "--clear-groups"]
    with subprocess.Popen([*become, "bash", "-c", f"exec -a {MARK} sleep 1000"]) as process:
        try:
            while MARK not in Path(f"/proc/{process.pid}/cmdline").read_text(encoding="ascii"):
                pass
            yield
        finally:
            process.kill()
            for place in places:
                place.unlink()


def _tried(ada: Person, command: list[str], lines: list[str]) -> list[str]:
    become = ["setpriv", f"--reuid={ada.uid}", f"--regid={ada.uid}", "--clear-groups", "env", "-i"]
    variables = {"PATH": "/usr/bin:/bin", "HOME": str(ada.home), "PYTHONPATH": python_path()}
    command = [*become, *(f"{name}={value}" for name, value in variables.items()), *command]
    text = "\n".join([*lines, "echo all tried"]).replace(
        "MARK", f"{MARK[:-1]}[{MARK[-1]}]"
    )  # which does not match itself
    done = subprocess.run(command, input=text, check=False, capture_output=True, text=True, timeout=150, cwd=ada.home)
    said = done.stdout.splitlines()
    assert said[-1:] == ["all tried"], done.stderr
    return said[:-1]


@pytest.mark.usefixtures("outside")
def test_no_way_out_of_a_capture_without_root_is_open(ada: Person) -> None:
    before = ada.world()
    # outside bash runs what stands on its command line, where the mark would be
    control = _tried(ada, ["bash", "-s"], tries(OPEN_OUTSIDE, HOME_ESCAPES))
    lines = [*tries(ESCAPES), *tries(HOME_ESCAPES, HOME_ESCAPES)]
    said = _tried(ada, [ada.interpreter, "-c", CAPTURE], lines)

    assert control == [f"OPEN {name}" for name in OPEN_OUTSIDE], "a way that works nowhere would prove nothing"
    assert len(lines) >= 60
    assert [line for line in said if line.startswith("OPEN")] == []
    assert diff(before, ada.world()) == []
    assert not Path("/tmp/escaped").exists()
    assert not Path("/etc/escaped").exists()


def test_what_may_be_written_elsewhere_is_refused_by_name(ada: Person) -> None:
    place = Path(tempfile.mkdtemp(dir="/srv"))
    os.chown(place, UID, UID)
    try:
        ada.own("out.sh", f"echo a >{place}/mine\necho b >~/fine\n")
        before = ada.world()
        answer = ada.json("apply", "out.sh", "--yes")
        assert answer["error"]["cause"] == f"the script changed what lies outside the home folder: {place}/mine"
        assert "run it as root" in answer["error"]["hint"]
        assert answer["error"]["state"] == "nothing was changed"
        assert list(place.iterdir()) == []
        assert diff(before, ada.world()) == []
    finally:
        shutil.rmtree(place)


def test_the_state_of_the_command_is_hidden_from_scripts(ada: Person) -> None:
    ada.own("look.sh", "ls -A ~/.workflow-agent ~/.local/state/workflow-agent\nrm -rf ~/.local/state || true\n")
    assert ada.json("apply", "look.sh", "--yes")["ok"]
    assert ada.json("history")["ok"]
    assert (ada.home / ".local/state/workflow-agent/workflow-agent.db").exists()


def test_a_file_with_two_names_is_changed_through_both_or_refused(ada: Person) -> None:
    (ada.home / "two").hardlink_to(ada.home / "one")
    ada.own("write.sh", "echo more >>~/one\n")
    ada.own("link.sh", "chmod 640 ~/one\n")
    before = ada.world()

    refused = ada.json("apply", "write.sh", "--yes")
    assert refused["error"]["cause"] == f"its other names: {ada.home}/two"

    assert ada.json("apply", "link.sh", "--yes")["ok"]
    assert (ada.home / "two").stat().st_mode & 0o777 == 0o640
    assert (ada.home / "two").samefile(ada.home / "one")
    assert ada.json("rollback", "--yes")["ok"]
    assert diff(before, ada.world()) == []


def test_a_folder_that_is_closed_even_to_its_owner_is_left_alone_and_one_that_a_script_makes_is_refused(
    ada: Person,
) -> None:
    closed = ada.home / "closed"
    closed.mkdir(mode=0o000)
    os.chown(closed, UID, UID)
    ada.own("fine.sh", "echo hi >~/hi\n")
    ada.own("shut.sh", "mkdir -m 000 ~/shut\n")
    before = ada.world()

    assert ada.json("apply", "fine.sh", "--yes")["ok"]
    assert ada.json("rollback", "--yes")["ok"]
    refused = ada.json("apply", "shut.sh", "--yes")
    assert "Permission denied" in refused["error"]["cause"]
    assert "shut" in refused["error"]["cause"]
    assert diff(before, ada.world()) == []
    kept = [path for path in (ada.home / ".workflow-agent" / "tx").iterdir() if path.name != "lock"]
    assert len(kept) == 1, "of what was refused nothing is kept"


def test_each_person_has_transactions_of_their_own(ada: Person, homes: Path) -> None:
    bob = person(homes, "bob", OTHER)
    bob.own("b.sh", "echo b >~/b\n")
    assert bob.json("apply", "b.sh", "--yes")["ok"]
    before = {path.name for path in (bob.home / ".workflow-agent" / "tx").iterdir()}
    ada.own("a.sh", f"echo a >~/a\nls {bob.home} || true\n")
    assert ada.json("apply", "a.sh", "--yes")["ok"]
    assert ada.json("rollback", "--yes")["ok"]
    assert {path.name for path in (bob.home / ".workflow-agent" / "tx").iterdir()} == before
    assert bob.json("rollback", "--yes")["ok"]
    assert not (bob.home / "b").exists()
    assert (homes / "ada" / ".workflow-agent").stat().st_mode & 0o777 == 0o700


def test_without_user_namespaces_the_tier_that_remains_is_said(ada: Person) -> None:
    ada.own("a.sh", "echo a >~/a\n")
    before = ada.world()

    refused = ada.json("apply", "a.sh", "--plan", off=True)
    assert "the tier is logical" in refused["error"]["message"]
    assert "max_user_namespaces" in refused["error"]["cause"]
    looks = {look["check"]: look for look in ada.json("doctor", off=True)["data"]["items"]}
    assert looks["capture"]["status"] == "fail"
    assert looks["capture"]["observed"].startswith("tier logical: people without root get no user namespace")
    assert diff(before, ada.world()) == []


def test_pip_installs_for_one_person_and_is_taken_back(ada: Person) -> None:
    with suppress(FileNotFoundError):
        has_pip = subprocess.run(["/usr/bin/python3", "-m", "pip", "--version"], check=False, capture_output=True)
        if has_pip.returncode != 0:
            pytest.skip("the system's Python has no pip")
    wheel = ada.home / "hello_ada-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        about = "hello_ada-1.0.dist-info"
        archive.writestr("hello_ada.py", "def main():\n    print('hello ada')\n")
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: hello-ada\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/entry_points.txt", "[console_scripts]\nhello-ada = hello_ada:main\n")
        archive.writestr(f"{about}/RECORD", "")
    os.chown(wheel, UID, UID)
    ada.own(
        "pip.sh", f"PIP_BREAK_SYSTEM_PACKAGES=1 /usr/bin/python3 -m pip install --user --no-index {wheel}\nhello-ada\n"
    )
    before = ada.world()
    done = ada.json("apply", "pip.sh", "--yes")
    assert done["ok"], done
    assert (ada.home / ".local/bin/hello-ada").exists()
    assert ada.json("rollback", "--yes")["ok"]
    assert diff(before, ada.world()) == []


_INTEGRATION = """\
schema: workflow-agent/integration/1
name: greeter
version: 1.0.0
description: Greets.
category: other
platforms: [{{family: debian, os: [debian], releases: ["12"]}}]
actions:
  install: {{template: install}}
  uninstall: {{template: uninstall}}
files:
  - {{path: {config}, format: text, content: "hello\\n"}}
checks:
  - {{id: runs, kind: command, argv: [{home}/.local/greeter/tool/run], stdout_contains: tool, description: It runs.}}
negative_checks:
  - {{id: gone, kind: file, path: {home}/.local/greeter, exists: false, description: Its files are gone.}}
documentation:
  - {{title: Home page, url: "https://example.org/greeter"}}
"""
_TEMPLATES = {
    "install": "mkdir -p ~/.local/greeter\ntar -xf ~/tool.tar -C ~/.local/greeter\n",
    "uninstall": "rm -r ~/.local/greeter\n",
}


def integration(ada: Person, config: str, more: str = "") -> str:
    """Write an integration of theirs; gives its folder."""
    text = _INTEGRATION.format(config=config, home=ada.home)
    ada.own("greeter/integration.yaml", text.replace("checks:\n", f"{more}checks:\n", 1))
    for name, script in _TEMPLATES.items():
        ada.own(f"greeter/templates/{name}.sh.j2", script)
    return "./greeter"


def test_an_integration_in_the_home_folder_is_installed_verified_and_taken_back(ada: Person) -> None:
    folder = integration(ada, f"{ada.home}/.config/greeter.conf")
    before = ada.world()

    done = ada.json("install", folder, "--yes")

    assert done["ok"], done
    config = ada.home / ".config/greeter.conf"
    assert (config.read_text(), config.stat().st_uid, config.stat().st_gid) == ("hello\n", UID, UID)
    assert ada.json("verify", "greeter")["ok"]
    again = ada.json("install", folder, "--yes")
    assert (again["ok"], again["data"]["changed"]) == (True, False)
    assert ada.json("rollback", "--yes")["ok"]
    assert diff(before, ada.world()) == []


def test_what_needs_root_is_said_before_anything_is_run(ada: Person) -> None:
    service = "services:\n  - {name: greeter, exe: /usr/bin/greeter, argv: [/usr/bin/greeter], user: root}\n"
    for config, more, reason in (
        ("/etc/greeter.conf", "", "it writes /etc/greeter.conf"),
        (f"{ada.home}/x", service, "it starts greeter as root"),
    ):
        answer = ada.json("install", integration(ada, config, more), "--yes")
        assert answer["error"]["details"]["needs_root"] == [reason]
    before = ada.world()
    for verb in ("install", "plan"):
        told = ada.run(verb, "prometheus-node-exporter", *(("--yes",) if verb == "install" else ()))
        assert told.returncode == 4, told.stderr
        assert "it changes packages of the system; it writes /etc/default/prometheus-node-exporter" in told.stderr
        assert "state: nothing was run, and nothing was changed" in told.stderr
        assert "hint: run the command as root, for example with `sudo`" in told.stderr
    assert diff(before, ada.world()) == []
