"""The tests of the catalogue's integrations as a table: the section `Tests` of ``docs/catalogue.md``.

``python -m benchmarks.catalogue_tests PAGE FILE... [--load TEXT]`` where each file is what ``workflow-agent
integrations test NAME --json`` wrote. Nothing is measured here; of several files about one integration and target the
last one counts.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["HEADING", "main", "section"]

#: The section is the last one of the page.
HEADING = "## Tests"
_KINDS = ("install", "idempotence", "verify", "negative", "upgrade", "rollback", "residue", "crash")
_SECTION = """{heading}

Written on {date} by `python -m benchmarks.catalogue_tests` from what `workflow-agent integrations test NAME --json`
said on fresh hosts of Debian 12. Numbers are seconds of a kind of tests with the target that it makes, {load};
a dash stands for what was not tried. `rollback` is passed where 0 paths, users,
packages and processes differ from before. `plan`, `lint` and `render` are tried too. After `uninstall --purge`
remains what the last column says: paths in addition + paths not as before, users, packages that came along.

{table}
"""


def section(replies: Iterable[Mapping[str, Any]], load: str) -> str:  # Any: JSON values
    """Write the section from replies of the command (the whole JSON objects); `load` says what else ran meanwhile."""
    found: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for reply in replies:
        for item in reply["data"]["items"]:
            if item["target"] is not None and item["verdict"] != "skipped":
                found[reply["data"]["integration"], item["target"]][item["kind"]] = item
    lines = [
        f"| integration | target | {' | '.join(_KINDS)} | `uninstall --purge` leaves |",
        f"| --- | --- | {' | '.join('---:' for _ in _KINDS)} | --- |",
    ]
    for (name, target), items in sorted(found.items()):
        cells = [_cell(items.get(kind)) for kind in _KINDS]
        residue = str(items["residue"]["message"]).removeprefix("left: ") if "residue" in items else "-"
        lines.append(f"| {name} | {target} | {' | '.join(cells)} | {residue} |")
    return _SECTION.format(heading=HEADING, load=load, date=f"{datetime.now(tz=UTC):%Y-%m-%d}", table="\n".join(lines))


def _cell(item: Mapping[str, Any] | None) -> str:
    if item is None:
        return "-"
    return f"{item['seconds']:.0f}" if item["verdict"] == "passed" else f"**{item['verdict']}**"


def main() -> None:
    """Write the section into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--load", default="on a machine that did nothing else", help="what else ran meanwhile")
    options = parser.parse_args()
    replies = [json.loads(file.read_text(encoding="utf-8")) for file in options.files]
    before = options.page.read_text(encoding="utf-8").partition(HEADING)[0]
    options.page.write_text(before + section(replies, options.load), encoding="utf-8")


if __name__ == "__main__":
    main()
