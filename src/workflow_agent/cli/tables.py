"""Aligned tables that fit a terminal and are never cut in a pipe; times and sizes for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from workflow_agent.cli.style import Style, clip, safe
from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Column", "ago", "counted", "duration", "moment", "size", "table"]

_GAP = "  "
_LEAST = 8
_UNITS = ((86400 * 365, "year"), (86400, "day"), (3600, "hour"), (60, "minute"))


@dataclass(frozen=True, slots=True)
class Column:
    """A column. One of higher `rank` is left out first where the terminal is narrow; rank 0 never is.

    One of rank 1 stays when cutting others is enough.
    `is_status` colours the cell by the state that it holds. `shrinks` says that it may be cut.
    """

    key: str
    title: str
    rank: int = 0
    is_status: bool = False
    shrinks: bool = False


def table(columns: Sequence[Column], rows: Sequence[Mapping[str, object]], style: Style) -> Iterator[str]:
    """Write a table: a head and a line for each row. Without rows there is nothing, not even a head."""
    if not rows:
        return
    cells = [{column.key: _text(row.get(column.key), column, style) for column in columns} for row in rows]
    widths = {column.key: max(len(column.title), *(len(row[column.key]) for row in cells)) for column in columns}
    shown = _fitting(columns, widths, style.width)
    yield style.paint(_line([column.title.ljust(widths[column.key]) for column in shown]), "bold")
    for row, source in zip(cells, rows, strict=True):
        yield _line([_cell(row[column.key], source, column, widths[column.key], style) for column in shown])


def _text(value: object, column: Column, style: Style) -> str:
    text = "" if value is None else safe(value)
    return f"{style.symbol(text)} {text}" if column.is_status and text else text


def _cell(text: str, row: Mapping[str, object], column: Column, width: int, style: Style) -> str:
    if column.is_status and text:
        return style.status(str(row[column.key]), width=width)
    return clip(text, width, ellipsis=style.glyph("…", "...")).ljust(width)


def _line(cells: Sequence[str]) -> str:
    return _GAP.join(cells).rstrip()


def _fitting(columns: Sequence[Column], widths: dict[str, int], width: int | None) -> list[Column]:
    """Leave columns out, highest rank first, then cut those that may be cut; widths are changed in place."""
    shown = list(columns)
    if width is None:
        return shown

    def excess() -> int:
        return sum(widths[column.key] for column in shown) + len(_GAP) * (len(shown) - 1) - width

    spare = sum(max(widths[column.key] - _LEAST, 0) for column in columns if column.shrinks and not column.rank)
    for column in sorted((column for column in columns if column.rank), key=lambda one: -one.rank):
        if excess() <= (spare if column.rank == 1 else 0):
            break
        shown.remove(column)
    for column in sorted((one for one in shown if one.shrinks), key=lambda one: -widths[one.key]):
        cut = min(max(excess(), 0), max(widths[column.key] - _LEAST, 0))
        widths[column.key] -= cut
    return shown


def ago(at: float | None, now: float) -> str:
    """Say how long ago something was."""
    if at is None:
        return ""
    seconds = max(now - at, 0.0)
    for unit_s, name in _UNITS:
        if seconds >= unit_s:
            return f"{counted(int(seconds // unit_s), name)} ago"
    return "just now" if seconds < 1 else f"{int(seconds)} s ago"


def moment(at: float | None) -> str:
    """Write a moment exactly, in UTC; nothing where it is not known."""
    return "" if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def duration(started_at: float | None, finished_at: float | None) -> str:
    """Write the time between two moments; nothing where one is not known."""
    if started_at is None or finished_at is None:
        return ""
    seconds = max(finished_at - started_at, 0.0)
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Write a number with its noun."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def size(number: float) -> str:
    """Write a number of bytes."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(number) < 1000 or unit == "GB":  # noqa: PLR2004
            break
        number /= 1000
    return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
