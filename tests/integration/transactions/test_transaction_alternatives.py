"""Packages that register for the same alternative come off in either order; links lead where the rest of them wants."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model import failpoint
from workflow_agent.model.errors import PathConflictError, RollbackIncompleteError
from workflow_agent.testing.lab import diff

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.testing.lab import FileRecord
    from workflow_agent.testing.transactions import Trial

_numbers = itertools.count(1)
_FOLDERS = ("/etc/alternatives", "/var/lib/dpkg/alternatives", "/usr/bin", "/usr/share/man/man1")


class _Tool:
    """A job that several programs can do, with a manual page that goes along."""

    def __init__(self, trial: Trial) -> None:
        self.name = f"wa-tool{next(_numbers)}"
        self._trial = trial
        trial.shell(f"mkdir -p /opt/{self.name}; touch /var/log/alternatives.log")

    def install(self, program: str, priority: int, *, page: bool = True) -> str:
        """Write the command that registers a program, as a package's script does."""
        own = f"/opt/{self.name}/{program}"
        slave = f"--slave /usr/share/man/man1/{self.name}.1 {self.name}.1 {own}.1" if page else ""
        made = f"touch {own} {own}.1" if page else f"touch {own}"
        return f"{made}; update-alternatives --install /usr/bin/{self.name} {self.name} {own} {priority} {slave}"

    def shown(self) -> str:
        """Say which program the links lead to, and its page; checked against what update-alternatives says."""
        said = self._trial.shell(
            f"update-alternatives --query {self.name} 2>/dev/null | sed -n 's/^Value: //p'"
        ).strip()
        ends = self._trial.shell(
            f"for one in /usr/bin/{self.name} /usr/share/man/man1/{self.name}.1; do"
            f" if test -L $one; then readlink -f $one; else echo none; fi; done"
        ).split()
        assert (said or "none") == ends[0]
        # putting everything right by itself, it finds nothing to do
        quiet = self._trial.shell(f"update-alternatives --auto {self.name} 2>&1 || true") if self._is_auto() else ""
        assert "warning" not in quiet
        return " ".join(one.rpartition("/")[2] for one in ends)

    def _is_auto(self) -> bool:
        return "Status: auto" in self._trial.shell(f"update-alternatives --query {self.name} 2>/dev/null || true")


def _look(trial: Trial) -> dict[str, Mapping[str, FileRecord]]:
    return {folder: trial.look(folder) for folder in _FOLDERS}


def _lost(before: dict[str, Mapping[str, FileRecord]], trial: Trial) -> list[str]:
    return [f"{folder}: {line}" for folder in _FOLDERS for line in diff(before[folder], trial.look(folder))]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("priorities", [(10, 20), (20, 10)])
async def test_two_come_off_in_either_order(trial: Trial, priorities: tuple[int, int], order: tuple[int, int]) -> None:
    tool = _Tool(trial)
    before = _look(trial)
    runs = [await trial.apply(tool.install(name, rank)) for name, rank in zip("ab", priorities, strict=True)]
    best = "ab"[priorities.index(20)]
    assert tool.shown() == f"{best} {best}.1"

    first, second = order
    await trial.target.rollback(runs[first])
    left = "ab"[second]
    assert tool.shown() == f"{left} {left}.1"
    await trial.target.rollback(runs[second])

    assert tool.shown() == "none none"
    assert _lost(before, trial) == []


@pytest.mark.parametrize("order", list(itertools.permutations(range(3)))[1:5])
async def test_three_come_off_beside_one_that_was_there(trial: Trial, order: tuple[int, ...]) -> None:
    """One of them has no page of its own: the page's link goes when that one is chosen, and comes again after it."""
    tool = _Tool(trial)
    trial.shell(tool.install("old", 15))
    trial.shell(f"touch -h -d 2001-01-01 /etc/alternatives/{tool.name}*")
    before = _look(trial)
    wanted = {"old": 15, "a": 10, "b": 30, "c": 20}
    runs = {
        "a": await trial.apply(tool.install("a", 10)),
        "b": await trial.apply(tool.install("b", 30, page=False)),
        "c": await trial.apply(tool.install("c", 20)),
    }
    assert tool.shown() == "b none"
    for number in order:
        name = "abc"[number]
        await trial.target.rollback(runs[name])
        del wanted[name]
        best = max(wanted, key=lambda one: wanted[one])
        assert tool.shown() == f"{best} {'none' if best == 'b' else best + '.1'}"
    # Links are made anew where they lead elsewhere in between: their own time is the only thing that is lost.
    assert [line for line in _lost(before, trial) if "mtime" not in line] == []


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
async def test_after_a_crash_links_lead_where_they_should(trial: Trial, at: int) -> None:
    tool = _Tool(trial)
    before = _look(trial)
    runs = [await trial.apply(tool.install("a", 20)), await trial.apply(tool.install("b", 10))]
    failpoint.arm(f"transaction.undo.operation:{at}=error")
    with pytest.raises(RollbackIncompleteError):
        await trial.target.rollback(runs[0])
    failpoint.arm(None)

    await trial.target.release(trial.run_id)
    await trial.target.acquire(trial.run_id)

    assert tool.shown() == "b b.1"
    await trial.target.rollback(runs[1])
    assert tool.shown() == "none none"
    assert [line for line in _lost(before, trial) if "mtime" not in line] == []


