"""First drafts of integrations: they lint, they stay short, and hostile names make none."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from workflow_agent.integrations import lint, load_manifest, readme
from workflow_agent.integrations.package_look import UnitLook, look_at, read_unit
from workflow_agent.integrations.scaffold import DraftAnswers, DraftTemplate, files_of, flow
from workflow_agent.integrations.schema import schema_text
from workflow_agent.model.errors import ParameterError

if TYPE_CHECKING:
    from pathlib import Path

UNIT = UnitLook(name="tinyproxy", exe="/usr/bin/tinyproxy", argv=("/usr/bin/tinyproxy", "-d"), user="proxy")
DRAFTS = [
    *(DraftAnswers(name=f"my-{kind}", template=kind) for kind in DraftTemplate),
    DraftAnswers(name="tinyproxy", package="tinyproxy", unit=UNIT, port=8888, homepage="https://tinyproxy.github.io/"),
    DraftAnswers(name="odd", description='Says "a: b", {c} and # d.', port=53),
]


def written(draft: DraftAnswers, parent: Path) -> Path:
    folder = parent / draft.name
    for name, content in files_of(draft).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "README.md").write_text(readme(load_manifest(folder)), encoding="utf-8")
    return folder


@pytest.mark.parametrize("draft", DRAFTS, ids=lambda draft: draft.name)
def test_a_draft_lints_without_a_finding(draft: DraftAnswers, tmp_path: Path) -> None:
    assert lint(written(draft, tmp_path)) == []


def test_a_draft_of_a_service_from_a_package_has_at_most_25_lines() -> None:
    text = files_of(DRAFTS[-2])["integration.yaml"].decode()

    assert len(text.splitlines()) <= 25
    assert "argv: [/usr/bin/tinyproxy, " in text
    assert "user: proxy" in text


def test_the_schema_that_the_first_line_names_is_there() -> None:
    files = files_of(DRAFTS[0])
    first = files["integration.yaml"].decode().splitlines()[0]

    assert files[first.partition("$schema=")[2]].decode() == schema_text()


def test_samples_are_the_same_bytes_each_time() -> None:
    for draft in DRAFTS:
        assert files_of(draft) == files_of(draft)


def test_the_sample_archive_unpacks_to_a_program() -> None:
    content = files_of(DraftAnswers(name="tool", template=DraftTemplate.TARBALL))["tests/target/srv/tool-1.0.0.tar.gz"]

    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        (member,) = archive.getmembers()
    assert (member.name, member.mode) == ("tool-1.0.0/bin/tool", 0o755)


@pytest.mark.parametrize("name", ["", "-a", "A", "a_b", "a/b", "..", "a\nb", "a" * 64, "é", "a b"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ParameterError):
        files_of(DraftAnswers(name=name))


@pytest.mark.parametrize(
    ("template", "package"),
    [("apt", "a;b"), ("apt", "--purge"), ("apt", "A"), ("pip", "a==1"), ("pip", "-r"), ("container", "a b")],
)
def test_what_is_no_package_is_refused(template: str, package: str) -> None:
    with pytest.raises(ParameterError):
        files_of(DraftAnswers(name="x", template=DraftTemplate(template), package=package))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(st.characters(codec="utf-8"), max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc-: ", max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(value=JSON)
def test_a_value_in_one_line_is_read_back_as_it_was(value: Any) -> None:
    assert yaml.safe_load(f"key: {flow(value)}") == {"key": value}


@pytest.mark.parametrize(
    "word", ["no", "12", "1.5", "1e3", "0x1f", "2026-11-21", "1:30", "~", "=", "null", "Yes", ".5", "1_000", "-", "y"]
)
def test_a_word_that_readers_take_for_something_else_is_quoted(word: str) -> None:
    assert yaml.safe_load(f"[{flow(word)}]") == [word]


def test_a_unit_tells_program_arguments_and_user() -> None:
    text = "[Unit]\nExecStart=/no\n[Service]\nUser=proxy\nExecStart=-/usr/bin/x --a \\\n  $OPTS --b=%i 'c d'\n"

    found = read_unit("x", text)

    assert found == UnitLook(name="x", exe="/usr/bin/x", argv=("/usr/bin/x", "--a", "c d"), user="proxy")


def test_a_wrapper_is_not_the_program_that_runs() -> None:
    found = read_unit("cache", "[Service]\nExecStart=/usr/share/wrap /etc/x\n", ["/usr/bin/other", "/usr/bin/cached"])

    assert found is not None
    assert found.exe == "/usr/bin/cached"
    assert found.argv[0] == "/usr/share/wrap"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[Service]\n",
        "[Service]\nExecStart=relative\n",
        "[Service]\nType=oneshot\nExecStart=/a\n",
        "[Service]\nExecStart=/a 'open\n",
    ],
)
def test_a_unit_that_starts_nothing_by_itself_is_none(text: str) -> None:
    assert read_unit("x", text) is None


def test_a_package_that_nobody_knows_tells_nothing() -> None:
    assert look_at("no-such-package-of-workflow-agent") is None
