"""What a block of code is: a command, output, configuration, a unit or a query. What is not known is never a command.

Signs, the strongest first: what is in it that nothing else has (prompts, sections of units, SQL), its language, the
words before it, and for blocks without a language the programs that its lines begin with.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from workflow_agent.knowledge.command_lines import first_program, is_prompted
from workflow_agent.knowledge.facts import BlockKind
from workflow_agent.knowledge.programs import KNOWN

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from workflow_agent.knowledge.page import Element

__all__ = ["classify", "says_output"]

_SHELL: Final = frozenset(
    {"bash", "sh", "shell", "console", "terminal", "shell-session", "zsh", "shellsession", "command"}
)
_CONFIGURATION: Final = frozenset(
    [
        "yaml",
        "yml",
        "toml",
        "ini",
        "conf",
        "apache",
        "apacheconf",
        "nginx",
        "haproxy",
        "xml",
        "hcl",
        "properties",
        "cfg",
        "dotenv",
        "env",
        "systemd",
        "config",
        "json",
        "json5",
    ]
)
_QUERY: Final = frozenset({"sql", "promql", "nrql", "logql", "mysql", "pgsql", "postgresql", "kql", "cql", "flux"})
_OUTPUT: Final = frozenset({"output", "text", "txt", "log", "plaintext"})
_UNIT: Final = re.compile(r"^\[(Unit|Service|Install|Socket|Timer)\]\s*$", re.MULTILINE)
_SQL: Final = re.compile(
    r"^\s*(SELECT\b|CREATE (USER|ROLE|DATABASE|TABLE)\b|GRANT\b|INSERT INTO\b|ALTER (USER|ROLE)\b|"
    r"SHOW \w+;|FLUSH PRIVILEGES)",
    re.MULTILINE,
)
_SQL_PROMPT: Final = re.compile(r"^\s*(\w+ \[[^\]]*\]|mysql|\w+=[#>]|sqlite|cqlsh)> ?", re.MULTILINE)
_SAYS_OUTPUT: Final = re.compile(
    r"(?i)\b(outputs?|you (should|will|can) (then )?see|looks? like|similar to|prints?|says|returns|responds?|response|"
    r"results?|which gives|answers?|shows|expect(ed)?|replies|it reports)\b[^.;]{0,60}[:.]?$"
)
_EXPOSED: Final = re.compile(r"^# TYPE \w+ (gauge|counter|summary|histogram|untyped)\s*$", re.MULTILINE)
#: A sentence that asks to type what follows.
_TYPED: Final = re.compile(r"(?i)\b(type|run|execute|invoke)(ning|ing)?\b[^.:]{0,40}:?$|\bverify [^.]* with:?$")
_PROGRAM: Final = re.compile(r"^[a-z][a-z0-9_.-]*( [^=:{]*)?$")
_USAGE: Final = re.compile(r"^\s*usage: ", re.IGNORECASE)
#: `KEY=value`, where no command follows.
_ASSIGNED: Final = re.compile(r"""\s*[A-Za-z_][\w.-]*=("[^"]*"|'[^']*'|<[^>]*>\S*|[^\s"'$]\S*)?\s*""")
#: A sentence that asks for lines in a file.
_CONFIGURES: Final = re.compile(r"(?i)\b(enable|add|put|append|set|configur\w+|lines?|file|stanza|section)\b[^.]*:\s*$")
#: A sentence that asks for a file.
_PUT: Final = re.compile(r"(?i)\b(create|put|save|write|add|append|replace|overwrite|paste|edit)\b[^.]*[:.]?\s*$|:\s*$")
_SETTING: Final = re.compile(
    r"^\s*([\w.-]+\s*[=:]\s*\S|\[[^\]]+\]\s*$|[\w.-]+:\s*$|<[A-Z]\w+[ >]|[\w*.-]+\s*\{|\}\s*$|"
    r"-{1,2}\w[\w-]*( \S+)?$|[#;]|[*\w]+\(.*\)|\*\.\*)"
)
_PATH: Final = re.compile(r"(?<![\w:/])(/etc/|/lib/systemd/|/usr/lib/|~/\.|[\w-]+\.(conf|ya?ml|toml|ini|cfg)\b)")
_DIRECTIVE: Final = re.compile(r"^\s*[A-Za-z][\w-]* \S")
_HALF: Final = 0.5


def says_output(text: str) -> bool:
    """Tell whether a sentence announces output."""
    return bool(_SAYS_OUTPUT.search(text.strip()))


def classify(element: Element, before: str, programs: AbstractSet[str], *, after_command: bool) -> BlockKind:
    """Say what a block is.

    Args:
        element: The block.
        before: The paragraph or heading right before it; empty when there is none.
        programs: Names of packages and programs of this page, which its lines may begin with.
        after_command: A block of commands stands right before it, with nothing between.
    """
    text, lines = element.text, [line for line in element.text.split("\n") if line.strip()]
    if found := _by_itself(text, lines):
        return found
    if element.language in _QUERY:
        return BlockKind.QUERY
    if element.language in _SHELL:
        return BlockKind.CONFIGURATION if all(_ASSIGNED.fullmatch(line) for line in lines) else BlockKind.COMMAND
    # plain text may be that of a file whose language has no name there
    is_put = element.language in _OUTPUT and bool(_PUT.search(before)) and bool(_PATH.search(before))
    output = says_output(before) or (element.language in _OUTPUT and not is_put)
    if element.language in _CONFIGURATION or (is_put and not output):
        return BlockKind.OUTPUT if output and element.language.startswith("json") else BlockKind.CONFIGURATION
    if output:
        return BlockKind.OUTPUT
    return _unlabelled(lines, before, programs, after_command=after_command, has_marks=bool(element.marks))


def _by_itself(text: str, lines: list[str]) -> BlockKind | None:
    """Recognise a block by what nothing else has."""
    if _UNIT.search(text):
        return BlockKind.UNIT
    if _SQL_PROMPT.search(text) or _SQL.match(text):
        return BlockKind.QUERY
    if _USAGE.match(text) or _EXPOSED.search(text):
        return BlockKind.OUTPUT
    return BlockKind.COMMAND if is_prompted(lines) else None


def _unlabelled(
    lines: list[str], before: str, programs: AbstractSet[str], *, after_command: bool, has_marks: bool
) -> BlockKind:
    names_file = bool(_PATH.search(before)) or bool(re.match(r"\s*[#;/]+\s*(File:?\s*)?(/|~/)[\w./-]+\s*$", lines[0]))
    starts = [first_program(line) for line in lines]
    commands = sum(1 for word in starts if _is_program(word, programs))
    settings = sum(1 for line in lines if _SETTING.match(line) or (names_file and _DIRECTIVE.match(line)))
    if commands and commands / len(lines) >= _HALF and not (names_file and settings > commands):
        return BlockKind.COMMAND
    if _TYPED.search(before.strip()) and all(_PROGRAM.match(line.strip()) for line in lines):
        return BlockKind.COMMAND
    if after_command and not names_file:
        return BlockKind.OUTPUT
    if _CONFIGURES.search(before) and all(_DIRECTIVE.match(line) or _SETTING.match(line) for line in lines):
        return BlockKind.CONFIGURATION
    if settings / len(lines) > _HALF or has_marks:
        return BlockKind.CONFIGURATION
    return BlockKind.OUTPUT


def _is_program(word: str, programs: AbstractSet[str]) -> bool:
    if word in KNOWN or word in programs:
        return True
    return word.startswith(("./", "/usr/bin/", "/usr/sbin/", "/usr/local/bin/", "/opt/")) and not word.endswith("/")
