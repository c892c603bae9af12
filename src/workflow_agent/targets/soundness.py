"""Whether the packages that remain after a rollback are sound: tried out in an overlay first (rule 24).

`dpkg --audit` alone passes on a system whose libraries are gone; `apt-get check` knows what every package needs. What
belongs here: what is run there, and reading what it says. What does not: running it (``host``).
"""

from __future__ import annotations

import base64
import io
import re
import tarfile
from typing import TYPE_CHECKING, NamedTuple

from workflow_agent.model.errors import PathConflictError
from workflow_agent.targets.live_tree import LiveTree, staged_path
from workflow_agent.targets.operations import OperationKind
from workflow_agent.targets.shared_records import STATES, STATUS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from workflow_agent.targets.operations import Operation
    from workflow_agent.targets.transaction import Transaction

__all__ = ["UnsoundPackage", "audit_script", "dependants_error", "is_in_question", "problems", "rehearsal_files"]

_DPKG = b"/var/lib/dpkg/"
_MERGED = b"merged/"
_AUDIT, _CHECK = "== audit", "== check"
_SCRIPT = f"""
echo '{_AUDIT}'
dpkg --audit 2>&1 || true
echo '{_CHECK}'
if command -v apt-get >/dev/null; then
  apt-get check -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= 2>&1 || true
fi
exit 0
"""
_NEEDS = re.compile(r" (?P<package>\S+) : (?P<needs>(?:Pre)?-?(?:Depends|Conflicts|Breaks): .+)")
_SHOWN = 20


class UnsoundPackage(NamedTuple):
    """A package that would not be sound, and why."""

    package: str
    why: str


# -- what is tried out ---------------------------------------------------------------------------------------------


def rehearsal_files(tree: LiveTree, plan: Transaction, merged: Mapping[bytes, bytes]) -> tuple[bytes, list[bytes]]:
    """Give what a rollback would put into the package databases, as an archive, and the names that would go."""
    stream, gone = io.BytesIO(), []
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for operation in plan.operations:
            if not (operation.path.startswith(_DPKG) or operation.path == STATES):
                continue
            if operation.path in merged:
                _add(archive, operation.path, merged[operation.path])
            elif operation.kind is OperationKind.CREATE:
                gone.append(operation.path)
            elif operation.kind in {OperationKind.EXCHANGE, OperationKind.REMOVE}:
                folder_fd, name = tree.place(staged_path(operation, plan.id))
                place = f"/proc/self/fd/{folder_fd}/{name.decode('utf-8', 'surrogateescape')}"
                archive.add(place, arcname=_inner(operation.path))
    return stream.getvalue(), gone


def _add(archive: tarfile.TarFile, path: bytes, content: bytes) -> None:
    member = tarfile.TarInfo(_inner(path))
    member.size, member.mode = len(content), 0o644
    archive.addfile(member, io.BytesIO(content))


def _inner(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape").strip("/")


def is_in_question(operations: Iterable[Operation], merged: Iterable[bytes]) -> bool:
    """Say whether a rollback would leave a mixture of packages that nobody has seen together."""
    return STATUS in merged or any(
        operation.path == STATUS and operation.staged.startswith(_MERGED) for operation in operations
    )


def audit_script(archive: bytes = b"", gone: Iterable[bytes] = ()) -> str:
    """Write the script that asks dpkg and apt, after it has put files in place and removed others."""
    lines = ["set -eu", "cd /"]
    names = b"\0".join(gone)
    for content, command in ((names, "xargs -0 rm -rf --"), (archive, "tar -x -p -f -")):
        if content:
            text = base64.encodebytes(content).decode("ascii")
            lines.append(f"base64 -d <<'END' | {command}\n{text}END")
    return "\n".join(lines) + _SCRIPT


# -- what they say -------------------------------------------------------------------------------------------------


def problems(output: Iterable[str]) -> list[UnsoundPackage]:
    """Read what dpkg and apt said; empty when both are content."""
    part, found, rest = "", [], []
    for line in output:
        if line in {_AUDIT, _CHECK}:
            part = line
        elif part == _AUDIT and line.startswith(" ") and line.strip():
            package, _, why = line.strip().partition(" ")
            found.append(UnsoundPackage(package, f"dpkg --audit: {why.strip() or 'not sound'}"))
        elif part == _CHECK and (match := _NEEDS.fullmatch(line.rstrip())):
            found.append(UnsoundPackage(match["package"], match["needs"]))
        elif line.startswith(("E: ", "dpkg: error")):
            rest.append(line)
    return found or [UnsoundPackage("", line) for line in rest]


def dependants_error(found: Iterable[UnsoundPackage], later: Iterable[Transaction]) -> PathConflictError:
    """Make the error that refuses a rollback which others cannot do without, with the runs that brought them."""
    runs = [
        (name.partition(" ")[0], other.run_id)
        for other in later
        for operation in other.operations
        if operation.path == STATUS
        for name, (_, after) in operation.records.items()
        if after is not None
    ]
    brought = dict(runs)
    conflicts = [_conflict(problem, brought.get(problem.package.partition(":")[0])) for problem in found]
    names = "; ".join(f"{each['package']} ({each['needs']})".strip() for each in conflicts[:_SHOWN])
    first = list(dict.fromkeys(str(each["run_id"]) for each in conflicts if "run_id" in each))
    hint = (
        f"roll back {' and '.join(first)} first, or take them back with it: `--cascade`"
        if first
        else "remove these packages first, or put them right"
    )
    return PathConflictError(
        f"packages that stay need what would go: {names}",
        where=STATUS.decode(),
        cause="tried out in an overlay: `dpkg --audit` and `apt-get check` would not be clean",
        state="nothing was changed",
        hint=hint,
        details={"conflicts": conflicts},
    )


def _conflict(problem: UnsoundPackage, run_id: str | None) -> dict[str, object]:
    conflict: dict[str, object] = {"path": STATUS.decode(), "package": problem.package, "needs": problem.why}
    return conflict if run_id is None else conflict | {"run_id": run_id}
