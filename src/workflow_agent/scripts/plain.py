"""A person's own script: from the bytes of a file to one that a capture can run, or a refusal that says what to do.

What belongs here: what a file has to be, its shebang, what the validator says of it. What does not: reading files
(the command line does), running it.
Source: execve(2) for how a kernel reads a shebang.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from workflow_agent.model.errors import ValidationError
from workflow_agent.model.records import dataclass
from workflow_agent.model.system import Finding, Provenance, Script, Severity
from workflow_agent.scripts.validator import MAX_SCRIPT_BYTES, validate_script

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from workflow_agent.model.errors import WorkflowAgentError

__all__ = ["APPLY", "Shebang", "explain_failure", "plain_script", "read_shebang", "script_text", "validate_plain"]

#: The action of such a script.
APPLY = "apply"
_SHELLS = frozenset({"sh", "bash", "dash"})
#: Without a shebang a script is taken for what most people type at.
_USUAL = "/bin/bash"
_MARK = b"\xef\xbb\xbf"
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")
_NOTHING = "nothing was begun"
_OWN_FOLDER = re.compile(
    r"\b(?:dirname|readlink|realpath)\b[^#\n]*(?:\$\{?0\b|BASH_SOURCE)|(?:\$\{0|BASH_SOURCE[^}]*)[%#]"
)


#: Where the rules' own hints speak of integrations.
_OWN_HINTS = {
    "power": "take it out, and restart the machine yourself when the script is applied",
    "kernel-module": "take it out, and do it yourself: no transaction holds it",
    "mount": "take it out, and do it yourself: no transaction holds it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shebang:
    """Who runs a script: a path, what stands before the script on the command line, and which language that is."""

    interpreter: str
    options: tuple[str, ...]
    language: str


def script_text(data: bytes, name: str) -> str:
    """Read the bytes of a script.

    Raises:
        ValidationError: they are no script that could be run as it stands; the hint says what to do.
    """
    if len(data) > MAX_SCRIPT_BYTES:
        size, most = f"{len(data) >> 10:,} KiB", f"{MAX_SCRIPT_BYTES >> 10:,}"
        hint = "a script that carries its data is better split: what it installs beside what it does"
        raise _refused(f"`{name}` has more than {most} KiB: too large for a script ({size} read)", hint=hint)
    if not data.strip():
        hint = "where it comes from a pipe, look whether the command before it failed (`curl -f` says so)"
        raise _refused(f"`{name}` is empty", hint=hint)
    _refuse_binary(data, name)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        where = f"{name}:{data.count(10, 0, error.start) + 1}"
        hint = "if it is Latin-1: `iconv -f latin1 -t utf-8 FILE > NEW`"
        raise _refused(
            f"`{name}` is not UTF-8", where=where, cause=f"{error.reason}: {error.object[error.start]:#04x}", hint=hint
        ) from error
    if "\r\n" in text:
        lines = text.count("\r\n")
        where = f"{name}:{text.count(chr(10), 0, text.index(chr(13) + chr(10))) + 1}"
        cause = f"{lines:,} lines end with CRLF; a shell takes the CR for a part of the last word"
        hint = "`sed -i 's/\\r$//' FILE` puts it right"
        raise _refused(f"`{name}` has Windows line ends", where=where, cause=cause, hint=hint)
    return text


def _refuse_binary(data: bytes, name: str) -> None:
    if data.startswith(_WIDE_MARKS):
        hint = "`iconv -f utf-16 -t utf-8 FILE > NEW` makes a script of it"
        raise _refused(f"`{name}` is UTF-16, which no shell reads", hint=hint)
    if data.startswith(_MARK):
        hint = "`sed -i '1s/^\\xEF\\xBB\\xBF//' FILE` takes it away"
        cause = "the kernel does not see the shebang behind it, and a shell takes it for a command"
        raise _refused(f"`{name}` begins with a byte order mark", where=f"{name}:1", cause=cause, hint=hint)
    if b"\0" in data:
        what = "a program" if data.startswith(b"\x7fELF") else "not text: it has NUL bytes"
        hint = "call it from a script: `printf '#!/bin/sh\\nexec /path/to/it\\n' | workflow-agent apply -`"
        where = f"{name}:{data.count(10, 0, data.index(0)) + 1}"
        raise _refused(f"`{name}` is {what}, and no script", where=where, hint=hint)


def read_shebang(text: str, name: str = "script") -> Shebang:
    """Say who runs a script, as the kernel would: the rest of the first line is one option.

    Raises:
        ValidationError: the line names no program by its full path.
    """
    first = text.split("\n", 1)[0]
    if not first.startswith("#!"):
        return Shebang(interpreter=_USUAL, options=(), language="bash")
    program, option = [*re.split(r"[ \t]+", first[2:].strip(" \t"), maxsplit=1), ""][:2]
    if not program.startswith("/"):
        hint = "such as `#!/bin/bash`, or `#!/usr/bin/env bash`"
        raise _refused(
            f"the first line of `{name}` names no program by its full path",
            where=f"{name}:1",
            cause=first[:80],
            hint=hint,
        )
    return Shebang(interpreter=program, options=(option,) if option else (), language=_language(program, option))


def _language(program: str, option: str) -> str:
    name = program.rpartition("/")[2]
    if name != "env":
        return name
    words = [word for word in option.split() if not word.startswith("-") and "=" not in word]
    return words[0].rpartition("/")[2] if words else "env"


def plain_script(text: str, *, name: str, arguments: Sequence[str] = ()) -> Script:
    """Make the script that a capture runs. Its hash is the SHA-256 of its text, as `sha256sum` gives it.

    Raises:
        ValidationError: it cannot be run as it stands.
    """
    script_text(text.encode("utf-8", "surrogateescape"), name)
    for argument in arguments:
        if "\0" in argument or "\ud800" <= max(argument, default="") <= "\udfff":
            raise _refused("an argument of the script is not UTF-8 text", cause=ascii(argument)[:80])
    shebang = read_shebang(text, name)
    digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
    provenance = Provenance(integration=None, action=APPLY, version="", template=name, template_hash=digest)
    return Script(
        text=text,
        hash=digest,
        provenance=provenance,
        interpreter=shebang.interpreter,
        options=shebang.options,
        arguments=tuple(arguments),
    )


def explain_failure(error: WorkflowAgentError, script: Script) -> None:
    """Add to the error of a person's own script where it failed, and what to look at next."""
    name, line = script.provenance.template, error.details.get("line")
    if isinstance(line, int):
        text = script.text.split("\n")[line - 1].strip()
        error.where = f"{name}:{line}"
        error.details["text"] = text
        error.cause = error.cause or f"`{text[:120]}` failed and said nothing"
    beside = _own_folder(script.text)
    if beside:
        error.hint = f"line {beside[0].line} {beside[0].message}: {beside[0].hint}"


