"""A container keeps the promises of every target, and says what is wrong where it cannot."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from docker import APIClient

from workflow_agent.model import failpoint
from workflow_agent.model.errors import (
    CaptureError,
    ConflictError,
    NotFoundError,
    ScriptFailedError,
    UnreachableError,
)
from workflow_agent.model.system import Check, CheckStatus
from workflow_agent.targets.clone import left_behind
from workflow_agent.targets.engine import Engine
from workflow_agent.targets.quota import CaptureQuota
from workflow_agent.targets.registry import Targets, full_target_name
from workflow_agent.testing.lab import LabContainer, diff
from workflow_agent.testing.lab.engine import docker
from workflow_agent.testing.transactions import Trial, open_target, shell_script

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.contract.target_contract import TargetContract

    from workflow_agent.targets.host import HostTarget
    from workflow_agent.testing.lab import FileRecord

    Containers = Callable[..., LabContainer]
else:
    sys.path.insert(0, str(Path(__file__).parents[1] / "contract"))
    pytest.register_assert_rewrite("target_contract")
    from target_contract import TargetContract

_CHILD = """
import asyncio, json, sys
from workflow_agent.testing.lab import LabContainer
from workflow_agent.testing.transactions import open_target
async def main():
    name, run_id, verb, transaction = json.loads(sys.argv[1])
    lab = LabContainer()
    lab.name = name
    target = open_target(lab)
    await target.acquire(run_id)
    await getattr(target, verb)(transaction)
    await target.close()
