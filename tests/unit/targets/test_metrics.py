"""The Prometheus text format is read as a scraper reads it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_agent.targets.metrics import (
    MetricsError,
    Sample,
    format_value,
    parse_metrics,
    parse_value,
    select,
)

_REAL = """\
# HELP go_gc_duration_seconds A summary of the pause duration of garbage collection cycles.
# TYPE go_gc_duration_seconds summary
go_gc_duration_seconds{quantile="0"} 3.3e-05
go_gc_duration_seconds_count 7
# TYPE node_exporter_build_info gauge
node_exporter_build_info{branch="debian/sid",goversion="go1.19.8",revision="1.5.0-1+b6",version="1.5.0"} 1

node_filesystem_free_bytes{device="/dev/vda",fstype="ext4",mountpoint="/"} 1.23456e+10 1395066363000
node_thermal{zone="0"} NaN
"""


def test_real_text_gives_every_series() -> None:
    samples = list(parse_metrics(_REAL))

    assert [sample.name for sample in samples] == [
        "go_gc_duration_seconds",
        "go_gc_duration_seconds_count",
        "node_exporter_build_info",
        "node_filesystem_free_bytes",
        "node_thermal",
    ]
    assert samples[0] == Sample("go_gc_duration_seconds", {"quantile": "0"}, 3.3e-05)
    assert samples[3].value == 1.23456e10
    assert math.isnan(samples[4].value)


@pytest.mark.parametrize(
    ("line", "labels", "value"),
    [
        ("up 1", {}, 1.0),
        ("up{} 1", {}, 1.0),
        ('up { a = "1" , b = "2" , } 0', {"a": "1", "b": "2"}, 0.0),
        ('up{b="2",a="1"}\t-0.5', {"b": "2", "a": "1"}, -0.5),
        (r'up{a="back\\slash \"quoted\" line\nend"} 1', {"a": 'back\\slash "quoted" line\nend'}, 1.0),
        ('up{a="}, b=\\"x\\" 7"} 2', {"a": '}, b="x" 7'}, 2.0),
        ('up{a="# no comment"} 2', {"a": "# no comment"}, 2.0),
        ("up +Inf", {}, math.inf),
        ("up -inf", {}, -math.inf),
        ("up 0x1F", {}, 31.0),
        ("up 1. 1700000000000", {}, 1.0),
        ("up .5e3\r", {}, 500.0),
        ('{"up", a="1"} 3', {"a": "1"}, 3.0),
        ('{a="1","up"} 3', {"a": "1"}, 3.0),
        ('up{"dotted.label"="x"} 3', {"dotted.label": "x"}, 3.0),
        ('up{a="1"} 3 # {trace="x"} 0.5', {"a": "1"}, 3.0),
    ],
)
def test_one_line(line: str, labels: dict[str, str], value: float) -> None:
    assert list(parse_metrics(line)) == [Sample("up", labels, value)]


@pytest.mark.parametrize(
    "line",
    [
        "up",
        "up{",
        "up{a} 1",
        'up{a="1} 1',
        'up{a="1"',
        'up{a="1" b="2"} 1',
        'up{a="1",a="2"} 1',
        "up{a=1} 1",
        "up 1 2 3",
        "up one",
        "up 1 later",
        "up 1_000",
        '{a="1"} 1',
        "<html>",
        "1up 3",
        "up{,} 1",
    ],
)
def test_a_bad_line_makes_the_text_bad(line: str) -> None:
    with pytest.raises(MetricsError, match="line 2"):
        list(parse_metrics(f"ok 1\n{line}"))


def test_select_needs_the_exact_name_and_every_label() -> None:
    text = 'up{job="a",zone="x"} 1\nup{job="ab"} 2\nupper{job="a"} 3\nup{job="a"} 4\n'

    def values(labels: dict[str, str]) -> list[float]:
        return [sample.value for sample in select(parse_metrics(text), "up", labels)]

    assert values({"job": "a"}) == [1, 4]
    assert values({"zone": "x", "job": "a"}) == [1]
    assert values({"zone": ""}) == [2, 4]
    assert values({"job": "b"}) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1"), (0.25, "0.25"), (1e300, "1e+300"), (math.nan, "NaN"), (math.inf, "+Inf"), (-math.inf, "-Inf")],
)
def test_values_are_written_as_people_write_them(value: float, text: str) -> None:
    assert format_value(value) == text


@given(st.floats())
def test_a_written_value_reads_back(value: float) -> None:
    read = parse_value(format_value(value))

    assert read == value or (math.isnan(read) and math.isnan(value))


@given(st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]*", fullmatch=True), st.text()), st.integers(-9, 9))
def test_any_label_value_survives_escaping(labels: dict[str, str], value: int) -> None:
    def escape(text: str) -> str:
        return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    inside = ",".join(f'{key}="{escape(text)}"' for key, text in labels.items())

    assert list(parse_metrics(f"up{{{inside}}} {value}")) == [Sample("up", labels, float(value))]
