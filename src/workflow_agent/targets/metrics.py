"""Reading the Prometheus text format. Standard library only: the probe program uses it inside namespaces.

Strict, as a real scraper is: one bad line makes the whole text bad, because a text that is only half
understood proves nothing.
Source: prometheus.io/docs/instrumenting/exposition_formats (text format 0.0.4, quoted UTF-8 names of 3.0).
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["MetricsError", "Sample", "format_value", "parse_metrics", "parse_value", "select"]

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_QUOTED = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|0[xX][0-9a-fA-F]+)")
_SPECIAL = {"nan": math.nan, "inf": math.inf, "+inf": math.inf, "-inf": -math.inf}
_ESCAPES = {"\\": "\\", '"': '"', "n": "\n"}
_BLANKS = " \t"


class MetricsError(ValueError):
    """A line is not in the text format; only for the layer above, which turns it into what was observed."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"the metrics text is malformed in line {line}: {reason}")


class Sample(NamedTuple):
    """One series' value. `labels` holds every label but the name."""

    name: str
    labels: Mapping[str, str]
    value: float


def parse_value(text: str) -> float:
    """Read a value: a decimal or hexadecimal number, ``NaN``, ``+Inf``, ``-Inf``; raises ValueError."""
    special = _SPECIAL.get(text.lower())
    if special is not None:
        return special
    if _NUMBER.fullmatch(text) is None:
        raise ValueError(f"`{text}` is not a number")
    return float(int(text, 16)) if "x" in text.lower() else float(text)


def format_value(value: float) -> str:
    """Write a value as people write it: whole numbers without a fraction."""
    if math.isfinite(value) and value == int(value) and abs(value) < 1e15:  # noqa: PLR2004 - exact in a float
        return str(int(value))
    return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}.get(repr(value), repr(value))


def parse_metrics(text: str) -> Iterator[Sample]:
    """Yield the samples of a text in its order; comments and empty lines are skipped.

    Raises:
        MetricsError: A line is not in the format.
    """
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip(_BLANKS + "\r")
        if line and not line.startswith("#"):
            try:
                yield _Line(line).sample()
            except ValueError as error:
                raise MetricsError(number, str(error)) from error


def select(samples: Iterator[Sample], name: str, labels: Mapping[str, str]) -> list[Sample]:
    """Keep the samples of a name that carry at least the given labels, each with exactly the given value.

    An absent label equals an empty one, as in Prometheus.
    """
    return [
        sample
        for sample in samples
        if sample.name == name and all(sample.labels.get(key, "") == value for key, value in labels.items())
    ]


class _Line:
    """A cursor over one line: ``name{label="value",…} value [timestamp]``."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def sample(self) -> Sample:
        match = self._match(_NAME)
        name = match.group() if match else None
        self._blanks()
        labels: dict[str, str] = {}
        if self._take("{"):
            name = self._labels(labels, name)
        if name is None:
            raise ValueError("a metric name is missing")
        return Sample(name, labels, self._value())

    def _labels(self, labels: dict[str, str], name: str | None) -> str | None:
        self._blanks()
        while not self._take("}"):
            key, quoted = self._label_name()
            self._blanks()
            if quoted and name is None and self._peek() in {",", "}"}:
                name = key  # {"metric.name", label="x"}: the UTF-8 form of a name
            else:
                self._expect("=")
                self._blanks()
                if key in labels:
                    raise ValueError(f"label `{key}` stands twice")
                labels[key] = self._quoted()
            self._blanks()
            if not self._take(",") and self._peek() != "}":
                raise ValueError("`,` or `}` is missing after a label")
            self._blanks()
        return name

    def _label_name(self) -> tuple[str, bool]:
        if self._peek() == '"':
            return self._quoted(), True
        match = self._match(_NAME)
        if match is None:
            raise ValueError("a label name is missing")
        return match.group(), False

    def _quoted(self) -> str:
        match = self._match(_QUOTED)
        if match is None:
            raise ValueError("a quoted text is missing or does not end")
        return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[0]), match.group(1))

    def _value(self) -> float:
        rest = self.text[self.at :].partition(" # ")[0]  # an OpenMetrics exemplar follows ` # `
        parts = rest.split()
        if not 1 <= len(parts) <= 2:  # noqa: PLR2004 - value and optional timestamp
            raise ValueError("a value is missing or something follows it")
        if len(parts) > 1:
            parse_value(parts[1])
        return parse_value(parts[0])

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self.text, self.at)
        if match is not None:
            self.at = match.end()
        return match

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _take(self, char: str) -> bool:
        taken = self._peek() == char
        self.at += taken
        return taken

    def _expect(self, char: str) -> None:
        if not self._take(char):
            raise ValueError(f"`{char}` is missing")

    def _blanks(self) -> None:
        while self._peek() in {" ", "\t"}:
            self.at += 1
