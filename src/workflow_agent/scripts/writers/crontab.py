r"""Files for ``/etc/cron.d``: ``{"environment": {NAME: value}, "jobs": [{"schedule", "user", "command"}]}``.

`schedule` is five fields or ``@daily`` and the like. `command` is a list of words, quoted for sh; ``%``, which
cron turns into a line end, is written ``\%``. A text is possible if it has plain words only.

Source: crontab(5) of Debian's cron; cron's do_command.c for ``%``.
"""

from __future__ import annotations

import re
import shlex
from typing import Any

from workflow_agent.model.errors import InternalError, ValidationError
from workflow_agent.scripts.writers.values import one_line, scalar_text

__all__ = ["expect", "read", "write"]

#: Shortest limit among the usual implementations. Source: cron's MAX_COMMAND.
_MAX_COMMAND = 998
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_USER = re.compile(r"[a-z_][a-z0-9_-]*")
_PLAIN_COMMAND = re.compile(r"/[A-Za-z0-9_./:,@+= -]*")
_NICKNAMES = frozenset(["@reboot", "@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"])
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
#: Lowest and highest number, and names, of the five fields.
_FIELDS: tuple[tuple[int, int, list[str]], ...] = (
    (0, 59, []),
    (0, 23, []),
    (1, 31, []),
    (1, 12, _MONTHS),
    (0, 7, _DAYS),
)


def write(values: Any) -> str:
    """Write the variables, then one line per job."""
    meant = expect(values)
    lines = [f'{name}="{text}"' for name, text in meant["environment"].items()]
    lines += [f"{job['schedule']} {job['user']} {_command_text(job['command'])}" for job in meant["jobs"]]
    return "".join(f"{line}\n" for line in lines)


def expect(values: Any) -> dict[str, Any]:
    """Give the normal form: texts, schedules with single blanks, commands as lists of words."""
    if not isinstance(values, dict) or set(values) - {"environment", "jobs"}:
        raise ValidationError("a `cron` file needs `jobs` and, if wanted, `environment`")
    environment, jobs = values.get("environment", {}), values.get("jobs", [])
    if not isinstance(environment, dict) or not isinstance(jobs, list):
        raise ValidationError("`environment` is a mapping and `jobs` a list")
    return {
        "environment": {name: _variable(name, value) for name, value in environment.items()},
        "jobs": [_job(job, f"jobs[{index}]") for index, job in enumerate(jobs)],
    }


def _variable(name: str, value: Any) -> str:
    if not _NAME.fullmatch(name):
        raise ValidationError(f"{name!r} is not a variable's name", where=name)
    text = one_line(scalar_text(value, name), name)
    if '"' in text or "'" in text or "\\" in text:
        raise ValidationError("cron has no escapes: a value cannot contain quotes or `\\`", where=name)
    return text


def _job(job: Any, where: str) -> dict[str, Any]:
    if not isinstance(job, dict) or set(job) != {"schedule", "user", "command"}:
        raise ValidationError("a job has `schedule`, `user` and `command`", where=where)
    schedule, user = scalar_text(job["schedule"], where), scalar_text(job["user"], where)
    if not _USER.fullmatch(user):
        raise ValidationError("a job's user is not a user's name", where=where)
    words = _words(job["command"], where)
    if len(_command_text(words).encode()) > _MAX_COMMAND:
        raise ValidationError(f"a command is longer than {_MAX_COMMAND} bytes, which cron cuts", where=where)
    return {"schedule": _schedule(schedule, where), "user": user, "command": words}


def _schedule(text: str, where: str) -> str:
    if text in _NICKNAMES:
        return text
    fields = text.split(" ")
    valid = len(fields) == len(_FIELDS) and all(
        _field(field.lower(), low, high, names) for field, (low, high, names) in zip(fields, _FIELDS, strict=True)
    )
    if not valid:
        raise ValidationError("a schedule is not valid", where=where, hint="five fields, or @daily and the like")
    return text


def _field(field: str, low: int, high: int, names: list[str]) -> bool:
    return all(_range(part, low, high, names) for part in field.split(","))


def _range(part: str, low: int, high: int, names: list[str]) -> bool:
    base, slash, step = part.partition("/")
    if slash and not (re.fullmatch(r"[0-9]{1,2}", step) and int(step) and (base == "*" or "-" in base)):
        return False
    if base == "*" or base in names:
        return True
    ends = base.split("-")
    if len(ends) > 2 or not all(re.fullmatch(r"[0-9]{1,2}", end) for end in ends):  # noqa: PLR2004 - a pair
        return False
    numbers = [int(end) for end in ends]
    return low <= numbers[0] <= numbers[-1] <= high


def _words(command: Any, where: str) -> list[str]:
    if isinstance(command, str):
        if not _PLAIN_COMMAND.fullmatch(command):
            raise ValidationError(
                "a command as one text may have plain words only", where=where, hint="give it as a list of words"
            )
        return command.split()
    if not isinstance(command, list) or not command:
        raise ValidationError("a command is a list of words", where=where)
    words = [one_line(scalar_text(word, where), where) for word in command]
    if not words[0].startswith("/"):
        raise ValidationError("a command begins with the absolute path of a program", where=where)
    if any(re.search(r"\\%", word) for word in words):
        raise ValidationError("cron cannot take `\\` followed by `%`", where=where)
    return words


def _command_text(words: list[str]) -> str:
    return shlex.join(words).replace("%", "\\%")


def read(text: str) -> dict[str, Any]:
    """Read what `write` wrote, the way cron and then sh would."""
    environment: dict[str, str] = {}
    jobs: list[dict[str, Any]] = []
    for line in text.splitlines():
        variable = re.fullmatch(r'([A-Za-z_][A-Za-z0-9_]*)="([^"]*)"', line)
        if variable and not jobs:
            environment[variable[1]] = variable[2]
            continue
        fields = 1 if line.startswith("@") else len(_FIELDS)
        parts = line.split(" ", fields + 1)
        if len(parts) != fields + 2:
            raise InternalError("a cron file has a line that is no job")
        command = shlex.split(parts[-1].replace("\\%", "%"))
        jobs.append({"schedule": " ".join(parts[:fields]), "user": parts[fields], "command": command})
    return {"environment": environment, "jobs": jobs}