# -- what the validator says -----------------------------------------------------------------------------------------


def validate_plain(script: Script, *, allow: Collection[str] = ()) -> list[Finding]:
    """Check a person's own script as every script is, with two differences.

    What shellcheck calls an error is a mistake that the capture shows and a rollback takes back: a warning. A script in
    another language is read by the rules as what a shell would give to that program.

    Raises:
        ValidationError: `allow` names a rule that does not exist.
    """
    language = read_shebang(script.text).language
    if language not in _SHELLS:
        return _foreign(script.text, language, allow)
    found = [_own(finding) for finding in validate_script(script.text, allow=allow, shell=language)]
    if any(finding.rule == "bash-syntax" and finding.severity is Severity.ERROR for finding in found):
        found = [finding for finding in found if finding.rule != "unparsable"]  # bash says more plainly what is wrong
    return sorted(found + _own_folder(script.text), key=lambda finding: (finding.line, finding.column, finding.rule))


def _own(finding: Finding) -> Finding:
    """Weigh a finding as one in a person's own script, whose hints do not speak of integrations."""
    mistake = finding.source == "shellcheck" and finding.rule.startswith("SC")
    severity = Severity.WARNING if mistake and finding.severity is Severity.ERROR else finding.severity
    return replace(finding, severity=severity, hint=_OWN_HINTS.get(finding.rule, finding.hint))


def _foreign(text: str, language: str, allow: Collection[str]) -> list[Finding]:
    """Put a program in another language where its shebang stands into a shell script, so that lines stay the same."""
    end = "END_OF_" + hashlib.sha256(text.encode("utf-8")).hexdigest()[:12]
    body = text.split("\n", 1)[1] if "\n" in text else ""
    wrapped = f"{language} - <<'{end}'\n{body.rstrip(chr(10))}\n{end}\n"
    found = [
        _own(finding)
        for finding in validate_script(wrapped, allow=allow)
        # what looks like a command in another language need not be one
        if finding.source == "policy" and finding.rule != "unparsable"
    ]
    message = f"a script in `{language}`: only what such programs are known to do harm with is looked for"
    note = Finding(rule="foreign-script", severity=Severity.WARNING, message=message, line=1, source=APPLY)
    return [note, *found]


def _own_folder(text: str) -> list[Finding]:
    """Find where a script asks for the folder that it lies in: in a capture that is a folder of ours."""
    return [
        Finding(
            rule="own-folder",
            severity=Severity.WARNING,
            message="looks for files beside itself; in the capture it lies alone in /run/workflow-agent",
            line=number,
            source=APPLY,
            excerpt=line.strip()[:120],
            hint="name the folder by its full path, or give it as an argument: `-- /path/to/folder`",
        )
        for number, line in enumerate(text.split("\n"), start=1)
        if not line.lstrip().startswith("#") and _OWN_FOLDER.search(line)
    ]


def _refused(
    message: str, *, hint: str | None = None, where: str | None = None, cause: str | None = None
) -> ValidationError:
    return ValidationError(message, where=where, cause=cause, state=_NOTHING, hint=hint)
