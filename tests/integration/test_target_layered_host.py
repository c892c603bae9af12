"""A host whose root is an overlay keeps the promises of every target: staged elsewhere, then copied in (rule 20)."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model import failpoint
from workflow_agent.targets.layered_host import LayeredHostTarget
from workflow_agent.targets.quota import CaptureQuota
from workflow_agent.targets.registry import Targets
from workflow_agent.testing.lab import LabHost, diff
from workflow_agent.testing.transactions import shell_script

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.contract.target_contract import TargetContract

    from workflow_agent.model.ports import Target
else:
    sys.path.insert(0, str(Path(__file__).parents[1] / "contract"))
    pytest.register_assert_rewrite("target_contract")
    from target_contract import TargetContract

_SCRIPT = """
cd /etc; echo new > motd; rm -r skel; mkdir skel; echo n > skel/n; rm fstab; echo '# more' >> group; mkdir -p made/deep
rm -r /usr/share/doc/apt; setfattr -n user.a -v b made || true; chmod 4755 /usr/bin/env
"""
_CHILD = """
import asyncio, json, sys
from pathlib import Path
from workflow_agent.targets.layered_host import LayeredHostTarget
async def main():
    pid, store, verb, transaction = json.loads(sys.argv[1])
    target = LayeredHostTarget(pid=pid, store=Path(store))
    await target.acquire("r-1")
    await getattr(target, verb)(transaction)
    await target.close()
asyncio.run(main())
"""
_LONG = 200_000


@pytest.fixture(scope="module")
def shared(lab: None) -> Iterator[LabHost]:
    """A host with a root of layers, for tests that leave it as it was."""
    with LabHost("plain", layers=True) as host:
        yield host


@pytest.fixture
async def target(shared: LabHost, tmp_path: Path) -> AsyncIterator[Target]:
    targets = Targets(host_pid=shared.pid, store=tmp_path, quota=CaptureQuota(), package_lock_wait_s=5.0)
    yield targets.get("host")
    await targets.close()
    assert os.listdir(tmp_path) == []  # noqa: PTH208  # names are enough


class TestLayeredHost(TargetContract):
    @pytest.fixture
    async def target(self, shared: LabHost, tmp_path: Path) -> AsyncIterator[LayeredHostTarget]:
        self.root = shared.root
        (self.root / "etc/contract.conf").unlink(missing_ok=True)
        shared.run(["rm", "-rf", "/.workflow-agent/tx"])
        target = LayeredHostTarget(pid=shared.pid, store=tmp_path / "host")
        yield target
        await target.close()

    def read(self, path: str) -> str | None:
        place = self.root / path.lstrip("/")
        return place.read_text() if place.exists() else None

    def write(self, path: str, text: str) -> None:
        (self.root / path.lstrip("/")).write_text(text)

    def remove(self, path: str) -> None:
        (self.root / path.lstrip("/")).unlink()


async def _prepare(target: Target, text: str) -> str:
    await target.acquire("r-1")
    transaction, _ = await target.prepare(
        "r-1", shell_script(f"set -eu\n{text}\n"), timeout_s=90, on_output=lambda _: None
    )
    return transaction


async def test_it_is_the_kind_of_target_that_its_root_asks_for(shared: LabHost, target: Target) -> None:
    facts = await target.facts()

    assert isinstance(target, LayeredHostTarget)
    assert (facts.tier.value, facts.os_id) == ("exact", "debian")
    assert await target.try_capture() is None


async def test_what_is_committed_comes_off_exactly(shared: LabHost, target: Target) -> None:
    before = shared.digest()

    transaction = await _prepare(target, _SCRIPT)
    assert diff(before, shared.digest()) == []
    await target.commit(transaction)
    assert (shared.root / "etc/motd").read_text() == "new\n"
    assert (shared.root / "usr/bin/env").stat().st_mode & 0o7777 == 0o4755
    await target.rollback(transaction)

    assert diff(before, shared.digest()) == []


async def test_a_reader_never_sees_half_a_file(shared: LabHost, target: Target) -> None:
    """It is copied beside the folder, where nobody reads, and then exchanged."""
    place = shared.root / "etc/whole.conf"
    old, new = "o" * _LONG, "n" * _LONG
    place.write_text(old)
    known = {one.name for one in place.parent.iterdir()}
    seen: set[str] = set()
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            seen.add(place.read_text())
            seen.update(one.name for one in place.parent.iterdir() if one.name not in known)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        transaction = await _prepare(target, f"head -c {_LONG} /dev/zero | tr '\\0' n > /etc/whole.conf")
        for _ in range(3):
            await target.commit(transaction)
            await target.rollback(transaction)
        await target.commit(transaction)
    finally:
        ended.set()
        reader.join()

    assert seen <= {old, new}
    assert place.read_text() == new
    await target.rollback(transaction)
    place.unlink()


@pytest.mark.parametrize(
    ("verb", "point"),
    [
        ("commit", "transaction.commit.operation:3"),
        ("commit", "transaction.committed"),
        ("rollback", "transaction.undo.operation:3"),
    ],
)
async def test_a_kill_leaves_no_mixture(shared: LabHost, tmp_path: Path, verb: str, point: str) -> None:
    before = shared.digest()
    target = LayeredHostTarget(pid=shared.pid, store=tmp_path / "host")
    transaction = await _prepare(target, _SCRIPT)
    if verb == "rollback":
        await target.commit(transaction)
    await target.close()

    killed = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _CHILD),
        f'[{shared.pid}, "{tmp_path}/host", "{verb}", "{transaction}"]',
        env={**os.environ, failpoint.VARIABLE: point},
    )
    assert await killed.wait() == -9
    assert diff(before, shared.digest()) != []
    await target.acquire("r-2")  # settles

    assert diff(before, shared.digest()) == []
    await target.close()


async def test_what_is_mounted_beside_the_root_is_named_and_read_only(tmp_path: Path) -> None:
    with LabHost("plain", layers=True) as host:
        host.run(["sh", "-euc", "mkdir /var/lib/data; mount -t tmpfs data /var/lib/data"])
        target = LayeredHostTarget(pid=host.pid, store=tmp_path / "host")
        await target.acquire("r-1")
        script = shell_script("echo x > /etc/x; ! echo x > /var/lib/data/x")
        _, changes = await target.prepare("r-1", script, timeout_s=60, on_output=lambda _: None)
        await target.close()

    assert changes.notes[-1] == "outside the root, so read-only for the script and never taken back: /var/lib/data"
