"""How long a page of documentation takes from its text to its facts, as CPU time of this process.

Run it with ``python -m benchmarks.knowledge [--json]``. The pages are those of `tests/corpus/knowledge`; each is read
once before, so that modules and patterns are loaded.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from benchmarks._report import Figure, machine, remark, show
from workflow_agent.knowledge import read_page

_CORPUS = Path(__file__).parents[1] / "tests" / "corpus" / "knowledge"
_ROUNDS = 5


def _milliseconds(page: Path) -> float:
    text, address = page.read_text(encoding="utf-8"), page.as_uri()
    read_page(text, address)
    times = []
    for _ in range(_ROUNDS):
        started = time.process_time()
        read_page(text, address)
        times.append(time.process_time() - started)
    return 1000 * statistics.median(times)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    remark(machine())
    pages = sorted(
        path for path in _CORPUS.iterdir() if path.suffix in {".md", ".mdx", ".html"} and path.stem != "README"
    )
    took = [_milliseconds(page) for page in pages]
    figures = [
        Figure(name="a page, median", subject="knowledge", value=statistics.median(took), unit="ms", n=len(took)),
        Figure(name="a page, longest", subject="knowledge", value=max(took), unit="ms", n=len(took)),
    ]
    show(figures, as_json=options.json)


if __name__ == "__main__":
    main()
