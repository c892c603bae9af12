"""Copies of state data whose policy is `snapshot`: taken while their services stand still, brought back by a rollback.

They lie beside the before-images, in ``data`` of the transaction's folder on the file system of what was copied: only
root reaches them, no capture sees them, and pruning takes them. Coming back is an exchange of the copy with what is
there then, which is set aside in its place; done once more it is taken back. Whether a copy is back is told by its
inode, so that either can be repeated after a crash. Blocking.
"""

from __future__ import annotations

import json
import os
import stat
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.model.errors import CommitError, RollbackIncompleteError
from workflow_agent.model.failpoint import failpoint
from workflow_agent.model.records import dataclass
from workflow_agent.model.system import escape_path, unescape_path
from workflow_agent.targets.copy_in import EntryCopier
from workflow_agent.targets.flags import remove_tree
from workflow_agent.targets.linux import RENAME_EXCHANGE, RENAME_NOREPLACE, rename, syncfs
from workflow_agent.targets.live_tree import LiveTree, transaction_folder
from workflow_agent.targets.transaction import opened

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from workflow_agent.targets.transaction import Transaction

__all__ = [
    "DATA",
    "DataCopy",
    "are_back",
    "bring_back",
    "coming",
    "copies_of",
    "drop_copies",
    "set_aside",
    "take_copies",
]

DATA: Final = b"data"
#: Written last: without it nothing was copied, whatever lies there.
_INDEX: Final = b"copies.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCopy:
    """One copy: of which path, where it lies, which inode it is, how much it holds, and when it was taken."""

    path: bytes
    place: bytes
    ino: int
    entries: int
    size: int
    taken_at: float

    def told(self) -> dict[str, Any]:
        """Give it as JSON."""
        return {
            "path": escape_path(self.path),
            "entries": self.entries,
            "bytes": self.size,
            "taken_at": self.taken_at,
        }


def take_copies(root_fd: int, plan: Transaction, paths: Iterable[bytes], *, now: float) -> list[DataCopy]:
    """Copy data, with owner, mode, attributes and times; what is not there needs no copy.

    Their services do not run. An earlier attempt of the same transaction is thrown away.

    Raises:
        CommitError: it cannot be copied: no room, another file system. Nothing is left of it.
    """
    drop_copies(root_fd, plan)
    wanted = sorted({path.rstrip(b"/") for path in paths})
    wanted = [path for path in wanted if not any(path.startswith(other + b"/") for other in wanted)]
    try:
        with LiveTree(root_fd) as tree:
            there = [path for path in wanted if tree.status(path) is not None]
            copies = [_copy(tree, plan, path, number, now) for number, path in enumerate(there)]
        if copies:
            _write_index(root_fd, plan, copies)
    except OSError as error:
        drop_copies(root_fd, plan)
        raise CommitError(
            "the data cannot be copied before they may change",
            where=os.fsdecode(wanted[0]) if wanted else None,
            cause=str(error),
            state="nothing was changed",
            hint="make room, or have the data on a file system that takes part in transactions",
        ) from error
    return copies


def copies_of(root_fd: int, plan: Transaction) -> list[DataCopy]:
    """List the copies that a transaction holds."""
    try:
        with opened(root_fd, _folder(plan.base, plan)) as folder_fd:
            with open(os.open(_INDEX, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder_fd), "rb") as file:
                rows = json.load(file)
    except FileNotFoundError:
        return []
    fields = ("ino", "entries", "size", "taken_at")
    return [
        DataCopy(
            path=unescape_path(row["path"]),
            place=unescape_path(row["place"]),
            **{field: row[field] for field in fields},
        )
        for row in rows
    ]


def bring_back(root_fd: int, plan: Transaction, keep: Collection[bytes] = ()) -> list[DataCopy]:
    """Put the copies in the place of the data, which are set aside; what has not changed since stays as it is.

    Gives those that came back. May be repeated. Data in `keep` stay.

    Raises:
        RollbackIncompleteError: one cannot come back; those before it are.
    """
    back = coming(root_fd, plan, keep)
    with LiveTree(root_fd) as tree:
        for copy in back:
            try:
                _put(tree, copy.place, copy.path)
            except OSError as error:
                raise RollbackIncompleteError(
                    "the files are as before, but the copy of the data did not come back",
                    where=escape_path(copy.path),
                    cause=str(error),
                    details={"left": [{"path": escape_path(copy.path), "effect": "its copy is kept"}]},
                    hint="make its folder again, or make room, and take the run back again",
                ) from error
    return back


def coming(root_fd: int, plan: Transaction, keep: Collection[bytes] = ()) -> list[DataCopy]:
    """List the copies that `bring_back` would put in place."""
    kept = {path.rstrip(b"/") for path in keep}
    with LiveTree(root_fd) as tree:
        return [
            copy
            for copy in copies_of(root_fd, plan)
            if copy.path not in kept and not _is_back(tree, copy) and not _is_same(tree, copy)
        ]


def are_back(root_fd: int, plan: Transaction) -> bool:
    """Tell whether copies are in the place of the data."""
    with LiveTree(root_fd) as tree:
        return any(_is_back(tree, copy) for copy in copies_of(root_fd, plan))


def set_aside(root_fd: int, plan: Transaction) -> None:
    """Take back what `bring_back` did: the copies lie in their places again, the newer data in theirs."""
    with LiveTree(root_fd) as tree:
        for copy in copies_of(root_fd, plan):
            if _is_back(tree, copy):
                _put(tree, copy.path, copy.place, exchange=tree.status(copy.place) is not None)


