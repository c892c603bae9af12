"""What is known, asked and found about a target: facts, scripts, changes, checks, generations."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  # pydantic reads the annotations when it validates
from dataclasses import field
from enum import StrEnum
from typing import Any

from workflow_agent.model.records import dataclass

__all__ = [
    "EDITED_NOTE",
    "CaptureCommand",
    "Change",
    "ChangeAction",
    "ChangeSet",
    "Check",
    "CheckResult",
    "CheckStatus",
    "Effect",
    "EffectCommand",
    "FileWrite",
    "Finding",
    "Generation",
    "InitKind",
    "LineOrigin",
    "Provenance",
    "Script",
    "Service",
    "Severity",
    "TargetFacts",
    "Tier",
    "escape_path",
    "unescape_path",
]


#: How a note of a change set begins that tells of an edit which it would write over.
EDITED_NOTE = "edited since:"


def escape_path(raw: bytes) -> str:
    r"""Write a path as printable text: bytes that are no UTF-8, control characters and ``\`` as ``\xNN``."""
    text = raw.decode("utf-8", "surrogateescape")
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(
        char
        if char.isprintable() and char != "\\"
        else "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))
        for char in text
    )


def unescape_path(text: str) -> bytes:
    """Undo :func:`escape_path`."""
    head, *rest = text.split("\\x")
    parts = [head.encode()]
    parts += [bytes.fromhex(part[:2]) + part[2:].encode() for part in rest]
    return b"".join(parts)


class Tier(StrEnum):
    """How well effects can be taken back; `approximate` are those of a rehearsal in a clone, which has none to take."""

    EXACT = "exact"
    APPROXIMATE = "approximate"
    LOGICAL = "logical"
    NEEDS_ATTENTION = "needs-attention"


class InitKind(StrEnum):
    """What starts services on a target."""

    SYSTEMD = "systemd"
    SYSVINIT = "sysvinit"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetFacts:
    """What was read from a target.

    `tier_reason` says why the tier is not exact. `identity` tells a container from a later one of its name: the ids of
    its engine and of itself. `capabilities` are those of the kernel that its processes can get; None: nobody can say.
    """

    target: str
    hostname: str
    os_id: str
    os_version: str
    os_codename: str
    os_like: tuple[str, ...]
    architecture: str
    kernel: str
    init: InitKind
    package_manager: str | None
    is_root: bool
    tier: Tier
    tier_reason: str | None = None
    identity: str = ""
    capabilities: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a script came from. Parameters that are secrets stand as references.

    A script of a person's own belongs to no integration; then `template` is its name.
    """

    integration: str | None
    action: str
    version: str
    template: str
    template_hash: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileWrite:
    """A configuration file written by a typed writer after the script ran, inside the transaction.

    `content` is text that has been parsed back already. `mode` is an octal text such as ``0644``.
    `owner` is ``user:group`` as the target knows them. A file that holds secrets has `values`, with marks where they
    stand: its text is written from them last, when it leaves for the target; `content` names the secrets only.
    """

    path: str
    format: str
    content: str
    mode: str = "0644"
    owner: str = "root:root"
    values: Any = None  # Any: a JSON value


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureCommand:
    """A command without a shell that is run inside a capture, as root of the target; it has worked when it ends with 0.

    `label` says what it is, for people. `stdin`: what it reads. `file` and `digest` (SHA-256, hex) tell a Python hook.
    """

    argv: tuple[str, ...]
    label: str
    stdin: str | None = None
    timeout_s: float = 30.0
    file: str | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LineOrigin:
    """Where a stretch of a script came from: its line `first` and those after it, up to the next stretch.

    `template` is a file, `line` its line for `first`; `names` are the values that are inserted there.
    """

    first: int
    template: str
    line: int
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """Shell text, run by `interpreter`, and the files written after it.

    `options` stand before the script on the interpreter's command line, `arguments` after it. `removes` are paths that
    go after it, with everything below them; one that is not there is passed over. `secrets` names those that the text
    reads from files. `origins` tell the templates' lines, in the order of the script's. `directories` (path, mode,
    owner) are made before the files are written. The commands `before` run before the text, those `after` when the
    files are there; one that fails refuses all of it. `sources` say whence the facts are that the text was composed of.
    """

    text: str
    hash: str
    provenance: Provenance
    interpreter: str = "/bin/bash"
    options: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    files: tuple[FileWrite, ...] = ()
    removes: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    origins: tuple[LineOrigin, ...] = ()
    directories: tuple[Mapping[str, str], ...] = ()
    before: tuple[CaptureCommand, ...] = ()
    after: tuple[CaptureCommand, ...] = ()
    sources: tuple[Mapping[str, Any], ...] = ()


class Severity(StrEnum):
    """How much a finding weighs: errors refuse the script."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the validator has to say about one place (1-based line and column; line 0: about no line) of a text.

    `origin` is the template's ``file:line`` that the place was rendered from, `keys` are the manifest's keys whose
    values are inserted there.
    """

    rule: str
    severity: Severity
    message: str
    line: int
    column: int = 1
    source: str = "policy"
    excerpt: str = ""
    hint: str | None = None
    allowed: bool = False
    origin: str | None = None
    keys: tuple[str, ...] = ()


