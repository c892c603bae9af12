"""What dpkg and apt say of packages is read, and what it means for a rollback is told by name."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from workflow_agent.targets.live_tree import LiveTree
from workflow_agent.targets.operations import Operation, OperationKind
from workflow_agent.targets.soundness import (
    UnsoundPackage,
    audit_script,
    dependants_error,
    is_in_question,
    problems,
    rehearsal_files,
)
from workflow_agent.targets.transaction import Transaction, TransactionState

if TYPE_CHECKING:
    from pathlib import Path

    from workflow_agent.targets.shared_records import Records

_STATUS = b"/var/lib/dpkg/status"
_UNMET = """== audit
== check
Reading package lists...
Building dependency tree...
Reading state information...
You might want to run 'apt --fix-broken install' to correct these.
The following packages have unmet dependencies:
 libkrb5-3 : Depends: libssl3 (>= 3.0.0) but it is not installed
             Recommends: krb5-locales but it is not installable
 nginx : PreDepends: libssl3 (>= 3.0.0) but it is not installed
E: Unmet dependencies. Try 'apt --fix-broken install' with no packages (or specify a solution).
"""
_HALF = """== audit
The following packages have been unpacked but not yet configured.
They must be configured using dpkg --configure or the configure
menu option in dselect for them to work:
 half                 is half there

== check
"""


def _transaction(run_id: str, records: Records) -> Transaction:
    operation = Operation(kind=OperationKind.EXCHANGE, path=_STATUS, point=b"/", staged=b"upper/x", records=records)
    return Transaction(
        id=f"{run_id}.1", run_id=run_id, state=TransactionState.COMMITTED, points=(b"/",), operations=(operation,)
    )


def test_packages_that_lack_something_are_read_with_what_they_lack() -> None:
    assert problems(_UNMET.splitlines()) == [
        UnsoundPackage("libkrb5-3", "Depends: libssl3 (>= 3.0.0) but it is not installed"),
        UnsoundPackage("nginx", "PreDepends: libssl3 (>= 3.0.0) but it is not installed"),
    ]


def test_what_the_audit_lists_is_read() -> None:
    assert problems(_HALF.splitlines()) == [UnsoundPackage("half", "dpkg --audit: is half there")]


def test_content_programs_have_no_problems_and_an_error_without_a_package_is_one() -> None:
    assert problems("== audit\n== check\nReading package lists...\n".splitlines()) == []
    line = "E: The package cache file is corrupted"
    assert problems(["== audit", "== check", line]) == [UnsoundPackage("", line)]


def test_dependants_are_named_with_the_run_that_brought_them() -> None:
    found = [UnsoundPackage("nginx", "Depends: libssl3"), UnsoundPackage("by-hand:i386", "Depends: libssl3")]
    later = [_transaction("r-2", {"nginx amd64": (None, "x"), "gone amd64": ("x", None)})]

    error = dependants_error(found, later)

    assert "nginx (Depends: libssl3); by-hand:i386 (Depends: libssl3)" in error.message
    assert error.details["conflicts"] == [
        {"path": _STATUS.decode(), "package": "nginx", "needs": "Depends: libssl3", "run_id": "r-2"},
        {"path": _STATUS.decode(), "package": "by-hand:i386", "needs": "Depends: libssl3"},
    ]
    assert error.hint == "roll back r-2 first, or take them back with it: `--cascade`"
    assert "remove these packages" in (dependants_error(found, []).hint or "")


def test_only_a_mixture_of_packages_is_tried_out() -> None:
    plain = _transaction("r-1", {}).operations
    assert not is_in_question(plain, [])
    assert not is_in_question(plain, [b"/etc/passwd"])
    assert is_in_question(plain, [_STATUS])
    taken_over = Operation(kind=OperationKind.EXCHANGE, path=_STATUS, point=b"/", staged=b"merged/1")
    assert is_in_question([taken_over], [])


def test_the_script_puts_the_databases_in_place_as_the_rollback_would(tmp_path: Path) -> None:
    """Run here with the real tools, in a folder in place of the root."""
    folder = tmp_path / ".workflow-agent/tx/r-1.1/removed"
    folder.mkdir(parents=True)
    (folder / "1").write_text("list\n")
    for name in ("gone.list", "stays.list"):
        path = tmp_path / "var/lib/dpkg/info" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    info = b"/var/lib/dpkg/info/"
    operations = (
        Operation(kind=OperationKind.EXCHANGE, path=_STATUS, point=b"/", staged=b"upper/s"),
        Operation(kind=OperationKind.CREATE, path=info + b"gone.list", point=b"/", staged=b"upper/g"),
        Operation(kind=OperationKind.REMOVE, path=info + b"back.list", point=b"/", staged=b"removed/1"),
        Operation(kind=OperationKind.CREATE, path=b"/usr/bin/tool", point=b"/", staged=b"upper/t"),
    )
    plan = Transaction(
        id="r-1.1", run_id="r-1", state=TransactionState.COMMITTED, points=(b"/",), operations=operations
    )
    root_fd = os.open(tmp_path, os.O_RDONLY)
    with LiveTree(root_fd) as tree:
        archive, gone = rehearsal_files(tree, plan, {_STATUS: b"Package: x\n\n"})

    assert gone == [info + b"gone.list"]
    script = audit_script(archive, [name.strip(b"/") for name in gone]).replace("cd /", f"cd {tmp_path}")
    subprocess.run(["sh", "-c", script.partition("echo")[0]], check=True)
    assert (tmp_path / "var/lib/dpkg/status").read_bytes() == b"Package: x\n\n"
    assert sorted(path.name for path in (tmp_path / "var/lib/dpkg/info").iterdir()) == ["back.list", "stays.list"]
