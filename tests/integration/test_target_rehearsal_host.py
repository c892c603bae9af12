"""Rehearsals in a copy of a host: as a capture shows it, walled in, and nothing of the host is changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.model.errors import CaptureError, UnreachableError
from workflow_agent.model.system import ChangeAction, Tier
from workflow_agent.targets.quota import CopyScope
from workflow_agent.testing.lab import LabHost, diff
from workflow_agent.testing.lab.engine import docker
from workflow_agent.testing.transactions import Trial, open_target, shell_script

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workflow_agent.model.system import ChangeSet, Script

pytestmark = [pytest.mark.root, pytest.mark.slow]

_SCRIPT = """
apt-get install -y --no-install-recommends memcached >/dev/null
rm -r /etc/skel; ln -s nowhere /etc/link; echo more >> /etc/issue; chmod 600 /etc/fstab
"""


@pytest.fixture(scope="module")
def host(engine: None) -> Iterator[LabHost]:
    """A host that every test leaves as it was."""
    with LabHost("plain") as made:
        made.run(["mkdir", "-p", "/.workflow-agent/tx/before-image", "/srv/large"])
        made.run(["sh", "-c", "echo secret > /srv/large/file; setcap cap_net_raw+ep /bin/true 2>/dev/null; sync"])
        before = made.digest()
        yield made
        assert diff(before, made.digest()) == []


@pytest.fixture(autouse=True)
def _nothing_stays(rehearsals_alone: None) -> Iterator[None]:
    yield
    by_label = "--filter=label=workflow-agent.rehearsal"
    assert docker("ps", "--all", "--quiet", by_label) + docker("image", "ls", "--all", "--quiet", by_label) == ""


async def rehearse(
    host: LabHost, text: str, *, script: Script | None = None, **scope: Any
) -> tuple[ChangeSet, list[str]]:
    """Rehearse a script; gives what it did and what it said."""
    said: list[str] = []
    target = open_target(host, copy_scope=CopyScope(**scope))
    try:
        return await target.rehearse(script or shell_script(text), timeout_s=120, on_output=said.append), said
    finally:
        await target.close()


async def test_it_shows_what_a_capture_shows(host: LabHost) -> None:
    rehearsed, _ = await rehearse(host, _SCRIPT)
    trial = Trial(host)
    await trial.begin()
    name, captured = await trial.target.prepare(trial.run_id, shell_script(_SCRIPT), timeout_s=120, on_output=print)
    await trial.target.discard(name)
    await trial.target.close()

    seen, exact = ({change.path: change for change in one.changes} for one in (rehearsed, captured))
    only_times = {path for path, change in exact.items() if change.aspects == ("mtime",)}
    assert rehearsed.tier is Tier.APPROXIMATE
    assert (rehearsed.packages, rehearsed.users, rehearsed.units) == (captured.packages, captured.users, captured.units)
    assert seen.keys() <= exact.keys()
    assert exact.keys() - seen.keys() <= only_times
    assert seen["/etc/skel"].action is ChangeAction.DELETED
    assert seen["/etc/fstab"].aspects == ("mode",)


async def test_what_is_no_business_of_a_script_is_not_in_the_copy(host: LabHost) -> None:
    changes, said = await rehearse(
        host,
        "ls -A /.workflow-agent /srv/large | xargs; hostname; grep -c ^Cap /proc/self/status",
        without=("/srv/large",),
    )

    assert said == ["/.workflow-agent: /srv/large:", host.run(["cat", "/etc/hostname"]).stdout.strip(), "5"]
    assert changes.changes == ()
    assert any("left empty in the copy: /srv/large" in note for note in changes.notes)
    assert any("no network" in note for note in changes.notes)


async def test_a_host_that_is_too_large_is_refused_before_anything_is_copied(host: LabHost) -> None:
    with pytest.raises(CaptureError, match="too large to be cloned") as refused:
        await rehearse(host, "true", max_bytes=1 << 20)

    assert "`limits.clone_bytes` allows 1 MiB" in str(refused.value.cause)
    assert "targets.clone_without" in str(refused.value.hint)


async def test_without_an_engine_it_is_refused(host: LabHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent")

    with pytest.raises(UnreachableError, match="no Docker engine answers"):
        await rehearse(host, "true")


async def test_a_script_that_nothing_there_could_run_is_refused(host: LabHost) -> None:
    with pytest.raises(CaptureError, match="has no /bin/none"):
        await rehearse(host, "", script=replace(shell_script("true"), interpreter="/bin/none"))
