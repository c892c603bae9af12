"""Figures as text that Prometheus reads. Pure: what is counted and measured comes from ``scraping``.

Source: prometheus.io/docs/instrumenting/exposition_formats, text format 0.0.4; names:
prometheus.io/docs/concepts/data_model.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final, Literal

from workflow_agent.model.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["Family", "Series", "clean_label", "clean_name", "distinct_labels", "exposed"]

_NOT_IN_NAMES: Final = re.compile(r"[^a-zA-Z0-9_:]")
_NOT_IN_LABELS: Final = re.compile(r"[^a-zA-Z0-9_]")
_EXACT: Final = 1e15


@dataclass(frozen=True, slots=True)
class Series:
    """One line: labels and a value. `suffix` is put behind the family's name (``_bucket``, ``_sum``, ``_count``)."""

    labels: Mapping[str, str]
    value: float
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """Lines that share a name, a type and a sentence that says what they are."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    said: str
    series: Sequence[Series]


def exposed(families: Iterable[Family]) -> str:
    """Write families down; those without a line are left out."""
    return "".join(f"{line}\n" for family in families if family.series for line in _lines(family))


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {_escaped(family.said)}"
    yield f"# TYPE {family.name} {family.kind}"
    for each in family.series:
        labels = ",".join(f'{name}="{_quoted(value)}"' for name, value in each.labels.items())
        yield f"{family.name}{each.suffix}{f'{{{labels}}}' if labels else ''} {_number(each.value)}"


def _escaped(text: str) -> str:
    """Escape what would end a line; a lone surrogate, which no UTF-8 holds, is shown as its escape."""
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.encode("utf-8", "backslashreplace").decode()


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')


def _number(value: float) -> str:
    if math.isfinite(value):
        return str(int(value)) if value == int(value) and abs(value) < _EXACT else repr(float(value))
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def clean_name(text: str) -> str:
    """Make what may stand inside of a metric's name."""
    return _NOT_IN_NAMES.sub("_", text).replace(":", "_")


def clean_label(text: str, reserved: Iterable[str]) -> str:
    """Make a label's name: two underscores at its beginning are Prometheus's own, `reserved` are ours."""
    name = _NOT_IN_LABELS.sub("_", text)
    if not name or name[0].isdigit() or name.startswith("__") or name in reserved:
        name = f"tag_{name.lstrip('_')}"
    return name


def distinct_labels(tags: Mapping[str, str], reserved: Iterable[str]) -> dict[str, str]:
    """Give tags as labels; of several that come to the same name the later ones get a number."""
    labels: dict[str, str] = {}
    taken = set(reserved)
    for text in sorted(tags):
        name = first = clean_label(text, taken & set(reserved))
        number = 1
        while name in taken:
            number += 1
            name = f"{first}_{number}"
        taken.add(name)
        labels[name] = tags[text]
    return labels
