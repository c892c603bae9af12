"""The cells of the conflict matrix: what a transaction did to a path, and what somebody else did to it meanwhile.

Run as a program with the path of `docs/rollback.md`, it writes the table there; a test carries every cell out.
"""

from __future__ import annotations

import os
import shutil
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "OTHERS",
    "OWN",
    "Cell",
    "Consequence",
    "Moment",
    "State",
    "cells",
    "expected",
    "matrix_text",
    "written_into",
]

_BEGIN, _END = "<!-- conflict matrix: generated -->\n", "<!-- end of the conflict matrix -->\n"


class Moment(StrEnum):
    """When somebody else changed something."""

    BEFORE_COMMIT = "between the script and the commit"
    BEFORE_ROLLBACK = "between the commit and the rollback"


class State(StrEnum):
    """What is at a path when somebody else changes it."""

    FILE = "file"
    LINK = "link"
    FOLDER = "folder"
    ABSENT = "absent"


class Consequence(StrEnum):
    """What comes of it."""

    REFUSED = "refused"
    GOES_ON = "goes on"
    OWNED = "goes with it"


class Own(NamedTuple):
    """What a transaction does: its script in the folder of the cell, and what is at `name` before and after."""

    script: str
    before: State
    after: State
    name_after: str = "f"


#: What the transaction does to `f`, by what people read.
OWN: Final[Mapping[str, Own]] = {
    "created": Own("echo ours > f", State.ABSENT, State.FILE),
    "content changed": Own("echo ours >> f", State.FILE, State.FILE),
    "mode changed": Own("chmod 600 f", State.FILE, State.FILE),
    "deleted": Own("rm f", State.FILE, State.ABSENT),
    "replaced by a link": Own("rm f; ln -s ours f", State.FILE, State.LINK),
    "replaced by a folder": Own("rm f; mkdir f; echo ours > f/in", State.FILE, State.FOLDER),
    "renamed": Own("mv f g", State.FILE, State.FILE, "g"),
}


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()


def _content(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
        path.symlink_to("theirs")
    elif path.is_dir():
        (path / "theirs").write_text("theirs\n", encoding="ascii")
    else:
        path.write_text("theirs\n", encoding="ascii")


def _folder(path: Path) -> None:
    _clear(path)
    path.mkdir()


def _link(path: Path) -> None:
    _clear(path)
    path.symlink_to("elsewhere")


def _fifo(path: Path) -> None:
    _clear(path)
    os.mkfifo(path)


def _file(path: Path) -> None:
    _clear(path)
    path.write_text("theirs\n", encoding="ascii")


def _parent(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))


def _neighbour(path: Path) -> None:
    (path.parent / "neighbour").write_text("theirs\n", encoding="ascii")


_THERE = frozenset({State.FILE, State.LINK, State.FOLDER})
_ALL = frozenset(State)
#: What can be done to a folder that stays one: where the run made the folder, it is the run's (rule 23).
_OF_A_FOLDER = frozenset({"content", "mode", "owner", "mtime", "xattr"})
_NO_LINK = frozenset({State.FILE, State.FOLDER})


class Other(NamedTuple):
    """What somebody else does to the path, and where that can be done."""

    do: Callable[[Path], None]
    states: frozenset[State]


#: What somebody else does, by what people read.
OTHERS: Final[Mapping[str, Other]] = {
    "content": Other(_content, _THERE),
    "mode": Other(lambda path: path.chmod(0o640), _NO_LINK),
    "owner": Other(lambda path: os.chown(path, 1234, 1234, follow_symlinks=False), _THERE),
    "mtime": Other(lambda path: os.utime(path, (1, 1), follow_symlinks=False), _THERE),
    "xattr": Other(lambda path: os.setxattr(path, "user.theirs", b"1"), _NO_LINK),
    "a folder": Other(_folder, frozenset({State.FILE, State.LINK})),
    "a link": Other(_link, _NO_LINK),
    "a FIFO": Other(_fifo, _THERE),
    "a file": Other(_file, frozenset({State.LINK, State.FOLDER})),
    "deleted": Other(_clear, _THERE),
    "created": Other(_file, frozenset({State.ABSENT})),
    "parent renamed": Other(_parent, _ALL),
    "neighbour": Other(_neighbour, _ALL),
}


class Cell(NamedTuple):
    """One combination."""

    moment: Moment
    own: str
    other: str

    @property
    def name(self) -> str:
        """Name of the path that somebody else changes."""
        return OWN[self.own].name_after if self.moment is Moment.BEFORE_ROLLBACK else "f"

    @property
    def state(self) -> State:
        """What is there then."""
        own = OWN[self.own]
        return own.after if self.moment is Moment.BEFORE_ROLLBACK else own.before


def cells(moment: Moment) -> list[Cell]:
    """List the combinations that there are."""
    every = [Cell(moment, own, other) for own in OWN for other in OTHERS]
    return [cell for cell in every if cell.state in OTHERS[cell.other].states]


def expected(cell: Cell) -> Consequence:
    """Say what the documentation says of a cell."""
    if cell.other == "neighbour":
        return Consequence.GOES_ON
    if cell.moment is Moment.BEFORE_ROLLBACK and cell.state is State.FOLDER and cell.other in _OF_A_FOLDER:
        return Consequence.OWNED
    return Consequence.REFUSED


def matrix_text() -> str:
    """Write the table: a row for each thing that a transaction does, a column for each that somebody else does."""
    lines = []
    for moment in Moment:
        known = set(cells(moment))
        lines += ["", f"Somebody else's change {moment}:", "", f"| the run's own | {' | '.join(OTHERS)} |"]
        lines.append(f"| --- |{' --- |' * len(OTHERS)}")
        for own in OWN:
            row = [Cell(moment, own, other) for other in OTHERS]
            texts = [expected(cell).value if cell in known else "" for cell in row]
            lines.append(f"| {own} | {' | '.join(texts)} |")
    return "\n".join(lines[1:]) + "\n"


def written_into(page: str) -> str:
    """Give a page with the table as it is now between its marks."""
    head, _, rest = page.partition(_BEGIN)
    _, _, tail = rest.partition(_END)
    return f"{head}{_BEGIN}\n{matrix_text()}\n{_END}{tail}"


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.write_text(written_into(place.read_text(encoding="utf-8")), encoding="utf-8")
