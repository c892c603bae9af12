"""Completion in the shells themselves: what a person types, and what appears after TAB."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

pytestmark = pytest.mark.slow

_DEADLINE_S = 60.0
_PROGRAMS = str(Path(sys.executable).parent)
_TAB = "\t"


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


class Shell:
    """An interactive shell on a terminal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def wait_for(self, pattern: str) -> str:
        """Read until the screen shows what matches; gives everything since the last time."""
        end = time.monotonic() + _DEADLINE_S
        while re.search(pattern, self.seen) is None:
            assert time.monotonic() < end, f"{pattern!r} was not seen in {self.seen!r}"
            if select.select([self._descriptor], [], [], 0.2)[0]:
                # how a cursor moves is no text
                self.seen += re.sub(
                    r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x07", "", os.read(self._descriptor, 65536).decode()
                )
        found, self.seen = self.seen, ""
        return found


@contextmanager
def interactive(argv: Sequence[str], folder: Path) -> Iterator[Shell]:
    screen, theirs = pty.openpty()
    environment = {
        "PATH": f"{_PROGRAMS}:{os.environ['PATH']}",
        "HOME": str(folder),
        "TERM": "dumb",
        "COLUMNS": "160",
        "LINES": "50",
        "LANG": "C.UTF-8",
        "INPUTRC": "/dev/null",
        "WORKFLOW_AGENT_PATHS__STATE": str(folder / "state"),
        "WORKFLOW_AGENT_PATHS__CONFIG": str(folder / "config"),
    }
    process = subprocess.Popen(
        argv, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=folder, start_new_session=True
    )
    os.close(theirs)
    try:
        yield Shell(screen)
    finally:
        process.kill()
        process.wait()
        os.close(screen)


def begin(shell: Shell, *lines: str) -> None:
    """Load the completion; the prompt shows when the shell is ready."""
    shell.type("PS1='READY''> '\n")
    shell.wait_for("READY> $")
    for line in lines:
        shell.type(f"{line}\n")
        shell.wait_for("READY> $")


#: What is typed before TAB, and what the line is then.
_COMPLETED = [
    ("workflow-agent inst", "workflow-agent install "),
    ("workflow-agent install ngi", "workflow-agent install nginx "),
    ("workflow-agent install nginx --param server_t", "--param server_tokens="),
    ("workflow-agent install nginx --param=server_t", "--param=server_tokens="),
    ("workflow-agent history --status fai", "--status failed "),
    ("workflow-agent workflows show uninst", "workflows show uninstall "),
    ("workflow-agent plan --target doc", "--target docker:"),
    ("workflow-agent validate ./a-f", "validate ./a-file.yaml"),
]


def assert_completed(shell: Shell) -> None:
    for typed, line in _COMPLETED:
        shell.type(typed + _TAB)
        shell.wait_for(re.escape(line))
        shell.type("\x15")
    shell.type("workflow-agent integrations " + _TAB + _TAB)
    shell.wait_for(r"(?s)(?=.*\binfo\b)(?=.*\blint\b)(?=.*\blist\b)")  # they come in pieces, in any order


def test_bash(tmp_path: Path) -> None:
    (tmp_path / "a-file.yaml").touch()
    with interactive([program("bash"), "--norc", "--noprofile", "-i"], tmp_path) as shell:
        begin(shell, "bind 'set enable-bracketed-paste off'", 'eval "$(workflow-agent completion bash)"')
        assert_completed(shell)


def test_zsh(tmp_path: Path) -> None:
    (tmp_path / "a-file.yaml").touch()
    with interactive([program("zsh"), "-f", "-i"], tmp_path) as shell:
        begin(shell, "unsetopt zle_bracketed_paste prompt_sp; autoload -Uz compinit; compinit -u -D")
        begin(shell, 'eval "$(workflow-agent completion zsh)"')
        assert_completed(shell)


def test_fish(tmp_path: Path) -> None:
    """Fish tells by itself what it would offer."""
    (tmp_path / "a-file.yaml").touch()
    script = 'workflow-agent completion fish | source; for line in $argv; complete -C "$line"; echo ---; end'
    lines = [typed for typed, _ in _COMPLETED]
    done = subprocess.run(
        [program("fish"), "--no-config", "-c", script, "--", *lines],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{_PROGRAMS}:{os.environ['PATH']}", "HOME": str(tmp_path)},
    )
    offered = [[line.partition("\t")[0] for line in part.splitlines() if line] for part in done.stdout.split("---\n")]

    assert done.stderr == ""
    assert len(offered) == len(lines) + 1
    for (_, line), words in zip(_COMPLETED, offered, strict=False):
        assert any(line.rstrip().endswith(word.rpartition("/")[2]) for word in words), (line, words)
        assert len(words) == 1
