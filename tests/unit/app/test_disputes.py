"""Which paths `rollback --theirs` can be about: those that the run changed, what is in them and above them."""

from __future__ import annotations

import pytest

from workflow_agent.app.disputes import is_known

_KNOWN = {"/etc/app.conf": False, "/srv/app": True, "/srv/app/db": False}


@pytest.mark.parametrize(
    "path", ["/etc/app.conf", "/etc", "/", "/srv/app/", "/srv/app/new", "/srv/app/db-wal", "/etc/app.conf-journal"]
)
def test_at_above_and_below_what_changed(path: str) -> None:
    assert is_known(path, _KNOWN)


@pytest.mark.parametrize("path", ["/etc/app.con", "/etc/app.conf/x", "/srv/apple", "/srv/other"])
def test_nothing_else(path: str) -> None:
    assert not is_known(path, _KNOWN)
