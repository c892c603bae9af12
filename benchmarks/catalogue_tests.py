"""The tests of the catalogue's integrations as a table: the section `Tests` of ``docs/catalogue.md``.

``python -m benchmarks.catalogue_tests PAGE FILE... [--load TEXT]`` where each file is what ``workflow-agent
integrations test NAME --json`` wrote. Nothing is measured here. Rows that the page has stay, but for what the files
tell anew; of several files about one integration, target and kind the last one counts.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_agent.testing.bench.outcomes import REFUSED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["HEADING", "main", "section"]

#: The section is the last one of the page.
HEADING = "## Tests"
_KINDS = ("install", "idempotence", "verify", "negative", "upgrade", "rollback", "residue", "crash")
_LEFT = "`uninstall --purge` leaves"
_SECTION = """{heading}

Written on {date} by `python -m benchmarks.catalogue_tests` from what `workflow-agent integrations test NAME --json`
said on fresh hosts of Debian 12; rows that were not tried anew stay. Numbers are seconds of a kind of tests with the
target that it makes, {load};
a dash stands for what was not tried. `rollback` is passed where 0 paths, users,
packages and processes differ from before. `plan`, `lint` and `render` are tried too. `failed: …` in a cell is what an
integration must end with on these targets, before anything is changed; 0 paths differed. After `uninstall --purge`
remains what the last column says: paths in addition + paths not as before, users, packages that came along.

{table}
"""


def section(replies: Iterable[Mapping[str, Any]], load: str, page: str = "") -> str:  # Any: JSON values
    """Write the section from replies of the command (the whole JSON objects), and from the rows that a page has.

    Args:
        replies: What is told anew.
        load: What else ran meanwhile.
        page: The text of the page of before.
    """
    rows = _rows(page)
    for reply in replies:
        for item in reply["data"]["items"]:
            if item["target"] is not None and item["verdict"] != "skipped":
                row = rows[reply["data"]["integration"], item["target"]]
                row[item["kind"]] = _cell(item)
                if item["kind"] == "residue":
                    row[_LEFT] = str(item["message"]).removeprefix("left: ")
    lines = [
        f"| integration | target | {' | '.join(_KINDS)} | {_LEFT} |",
        f"| --- | --- | {' | '.join('---:' for _ in _KINDS)} | --- |",
    ]
    for (name, target), row in sorted(rows.items()):
        lines.append(f"| {name} | {target} | {' | '.join(row.get(column, '-') for column in (*_KINDS, _LEFT))} |")
    return _SECTION.format(heading=HEADING, load=load, date=f"{datetime.now(tz=UTC):%Y-%m-%d}", table="\n".join(lines))


def _rows(page: str) -> defaultdict[tuple[str, str], dict[str, str]]:
    """Read the rows of the section of a page: integration and target, and the cells by their columns."""
    found: defaultdict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for line in page.partition(HEADING)[2].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == len(_KINDS) + 3 and cells[0] not in {"integration", "---"}:
            found[cells[0], cells[1]] = dict(zip((*_KINDS, _LEFT), cells[2:], strict=True))
    return found


def _cell(item: Mapping[str, Any]) -> str:
    if item["verdict"] != "passed":
        return f"**{item['verdict']}**"
    # "failed: capability missing: NAME needs CAPABILITY; 0 paths differ" without the name
    message = str(item["message"])
    return ": ".join(message.split(": ")[:2]) if message.startswith(REFUSED) else f"{item['seconds']:.0f}"


def main() -> None:
    """Write the section into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--load", default="on a machine that did nothing else", help="what else ran meanwhile")
    options = parser.parse_args()
    replies = [json.loads(file.read_text(encoding="utf-8")) for file in options.files]
    page = options.page.read_text(encoding="utf-8")
    before = page.partition(HEADING)[0]
    options.page.write_text(before + section(replies, options.load, page), encoding="utf-8")


if __name__ == "__main__":
    main()