asyncio.run(main())
"""
_SCRIPT = """
cd /etc; echo new > motd; rm -r skel; mkdir skel; echo n > skel/n; rm fstab; echo '# more' >> group; mkdir -p made/deep
rm -r /usr/share/doc/apt
"""


@pytest.fixture(scope="module")
def shared(engine: None) -> Iterator[LabContainer]:
    """A container for tests that leave it as it was."""
    with LabContainer() as container:
        yield container


@pytest.fixture
def targets(engine: None, tmp_path: Path) -> Targets:
    return Targets(host_pid=0, store=tmp_path / "store", quota=CaptureQuota(), package_lock_wait_s=5.0)


class TestContainerTarget(TargetContract):
    @pytest.fixture
    async def target(self, shared: LabContainer) -> AsyncIterator[HostTarget]:
        self.root = shared.root
        (self.root / "etc/contract.conf").unlink(missing_ok=True)
        shared.run(["rm", "-rf", "/.workflow-agent/tx"])
        target = open_target(shared)
        yield target
        await target.close()

    def read(self, path: str) -> str | None:
        place = self.root / path.lstrip("/")
        return place.read_text() if place.exists() else None

    def write(self, path: str, text: str) -> None:
        (self.root / path.lstrip("/")).write_text(text)

    def remove(self, path: str) -> None:
        (self.root / path.lstrip("/")).unlink()


# -- names -------------------------------------------------------------------------------------------------------------


async def test_a_container_is_known_by_its_name_and_by_the_beginning_of_its_id(
    targets: Targets, shared: LabContainer
) -> None:
    assert full_target_name(f"docker:{shared.id[:12]}") == shared.target
    target = targets.get(shared.target)

    assert targets.get(f"docker:{shared.id}") is target
    assert targets.get(shared.target) is target
    assert (target.name, targets.opened()) == (shared.target, [shared.target])
    facts = await target.facts()
    assert (facts.os_id, facts.hostname) == ("debian", "lab")
    assert facts.identity == f"{Engine().identity()}/{shared.id}"
    await targets.close()


def test_an_unknown_container_is_told_with_the_nearest_that_runs(targets: Targets, shared: LabContainer) -> None:
    with pytest.raises(NotFoundError) as unknown:
        targets.get(f"{shared.target}x")
    with pytest.raises(NotFoundError):
        targets.get("docker:../info")

    assert unknown.value.hint is not None
    assert f"`{shared.target}`" in unknown.value.hint
    assert shared.name in str(unknown.value.cause)


@pytest.mark.parametrize("name", ["hots", "docker", "ssh:web"])
def test_other_names_are_no_targets(targets: Targets, name: str) -> None:
    with pytest.raises(NotFoundError, match="there is no target") as refused:
        targets.get(name)

    assert "docker:NAME" in str(refused.value.cause)


def test_one_that_does_not_run_is_told_with_its_state_and_what_to_do(
    targets: Targets, docker_container: Containers
) -> None:
    container = docker_container("plain")
    docker("pause", container.name)
    with pytest.raises(UnreachableError, match="paused") as paused:
        targets.get(container.target)
    docker("unpause", container.name)
    container.halt()

    with pytest.raises(UnreachableError, match="exited") as stopped:
        targets.get(container.target)

    assert f"docker unpause {container.name}" in str(paused.value.hint)
    assert f"docker start {container.name}" in str(stopped.value.hint)


# -- engines -----------------------------------------------------------------------------------------------------------


def test_without_an_engine_it_says_where_it_looked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")

    with pytest.raises(UnreachableError, match="no Docker engine answers") as refused:
        full_target_name("docker:web")

    assert (refused.value.where, refused.value.exit_code) == (f"{tmp_path}/none.sock", 7)


@pytest.mark.parametrize(
    ("address", "machine"),
    [
        ("tcp://10.0.0.1:2375", "10.0.0.1"),
        ("ssh://ada@web.example:22", "ada@web.example"),
        ("https://[fe80::1]:2376", "fe80::1"),
        ("npipe:////./pipe/docker_engine", "that machine"),
    ],
)
def test_an_engine_elsewhere_is_refused_with_its_tier_and_what_works(
    monkeypatch: pytest.MonkeyPatch, address: str, machine: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)

    with pytest.raises(UnreachableError, match="another machine") as refused:
        full_target_name("docker:web")

    assert (refused.value.where, refused.value.state) == (address, "nothing was changed")
    assert refused.value.details == {"tier": "logical"}
    assert f"`ssh {machine} sudo workflow-agent ...`" in str(refused.value.hint)


@contextmanager
def _answering(folder: Path, answer: bytes) -> Iterator[Engine]:
    """Listen where an engine would, and answer every request with the same bytes."""
    import socketserver  # noqa: PLC0415
    import threading  # noqa: PLC0415

    class Answer(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            self.wfile.write(answer)

    path = str(folder / "engine.sock")
    with socketserver.ThreadingUnixStreamServer(path, Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Engine(f"unix://{path}")
        finally:
            server.shutdown()
            thread.join()


def _json(status: int, data: Any) -> bytes:
    return f"HTTP/1.0 {status} X\r\nContent-Type: application/json\r\n\r\n{json.dumps(data)}".encode()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (_json(500, {"message": "disk full"}), "status 500"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no Docker engine"),
        (b"HTTP/1.0 200 OK\r\n\r\n<html>", "no Docker engine"),
        (b"", "no Docker engine"),
    ],
)
def test_an_engine_that_refuses_or_is_none_is_told(tmp_path: Path, answer: bytes, message: str) -> None:
    with _answering(tmp_path, answer) as engine, pytest.raises(UnreachableError, match=message):
        engine.running()


@pytest.mark.parametrize("status", [404, 409, 500])
def test_a_change_that_is_refused_is_told_with_the_engine_s_reason(tmp_path: Path, status: int) -> None:
    with (
        _answering(tmp_path, _json(status, {"message": "it is in use"})) as engine,
        closing(APIClient(base_url=f"unix://{tmp_path}/engine.sock", version="1.41")) as client,
    ):
        with pytest.raises(UnreachableError, match=f"status {status}") as told, engine.told("x"):
            client.remove_image("x", force=True)

    assert (told.value.where, told.value.cause) == ("x", "it is in use")


def test_an_engine_that_goes_while_it_is_asked_for_a_change_is_told(tmp_path: Path) -> None:
    with _answering(tmp_path, b"") as engine, pytest.raises(UnreachableError, match="no Docker engine") as told:
        engine.client()

    assert told.value.where == str(tmp_path / "engine.sock")


def test_what_a_living_process_rehearses_is_left_alone_and_what_a_dead_one_left_is_not(tmp_path: Path) -> None:
    started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    namespace, boot = (
        Path("/proc/self/ns/pid").stat().st_ino,
        Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
    )
    owners = {
        "alive": f"{os.getpid()}:{started}:{namespace}:{boot}",
        "another of its number": f"{os.getpid()}:1:{namespace}:{boot}",
        "dead": f"{2**22 + 1}:{started}:{namespace}:{boot}",
        "before this boot": f"{os.getpid()}:{started}:{namespace}:other",
        "not seen from here": f"1:1:{namespace + 1}:{boot}",
        "not ours": "",
    }
    found = [{"Id": name, "Labels": {"workflow-agent.rehearsal": owner}} for name, owner in owners.items()]

    with _answering(tmp_path, _json(200, found)) as engine:
        names = {name for _, name in left_behind(engine)}

    assert names == {"another of its number", "dead", "before this boot", "not ours"}


def test_an_engine_in_another_machine_is_told_by_its_process_ids(tmp_path: Path) -> None:
    state = {"Status": "running", "Pid": os.getpid()}
    found = {"Id": "e" * 64, "Name": "/web", "Created": "2026-01-01T00:00:00Z", "State": state, "Mounts": []}

    with (
        _answering(tmp_path, _json(200, found)) as engine,
        pytest.raises(UnreachableError, match="not on this machine"),
    ):
        engine.container("web")


# -- what is in it -----------------------------------------------------------------------------------------------------


async def test_volumes_are_named_and_a_script_cannot_write_there(docker_container: Containers) -> None:
    container = docker_container("plain", options=("--volume=/var/lib/data",))
    trial = Trial(container)
    await trial.begin()

    _, changes = await trial.capture("echo x > /etc/x")
    with pytest.raises(ScriptFailedError, match="exit code") as refused:
        await trial.capture("echo x > /var/lib/data/x")
    await trial.end()

    assert "/etc/hostname, /etc/hosts, /etc/resolv.conf, /var/lib/data" in changes.notes[-1]
    assert "Read-only file system" in str(refused.value.cause)


@pytest.mark.parametrize("script", ["echo n > /etc/made; chattr +i /etc/made", "mkdir /etc/made; chattr +a /etc/made"])
async def test_flags_that_a_container_cannot_get_exactly_are_refused_by_name(
    docker_container: Containers, script: str
) -> None:
    trial = Trial(docker_container())
    await trial.begin()
    before = trial.look("/etc")
    with pytest.raises((CaptureError, ScriptFailedError)) as refused:
        await trial.capture(script)
    assert (refused.type, refused.value.where) == (CaptureError, "/etc/made")
    assert diff(before, trial.look("/etc")) == []
    assert trial.leftovers() == []
    await trial.end()


async def test_an_image_without_the_script_s_interpreter_is_told(docker_container: Containers) -> None:
    container = docker_container("plain")
    container.run(["rm", "/bin/bash"])
    target = open_target(container)
    await target.acquire("r-1")

    with pytest.raises(CaptureError, match="has no /bin/bash") as refused:
        await target.prepare("r-1", shell_script("true"), timeout_s=10, on_output=lambda _: None)
    await target.close()

    assert refused.value.state == "nothing was changed"


async def test_a_container_with_a_root_that_is_read_only_is_told(docker_container: Containers) -> None:
    container = docker_container("plain", options=("--read-only",))

    facts = await open_target(container).facts()

    assert "read-only" in str(facts.tier_reason)


async def test_nothing_of_a_capture_stays_on_this_machine(
    targets: Targets, shared: LabContainer, tmp_path: Path
) -> None:
    target = targets.get(shared.target)
    await target.acquire("r-1")
    transaction, _ = await target.prepare(
        "r-1", shell_script("echo a > /etc/a"), timeout_s=60, on_output=lambda _: None
    )
    await target.discard(transaction)
    await targets.close()

    assert list((tmp_path / "store").iterdir()) == []


async def test_a_container_is_entered_without_asking_its_engine(targets: Targets, shared: LabContainer) -> None:
    """Trap 20: each `docker exec` costs 70 ms, and is an event of the engine."""
    with closing(APIClient(version="auto")) as api:
        started = int(time.time())
        target = targets.get(shared.target)
        await target.acquire("r-1")
        transaction, _ = await target.prepare("r-1", shell_script("id"), timeout_s=60, on_output=lambda _: None)
        checks = [Check(id="there", kind="file", spec={"path": "/etc/passwd"}, timeout_s=5.0)]
        assert [one.status for one in await target.check(checks)] == [CheckStatus.PASSED]
        await target.discard(transaction)
        await targets.close()

        api.exec_start(api.exec_create(shared.id, ["true"])["Id"])  # that such an event would be seen
        told = api.events(since=started, until=int(time.time()) + 1, filters={"container": shared.id}, decode=True)
        calls = [one["Action"].strip() for one in told if one["Action"].startswith("exec_create")]
        assert calls == ["exec_create: true"]


async def test_a_store_on_which_nothing_can_be_staged_is_told_and_the_container_is_as_before(
    shared: LabContainer, tmp_path: Path
) -> None:
    (tmp_path / "store").write_text("a file")
    targets = Targets(host_pid=0, store=tmp_path / "store", quota=CaptureQuota(), package_lock_wait_s=5.0)
    target = targets.get(shared.target)
    await target.acquire("r-1")

    with pytest.raises(CaptureError, match="nothing can be staged") as refused:
        await target.prepare("r-1", shell_script("true"), timeout_s=10, on_output=lambda _: None)
    await targets.close()

    assert refused.value.state == "nothing was changed"


# -- while it lives ----------------------------------------------------------------------------------------------------


async def test_one_that_stops_between_prepare_and_commit_is_told_and_nothing_changes(
    docker_container: Containers,
) -> None:
    container = docker_container("plain")
    before = container.digest()
    trial = Trial(container)
    await trial.begin()
    transaction, _ = await trial.capture("echo new > /etc/motd")
    container.halt()

    with pytest.raises(UnreachableError, match="exited"):
        await trial.target.commit(transaction)
    with pytest.raises(UnreachableError, match="exited"):
        await trial.target.activate(transaction, [])
    container.restart()
    with pytest.raises(UnreachableError, match="restarted"):
        await trial.target.commit(transaction)
    await trial.end()
    again = Trial(container)
    await again.begin()
    leftovers = again.leftovers()
    await again.end()

    assert leftovers == []
    changed = [line.split(": ")[1] for line in diff(before, container.digest())]
    assert set(changed) <= {"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"}  # the engine's own, at each start


async def test_one_that_was_made_anew_is_another_target(targets: Targets, docker_container: Containers) -> None:
    container = docker_container("plain")
    target = targets.get(container.target)
    await target.acquire("r-1")
    transaction, _ = await target.prepare(
        "r-1", shell_script("echo a > /etc/a"), timeout_s=60, on_output=lambda _: None
    )
    await target.commit(transaction)
    container.recreate()

    with pytest.raises(ConflictError, match="another container"):
        await target.rollback(transaction)
    assert targets.get(container.target) is target  # the run that holds it hears the reason
    await target.release("r-1")
    other = targets.get(container.target)
    with pytest.raises(NotFoundError) as gone:
        await other.rollback(transaction)
    await targets.close()

    assert "went with that one" in str(gone.value.cause)


async def test_a_container_of_an_image_of_another_one_does_not_roll_back_its_runs(docker_container: Containers) -> None:
    container = docker_container("plain")
    trial = Trial(container)
    await trial.begin()
    transaction = await trial.apply("echo a > /etc/a")
    await trial.end()
    docker("commit", container.name, "workflow-agent-lab:copied")
    try:
        copy = Trial(docker_container("plain", image="workflow-agent-lab:copied"))
        await copy.begin()
        with pytest.raises(ConflictError, match="not the container in which"):
            await copy.target.rollback(transaction)
        await copy.end()
    finally:
        docker("image", "rm", "--force", "workflow-agent-lab:copied")


async def test_a_restarted_one_is_looked_up_anew(targets: Targets, docker_container: Containers) -> None:
    container = docker_container("plain")
    first = targets.get(container.target)
    await first.facts()
    container.restart()

    with pytest.raises(UnreachableError, match="restarted"):
        await first.facts()
    assert targets.opened() == []
    second = targets.get(container.target)

    assert second is not first
    assert (await second.facts()).os_id == "debian"
    await targets.close()


# -- crashes -----------------------------------------------------------------------------------------------------------


def _look(trial: Trial) -> dict[str, FileRecord]:
    return trial.look("/etc") | {f"doc {name}": record for name, record in trial.look("/usr/share/doc").items()}


async def _killed(trial: Trial, verb: str, transaction: str, spec: str) -> None:
    """Commit or roll back in a process of its own that is killed at a failure point."""
    await trial.end()
    assert isinstance(trial.lab, LabContainer)
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _CHILD,
        json.dumps([trial.lab.name, trial.run_id, verb, transaction]),
        env=os.environ | {failpoint.VARIABLE: spec},
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await asyncio.wait_for(child.communicate(), 60)
    assert child.returncode == -9, (spec, errors.decode())
    trial.target = open_target(trial.lab)


@pytest.mark.parametrize(
    ("verb", "specs"),
    [
        (
            "commit",
            ["plan-renamed:1", "commit.operation:4", "commit.operation:9", "committed"],
        ),
        ("rollback", ["plan-renamed:1", "undo.operation:5", "undo.operation:9", "undone"]),
    ],
)
async def test_a_kill_in_a_commit_or_a_rollback_leaves_no_mixture(
    docker_container: Containers, verb: str, specs: list[str]
) -> None:
    trial = Trial(docker_container("plain"))  # folders of its image move entry by entry the first time only
    await trial.begin()
    before = _look(trial)
    transaction = await trial.apply(_SCRIPT)
    after = _look(trial)
    await trial.target.rollback(transaction)
    assert diff(before, _look(trial)) == []
    for spec in specs:
        if verb == "rollback":
            await trial.target.commit(transaction)
        await _killed(trial, verb, transaction, f"transaction.{spec}")
        await trial.target.acquire(trial.run_id)

        now = _look(trial)
        assert diff(before if diff(after, now) else after, now) == [], spec
        if not diff(after, now):
            await trial.target.rollback(transaction)
        assert diff(before, _look(trial)) == [], spec
    await trial.end()
