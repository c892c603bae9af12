"""A probe program behind two pipes, and spare ones that start before anybody knows what to ask.

Starting an interpreter takes as long as loading our own modules does. The command line therefore starts the program
with the first thing it does (:func:`prepare_spare`), and the prober takes it over when it gets to its first question
(:func:`take_spare`). Nothing heavy may be imported here: this runs before everything else.
"""

from __future__ import annotations

import os
import signal

from workflow_agent.targets.programs import program_argv

__all__ = ["PipedProgram", "drop_spare", "prepare_spare", "take_spare"]

_MODULE = "workflow_agent.targets.probe_program"


class PipedProgram:
    """A started probe program: its process, and our ends of the pipes. It learns its target by its first line.

    It dies with the thread that started it (the kernel's parent-death signal belongs to a thread).
    """

    def __init__(self) -> None:
        argv = program_argv(_MODULE, str(os.getpid()))
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


_spare: list[PipedProgram] = []


def prepare_spare(count: int = 1) -> None:
    """Start programs for the next `count` probers of this process. Call it from the main thread."""
    while len(_spare) < count:
        _spare.append(PipedProgram())


def take_spare() -> PipedProgram:
    """Give the spare program, or one that starts now."""
    return _spare.pop(0) if _spare else PipedProgram()


def drop_spare() -> None:
    """End a spare program that nobody took."""
    while _spare:
        program = _spare.pop()
        program.close_pipes()
        os.kill(program.pid, signal.SIGKILL)
        os.waitpid(program.pid, 0)
