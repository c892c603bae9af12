"""Where a manifest may put a secret, so that nobody reads it who should not. A manifest that breaks this is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workflow_agent.integrations.kinds import FileFormat
from workflow_agent.integrations.problems import KeyPath, ManifestProblem
from workflow_agent.integrations.soundness import expression_texts, references_in
from workflow_agent.model.errors import ExpressionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workflow_agent.integrations.manifest import Manifest

__all__ = ["secret_places"]

#: Files of these formats are read by everybody, or their values are shown: units, crontabs; templates are text.
_OPEN_FORMATS: Final = frozenset({FileFormat.SYSTEMD, FileFormat.CRON, FileFormat.NGINX})
_OTHERS: Final = 0o077
_ALLOWED: Final = (
    "a file's `values` or `content`, what an effect's `do` or a tcp check sends, the request headers of an http "
    "check, the community of an snmp check"
)


def secret_places(manifest: Manifest) -> list[ManifestProblem]:
    """Find secrets in places where others could read them, and files with secrets that others could read.

    Conditions may ask whether a secret is given: they see that there is one, and not its value.
    """
    problems: list[ManifestProblem] = []
    holders: set[int] = set()
    for path, name in _uses(manifest):
        problem = _problem(manifest, path, name)
        if problem is not None:
            problems.append(problem)
        elif path[0] == "files" and isinstance(path[1], int):
            holders.add(path[1])
    return problems + [problem for index in sorted(holders) for problem in _mode(manifest, index)]


def _uses(manifest: Manifest) -> Iterator[tuple[KeyPath, str]]:
    """Give each text that becomes (or holds) the value of a secret, with the secret's name."""
    secrets = {f"parameters.{name}": name for name, declared in manifest.parameters.items() if declared.secret}
    for path, text, bare in expression_texts(manifest) if secrets else ():
        try:
            names = references_in(text, bare=bare)
        except ExpressionError:
            continue  # told by `soundness`
        if not bare and not _only_asks(path):
            yield from ((path, secrets[name]) for name in sorted(names & secrets.keys()))


def _only_asks(path: KeyPath) -> bool:
    """Tell whether a place takes truth values only, which tell whether a secret is given."""
    match path:
        case ("services", int(), "sysvinit"):
            return True
        case _:
            return False


def _problem(manifest: Manifest, path: KeyPath, name: str) -> ManifestProblem | None:
    if _is_private(manifest, path):
        return None
    where = "where others can read it"
    match path:
        case ("actions", *_):
            hint = f"the template says `{{{{ secret('{name}') }}}}`, the path of a file that holds it"
            return ManifestProblem(
                path=path, code="secret-place", message=f"puts the secret `{name}` in a script", hint=hint
            )
        case ("files", int(index), "values" | "content", *_):
            where = f"in a `{manifest.files[index].format}` file, whose values others can read"
        case ("effects" | "negative_checks", *_):
            where = "where a rollback, which has no secrets, would need it"
    return ManifestProblem(
        path=path, code="secret-place", message=f"puts the secret `{name}` {where}", hint=f"it may stand in {_ALLOWED}"
    )


def _is_private(manifest: Manifest, path: KeyPath) -> bool:
    match path:
        case ("files", int(index), "values" | "content", *_):
            return manifest.files[index].format not in _OPEN_FORMATS
        case ("effects", int(), "do", "stdin"):
            return True
        case (
            ("checks", int(), "exchange", int(), "send")
            | ("checks", int(), "request", *_)
            | ("checks", int(), "community")
        ):
            return True
        case _:
            return False


def _mode(manifest: Manifest, index: int) -> Iterator[ManifestProblem]:
    file = manifest.files[index]
    if "mode" in file.model_fields_set and int(file.mode, 8) & _OTHERS:
        yield ManifestProblem(
            path=("files", index, "mode"),
            code="secret-mode",
            message=f"is {file.mode}: others could read the secret in {file.path}",
            hint="leave `mode` out, or say 0600 or 0400",
        )
