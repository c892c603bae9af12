"""Kinds of tests that need a target, in an order in which each finds it as it was: nothing installed, or installed.

One target serves several kinds, because what is installed is taken back exactly. Where a kind fails, whatever it left
is thrown away with the target, and the next kind gets a fresh one. Kinds that install anew gain nothing from a target
that others used: each is a lane of its own, on a target of its own, and lanes are walked side by side.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from workflow_agent.model.status import CHECK_IS_NOT_RED
from workflow_agent.testing.bench.golden import PLAN_FOLDER, compare, plan_text
from workflow_agent.testing.bench.outcomes import REFUSED, Kind, TestFailedError, TestSkippedError
from workflow_agent.testing.bench.targets import BenchTarget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any, Self

    from workflow_agent.integrations import Manifest, Registry
    from workflow_agent.testing.bench.plan_file import BenchPlan, Break
    from workflow_agent.testing.bench.targets import TargetKind, UserReply
    from workflow_agent.testing.bench.worlds import World

#: Its name, how to break, which checks must be red (any, when none is named), and how to mend: false where it cannot.
_Way: TypeAlias = "tuple[str, Callable[[], object], tuple[str, ...], Callable[[], object]]"

__all__ = ["CRASH_POINTS", "Subject", "Walk", "lanes_of", "older_version"]

_CHECKS_RED = 1
_NOT_FOUND = 5
_SHOWN = 20
#: Points that every installation passes, at some of which its process is killed.
CRASH_POINTS: Final = (
    "engine.before-request",
    "engine.after-reply",
    "store.before-commit",
    "store.after-commit",
    "transaction.plan-written",
    "transaction.plan-renamed",
    "transaction.sync",
    "transaction.commit.operation",
    "transaction.committed",
)
_VARIABLE = "WORKFLOW_AGENT_FAILPOINT"
#: Variables in which secrets of tests are given.
_GIVEN: Final = "INTEGRATION_TEST_{}"
#: That services stay is tried by the kind `install`; the others do not wait for it again.
_AT_ONCE: Final = {"WORKFLOW_AGENT_TIMEOUTS__STAY_S": "0"}
#: One installation serves the first lane. The longest come first. Where servers are required, which each target
#: needs first, there are no more than two.
_LANES: Final = (
    (Kind.PLAN, Kind.INSTALL, Kind.IDEMPOTENCE, Kind.VERIFY, Kind.NEGATIVE, Kind.ROLLBACK),
    (Kind.UPGRADE,),
    (Kind.CRASH,),
    (Kind.RESIDUE,),
)
_LANES_WITH_SERVERS: Final = ((*_LANES[0], Kind.RESIDUE), (Kind.UPGRADE, Kind.CRASH))
#: How what must be refused is tried.
_REFUSALS: Final = {Kind.PLAN: ("plan",), Kind.INSTALL: ("install", "--yes")}
_VERSION = re.compile(r"^version:.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is tested: an integration, what its tests need, and how they are made."""

    manifest: Manifest
    plan: BenchPlan
    registry: Registry
    packages: tuple[str, ...]
    update: bool = False
    seed: int = 1
    crashes: int = 2

    @property
    def folder(self) -> Path:
        """The integration's folder."""
        return self.manifest.folder

    @property
    def name(self) -> str:
        """How the command is told which one is meant: by its folder, wherever it lies."""
        return str(self.manifest.folder)


