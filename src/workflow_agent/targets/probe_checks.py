"""The kinds of checks, each one attempt. Standard library only: it runs inside a target's namespaces.

What belongs here: looking at the world once and saying what was seen. Waiting and repeating is the business of
:mod:`workflow_agent.targets.probes`. Comparisons are exact: a state is equal to the wanted word or it is not.
"""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import UnreachableError
from workflow_agent.targets.probe_command import run_command
from workflow_agent.targets.probe_network import look_at_http, look_at_metric, look_at_port
from workflow_agent.targets.probe_outcome import ProbeOutcome, quote, shorten
from workflow_agent.targets.probe_snmp import look_at_snmp
from workflow_agent.targets.probe_spec import validate_spec
from workflow_agent.targets.probe_system import (
    Process,
    account_names,
    processes,
    read_bytes,
    read_tail,
    runs_current,
    runs_program,
)
from workflow_agent.targets.probe_tcp import look_at_tcp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from workflow_agent.targets.probe_outcome import Site

    #: Looks once.
    Look = Callable[[Mapping[str, Any], Site], ProbeOutcome]

__all__ = ["find_package", "parse_properties", "run_check", "unit_outcome"]

_CONTENT_LIMIT = 8 << 20
_STANZA_STATUS = "install ok installed"
_ENABLED = frozenset({"enabled", "enabled-runtime"})
_UNIT_PROPERTIES = "LoadState,ActiveState,SubState,UnitFileState"
_FORMATS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "block",
    stat.S_IFCHR: "char",
}


def run_check(kind: str, spec: Mapping[str, Any], site: Site) -> ProbeOutcome:
    """Look once.

    Raises:
        ValidationError: The check cannot be carried out as it is written.
        UnreachableError: This system lacks what the check asks about (for example a package database).
        OSError: Something may not be read.
    """
    validate_spec(kind, spec)
    outcome = _LOOKS[kind](spec, site)
    return outcome._replace(observed=shorten(outcome.observed))


def _file(spec: Mapping[str, Any], _site: Site) -> ProbeOutcome:
    path, wanted = spec["path"], spec.get("exists", True)
    try:
        status = os.lstat(path)
        kind = _FORMATS[stat.S_IFMT(status.st_mode)]
        if not wanted:
            return ProbeOutcome(False, f"exists, is a {kind}")
        if kind == "symlink" and spec.get("type") != "symlink":
            status = os.stat(path)
            kind = _FORMATS[stat.S_IFMT(status.st_mode)]
    except (FileNotFoundError, NotADirectoryError):
        return ProbeOutcome(not wanted, "does not exist")
    mode = stat.S_IMODE(status.st_mode)
    owner_holds, owner = _owner(status, spec.get("owner"))
    holds = owner_holds and spec.get("type", kind) == kind
    holds = holds and ("mode" not in spec or int(spec["mode"], 8) == mode)
    observed = f"is a {kind}, mode {mode:04o}, owner {owner}"
    if "contains" in spec:
        contains = kind == "file" and spec["contains"].encode() in read_bytes(path, _CONTENT_LIMIT)
        holds = holds and contains
        observed += ", contains the text" if contains else ", does not contain the text"
    return ProbeOutcome(holds, observed)


def _owner(status: os.stat_result, wanted: str | None) -> tuple[bool, str]:
    user = account_names("/etc/passwd").get(status.st_uid, str(status.st_uid))
    group = account_names("/etc/group").get(status.st_gid, str(status.st_gid))
    wanted_user, colon, wanted_group = (wanted or "").partition(":")
    holds = not wanted_user or wanted_user in {user, str(status.st_uid)}
    holds = holds and (not (colon and wanted_group) or wanted_group in {group, str(status.st_gid)})
    return holds, f"{user}:{group}"


def _package(spec: Mapping[str, Any], _site: Site) -> ProbeOutcome:
    try:
        text = read_bytes("/var/lib/dpkg/status").decode("utf-8", "replace")
    except FileNotFoundError as error:
        raise UnreachableError("there is no dpkg database here") from error
    return find_package(spec, text)


def find_package(spec: Mapping[str, Any], text: str) -> ProbeOutcome:
    """Compare a package check with the text of dpkg's status file."""
    wanted = spec.get("installed", True)
    fields = _stanza(text, spec["name"])
    if fields is None:
        return ProbeOutcome(not wanted, "is not installed")
    installed = fields.get("Status") == _STANZA_STATUS
    version = fields.get("Version", "")
    holds = installed == wanted and spec.get("version", version) == version
    state = "is installed" if installed else f"is not installed ({fields.get('Status')})"
    return ProbeOutcome(holds, f"{state}, version {version}" if version else state)


def _stanza(text: str, name: str) -> dict[str, str] | None:
    """Find a package's fields; of several architectures the installed one."""
    name, _, architecture = name.partition(":")
    found = None
    for stanza in text.split("\n\n"):
        if stanza.lstrip("\n").startswith(f"Package: {name}\n"):
            lines = [line.partition(": ") for line in stanza.splitlines() if not line.startswith(" ")]
            fields = {key: value for key, colon, value in lines if colon}
            if architecture in {"", fields.get("Architecture")}:
                if fields.get("Status") == _STANZA_STATUS:
                    return fields
                found = found or fields
    return found


def parse_properties(text: str) -> dict[str, str]:
    """Read the lines ``Key=Value`` of `systemctl show`."""
    return {key: value for key, equals, value in (line.partition("=") for line in text.splitlines()) if equals}


