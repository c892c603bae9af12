"""What calls give on their standard output: constant text, names of files, something fetched, something decoded."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from workflow_agent.scripts.policy.ansi import ansi_text
from workflow_agent.scripts.policy.markers import DECODED, NET
from workflow_agent.scripts.policy.unwrapping import found_by_find, narrowed_find

if TYPE_CHECKING:
    from workflow_agent.scripts.policy.calls import Call

__all__ = ["NETWORK", "listed", "origin_of", "printed"]

_PLACE = re.compile(r"%[-0-9.]*[sbqdi]")
_MAX_WORDS = 200
#: Programs that fetch.
NETWORK = frozenset(
    [
        "curl",
        "wget",
        "fetch",
        "aria2c",
        "axel",
        "lynx",
        "links",
        "w3m",
        "nc",
        "ncat",
        "netcat",
        "socat",
        "ftp",
        "lftp",
        "tftp",
        "http",
        "https",
    ]
)
#: Programs that turn text into other text that a reader of the script does not see.
_UNPACKERS = frozenset(
    [
        "rev",
        "tac",
        "gunzip",
        "zcat",
        "unxz",
        "xzcat",
        "bunzip2",
        "bzcat",
        "zstdcat",
        "gpg",
        "gzip",
        "xz",
        "zstd",
        "bzip2",
    ]
)


def listed(sources: list[Call]) -> list[str]:
    """Give the words that calls print: constant text, and what ``find`` and ``ls`` list."""
    words = [word for text in printed(sources) for word in text.split()]
    for source in sources:
        if source.name == "find":
            roots, narrowed = narrowed_find(source.argv)
            words += found_by_find(source.argv) if narrowed else [f"{root}/*" for root in roots]
        elif source.name == "ls":
            folders = [word for word in source.argv[1:] if not word.startswith("-")]
            words += [word if "*" in word else f"{word}/*" for word in folders or ["."]]
    return words


def origin_of(calls: list[Call]) -> str | None:
    """Marker of text that comes from a network or a decoder; None when neither takes part."""
    if any(call.name in NETWORK or any(NET in word for word in call.argv) for call in calls):
        return NET
    if any(_decodes(call) or any(DECODED in word for word in call.argv) for call in calls):
        return DECODED
    return None


def _decodes(call: Call) -> bool:
    arguments = call.argv[1:]
    if call.name in _UNPACKERS:
        return call.name not in ("gzip", "xz", "zstd", "bzip2") or any(word.startswith("-d") for word in arguments)
    if call.name == "tr":
        return len(arguments) == 2 and all(re.search(r"[a-zA-Z]-", word) for word in arguments)  # noqa: PLR2004
    if call.name in ("base64", "base32", "basenc", "uudecode"):
        return call.name == "uudecode" or any(word in ("-d", "-D", "--decode", "-di") for word in arguments)
    if call.name == "openssl":
        return any(word in ("-d", "enc", "base64") for word in arguments)
    return call.name == "xxd" and any(word.startswith("-") and "r" in word for word in arguments)


def printed(calls: list[Call]) -> list[str]:
    """Give the texts that ``echo`` and ``printf`` calls print; a format's ``%s`` are filled in order."""
    texts = []
    for call in calls:
        words = list(call.argv[1:])
        if call.name == "echo":
            escapes = False
            while words and re.fullmatch(r"-[neE]+", words[0]):
                escapes = "e" in words.pop(0) or escapes
            text = " ".join(words)
            texts.append(ansi_text(text) if escapes else text)
        elif call.name == "printf" and words and words[0] != "-v":
            texts.append(_formatted(ansi_text(words[0]), words[1:]))
    return texts


def _formatted(text: str, words: list[str]) -> str:
    """Fill in a format as often as there are words for it."""
    places = len(_PLACE.findall(text))
    if not places:
        return " ".join([text, *words])
    rounds = [words[start : start + places] for start in range(0, min(len(words), _MAX_WORDS), places)]
    return "".join(_filled(text, given) for given in rounds or [[]])


def _filled(text: str, words: list[str]) -> str:
    left = iter(words)
    return _PLACE.sub(lambda _: next(left, ""), text)
