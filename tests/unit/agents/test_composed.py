"""A script that no template gives: made of facts, with the source of each, and refused where anything is uncertain."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.agents.composed import require_certain
from workflow_agent.cli.plan_view import told_lines
from workflow_agent.cli.style import Style
from workflow_agent.integrations.families import block_of
from workflow_agent.knowledge import read_page
from workflow_agent.knowledge.draft import manifest
from workflow_agent.model.errors import NotFoundError, UnsupportedPlatformError, ValidationError

if TYPE_CHECKING:
    from tests.unit.agents.conftest import Bench

PAGE = "# Kestrel\n\n    apt-get install kestrel\n    systemctl enable --now kestrel\n\nIt listens on port 4100.\n"
MANIFEST = """
schema: workflow-agent/integration/1
name: kestrel
version: 1.0.0
description: Of a test.
category: test
platforms: [{family: debian, os: [debian]}]
actions: {install: {}, uninstall: {}}
checks: [{id: there, kind: package, name: kestrel}]
"""


async def known(bench: Bench, text: str = PAGE, *, name: str = "k.md", **facts: Any) -> None:
    folder = bench.integrations / "kestrel"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "integration.yaml").write_text(MANIFEST, encoding="utf-8")
    page = read_page(text, f"https://docs.example.org/{name}").to_dict()
    for fact in page["facts"]:
        fact["provenance"] |= facts if fact["kind"] == "package" else {}
    await bench.store.knowledge.put(page, source="documentation", subject="kestrel", at=1.0)


async def test_a_script_is_made_of_facts_and_names_them(bench: Bench) -> None:
    await known(bench)
    found = await bench.lookup(integration="kestrel")
    assert (found["template"], found["context"]["packages"]) == ("apt/install", ["kestrel"])

    keys = ("integration", "action", "version", "template", "folder", "context", "parameters", "files", "multiline")
    built = await bench.ask("script-builder.build", **{key: found[key] for key in (*keys, "setup")})
    (source,) = built["told"]
    assert (source["fact"], source["value"], source["first"]) == ("package", "kestrel", 1)
    assert source["last"] == built["script"]["text"].count("\n")
    assert source["address"] == "https://docs.example.org/k.md"
    assert len(source["text_sha256"]) == len(source["template_hash"]) == 64
    assert (await bench.ask("validator.validate", script=built["script"]))["findings"] == []


async def test_a_file_of_a_page_is_told_with_its_place_and_stands_in_no_line_of_the_script(bench: Bench) -> None:
    await known(bench, PAGE + "\nCreate `/etc/kestrel.conf` with this content:\n\n```ini\nperch = 7\n```\n")
    found = await bench.lookup(integration="kestrel")
    assert found["context"]["packages"] == ["kestrel"]

    keys = ("integration", "action", "version", "template", "folder", "context", "parameters", "files", "multiline")
    built = await bench.ask("script-builder.build", **{key: found[key] for key in (*keys, "setup")})
    assert [one["fact"] for one in built["told"]] == ["package"], "its manifest writes no such file"

    file = "files: [{path: /etc/kestrel.conf, format: text, content: 'perch = 7'}]\n"
    (bench.integrations / "kestrel/integration.yaml").write_text(MANIFEST + file, encoding="utf-8")
    found = await bench.lookup(integration="kestrel")
    built = await bench.ask("script-builder.build", **{key: found[key] for key in (*keys, "setup")})
    package, content = built["told"]
    assert (package["fact"], "template" in package) == ("package", True)
    assert (content["fact"], content["value"]) == ("content", "/etc/kestrel.conf")
    assert not {"template", "first", "last"} & content.keys()
    (line,) = told_lines([content], Style())
    assert line.endswith("(all of the file)")


async def test_what_only_files_and_steps_leave_open_is_the_business_of_a_manifest(bench: Bench) -> None:
    """One that is there says itself which files it writes; where there is none, all of it has to be answered."""
    text = PAGE + "\nAdd to `/etc/kestrel.conf`:\n\n```ini\nperch = 7\n```\n\n```sh\nsudo kestrelctl init\n```\n"
    await known(bench, text)
    assert (await bench.lookup(integration="kestrel"))["context"]["packages"] == ["kestrel"]

    draft = manifest("kestrel", read_page(text, "https://docs.example.org/k.md").to_dict(), composed=True)
    assert len(draft.open) == 2
    assert draft.beside == draft.open


async def test_without_facts_there_is_no_script(bench: Bench) -> None:
    await known(bench)
    (bench.integrations / "kestrel").rename(bench.integrations / "osprey")
    text = MANIFEST.replace("kestrel", "osprey")
    (bench.integrations / "osprey/integration.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(NotFoundError, match="nothing is known of which a script could be composed"):
        await bench.lookup(integration="osprey")
    assert (await bench.lookup(integration="osprey", action="verify"))["template"] == ""


@pytest.mark.parametrize(
    ("text", "question"),
    [
        (PAGE.replace("install kestrel", "install kestrel <plugin>"), "what is `<plugin>` to be?"),
        (PAGE + "\n## More\n\n    apt-get install kestrel-more\n", "is the package `kestrel-more` needed, too?"),
    ],
)
async def test_what_is_uncertain_refuses_and_is_named(bench: Bench, text: str, question: str) -> None:
    await known(bench, text)
    with pytest.raises(ValidationError, match="leaves 1 question") as caught:
        await bench.lookup(integration="kestrel")
    assert [question in one for one in caught.value.details["questions"]] == [True]


async def test_little_confidence_and_contradictions_refuse(bench: Bench) -> None:
    unsure = PAGE + "\n    apt-get install kestrel-tools\n"
    page = read_page(unsure, "https://docs.example.org/k.md").to_dict()
    for fact in page["facts"]:
        if fact["value"] == "kestrel-tools":
            fact["provenance"]["confidence"] = 0.4
    assert any("is only 0.40 sure" in one for one in manifest("kestrel", page, composed=True).open)
    assert manifest("kestrel", page).open == ()

    page = read_page(PAGE, "https://docs.example.org/k.md").to_dict()
    page["facts"] += [
        fact
        | {"details": fact["details"] | {"version": version}, "provenance": fact["provenance"] | {"address": place}}
        for fact in page["facts"][:1]
        for version, place in (("1.0", "https://a.example/"), ("2.0", "https://b.example/"))
    ]
    (question,) = manifest("kestrel", page, composed=True).open
    assert question.startswith("what is right of the package `kestrel`: `1.0` (https://a.example/) or `2.0`")


def test_settings_and_other_checks_are_left_out_and_stay_questions() -> None:
    table = "\n## Configuration\n\n| Option | Default | Description |\n|---|---|---|\n| `roost` | `oak` | Where. |\n"
    text = PAGE + table + "\n## Verification\n\n    curl http://localhost:9999/health\n"
    draft = manifest("kestrel", read_page(text, "https://docs.example.org/k.md").to_dict(), composed=True)
    assert draft.open == ()
    assert draft.questions


async def test_another_package_manager_has_no_block(bench: Bench) -> None:
    await known(bench)
    facts = await bench.targets.get("host").facts()
    assert block_of("install", facts, "kestrel") == "apt/install"
    with pytest.raises(UnsupportedPlatformError, match="cannot be installed with dnf"):
        block_of("install", replace(facts, package_manager="dnf"), "kestrel")


async def test_an_uninstall_stands_upon_what_the_installation_stood_upon(bench: Bench) -> None:
    await known(bench)
    found = await bench.lookup(integration="kestrel")
    subject = {
        "integration": "kestrel",
        "version": "1.0.0",
        "composed": {"packages": ["kestrel"], "sources": found["setup"]["sources"]},
    }
    generation = {
        "integration": "kestrel",
        "target": "host",
        "run_id": "r-7",
        "parameters": {},
        "parameter_hash": found["parameter_hash"],
        "manifest_version": "1.0.0",
        "manifest_hash": found["manifest_hash"],
        "live": True,
        "transaction": "r-7.1",
        "created_at": 1.0,
    }
    await bench.ran("r-7", integration="kestrel", records=[("subject", subject), ("generation", generation)])
    await known(bench, PAGE.replace("install kestrel", "install merlin"))
    gone = await bench.lookup(integration="kestrel", action="uninstall")
    assert (gone["template"], gone["context"]["packages"]) == ("apt/uninstall", ["kestrel"])


def test_a_refusal_counts_its_questions() -> None:
    require_certain("kestrel", ())
    with pytest.raises(ValidationError, match=r"leaves 5 questions: a; b; c \(and 2 more\)"):
        require_certain("kestrel", ("a", "b", "c", "d", "e"))
