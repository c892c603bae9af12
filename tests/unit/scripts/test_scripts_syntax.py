"""The parser of shell texts, at its border."""

from __future__ import annotations

import subprocess
import sys

import pytest

from workflow_agent.scripts._syntax import node_text, parse_shell

_PARSE = "import sys; from workflow_agent.scripts._syntax import parse_shell; [parse_shell(t) for t in sys.argv[1:]]"


def test_characters_that_the_parser_cannot_look_up_do_not_end_the_process() -> None:
    """In a process of its own: where it reads foreign memory, that is what ends."""
    texts = [
        f"{before}{chr(code)}{after}"
        for code in (0x4E00, 0x31860, 0xDEF9F, 0x10FFFF)
        for before in ("{", "{1", "{1..", "{1..2", "a\n{", "echo {")
        for after in ("", "5", "..3}")
    ]

    ended = subprocess.run([sys.executable, "-c", _PARSE, *texts], check=False)

    assert ended.returncode == 0


@pytest.mark.parametrize("character", ["é", "一", "\U0010ffff"])
def test_what_follows_stays_at_its_place(character: str) -> None:
    text = f"echo {{{character}}} /etc/passwd"

    command = parse_shell(text).root_node.children[0]

    assert command.type == "command"
    assert command.children[-1].start_byte == len(text.encode()) - len("/etc/passwd")


@pytest.mark.parametrize(
    "text",
    [
        "cat <<U\nUser=x\nU\nrm /etc/x\n",
        "cat <<'U'\nUser=x\nZ\nQ\nU\nrm /etc/x\n",
        "cat <<-E\n\tEnd of it\n\tE\nrm /etc/x\n",
        "cat <<EOF >a\nEOF is near\nEOF\ncat <<U\nUser\nU\nrm /etc/x\n",
    ],
)
def test_a_line_that_begins_like_the_end_of_a_here_document_is_not_its_end(text: str) -> None:
    root = parse_shell(text).root_node

    assert not root.has_error
    last = root.children[-1]
    assert (last.type, last.start_byte) == ("command", text.index("rm "))


def test_a_here_document_without_an_end_stays_broken() -> None:
    assert parse_shell("if cat <<U\nUser=x\n").root_node.has_error


def test_extended_patterns_become_words_of_the_same_length() -> None:
    text = "shopt -s extglob\nrm -rf !(tmp) /opt/@(one|two) +([0-9]) /last\n"

    root = parse_shell(text).root_node

    words = [node_text(node) for node in root.named_children[-1].children_by_field_name("argument")]
    assert not root.has_error
    assert words == ["-rf", "******", "/opt//{one,two}", "xxxxxxxx", "/last"]
    assert root.named_children[-1].end_byte == len(text) - 1


@pytest.mark.parametrize(
    "text",
    [
        'for file do rm -- "$file"; done',
        "for file  do\n  echo 1\ndone",
        'while option="${arg:$index:1}"; do break; done',
        'part="${text:$from}"',
        'count=$(grep -c x /opt/app/list) 2>/dev/null && echo "$count"',
        "found=1 >/dev/null || exit 1",
        "rm -f $(ls | grep -v ^kept$)",
        'shopt -s extglob\nfor file do rm !(kept); done\nn="${a:$b:1}"',
    ],
)
def test_what_the_grammar_does_not_know_is_read_all_the_same(text: str) -> None:
    """Bash accepts each; a script that is refused for the parser's sake is refused for nothing."""
    accepted = subprocess.run(["bash", "-O", "extglob", "-n"], input=text, text=True, check=False)

    root = parse_shell(text).root_node

    assert accepted.returncode == 0
    assert not root.has_error
    assert root.end_byte == len(text.encode())


@pytest.mark.parametrize("text", ["for file do echo", "a=(1 2", 'x="${a:$b', "if true; then"])
def test_what_is_broken_stays_so(text: str) -> None:
    assert parse_shell(text).root_node.has_error
