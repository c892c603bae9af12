"""Files that belong together are restored together, with their owner stopped, or not at all (rule 10)."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.model.choice import ConflictChoice
from workflow_agent.model.errors import PathConflictError
from workflow_agent.testing.lab import diff

if TYPE_CHECKING:
    from pathlib import Path

    from workflow_agent.testing.transactions import Trial

_FORCE = ConflictChoice(force=True)
_ENDS = ("", "-wal", "-shm")
_numbers = iter(range(1000))


def _conflicts(error: PathConflictError) -> dict[str, dict[str, Any]]:
    return {one["path"]: one for one in error.details["conflicts"]}


class _Database:
    """A database on the host, as it was before a run and as that left it.

    SQLite itself looks at a copy: it does not open files below another root.
    """

    def __init__(self, trial: Trial, work: Path) -> None:
        self.name = f"/srv/db-{next(_numbers)}/app.db"
        self.folder: Path = trial.lab.root / self.name.rpartition("/")[0].strip("/")
        self.folder.mkdir()
        self._work = work
        self.write("create table t (row text); insert into t values ('before')")
        self.write("create table t (row text); insert into t values ('run')", name="made.db")

    def write(self, text: str, *, name: str = "app.db", crashes: bool = False) -> None:
        """Change a database; a process that crashes leaves its rows in the journal."""
        copy = self._copied(name)
        with closing(sqlite3.connect(copy)) as connection:
            connection.executescript(text)
            if crashes:
                self._copy_back(name)
        if not crashes:
            self._copy_back(name)

    def rows(self) -> list[str]:
        with closing(sqlite3.connect(self._copied("app.db"))) as connection:
            assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
            return [row for (row,) in connection.execute("select row from t")]

    def _copied(self, name: str) -> Path:
        for end in _ENDS:
            self._work.joinpath(name + end).unlink(missing_ok=True)
            if self.folder.joinpath(name + end).exists():
                shutil.copyfile(self.folder / (name + end), self._work / (name + end))
        return self._work / name

    def _copy_back(self, name: str) -> None:
        for end in _ENDS:
            if self._work.joinpath(name + end).exists():
                shutil.copyfile(self._work / (name + end), self.folder / (name + end))


@pytest.fixture
def database(trial: Trial, tmp_path: Path) -> _Database:
    return _Database(trial, tmp_path)


async def _run(trial: Trial, database: _Database) -> str:
    """A run that writes another database over this one."""
    return await trial.apply(f"cd {database.name.rpartition('/')[0]}; cp made.db app.db")


_ROWS_IN_A_JOURNAL = "pragma journal_mode=wal; pragma wal_autocheckpoint=0; insert into t values ('since')"


async def test_rows_in_a_journal_that_came_since_refuse_the_whole_database(trial: Trial, database: _Database) -> None:
    """Left where it is, the journal of one database would be read into another."""
    transaction = await _run(trial, database)
    database.write(_ROWS_IN_A_JOURNAL, crashes=True)
    journal = database.folder / "app.db-wal"
    kept = journal.read_bytes()

    with pytest.raises(PathConflictError) as caught:
        await trial.target.rollback(transaction)

    found = _conflicts(caught.value)
    assert f"{database.name}-wal" in found
    assert {one["group"] for one in found.values()} == {f"SQLite database {database.name}"}
    assert "restored as a whole or not at all" in caught.value.message
    assert database.rows() == ["run", "since"]

    result = await trial.target.rollback(transaction, choice=_FORCE)
    assert database.rows() == ["before"]
    assert not journal.exists()
    asides = {one["path"]: one["aside"] for one in result["decided"]}
    assert (trial.lab.root / asides[f"{database.name}-wal"].strip("/")).read_bytes() == kept


async def test_one_file_of_a_database_that_is_kept_keeps_all_of_it(trial: Trial, database: _Database) -> None:
    transaction = await _run(trial, database)
    database.write(_ROWS_IN_A_JOURNAL, crashes=True)

    result = await trial.target.rollback(transaction, choice=ConflictChoice(theirs=(f"{database.name}-wal",)))

    assert database.rows() == ["run", "since"]
    assert {one["decision"] for one in result["decided"]} == {"theirs"}


async def test_what_a_run_brought_in_a_folder_is_no_journal_of_somebody_else(trial: Trial) -> None:
    """Packages bring files that are only named like a database and its journal (fail2ban: `sshd`, `sshd-journal`)."""
    before = trial.look("/srv")
    folder = f"/srv/logs-{next(_numbers)}"
    transaction = await trial.apply(f"mkdir -p {folder}/t; cd {folder}/t; echo a > sshd; echo b > sshd-journal")

    await trial.target.rollback(transaction)

    assert not diff(before, trial.look("/srv"))


async def test_a_database_that_somebody_has_open_is_not_exchanged(trial: Trial, database: _Database) -> None:
    transaction = await _run(trial, database)
    folder = database.name.rpartition("/")[0]
    before = trial.look(folder)
    with (database.folder / "app.db").open("rb"):
        with pytest.raises(PathConflictError, match="in use") as caught:
            await trial.target.rollback(transaction)
        assert f"SQLite database {database.name}" in caught.value.message
        assert "(process " in (caught.value.cause or "")
    assert diff(before, trial.look(folder)) == []

    await trial.target.rollback(transaction)
    assert database.rows() == ["before"]


async def test_a_cluster_is_restored_as_a_whole_or_not_at_all(trial: Trial) -> None:
    """What is changed in a part of a cluster since makes the rest of it worthless."""
    place = f"/srv/cluster-{next(_numbers)}"
    trial.shell(f"mkdir -p {place}/base/1; cd {place}; echo 15 > PG_VERSION; echo a > base/1/10; echo b > base/1/11")
    transaction = await trial.apply(f"cd {place}; echo A > base/1/10; echo B > base/1/11")
    trial.shell(f"echo other > {place}/base/1/10")

    with pytest.raises(PathConflictError) as caught:
        await trial.target.rollback(transaction)
    (one,) = caught.value.details["conflicts"]
    assert one["group"] == f"PostgreSQL cluster {place}"
    assert f"{place}/base/1/11" in one["members"]

    await trial.target.rollback(transaction, choice=ConflictChoice(theirs=(f"{place}/base/1/10",)))
    assert trial.shell(f"cat {place}/base/1/*") == "other\nB\n"


_ACCOUNTS = "/etc/passwd /etc/shadow /etc/group /etc/gshadow"


async def test_account_files_tell_of_the_same_accounts(trial: Trial) -> None:
    """Somebody gave an account a password since: it stays in all four files, or goes from all four."""
    name, other = (f"wa-acc{next(_numbers)}" for _ in range(2))
    found = f"grep -l '^{name}:' {_ACCOUNTS} || true"
    transaction = await trial.apply(f"useradd -r -U {name}; useradd -r -U {other}; gpasswd -a {name} {other}")
    trial.shell(f"echo '{name}:secret' | chpasswd")

    with pytest.raises(PathConflictError) as caught:
        await trial.target.rollback(transaction)
    (one,) = caught.value.details["conflicts"]
    assert (one["path"], one["group"], one["records"]) == ("/etc/shadow", "account files", [name])

    await trial.target.rollback(transaction, choice=ConflictChoice(theirs=("/etc/passwd",)))
    assert trial.shell(found).split() == _ACCOUNTS.split()
    assert trial.shell(f"grep -c '{other}' {_ACCOUNTS} || true").split() == [f"{one}:0" for one in _ACCOUNTS.split()]
    assert trial.shell(f"pwck -rq || true; id -un {name}") == f"{name}\n"
    trial.shell(f"userdel {name}")


async def test_a_forced_account_goes_and_is_kept_aside(trial: Trial) -> None:
    name = f"wa-acc{next(_numbers)}"
    before = trial.shell(f"cat {_ACCOUNTS}")
    transaction = await trial.apply(f"useradd -r -U {name}")
    trial.shell(f"echo '{name}:secret' | chpasswd; useradd -r other-{name}")

    result = await trial.target.rollback(transaction, choice=_FORCE)

    (one,) = result["decided"]
    assert f"{name}:$" in trial.shell(f"cat {one['aside']}")
    assert trial.shell(f"userdel other-{name}; cat {_ACCOUNTS}") == before


_MAKE = """
mkdir -p /srv/made/t/DEBIAN /srv/made/t/usr/share/{name} /srv/made/t/bin; cd /srv/made
echo {version} > t/usr/share/{name}/version; echo {version} > t/bin/{name}
printf '%s\\n' 'Package: {name}' 'Version: {version}' 'Architecture: all' 'Maintainer: lab <lab@example.org>' \
  'Description: made for a test' > t/DEBIAN/control
