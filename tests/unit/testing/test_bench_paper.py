"""What the bench does without a target: render cases, plans that are kept, reports."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from workflow_agent.integrations import Registry, builtin_folder, load_folder, load_manifest, readme
from workflow_agent.integrations.scaffold import DraftAnswers, DraftTemplate, files_of
from workflow_agent.model.errors import ManifestError
from workflow_agent.model.failpoint import known
from workflow_agent.testing.bench import BenchOutcome, Kind, Suite, TargetKind, Verdict, junit_text, update_cases
from workflow_agent.testing.bench.golden import compare, plan_text
from workflow_agent.testing.bench.outcomes import ON_PAPER, TestFailedError
from workflow_agent.testing.bench.plan_file import BenchPlan, packages_of, read_plan
from workflow_agent.testing.bench.render_cases import check_case
from workflow_agent.testing.bench.suite import at_once
from workflow_agent.testing.bench.targets import offered
from workflow_agent.testing.bench.walk import CRASH_POINTS, Subject, lanes_of, older_version
from workflow_agent.testing.bench.worlds import lines_apart
from workflow_agent.testing.lab.image import CATALOGUE_PACKAGES, DEFAULT_PACKAGES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A draft of an integration with two render cases."""
    made = tmp_path / "greeting"
    for name, content in files_of(DraftAnswers(name="greeting", template=DraftTemplate.SCRIPT)).items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_bytes(content)
    (made / "README.md").write_text(readme(load_manifest(made)), encoding="utf-8")
    assert update_cases(made) == 2
    return made


def outcomes(folder: Path, *kinds: Kind, **more: Any) -> list[BenchOutcome]:
    return list(Suite(manifest=load_folder(folder), kinds=kinds, **more).run())


def test_a_draft_passes_on_paper(folder: Path) -> None:
    found = outcomes(folder, Kind.LINT, Kind.RENDER)

    assert [(one.kind, one.case, one.verdict) for one in found] == [
        (Kind.LINT, "", Verdict.PASSED),
        (Kind.RENDER, "case-1", Verdict.PASSED),
        (Kind.RENDER, "default", Verdict.PASSED),
    ]


def test_every_draft_passes_on_paper(tmp_path: Path) -> None:
    for kind in DraftTemplate:
        made = tmp_path / f"my-{kind}"
        for name, content in files_of(DraftAnswers(name=made.name, template=kind)).items():
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            (made / name).write_bytes(content)
        (made / "README.md").write_text(readme(load_manifest(made)), encoding="utf-8")
        update_cases(made)
        assert {one.verdict for one in outcomes(made, Kind.LINT, Kind.RENDER)} == {Verdict.PASSED}, kind


def test_a_value_of_a_case_is_quoted_in_what_comes_out(folder: Path) -> None:
    text = (folder / "tests/render/case-1.expected").read_text(encoding="utf-8")

    assert """'it'"'"'s $HOME'""" in text


def test_another_script_fails_with_the_difference_and_update_keeps_it(folder: Path) -> None:
    template = folder / "templates/install.sh.j2"
    template.write_text(template.read_text(encoding="utf-8") + "true\n", encoding="utf-8")

    failed = outcomes(folder, Kind.RENDER)
    assert {one.verdict for one in failed} == {Verdict.FAILED}
    assert "+true" in failed[0].details
    assert {one.message for one in outcomes(folder, Kind.RENDER, update=True)} == {"written anew"}
    assert {one.message for one in outcomes(folder, Kind.RENDER, update=True)} == {"as before"}
    assert {one.verdict for one in outcomes(folder, Kind.RENDER)} == {Verdict.PASSED}


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ({"parameters": {"no": 1}}, "refused with"),
        ({"action": "fly"}, "refused with"),
        ({"facts": {"colour": "red"}}, "there is no fact `colour`"),
        ({"facts": {"init": "red"}}, "a fact has a value"),
        ({"refused": "validation.parameter"}, "accepted, and must be refused"),
        ({"parameters": {"no": 1}, "refused": "other"}, "not with other"),
        ({"surprise": 1}, "is no case"),
        ([], "is no case"),
        ({}, "is not there"),
    ],
)
def test_a_case_that_is_not_so_says_why(folder: Path, case: Any, sentence: str) -> None:
    file = folder / "tests/render/new.json"
    file.write_text(json.dumps(case), encoding="utf-8")

    with pytest.raises(TestFailedError, match=sentence):
        check_case(folder, file)


def test_a_case_may_ask_for_a_refusal_and_name_facts(folder: Path) -> None:
    file = folder / "tests/render/new.json"
    file.write_text('{"parameters": {"no": 1}, "refused": "validation.parameter"}', encoding="utf-8")
    assert check_case(folder, file) == "refused with validation.parameter"

    file.write_text('{"facts": {"init": "none", "os_like": ["x"]}}', encoding="utf-8")
    assert check_case(folder, file, update=True) == "written anew"