@dataclass(slots=True, kw_only=True)
class Walk:
    """A lane of the tests of one integration on one kind of target; use it as a context manager."""

    subject: Subject
    kind: TargetKind
    lane: str
    folder: Path
    _target: BenchTarget | None = None
    _stack: ExitStack = field(default_factory=ExitStack)
    _before: World | None = None
    _installed: str | None = None
    _repaired: bool = False
    _number: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()

    # -- the target --------------------------------------------------------------------------------------------------

    @property
    def target(self) -> BenchTarget:
        """The target; a fresh one, with what the integration requires, where there is none."""
        if self._target is None:
            self._number += 1
            made = BenchTarget(
                self.kind,
                packages=self.subject.packages,
                folder=self.folder / f"{self.kind}-{self.lane}-{self._number}",
                files=self.subject.folder / "tests/target",
                integration=self.subject.folder,
                variables={_GIVEN.format(name): value for name, value in self.subject.plan.secrets.items()},
                address=self.subject.plan.address,
            )
            self._target = self._stack.enter_context(made)
            for name in self.subject.manifest.requires:
                self._done("install", name, "--yes", more=_AT_ONCE)
            self._before, self._installed, self._repaired = made.look(), None, False
        return self._target

    def keep_evidence(self) -> Path | None:
        """Write down what the target says; gives the folder, which holds what its commands said too."""
        if self._target is None:
            return None
        self._target.keep_evidence()
        return self._target.folder

    def drop(self) -> None:
        """Throw the target away."""
        self._target = None
        self._stack.close()

    def _done(self, *words: str, wanted: int = 0, more: Mapping[str, str] | None = None) -> UserReply:
        reply = self.target.command(*words, more=more)
        if reply.code != wanted:
            raise TestFailedError(reply.sentence, _reasons(reply))
        return reply

    def _install(self, folder: Path | None = None, *, at_once: bool = True, older: bool = False) -> UserReply:
        given = self._with_parameters(older=older)
        reply = self._done(
            "install", str(folder or self.subject.name), *given, "--yes", more=_AT_ONCE if at_once else None
        )
        self._installed = reply.data["run_id"]
        return reply

    def _with_secrets(self) -> tuple[str, ...]:
        return tuple(
            word for name in self.subject.plan.secrets for word in ("--secret", f"{name}=env:{_GIVEN.format(name)}")
        )

    def _with_parameters(self, *, older: bool = False) -> tuple[str, ...]:
        secrets, plan = self._with_secrets(), self.subject.plan
        parameters = plan.older.parameters if older and plan.older is not None else plan.parameters
        if not parameters:
            return secrets
        file = self.target.folder / ("older.json" if older else "parameters.json")
        file.write_text(json.dumps(parameters), encoding="utf-8")
        return ("--param-file", str(file), *secrets)

    def _absent(self) -> World:
        """Give what the target was before; what is installed is taken back."""
        if self._repaired:
            self.drop()  # a repair is an installation of its own, which the rollback of the first one leaves
        if self.target and self._installed is not None:
            self._done("rollback", self._installed, "--yes")
            self._installed = None
        assert self._before is not None  # the target was made
        return self._before

    def _present(self) -> None:
        if self._repaired:
            self.drop()  # see above: its rollback would prove nothing
        if self.target and self._installed is None:
            self._install()

    def _as(self, before: World, what: str) -> None:
        own = self._data_of_requirements()
        counts, lines = self.target.left(before, own)
        if counts:
            raise TestFailedError(f"{what} left {counts}", lines[:_SHOWN])

    def _data_of_requirements(self) -> list[str]:
        """Name the folders into which required servers, which run on, write meanwhile."""
        required = [self.subject.registry.get(name) for name in self.subject.manifest.requires]
        return [entry.path for one in required for entry in one.state_data if "${{" not in entry.path]

    # -- the kinds ---------------------------------------------------------------------------------------------------

    def run(self, kind: Kind) -> str:
        """Carry out a kind; gives a sentence.

        Raises:
            TestFailedError: what is tested is not so.
            TestSkippedError: it cannot be tested here.
        """
        kinds: Mapping[Kind, Callable[[], str]] = {
            Kind.PLAN: self._plan,
            Kind.INSTALL: self._installs,
            Kind.IDEMPOTENCE: self._idempotence,
            Kind.VERIFY: self._verify,
            Kind.NEGATIVE: self._negative,
            Kind.ROLLBACK: self._rollback,
            Kind.RESIDUE: self._residue,
            Kind.UPGRADE: self._upgrade,
            Kind.CRASH: self._crash,
        }
        return self._refused(kind) if self.subject.plan.refused else kinds[kind]()

    def _refused(self, kind: Kind) -> str:
        """Try what must be refused; gives the error's own words."""
        if kind not in _REFUSALS:
            raise TestSkippedError("targets of tests refuse it, as tests/bench.yaml says")
        before = self._absent()
        reply = self.target.command(*_REFUSALS[kind], self.subject.name, *self._with_parameters())
        code, wanted = reply.error.get("code"), self.subject.plan.refused
        if reply.code == 0 or code != wanted:
            raise TestFailedError(f"{reply.sentence}, and must be refused with {wanted}", _reasons(reply))
        self._as(before, "what was refused")
        return f"{REFUSED}{reply.error['message']}; 0 paths differ"

    def _plan(self) -> str:
        before = self._absent()
        given = self._with_parameters()
        reply = self._done("plan", self.subject.name, *given)
        self._as(before, "a plan")
        text = plan_text(reply.data["plan"]["change_set"]["changes"])
        return compare(self.subject.folder / PLAN_FOLDER / f"{self.kind}.txt", text, update=self.subject.update)

    def _installs(self) -> str:
        self._absent()
        report = self._install(at_once=False).data
        if report["changed"] is not True:
            raise TestFailedError("an installation on a fresh target changed nothing")
        return f"{_passed(report)}{_require_passed(report)}"

    def _idempotence(self) -> str:
        self._present()
        before = self.target.look()
        given = self._with_parameters()
        report = self._done("install", self.subject.name, *given, "--yes").data
        if report["changed"]:
            names = [item["path"] for item in report["changes"]["items"]]
            raise TestFailedError("a second installation changed something", names[:_SHOWN])
        counts, lines = self.target.left(before, [*self._data_of_requirements(), *self._own_data()])
        if counts:
            raise TestFailedError(f"a second installation left {counts}", lines[:_SHOWN])
        return "nothing to do"

    def _own_data(self) -> list[str]:
        return [entry.path for entry in self.subject.manifest.state_data if "${{" not in entry.path]

    def _verify(self) -> str:
        self._present()
        report = self._done("verify", self.subject.name, *self._with_secrets()).data
        return f"{_passed(report)}{_require_passed(report)}"

    def _negative(self) -> str:
        self._present()
        ways = [*self._stops(), *map(self._way, self.subject.plan.negative)]
        if not ways:
            raise TestSkippedError("it has no service, and tests/bench.yaml names no other way to break it")
        # the time after which what is broken counts as red has to be enough for what works
        self._done("verify", self.subject.name, *self._with_secrets(), more=self._soon())
        found = []
        for name, broken, red, mend in ways:
            broken()
            found.append(f"{name}: {', '.join(self._red(name, red))}")
            self._heal(mend)
        return "; ".join(found)

    def _stops(self) -> Iterator[_Way]:
        """Give a way to break for each service, first of what is required."""
        if not self.subject.plan.stops:
            return
        for manifest in (*map(self.subject.registry.get, self.subject.manifest.requires), self.subject.manifest):
            for service in manifest.services:
                stop = partial(self.target.stop_service, service.name, service.exe)
                own = service.sysvinit is True or self.target.host.kind == "systemd"
                start = partial(self.target.start_service, service.name) if own else partial(self._command, ())
                yield f"{service.name} stopped", stop, (), start

    def _way(self, way: Break) -> _Way:
        return way.id, partial(self._command, way.argv), way.red, partial(self._command, way.repair)

    def _command(self, argv: tuple[str, ...]) -> bool:
        """Carry out a command on the target; says whether there was one."""
        if not argv:
            return False
        done = self.target.host.run(["sh", "-c", 'cd /; exec "$@"', "sh", *argv], check=False)
        if done.returncode != 0:
            raise TestFailedError(f"`{' '.join(argv)}` ended with {done.returncode}", done.stderr.splitlines()[-5:])
        return True

    def _red(self, way: str, wanted: tuple[str, ...]) -> list[str]:
        reply = self._done("verify", self.subject.name, *self._with_secrets(), wanted=_CHECKS_RED, more=self._soon())
        checks = (reply.error.get("details") or {}).get("checks") or ()
        red = [check["id"] for check in checks if check["status"] not in CHECK_IS_NOT_RED]
        if missing := sorted(set(wanted) - set(red)):
            raise TestFailedError(f"{way}: {', '.join(missing)} should be red", [f"red: {', '.join(red)}"])
        return red

    def _soon(self) -> dict[str, str]:
        """Have checks waited for as long as what is broken must stay red: a service has till then to mend itself."""
        return {"WORKFLOW_AGENT_TIMEOUTS__CHECK_S": str(self.subject.plan.red_for)}

    def _heal(self, mend: Callable[[], object]) -> None:
        """Take back what was broken; what has no way back is repaired by the product."""
        if not mend():
            self._repaired = True
            for name in self.subject.manifest.requires:
                self._done("repair", name, "--yes", more=_AT_ONCE)
            self._done("repair", self.subject.name, *self._with_secrets(), "--yes", more=_AT_ONCE)
        self._done("verify", self.subject.name, *self._with_secrets())

    def _rollback(self) -> str:
        self._present()
        before = self._absent()
        self._as(before, "a rollback")
        return "0 paths differ"

    def _residue(self) -> str:
        before = self._absent()
        self._install()
        if "uninstall" not in self.subject.manifest.actions:
            raise TestSkippedError("it has no action `uninstall`")
        removed = self._done("uninstall", self.subject.name, "--purge", "--yes").data
        _require_passed(removed)
        counts, lines = self.target.left(before, self._data_of_requirements())
        kept = set(self._declared())
        wrong = [line for line in lines if line.startswith("new process") or line.partition(": ")[2] in kept]
        if wrong:
            raise TestFailedError(f"an uninstall with `--purge` left {counts}", wrong[:_SHOWN])
        self._done("rollback", removed["run_id"], "--yes")
        self._absent()
        self._as(before, "an uninstall that was taken back, and the rollback,")
        return f"left: {counts}"

    def _declared(self) -> Iterator[str]:
        yield from (file.path for file in self.subject.manifest.files)
        yield from (entry.path for entry in self.subject.manifest.state_data)

    def _upgrade(self) -> str:
        before = self._absent()
        name = self.subject.name
        with tempfile.TemporaryDirectory() as folder:
            older = Path(folder) / self.subject.folder.name
            version = older_version(self.subject.folder, older)
            self._install(older, older=True)
            first = self._runs(newer=False)
            given = self._with_parameters()
            upgraded = self._done("upgrade", self.subject.name, *given, "--yes", more=_AT_ONCE).data
        passed = _require_passed(upgraded)
        self._done("verify", name, *self._with_secrets())
        second = self._runs(newer=True)
        if upgraded["changed"]:
            self._done("rollback", upgraded["run_id"], "--yes")
            self._done("verify", name, *self._with_secrets())
            self._runs(newer=False)
        self._absent()
        self._as(before, "an upgrade and two rollbacks")
        return f"from {version}{first} to {self.subject.manifest.version}{second}{passed}"

    def _runs(self, *, newer: bool) -> str:
        """Ask the target which version runs, where the plan says how; gives it for a sentence."""
        if self.subject.plan.older is None:
            return ""
        running = self.subject.plan.older.running
        version, other = (running.newer, running.older) if newer else (running.older, running.newer)
        said = self.target.host.run(["sh", "-c", 'cd /; exec "$@"', "sh", *running.argv], check=False)
        if version not in said.stdout or other in said.stdout:
            raise TestFailedError(f"{version} does not run", [*said.stdout.splitlines(), *said.stderr.splitlines()])
        return f" ({version} runs)"

    def _crash(self) -> str:
        before = self._absent()
        chance = random.Random(self.subject.seed)  # noqa: S311  # a seed that can be said again, no secret
        points = chance.sample(CRASH_POINTS, min(self.subject.crashes, len(CRASH_POINTS)))
        for point in points:
            self._killed_at(point)
            self._absent()
            self._as(before, f"killed at {point}, installed again and rolled back: it")
        return f"seed {self.subject.seed}: {', '.join(points)}"

    def _killed_at(self, point: str) -> None:
        given = self._with_parameters()
        words = ("install", self.subject.name, *given, "--yes")
        killed = self.target.command(*words, more={_VARIABLE: point, **_AT_ONCE})
        if killed.code not in {-signal.SIGKILL, 0}:
            raise TestFailedError(f"at {point}: {killed.sentence}", _reasons(killed))
        report = self._done(*words, more=_AT_ONCE).data
        _require_passed(report)
        # what the killed one committed, if the second one found nothing to do
        self._installed = report["run_id"] if report["changed"] else self._live_run() or report["run_id"]

    def _live_run(self) -> str | None:
        listed = self._done("generations", "list", self.subject.manifest.name).data["items"]
        return next((str(item["run_id"]) for item in listed if item.get("live")), None)


