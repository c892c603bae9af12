"""Random trees and random programs: committed, they are as if run directly; rolled back, everything is as before."""

from __future__ import annotations

import asyncio
import os
import platform
import shlex
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workflow_agent.testing.lab import LabHost, diff, digest
from workflow_agent.testing.transactions import Trial, without_new_times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workflow_agent.testing.lab import FileRecord

_SETXATTR = {"x86_64": 188, "aarch64": 5}[platform.machine()]
_FOLDER = "/srv/programs"
_RECORDS = Path(__file__).parents[2] / "docs/records"
_PROGRAMS = int(os.environ.get("TRANSACTION_PROGRAMS", "2000"))

#: Few names, so that operations meet each other.
_names = st.sampled_from(["a", "b", "c", "d"])
_paths = st.lists(_names, min_size=1, max_size=3).map("/".join)
_numbers = st.integers(0, 3)


def _step(verb: str, *arguments: st.SearchStrategy[object]) -> st.SearchStrategy[list[object]]:
    return st.tuples(st.just(verb), *arguments).map(list)


_steps = st.one_of(
    _step("create", _paths, _numbers),
    _step("write", _paths, _numbers),
    _step("append", _paths, _numbers),
    _step("truncate", _paths, _numbers),
    _step("rename", _paths, _paths),
    _step("replace", _paths, _numbers),
    _step("link", _paths, _paths),
    _step("symlink", _paths, _paths),
    _step("unlink", _paths),
    _step("mkdir", _paths),
    _step("rmtree", _paths),
    _step("rmdir", _paths),
    _step("chmod", _paths, st.sampled_from(["644", "600", "4755", "1777"])),
    _step("chown", _paths, _numbers),
    _step("setxattr", _paths, _numbers),
    _step("utime", _paths, _numbers),
    _step("mkfifo", _paths),
    _step("move", _paths, _paths),
    _step("sparse", _paths, _numbers),
    _step("mknod", _paths, _numbers),
)

#: Carries steps out, one a line; a step that the file system refuses is skipped. A folder is renamed by `mv`, because
#: the kernel refuses the plain call inside a capture: `mv` copies it then, which would tell names of one file apart.
#: Devices are those of characters: a capture refuses a block device by name.
_INTERPRETER = r"""
use strict; use Fcntl; chdir $ARGV[0] or die $!;
sub spill {
    my ($mode, $path, $text) = @_; return if -p $path || -b _ || -c _;
    open(my $f, $mode, $path) or return; print $f $text;
}
sub make { my ($path, $text) = @_; sysopen(my $f, $path, O_WRONLY | O_CREAT | O_EXCL, 0644) or return; print $f $text; }
sub label { my ($path, $name, $value) = @_; syscall(SETXATTR, $path, $name, $value, length $value, 0) }
sub move {
    my ($p, $q) = @_; return if !-d $p || -l $p || -e $q || -l $q || index("$q/", "$p/") == 0;
    system('mv', '-T', $p, $q) unless `find $p ! -type d -links +1`;
}
sub hole {
    my ($path, $n) = @_;
    make($path, '') and truncate($path, $n * 70000 + 5000) and spill('>>', $path, "end $n\n");
}
sub real { return -l $_[0] || -d $_[0] ? 0 : 1 }
while (my $line = <STDIN>) {
    chomp $line; my ($verb, $p, $q) = split /\t/, $line;
    if ($verb eq 'create') { make($p, "created $q\n") }
    elsif ($verb eq 'write') { spill('>', $p, "written $q\n") if real($p) }
    elsif ($verb eq 'append') { spill('>>', $p, "appended $q\n") if real($p) }
    elsif ($verb eq 'truncate') { truncate($p, $q * 3) if -f $p && real($p) }
    elsif ($verb eq 'rename') { rename($p, $q) if -e $p && real($p) }
    elsif ($verb eq 'replace') { make('new', "replaced $q\n"); rename('new', $p) or unlink('new') }
    elsif ($verb eq 'link') { link($p, $q) if -e $p && real($p) }
    elsif ($verb eq 'symlink') { symlink($p, $q) }
    elsif ($verb eq 'unlink') { unlink($p) unless -d $p && !-l $p }
    elsif ($verb eq 'mkdir') { mkdir($p, 0755) }
    elsif ($verb eq 'rmtree') { system('rm', '-rf', $p) }
    elsif ($verb eq 'rmdir') { rmdir($p) }
    elsif ($verb eq 'chmod') { chmod(oct $q, $p) unless -l $p }
    elsif ($verb eq 'chown') { chown($q, $q + 1, $p) unless -l $p }
    elsif ($verb eq 'utime') { utime(1000000000 + $q, 1000000000 + $q, $p) unless -l $p }
    elsif ($verb eq 'mkfifo') { system('mkfifo', $p) unless -e $p || -l $p }
    elsif ($verb eq 'move') { move($p, $q) }
    elsif ($verb eq 'sparse') { hole($p, $q) }
    elsif ($verb eq 'mknod') { system('mknod', $p, 'c', 240 + $q, $q) unless -e $p || -l $p }
    elsif ($verb eq 'setxattr') { label($p, "user.n$q", "v$q") if -e $p && !-l $p }
}
""".replace("SETXATTR", str(_SETXATTR))


