"""Facts from commands: packages, repositories, keys, files, services, ports, users, verification, removal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from workflow_agent.knowledge.command_lines import program_of, split_chain, words_of
from workflow_agent.knowledge.facts import Fact, FactKind, PageCommand, provenance_of
from workflow_agent.knowledge.place import paths_in
from workflow_agent.knowledge.platforms import MANAGERS
from workflow_agent.knowledge.programs import WRITING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from workflow_agent.knowledge.command_lines import Line
    from workflow_agent.knowledge.facts import SystemFamily
    from workflow_agent.knowledge.place import PagePlace

__all__ = ["command_facts", "commands_of", "is_check", "is_removal"]

#: Options of package managers that take a value.
_WITH_VALUE: Final = frozenset(
    {"-t", "-o", "-c", "--target-release", "-r", "--requirement", "-i", "--index-url", "--root"}
)
_INSTALL: Final = {
    "apt": "install",
    "apt-get": "install",
    "aptitude": "install",
    "dnf": "install",
    "yum": "install",
    "zypper": "install",
    "apk": "add",
    "brew": "install",
    "pip": "install",
    "pip3": "install",
    "pipx": "install",
}
_NAMES: Final = {"apt-get": "apt", "aptitude": "apt", "pip3": "pip", "pipx": "pip"}
_REMOVAL: Final = re.compile(
    r"^(?:\S*/)?(apt(-get)?\s+(-\S+\s+)*(purge|remove|autoremove)|dnf\s+(-\S+\s+)*(remove|erase)|"
    r"yum\s+(-\S+\s+)*(remove|erase)|zypper\s+(-\S+\s+)*(rm|remove)|"
    r"apk\s+del|pacman\s+-R\w*|brew\s+uninstall|(python3?\s+-m\s+)?pip3?\s+uninstall|userdel|deluser|"
    r"docker\s+(rm|rmi)|dpkg\s+(-P|-r|--purge))\b"
)
_SYSTEMCTL: Final = frozenset(
    {
        "start",
        "restart",
        "reload",
        "enable",
        "disable",
        "stop",
        "status",
        "is-active",
        "is-enabled",
        "try-restart",
        "force-reload",
        "reload-or-restart",
    }
)
_ASKS: Final = frozenset({"status", "is-active", "is-enabled"})
_URL: Final = re.compile(r"https?://[^\s'\"|)>]+")
_LOCAL: Final = re.compile(r"(?<![\w.])(?:localhost|127\.0\.0\.1|\[::1\]|0\.0\.0\.0)(?::(\d{2,5}))?(?=[/\s'\"?]|$)")
_DEB: Final = re.compile(r"\bdeb(?:-src)?\s+(?:\[[^\]]*\]\s+)?(https?://\S+)")
_KEY: Final = re.compile(r"(\.(key|asc|gpg|pub)|/gpg|/key|KEY)(?=$|[?#])|gpg\.key|GPG-KEY|/keys/")
_CONFIG_TEST: Final = re.compile(
    r"\s(-t|-c\s+-f\s+\S+|-c\s+\S+\s+-t|configtest|-N\s?1|--check(-config)?|check-config|check\s+config|"
    r"validate(-config)?|ping|health|status)(\s|$)"
)
_SENDS: Final = re.compile(r"\s(-d|--data\S*|-F|-T|-X\s*(POST|PUT|DELETE|PATCH)|-o|-O|--output|-\w*O)(\s|$)")
#: An answer that is thrown away is only looked at.
_NOWHERE: Final = re.compile(r"\s(?:-o|-O|--output)[ =]?/dev/null(?=\s|$)|\s\d?>\s?/dev/null|\s2>&1")
_PUBLISHED: Final = re.compile(r"\s(?:-p|--publish)[ =](?:\d+\.\d+\.\d+\.\d+:)?(\d{2,5}):\d+")
_PORT_FLAG: Final = re.compile(
    r"\s--?(?:[\w.-]*\.)?(?:port|listen|listen-address|bind|addr|address)[ =](?:[\w.\[\]:]*:)?(\d{2,5})(?=\s|$)"
)
_MOST_WORDS: Final = 60


def commands_of(place: PagePlace, lines: Sequence[Line]) -> Iterator[PageCommand]:
    """Give the commands of a block, one each, chains taken apart."""
    for line in lines:
        if not line.is_command:
            continue
        for number, text in enumerate(split_chain(line.text)):
            yield PageCommand(
                text=text,
                body=line.body if number == 0 else "",
                platforms=place.platforms or _manager_platform(text),
                provenance=provenance_of(place.address, place.element, 0.9, line.text),
            )


def _manager_platform(text: str) -> tuple[SystemFamily, ...]:
    manager = _NAMES.get(program_of(text), program_of(text))
    return (MANAGERS[manager],) if manager in MANAGERS else ()


def command_facts(place: PagePlace, command: PageCommand) -> Iterator[Fact]:
    """Give the facts of one command."""
    text = command.text
    removing = is_removal(place, text)
    if removing:
        yield place.fact(FactKind.REMOVAL, text, 0.9, quote=text)
    elif is_check(place, text):
        yield place.fact(FactKind.VERIFICATION, text, 0.85, quote=text)
    yield from _services(place, text)
    if removing:
        return
    yield from _packages(place, text)
    yield from _repositories(place, text)
    yield from _users(place, text)
    yield from _files(place, text)
    yield from _ports(place, text, place.is_check or is_check(place, text))


def is_removal(place: PagePlace, text: str) -> bool:
    """Tell whether a command takes the thing away."""
    return bool(_REMOVAL.match(text)) or (place.is_removal and program_of(text) not in {"systemctl status", "cd"})


def is_check(place: PagePlace, text: str) -> bool:
    """Tell whether a command shows that the thing works: it reads, and says so or is asked for that."""
    text = _NOWHERE.sub("", text)
    words = words_of(text)
    program = program_of(text)
    if program in {"systemctl", "service"}:
        return bool(_ASKS.intersection(words[1:4]))
    if program in {"curl", "wget"}:
        return bool(_LOCAL.search(text)) and not _SENDS.search(text)
    if program in {"nc", "ncat", "telnet"} or re.search(r"\|\s*n(?:c|cat)\s", text):
        return bool(_LOCAL.search(text))
    if (
        program in WRITING
        or program in {"ulimit", "brew"}
        or program in {"docker", "podman", "kubectl", "haproxy -f"}
        or re.search(r"[^0-9&]>\s*/", text)
    ):
        return False
    if _CONFIG_TEST.search(f" {text.partition(' ')[2]} ") and program not in {"systemctl", "rm", "logger"}:
        return True
    return place.is_check and program != "logger" and not _starts_daemon(text)


def _starts_daemon(text: str) -> bool:
    return bool(re.search(r"--?config[ =]|--foreground|\slogin\b", text)) or program_of(text).startswith("./")


def _packages(place: PagePlace, text: str) -> Iterator[Fact]:
    words = words_of(text.split("|", 1)[0])
    program = program_of(text)
    if program.startswith("python") and words[1:3] == ["-m", "pip"]:
        words, program = words[2:], "pip"
    if program == "pacman" and len(words) > 1 and re.match(r"-S[a-z]*$", words[1]):
        names = words[2:]
    elif program in _INSTALL and (_INSTALL[program] in words[1:] or (program == "zypper" and "in" in words[1:])):
        verb = _INSTALL[program] if _INSTALL[program] in words else "in"
        names = words[words.index(verb) + 1 :]
    else:
        return
    manager = _NAMES.get(program, program)
    platform = (MANAGERS[manager],) if manager in MANAGERS else place.platforms
    left = iter(names[:_MOST_WORDS])
    for word in left:
        if word in _WITH_VALUE:
            next(left, None)
        elif not word.startswith("-") and "/" not in word and re.match(r"[A-Za-z0-9]", word) and word != "\\":
            name, version = _name_and_version(word)
            yield place.fact(
                FactKind.PACKAGE, name, 0.95, quote=text, platforms=platform, manager=manager, version=version
            )


def _name_and_version(word: str) -> tuple[str, str]:
    found = re.match(r"^([A-Za-z0-9][\w.+-]*?)(?:\[[^\]]*\])?(?:==?|>=|~=|@)([\w.:~+*-]+)$", word)
    return (found[1], found[2]) if found else (word, "")


def _repositories(place: PagePlace, text: str) -> Iterator[Fact]:
    for address in _DEB.findall(text):
        yield place.fact(FactKind.REPOSITORY, address.rstrip("/"), 0.95, quote=text, use="packages")
    program = program_of(text)
    urls = _URL.findall(text)
    if program in {"curl", "wget", "rpm", "apt-key", "gpg"}:
        for url in urls:
            if url.endswith(".repo"):
                yield place.fact(FactKind.REPOSITORY, url, 0.9, quote=text, use="packages")
            elif _KEY.search(url) or re.search(r"\|.*\b(gpg|apt-key)\b|--import", text):
                yield place.fact(FactKind.REPOSITORY, url, 0.9, quote=text, use="key")
    elif (program == "zypper" and re.search(r"\b(addrepo|ar)\b", text)) or "--add-repo" in text:
        for url in urls:
            yield place.fact(FactKind.REPOSITORY, url, 0.9, quote=text, use="packages")
    elif program == "add-apt-repository":
        for found in re.findall(r"ppa:[\w./+-]+", text):
            yield place.fact(FactKind.REPOSITORY, found, 0.9, quote=text, use="packages")


def _services(place: PagePlace, text: str) -> Iterator[Fact]:
    words = [word for word in words_of(text) if not word.startswith("-")]
    program = program_of(text)
    names: list[str] = []
    if program == "systemctl" and len(words) > 2 and words[1] in _SYSTEMCTL:  # noqa: PLR2004
        names = words[2:]
    elif program in {"service", "rc-service"} and len(words) > 2:  # noqa: PLR2004
        names = words[1:2]
    elif program == "brew" and words[1:2] == ["services"] and len(words) > 3:  # noqa: PLR2004
        names = words[3:]
    elif program in {"rc-update", "update-rc.d", "chkconfig"}:
        names = [word for word in words[1:] if word not in {"add", "default", "defaults", "enable", "on"}][:1]
    for name in names:
        if re.fullmatch(r"[\w@.:-]+", name):
            yield place.fact(FactKind.SERVICE, name.removesuffix(".service"), 0.95, quote=text)


def _users(place: PagePlace, text: str) -> Iterator[Fact]:
    words = words_of(text)
    if program_of(text) not in {"useradd", "adduser"} or len(words) < 2:  # noqa: PLR2004
        return
    if re.search(r"(^|\s)(--system|-r|-\w*r\w*|--no-create-home|-M)(\s|$)", text) and re.fullmatch(
        r"[\w.-]+", words[-1]
    ):
        yield place.fact(FactKind.USER, words[-1], 0.95, quote=text)


def _files(place: PagePlace, text: str) -> Iterator[Fact]:
    first = words_of(text)[:1]
    text = re.sub(r"(\s(?:-v|--volume)[ =](?:<[^>]*>|[^\s:]+)):\S+", r"\1", text)  # the rest is inside the container
    for path in paths_in(re.sub(_URL, " ", text)):
        if first != [path] and not (first and first[0].startswith(path)):
            yield place.fact(FactKind.FILE, path, 0.85, quote=text)


def _ports(place: PagePlace, text: str, checking: object) -> Iterator[Fact]:
    if checking and not _SENDS.search(text):
        for found in _LOCAL.finditer(text):
            if found[1]:
                yield place.fact(FactKind.PORT, found[1], 0.8, quote=text)
        if near := re.search(r"\bn(?:c|cat)\s[^|]*?(?:localhost|127\.0\.0\.1|::1)\s+(\d{2,5})\b", text):
            yield place.fact(FactKind.PORT, near[1], 0.8, quote=text)
    for port in _PUBLISHED.findall(text):
        yield place.fact(FactKind.PORT, port, 0.85, quote=text)
