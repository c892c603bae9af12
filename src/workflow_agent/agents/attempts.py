"""The evidence of a failed attempt, in files of the run: what was said, what was staged, the error and its class."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["keep_attempt"]


def keep_attempt(folder: Path, step: str, attempt: int, evidence: dict[str, Any]) -> dict[str, Any]:
    """Write the evidence below ``attempts/STEP-N`` of a run's folder; gives what history keeps of it.

    ``output.log`` is copied there before another attempt writes it anew. It never fails: a full disk of ours must not
    hide why the script failed; ``folder`` is null then.
    """
    place = folder / "attempts" / f"{step}-{attempt}"
    kept: str | None = None
    with suppress(OSError):
        place.mkdir(parents=True, exist_ok=True)
        (place / "evidence.json").write_text(json.dumps(evidence, indent=1, sort_keys=True), encoding="utf-8")
        kept = str(place)
        with suppress(FileNotFoundError):
            shutil.copyfile(folder / "output.log", place / "output.log")
    staged = evidence.get("staged") or {}
    return {
        "step": step,
        "attempt": attempt,
        "class": evidence["failure"]["class"],
        "decision": evidence["failure"]["decision"],
        "evidence": evidence["failure"]["evidence"],
        "message": evidence["error"]["message"],
        "cause": evidence["error"]["cause"],
        "pause_s": (evidence["retry"] or {}).get("pause_s"),
        "staged": staged.get("count", 0),
        "folder": kept,
    }