def drop_copies(root_fd: int, plan: Transaction) -> None:
    """Remove what a transaction copied, the index first."""
    for point in sorted({*plan.points, plan.base}, key=lambda point: point != plan.base):
        with suppress(FileNotFoundError):
            with opened(root_fd, transaction_folder(point, plan.id)) as folder_fd:
                with suppress(FileNotFoundError):
                    os.unlink(DATA + b"/" + _INDEX, dir_fd=folder_fd)
                    os.fsync(folder_fd)
                with suppress(FileNotFoundError):
                    os.stat(DATA, dir_fd=folder_fd)
                    remove_tree(os.fsdecode(DATA), folder_fd)


# -- one copy --------------------------------------------------------------------------------------------------------


def _folder(point: bytes, plan: Transaction) -> bytes:
    return transaction_folder(point, plan.id) + b"/" + DATA


def _copy(tree: LiveTree, plan: Transaction, path: bytes, number: int, now: float) -> DataCopy:
    point = max((point for point in plan.points if (path + b"/").startswith(point.rstrip(b"/") + b"/")), key=len)
    folder = _folder(point, plan)
    with opened(tree.root_fd, transaction_folder(point, plan.id)) as folder_fd:
        with suppress(FileExistsError):
            os.mkdir(DATA, 0o700, dir_fd=folder_fd)
    place = folder + b"/%d" % number
    failpoint("data.copying")
    with closing(EntryCopier(tree.root_fd, tree.root_fd)) as copier:
        copier.copy(path.strip(b"/"), place.strip(b"/"))
    source, copy = tree.status(path), tree.status(place)
    if source is None or copy is None or source.st_dev != copy.st_dev:
        raise OSError(f"{os.fsdecode(path)} lies on a file system that takes no part in the transaction")
    entries = [copy, *(entry for entry in _statuses(tree, place))]
    with opened(tree.root_fd, folder) as folder_fd:
        syncfs(folder_fd)
    return DataCopy(
        path=path,
        place=place,
        ino=copy.st_ino,
        entries=len(entries),
        size=sum(entry.st_size for entry in entries if stat.S_ISREG(entry.st_mode)),
        taken_at=now,
    )


def _statuses(tree: LiveTree, place: bytes) -> Iterator[os.stat_result]:
    for inner in tree.below(place):
        status = tree.status(place + b"/" + inner)
        if status is not None:
            yield status


def _write_index(root_fd: int, plan: Transaction, copies: Sequence[DataCopy]) -> None:
    rows = [
        {
            "path": escape_path(copy.path),
            "place": escape_path(copy.place),
            "ino": copy.ino,
            "entries": copy.entries,
            "size": copy.size,
            "taken_at": copy.taken_at,
        }
        for copy in copies
    ]
    with opened(root_fd, transaction_folder(plan.base, plan.id)) as folder_fd:
        with suppress(FileExistsError):
            os.mkdir(DATA, 0o700, dir_fd=folder_fd)
    with opened(root_fd, _folder(plan.base, plan)) as folder_fd:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with open(os.open(_INDEX + b".new", flags, 0o600, dir_fd=folder_fd), "wb") as file:
            file.write(json.dumps(rows).encode())
            file.flush()
            os.fsync(file.fileno())
        failpoint("data.copied")
        os.rename(_INDEX + b".new", _INDEX, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
        os.fsync(folder_fd)


def _is_back(tree: LiveTree, copy: DataCopy) -> bool:
    live = tree.status(copy.path)
    return live is not None and live.st_ino == copy.ino


def _is_same(tree: LiveTree, copy: DataCopy) -> bool:
    """Tell whether nothing changed since: then what is there is what would come, with its own inodes."""
    if tree.status(copy.place) is None or tree.status(copy.path) is None:
        return False
    live, kept = tree.below(copy.path), tree.below(copy.place)
    if live.keys() != kept.keys():
        return False
    pairs = [(copy.path, copy.place), *((copy.path + b"/" + name, copy.place + b"/" + name) for name in live)]
    return all(_looks(tree, one) == _looks(tree, other) for one, other in pairs)


def _looks(tree: LiveTree, path: bytes) -> tuple[object, ...]:
    """What tells two states of an entry apart, wherever it lies."""
    status = tree.status(path)
    if status is None:
        return ()
    link = b""
    if stat.S_ISLNK(status.st_mode):
        folder_fd, name = tree.place(path)
        link = os.readlink(name, dir_fd=folder_fd)
    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
    about = (status.st_mode, status.st_uid, status.st_gid, size, status.st_mtime_ns, status.st_rdev, link)
    return (*about, sorted(tree.xattrs(path).items()))


def _put(tree: LiveTree, source: bytes, target: bytes, *, exchange: bool | None = None) -> None:
    """Exchange two entries, or move one where there is no other; the folder of the data keeps its time."""
    tree.forget()
    if exchange is None:
        exchange = tree.status(target) is not None
    inner = target if source.find(b"/.workflow-agent/tx/") >= 0 else source
    parent_fd, _ = tree.place(inner)
    before = os.fstat(parent_fd)
    rename(*tree.place(source), *tree.place(target), RENAME_EXCHANGE if exchange else RENAME_NOREPLACE)
    os.utime(parent_fd, ns=(before.st_atime_ns, before.st_mtime_ns))
    tree.forget()
