"""What a script did that no transaction holds, as people read it: processes, memory, connections, requests. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["outside_effects", "outside_notes"]

_SHOWN = 3
_CONNECTION = "connection"
#: To which packages and sources are fetched from: every installation does that, and nothing is left there by it.
_FETCHING = frozenset({"53", "80", "443"})
_LOCAL = ("127.", "[::1]:", "unix:")


def outside_effects(seen: Mapping[str, Any]) -> tuple[dict[str, object], ...]:  # Any: JSON of the capture program
    """List it: ``{kind, what, count, stays}``; `stays`: something that nobody takes back may come of it."""
    found = [("process", _process(process), 1) for process in seen["processes"]]
    found += [("memory", str(path), 1) for path in seen["memory"]]
    found += [(str(one["what"]), str(one["where"]), int(one["count"])) for one in seen["requests"]]
    return tuple(
        {"kind": kind, "what": what, "count": count, "stays": kind == _CONNECTION and _counts(what)}
        for kind, what, count in found
    )


def outside_notes(seen: Mapping[str, Any]) -> tuple[str, ...]:  # Any: JSON of the capture program
    """Give the sentences that a person should read before saying yes."""
    return tuple(_notes(seen))


def _notes(seen: Mapping[str, Any]) -> Iterator[str]:
    processes = [_process(process) for process in seen["processes"]]
    if processes:
        yield f"what the script left running was ended: {_listed(processes)}"
    if seen["memory"]:
        yield f"what the script left in memory is not kept: {_listed(seen['memory'])}"
    refused = sorted({str(one["what"]) for one in seen["requests"]} - {_CONNECTION})
    if refused:
        yield f"the script asked the kernel for what a capture does not allow, and was refused: {', '.join(refused)}"
    talked = [
        str(one["where"]) for one in seen["requests"] if one["what"] == _CONNECTION and _counts(str(one["where"]))
    ]
    if talked:
        yield f"the script talked to {_listed(talked)}: what changed there is not seen, and not taken back"


def _counts(address: str) -> bool:
    return address.startswith(_LOCAL) or address.rpartition(":")[2] not in _FETCHING


def _process(process: Mapping[str, Any]) -> str:
    ports = ", ".join(map(str, process["ports"]))
    return f"{process['command']} (listens on {ports})" if ports else str(process["command"])


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
