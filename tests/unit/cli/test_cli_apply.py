"""`apply` as it is typed: where the script comes from, what is refused before a run begins, how its plan reads."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.cli.applied import planned_apply
from workflow_agent.cli.run_view import ending_lines, history_lines, run_lines
from workflow_agent.cli.script_input import read_script
from workflow_agent.cli.session import Ended
from workflow_agent.cli.style import style_for
from workflow_agent.model.errors import PermissionDeniedError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable

GOOD = "#!/bin/sh\necho hi\n"


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with scripts, in which commands are typed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.sh").write_text(GOOD, encoding="utf-8")
    (tmp_path / "crlf.sh").write_bytes(b"echo\r\n")


@pytest.mark.parametrize(
    ("typed", "code", "said", "hint"),
    [
        (["nowhere"], 5, "no file `nowhere`", "workflow-agent install NAME"),
        (["./nowhere.sh"], 5, "no file", ""),
        (["."], 2, "is a folder", "workflow-agent install ."),
        (["good.sh/x"], 2, "cannot be read", ""),
        (["good.sh", "other.sh"], 2, "`other.sh` is one word too many", "apply good.sh -- other.sh"),
        (["good.sh", "x", "--", "y"], 2, "`x` is one word too many", "-- x y"),
        (["crlf.sh"], 2, "Windows line ends", "sed"),
        (["good.sh", "--", "a\udcff"], 2, "argument", ""),
        (["good.sh", "--check"], 2, "belongs to a plan", "--plan"),
        (["good.sh"], 2, "nobody can be asked whether to apply", "look first with `--plan`"),
        ([], 2, "missing argument", "--help"),
    ],
)
@pytest.mark.usefixtures("scripts")
def test_what_cannot_be_meant_is_refused_before_anything_is_begun(
    cli: Callable[..., Any], typed: list[str], code: int, said: str, hint: str
) -> None:
    result = cli("apply", *typed)

    assert result.code == code
    assert said in result.err
    assert hint in result.err
    assert "Traceback" not in result.err
    assert not Path(os.environ["WORKFLOW_AGENT_PATHS__STATE"]).exists()


def test_a_script_is_read_from_a_file_or_a_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.sh").write_text(GOOD, encoding="utf-8")
    assert read_script(str(tmp_path / "a.sh"), []) == ("a.sh", GOOD)

    end, other = os.pipe()
    os.write(other, GOOD.encode())
    os.close(other)
    with os.fdopen(end) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        assert read_script("-", []) == ("stdin", GOOD)


def test_a_named_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    """As `apply <(curl ...)` gives it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["sh", "-c", 'printf "$1" >"$2"', "sh", GOOD, str(pipe)]):
        assert read_script(str(pipe), []) == ("pipe", GOOD)


def test_a_device_without_an_end_is_too_large() -> None:
    with pytest.raises(ValidationError, match="too large"):
        read_script("/dev/zero", [])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.sh").write_text(GOOD, encoding="utf-8")
    (tmp_path / "a.sh").chmod(0)
    with pytest.raises(PermissionDeniedError, match="may not be read"):
        read_script(str(tmp_path / "a.sh"), [])


def outputs(**requested: Any) -> dict[str, Any]:
    provenance = {"integration": None, "template": "setup.sh"}
    change = {"path": "/srv/x", "action": "created", "kind": "file"}
    reply = {"facts": {"target": "host", "tier": "exact"}, "services": [], "restarts": [], "left": [], "pending": True}
    return {
        "take": {"script": {"hash": "abc", "provenance": provenance}},
        "validate": {"findings": []},
        "prepare": {"change_set": {"changes": [change], "bytes_added": 3}},
        "requested": reply | requested,
    }


def test_its_plan_tells_what_is_started_restarted_and_not_done() -> None:
    left = [{"verb": "start", "unit": "x", "reason": "the target has no such service", "command": "systemctl start x"}]
    ended = Ended(run_id="r-1", outputs=outputs(services=[{"name": "a"}, {"name": "b"}], restarts=["b"], left=left))

    plan, pending, write = planned_apply(ended)
    text = "\n".join(write(style_for(io.StringIO(), {})))

    assert pending
    assert (plan["script"], plan["hash"], plan["target"]) == ("setup.sh", "abc", "host")
    assert text.startswith("setup.sh on host\n")
    assert "  starts     a\n  restarts   b\n  not done   `systemctl start x`: the target has no such service\n" in text
    assert "    + /srv/x" in text


def test_a_plan_that_never_came_to_its_script_is_empty() -> None:
    plan, pending, _ = planned_apply(Ended(run_id="r-1"))

    assert (plan["change_set"], plan["script"], pending) == (None, None, False)


def run(**more: Any) -> dict[str, Any]:
    script = {"name": "setup.sh", "hash": "abc", "interpreter": "/bin/bash -e", "arguments": ["x"]}
    left = [{"command": "systemctl start x", "reason": "the target has no such service"}]
    base = {"run_id": "r-1", "action": "apply", "workflow": "apply", "target": "host", "status": "succeeded"}
    about = {"script": script, "started": ["a"], "left": left, "changed": True, "changes": {"created": 1}}
    return base | about | more


def test_its_end_and_its_page_name_the_script_and_what_became_of_services() -> None:
    style = style_for(io.StringIO(), {})
    end, page = "\n".join(ending_lines(run(), style)), "\n".join(run_lines(run(), style))

    for text in (end, page):
        assert "apply setup.sh on host" in text
        assert "  started   a\n  not done  `systemctl start x`: the target has no such service" in text
    assert "  script    /bin/bash -e setup.sh x, sha256 abc" in page
    assert "not done" not in "\n".join(ending_lines(run(status="rolled-back", started=[]), style))


def test_a_script_that_changes_nothing_says_so() -> None:
    text = "\n".join(ending_lines(run(changed=False, changes={}, started=[]), style_for(io.StringIO(), {})))

    assert "nothing: everything is as the script wants it" in text


def test_history_lists_it_by_its_name() -> None:
    listed = run(inputs={"name": "setup.sh"}, integration=None, created_at=0.0, user="u")
    del listed["script"]

    assert "setup.sh" in "\n".join(history_lines([listed], style_for(io.StringIO(), {})))


def test_records_that_accounts_tell_come_last_unless_they_go_or_open_up() -> None:
    def change(path: str, action: str, *aspects: str) -> dict[str, Any]:
        return {"path": path, "action": action, "kind": "file", "aspects": list(aspects)}

    changes = [
        change("/etc/passwd", "modified", "content"),
        change("/etc/shadow", "modified", "content", "mode"),
        change("/etc/group", "deleted"),
        change("/srv/x", "created"),
    ]
    plan, _, write = planned_apply(Ended(run_id="r-1", outputs=outputs()))
    plan["change_set"]["changes"] = changes
    shown = [line.split()[1] for line in write(style_for(io.StringIO(), {})) if line.startswith("    ")]

    assert shown == ["/etc/group", "/etc/shadow", "/srv/x", "/etc/passwd"]
