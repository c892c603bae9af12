"""The manual page says what the commands say, and readers of such pages find nothing wrong with it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from workflow_agent._version import __version__
from workflow_agent.cli.man_page import man_page
from workflow_agent.cli.tree import build_app

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "man/workflow-agent.1"


def test_the_page_is_what_the_commands_say() -> None:
    expected = man_page(typer.main.get_command(build_app()), __version__)

    assert PAGE.read_text(encoding="utf-8") == expected, (
        "write it anew: python -m workflow_agent.cli.man_page man/workflow-agent.1"
    )


def test_exit_codes_are_those_of_the_documentation() -> None:
    table = (ROOT / "docs/cli.md").read_text(encoding="utf-8").split("## Exit codes")[1].split("##")[0]
    documented = re.findall(r"^\| (\d+) \|", table, re.MULTILINE)
    shown = PAGE.read_text(encoding="utf-8").split(".SH EXIT STATUS")[1].split(".SH")[0]

    assert re.findall(r"^\.B (\d+)$", shown, re.MULTILINE) == documented


@pytest.mark.parametrize(
    "reader",
    [
        ["groff", "-man", "-Tutf8", "-ww", "-z"],
        ["mandoc", "-Tlint", "-Wwarning"],
        ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"],
    ],
    ids=lambda reader: reader[0],
)
def test_readers_of_manual_pages_have_no_warnings(reader: list[str]) -> None:
    if shutil.which(reader[0]) is None:
        pytest.skip(f"{reader[0]} is not installed")

    done = subprocess.run([*reader, str(PAGE)], check=False, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
    assert reader[0] != "mandoc" or done.stdout == ""


def test_what_people_read_has_every_command_as_it_is_typed() -> None:
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")

    done = subprocess.run(
        ["groff", "-man", "-Tascii", "-P-cbou", "-rLL=100n", str(PAGE)], check=True, capture_output=True, text=True
    )

    for words in (
        "rollback [RUN]",
        "--keep-data",
        "integrations info NAME",
        "EXIT STATUS",
        "workflow-agent plan nginx",
    ):
        assert words in done.stdout
