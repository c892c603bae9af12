"""Help as it is asked for most often, written beforehand: what says the same each time needs no Typer to be loaded.

``python -m workflow_agent.cli.help_pages`` lets Typer write the pages anew; a test compares them. They are for
terminals of 80 columns and more, for all of which Typer writes the same; for narrower ones it is asked.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PAGES", "made_pages", "page_for", "print_page"]

#: Words of each command, and its page.
PAGES: Final = os.path.join(os.path.dirname(__file__), "help_pages.json")  # noqa: PTH118, PTH120  # pathlib costs 5 ms
_WIDTH: Final = 80


def page_for(arguments: list[str]) -> str | None:
    """Give the page that a command line asks for with nothing but ``--help`` and words; else None: Typer finds out."""
    words = [argument for argument in arguments if argument != "--help"]
    if len(words) == len(arguments) or any(word.startswith("-") for word in words) or _columns() < _WIDTH:
        return None
    try:
        with open(PAGES, encoding="utf-8") as file:  # noqa: PTH123  # as above
            page: str | None = json.load(file).get(" ".join(words))
    except (OSError, ValueError):  # it would only have been quicker
        return None
    return page


def print_page(page: str) -> int:
    """Print a page; gives the exit code, which is 0 for who reads no further as well."""
    try:
        print(page, flush=True)  # noqa: T201  # it is what was asked for
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _columns() -> int:
    """Tell how wide the terminal is, as ``shutil.get_terminal_size`` does, which costs 4 ms to load."""
    try:
        if (columns := int(os.environ.get("COLUMNS", "0"))) > 0:
            return columns
    except ValueError:
        pass
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or _WIDTH  # type: ignore[union-attr]
    except (AttributeError, ValueError, OSError):  # no terminal
        return _WIDTH


def made_pages(root: Any) -> dict[str, str]:  # Any: Typer's own classes are private
    """Let Typer write the page of every command and group."""
    from workflow_agent.cli.grammar import help_text  # noqa: PLC0415  # late: typer

    return {" ".join(words): str(help_text(root, [*words, "--help"])) for words in _named(root)}


def _named(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield words
    for name, child in getattr(command, "commands", {}).items():
        yield from _named(child, (*words, name))


def _main() -> None:
    import typer  # noqa: PLC0415  # late: this file is also read for a page

    from workflow_agent.cli.tree import build_app  # noqa: PLC0415

    os.environ["COLUMNS"] = str(_WIDTH)
    with open(PAGES, "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump(made_pages(typer.main.get_command(build_app())), file, ensure_ascii=False, indent=0, sort_keys=True)
        file.write("\n")


if __name__ == "__main__":
    _main()
