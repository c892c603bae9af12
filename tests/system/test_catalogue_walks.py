"""Six integrations on every kind of target: they work, say so when they do not, and go without a trace.

All of them pass through `integrations test` in `test_bench_targets.py`.
"""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.testing.lab.image import CATALOGUE_PACKAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from tests.system.machine import APPENDED_LOGS, Machine, World
else:
    from machine import APPENDED_LOGS

pytestmark = [pytest.mark.root, pytest.mark.slow]

_log = logging.getLogger(__name__)
KINDS = ["plain", "systemd", "docker-plain", "docker-systemd"]
#: By server: its exporter, the exporter's port, and the metric that says whether the server is reached.
STACKS = {
    "redis-server": ("prometheus-redis-exporter", 9121, "redis_up"),
    "postgresql": ("prometheus-postgres-exporter", 9187, "pg_up"),
}
#: Integrations that stand alone.
SINGLE = ["nginx", "prometheus-node-exporter"]
PORTS = {"nginx": 80, "prometheus-node-exporter": 9100, "redis-server": 6379, "postgresql": 5432}
#: One of each kind is walked always, the others by `make long`.
ALWAYS = {("plain", "redis-server"), ("systemd", "postgresql"), ("docker-plain", "nginx")}
#: What nothing takes lines out of.
LOGS = APPENDED_LOGS | {"/var/log/alternatives.log"}
#: What their services make in /run; the rest of it belongs to the system.
RUNTIME = {"redis", "postgresql", "prometheus", "nginx.pid"}
#: What a server that runs on writes; systemd makes the private /tmp of one anew at each start.
DATA = {
    "redis-server": ("/var/lib/redis/", "/var/log/redis/", "/var/tmp/"),
    "postgresql": ("/var/lib/postgresql/", "/var/log/postgresql/"),
}
#: What Debian keeps of a package that is removed and not purged; `docs/rollback.md` lists it.
KEPT_OF_A_PACKAGE = (
    "/etc/",
    "/var/lib/dpkg/",
    "/var/lib/systemd/deb-systemd-helper-enabled/",
    "/var/lib/ucf/",
    "/var/log/apt/",
)
#: Data that an uninstall without `--purge` leaves; of nginx and PostgreSQL also folders that they filled themselves.
STATE = {
    "nginx": ("/var/www/", "/var/log/nginx/", "/var/lib/nginx/"),
    "redis-server": ("/var/lib/redis/", "/var/log/redis/"),
    "postgresql": ("/var/lib/postgresql/", "/var/log/postgresql/", "/var/cache/postgresql/"),
}
STATE_OF_AN_EXPORTER = ("/var/lib/prometheus/", "/var/log/prometheus/")
ROLE = "SELECT count(*) FROM pg_roles WHERE rolname = 'prometheus'"
SCRAPE = "exec 3<>/dev/tcp/127.0.0.1/{}; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"


#: Debian's unit (`PrivateUsers=`) does not start there, whoever installs it: "Failed to set up user namespacing".
IMPOSSIBLE = {("docker-systemd", "redis-server")}


def walks(names: Iterable[str]) -> list[Any]:
    """Give every kind of target with every name, marked."""
    return [
        pytest.param(
            kind,
            name,
            marks=[
                *([pytest.mark.systemd] if kind.endswith("systemd") else []),
                *([] if (kind, name) in ALWAYS else [pytest.mark.long]),
            ],
        )
        for kind in KINDS
        for name in names
        if (kind, name) not in IMPOSSIBLE
    ]


@pytest.fixture
def machine(
    request: pytest.FixtureRequest, machines: Callable[..., AbstractContextManager[Machine]]
) -> Iterator[Machine]:
    """A fresh target that can install everything."""
    with machines(request.param, packages=CATALOGUE_PACKAGES) as made:
        yield made


