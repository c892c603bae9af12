"""All kinds of tests of one integration, on paper and on every kind of target that is wanted."""

from __future__ import annotations

import os
import queue
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from workflow_agent.authoring import read_text
from workflow_agent.integrations import Registry, builtin_folder, lint
from workflow_agent.model.errors import WorkflowAgentError
from workflow_agent.scripts import lint_template
from workflow_agent.testing.bench.outcomes import (
    ON_PAPER,
    BenchOutcome,
    Kind,
    TestFailedError,
    TestSkippedError,
    Verdict,
)
from workflow_agent.testing.bench.plan_file import packages_of, read_plan
from workflow_agent.testing.bench.render_cases import RENDER_FOLDER, cases_of, check_case
from workflow_agent.testing.bench.targets import TargetKind, obstacle_of
from workflow_agent.testing.bench.walk import Subject, Walk, lanes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from workflow_agent.integrations import Manifest

__all__ = ["Suite", "TargetKind", "at_once"]

#: What threads find; None from each that has ended.
_Results: TypeAlias = "queue.SimpleQueue[BenchOutcome | BaseException | None]"
DEFAULT_TARGETS = (TargetKind.PLAIN, TargetKind.SYSTEMD)


@dataclass(slots=True, kw_only=True)
class Suite:
    """The tests of an integration.

    Args:
        manifest: The integration.
        kinds: What is tested.
        targets: On which kinds of targets.
        registry: Where what it requires is found; what is shipped when omitted.
        evidence: Folder that keeps what failed targets said; a temporary one when omitted.
        keep: Keep it also of what passed.
        update: Write what comes out where it is compared with what is kept.
        seed: Decides where the process is killed.
    """

    manifest: Manifest
    kinds: Sequence[Kind] = tuple(Kind)
    targets: Sequence[TargetKind] = DEFAULT_TARGETS
    registry: Registry | None = None
    evidence: Path | None = None
    keep: bool = False
    update: bool = False
    seed: int = 1
    #: The folder that was kept, if any.
    kept: Path | None = field(default=None, init=False)

    def run(self) -> Iterator[BenchOutcome]:
        """Give each test as it ends; those of different targets and lanes run at the same time."""
        for kind in (Kind.LINT, Kind.RENDER):
            if kind in self.kinds:
                yield from self._on_paper(kind)
        wanted = [kind for kind in Kind if kind in self.kinds and kind not in ON_PAPER]
        if wanted:
            yield from self._on_targets(wanted)

    # -- on paper ----------------------------------------------------------------------------------------------------

    def _on_paper(self, kind: Kind) -> Iterator[BenchOutcome]:
        if kind is Kind.LINT:
            yield _measured(kind, "", "", self._lint)
            return
        cases = cases_of(self.manifest.folder)
        if not cases:
            yield BenchOutcome(kind=kind, verdict=Verdict.SKIPPED, message=f"there is no case in {RENDER_FOLDER}")
        for file in cases:
            check = partial(check_case, self.manifest.folder, file, update=self.update)
            yield _measured(kind, "", file.stem, check)

    def _lint(self) -> str:
        read_plan(self.manifest.folder)
        findings = _lint_lines(self.manifest.folder)
        if findings:
            raise TestFailedError(f"{len(findings)} finding{'s' * (len(findings) > 1)}", findings)
        return "no finding"

    # -- on targets --------------------------------------------------------------------------------------------------

    def _on_targets(self, kinds: Sequence[Kind]) -> Iterator[BenchOutcome]:
        plan = read_plan(self.manifest.folder)
        registry = self.registry or Registry([builtin_folder()])
        subject = Subject(
            manifest=self.manifest,
            plan=plan,
            registry=registry,
            packages=packages_of(self.manifest, plan, registry),
            update=self.update,
            seed=self.seed,
        )
        possible = []
        for target in self.targets:
            listed = plan.targets is None or target.value in plan.targets
            why = obstacle_of(target) if listed else (plan.reason or "tests/bench.yaml leaves it out")
            if why is None:
                possible.append(target)
            else:
                yield from (
                    BenchOutcome(kind=kind, target=target.value, verdict=Verdict.SKIPPED, message=why) for kind in kinds
                )
        folder = self.evidence or Path(tempfile.mkdtemp(prefix=f"workflow-agent-test-{self.manifest.name}-"))
        try:
            lanes = lanes_of(kinds, subject)
            walks = [_walk(subject, target, lane, folder) for lane in lanes for target in possible]
            yield from at_once(walks, self._remember)
        finally:
            if self.keep:
                self.kept = folder
            if self.kept is None:
                shutil.rmtree(folder, ignore_errors=True)

    def _remember(self, outcome: BenchOutcome) -> None:
        if outcome.evidence is not None:
            self.kept = outcome.evidence.parent


