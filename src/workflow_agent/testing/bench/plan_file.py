"""`tests/bench.yaml` of an integration: what its tests on targets need beside the manifest."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, JsonValue, StrictBool, StrictStr
from pydantic import ValidationError as PydanticError

from workflow_agent.authoring.yaml_source import load_yaml, read_text
from workflow_agent.integrations.fields import Identifier, Part, Slug
from workflow_agent.integrations.problems import key_text
from workflow_agent.integrations.schema_problems import problems_of
from workflow_agent.model.errors import ManifestError
from workflow_agent.testing.bench.archives import ARCHIVES, archives_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from workflow_agent.integrations import Manifest, Registry

__all__ = ["BENCH_FILE", "BenchPlan", "Break", "packages_of", "read_plan"]

BENCH_FILE = "tests/bench.yaml"
_Argv = Annotated[tuple[StrictStr, ...], Field(min_length=1)]


class Break(Part):
    """A way to break what was installed: a command on the target; then the checks in `red` (or any) must be red."""

    id: Slug
    argv: _Argv
    repair: tuple[StrictStr, ...] = Field(default=(), description="Takes it back; `repair` of the product without it.")
    red: tuple[Slug, ...] = ()


class Running(Part):
    """A command on the target that says which version runs, and what it says of the older and of the newer one."""

    argv: _Argv
    older: Annotated[StrictStr, Field(min_length=1)]
    newer: Annotated[StrictStr, Field(min_length=1)]


class Older(Part):
    """What an upgrade starts from, where another version is installed by other parameters."""

    parameters: dict[Identifier, JsonValue] = Field(default_factory=dict, description="That differ for it.")
    digests: dict[Identifier, StrictStr] = Field(default_factory=dict, description="Digests that differ for it.")
    running: Running


class BenchPlan(Part):
    """What tests on targets need. Everything has a default: without the file, tests run all the same."""

    targets: tuple[StrictStr, ...] | None = Field(default=None, description="Kinds of targets; all without it.")
    reason: StrictStr = Field(default="", description="Why not all kinds of targets.")
    refused: StrictStr = Field(
        default="", description="Code of the error with which targets of tests refuse it, before anything is changed."
    )
    parameters: dict[Identifier, JsonValue] = Field(default_factory=dict, description="What is installed with.")
    digests: dict[Identifier, StrictStr] = Field(
        default_factory=dict, description="Parameters that are the SHA-256 of an archive made for the tests: its path."
    )
    secrets: dict[Identifier, StrictStr] = Field(
        default_factory=dict, description="Secrets of the tests; real ones have no place here."
    )
    older: Older | None = Field(default=None, description="What an upgrade starts from; the same without it.")
    address: Annotated[StrictStr, Field(pattern=r"^[0-9.]*$")] = Field(
        default="", description="A further IPv4 address of the hosts, which have 127.0.0.1 alone without it."
    )
    packages: tuple[StrictStr, ...] = Field(default=(), description="Further Debian packages on offer on the target.")
    negative: tuple[Break, ...] = ()
    red_for: Annotated[float, Field(gt=0, le=600)] = Field(
        default=3.0, description="Seconds for which what is broken must stay red; more where something mends itself."
    )
    stops: StrictBool = Field(default=True, description="Stopping a service must turn a check red.")


def read_plan(folder: Path) -> BenchPlan:
    """Read the file of an integration's folder; the defaults where there is none.

    Raises:
        ManifestError: it cannot be read as one.
    """
    file = folder / BENCH_FILE
    if not file.is_file():
        return BenchPlan()
    document = load_yaml(read_text(file), source=str(file))
    try:
        return _with_digests(BenchPlan.model_validate(document.data), folder)
    except PydanticError as error:
        problem = problems_of(error, document.data)[0]
        raise ManifestError(
            f"{f'`{key_text(problem.path)}`' if problem.path else 'the file'} {problem.message}",
            where=document.where(problem.path),
            hint=problem.hint,
        ) from error


def _with_digests(plan: BenchPlan, folder: Path) -> BenchPlan:
    """Fill in the digests of archives, and all parameters of the older version."""
    older = plan.older.digests if plan.older is not None else {}
    made = archives_of(folder) if plan.digests or older else {}
    unknown = sorted({*plan.digests.values(), *older.values()} - set(made))
    if unknown:
        raise ManifestError(
            f"there is no folder for the archive {unknown[0]}",
            where=f"{folder / BENCH_FILE} › digests",
            hint=f"its members lie in {ARCHIVES}{unknown[0]}/",
        )
    parameters = {**plan.parameters, **_digests(plan.digests, made)}
    update: dict[str, object] = {"parameters": parameters}
    if plan.older is not None:
        own = {**parameters, **plan.older.parameters, **_digests(older, made)}
        update["older"] = plan.older.model_copy(update={"parameters": own})
    return plan.model_copy(update=update)


def _digests(wanted: Mapping[str, str], made: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(made[path]).hexdigest() for name, path in wanted.items()}


def packages_of(manifest: Manifest, plan: BenchPlan, registry: Registry) -> tuple[str, ...]:
    """Name the Debian packages that the target must offer: the integration's, its requirements', the plan's."""
    found = set(plan.packages)
    for one in (manifest, *(registry.get(name) for name in manifest.requires)):
        found.update(one.packages.get("debian", ()))
        for action in one.actions.values():
            words = action.with_.get("packages")
            if isinstance(words, list):
                found.update(str(word).partition(":")[0] for word in words)
    return tuple(sorted(found))
