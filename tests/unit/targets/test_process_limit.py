"""Which kernels have a highest process number for each namespace."""

from __future__ import annotations

import pytest

from workflow_agent.targets.process_limit import has_own_numbers


@pytest.mark.parametrize(
    ("release", "own"),
    [
        ("6.14.0", True),
        ("6.18.44-fc", True),
        ("7.0", True),
        ("6.13.9-amd64", False),
        ("5.10.0-30", False),
        ("odd", False),
    ],
)
def test_an_earlier_kernels_number_is_that_of_the_whole_machine(release: str, own: bool) -> None:
    assert has_own_numbers(release) is own
