"""What goes around a script: what runs in the capture, what a person is told, and what they must allow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workflow_agent.agents.consent_findings import consent_findings
from workflow_agent.agents.script_builder import BuildRequest, ScriptBuilderAgent
from workflow_agent.integrations import ResolvedFile
from workflow_agent.model.errors import ScriptRefusedError, ValidationError
from workflow_agent.model.message import Message
from workflow_agent.model.system import CaptureCommand, Effect, Provenance, Script
from workflow_agent.scripts import refuse_on_errors, validate_script
from workflow_agent.security.marks import reference

TEMPLATES = Path(__file__).parents[3] / "templates"
JUDGED = ResolvedFile(path="/etc/a", format="text", content="a\n", validate=("/bin/judge", "/etc/a"), validate_s=5.0)


async def built(folder: Path, **more: object) -> dict[str, object]:
    given: dict[str, object] = {
        "integration": "example",
        "action": "install",
        "version": "1.0.0",
        "template": "apt/install",
        "folder": str(folder),
        "context": {"packages": ["example"], "facts": {"hostname": "h"}},
        "parameters": {"word": "good", "key": reference("key", "0" * 64)},
        "files": [],
        "multiline": [],
    }
    verb = ScriptBuilderAgent([TEMPLATES]).verbs()["build"]
    message = Message(subject="agent.script-builder.build", type="request", source="test")
    reply, _ = await verb.handler(BuildRequest.model_validate(given | more), message)
    data: dict[str, object] = reply.model_dump(mode="json")
    return data


def script(**more: object) -> Script:
    origin = Provenance(integration="example", action="install", version="1", template="t", template_hash="")
    return Script(text="true\n", hash="", provenance=origin, **more)  # type: ignore[arg-type]


async def test_hooks_are_read_told_and_get_no_secret(tmp_path: Path) -> None:
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks/look.py").write_text("pass\n", encoding="utf-8")
    data = await built(tmp_path, setup={"after": ["look"], "before": ["look"]}, files=[JUDGED])
    made = data["script"]
    assert isinstance(made, dict)
    assert [one["label"] for one in made["after"]] == ["the validation of /etc/a", "the hook hooks/look.py"]
    assert made["before"][0]["argv"] == ["/usr/bin/python3", "-I", "-B", "-c", "pass\n"]
    given = json.loads(made["before"][0]["stdin"])
    assert given["parameters"] == {"word": "good"}
    assert given["facts"] == {"hostname": "h"}
    told = data["told"]
    assert isinstance(told, list)
    assert [(one["kind"], one.get("when")) for one in told] == [
        ("hook", "before"),
        ("hook", "after"),
        ("validation", None),
    ]


async def test_what_runs_around_belongs_to_the_identity_of_a_script(tmp_path: Path) -> None:
    users = [{"name": "acme", "home": "/srv", "shell": "/bin/false", "groups": ["adm"]}]
    hashes = set()
    for setup in ({}, {"users": users}, {"directories": [{"path": "/srv", "mode": "0755", "owner": "root:root"}]}):
        made = (await built(tmp_path, setup=setup))["script"]
        assert isinstance(made, dict)
        hashes.add(made["hash"])
    assert len(hashes) == 3
    assert (await built(tmp_path, files=[JUDGED]))["script"]["hash"] not in hashes  # type: ignore[index]


@pytest.mark.parametrize(
    ("action", "purge", "word"),
    [("install", False, "useradd"), ("uninstall", True, "userdel"), ("uninstall", False, "")],
)
async def test_users_come_with_the_script_and_go_with_a_purge_only(
    tmp_path: Path, action: str, purge: bool, word: str
) -> None:
    users = [{"name": "acme", "home": "/srv", "shell": "/bin/false", "groups": ["adm"]}]
    context = {"packages": ["example"], "purge": purge}
    template = f"apt/{action}"
    data = await built(tmp_path, action=action, context=context, template=template, setup={"users": users})
    made = data["script"]
    assert isinstance(made, dict)
    assert ("acme" in made["text"], word in made["text"]) == (bool(word), True)
    assert [finding for finding in validate_script(made["text"]) if finding.severity == "error"] == []
    main = next(one for one in made["origins"] if one["template"].endswith(f"{template}.sh.j2"))
    assert made["text"].split("\n")[main["first"] - 1] == "set -euo pipefail"


def test_hooks_and_lasting_effects_are_refused_until_they_are_allowed() -> None:
    hook = CaptureCommand(argv=("/usr/bin/python3",), label="the hook", file="hooks/a.py", digest="ab")
    mail = [Effect(kind="irreversible", description="Sends mail."), Effect(kind="declared", description="A row.")]
    found = consent_findings(script(before=(hook,)), mail, [])
    assert [one.rule for one in found] == ["python-hook", "irreversible-effect"]
    with pytest.raises(ScriptRefusedError, match=r"hooks/a\.py \(sha256 ab\)") as caught:
        refuse_on_errors(found)
    assert caught.value.hint == "read it first; or `--allow python-hook` if it is meant"
    assert caught.value.where == "script"
    refuse_on_errors(consent_findings(script(before=(hook,)), mail, ["python-hook", "irreversible-effect"]))
    assert validate_script("true\n", allow=["python-hook"]) == []
    with pytest.raises(ValidationError, match="no rule"):
        validate_script("true\n", allow=["python-hooks"])


def test_a_judge_of_files_is_looked_at_by_the_policy() -> None:
    harmless = CaptureCommand(argv=("/usr/sbin/nginx", "-t"), label="the validation of /etc/nginx/nginx.conf")
    harmful = CaptureCommand(argv=("/sbin/mkfs.ext4", "/dev/sda"), label="the validation of /etc/a")
    assert consent_findings(script(after=(harmless,)), [], []) == []
    found = consent_findings(script(after=(harmful,)), [], [])
    assert {(one.line, one.excerpt) for one in found} == {(0, "/sbin/mkfs.ext4 /dev/sda")}
    assert found[0].message.startswith("the validation of /etc/a ")
