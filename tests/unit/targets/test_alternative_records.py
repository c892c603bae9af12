"""Groups of alternatives on contents alone: a program's registration goes, and those of others stay."""

from __future__ import annotations

import pytest

from workflow_agent.targets import alternative_records as records
from workflow_agent.targets.account_records import RecordConflictError
from workflow_agent.targets.shared_records import changed_records, same_records, without_records

_PATH = b"/var/lib/dpkg/alternatives/editor"
_VIM = b"/usr/bin/vim.tiny\n15\n/usr/share/man/man1/vim.1.gz\n"
_NANO = b"/bin/nano\n40\n/usr/share/man/man1/nano.1.gz\n"
_ED = b"/bin/ed\n-100\n\n"


def _file(*choices: bytes, status: bytes = b"auto") -> bytes:
    slaves = b"editor.1.gz\n/usr/share/man/man1/editor.1.gz\n"
    return status + b"\n/usr/bin/editor\n" + slaves + b"\n" + b"".join(choices) + b"\n"


_WITHOUT_SLAVES = b"auto\n/usr/bin/editor\n\n/bin/ed\n-100\n\n"


@pytest.mark.parametrize("content", [_file(_ED, _NANO, _VIM), _file(_NANO, status=b"manual"), _WITHOUT_SLAVES])
def test_what_is_read_is_written_as_it_was(content: bytes) -> None:
    group = records.parse(content)
    assert group is not None
    assert records.written(group) == content


@pytest.mark.parametrize(
    "content", [b"", b"auto\n", b"strange\n/usr/bin/x\n\n\n", b"auto\n/x\nslave\n\n\n", b"auto\n/x\n\n/y\n"]
)
def test_what_is_no_such_file_is_not_read(content: bytes) -> None:
    assert records.parse(content) is None


#: before, after a run, now -> without the run
MERGES = {
    "another came": (b"", _file(_NANO), _file(_NANO, _VIM), _file(_VIM)),
    "the slave goes with its last choice": (b"", _file(_NANO), _file(_ED, _NANO), _WITHOUT_SLAVES),
    "nothing is left": (b"", _file(_NANO), _file(_NANO), b""),
    "the one before stays": (_file(_VIM), _file(_NANO, _VIM), _file(_ED, _NANO, _VIM), _file(_ED, _VIM)),
    "a choice that the run removed": (_file(_NANO, _VIM), _file(_VIM), _file(_ED, _VIM), _file(_ED, _NANO, _VIM)),
    "a wish of the run's": (
        _file(_VIM),
        _file(_VIM, status=b"manual"),
        _file(_ED, _VIM, status=b"manual"),
        _file(_ED, _VIM),
    ),
    "a wish since": (
        _file(_VIM),
        _file(_NANO, _VIM),
        _file(_NANO, _VIM, status=b"manual"),
        _file(_VIM, status=b"manual"),
    ),
    "gone already": (_file(_VIM), _file(_NANO, _VIM), _file(_ED, _VIM), _file(_ED, _VIM)),
}


@pytest.mark.parametrize("case", MERGES)
def test_one_registration_is_taken_out(case: str) -> None:
    before, after, now, wanted = MERGES[case]
    assert without_records(_PATH, now, changed_records(_PATH, before, after)) == wanted


def test_a_registration_that_somebody_changed_since_is_a_conflict_by_name() -> None:
    changed = changed_records(_PATH, b"", _file(_NANO))
    with pytest.raises(RecordConflictError) as caught:
        without_records(_PATH, _file(_NANO.replace(b"40", b"90"), _VIM), changed)
    assert caught.value.names == ["alternative /bin/nano was changed since: it is changed"]
    assert caught.value.records == ["choice /bin/nano"]
    with pytest.raises(RecordConflictError, match="cannot be read"):
        without_records(_PATH, b"?", changed)


def test_files_that_say_the_same_in_another_order_are_the_same() -> None:
    assert same_records(_PATH, _file(_NANO, _VIM), _file(_VIM, _NANO))
    assert not same_records(_PATH, _file(_NANO, _VIM), _file(_VIM))


def test_links_lead_to_the_best_choice_unless_a_person_chose() -> None:
    group = records.parse(_file(_ED, _NANO, _VIM))
    assert group is not None
    assert records.chosen(group, "/bin/ed") == ("/bin/nano", False)
    wish = records.parse(_file(_ED, _NANO, _VIM, status=b"manual"))
    assert wish is not None
    assert records.chosen(wish, "/bin/ed") == ("/bin/ed", True)
    assert records.chosen(wish, "/gone") == ("/bin/nano", False)
    assert records.links("editor", group, "/bin/ed") == {
        "/etc/alternatives/editor": "/bin/ed",
        "/usr/bin/editor": "/etc/alternatives/editor",
    }
    assert (
        records.links("editor", group, "/bin/nano")["/etc/alternatives/editor.1.gz"] == "/usr/share/man/man1/nano.1.gz"
    )
    assert records.links("editor", None, None) == {}
