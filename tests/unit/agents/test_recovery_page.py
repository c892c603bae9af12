"""The page about failures says what the rules do."""

from __future__ import annotations

from pathlib import Path

import pytest

from workflow_agent.agents.recovery_rules import RULES, Bounds, FailureClass, Sign, Source, decide, retry_pause

PAGE = (Path(__file__).parents[3] / "docs/recovery.md").read_text(encoding="utf-8")
ROWS = {
    cells[0].strip(" `"): [cell.strip() for cell in cells[1:]]
    for line in PAGE.splitlines()
    if (cells := line.strip("|").split("|"))[0].strip(" `") in set(FailureClass)
}


def test_every_class_has_its_row() -> None:
    assert list(ROWS) == [failure.value for failure in FailureClass]


@pytest.mark.parametrize("failure", FailureClass)
def test_a_row_tells_what_is_done_and_how_often(failure: FailureClass) -> None:
    _, decision, attempts, _ = ROWS[failure.value]
    number = next(at for at in range(1, 10) if retry_pause(failure, at, Bounds()) is None)

    assert (decision, attempts) == (decide(failure, committed=False).value, str(number))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.failure.value}-{rule.pattern[:20]}")
def test_a_row_names_everybody_who_says_so(rule: Sign) -> None:
    told = ROWS[rule.failure.value][0]

    if rule.source is Source.EXIT_CODE:
        assert f"exit code {rule.pattern}" in told
    elif rule.source is Source.OUTPUT:
        assert all(name in told for name in rule.who.removeprefix("the ").split(", ")), rule.who


def test_the_pauses_are_those_of_the_page() -> None:
    pauses = [retry_pause(FailureClass.NETWORK, at, Bounds()) for at in (1, 2)]

    assert pauses == [2, 6]
    assert "2 s, then 6 s, for the network" in PAGE
    assert f"{Bounds().lock_pause_s:.0f} s for a lock" in PAGE