def test_files_of_every_format_are_in_what_comes_out(tmp_path: Path) -> None:
    for name in ("nginx", "redis-server"):
        file = tmp_path / f"{name}.json"
        file.write_text('{"parameters": {"port": 8080}}', encoding="utf-8")
        check_case(builtin_folder() / name, file, update=True)
        assert "8080" in file.with_suffix(".expected").read_text(encoding="utf-8").partition("==> ")[2]


def test_a_secret_of_a_case_is_a_name_only(tmp_path: Path) -> None:
    file = tmp_path / "secret.json"
    file.write_text('{"parameters": {"password": "not-to-be-seen"}}', encoding="utf-8")

    check_case(builtin_folder() / "redis-server", file, update=True)

    text = file.with_suffix(".expected").read_text(encoding="utf-8")
    assert "requirepass" in text
    assert "not-to-be-seen" not in text


def test_lint_findings_of_templates_fail_too(folder: Path) -> None:
    template = folder / "templates/install.sh.j2"
    template.write_text('echo "{{ parameters.greeting }}"\n', encoding="utf-8")

    (found,) = outcomes(folder, Kind.LINT)

    assert found.verdict is Verdict.FAILED
    assert "install.sh.j2:1" in found.details[0]


def test_without_cases_rendering_is_skipped_and_says_so(folder: Path) -> None:
    for file in (folder / "tests/render").iterdir():
        file.unlink()

    (found,) = outcomes(folder, Kind.RENDER)

    assert (found.verdict, found.message) == (Verdict.SKIPPED, "there is no case in tests/render")


def test_a_target_that_the_integration_leaves_out_is_skipped_with_its_reason(folder: Path) -> None:
    (folder / "tests/bench.yaml").write_text("targets: []\nreason: it needs a comet\n", encoding="utf-8")

    found = outcomes(folder, Kind.INSTALL, Kind.CRASH, targets=[TargetKind.PLAIN])

    assert [(one.kind, one.verdict, one.message) for one in found] == [
        (Kind.INSTALL, Verdict.SKIPPED, "it needs a comet"),
        (Kind.CRASH, Verdict.SKIPPED, "it needs a comet"),
    ]


def test_a_plan_of_tests_that_cannot_be_read_says_where(folder: Path) -> None:
    (folder / "tests/bench.yaml").write_text("target: []\n", encoding="utf-8")

    with pytest.raises(ManifestError) as caught:
        read_plan(folder)

    assert str(caught.value.where).endswith("bench.yaml:1:1")
    assert "target" in caught.value.message


def test_targets_offer_what_the_integration_its_requirements_and_the_plan_name(folder: Path) -> None:
    registry = Registry([builtin_folder()])
    (folder / "tests/bench.yaml").write_text("packages: [jq]\n", encoding="utf-8")

    found = packages_of(registry.get("prometheus-redis-exporter"), read_plan(folder), registry)

    assert found == ("jq", "prometheus-redis-exporter", "redis-server", "redis-tools")
    assert offered(["nginx"]) == DEFAULT_PACKAGES
    assert offered(["redis-server"]) == CATALOGUE_PACKAGES
    assert offered(["jq", "nginx"]) == ("jq", "nginx")


def test_a_plan_is_short_and_the_same_on_every_day(tmp_path: Path) -> None:
    changes = [
        {"action": "created", "path": "/opt/a"},
        {"action": "created", "path": "/opt/a/b"},
        {"action": "created", "path": "/opt/a/b/c"},
        {"action": "modified", "path": "/etc/passwd"},
        {"action": "appended", "path": "/var/log/dpkg.log"},
        {"action": "created", "path": "/opt/ab"},
    ]

    text = plan_text(changes)

    assert text == "modified /etc/passwd\ncreated /opt/a and 2 below it\ncreated /opt/ab\n"
    file = tmp_path / "plan/plain.txt"
    assert compare(file, text, update=False) == "3 lines; `--update` keeps them in tests/plan/plain.txt"
    assert compare(file, "created /opt/x\n", update=False).startswith("1 line; ")
    assert compare(file, text, update=True) == "written anew"
    assert compare(file, text, update=False) == "as expected"
    with pytest.raises(TestFailedError) as caught:
        compare(file, "created /opt/x\n", update=False)
    assert "+created /opt/x" in caught.value.lines