def done(machine: Machine, verb: str, *arguments: str) -> dict[str, Any]:
    """Carry a command out that has to succeed, with every check of it passed."""
    report: dict[str, Any] = machine.json(verb, *arguments, *([] if verb == "verify" else ["--yes"])).data
    assert report["status"] == "succeeded"
    assert report["checks"]
    assert {check["status"] for check in report["checks"]} - {"not-applicable"} == {"passed"}, report["checks"]
    return report


def red(machine: Machine, integration: str) -> set[str]:
    """Name the checks that `verify` finds red; the message names them too."""
    answer = machine.json("verify", integration)
    assert answer.code == 1, str(answer)
    ids = {
        check["id"]
        for check in answer.error["details"]["checks"]
        if check["status"] not in {"passed", "not-applicable"}
    }
    assert all(name in answer.error["message"] for name in ids)
    return ids


def start(machine: Machine, name: str) -> None:
    machine.host.run(["sh", "-c", f"cd /; service {name} start"])


def stop(machine: Machine, name: str) -> None:
    """Stop a service and wait until it has: init scripts return earlier, and `postgresql` of systemd is only a name."""
    closed = f"while (exec 3<>/dev/tcp/127.0.0.1/{PORTS[name]}) 2>/dev/null; do sleep 0.05; done"
    machine.host.run(["bash", "-c", f"cd /; service {name} stop; {closed}"])


def metric(machine: Machine, port: int, name: str) -> str:
    """Read a metric's value as a scraper would, without any code of ours."""
    page = machine.host.run(["bash", "-c", SCRAPE.format(port)]).stdout
    return next(line.removeprefix(f"{name} ") for line in page.splitlines() if line.startswith(f"{name} "))


def roles(machine: Machine, server: str) -> str:
    """Count the exporter's roles in PostgreSQL; of another server nothing."""
    if server != "postgresql":
        return ""
    query = ["runuser", "-u", "postgres", "--", "psql", "-h", "/run/postgresql", "-Atc", ROLE]
    return machine.host.run(["sh", "-c", 'cd /; exec "$@"', "sh", *query]).stdout.strip()


def assert_as(machine: Machine, before: World, *, apart: tuple[str, ...] = ()) -> None:
    """Fail when anything is not as it was; what a server that runs on writes into its folders (`apart`) is its own."""

    def counted(world: World) -> World:
        # systemd makes and removes the private folders of services in /var/tmp: its time is new
        rest = {name: record for name, record in world.files.items() if name != "/var/tmp"}
        return replace(world, files={name: rest[name] for name in rest if not f"{name}/".startswith(apart or ("//",))})

    after = counted(machine.world())
    assert counted(before).differences(after, machine.host.root, logs=LOGS) == []
    assert_packages_are_well(machine)


def assert_packages_are_well(machine: Machine) -> None:
    check = ["apt-get", "check", "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache="]
    assert machine.host.run(check).stderr == ""
    assert machine.host.run(["dpkg", "--audit"]).stdout == ""


def assert_only_documented_stays(machine: Machine, name: str, before: World, apart: tuple[str, ...]) -> int:
    """Fail when an uninstall left a process, an open port, a unit, or a path that `docs/rollback.md` does not list.

    What a server that runs on writes into its folders (`apart`) is its own.

    Returns:
        How many paths of the list it left.
    """
    after = machine.world()
    assert replace(before, files={}).differences(replace(after, files={}), machine.host.root) == []
    allowed = (*KEPT_OF_A_PACKAGE, *STATE.get(name, STATE_OF_AN_EXPORTER), *apart)
    owned = owned_paths(machine)
    left = sorted(after.files.keys() - before.files.keys() - owned)
    unlisted = [path for path in left if not f"{path}/".startswith(allowed)]
    assert unlisted == [], "\n".join(unlisted)
    assert_packages_are_well(machine)
    return len(left)