class ChangeAction(StrEnum):
    """What happened to a path."""

    CREATED = "created"
    MODIFIED = "modified"
    DELETED = "deleted"
    APPENDED = "appended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One changed path, escaped (see :func:`escape_path`).

    `kind`: file, directory, symlink, fifo, socket, block, char. `aspects` names what differs: content, mode, owner,
    mtime, target, xattr, type.
    """

    path: str
    action: ChangeAction
    kind: str
    aspects: tuple[str, ...] = ()
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSet:
    """What a script did, as a person reads it, and every path.

    `packages`: ``{name, action: installed|removed|upgraded, version, before}`` · `users`/`groups`:
    ``{name, id, action}`` · `units`: ``{name, action, enabled, kind}`` · `cron`: files of cron,
    ``{path, action}`` · `kernel`: what files say of it,
    ``{kind: module|modprobe|sysctl, name, action, value, before, path}`` · `dropped`: paths left out by
    policy with the reason · `requested`: service actions that the script asked for and that were recorded
    instead of carried out (``{verb, unit}``) · `outside`: what it did that is no file on a disk, and of which nothing
    is committed or taken back: ``{kind: process|memory|connection|mount|..., what, count, stays}`` · `edits`:
    configuration files that somebody edited since a run wrote them and that this writes over or removes: ``{path,
    run_id, removed, found, changed_ns, diffs}`` · `notes`: sentences that a person should read before saying yes ·
    `tier`: how well it can be taken back once it is committed, with the `tier_reason` why not exactly; approximate
    where the script ran in a clone.
    """

    changes: tuple[Change, ...] = ()
    packages: tuple[Mapping[str, Any], ...] = ()
    users: tuple[Mapping[str, Any], ...] = ()
    groups: tuple[Mapping[str, Any], ...] = ()
    units: tuple[Mapping[str, Any], ...] = ()
    cron: tuple[Mapping[str, Any], ...] = ()
    kernel: tuple[Mapping[str, Any], ...] = ()
    requested: tuple[Mapping[str, Any], ...] = ()
    outside: tuple[Mapping[str, Any], ...] = ()
    dropped: tuple[Mapping[str, Any], ...] = ()
    edits: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    bytes_added: int = 0
    tier: Tier = Tier.EXACT
    tier_reason: str | None = None

    def count(self, action: ChangeAction) -> int:
        """Count the changes of one action."""
        return sum(1 for change in self.changes if change.action is action)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service of an integration. `argv`, `user`, `environment_file`, `environment`: where no init system works.

    `listens`: ports that it opens (``tcp/9100``).
    """

    name: str
    argv: tuple[str, ...] = ()
    user: str = "root"
    environment_file: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    directories: tuple[Mapping[str, str], ...] = ()
    exe: str | None = None
    listens: tuple[str, ...] = ()
    reload: str | None = None
    start: bool = True
    sysvinit: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectCommand:
    """A command on the running target, without a shell. `stdin`: what it reads.

    A probe has `stdout_contains`: ending with 0 it tells that the effect is there, or, where the text is missing, that
    it is not; any other ending tells nothing yet, and it is asked again until `timeout_s` is over.
    """

    argv: tuple[str, ...]
    stdin: str | None = None
    timeout_s: float = 30.0
    stdout_contains: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What an integration does beyond files. `kind`: compensated, declared, irreversible.

    Without `do` there is nothing to carry out. With `gone` the aim is that the probe does not find it: `do` takes away
    what an earlier transaction made, and nothing else.
    """

    kind: str
    description: str
    id: str = ""
    do: EffectCommand | None = None
    undo: EffectCommand | None = None
    probe: EffectCommand | None = None
    gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Exact statement about the world.

    `kind`: file, package, unit, process, port, http, metric, tcp, command. `spec` by kind is described in
    ``docs/integrations.md`` and checked by the manifest's schema. Polled until it holds or `timeout_s` is over.
    """

    id: str
    kind: str
    spec: Mapping[str, Any]
    description: str = ""
    timeout_s: float = 10.0


class CheckStatus(StrEnum):
    """Outcome of a check.

    `error` means that it could not be carried out, which is not a pass; `not-applicable` that there is nothing here
    which it could be about: that is no failure, and counts as no pass.
    """

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    NOT_APPLICABLE = "not-applicable"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What a check saw."""

    id: str
    kind: str
    status: CheckStatus
    observed: str
    expected: str
    description: str = ""
    duration_s: float = 0.0
    attempts: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What is installed now or was before. `run_id` identifies it; `live` says whether it is in force.

    `ended_by` is the run by which it is not: one that rolled it back, removed it, or came after it.
    """

    target: str
    integration: str
    run_id: str
    parameter_hash: str
    parameters: Mapping[str, Any]
    manifest_version: str
    manifest_hash: str
    transaction: str | None
    live: bool
    created_at: float
    ended_by: str | None = None
