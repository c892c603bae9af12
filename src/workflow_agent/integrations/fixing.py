"""What lint can put right by itself: words that are clearly meant otherwise, and the README.

A word is replaced where the nearest known word was found, exactly at its place in the text. Everything else is the
author's decision.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from workflow_agent.integrations.folder_files import MANIFEST_FILE
from workflow_agent.integrations.formatting import formatted
from workflow_agent.integrations.loading import load_manifest, parse_manifest, place_of, read_document
from workflow_agent.integrations.readme_page import readme
from workflow_agent.model.errors import ManifestError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from workflow_agent.authoring.yaml_source import YamlDocument
    from workflow_agent.integrations.problems import ManifestProblem

__all__ = ["build_readme", "fix_folder", "fix_of", "format_folder"]

_MEANT = re.compile(r"did you mean `([^`]+)`")
_WORDS: Final = frozenset({"unknown-key", "choice"})
_README: Final = frozenset({"readme-missing", "readme-stale"})
_ROUNDS = 5


def fix_of(code: str, hint: str | None) -> str | None:
    """Say what `lint --fix` would do about a finding; None when that is for the author to decide."""
    if code in _README:
        return "write README.md anew"
    meant = _MEANT.search(hint or "")
    return f"replace it by `{meant[1]}`" if code in _WORDS and meant else None


def fix_folder(folder: Path) -> list[str]:
    """Put right what can be; gives a sentence for each change.

    Raises:
        NotFoundError: the folder has no manifest.
    """
    done: list[str] = []
    for _ in range(_ROUNDS):  # a word that is right now may show the next problem
        try:
            document = read_document(folder)
        except ManifestError:
            return done
        manifest, problems = parse_manifest(document.data)
        changed = _replace_words(folder, document, problems)
        done += changed
        if not changed:
            break
    done += [f"{MANIFEST_FILE}: formatted"] if format_folder(folder) else []
    if manifest is not None and not problems and build_readme(folder):
        done.append("README.md: written anew")
    return done


def _replace_words(folder: Path, document: YamlDocument, problems: Iterable[ManifestProblem]) -> list[str]:
    file = folder / MANIFEST_FILE
    lines = file.read_text(encoding="utf-8").split("\n")
    edits = {}
    for problem in problems:
        meant = _MEANT.search(problem.hint or "")
        if problem.code in _WORDS and meant is not None and problem.path:
            is_key = problem.code == "unknown-key"
            place = document.where(problem.path) if is_key else document.where_value(problem.path)
            word = str(problem.path[-1]) if is_key else _value_at(document, problem)
            edits[place_of(place)] = (word, meant[1])
    done = []
    for (line, column), (word, meant_word) in sorted(edits.items(), reverse=True):
        text = lines[line - 1]
        start = column - 1 + (text[column - 1 : column] in {'"', "'"})
        if text[start : start + len(word)] == word:
            lines[line - 1] = text[:start] + meant_word + text[start + len(word) :]
            done.append(f"{MANIFEST_FILE}:{line}: `{word}` became `{meant_word}`")
    if done:
        file.write_text("\n".join(lines), encoding="utf-8")
    return done[::-1]


def _value_at(document: YamlDocument, problem: ManifestProblem) -> str:
    value = document.data
    for part in problem.path:
        value = value[part]
    return str(value)


def format_folder(folder: Path, *, write: bool = True) -> bool:
    """Bring a manifest into the one form; says whether it was not in it.

    Raises:
        NotFoundError: the folder has no manifest.
        ManifestError: it is no YAML.
    """
    read_document(folder)
    file = folder / MANIFEST_FILE
    # bytes: reading as text would hide what line ends there are
    text = file.read_bytes().decode("utf-8")
    result = formatted(text, source=str(file))
    if result != text and write:
        file.write_text(result, encoding="utf-8", newline="\n")
    return result != text


def build_readme(folder: Path, *, write: bool = True) -> bool:
    """Write README.md from the manifest; says whether it was another one.

    Raises:
        NotFoundError: the folder has no manifest.
        ManifestError: it is not valid.
    """
    page, file = readme(load_manifest(folder)), folder / "README.md"
    if file.is_file() and file.read_text(encoding="utf-8", errors="replace") == page:
        return False
    if write:
        file.write_text(page, encoding="utf-8")
    return True