@pytest.fixture(scope="module")
def lab_plain(lab: None) -> Iterator[LabHost]:
    with LabHost("plain") as host:
        host.run(["sh", "-c", "cat > /usr/local/bin/steps.pl"], stdin=_INTERPRETER)
        host.run(["mkdir", "-p", _FOLDER, "/srv/direct"])
        yield host


def _lines(steps: list[list[object]]) -> str:
    return "".join("\t".join(str(word) for word in step) + "\n" for step in steps)


def _look(host: LabHost, folder: str) -> dict[str, FileRecord]:
    return digest(host.root / folder.strip("/"), excluded=())


def _comparable(records: dict[str, FileRecord]) -> dict[str, FileRecord]:
    return {
        name: replace(one, attributes=tuple(sorted(one.attributes))) for name, one in without_new_times(records).items()
    }


async def _check(host: LabHost, tree: list[list[object]], program: list[list[object]]) -> None:
    host.run(["sh", "-euc", f"rm -rf {_FOLDER}/work /srv/direct/work; mkdir {_FOLDER}/work"])
    host.run(["perl", "/usr/local/bin/steps.pl", f"{_FOLDER}/work"], stdin=_lines(tree))
    host.run(["sh", "-euc", f"find {_FOLDER}/work -depth -exec touch -h -d '2001-01-01 01:01:01.5' {{}} +"])
    host.run(["cp", "-a", f"{_FOLDER}/work", "/srv/direct/work"])
    before = _look(host, _FOLDER)
    trial = Trial(host)
    try:
        await trial.begin()
        run = f"printf %s {shlex.quote(_lines(program))} | perl /usr/local/bin/steps.pl"
        transaction, _ = await trial.capture(f"{run} {_FOLDER}/work")
        host.run(["sh", "-euc", f"{run} /srv/direct/work"])
        for _ in range(2):
            await trial.target.commit(transaction)
            wanted = _comparable(_look(host, "/srv/direct/work"))
            assert diff(wanted, _comparable(_look(host, f"{_FOLDER}/work"))) == []
            await trial.target.rollback(transaction)
            assert diff(before, _look(host, _FOLDER)) == []
    finally:
        await trial.end()
        host.run(["rm", "-rf", f"/.workflow-agent/tx/{trial.run_id}.1"])


def _run(host: LabHost, tree: list[list[object]], program: list[list[object]]) -> None:
    asyncio.run(_check(host, tree, program))


_quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=25, deadline=None, suppress_health_check=_quiet, derandomize=True)
@given(tree=st.lists(_steps, max_size=25), program=st.lists(_steps, min_size=1, max_size=25))
def test_a_committed_program_is_as_if_run_directly_and_comes_off_exactly(
    lab_plain: LabHost, tree: list[list[object]], program: list[list[object]]
) -> None:
    _run(lab_plain, tree, program)


@pytest.mark.long
def test_two_thousand_programs(lab_plain: LabHost) -> None:
    done: Counter[str] = Counter()

    @settings(max_examples=_PROGRAMS, deadline=None, suppress_health_check=_quiet)
    @given(tree=st.lists(_steps, max_size=40), program=st.lists(_steps, min_size=1, max_size=40))
    def run(tree: list[list[object]], program: list[list[object]]) -> None:
        _run(lab_plain, tree, program)
        done.update({"programs": 1, **Counter(str(step[0]) for step in program)})

    begun = time.monotonic()
    run()
    _write_record(done, time.monotonic() - begun)

    assert done["programs"] >= _PROGRAMS


def _write_record(done: Counter[str], seconds: float) -> None:
    """Say what was carried out without a difference; a difference ends the trial before this."""
    today = datetime.now(UTC).date().isoformat()
    programs = done["programs"]
    verbs = {verb: count for verb, count in sorted(done.items()) if verb != "programs"}
    lines = [
        f"# Random programs in transactions, {today}",
        "",
        f"`TRANSACTION_PROGRAMS={_PROGRAMS} make long ARGS='-k two_thousand_programs'`",
        "",
        f"* {platform.system()} {platform.release()}, {os.cpu_count()} CPUs, Python {platform.python_version()};",
        "  a plain Debian 12 host of the lab on ext4.",
        f"* {programs:,} random trees of up to 40 steps, each with a random program of up to 40 steps;",
        f"  {sum(verbs.values()):,} steps in {seconds / 60:.0f} minutes. Few names, so that steps meet each other.",
        "* Each is captured and committed, compared with the same program run directly, taken back, compared with",
        "  before, and both once more.",
        "",
        "| step | times |",
        "| --- | ---: |",
        *(f"| {verb} | {count:,} |" for verb, count in verbs.items()),
        "",
        f"0 differences in {4 * programs:,} comparisons.",
    ]
    _RECORDS.mkdir(exist_ok=True)
    (_RECORDS / f"{today}-transaction-programs.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_the_interpreter_does_what_the_steps_say(lab_plain: LabHost) -> None:
    """A program whose steps are all refused would prove nothing."""
    steps: list[list[object]] = [
        ["mkdir", "a"], ["create", "a/b", 1], ["link", "a/b", "b"], ["append", "b", 2], ["setxattr", "b", 1],
        ["symlink", "b", "c"], ["mkfifo", "d"], ["chown", "d", 2],
        ["mkdir", "e"], ["sparse", "e/f", 1], ["move", "e", "a/e"], ["mknod", "f", 1],
        ["mkdir", "g"], ["move", "a", "g/a"],
    ]  # fmt: skip
    lab_plain.run(["sh", "-euc", "rm -rf /srv/told; mkdir /srv/told"])
    lab_plain.run(["perl", "/usr/local/bin/steps.pl", "/srv/told"], stdin=_lines(steps))
    found = _look(lab_plain, "/srv/told")
    assert found["/a/b"].names == ("/a/b", "/b")
    assert found["/b"].attributes == (("user.n1", b"v1"),)
    assert (found["/c"].content, found["/d"].kind, found["/d"].owner) == ("b", "fifo", (2, 3))
    assert (found["/a/e/f"].size, found["/f"].kind, found["/f"].content) == (75006, "character", "241:1")
    assert "/e" not in found, "a folder is moved as a whole"
    assert "/g/a" not in found, "one with a file of more names is not, see the interpreter"
    assert (lab_plain.root / "srv/told/b").read_text() == "created 1\nappended 2\n"
