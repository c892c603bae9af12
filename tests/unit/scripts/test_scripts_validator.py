"""The validator's layers, its verdicts by tier, and what a person may allow."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from workflow_agent import scripts
from workflow_agent.model.errors import ScriptRefusedError, ValidationError
from workflow_agent.model.system import Finding, Severity
from workflow_agent.scripts import refuse_on_errors, validate_script
from workflow_agent.scripts._programs import NO_DATA_FLOW, bash_findings, shellcheck_findings, shellcheck_path
from workflow_agent.scripts.policy import analyse

if TYPE_CHECKING:
    from collections.abc import Sequence

EXAMPLES = Path(__file__).parents[2] / "examples" / "scripts"
CORPUS = Path(__file__).parents[2] / "corpus"


def errors(findings: Sequence[Finding]) -> set[str]:
    """Give the rules of findings that refuse the script."""
    return {item.rule for item in findings if item.severity is Severity.ERROR and not item.allowed}


def test_a_good_script_has_no_findings() -> None:
    assert validate_script("set -euo pipefail\nprintf 'hello\\n'\n") == []


@pytest.mark.parametrize("path", sorted((EXAMPLES / "golden").glob("*.sh")), ids=lambda path: path.stem)
def test_what_shipped_templates_render_is_accepted(path: Path) -> None:
    findings = validate_script(path.read_text())

    assert errors(findings) == set()
    assert [item for item in findings if item.source == "policy"] == []


def test_a_finding_tells_where_what_and_what_instead() -> None:
    findings = validate_script('true\nécho=1; echo "$écho"; rm -rf /etc\n', allow=())

    finding = next(item for item in findings if item.rule == "system-delete")
    assert (finding.line, finding.column, finding.source) == (2, 23, "policy")
    assert finding.excerpt.endswith("rm -rf /etc")
    assert "`/etc`" in finding.message
    assert finding.hint


@pytest.mark.parametrize(
    ("text", "rule", "line"),
    [("a\0b", "encoding", 1), ("a\n\ud800", "encoding", 2), ("x" * (1024 * 1024 + 1), "size", 1)],
    ids=["nul", "surrogate", "size"],
)
def test_text_that_is_no_script_goes_no_further(text: str, rule: str, line: int) -> None:
    findings = validate_script(text)

    assert [(item.rule, item.line, item.severity) for item in findings] == [(rule, line, Severity.ERROR)]


def test_bash_itself_must_accept_the_script() -> None:
    findings = validate_script("true\nif true; then\necho a\n")

    assert {"bash-syntax", "unparsable"} <= errors(findings)
    assert {item.line for item in findings if item.rule == "bash-syntax"} == {4}


def test_extended_patterns_are_read_where_the_script_has_switched_them_on() -> None:
    before = "cd /opt/app/releases || exit 1\nrm -rf !(current)\n"

    assert validate_script(f"shopt -s nullglob extglob\n{before}", inside_transaction=False) == []
    for script in (before, f"{before}shopt -s extglob\n", f"# shopt -s extglob\n{before}"):
        assert "bash-syntax" in {finding.rule for finding in validate_script(script)}


def test_what_bash_only_warns_of_is_a_warning() -> None:
    findings = bash_findings("cat <<END\nunfinished\n")

    assert [(item.rule, item.severity) for item in findings] == [("bash-syntax", Severity.WARNING)]


def test_shellcheck_levels_become_severities() -> None:
    found = {item.rule: item.severity for item in shellcheck_findings("x=1\necho $y\nexit 1 2\n")}

    assert found == {
        "SC2034": Severity.WARNING,
        "SC2154": Severity.WARNING,
        "SC2086": Severity.INFO,
        "SC2241": Severity.ERROR,
    }


def test_shellcheck_is_found_beside_python_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "shellcheck").write_text("")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    assert shellcheck_path() == str(tmp_path / "shellcheck")


def test_missing_shellcheck_is_an_error_and_never_silent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))

    findings = validate_script("true\n")

    assert errors(findings) == {"shellcheck-missing"}
    assert "shellcheck missing" in findings[0].message
    assert errors(validate_script("true\n", allow=["shellcheck-missing"])) == set()


def test_a_shellcheck_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "shellcheck"
    broken.write_text("#!/bin/sh\necho nonsense\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    assert errors(shellcheck_findings("true\n")) == {"shellcheck-failed"}


def test_shellcheck_finds_the_same_without_its_data_flow_analysis() -> None:
    program = shellcheck_path()
    paths = [str(path) for path in (*CORPUS.glob("*/*.sh"), *(EXAMPLES / "golden").glob("*.sh"))]
    assert program is not None
    assert len(paths) >= 300
    command = [program, "--norc", "--shell=bash", "--format=json1", *sorted(paths)]

    slow, fast = (
        json.loads(subprocess.run([*given], capture_output=True, check=False).stdout)["comments"]
        for given in (command, [command[0], NO_DATA_FLOW, *command[1:]])
    )

    assert slow
    assert fast == slow


def test_an_older_shellcheck_is_asked_without_the_option_that_it_does_not_know(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    older = tmp_path / "shellcheck"
    refuses = f'case " $* " in *" {NO_DATA_FLOW} "*) echo "unrecognized option" >&2; exit 3 ;; esac'
    older.write_text(f'#!/bin/sh\n{refuses}\nexec {shellcheck_path()} "$@"\n')
    older.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    assert [item.rule for item in shellcheck_findings("x=1\n")] == ["SC2034"]


def test_configuration_files_do_not_reach_shellcheck(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".shellcheckrc").write_text("disable=all\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    assert [item.rule for item in shellcheck_findings("x=1\n")] == ["SC2034"]


@pytest.mark.parametrize(
    ("text", "rule", "inside", "outside"),
    [
        ("chmod -R 777 /etc\n", "world-writable", Severity.WARNING, Severity.ERROR),
        ("crontab -r\n", "crontab-removed", Severity.WARNING, Severity.ERROR),
        ("rm -rf /usr\n", "system-delete", Severity.ERROR, Severity.ERROR),
        ("reboot\n", "power", Severity.ERROR, Severity.ERROR),
    ],
)
def test_a_transaction_softens_only_what_it_can_take_back(
    text: str, rule: str, inside: Severity, outside: Severity
) -> None:
    for transaction, severity in ((True, inside), (False, outside)):
        findings = validate_script(text, inside_transaction=transaction)
        assert [item.severity for item in findings if item.rule == rule] == [severity]


def test_declared_paths_bound_what_a_script_may_write() -> None:
    text = 'cp a /opt/app/a\ntouch /etc/other\necho x > /etc/app.conf\necho y > /srv/x\nmkdir /tmp/a "$X"\n'

    findings = validate_script(text, declared_paths=["/opt/app", "/etc/app.conf"], inside_transaction=False)

    assert [item.line for item in findings if item.rule == "undeclared-path"] == [2, 4]
    assert "undeclared-path" not in {item.rule for item in validate_script(text)}


def test_declared_secrets_are_secret_whatever_their_name() -> None:
    text = 'echo "$license"\n'

    assert errors(validate_script(text)) == set()
    assert errors(validate_script(text, secrets=["license"])) == {"secret-echoed"}


def test_an_allowed_rule_is_still_listed() -> None:
    findings = validate_script("reboot\nmount /a /b\n", allow=["power", "SC2034"])

    assert {item.rule: item.allowed for item in findings} == {"power": True, "mount": False}
    with pytest.raises(ScriptRefusedError) as caught:
        refuse_on_errors(findings)
    assert [item["rule"] for item in caught.value.details["findings"]] == ["mount"]
    refuse_on_errors(validate_script("reboot\n", allow=["power"]))


@pytest.mark.parametrize(
    ("rule", "hint"), [("powre", "did you mean `power`?"), ("bash-syntax", None), ("qqqq", "rules: ")]
)
def test_only_rules_that_exist_can_be_allowed(rule: str, hint: str | None) -> None:
    with pytest.raises(ValidationError) as caught:
        validate_script("true\n", allow=[rule])

    assert hint is None or (caught.value.hint or "").startswith(hint)


def test_a_refusal_names_the_first_error_and_counts_the_rest() -> None:
    with pytest.raises(ScriptRefusedError) as caught:
        refuse_on_errors(validate_script("true\nreboot\nmount /a /b\n"))

    assert caught.value.where == "script:2:1"
    assert "`power`" in caught.value.message
    assert "and 1 more" in caught.value.message
    assert caught.value.cause == "reboot"


def test_a_refusal_without_a_hint_says_how_to_allow_it() -> None:
    finding = Finding(rule="SC9999", severity=Severity.ERROR, message="m", line=1)

    with pytest.raises(ScriptRefusedError) as caught:
        refuse_on_errors([finding])

    assert "--allow SC9999" in (caught.value.hint or "")


def test_nothing_of_a_script_runs_while_it_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    validate_script("touch marker\nx=$(touch marker)\necho ${x:=$(touch marker)} <(touch marker)\n")

    assert list(tmp_path.iterdir()) == []


def test_texts_within_texts_have_an_end() -> None:
    text = "true"
    for _ in range(7):
        text = f"eval {shutil_quote(text)}"

    assert "unparsable" in {item.rule for item in analyse(text)}


def test_an_expression_of_a_script_takes_no_time_and_finds_nothing() -> None:
    slow = "find / -regex '/(.|.|.|.)*(.|.)*Y' -delete"

    assert analyse(slow) == []
    assert [item.rule for item in analyse("find / -regex '.*/libc.so.6' -delete")] == ["system-delete"]
    assert [item.rule for item in analyse("find / -path '/etc/pass*' -delete")] == ["system-delete"]


_ANALYSE = "import sys; from workflow_agent.scripts.policy import analyse; print(len(analyse(sys.argv[1])))"


@pytest.mark.parametrize(
    "program",
    ["s/" + r"\a" * 60, "1" * 60 + "!x", "s|" + r"\(" * 30 + "x|y|", "/" + r"\/" * 60],
    ids=["escapes", "numbers", "groups", "address"],
)
def test_programs_for_sed_take_no_time(program: str) -> None:
    """In a process of its own, which can be ended: an expression that tries every way of reading them does not end."""
    script = f"sed -n '{program}' /opt/app/list"

    done = subprocess.run(
        [sys.executable, "-c", _ANALYSE, script], check=True, capture_output=True, text=True, timeout=60
    )

    assert done.stdout == "0\n"


def shutil_quote(text: str) -> str:
    """Quote for the shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def test_the_package_gives_its_names_late() -> None:
    assert {name: getattr(scripts, name) for name in scripts.__all__}.keys() == set(scripts.__all__)
    with pytest.raises(AttributeError):
        _ = scripts.nothing
    assert shutil.which("bash")
