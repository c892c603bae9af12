"""What the paths of a transaction hold after its commit, written down when the capture is planned.

The plan file knows entries by handle and times. Whether a file that was written since holds something else, and what,
only its content tells: a digest of each file of the system's own folders, the text of small configuration files that
everybody may read (what others may not read is not copied), where links lead, and extended attributes. Without this
file drift is told from size and modification time. Blocking.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from typing import TYPE_CHECKING, Any

from workflow_agent.model.records import dataclass
from workflow_agent.targets.linux import open_beneath
from workflow_agent.targets.live_tree import LiveTree, staged_path, transaction_folder
from workflow_agent.targets.operations import OperationKind
from workflow_agent.targets.sides import SYSTEM_FOLDERS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from workflow_agent.targets.entries import Entry
    from workflow_agent.targets.operations import Operation

__all__ = ["Noted", "digest_of", "note_contents", "read_noted", "text_of"]

#: Where a text is kept beside its digest.
_CONFIGURATION = b"/etc/"
_NAME = b"contents.json"
#: 1 had other digests.
_FORMAT = 2
_CHUNK = 1 << 20
#: Larger texts are compared, and not shown.
_LONGEST_TEXT = 64 << 10
#: What one transaction reads and keeps at most, in bytes; beyond it size and time have to tell.
_MOST_READ = 512 << 20
_MOST_TEXT = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """What is known of one path: the digest of a file and perhaps its text, where a link leads, attributes."""

    digest: str | None = None
    text: str | None = None
    target: bytes | None = None
    xattrs: Mapping[str, bytes] | None = None


def note_contents(
    root_fd: int,
    transaction: str,
    operations: Iterable[Operation],
    secrets: Collection[str] = (),
    *,
    base: bytes = b"/",
) -> None:
    """Write down what the staged entries of a transaction hold.

    Args:
        root_fd: The target's root.
        transaction: Its id; everything is staged on the target.
        operations: Its plan.
        secrets: Values that the script was given: a text in which one stands is not kept.
        base: Where plan files are.
    """
    entries: dict[str, Any] = {}  # Any: JSON
    read = kept = 0
    noted_below = SYSTEM_FOLDERS if base == b"/" else (*SYSTEM_FOLDERS, base + b"/")
    with LiveTree(root_fd) as tree:
        for path, place, entry in _brought(operations, transaction):
            if entry.is_dir or not path.startswith(noted_below):
                continue
            known: dict[str, Any] = {}
            if stat.S_ISLNK(entry.mode):
                known["target"] = os.fsdecode(_link(tree, place))
            elif stat.S_ISREG(entry.mode) and read + entry.size <= _MOST_READ:
                read += entry.size
                known["digest"] = digest_of(tree, place)
                text = text_of(tree, place, entry) if path.startswith(_CONFIGURATION) else None
                if text is not None and kept + len(text) <= _MOST_TEXT and not any(one in text for one in secrets):
                    kept += len(text)
                    known["text"] = text
            xattrs = tree.xattrs(place)
            known["xattrs"] = {name: base64.b64encode(value).decode() for name, value in xattrs.items()}
            entries[os.fsdecode(path)] = known
    content = json.dumps({"format": _FORMAT, "entries": entries}).encode()
    folder_fd = open_beneath(root_fd, transaction_folder(base, transaction).strip(b"/"), os.O_RDONLY | os.O_DIRECTORY)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(_NAME, flags, 0o600, dir_fd=folder_fd), "wb") as stream:
            stream.write(content)
    finally:
        os.close(folder_fd)


def read_noted(root_fd: int, transaction: str, base: bytes = b"/") -> dict[bytes, Noted]:
    """Read what is known of the paths of a transaction; nothing where that was lost or never written."""
    try:
        place = transaction_folder(base, transaction) + b"/" + _NAME
        with os.fdopen(open_beneath(root_fd, place.strip(b"/"), os.O_RDONLY), "rb") as stream:
            data = json.loads(stream.read())
        if data["format"] != _FORMAT:
            return {}
        return {os.fsencode(path): _decoded(known) for path, known in data["entries"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # it was not synced on its own: size and time have to tell


def _decoded(known: Mapping[str, Any]) -> Noted:
    target, xattrs = known.get("target"), known.get("xattrs")
    return Noted(
        digest=known.get("digest"),
        text=known.get("text"),
        target=None if target is None else os.fsencode(target),
        xattrs=None if xattrs is None else {name: base64.b64decode(value) for name, value in xattrs.items()},
    )


def _brought(operations: Iterable[Operation], transaction: str) -> Iterator[tuple[bytes, bytes, Entry]]:
    """Give every entry that operations bring: its path, where it is staged, its state."""
    for operation in operations:
        if operation.kind not in {OperationKind.CREATE, OperationKind.EXCHANGE} or operation.after is None:
            continue
        place = staged_path(operation, transaction)
        yield operation.path, place, operation.after
        for relative, entry in operation.content.items():
            yield operation.path + b"/" + relative, place + b"/" + relative, entry


def _open(tree: LiveTree, path: bytes) -> int:
    folder_fd, name = tree.place(path)
    return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder_fd)


def digest_of(tree: LiveTree, path: bytes) -> str:
    """Give the digest of a regular file's content; raises OSError."""
    digest = hashlib.sha256()  # processors help with it: less than half the time of BLAKE2
    with os.fdopen(_open(tree, path), "rb", 0) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def text_of(tree: LiveTree, path: bytes, entry: Entry) -> str | None:
    """Give the text of a small file that everybody may read; None for any other, and for what is no text."""
    if not stat.S_ISREG(entry.mode) or entry.size > _LONGEST_TEXT or not entry.mode & stat.S_IROTH:
        return None
    with os.fdopen(_open(tree, path), "rb", 0) as stream:
        content = stream.read(_LONGEST_TEXT + 1)
    try:
        return None if b"\0" in content else content.decode()
    except UnicodeDecodeError:
        return None


def _link(tree: LiveTree, path: bytes) -> bytes:
    folder_fd, name = tree.place(path)
    return os.readlink(name, dir_fd=folder_fd)
