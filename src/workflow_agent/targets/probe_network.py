"""Looking at ports, HTTP servers and metrics, one attempt each. Standard library only."""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import UnreachableError
from workflow_agent.targets import metrics
from workflow_agent.targets.listening_sockets import Listener, listening_sockets
from workflow_agent.targets.probe_http import ProbedAnswer, connect, fetch
from workflow_agent.targets.probe_outcome import ProbeOutcome, Site, quote, shorten
from workflow_agent.targets.probe_system import (
    Process,
    processes,
    runs_program,
    socket_owners,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["look_at_http", "look_at_metric", "look_at_port"]

_ANY_TYPE = "*/*"
_METRICS_TYPE = "text/plain;version=0.0.4"
_OK = 200
_WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, never bound


def look_at_port(spec: Mapping[str, Any], site: Site) -> ProbeOutcome:
    """Port: something listens, and for TCP a connection is taken."""
    wanted = spec.get("open", True)
    address = str(ipaddress.ip_address(spec["address"])) if "address" in spec else None
    somewhere = [item for item in listening_sockets(spec["protocol"]) if item.port == spec["port"]]
    found = [item for item in somewhere if _covers(item.address, address)]
    if not found:
        others = ", ".join(sorted({item.address for item in somewhere}))
        return ProbeOutcome(not wanted, f"nothing listens there, but on {others}" if others else "nothing listens")
    holders = _holders(found, site)
    if "process" in spec:
        held = [item for item in found if _is_held(holders.get(item.inode, ()), spec["process"])]
        if not held:
            return ProbeOutcome(not wanted, "; ".join(_listener(item, holders.get(item.inode, ())) for item in found))
        found = held
    observed = "; ".join(_listener(item, holders.get(item.inode, ())) for item in found[:4])
    if not wanted or spec["protocol"] == "udp":
        return ProbeOutcome(wanted, observed)
    try:
        connect(_reachable(address, found), spec["port"], site.deadline).close()
    except UnreachableError as error:
        return ProbeOutcome(False, f"{observed}, but {error.message}: {error.cause}")
    return ProbeOutcome(True, observed)


def _is_held(holders: Sequence[Process], path: str) -> bool:
    return any(runs_program(process, path) for process in holders)


def _covers(listening: str, wanted: str | None) -> bool:
    """Say whether a socket bound to `listening` takes what is sent to `wanted` (a wildcard: bound to all)."""
    if wanted is None or listening == wanted:
        return True
    if listening == "::":  # takes IPv4 too unless told otherwise; the connection attempt tells
        return True
    return listening == "0.0.0.0" and ":" not in wanted  # noqa: S104 - compared with, never bound


def _reachable(wanted: str | None, found: Sequence[Listener]) -> str:
    addresses = {wanted} if wanted else {item.address for item in found}
    wildcards = addresses & _WILDCARDS
    if wildcards:
        return "127.0.0.1" if "0.0.0.0" in wildcards else "localhost"  # noqa: S104 - see above
    return min(addresses, key=lambda address: (":" in address, address))


def _holders(found: Sequence[Listener], site: Site) -> dict[int, list[Process]]:
    owners = socket_owners({item.inode for item in found})
    alive = {process.pid: process for process in processes(site.own)}
    return {inode: [alive[pid] for pid in pids if pid in alive] for inode, pids in owners.items()}


def _listener(item: Listener, holders: Sequence[Process]) -> str:
    by = ", ".join(f"{process.exe or process.name} (pid {process.pid})" for process in holders[:3])
    return f"listens on {item.address}" + (f" by {by}" if by else "")


def look_at_http(spec: Mapping[str, Any], site: Site) -> ProbeOutcome:
    """HTTP: one GET, compared with what the check says; the status is 200 unless it says another."""
    try:
        answer = _page(spec["url"], site, _ANY_TYPE)
    except UnreachableError as error:
        return ProbeOutcome(False, _because(error))
    problems = [] if answer.status == spec.get("status", _OK) else ["another status"]
    if "contains" in spec and spec["contains"].encode() not in answer.body:
        problems.append(f"the text is not in the body: {quote(answer.body)}")
    for name, value in spec.get("header", {}).items():
        if value not in answer.header(name):
            problems.append(f"header {name}: {', '.join(answer.header(name)) or 'absent'}")
    if "json" in spec:
        problems += _json_problems(spec["json"], answer)
    observed = f"answers {answer.status}, {len(answer.body)} bytes"
    return ProbeOutcome(not problems, "; ".join([observed, *problems]))


def _page(url: str, site: Site, accept: str) -> ProbedAnswer:
    """Give what the server answers to looks made together; raises UnreachableError, to each of them."""
    if (url, accept) not in site.pages:
        try:
            site.pages[url, accept] = fetch(url, deadline=site.deadline, accept=accept)
        except UnreachableError as error:
            site.pages[url, accept] = error
    found = site.pages[url, accept]
    if isinstance(found, UnreachableError):
        raise found
    return found


def _because(error: UnreachableError) -> str:
    return f"{error.message}: {error.cause}" if error.cause else error.message


def _json_problems(wanted: Mapping[str, Any], answer: ProbedAnswer) -> list[str]:
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        return [f"the body is not JSON: {quote(answer.body)}"]
    problems = []
    for path, value in wanted.items():
        try:
            seen = _dig(document, path)
        except LookupError:
            problems.append(f"{path} is absent")
            continue
        if not _equal(seen, value):
            problems.append(f"{path} = {shorten(json.dumps(seen, sort_keys=True))}")
    return problems


def _dig(value: Any, path: str) -> Any:  # Any: JSON values
    for key in path.split("."):
        if isinstance(value, list) and key.isdecimal():
            value = value[int(key)]
        elif isinstance(value, dict):
            value = value[key]
        else:
            raise LookupError(key)
    return value


def _equal(seen: Any, wanted: Any) -> bool:  # Any: JSON values
    if isinstance(seen, bool) or isinstance(wanted, bool):  # Python holds True and 1 for equal
        return seen is wanted
    if isinstance(seen, list | dict):
        return json.dumps(seen, sort_keys=True) == json.dumps(wanted, sort_keys=True)
    return bool(seen == wanted)


def look_at_metric(spec: Mapping[str, Any], site: Site) -> ProbeOutcome:
    """Metric: the server tells such a series, or one whose value is in the range."""
    found = _scrape(spec, site)
    if isinstance(found, str):
        return ProbeOutcome(False, found)
    wanted = spec.get("present", True)
    if not found:
        return ProbeOutcome(not wanted, "is absent")
    observed = "value " + ", ".join(metrics.format_value(sample.value) for sample in found[:8])
    return ProbeOutcome(wanted and any(_in_range(spec, sample.value) for sample in found), observed)


def _scrape(spec: Mapping[str, Any], site: Site) -> list[metrics.Sample] | str:
    """Give the series that the check is about, or why there is no answer to be trusted."""
    try:
        answer = _page(spec["url"], site, _METRICS_TYPE)
        if answer.status != _OK:
            return f"answers {answer.status}: {quote(answer.body)}"
        samples = metrics.parse_metrics(answer.body.decode("utf-8"))
        return metrics.select(samples, spec["name"], spec.get("labels", {}))
    except UnreachableError as error:
        return _because(error)
    except UnicodeDecodeError:
        return "the answer is not UTF-8 text"
    except metrics.MetricsError as error:
        return str(error)


def _in_range(spec: Mapping[str, Any], value: float) -> bool:
    # NaN is neither above nor below nor equal to anything.
    return (
        ("equals" not in spec or value == spec["equals"])
        and ("min" not in spec or value >= spec["min"])
        and ("max" not in spec or value <= spec["max"])
    )
