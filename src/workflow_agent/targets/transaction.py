"""A transaction's folder on the target: staged trees, the plan file, and what is recorded beside it.

``/.workflow-agent/tx/<id>/`` holds ``upper`` and ``work`` of the overlay, ``removed`` and ``links``, and on the
root file system ``plan.json``, the only truth about where the transaction stands, and ``services.json``. Other
captured file systems hold the same folders for their own entries.
"""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from dataclasses import field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from workflow_agent.model.errors import NotFoundError, TransactionError
from workflow_agent.model.failpoint import failpoint
from workflow_agent.model.records import dataclass
from workflow_agent.targets.flags import remove_tree
from workflow_agent.targets.linux import open_beneath, syncfs
from workflow_agent.targets.live_tree import transaction_folder
from workflow_agent.targets.operations import Operation, decode_operation, encode_operation
from workflow_agent.targets.stored_operations import Operations, StoredOperations

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from typing import TypeAlias

    #: Tells one version of a file from another: device, inode, ctime, mtime, size.
    _Version: TypeAlias = tuple[int, int, int, int, int]

__all__ = ["Transaction", "TransactionFolders", "TransactionState", "clone_folder", "opened"]

_FORMAT = 1
_RESERVE_BYTES = 4 << 20
#: Operations of plan files that are kept in memory, about 1.5 kB each, and how long the text of one is.
_MOST_KNOWN, _TEXT_OF_ONE = 50_000, 500
#: Where the operations begin and end in a plan file: nothing before and after has these keys.
_BEGIN, _END = b', "operations": [', b'], "rebased": ['
_FOLDERS = (b"upper", b"work", b"removed", b"links")


class TransactionState(StrEnum):
    """Where a transaction stands, as the plan file says."""

    CAPTURED = "captured"
    COMMITTING = "committing"
    COMMITTED = "committed"
    ROLLING_BACK = "rolling-back"
    ROLLED_BACK = "rolled-back"
    PRUNED = "pruned"  # committed and in force; its before-images are gone, or about to go


_BEGUN = frozenset({TransactionState.COMMITTING, TransactionState.ROLLING_BACK})


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """What the plan file holds."""

    id: str
    run_id: str
    state: TransactionState
    points: tuple[bytes, ...]
    operations: Operations = ()
    services: dict[str, Any] = field(default_factory=dict)
    effects: tuple[Mapping[str, Any], ...] = ()
    links: tuple[tuple[bytes, ...], ...] = ()  # names that would come apart, see `layers.unite_names`
    identity: str = ""  # of the container in which it was made
    rebased: tuple[Operation, ...] = ()  # operations on shared files that a rollback merged or left, see `merging`
    decided: tuple[Mapping[str, Any], ...] = ()  # what a person decided about conflicts, see `deciding`

    @property
    def base(self) -> bytes:
        """Where its plan file is: on the outermost file system that took part."""
        return self.points[0] if self.points else b"/"

    @property
    def is_in_force(self) -> bool:
        """Whether what it brought is on the target."""
        return self.state in {TransactionState.COMMITTED, TransactionState.PRUNED}


