"""Plots of figures over sizes as SVG text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["level_plot", "log_plot"]

_WIDTH, _HEIGHT = 720, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 200, 40, 50
#: Distinguishable also for people who see few colours (Okabe and Ito).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_DASHED = "wanted"


def log_plot(title: str, sizes: str, unit: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Draw lines through points (size, value), both positive; a line whose name begins with "wanted" is dashed.

    Args:
        title: What is shown.
        sizes: What the horizontal axis counts.
        unit: Of the vertical axis.
        lines: Points by name, in rising order of size.
    """
    points = [point for line in lines.values() for point in line]
    left, right = _decades(size for size, _ in points)
    low, high = _decades(value for _, value in points)

    def across(size: float) -> float:
        return _LEFT + (math.log10(size) - left) / (right - left) * (_WIDTH - _LEFT - _RIGHT)

    def down(value: float) -> float:
        return _HEIGHT - _BOTTOM - (math.log10(value) - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_LEFT, 22, title, size=14),
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 12, sizes, anchor="middle"),
        _text(12, _TOP - 8, unit),
    ]
    for decade in range(left, right + 1):
        at = across(10**decade)
        drawn.append(f'<path d="M{at:.1f} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="#ddd"/>')
        drawn.append(_text(at, _HEIGHT - _BOTTOM + 16, f"{10**decade:,}", anchor="middle"))
    for decade in range(low, high + 1):
        at = down(10**decade)
        drawn.append(f'<path d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        drawn.append(_text(_LEFT - 6, at + 4, f"{10**decade:g}", anchor="end"))
    for number, (name, line) in enumerate(lines.items()):
        colour = "#888" if name.startswith(_DASHED) else _COLOURS[number % len(_COLOURS)]
        dashes = ' stroke-dasharray="5 4"' if name.startswith(_DASHED) else ""
        path = "L".join(f"{across(size):.1f} {down(value):.1f}" for size, value in line)
        drawn.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>')
        drawn += [
            f'<circle cx="{across(size):.1f}" cy="{down(value):.1f}" r="3" fill="{colour}"/>' for size, value in line
        ]
        drawn.append(_text(_WIDTH - _RIGHT + 12, _TOP + 14 + 18 * number, name, fill=colour))
    return "\n".join([*drawn, "</svg>", ""])


def level_plot(title: str, points: Sequence[tuple[int, float]], unit: str) -> str:
    """Draw values over counts that grow tenfold, as SVG; the scale begins at zero, so that flat looks flat."""
    width, height, left, top, bottom = 640, 300, 60, 40, 250
    first, last = math.log10(points[0][0]), math.log10(points[-1][0])
    highest = max(value for _, value in points) * 1.25
    places = [
        (
            left + (math.log10(count) - first) / (last - first) * (width - left - 40),
            bottom - value / highest * (bottom - top),
        )
        for count, value in points
    ]
    line = " ".join(f"{x:.0f},{y:.0f}" for x, y in places)
    marks = "".join(
        f'<circle cx="{x:.0f}" cy="{y:.0f}" r="4" fill="#2563eb"/>'
        f'<text x="{x:.0f}" y="{y - 10:.0f}" text-anchor="middle">{value:.0f}</text>'
        f'<text x="{x:.0f}" y="{bottom + 20}" text-anchor="middle">{count:,}</text>'
        for (x, y), (count, value) in zip(places, points, strict=True)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="12" fill="#374151"><rect width="100%" height="100%" fill="#ffffff"/>'
        f'<text x="{left}" y="20" font-size="14">{title}, {unit}</text>'
        f'<path d="M{left} {top}V{bottom}H{width - 20}" fill="none" stroke="#9ca3af"/>'
        f'<polyline points="{line}" fill="none" stroke="#2563eb" stroke-width="2"/>{marks}</svg>\n'
    )


def _decades(values: Iterable[float]) -> tuple[int, int]:
    logarithms = [math.log10(value) for value in values]
    low, high = math.floor(min(logarithms)), math.ceil(max(logarithms))
    return low, max(high, low + 1)


def _text(across: float, down: float, text: str, *, anchor: str = "start", fill: str = "#333", size: int = 12) -> str:
    placed = f'x="{across:.1f}" y="{down:.1f}" text-anchor="{anchor}" fill="{fill}" font-size="{size}"'
    return f"<text {placed}>{escape(text)}</text>"
