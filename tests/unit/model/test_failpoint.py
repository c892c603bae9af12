from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import workflow_agent
from workflow_agent.model import failpoint as module
from workflow_agent.model.errors import UsageError
from workflow_agent.model.failpoint import VARIABLE, arm, describe, failpoint, known

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(workflow_agent.__file__).parent


@pytest.fixture(autouse=True)
def _disarm() -> Iterator[None]:
    arm(None)
    yield
    arm(None)


def run(spec: str, passages: int) -> subprocess.CompletedProcess[str]:
    code = (
        "from workflow_agent.model.failpoint import failpoint\n"
        f"for i in range({passages}):\n    failpoint('store.commit'); print(i + 1, flush=True)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {VARIABLE: spec},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_unarmed_points_do_nothing() -> None:
    for name in known():
        failpoint(name)


def test_an_armed_error_is_raised_at_its_nth_passage_only() -> None:
    arm("store.commit:3=error")
    failpoint("store.commit")
    failpoint("store.before-commit")
    failpoint("store.commit")

    with pytest.raises(OSError, match=r"store\.commit") as caught:
        failpoint("store.commit")

    assert caught.value.errno == errno.EIO
    failpoint("store.commit")


@pytest.mark.parametrize(("spec", "survived"), [("store.commit", ""), ("store.commit:3=kill", "1\n2\n")])
def test_the_environment_arms_a_kill(spec: str, survived: str) -> None:
    ended = run(spec, 5)

    assert ended.returncode == -9
    assert ended.stdout == survived


def test_a_wrong_variable_is_reported_at_the_first_passage() -> None:
    ended = run("store.comit", 1)

    assert ended.returncode == 1
    assert "there is no failure point `store.comit`" in ended.stderr


@pytest.mark.parametrize("spec", ["store.commit:0", "store.commit=die", "store.commit:x", "=kill", "a b"])
def test_a_malformed_specification_is_refused(spec: str) -> None:
    with pytest.raises(UsageError, match="is written"):
        arm(spec)


def test_an_unknown_name_gives_the_nearest_or_all() -> None:
    with pytest.raises(UsageError) as near:
        arm("store.comit")
    with pytest.raises(UsageError) as far:
        arm("zzz")

    assert near.value.hint == "did you mean `store.commit`?"
    assert far.value.hint is not None
    assert "store.before-close" in far.value.hint


def test_every_name_is_fired_in_exactly_one_place_and_every_fired_name_is_known() -> None:
    fired = [
        name
        for path in SOURCE.rglob("*.py")
        if path != Path(module.__file__)
        for name in re.findall(r"\bfailpoint\(\s*\"([^\"]+)\"", path.read_text(encoding="utf-8"))
    ]

    assert sorted(fired) == sorted(known())


def test_every_name_has_a_description() -> None:
    assert all(len(describe(name)) > 10 for name in known())
