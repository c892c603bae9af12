"""Which file contents of a page may be written, and what has to be asked about the others.

A block is written when the page says where it goes, that it is all of the file, and nothing in it is for a person to
fill in; and only below `/etc`, into what belongs to the thing that is installed. What names programs to run is a
command in another dress, and is asked about like one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.knowledge.facts import BlockKind
from workflow_agent.knowledge.file_contents import Extent
from workflow_agent.knowledge.placeholders import has_placeholder, placeholders_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["DraftedFiles", "drafted_files"]

_PATH: Final = re.compile(r"/etc(?:/[A-Za-z0-9_@+][A-Za-z0-9._@+-]*)+")
_ENDING: Final = re.compile(r"(\.d|\.conf|\.cfg|\.cnf|\.ini|\.ya?ml|\.toml|\.json|\.local|\.list|\.rules)+$")
#: Folders of `/etc` from which something is run, or which decide who may do what; whatever is installed.
_NEVER: Final = re.compile(
    r"(alternatives|apparmor|apt|bash\w*|binfmt|ca-certificates|cron\w*|dbus-1|dpkg|environment|fstab|group|grub|gshadow|"
    r"hosts?|init|initramfs-tools|inittab|kernel|ld\.so|logrotate|modprobe|modules|network|nsswitch|pam|passwd|polkit-1|"
    r"profile|rc\w*|security|selinux|shadow|shells|ssh|ssl|sudo\w*|sysctl|systemd|tmpfiles|udev|update-\w+|X11|xdg)"
)
#: What makes a configuration run something: a shell's substitutions, programs by path, libraries, keys for commands.
_RUNS: Final = re.compile(
    r"\A#!|\$\(|`|(?<![\w.-])/(?:usr/(?:local/)?)?s?bin/|\.so\b|\bsh -c\b|\bomprog\b|"
    r"^\s*[\w.\"-]*(?:exec|command|cmd|script|program|hook|external-check|lua|perl|python)\w*[\"]?\s*[=:( ]",
    re.IGNORECASE | re.MULTILINE,
)
_ASSIGNMENTS: Final = re.compile(r"(?:\s*(?:#.*|[A-Z][A-Z0-9_]*=(?:\"[^\"$`\\\\]*\"|'[^']*'|[\w./:@%+,=-]*))?\n)*")
#: Never one that makes a file a program.
_CHMOD: Final = re.compile(r"chmod\s+0?([0246]{3})\s+(/\S+)")
_CHOWN: Final = re.compile(r"chown\s+([a-z_][a-z0-9_-]{0,31}:[a-z_][a-z0-9_-]{0,31})\s+(/\S+)")
_MKDIR: Final = re.compile(r"mkdir\s+(?:-p\s+|--parents\s+)?(/\S+)")
_LARGEST: Final = 48 * 1024


@dataclass(slots=True, kw_only=True)
class DraftedFiles:
    """Facts that are written, each path once, with what else is said of it; and what is asked.

    Attributes:
        facts: In the order of the page.
        modes: Octal, by path.
        owners: `user:group`, by path.
        directories: That are made for them.
        questions: Text, fact, and whether it decides about what would run.
    """

    facts: list[Mapping[str, Any]] = field(default_factory=list)
    modes: dict[str, str] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    directories: list[str] = field(default_factory=list)
    questions: list[tuple[str, Mapping[str, Any], bool]] = field(default_factory=list)

    @property
    def places(self) -> set[tuple[str, str]]:
        """Address and selector of the blocks that are written."""
        return {(fact["provenance"]["address"], fact["provenance"]["selector"]) for fact in self.facts}

    def takes(self, step: str) -> bool:
        """Take a step that only says how a written file, or its folder, is to be; tell whether it was one."""
        written = {fact["value"] for fact in self.facts}
        if (found := _CHMOD.fullmatch(step)) and found[2] in written:
            self.modes[found[2]] = f"0{found[1]}"
        elif (found := _CHOWN.fullmatch(step)) and found[2] in written:
            self.owners[found[2]] = found[1]
        elif (found := _MKDIR.fullmatch(step)) and found[1].rstrip("/") in {
            path.rpartition("/")[0] for path in written
        }:
            self.directories.append(found[1].rstrip("/"))
        else:
            return False
        return True

    def lines(self, source: Mapping[int, str]) -> Iterator[str]:
        """Write `directories` and `files` of a manifest; `source` are comments, by the number of the fact."""
        if self.directories:
            yield "directories:"
            yield from (f"  - {{path: {path}}}" for path in dict.fromkeys(self.directories))
        if self.facts:
            yield "files:"
        for number, fact in enumerate(self.facts):
            path, content = fact["value"], str(fact["details"]["content"])
            yield f"  - path: {path}  # {source[number]}"
            yield "    format: text"
            yield from (f'    mode: "{mode}"' for mode in [self.modes.get(path)] if mode)
            yield from (f"    owner: {owner}" for owner in [self.owners.get(path)] if owner)
            # How deep it is indented is said where its first line would not show that.
            yield "    content: |2" if content[0] in " \n\t" else "    content: |"
            yield from (f"      {line}".rstrip() for line in content.removesuffix("\n").split("\n"))


def drafted_files(
    facts: Iterable[Mapping[str, Any]], names: Sequence[str], flags: Iterable[Mapping[str, Any]]
) -> DraftedFiles:
    """Choose what is written.

    Args:
        facts: All contents that are known, of every source.
        names: Packages that are installed, and services of them.
        flags: Of the same sources; a placeholder at the place of a block is in it.
    """
    found = DraftedFiles()
    marked = {
        (flag["provenance"]["address"], flag["provenance"]["selector"])
        for flag in flags
        if flag["kind"] == "placeholder"
    }
    by_path: dict[str, list[Mapping[str, Any]]] = {}
    for fact in facts:
        by_path.setdefault(fact["value"], []).append(fact)
    for path, said in by_path.items():
        for fact in said:
            if fact["details"].get("optional"):
                found.questions.append((f"should `{_shown(path)}` be written, as that says one may?", fact, False))
        told = [fact for fact in said if not fact["details"].get("optional")]
        if not told:
            continue
        place = (told[0]["provenance"]["address"], told[0]["provenance"]["selector"])
        problem = _several(path, told) or _problem(told[0], names, is_marked=place in marked)
        if problem:
            found.questions.append((problem, told[0], True))
        else:
            found.facts.append(told[0])
    return found


def _several(path: str, facts: Sequence[Mapping[str, Any]]) -> str:
    contents = {fact["details"]["content"] for fact in facts}
    return f"which of {len(contents)} contents is that of `{_shown(path)}`?" if len(contents) > 1 else ""


def _problem(fact: Mapping[str, Any], names: Sequence[str], *, is_marked: bool) -> str:
    """Say as a question why a content cannot be written as it stands; empty where it can."""
    path, content, extent = fact["value"], str(fact["details"]["content"]), fact["details"].get("extent")
    shown, lines = f"`{_shown(path)}`", f"the lines from `{_shown(content)}` on"
    is_filled = is_marked or has_placeholder(content) or any(placeholders_in(content, BlockKind.CONFIGURATION))
    questions = (
        (extent == Extent.PART, f"where in {shown} do {lines} belong?"),
        (extent != Extent.WHOLE, f"are {lines} all of {shown}?"),
        (is_filled, f"what are the placeholders in {shown} to be?"),
        (not _is_text(content), f"is what stands for {shown} really its content?"),
        (not _belongs(path, content, names), f"should {shown}, which belongs to something else, be written?"),
        (not path.startswith("/etc/default/") and _RUNS.search(_said(content)), f"may {shown} name programs to run?"),
    )
    return next((question for holds, question in questions if holds), "")


def _belongs(path: str, content: str, names: Sequence[str]) -> bool:
    """Tell whether a path is the configuration of something that is installed."""
    if not _PATH.fullmatch(path) or ".." in path:
        return False
    first, *rest = path.split("/")[2:]
    if first == "default":
        # an init script reads it as a shell would: plain assignments only
        return len(rest) == 1 and rest[0] in names and bool(_ASSIGNMENTS.fullmatch(content))
    stem = _ENDING.sub("", first)
    return stem in {stem for name in names for stem in _stems(name)} and not _NEVER.fullmatch(stem)


def _stems(name: str) -> Iterator[str]:
    """Give the beginnings of a name: `prometheus-blackbox-exporter` is at home in `/etc/prometheus`."""
    words = name.split("-")
    yield from ("-".join(words[:number]) for number in range(1, len(words) + 1))


def _said(content: str) -> str:
    """Give a content without its comments; a first line that names an interpreter is none."""
    lines = [line for line in content.split("\n") if not line.lstrip().startswith(("#", ";", "//"))]
    return "\n".join([*re.findall(r"\A#!.*", content), *lines])


def _is_text(content: str) -> bool:
    """Tell whether a content is text that a manifest can carry as it stands."""
    is_plain = all(character.isprintable() or character in "\n\t" for character in content)
    return is_plain and bool(content.strip()) and len(content) <= _LARGEST and "${{" not in content


def _shown(text: str) -> str:
    line = next((line.strip() for line in text.split("\n") if line.strip()), "")
    return "".join(character if character.isprintable() and character != "`" else " " for character in line)[:60]
