"""Every cell of the conflict matrix, carried out on a host: each outcome is as the documentation says."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.errors import PathConflictError
from workflow_agent.testing.conflict_matrix import (
    OTHERS,
    OWN,
    Cell,
    Consequence,
    Moment,
    State,
    cells,
    expected,
    written_into,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from workflow_agent.testing.lab import FileRecord
    from workflow_agent.testing.transactions import Trial

_rounds = itertools.count(1)
_PAGE = Path(__file__).parents[3] / "docs" / "rollback.md"


class Field:
    """Cells on a host, each in a folder of its own."""

    def __init__(self, trial: Trial, chosen: Sequence[Cell]) -> None:
        self.trial = trial
        self.name = f"srv/matrix-{next(_rounds)}"
        self.cells = dict(enumerate(chosen))
        for number, cell in self.cells.items():
            folder = self.folder(number)
            folder.mkdir(parents=True)
            if OWN[cell.own].before is State.FILE:
                (folder / "f").write_text("before\n", encoding="ascii")

    def folder(self, number: int) -> Path:
        return self.trial.lab.root / self.name / str(number) / "parent"

    @property
    def script(self) -> str:
        own = (f"cd /{self.name}/{number}/parent; {OWN[cell.own].script}" for number, cell in self.cells.items())
        return "\n".join(own)

    def disturb(self) -> None:
        for number, cell in self.cells.items():
            OTHERS[cell.other].do(self.folder(number) / cell.name)

    def look(self) -> Mapping[str, FileRecord]:
        return self.trial.look(f"/{self.name}")

    def refused(self, error: PathConflictError) -> set[Cell]:
        """Give the cells that an error names."""
        paths = [str(conflict["path"]).strip("/").split("/") for conflict in error.details["conflicts"]]
        return {self.cells[int(parts[2])] for parts in paths}


async def _rejected(trial: Trial, moment: Moment, chosen: Sequence[Cell]) -> set[Cell]:
    """Carry cells out at once; gives those that are refused, with nothing touched."""
    field = Field(trial, chosen)
    transaction, _ = await trial.capture(field.script)
    if moment is Moment.BEFORE_ROLLBACK:
        await trial.target.commit(transaction)
    field.disturb()
    before = field.look()
    try:
        if moment is Moment.BEFORE_COMMIT:
            await trial.target.commit(transaction)
        else:
            await trial.target.rollback(transaction)
    except PathConflictError as error:
        assert field.look() == before, "refused, and nothing is touched"
        return field.refused(error)
    return set()


@pytest.mark.parametrize("moment", list(Moment))
async def test_every_cell_comes_out_as_documented(trial: Trial, moment: Moment) -> None:
    every = cells(moment)
    found = await _rejected(trial, moment, every)

    assert found == {cell for cell in every if expected(cell) is Consequence.REFUSED}


@pytest.mark.parametrize("moment", list(Moment))
async def test_cells_that_go_on_leave_what_others_did(trial: Trial, moment: Moment) -> None:
    chosen = [cell for cell in cells(moment) if expected(cell) is not Consequence.REFUSED]
    assert chosen != []
    field = Field(trial, chosen)
    transaction, _ = await trial.capture(field.script)
    if moment is Moment.BEFORE_COMMIT:
        field.disturb()
        await trial.target.commit(transaction)
    else:
        await trial.target.commit(transaction)
        field.disturb()
        owned = (await trial.target.rollback(transaction))["owned"]
        [grown] = [number for number, cell in field.cells.items() if (cell.name, cell.other) == ("f", "content")]
        assert owned == [f"/{field.name}/{grown}/parent/f/theirs"], "said before anybody says yes"
    for number, cell in field.cells.items():
        own, place = OWN[cell.own], field.folder(number)
        state = own.after if moment is Moment.BEFORE_COMMIT else own.before
        there = place / (own.name_after if moment is Moment.BEFORE_COMMIT else "f")
        assert _state(there) is state, cell
        if cell.other == "neighbour":
            assert (place / "neighbour").read_text(encoding="ascii") == "theirs\n"


def _state(path: Path) -> State:
    if path.is_symlink():
        return State.LINK
    if path.is_dir():
        return State.FOLDER
    return State.FILE if path.is_file() else State.ABSENT


def test_the_table_of_the_documentation_is_the_generated_one() -> None:
    page = _PAGE.read_text(encoding="utf-8")
    assert written_into(page) == page, "python -m workflow_agent.testing.conflict_matrix docs/rollback.md"
