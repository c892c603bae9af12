"""Programs behind two pipes, and spare ones that start before anybody knows what to ask.

Starting an interpreter takes as long as loading our own modules does. The command line therefore starts programs
with the first thing it does (:func:`prepare_spare`), and whoever has a question takes one over (:func:`take_spare`).
Nothing heavy may be imported here: this runs before everything else.
"""

from __future__ import annotations

import os
import signal

from workflow_agent.targets.programs import program_argv

__all__ = ["PipedProgram", "drop_spare", "prepare_spare", "take_spare"]

#: One that looks at a target, and one that reads what file systems hold.
_MODULES = {
    "probe": "workflow_agent.targets.probe_program",
    "walk": "workflow_agent.targets.walk_program",
}


class PipedProgram:
    """A started program: its process, and our ends of the pipes. It learns its target by its first line.

    It dies with the thread that started it (the kernel's parent-death signal belongs to a thread).
    """

    def __init__(self, kind: str) -> None:
        argv = program_argv(_MODULES[kind], str(os.getpid()))
        read_end, self.stdin = os.pipe()
        try:
            self.stdout, write_end = os.pipe()
        except OSError:
            os.close(read_end)
            os.close(self.stdin)
            raise
        try:
            # Not `subprocess`: loading it takes as long as this call saves. A session of its own, because Ctrl-C
            # at the terminal is ours to handle: checks follow a rollback, too.
            self.pid = os.posix_spawn(
                argv[0],
                argv,
                {},  # ours may hold secrets, and who is in the target can read that of a program there
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, read_end, 0),
                    (os.POSIX_SPAWN_DUP2, write_end, 1),
                    (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                ],
                setsid=True,
            )
        except OSError:
            self.close_pipes()
            raise
        finally:
            os.close(read_end)
            os.close(write_end)

    def close_pipes(self) -> None:
        """Let go of it: it ends when its input does."""
        os.close(self.stdin)
        os.close(self.stdout)


_spare: dict[str, list[PipedProgram]] = {kind: [] for kind in _MODULES}


def prepare_spare(count: int = 1, kind: str = "probe") -> None:
    """Start programs for the next `count` who ask for one in this process. Call it from the main thread."""
    while len(_spare[kind]) < count:
        _spare[kind].append(PipedProgram(kind))


def take_spare(kind: str = "probe") -> PipedProgram:
    """Give a spare program, or one that starts now."""
    return _spare[kind].pop(0) if _spare[kind] else PipedProgram(kind)


def drop_spare() -> None:
    """End spare programs that nobody took."""
    for programs in _spare.values():
        while programs:
            program = programs.pop()
            program.close_pipes()
            os.kill(program.pid, signal.SIGKILL)
            os.waitpid(program.pid, 0)
