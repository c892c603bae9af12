"""A probe program that was started before anybody knew what to ask."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from workflow_agent.model.system import Check, CheckStatus
from workflow_agent.targets import spare_program
from workflow_agent.targets.probes import Prober
from workflow_agent.targets.spare_program import PipedProgram, drop_spare, prepare_spare, take_spare
from workflow_agent.targets.walking import walk_beside


def _children() -> set[int]:
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_the_first_prober_takes_the_spare_program_over() -> None:
    before = _children()
    prepare_spare()
    prepare_spare()  # a second one is not needed
    (spare,) = _children() - before
    prober = Prober()
    try:
        (result,) = await prober.check([Check(id="root", kind="file", spec={"path": "/", "type": "directory"})])
        assert result.status is CheckStatus.PASSED
        assert _children() - before == {spare}
    finally:
        await prober.close()
    assert _children() == before


async def test_a_second_prober_starts_a_program_of_its_own() -> None:
    prepare_spare()
    first, second = Prober(), Prober()
    try:
        assert await first.hostname() == await second.hostname() == os.uname().nodename
    finally:
        await first.close()
        await second.close()


async def test_several_are_taken_before_another_starts() -> None:
    before = _children()
    prepare_spare(2)
    spares = _children() - before
    first, second = Prober(), Prober()
    try:
        await first.hostname()
        prepare_spare()  # the one that is left will do
        await second.hostname()
        assert _children() - before == spares
    finally:
        await first.close()
        await second.close()
    assert _children() == before


def test_a_spare_program_that_nobody_took_ends() -> None:
    before = _children()
    prepare_spare()
    assert _children() != before
    drop_spare()
    drop_spare()  # there is none any more
    assert _children() == before


def test_the_first_walk_takes_the_spare_program_over() -> None:
    before = _children()
    prepare_spare(kind="walk")
    prepare_spare()
    spares = _children() - before
    descriptor = os.open("/proc/self/net", os.O_PATH)
    try:
        assert walk_beside(descriptor, [b"/"], ())[b"/"]
        assert len(spares - _children()) == 1
    finally:
        os.close(descriptor)
        drop_spare()
    assert _children() == before


def test_a_program_whose_input_ends_before_it_has_a_target_ends_by_itself() -> None:
    program = take_spare()
    os.close(program.stdin)
    _, status = os.waitpid(program.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert os.read(program.stdout, 1) == b""
    os.close(program.stdout)


def test_a_program_that_cannot_be_started_leaves_no_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    before = _descriptors()
    monkeypatch.setattr(spare_program, "program_argv", lambda *_: ["/no/such/interpreter"])
    with pytest.raises(FileNotFoundError):
        PipedProgram("probe")
    assert _descriptors() == before