def test_the_report_is_xml_whatever_a_test_said(tmp_path: Path) -> None:
    done = [
        BenchOutcome(kind=Kind.LINT, seconds=0.5, message="no finding"),
        BenchOutcome(
            kind=Kind.INSTALL,
            target="plain",
            verdict=Verdict.FAILED,
            message="a <b> \x1b[31m",
            details=("x & \x00 y",),
            evidence=tmp_path,
        ),
        BenchOutcome(kind=Kind.CRASH, target="plain", verdict=Verdict.SKIPPED, message="not root"),
    ]

    suite = ET.fromstring(junit_text("demo", "1.0.0", done)).find("testsuite")  # our own text

    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "1")
    failure = suite.find("testcase[@classname='demo.plain']/failure")
    assert failure is not None
    assert failure.get("message") == "a <b> \ufffd[31m"
    assert str(tmp_path) in (failure.text or "")
    assert suite.find("properties/property[@value='demo 1.0.0']") is not None


def test_walks_at_the_same_time_give_all_that_they_find_and_what_breaks_them_is_raised() -> None:
    def walk(name: str, number: int) -> Iterator[BenchOutcome]:
        yield from (BenchOutcome(kind=Kind.INSTALL, target=f"{name}{index}") for index in range(number))

    found = {one.target for one in at_once([walk("a", 3), walk("b", 2)], lambda _: None)}
    assert found == {"a0", "a1", "a2", "b0", "b1"}

    def broken() -> Iterator[BenchOutcome]:
        yield BenchOutcome(kind=Kind.INSTALL)
        raise OSError("no disk")

    with pytest.raises(OSError, match="no disk"):
        list(at_once([broken()], lambda _: None))


def test_no_more_walks_than_allowed_go_at_the_same_time_and_all_are_gone() -> None:
    walking, most, lock = 0, 0, threading.Lock()
    pair = threading.Barrier(2)

    def walk(name: str) -> Iterator[BenchOutcome]:
        nonlocal walking, most
        with lock:
            walking += 1
            most = max(most, walking)
        pair.wait(10)  # two do go at the same time
        with lock:
            walking -= 1
        yield BenchOutcome(kind=Kind.INSTALL, target=name)

    found = {one.target for one in at_once([walk(name) for name in "abcdef"], lambda _: None, limit=2)}

    assert found == set("abcdef")
    assert most == 2


@pytest.mark.parametrize("name", ["memcached", "prometheus-redis-exporter"])
def test_lanes_hold_every_kind_once_and_one_installation_serves_those_that_look_at_it(name: str) -> None:
    registry = Registry([builtin_folder()])
    subject = Subject(manifest=registry.get(name), plan=BenchPlan(), registry=registry, packages=())
    on_target = [kind for kind in Kind if kind not in ON_PAPER]

    lanes = lanes_of(on_target, subject)

    assert sorted(kind for lane in lanes for kind in lane) == sorted(on_target)
    assert lanes[0][1:6] == [Kind.INSTALL, Kind.IDEMPOTENCE, Kind.VERIFY, Kind.NEGATIVE, Kind.ROLLBACK]
    assert lanes_of([Kind.VERIFY], subject) == [[Kind.VERIFY]]
    assert len(lanes) == (2 if subject.manifest.requires else 4)


def test_an_upgrade_begins_with_the_version_that_is_kept_or_with_a_lower_number(folder: Path, tmp_path: Path) -> None:
    assert older_version(folder, tmp_path / "older/greeting") == "0.0.1"
    assert load_manifest(tmp_path / "older/greeting").version == "0.0.1"

    kept = folder / "tests/upgrade/from"
    kept.mkdir(parents=True)
    text = (folder / "integration.yaml").read_text(encoding="utf-8").replace("version: 0.1.0", "version: 0.0.7")
    (kept / "integration.yaml").write_text(text, encoding="utf-8")
    (kept / "templates").mkdir()
    (kept / "templates/install.sh.j2").write_text("true\n", encoding="utf-8")

    assert older_version(folder, tmp_path / "kept/greeting") == "0.0.7"
    assert (tmp_path / "kept/greeting/templates/install.sh.j2").read_text(encoding="utf-8") == "true\n"
    assert load_manifest(folder).version == "0.1.0"


def test_every_point_of_a_crash_is_one_that_the_product_has() -> None:
    assert set(CRASH_POINTS) <= known()


def test_data_that_is_apart_and_the_time_of_its_folder_are_not_told() -> None:
    told = [
        "changed: /var/log: mode 0o755 -> 0o700",
        "changed: /etc: mtime_ns 1 -> 2",
        "created: /var/log/other",
        "changed: /var/log/syslog.1: content",
    ]
    lines = ["changed: /var/log: mtime_ns 1 -> 2", "created: /var/log/syslog", "changed: /var/lib/x/y: content", *told]

    assert lines_apart(lines, ["/var/log/syslog", "/var/lib/x/"]) == told
    assert lines_apart(lines, []) == lines