async def test_a_link_in_a_folder_that_came_with_the_run_goes_with_it(trial: Trial) -> None:
    """As `/etc/mysql/my.cnf` does: the packages that make the folder register the link in it."""
    name = f"wa-settings{next(_numbers)}"
    trial.shell("touch /var/log/alternatives.log")
    before = {**_look(trial), "/etc": trial.look("/etc")}
    made = f"mkdir /etc/{name}; touch /etc/{name}/own; "
    link = f"update-alternatives --install /etc/{name}/link {name} /etc/{name}/own 10"

    await trial.target.rollback(await trial.apply(made + link))

    assert [line for folder in before for line in diff(before[folder], trial.look(folder))] == []


_MAKE = """
mkdir -p /srv/made/t/DEBIAN /srv/made/t/usr/bin; cd /srv/made; echo {name} > t/usr/bin/{name}
printf '%s\\n' 'Package: {name}' 'Version: 1' 'Architecture: all' 'Maintainer: lab <lab@example.org>' \
  'Description: made for a test' > t/DEBIAN/control
printf '%s\\n' '#!/bin/sh' 'update-alternatives --install /usr/bin/wa-edit wa-edit /usr/bin/{name} {priority}' \
  > t/DEBIAN/postinst
chmod 755 t/DEBIAN/postinst; dpkg-deb -b t {name}.deb >/dev/null; rm -r t
"""


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_packages_whose_scripts_register_come_off_in_either_order(trial: Trial, order: tuple[int, int]) -> None:
    names = ("wa-nano", "wa-vim")
    for name, priority in zip(names, (40, 15), strict=True):
        trial.shell(_MAKE.format(name=name, priority=priority))
    trial.shell("touch /var/log/alternatives.log /var/log/dpkg.log")
    before = _look(trial)
    runs = [await trial.apply(f"dpkg -i /srv/made/{name}.deb") for name in names]
    assert trial.shell("cat /usr/bin/wa-edit") == "wa-nano\n"

    await trial.target.rollback(runs[order[0]])
    left = names[order[1]]
    assert trial.shell("cat /usr/bin/wa-edit; update-alternatives --display wa-edit | sed -n 3p").split() == [
        left, "link", "currently", "points", "to", f"/usr/bin/{left}",
    ]  # fmt: skip
    assert trial.shell('dpkg --audit; dpkg --verify; dpkg-query -W "wa-*" | cut -f1') == f"{left}\n"
    await trial.target.rollback(runs[order[1]])

    assert _lost(before, trial) == []


async def test_what_was_registered_by_hand_since_stays(trial: Trial) -> None:
    tool = _Tool(trial)
    run = await trial.apply(tool.install("a", 20))
    trial.shell(tool.install("hand", 10))

    planned = await trial.target.rollback(run, plan_only=True)
    await trial.target.rollback(run)

    assert f"/var/lib/dpkg/alternatives/{tool.name}" in planned["merged"]
    assert tool.shown() == "hand hand.1"
    await trial.target.commit(run)
    assert tool.shown() == "a a.1"
    await trial.target.rollback(run)
    assert tool.shown() == "hand hand.1"


@pytest.mark.parametrize("wish", ["a", "b"])
async def test_a_persons_choice_stays_as_long_as_it_is_there(trial: Trial, wish: str) -> None:
    tool = _Tool(trial)
    run = await trial.apply(tool.install("a", 10))
    trial.shell(tool.install("b", 20))
    trial.shell(tool.install("c", 30))
    trial.shell(f"update-alternatives --set {tool.name} /opt/{tool.name}/{wish}")

    await trial.target.rollback(run)

    assert tool.shown() == ("b b.1" if wish == "b" else "c c.1")
    status = trial.shell(f"head -1 /var/lib/dpkg/alternatives/{tool.name}")
    assert status == ("manual\n" if wish == "b" else "auto\n")


async def test_a_link_that_a_person_replaced_is_a_conflict(trial: Trial) -> None:
    tool = _Tool(trial)
    run = await trial.apply(tool.install("a", 10))
    trial.shell(tool.install("b", 20))
    trial.shell(f"rm /usr/bin/{tool.name}; echo mine > /usr/bin/{tool.name}")
    with pytest.raises(PathConflictError) as caught:
        await trial.target.rollback(run)
    assert [one["path"] for one in caught.value.details["conflicts"]] == [f"/usr/bin/{tool.name}"]
