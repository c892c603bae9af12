"""Templates to text: shell scripts with every value quoted, nginx files with every value escaped, text files.

Errors name the template's file and line. A value that is refused is never repeated in a message.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_agent.model.data import plain
from workflow_agent.model.errors import ParameterError, ValidationError, WorkflowAgentError
from workflow_agent.model.identity import content_hash
from workflow_agent.model.system import FileWrite, Provenance, Script, Severity
from workflow_agent.scripts._lookup import find_template, read_template
from workflow_agent.scripts._quoting import plain_context, quote_for_nginx, quote_for_shell, write_as_text
from workflow_agent.scripts.template_lint import lint_template
from workflow_agent.security.marks import marked_names

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from workflow_agent.model.system import LineOrigin

__all__ = ["render_file", "render_script", "script_hash"]

_QUOTE: Mapping[str, Callable[[Any], str]] = {
    "sh": quote_for_shell,
    "nginx": quote_for_nginx,
    "text": write_as_text,
}


def render_script(
    template: str,
    context: Mapping[str, Any],
    *,
    search: Sequence[Path],
    integration: str,
    action: str,
    version: str,
    parameters: Mapping[str, Any] | None = None,
    files: Sequence[FileWrite] = (),
    removes: Sequence[str] = (),
    multiline: Collection[str] = (),
    blocks: Sequence[tuple[str, Mapping[str, Any]]] = (),
    around: Mapping[str, Any] | None = None,
) -> Script:
    """Render a shell template; everything that it interpolates becomes quoted words.

    Args:
        template: Name without suffix, such as ``apt/install``.
        context: JSON values by name.
        search: Template folders in order, see :func:`template_folders`.
        integration: For the provenance.
        action: For the provenance, such as ``install``.
        version: The manifest's version, for the provenance.
        parameters: For the provenance; secrets as references.
        files: Written after the script, part of the hash.
        removes: Paths that go after the script, part of the hash.
        multiline: Dotted paths in the context whose values may contain line ends and tabs.
        blocks: Templates with their contexts, whose text comes before; none of them ends the script.
        around: What else of a script there is: directories, before, after, part of the hash; sources.

    Raises:
        NotFoundError: no such template.
        ParameterError: a value is missing or cannot be interpolated.
        ValidationError: the template is wrong, unsafe, or passes a limit.
    """
    path = find_template(template, search)
    source = read_template(path)
    text, secrets, origins = _render(
        path, plain_context(context, multiline), name=template, search=search, language="sh"
    )
    for name, values in reversed(blocks):
        first, more, lines = _render(
            find_template(name, search), plain_context(values, ()), name=name, search=search, language="sh"
        )
        first = first if first.endswith("\n") else f"{first}\n"
        added = first.count("\n")
        origins = (*lines, *(replace(one, first=one.first + added) for one in origins))
        text, secrets = first + text, tuple(sorted({*secrets, *more}))
    others = dict(around or {})
    provenance = Provenance(
        integration=integration,
        action=action,
        version=version,
        template=template,
        template_hash=hashlib.sha256(source.encode()).hexdigest(),
        parameters=dict(parameters or {}),
    )
    return Script(
        text=text,
        hash=script_hash(text, files, removes, others),
        provenance=provenance,
        files=tuple(files),
        removes=tuple(removes),
        secrets=secrets,
        origins=origins,
        **others,
    )


def render_file(
    template: str,
    context: Mapping[str, Any],
    *,
    search: Sequence[Path],
    language: str = "nginx",
) -> str:
    """Render a configuration file that no typed writer covers, values escaped for its `language`.

    The template is ``NAME.LANGUAGE.j2`` in the search folders. Known languages: ``nginx``, and ``text``,
    where a value stands as it is, but cannot end its line.

    Raises:
        NotFoundError: no such template.
        ParameterError: a value is missing or cannot be written in this language.
        ValidationError: the template is wrong or passes a limit, or the language is unknown.
    """
    if language not in _QUOTE or language == "sh":
        raise ValidationError(f"there is no escaping for `{language}` files", hint="known: nginx, text")
    path = find_template(template, search, language=language)
    text, *_ = _render(path, plain_context(context, ()), name=template, search=search, language=language)
    return text


def script_hash(
    text: str,
    files: Sequence[FileWrite] = (),
    removes: Sequence[str] = (),
    around: Mapping[str, Any] | None = None,
) -> str:
    """Identity of a script: SHA-256 (hex) over its text, the files written, what goes after it and what runs around."""
    rows = [[file.path, file.format, file.content, file.mode, file.owner] for file in files]
    more: dict[str, Any] = {"removes": list(removes)} if removes else {}
    for name in ("directories", "before", "after"):
        items = (around or {}).get(name) or ()
        more |= {name: plain(list(items))} if items else {}
    return content_hash({"text": text, "files": rows} | more)


def _refuse_unsafe(source: str, where: str) -> None:
    for finding in lint_template(source, where):
        if finding.severity is Severity.ERROR:
            raise ValidationError(
                f"template is not safe: {finding.message}",
                where=f"{where}:{finding.line}",
                hint=finding.hint,
                details={"rule": finding.rule},
            )


def _render(
    path: Path, context: Mapping[str, Any], *, name: str, search: Sequence[Path], language: str
) -> tuple[str, tuple[str, ...], tuple[LineOrigin, ...]]:
    """Give the text, the names of the secrets whose paths are in it, and where its lines came from."""
    from workflow_agent.scripts._line_map import LineMap, template_lines  # noqa: PLC0415 - late: with the next
    from workflow_agent.scripts._sandbox import TemplateEnvironment  # noqa: PLC0415 - late: 40 ms

    check = _refuse_unsafe if language == "sh" else None
    secrets = marked_names(context.get("parameters", {}))
    environment = TemplateEnvironment(
        search=search, language=language, finalize=_QUOTE[language], check=check, secrets=secrets
    )
    lines = LineMap(lambda file: template_lines(environment.parse(read_template(Path(file)))))
    try:
        text = _collect(lines.follow(environment.get_template(name).generate(context)))
        return text, tuple(sorted(environment.used_secrets)), lines.origins()
    except WorkflowAgentError as error:
        error.where = error.where or _place(error, path)
        raise
    except Exception as error:  # border: whatever a template can provoke in jinja2
        raise _translated(error, path) from error


def _collect(chunks: Any) -> str:
    from workflow_agent.scripts._sandbox import MAX_OUTPUT  # noqa: PLC0415 - loaded already by the caller

    parts: list[str] = []
    size = 0
    for chunk in chunks:
        size += len(chunk.encode("utf-8", "surrogatepass"))
        if size > MAX_OUTPUT:
            raise ValidationError(f"the rendered text is larger than {MAX_OUTPUT} bytes")
        parts.append(chunk)
    return "".join(parts)


def _translated(error: Exception, path: Path) -> WorkflowAgentError:
    from jinja2 import UndefinedError  # noqa: PLC0415 - loaded already by the caller

    kind = ParameterError if isinstance(error, UndefinedError) else ValidationError
    what = "a value is missing" if isinstance(error, UndefinedError) else "the template cannot be rendered"
    message = getattr(error, "message", None) or str(error) or type(error).__name__
    return kind(what, where=_place(error, path), cause=message)


def _place(error: BaseException, path: Path) -> str:
    """Find the template line in the traceback, which jinja2 maps back to the template's own lines."""
    line = getattr(error, "lineno", None)
    where = str(path)
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.endswith(".j2"):
            where, line = trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next
    return f"{where}:{line}" if line else where
