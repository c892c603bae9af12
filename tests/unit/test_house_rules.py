"""Rules of the house that no linter knows: sizes, names, words."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[2]
FOLDERS = ("src", "tests", "benchmarks", "examples")
MODULE_LINES = 800
FUNCTION_LINES = 60
# Written in two halves, so that this file does not break its own rule.
FORBIDDEN_WORDS = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b|/wo" r"rk/(main|shared)|unittest\.mo" r"ck")
FORBIDDEN_NAMES = re.compile(r"(^|_)(utils?|helpers?|managers?|misc|common|stuff)(_|$)")
TEXT_FILES = (".py", ".md", ".yaml", ".yml", ".toml", ".cfg", ".sh", ".j2", ".sql")


def _files(*suffixes: str, folders: tuple[str, ...] = FOLDERS) -> list[Path]:
    found = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in suffixes)
    return sorted(path for path in found if "_data" not in path.parts and ".egg-info" not in str(path))


def _functions(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number of lines of each function's body, its docstring left out, and its place."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        body = node.body[1:] if ast.get_docstring(node) is not None else node.body
        lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
        yield lines, f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"


def _show(title: str, rows: list[tuple[int, str]], capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\n{title}")
        for lines, place in sorted(rows, reverse=True)[:10]:
            print(f"{lines:6} {place}")


def test_modules_stay_small(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = [
        (len(path.read_text(encoding="utf-8").splitlines()), str(path.relative_to(ROOT))) for path in _files(".py")
    ]

    _show("largest modules", sizes, capsys)
    assert [row for row in sizes if row[0] > MODULE_LINES] == []
    assert len(sizes) > 20


def test_functions_stay_small(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = [row for path in _files(".py") for row in _functions(path)]

    _show("largest functions", sizes, capsys)
    assert [row for row in sizes if row[0] > FUNCTION_LINES] == []
    assert len(sizes) > 100


def test_modules_are_named_for_what_they_hold() -> None:
    assert [str(path) for path in _files(".py") if FORBIDDEN_NAMES.search(path.stem)] == []


@pytest.mark.parametrize("name", ["utils", "lab_helpers", "manager", "task_manager_old"])
def test_the_rule_for_names_finds_what_it_is_for(name: str) -> None:
    assert FORBIDDEN_NAMES.search(name)


def test_no_loose_ends_and_no_paths_of_one_machine() -> None:
    folders = (*FOLDERS, "docs", "config", "templates", "integrations")
    top = [path for path in ROOT.iterdir() if path.suffix in TEXT_FILES or path.name == "Makefile"]
    top.remove(ROOT / "ruff.toml")  # names the rule itself
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in [*_files(*TEXT_FILES, folders=folders), *top]
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if FORBIDDEN_WORDS.search(line)
    ]

    assert found == []


def test_every_module_says_what_is_public() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in _files(".py", folders=("src",))
        if _defines_something(path) and not re.search(r"^__all__\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]

    assert silent == []


def _defines_something(path: Path) -> bool:
    statements = ast.parse(path.read_text(encoding="utf-8")).body
    return any(isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) for node in statements)


def test_test_modules_have_names_of_their_own() -> None:
    names = [path.name for path in _files(".py", folders=("tests",)) if path.name != "conftest.py"]

    assert sorted(names) == sorted(set(names))


#: What people write with the SDK and what it compiles to, each called what it is to whoever uses it.
FACADE_AND_MODEL = {
    "Step": ["authoring/fluent_step.py", "model/workflow.py"],
    "Workflow": ["authoring/builder.py", "model/workflow.py"],
}


def _shared_class_names(files: Iterable[Path], root: Path) -> dict[str, list[str]]:
    """List public classes of modules (also those below an `if`) whose name another module has given too."""
    places: dict[str, list[str]] = {}
    for path in files:
        statements = ast.parse(path.read_text(encoding="utf-8")).body
        nested = [inner for node in statements if isinstance(node, ast.If) for inner in (*node.body, *node.orelse)]
        found = {node.name for node in (*statements, *nested) if isinstance(node, ast.ClassDef)}
        for name in sorted(name for name in found if not name.startswith("_")):
            places.setdefault(name, []).append(path.relative_to(root).as_posix())
    return {name: where for name, where in places.items() if len(where) > 1}


def test_a_class_has_a_name_of_its_own() -> None:
    assert _shared_class_names(_files(".py", folders=("src",)), ROOT / "src" / "workflow_agent") == FACADE_AND_MODEL


def test_the_rule_for_class_names_finds_what_it_is_for(tmp_path: Path) -> None:
    for name, text in (("a", "class Plan: ...\nclass _Own: ..."), ("b", "if 1:\n    class Plan: ...\nclass _Own: ...")):
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")

    assert _shared_class_names(sorted(tmp_path.iterdir()), tmp_path) == {"Plan": ["a.py", "b.py"]}


def _broken_links(page: Path) -> list[str]:
    """List the relative links of a Markdown page that lead nowhere; what is code is none."""
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    links = [link for link in re.findall(r"\]\(([^)\s]+)", text) if not re.match(r"[a-z]+:|#", link)]
    return [f"{page}: {link}" for link in links if not (page.parent / link.partition("#")[0]).exists()]


def test_relative_links_of_pages_lead_somewhere() -> None:
    folders = ("docs", "config", "templates", "integrations", *FOLDERS)
    pages = [*_files(".md", folders=folders), *ROOT.glob("*.md")]

    assert [link for page in pages for link in _broken_links(page)] == []
    assert len(pages) > 30


def test_the_rule_for_links_finds_what_it_is_for(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("[a](page.md#x) [b](gone.md#x) `[c](code.md)` [d](https://e.org) [e](#f)\n", encoding="utf-8")

    assert _broken_links(page) == [f"{page}: gone.md#x"]