class TransactionFolders:
    """Makes, reads, writes and removes transactions below one target's root. Blocking.

    Args:
        root_fd: The target's root.
        base: Where plan files are: the root, for people without root their home folder.
    """

    def __init__(self, root_fd: int, base: bytes = b"/") -> None:
        self._root_fd = root_fd
        self.base = base
        self._watched: dict[bytes, int] = {}
        #: Plan files that were read or written, and which file each was: one with ten thousand paths takes long.
        self._known: dict[str, tuple[_Version, Transaction]] = {}

    def close(self) -> None:
        """Close what is kept open."""
        while self._watched:
            os.close(self._watched.popitem()[1])

    # -- making --------------------------------------------------------------------------------------------------

    def ensure_state_folder(self, point: bytes) -> None:
        """Make ``/.workflow-agent`` on a file system without leaving a trace in its root's mtime."""
        with opened(self._root_fd, point) as top_fd:
            before = os.fstat(top_fd)
            try:
                os.mkdir(b".workflow-agent", 0o700, dir_fd=top_fd)
            except FileExistsError:
                return
            os.utime(top_fd, ns=(before.st_atime_ns, before.st_mtime_ns))

    def new_id(self, run_id: str) -> str:
        """Give the id of a run's next transaction: ``RUN.1``, ``RUN.2``."""
        taken = [name.rpartition(".")[2] for name in self.ids() if name.rpartition(".")[0] == run_id]
        return f"{run_id}.{max(map(int, filter(str.isdigit, taken)), default=0) + 1}"

    def create(self, transaction: str, point: bytes) -> None:
        """Make the folders of a transaction on one file system; the upper root is like the lower one (rule 1).

        From now on the file system is watched for errors of writing, until the sync of the commit (rule 15).

        Raises:
            FileExistsError: there is a transaction of that name.
        """
        self.ensure_state_folder(point)
        self._watch(point)
        with opened(self._root_fd, point.rstrip(b"/") + b"/.workflow-agent") as state_fd:
            os.chmod(state_fd, 0o700)
            for path in (b"tx", b"stage"):
                with suppress(FileExistsError):
                    os.mkdir(path, 0o700, dir_fd=state_fd)
            os.mkdir(b"tx/" + transaction.encode(), 0o700, dir_fd=state_fd)
            self._reserve(state_fd)
        with (
            opened(self._root_fd, transaction_folder(point, transaction)) as folder_fd,
            opened(self._root_fd, point) as top_fd,
        ):
            for name in _FOLDERS:
                os.mkdir(name, 0o700, dir_fd=folder_fd)
            upper_fd = os.open(b"upper", os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder_fd)
            try:
                clone_folder(top_fd, upper_fd)
            finally:
                os.close(upper_fd)

    def _watch(self, point: bytes) -> int:
        """Keep a descriptor on a file system: its next sync reports what went wrong since it was opened."""
        if point not in self._watched:
            self._watched[point] = open_beneath(self._root_fd, point.strip(b"/"), os.O_RDONLY | os.O_DIRECTORY)
        return self._watched[point]

    def _reserve(self, state_fd: int) -> None:
        """Keep room for names and for undoing deletions when the disk is full (rule 19)."""
        try:
            descriptor = os.open(b"reserve", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=state_fd)
        except FileExistsError:
            return
        try:
            os.posix_fallocate(descriptor, 0, _RESERVE_BYTES)
        except OSError:
            os.unlink(b"reserve", dir_fd=state_fd)
            raise
        finally:
            os.close(descriptor)

    def release_reserve(self, points: tuple[bytes, ...]) -> None:
        """Give the reserve of file systems free."""
        for point in points:
            with opened(self._root_fd, point.rstrip(b"/") + b"/.workflow-agent") as state_fd:
                with suppress(FileNotFoundError):
                    os.unlink(b"reserve", dir_fd=state_fd)

    # -- the plan file ---------------------------------------------------------------------------------------------

    def write(self, transaction: Transaction) -> Transaction:
        """Write the plan file: to a new name, synced, renamed, the folder synced. Gives `transaction` back."""
        head = json.dumps(
            {
                "format": _FORMAT,
                "id": transaction.id,
                "run_id": transaction.run_id,
                "state": transaction.state.value,
                "points": [point.decode("utf-8", "surrogateescape") for point in transaction.points],
                "services": transaction.services,
                "effects": list(transaction.effects),
                "links": [[os.fsdecode(name) for name in names] for names in transaction.links],
                "identity": transaction.identity,
                "decided": list(transaction.decided),
            }
        )
        operations = ",\n".join(map(encode_operation, transaction.operations))
        rebased = ",\n".join(map(encode_operation, transaction.rebased))
        content = f'{head[:-1]}, "operations": [{operations}], "rebased": [{rebased}]}}'.encode()
        self._known.pop(transaction.id, None)
        with opened(self._root_fd, transaction_folder(self.base, transaction.id)) as folder_fd:
            try:
                self._write_plan(folder_fd, content)
                self._remember(_version(os.stat(b"plan.json", dir_fd=folder_fd)), _as_read(transaction, head))
            except OSError as error:
                with suppress(FileNotFoundError):
                    os.unlink(b"plan.json.new", dir_fd=folder_fd)
                untouched = transaction.state in {TransactionState.CAPTURED, TransactionState.COMMITTING}
                raise TransactionError(
                    "the plan file could not be written",
                    cause=str(error),
                    state="nothing was changed" if untouched else None,
                ) from error
        return transaction

    def _write_plan(self, folder_fd: int, content: bytes) -> None:
        try:
            _write_synced(folder_fd, b"plan.json", content)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            self.release_reserve((self.base,))
            _write_synced(folder_fd, b"plan.json", content)

    def move(self, transaction: Transaction, state: TransactionState, **changes: Any) -> Transaction:  # Any: fields
        """Write the plan file with another state (and other fields)."""
        return self.write(replace(transaction, state=state, **changes))

    def read(self, transaction: str) -> Transaction:
        """Read a plan file; raises NotFoundError, TransactionError for one that cannot be understood."""
        try:
            with opened(self._root_fd, transaction_folder(self.base, transaction)) as folder_fd:
                descriptor = os.open(b"plan.json", os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder_fd)
                with os.fdopen(descriptor, "rb") as stream:
                    version = _version(os.fstat(descriptor))
                    known = self._known.get(transaction)
                    if known is not None and known[0] == version:
                        return known[1]
                    data, operations = _parsed(stream.read(), transaction)
        except FileNotFoundError as error:
            raise NotFoundError(
                f"the target holds no transaction `{transaction}`",
                cause="it was discarded or pruned",
                hint="`workflow-agent history` lists what can be rolled back",
            ) from error
        except ValueError as error:
            raise TransactionError("a plan file is damaged", where=transaction, cause=str(error)) from error
        if data["format"] != _FORMAT:
            raise TransactionError(f"a plan file has format {data['format']}, this version reads {_FORMAT}")
        found = Transaction(
            id=data["id"],
            run_id=data["run_id"],
            state=TransactionState(data["state"]),
            points=tuple(point.encode("utf-8", "surrogateescape") for point in data["points"]),
            operations=operations,
            services=data["services"],
            links=tuple(tuple(map(os.fsencode, names)) for names in data.get("links", ())),
            identity=data.get("identity", ""),
            effects=tuple(data.get("effects", ())),  # plans of earlier versions have none
            rebased=tuple(decode_operation(operation) for operation in data.get("rebased", ())),
            decided=tuple(data.get("decided", ())),
        )
        if found.state in _BEGUN and isinstance(operations, StoredOperations):
            found = replace(found, operations=operations.every)  # so that a damaged one is left to a person
        self._remember(version, found)
        return found

    def _remember(self, version: _Version, transaction: Transaction) -> None:
        """Keep what was read or written; what was kept for longest goes when there are too many operations."""
        self._known.pop(transaction.id, None)
        self._known[transaction.id] = version, transaction
        while len(self._known) > 1 and sum(_weight(one) for _, one in self._known.values()) > _MOST_KNOWN:
            self._known.pop(next(iter(self._known)))

    def forget_plan(self, transaction: str) -> None:
        """Remove a plan file: what lies beside it is nobody's from now on, see `Committer.settle`."""
        with opened(self._root_fd, transaction_folder(self.base, transaction)) as folder_fd:
            os.unlink(b"plan.json", dir_fd=folder_fd)
            os.fsync(folder_fd)

    def ids(self) -> list[str]:
        """List the transactions whose folders exist, oldest first."""
        try:
            with opened(self._root_fd, self.base.rstrip(b"/") + b"/.workflow-agent/tx") as folder_fd:
                return sorted(os.listdir(folder_fd))
        except FileNotFoundError:
            return []

    def effects_of_others(self, transaction: str) -> list[Mapping[str, Any]]:
        """List what the plan files of other transactions keep of effects, the newest first."""
        return [effect for other in self._others(transaction) for effect in reversed(other.effects)]

    def pulled_by_others(self, transaction: str, services: Collection[str]) -> dict[str, list[str]]:
        """Give the units that starts of these services brought along in other transactions that stand."""
        found: dict[str, list[str]] = {}
        for other in self._others(transaction):
            if other.is_in_force and not set(services).isdisjoint(other.services.get("started", ())):
                found = other.services.get("pulled", {}) | found
        return found

    def _others(self, transaction: str) -> Iterator[Transaction]:
        for other in reversed(self.ids()):
            if other != transaction:
                with suppress(NotFoundError, TransactionError):  # one that is damaged tells nothing
                    yield self.read(other)

    # -- syncing and removing ----------------------------------------------------------------------------------------

    def sync(self, points: tuple[bytes, ...]) -> None:
        """Write the file systems' data to disk; raises OSError when the disk refused any of it (rule 15)."""
        for point in points:
            failpoint("transaction.sync")
            syncfs(self._watch(point))

    def write_out(self, points: tuple[bytes, ...]) -> None:
        """Begin early with what `sync` waits for; an error is told by `sync`, whose descriptors see it as well."""
        for point in points:
            with suppress(OSError), opened(self._root_fd, point) as folder_fd:
                syncfs(folder_fd)

    def drop_work(self, transaction: str, points: tuple[bytes, ...]) -> None:
        """Remove the overlay's work folders: their index holds one more name of each copied-up file."""
        for point in points:
            with opened(self._root_fd, transaction_folder(point, transaction)) as folder_fd:
                remove_tree("work", folder_fd)

    def remove(self, transaction: str, points: tuple[bytes, ...] = ()) -> None:
        """Remove a transaction's folders, the plan file's last; what is gone already is no error."""
        for point in sorted({*points, self.base}, reverse=True):
            with suppress(FileNotFoundError):
                with opened(self._root_fd, point.rstrip(b"/") + b"/.workflow-agent/tx") as folder_fd:
                    remove_tree(transaction, folder_fd)