def _walk(subject: Subject, target: TargetKind, kinds: Sequence[Kind], folder: Path) -> Iterator[BenchOutcome]:
    """Test the kinds of a lane on one target, one after the other."""
    with Walk(subject=subject, kind=target, lane=kinds[0], folder=folder) as walk:
        for kind in kinds:
            outcome = _measured(kind, target.value, "", partial(walk.run, kind), walk)
            yield outcome
            if outcome.verdict is Verdict.FAILED:
                walk.drop()


def _measured(kind: Kind, target: str, case: str, test: Callable[[], str], walk: Walk | None = None) -> BenchOutcome:
    started = time.perf_counter()
    verdict, evidence = Verdict.PASSED, None
    details: Sequence[str] = ()
    try:
        message = test()
    except TestSkippedError as skipped:
        verdict, message = Verdict.SKIPPED, str(skipped)
    except TestFailedError as failed:
        verdict, message, details = Verdict.FAILED, failed.message, failed.lines
    except WorkflowAgentError as error:
        found = (error.where, error.cause, error.hint)
        verdict, message, details = Verdict.FAILED, error.message, tuple(text for text in found if text)
    if verdict is Verdict.FAILED and walk is not None:
        evidence = walk.keep_evidence()
    return BenchOutcome(
        kind=kind,
        target=target,
        case=case,
        verdict=verdict,
        seconds=time.perf_counter() - started,
        message=message,
        details=tuple(details),
        evidence=evidence,
    )


def at_once(
    walks: Sequence[Iterator[BenchOutcome]], seen: Callable[[BenchOutcome], None], *, limit: int | None = None
) -> Iterator[BenchOutcome]:
    """Go through several walks at the same time; gives what ends first. When nobody asks on, they end soon.

    No more than `limit` at once: two more than there are processors, because each often waits for a time to pass.
    """
    results: _Results = queue.SimpleQueue()
    waiting: queue.SimpleQueue[Iterator[BenchOutcome]] = queue.SimpleQueue()
    for walk in walks:
        waiting.put(walk)
    leaving = threading.Event()
    number = min(len(walks), limit or (os.cpu_count() or 1) + 2)
    threads = [
        threading.Thread(target=_go_through, args=(waiting, results, leaving), daemon=True) for _ in range(number)
    ]
    for thread in threads:
        thread.start()
    left = len(threads)
    try:
        while left:
            found = results.get()
            if isinstance(found, BaseException):
                raise found
            if found is None:
                left -= 1
                continue
            seen(found)
            yield found
    finally:
        leaving.set()


def _go_through(
    waiting: queue.SimpleQueue[Iterator[BenchOutcome]], results: _Results, leaving: threading.Event
) -> None:
    """Go through walks until none waits, and say so by None."""
    try:
        while (walk := _next(waiting)) is not None and not leaving.is_set():
            for outcome in walk:
                results.put(outcome)
                if leaving.is_set():
                    walk.close()  # type: ignore[attr-defined]  # it is a generator
                    break
    except BaseException as error:  # noqa: BLE001  # the border of the thread: it is raised where it is waited for
        results.put(error)
    results.put(None)


def _next(waiting: queue.SimpleQueue[Iterator[BenchOutcome]]) -> Iterator[BenchOutcome] | None:
    try:
        return waiting.get_nowait()
    except queue.Empty:  # another thread may have taken the last one
        return None


def _lint_lines(folder: Path) -> list[str]:
    """Write what lint finds in the manifest and the shell templates, hints left out."""
    lines = [f"{found.where}: {found.severity}[{found.code}] {found.message}" for found in lint(folder)]
    for file in sorted((folder / "templates").rglob("*.sh.j2")):
        lines += [
            f"{file}:{finding.line}: {finding.severity}[{finding.rule}] {finding.message}"
            for finding in lint_template(read_text(file), str(file))
        ]
    return lines
