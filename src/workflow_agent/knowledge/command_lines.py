"""Command lines of documentation: prompts, continuations, here-documents, chains, words. Nothing is executed."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from workflow_agent.knowledge.programs import KNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Line", "first_program", "is_prompted", "outputs_of", "program_of", "session", "split_chain", "words_of"]

#: `$ `, `# `, `root@host:~# `, `user@host$ `, `[user@host ~]$ `, `PS> `.
_PROMPT: Final = re.compile(
    r"^\s*(?:(?:\[?[\w.-]+@[\w.-]+(?:[: ][^\s#$]*)?\]?)\s?(?P<at>[#$%])|"
    r"(?P<bare>(?:~[\w./-]*\s?|\w+:~?[\w./-]*\s?)?[$%]))\s+(?=\S)"
)
_ROOT_PROMPT: Final = re.compile(r"^\s*#\s+(?=(?P<word>[\w./-]+))")
_HEREDOC: Final = re.compile(r"<<-?\s*(['\"]?)(?P<word>\w+)\1")
_PIECE: Final = re.compile(r"'[^']*'?|\"[^\"]*\"?|&&|\|\||;|[^'\"&|;]+|.")
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*=")
_SUDO: Final = re.compile(r"^(?:sudo(?:\s+-[EHns]+|\s+-u\s+\S+|\s+--)*|doas|time|nohup)\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A logical line of a session: a command with the text of its here-document, or output."""

    text: str
    is_command: bool = True
    body: str = ""


def is_prompted(lines: Sequence[str]) -> bool:
    """Tell whether lines show a session with prompts."""
    return any(_prompt(line, lines) for line in lines)


def _prompt(line: str, lines: Sequence[str]) -> int:
    """Give the length of a prompt before a command; 0 where there is none. `# ` is one before a known program only."""
    if found := _PROMPT.match(line):
        return found.end()
    found = _ROOT_PROMPT.match(line)
    if found and found["word"] in KNOWN:
        return found.end()
    # `# chronyc tracking` below `# apt install chrony`: all lines that say something have the mark
    said = [item for item in lines if item.strip()]
    if found and all(_ROOT_PROMPT.match(item) for item in said) and any(_known_root(item) for item in said):
        return found.end()
    return 0


def _known_root(line: str) -> bool:
    found = _ROOT_PROMPT.match(line)
    return bool(found and found["word"] in KNOWN)


def session(text: str) -> list[Line]:
    """Take a block of commands apart into logical lines; where it has prompts, all other lines are output."""
    lines = text.split("\n")
    prompted = is_prompted(lines)
    found: list[Line] = []
    left = iter(lines)
    for line in left:
        length = _prompt(line, lines) if prompted else 0
        stripped = line[length:].strip()
        if not stripped:
            continue
        if prompted and not length:
            found.append(Line(text=stripped, is_command=False))
            continue
        if not prompted and stripped.startswith("#"):
            continue  # a comment
        stripped = _continued(stripped, left)
        heredoc = _HEREDOC.search(stripped)
        body = "\n".join(_until(heredoc["word"], left)) if heredoc else ""
        found.append(Line(text=_without_comment(stripped), body=body))
    return found


def outputs_of(lines: Sequence[Line]) -> dict[str, str]:
    """Give what each line of a session with prompts prints there, by its text (as a provenance quotes it)."""
    found: dict[str, list[str]] = {}
    printed: list[str] = []
    for line in lines:
        if line.is_command:
            printed = found.setdefault(" ".join(line.text.split()), [])
        else:
            printed.append(line.text)
    return {text: "\n".join(output) for text, output in found.items() if output}


def _continued(line: str, left: Iterator[str]) -> str:
    while line.endswith("\\"):
        line = f"{line[:-1].rstrip()} {next(left, '').strip().removeprefix('> ')}".rstrip()
    return line


def _until(word: str, left: Iterator[str]) -> Iterator[str]:
    for line in left:
        if line.strip() == word:
            return
        yield line


def _without_comment(line: str) -> str:
    found = re.search(r"\s#\s.*$", line)
    return line[: found.start()] if found and line[: found.start()].count("'") % 2 == 0 else line


def split_chain(line: str) -> list[str]:
    """Split ``a && b; c`` into commands, without `sudo`; pipes stay together, and so does what is quoted."""
    parts = [""]
    for piece in _PIECE.findall(line):
        if piece in {"&&", "||", ";"}:
            parts.append("")
        else:
            parts[-1] += piece
    return [_SUDO.sub("", part.strip()) for part in parts if part.strip()]


def words_of(command: str) -> list[str]:
    """Split a command into words as a shell would; by spaces where its quotes do not end."""
    try:
        return shlex.split(command, comments=False)
    except ValueError:
        return command.split()


def program_of(command: str) -> str:
    """Give the program of a command, without folder, assignments and `sudo`."""
    for word in words_of(_SUDO.sub("", command.strip())):
        if not _ASSIGNMENT.match(word):
            return word.rsplit("/", 1)[-1] if not word.startswith("./") else word
    return ""


def first_program(line: str) -> str:
    """Give the first word of a line as it stands, without `sudo`."""
    words = _SUDO.sub("", line.strip()).split()
    return words[0] if words else ""
