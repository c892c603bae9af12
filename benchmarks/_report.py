"""What all benchmarks print: figures on stdout, as a table or as JSON; the machine and remarks on stderr."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Figure", "installed", "machine", "quantile", "remark", "show"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured number: the median of several rounds of `n` operations each."""

    name: str
    subject: str
    value: float
    unit: str
    n: int


def installed(distribution: str) -> str | None:
    """Version of an installed distribution, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def quantile(ordered: Sequence[float], share: float) -> float:
    """Value below which `share` (0 to 1) of the sorted values lie (nearest rank)."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def machine() -> str:
    """Describe where this runs: processor, cores, load, system, Python."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    models = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    processor = models[0] if models else platform.processor() or platform.machine()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    load = os.getloadavg()[0]
    return f"{processor}, {os.cpu_count()} cores, load {load:.1f}, {platform.system()} {platform.release()}, {python}"


def remark(text: str) -> None:
    """Say something that is not a figure."""
    print(text, file=sys.stderr, flush=True)


def show(figures: Iterable[Figure], *, as_json: bool) -> None:
    """Print the figures."""
    if as_json:
        print(json.dumps([asdict(figure) for figure in figures], indent=2))
        return
    print(f"{'measure':<24} {'subject':<16} {'value':>14} {'unit':<8} {'n':>8}")
    for each in figures:
        print(f"{each.name:<24} {each.subject:<16} {each.value:>14,.3f} {each.unit:<8} {each.n:>8}")