class opened:  # noqa: N801  # reads as a verb in a with statement
    """Open a folder by its physical path below the target's root."""

    def __init__(self, root_fd: int, path: bytes) -> None:
        self._descriptor = open_beneath(root_fd, path.strip(b"/"), os.O_RDONLY | os.O_DIRECTORY)

    def __enter__(self) -> int:
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def clone_folder(source_fd: int, target_fd: int) -> None:
    """Give a folder the owner, mode, attributes and times of another."""
    status = os.fstat(source_fd)
    os.fchown(target_fd, status.st_uid, status.st_gid)
    os.fchmod(target_fd, status.st_mode & 0o7777)
    for name in os.listxattr(source_fd):
        os.setxattr(target_fd, name, os.getxattr(source_fd, name))
    os.utime(target_fd, ns=(status.st_atime_ns, status.st_mtime_ns))


def _as_read(transaction: Transaction, head: str) -> Transaction:
    """Give a transaction as reading its plan file would: values that went through JSON."""
    data = json.loads(head)
    return replace(transaction, services=data["services"], effects=tuple(data["effects"]))


def _parsed(content: bytes, where: str) -> tuple[dict[str, Any], Operations]:
    """Understand a plan file but for its operations, where they can be told from the rest; raises ValueError."""
    begin, end = content.find(_BEGIN), content.rfind(_END)
    if 0 <= begin < end:
        with suppress(ValueError):  # what was found was no key of its own
            head = json.loads(content[:begin] + b"}")
            tail = json.loads(b"{" + content[end + 3 :])
            return head | tail, StoredOperations(content[begin + len(_BEGIN) : end], where)
    data = json.loads(content)
    return data, tuple(decode_operation(operation) for operation in data["operations"])


def _weight(transaction: Transaction) -> int:
    operations = transaction.operations
    return 1 + operations.size // _TEXT_OF_ONE if isinstance(operations, StoredOperations) else len(operations)


def _version(status: os.stat_result) -> _Version:
    return status.st_dev, status.st_ino, status.st_ctime_ns, status.st_mtime_ns, status.st_size


def _write_synced(folder_fd: int, name: bytes, content: bytes) -> None:
    temporary = name + b".new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600, dir_fd=folder_fd)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    failpoint("transaction.plan-written")
    os.rename(temporary, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
    os.fsync(folder_fd)
    failpoint("transaction.plan-renamed")