def unit_outcome(spec: Mapping[str, Any], properties: Mapping[str, str]) -> ProbeOutcome:
    """Compare a unit's properties with a check: whole words, so that `inactive` is never `active`."""
    active = properties.get("ActiveState", "") == "active"
    enabled = properties.get("UnitFileState", "") in _ENABLED
    wanted_active = spec.get("active", None if "enabled" in spec else True)
    holds = wanted_active in {None, active} and spec.get("enabled") in {None, enabled}
    words = [properties.get(key) or "unknown" for key in ("ActiveState", "SubState", "UnitFileState")]
    missing = "" if properties.get("LoadState") == "loaded" else f", {properties.get('LoadState') or 'no answer'}"
    return ProbeOutcome(holds, "is {} ({}), unit file {}".format(*words) + missing)


def _unit(spec: Mapping[str, Any], site: Site) -> ProbeOutcome:
    if not _systemd_runs():
        return ProbeOutcome(True, "not applicable: no systemd here", applies=False)
    argv = ["systemctl", "show", "--no-pager", f"--property={_UNIT_PROPERTIES}", "--", spec["name"]]
    result = run_command(argv, site.deadline)
    if result.exit_code is None:
        return ProbeOutcome(False, "systemctl did not answer in time")
    if result.exit_code != 0:
        return ProbeOutcome(False, f"systemctl ended with {result.exit_code}: {quote(result.stderr)}")
    return unit_outcome(spec, parse_properties(result.stdout.decode("utf-8", "replace")))


def _systemd_runs() -> bool:
    try:
        return os.path.isdir("/run/systemd/system") and read_bytes("/proc/1/comm") == b"systemd\n"
    except OSError:
        return False


def _process(spec: Mapping[str, Any], site: Site) -> ProbeOutcome:
    users = account_names("/etc/passwd")
    found = [process for process in processes(site.own) if _is_process(spec, process, users)]
    if not found:
        return _no_such_process(spec, site, users)
    if spec.get("running", True) is False:
        return ProbeOutcome(False, f"is running ({_pids(found)})")
    observed = f"is running ({_pids(found)}) as {', '.join(sorted({_user(users, item) for item in found}))}"
    if "current" not in spec:
        return ProbeOutcome(True, observed)
    stale = [process for process in found if not runs_current(process, spec["exe"])]
    observed += f", older than the file on disk: {_pids(stale)}" if stale else ", the file on disk"
    return ProbeOutcome(spec["current"] is not bool(stale), observed)


def _no_such_process(spec: Mapping[str, Any], site: Site, users: Mapping[int, str]) -> ProbeOutcome:
    """Say that it is not running; one of another user is named, who looks for it would not find the mistake else."""
    wanted = spec.get("running", True)
    anybody = {key: value for key, value in spec.items() if key != "user"}
    others = [one for one in processes(site.own) if _is_process(anybody, one, users)] if "user" in spec else []
    if not others or not wanted:
        return ProbeOutcome(not wanted, "is not running")
    who = ", ".join(sorted({_user(users, one) for one in others}))
    return ProbeOutcome(False, f"is running ({_pids(others)}) as {who}, not as {spec['user']}")


def _is_process(spec: Mapping[str, Any], process: Process, users: Mapping[int, str]) -> bool:
    if "name" in spec and spec["name"] not in {process.name, os.path.basename(process.exe or process.name)}:
        return False
    if "user" in spec and spec["user"] not in {_user(users, process), str(process.uid)}:
        return False
    return "exe" not in spec or runs_program(process, spec["exe"])


def _user(users: Mapping[int, str], process: Process) -> str:
    return users.get(process.uid, str(process.uid))


def _pids(found: Sequence[Process]) -> str:
    return "pid " + ", ".join(str(process.pid) for process in found[:10])


def _log(spec: Mapping[str, Any], site: Site) -> ProbeOutcome:
    if "path" in spec:
        text = read_tail(spec["path"])
        if text is None:
            return ProbeOutcome(not spec.get("present", True), "there is no such file")
    elif not _systemd_runs():
        return ProbeOutcome(True, "not applicable: no systemd here", applies=False)
    else:
        argv = ["journalctl", "--no-pager", "--quiet", "--output=cat", "--lines=2000", f"--unit={spec['unit']}"]
        result = run_command(argv, site.deadline)
        if result.exit_code != 0:
            return ProbeOutcome(False, f"journalctl gave no answer: {quote(result.stderr)}")
        text = result.stdout
    wanted = spec["contains"].encode()
    lines = [line for line in text.splitlines() if wanted in line]
    if lines:
        return ProbeOutcome(spec.get("present", True), f"has such a line: `{quote(lines[-1])}`")
    last = text.rstrip().rpartition(b"\n")[2]
    return ProbeOutcome(not spec.get("present", True), f"has no such line; the last one: `{quote(last)}`")


def _command(spec: Mapping[str, Any], site: Site) -> ProbeOutcome:
    started = time.monotonic()
    result = run_command(spec["argv"], site.deadline)
    if result.exit_code is None:
        return ProbeOutcome(False, f"did not end within {time.monotonic() - started:.1f} s")
    holds = result.exit_code == spec.get("exit_code", 0)
    if "stdout_contains" in spec:
        holds = holds and spec["stdout_contains"].encode() in result.stdout
    shown = quote(result.stdout) or quote(result.stderr)
    ending = f"exits with {result.exit_code}" if result.exit_code >= 0 else f"killed by signal {-result.exit_code}"
    return ProbeOutcome(holds, f"{ending}: {shown}" if shown else ending)


_LOOKS: dict[str, Look] = {
    "file": _file,
    "package": _package,
    "unit": _unit,
    "process": _process,
    "port": look_at_port,
    "http": look_at_http,
    "metric": look_at_metric,
    "tcp": look_at_tcp,
    "log": _log,
    "snmp": look_at_snmp,
    "command": _command,
}