dpkg-deb -b t {name}_{version}.deb >/dev/null; rm -r t
"""


async def test_a_package_that_somebody_upgraded_is_kept_with_all_that_is_its(trial: Trial) -> None:
    """Its record, its lists and its files stay; the other package of the run goes; dpkg finds nothing amiss."""
    for name, version in (("wa-kept", 1), ("wa-kept", 2), ("wa-gone", 1)):
        trial.shell(_MAKE.format(name=name, version=version))
    transaction = await trial.apply("dpkg -i /srv/made/wa-kept_1.deb /srv/made/wa-gone_1.deb")
    trial.shell("dpkg -i /srv/made/wa-kept_2.deb")

    with pytest.raises(PathConflictError) as caught:
        await trial.target.rollback(transaction)
    assert "package wa-kept" in {one.get("group") for one in caught.value.details["conflicts"]}

    await trial.target.rollback(transaction, choice=ConflictChoice(theirs=("/var/lib/dpkg/status",)))
    assert trial.shell("dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\\n' 'wa-*'") == "wa-kept 2 ii \n"
    assert trial.shell("dpkg --verify wa-kept; dpkg --audit; cat /usr/share/wa-kept/version /bin/wa-kept") == "2\n2\n"
    assert trial.shell("ls /usr/share /bin /var/lib/dpkg/info | grep -c wa-gone || true") == "0\n"
    trial.shell("dpkg -P wa-kept")
