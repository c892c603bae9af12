"""Checks from what a page says to look at: a look becomes a probe of ours, or a question; it is never run.

Known are requests to this machine over HTTP, with what is looked for in the answer, and a line sent over TCP.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.knowledge.command_lines import program_of, words_of
from workflow_agent.knowledge.configuration_facts import is_metric_name
from workflow_agent.knowledge.placeholders import has_placeholder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

__all__ = ["check_of", "is_covered"]

_URL: Final = re.compile(r"(?:http://)?((?:localhost|127\.0\.0\.1)(?::(\d{2,5}))?(?:/[\w./?&=:%+,~@-]*)?)")
_PLAIN_FLAG: Final = re.compile(r"-[sSfiIvL4]+|--(?:silent|show-error|fail|head|include|verbose|location|ipv4)")
_VALUED: Final = frozenset({"-m", "--max-time", "--connect-timeout", "--retry", "--retry-delay", "-T", "--timeout"})
_NOWHERE: Final = frozenset({"/dev/null", "-"})
_WGET_FLAG: Final = re.compile(r"-q|-nv|-qO-|-O-|-qO|--quiet|--spider")
_SHOWS: Final = re.compile(r"^(head|tail|less|more|jq|wc|python3? -m json\.tool|cat|sort)\b")
_GREP: Final = re.compile(r"^e?grep\s+(?:-[Eoqcw]+\s+)*(?:\"([^\"]+)\"|'([^']+)'|(\S+))$")
_WORDS: Final = re.compile(r"[\w :./=,-]+")
_STATUS: Final = re.compile(r"HTTP/[\d.]+ (\d{3})\b")
_SHORT: Final = re.compile(r"[A-Za-z][A-Za-z ,.!-]{1,39}")
_SENT: Final = re.compile(
    r"(?P<program>echo|printf)\s+(?P<flags>(?:-[ne]+\s+)*)(?P<text>\"[^\"$`]*\"|'[^']*'|[\w ]+?)\s*\|\s*"
    r"(?:nc|ncat|netcat)\s+(?P<more>(?:-[A-Zabcd-tv-z0-9]+\s+(?:\d+\s+)?)*)(?:localhost|127\.0\.0\.1)\s+(?P<port>\d{2,5})"
)
_ANSWER: Final = re.compile(r"[+-]?[A-Z]{2,}\b")
_HIGHEST: Final = 65535


def is_covered(text: str, services: AbstractSet[str], ports: AbstractSet[str]) -> bool:
    """Tell whether a look asks what is checked anyhow: that a service runs, that a port is open."""
    program, words = program_of(text), words_of(text)
    if program in {"echo", "printf"} and "|" not in text:
        return True
    if program in {"systemctl", "service"}:
        return any(word.removesuffix(".service") in services for word in words[1:])
    if program in {"ss", "netstat", "lsof"}:
        return any(number in ports for number in re.findall(r"\d{2,5}", text))
    return False


def check_of(fact: Mapping[str, Any], ports: AbstractSet[str]) -> dict[str, Any] | None:
    """Make a check of a look; None where no probe asks the same.

    Args:
        fact: The look, with its `output` where the page shows that.
        ports: On which the thing is known to listen.
    """
    text, output = str(fact["value"]), str(fact["details"].get("output", ""))
    if has_placeholder(text):
        return None
    if found := _SENT.fullmatch(text):
        return _exchange(found, output) if found["port"] in ports else None
    left, _, right = text.partition("|")
    url, port = _request(words_of(left))
    if not url or int(port) > _HIGHEST or (port not in ports and port != "80"):
        return None
    return _answer(url, right.strip(), output)


def _request(words: Sequence[str]) -> tuple[str, str]:
    """Give address and port of a plain GET; empty where a command asks for anything else."""
    program, urls, left = (words[0] if words else ""), [], iter(words[1:])
    for word in left:
        if word in _VALUED:
            next(left, None)
        elif word in {"-o", "--output", "-O"}:
            if next(left, "") not in _NOWHERE:
                return "", "0"
        elif found := _URL.fullmatch(word):
            urls.append((f"http://{found[1]}", found[2] or "80"))
        elif not (_PLAIN_FLAG if program == "curl" else _WGET_FLAG).fullmatch(word):
            return "", "0"
        elif word == "-qO":
            next(left, None)
    return urls[0] if program in {"curl", "wget"} and len(urls) == 1 else ("", "0")


def _answer(url: str, right: str, output: str) -> dict[str, Any] | None:
    status = _STATUS.match(output)
    check = {"kind": "http", "url": url, "status": int(status[1]) if status else 200}
    if not right or _SHOWS.match(right):
        body = output.partition("\n\n")[2] if status else output
        lines = [line for line in output.split("\n") if line.strip()]
        last = body.strip() or (lines[-1] if status and lines and ":" not in lines[-1] else "")
        return check | ({"contains": last} if not right and _SHORT.fullmatch(last) else {})
    found = _GREP.match(right)
    wanted = (found[1] or found[2] or found[3]).removeprefix("^").strip() if found else ""
    if not wanted or not _WORDS.fullmatch(wanted):
        return None
    samples = [line for line in output.split("\n") if re.match(rf"{re.escape(wanted)}[ {{]", line)]
    if samples and is_metric_name(wanted):
        exact = re.fullmatch(rf"{re.escape(wanted)} ([01])", samples[0].strip()) if len(samples) == 1 else None
        return {"kind": "metric", "url": url, "name": wanted} | ({"equals": int(exact[1])} if exact else {})
    return check | {"contains": wanted}


def _exchange(sent: re.Match[str], output: str) -> dict[str, Any] | None:
    """Make a conversation of a line that is sent; what comes back must begin as the page shows it."""
    answer = _ANSWER.match(output.strip())
    if answer is None or int(sent["port"]) > _HIGHEST:
        return None
    text = sent["text"].strip("\"'")
    if sent["program"] == "printf" or "e" in sent["flags"]:
        text = text.replace("\\r", "\r").replace("\\n", "\n")
    if sent["program"] == "echo" and "n" not in sent["flags"]:
        text += "\n"
    return {"kind": "tcp", "port": int(sent["port"]), "exchange": [{"send": text}, {"expect": answer[0]}]}
