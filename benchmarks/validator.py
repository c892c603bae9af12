"""How fast scripts are validated: lines per second of the whole validator, of its policy, and of shellcheck alone.

Run it with ``python -m benchmarks.validator [--lines N] [--json]``. The script is made of the harmless examples and
the shipped templates, repeated.
"""

from __future__ import annotations

import argparse
import re
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._report import Figure, machine, remark, show
from workflow_agent.scripts import validate_script
from workflow_agent.scripts._programs import shellcheck_findings
from workflow_agent.scripts.policy import analyse

if TYPE_CHECKING:
    from collections.abc import Callable

_ROUNDS = 5
_EXAMPLES = Path(__file__).parents[1] / "tests" / "examples" / "scripts"


def _script(lines: int) -> str:
    parts = [path.read_text(encoding="utf-8") for path in sorted((_EXAMPLES / "golden").glob("*.sh"))]
    parts += re.split(
        r"^### .*\n", (_EXAMPLES / "harmless" / "all.txt").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    block = "\n".join(parts)
    return block * max(1, round(lines / block.count("\n")))


def _lines_per_second(check: Callable[[str], object], text: str) -> float:
    rounds = []
    for _ in range(_ROUNDS):
        before = time.perf_counter()
        check(text)
        rounds.append(time.perf_counter() - before)
    return text.count("\n") / statistics.median(rounds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    text = _script(options.lines)
    count = text.count("\n")
    remark(f"{machine()}; a script of {count} lines, median of {_ROUNDS}")
    checks: list[tuple[str, str, Callable[[str], object]]] = [
        ("validate", "workflow-agent", validate_script),
        ("policy only", "workflow-agent", analyse),
        ("shellcheck only", "shellcheck", shellcheck_findings),
    ]
    figures = [
        Figure(name=name, subject=subject, value=_lines_per_second(check, text), unit="lines/s", n=count)
        for name, subject, check in checks
    ]
    show(figures, as_json=options.json)


if __name__ == "__main__":
    main()