def owned_paths(machine: Machine) -> set[str]:
    """List what belongs to installed packages: dependencies stay. `/lib` and its like are links into `/usr`."""
    query = "dpkg-query -Wf '${db:Status-Abbrev}${binary:Package}\\n' | sed -n 's/^ii *//p' | xargs dpkg-query -L"
    paths = set(machine.host.run(["sh", "-c", query]).stdout.splitlines())
    return paths | {f"/usr{path}" for path in paths if path.startswith(("/lib", "/bin/", "/sbin/"))}


def accounts(machine: Machine) -> set[str]:
    lines = (machine.host.root / "etc/passwd").read_text(encoding="utf-8").splitlines()
    return {line.partition(":")[0] for line in lines}


def accounts_of_packages(machine: Machine) -> set[str]:
    """Name the accounts that the installer of a package speaks of."""
    scripts = (machine.host.root / "var/lib/dpkg/info").glob("*.postinst")
    text = "\n".join(script.read_text(encoding="utf-8", errors="replace") for script in scripts)
    return {name for name in accounts(machine) if re.search(rf"\b{re.escape(name)}\b", text)}


def left_in_run(machine: Machine) -> set[str]:
    return RUNTIME & {entry.name for entry in (machine.host.root / "run").iterdir()}


def removed_and_taken_back(
    machine: Machine, name: str, before: World, *, installed: str, apart: tuple[str, ...] = ()
) -> None:
    """Uninstall, take that back, and take the installation back: nothing of it is left."""
    of_packages = accounts_of_packages(machine)
    uninstalled = done(machine, "uninstall", name)
    assert uninstalled["changed"] is True
    assert machine.json("verify", name).code != 0
    stay = assert_only_documented_stays(machine, name, before, apart)
    left = accounts(machine)
    back = done(machine, "rollback")
    assert back["undoes"] == uninstalled["run_id"]
    done(machine, "verify", name)
    assert done(machine, "rollback")["undoes"] == installed
    assert_as(machine, before, apart=apart)
    assert left - accounts(machine) <= of_packages, "only accounts that a package made stay after an uninstall"
    _log.info("%s: its uninstall leaves %d documented paths, its rollback none", name, stay)


@pytest.mark.parametrize(("machine", "name"), walks(SINGLE), indirect=["machine"])
def test_an_integration_that_stands_alone(machine: Machine, name: str) -> None:
    before = machine.world()
    installed = done(machine, "install", name)["run_id"]
    done(machine, "verify", name)
    stop(machine, name)
    assert "port" in red(machine, name)
    start(machine, name)
    assert done(machine, "install", name)["changed"] is False
    removed_and_taken_back(machine, name, before, installed=installed)
    assert left_in_run(machine) == set()


@pytest.mark.parametrize(("machine", "server"), walks(STACKS), indirect=["machine"])
def test_a_server_and_its_exporter(machine: Machine, server: str) -> None:
    exporter, port, up = STACKS[server]
    before = machine.world()
    first = done(machine, "install", server)["run_id"]
    stop(machine, server)
    assert "port" in red(machine, server)
    start(machine, server)
    assert done(machine, "install", server)["changed"] is False

    alone = machine.world()
    second = done(machine, "install", exporter)["run_id"]
    assert done(machine, "install", exporter)["changed"] is False
    assert metric(machine, port, up) == "1"
    stop(machine, server)
    assert metric(machine, port, up) == "0"
    assert "up" in red(machine, exporter)
    start(machine, server)
    done(machine, "verify", exporter)
    assert roles(machine, server) == ("1" if server == "postgresql" else "")

    refused = machine.json("uninstall", server, "--yes")
    assert refused.code == 6, str(refused)
    assert exporter in refused.error["message"]
    removed_and_taken_back(machine, exporter, alone, installed=second, apart=DATA[server])
    assert roles(machine, server) == ("0" if server == "postgresql" else "")
    removed_and_taken_back(machine, server, before, installed=first)
    assert left_in_run(machine) == set()