def lanes_of(kinds: Sequence[Kind], subject: Subject) -> list[list[Kind]]:
    """Divide kinds into lanes, each with a target of its own; in a lane they are tested one after the other."""
    lanes = _LANES_WITH_SERVERS if subject.manifest.requires else _LANES
    return [wanted for lane in lanes if (wanted := [kind for kind in lane if kind in kinds])]


def older_version(folder: Path, into: Path) -> str:
    """Write an older version: the one that the author keeps, else this one as 0.0.1; gives its number."""
    kept = folder / "tests/upgrade/from"
    shutil.copytree(kept if kept.is_dir() else folder, into)
    file = into / "integration.yaml"
    text = file.read_text(encoding="utf-8")
    if not kept.is_dir():
        text = _VERSION.sub("version: 0.0.1", text, count=1)
        file.write_text(text, encoding="utf-8")
    found = _VERSION.search(text)
    return found[0].partition(":")[2].strip() if found else ""


def _passed(report: Mapping[str, Any]) -> str:
    """Say how many checks passed; one that does not apply is none of them."""
    number = sum(check["status"] == "passed" for check in report["checks"])
    return "1 check holds" if number == 1 else f"{number} checks hold"


def _require_passed(report: Mapping[str, Any]) -> str:
    """Raise where a run did not succeed or a check of it does not hold; gives nothing to say."""
    red = [f"{check['id']}: {check['status']}" for check in report["checks"] if check["status"] not in CHECK_IS_NOT_RED]
    if report["status"] != "succeeded" or red:
        raise TestFailedError(f"the run is {report['status']}, {len(red)} checks do not hold", red)
    return ""


def _reasons(reply: UserReply) -> list[str]:
    """Give what else an error says; hints to type a command are meant for whoever has that target."""
    told = [str(reply.error[key]) for key in ("where", "cause", "state", "hint") if reply.error.get(key)]
    return [text for text in told if not text.startswith("`workflow-agent ")]
