"""Facts from configuration: keys with values, files, ports, users; from units; from tables of settings and metrics."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.knowledge.facts import Fact, FactKind
from workflow_agent.knowledge.place import paths_in
from workflow_agent.knowledge.placeholders import has_placeholder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from workflow_agent.knowledge.place import PagePlace

__all__ = [
    "configuration_facts",
    "exposition_facts",
    "help_facts",
    "is_metric_name",
    "table_facts",
    "unit_facts",
]

_BLOCKS: Final = re.compile(r"^\s*(</?[A-Z]\w*[\s>]|[\w~/.*\" -]*\{\s*$|\w+\(.*\)|\*\.\*)", re.MULTILINE)
_HAPROXY: Final = re.compile(r"^(frontend|backend|listen|global|defaults)( [\w-]+)?\s*$", re.MULTILINE)
_SECTION: Final = re.compile(r"^\s*\[+\s*([^\]]+?)\s*\]+\s*$")
_ASSIGNED: Final = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][\w .-]*?)\s*=\s*(.*?)\s*$")
_DIRECTIVE: Final = re.compile(r"^\s*(-{0,2}[A-Za-z_][\w-]*)(?:\s+(\S.*?))?;?\s*$")
_REPOSITORY: Final = re.compile(r"(?m)^(baseurl|gpgkey|mirrorlist)\s*=\s*(https?://\S+)")
_NOTHING: Final = frozenset(
    {
        "",
        "-",
        "--",
        "none",
        "n/a",
        "na",
        "null",
        "empty",
        "unset",
        "required",
        "no default",
        "(none)",
        "\u2014",
        "\u2013",
    }
)
#: Keys whose value on a page is a sample.
_SECRET: Final = re.compile(r"(?i)(password|passwd|secret|token|api_?key|credentials?)$")
_KEYS: Final = re.compile(
    r"(?i)^(setting|option|key|name|variable|environment variable|flag|argument|directive|parameter|"
    r"property|env( var)?|command[- ]line flag)s?$"
)
_DEFAULTS: Final = re.compile(r"(?i)^default( values?)?s?$")
_DEFAULTS_TO: Final = re.compile(
    r"(?i)\bdefaults?(?: to| is| value is|:)\s*[`\"']?([^\s`\"'(),;]+?)[`\"'.]*(?=[\s,;)]|$)"
)
_MEANINGS: Final = re.compile(r"(?i)^(description|meaning|what it does|help|explanation|purpose)$|^$")
_METRICS: Final = re.compile(r"(?i)\bmetrics?\b")
_METRIC: Final = re.compile(r"^[a-zA-Z_:][\w:]*([._][\w:]+)+$")
_PORT: Final = re.compile(r"(?:^|[^\d.])(?:[\w.*\[\]:]*:)?(\d{2,5})$")
_LISTENS: Final = re.compile(
    r"(?i)(^|[._-])(\w*port|listen\w*|bind\w*|listen[._-]address|http[._-]listen|web\.listen-address|addr)$"
)
_REMOTE: Final = re.compile(
    r"(?i)\b(of the (\w+ )?(server|node|database|host|remote)|where to (reach|send)|upstream|remote|target"
    r"|backend|to connect)\b"
)
_REMOTE_HOST: Final = re.compile(r"(?i)^(host|hostname|server|db_host|pghost)$")
_FLAG_LINE: Final = re.compile(
    r"^\s{0,8}(?:-\w, )?(?P<flag>--(?:\[no-\])?[a-z][\w.-]+)(?:=(?P<default>\"[^\"]*\"|\S+))?(?=\s|$)"
)
#: So many lines with flags are the help of a program.
_FLAG_LINES: Final = 3
_LOWEST, _HIGHEST = 10, 65535


def configuration_facts(place: PagePlace) -> Iterator[Fact]:
    """Give the facts of a block of configuration."""
    text = place.element.text
    for path in paths_in(text):
        yield place.fact(FactKind.FILE, path, 0.8)
    repositories = _REPOSITORY.findall(text)
    for key, address in repositories:
        yield place.fact(FactKind.REPOSITORY, address, 0.9, use="key" if key == "gpgkey" else "packages")
    yield from _block_ports(place, text)
    if repositories or _is_compose(text):
        return
    for key, value in _settings(place):
        known = "" if has_placeholder(value) or _SECRET.search(key) else value
        yield place.fact(FactKind.SETTING, key, 0.75, default=known, quote=f"{key} {value}", said="sample")
        yield from _setting_facts(place, key, value)


def unit_facts(place: PagePlace) -> Iterator[Fact]:
    """Give the facts of a unit of systemd."""
    text = place.element.text
    for path in paths_in(text):
        yield place.fact(FactKind.FILE, path, 0.85)
    for user in re.findall(r"(?m)^User\s*=\s*([\w.-]+)\s*$", text):
        yield place.fact(FactKind.USER, user, 0.95)
    for line in re.findall(r"(?m)^ExecStart\s*=\s*(.*)$", text):
        for port in re.findall(
            r"--?(?:[\w-]+[.-])?(?:port|listen-address|listen|bind)[ =](?:[\w.\[\]:]*:)?(\d{2,5})\b", line
        ):
            yield place.fact(FactKind.PORT, port, 0.85, quote=line)


def table_facts(place: PagePlace) -> Iterator[Fact]:
    """Give the facts of a table of settings or of metrics."""
    rows = place.element.rows
    for path in {path for row in rows for cell in row for path in paths_in(cell)}:
        yield place.fact(FactKind.FILE, path, 0.7)
    header, body = [cell.strip() for cell in rows[0]], rows[1:]
    if _METRICS.search(header[0] if header else "") or (header and _under_metrics(place) and not _default_at(header)):
        for row in body:
            name = _metric_of(row[0]) if row else ""
            if name:
                yield place.fact(FactKind.METRIC, name, 0.9, quote=" ".join(row))
        return
    if header and _KEYS.match(header[0]):
        yield from _setting_rows(place, header, body)


def exposition_facts(place: PagePlace) -> Iterator[Fact]:
    """Give the metrics of a block in the form in which they are exposed, but for those that every program has."""
    for name in re.findall(r"(?m)^# TYPE ([A-Za-z_:][\w:]*) \w+\s*$", place.element.text):
        if not name.startswith(("go_", "process_", "promhttp_", "python_")):
            yield place.fact(FactKind.METRIC, name, 0.85, quote=name)


def help_facts(place: PagePlace) -> Iterator[Fact]:
    """Give the flags of a program's help with their defaults."""
    lines = [found for line in place.element.text.split("\n") if (found := _FLAG_LINE.match(line))]
    if len(lines) < _FLAG_LINES:
        return
    for found in lines:
        key = "--" + re.sub(r"^--(\[no-\])?", "", found["flag"])
        if key in {"--help", "--version", "--help-long", "--help-man"}:
            continue
        default = (found["default"] or "").strip("\"'")
        yield place.fact(FactKind.SETTING, key, 0.85, default=default, quote=found[0].strip(), said="help")
        yield from _setting_facts(place, key, default)


def _metric_of(cell: str) -> str:
    """Give the metric in a cell, which may be a query about it."""
    bare = _bare(cell)
    if is_metric_name(bare):
        return bare
    found = re.search(r"\b([a-z][a-z0-9]*(?:_[a-z0-9]+)+)(?=[\[{])", cell)
    return found[1] if found else ""


def is_metric_name(text: str) -> bool:
    """Tell whether a word is a whole name of a metric, not a prefix."""
    return bool(_METRIC.match(text)) and not text.endswith("_")


def _under_metrics(place: PagePlace) -> bool:
    return bool(place.element.sections and _METRICS.search(place.element.sections[-1]))


def _default_at(header: Sequence[str]) -> int | None:
    return next((number for number, title in enumerate(header) if _DEFAULTS.match(title)), None)


def _setting_rows(place: PagePlace, header: Sequence[str], body: Sequence[Sequence[str]]) -> Iterator[Fact]:
    default_at = _default_at(header)
    meaning_at = next((number for number, title in enumerate(header) if number and _MEANINGS.match(title)), None)
    remote = any(
        row and _REMOTE_HOST.match(_bare(row[0])) and "listen" not in " ".join(row[1:]).lower() for row in body
    )
    for row in body:
        key = _bare(row[0]) if row else ""
        if not key or " " in key.strip():
            continue
        meaning = row[meaning_at] if meaning_at is not None and meaning_at < len(row) else ""
        default = _default(row[default_at]) if default_at is not None and default_at < len(row) else ""
        if default_at is None and (said := _DEFAULTS_TO.search(meaning)):
            default = _default(said[1])
        known = "" if has_placeholder(default) else default
        quote = " ".join(row)
        yield place.fact(FactKind.SETTING, key, 0.9, default=known, meaning=meaning, quote=quote, said="table")
        if not remote and not _REMOTE.search(meaning):
            yield from _setting_facts(place, key, default)


def _bare(cell: str) -> str:
    return cell.strip().strip("*`_ ").split(",")[0].split("=")[0].strip()


def _default(cell: str) -> str:
    value = re.sub(r"^\*\*(.+)\*\*$", r"\1", cell.strip().strip("`").strip()).strip("\"'")
    return "" if value.lower() in _NOTHING else value


def _setting_facts(place: PagePlace, key: str, value: str) -> Iterator[Fact]:
    last = key.rsplit(".", 1)[-1] if not key.startswith("-") else key
    port = _PORT.search(f" {value.strip()}")
    if port and (_LISTENS.search(key) or _LISTENS.search(last)) and _LOWEST <= int(port[1]) <= _HIGHEST:
        yield place.fact(FactKind.PORT, port[1], 0.8, quote=f"{key} {value}")
    is_account = key.lower() in {"user", "-u", "--user"} or last.lower() in {"run as user", "run_as", "runas"}
    if is_account and re.fullmatch(r"[a-z_][\w-]*", value):
        yield place.fact(FactKind.USER, value, 0.8, quote=f"{key} {value}")
    if key == "-p" and value.isdigit():
        yield place.fact(FactKind.PORT, value, 0.7, quote=f"{key} {value}")


def _block_ports(place: PagePlace, text: str) -> Iterator[Fact]:
    for found in re.finditer(
        r"(?m)^\s*(?:[Ll]isten|bind)\s+(?:\"?[\w.*\[\]]+\"?[: ]+)?\"?(\d{2,5})\"?(?=[\s;]|$)", text
    ):
        yield place.fact(FactKind.PORT, found[1], 0.85, quote=found[0].strip())


def _is_compose(text: str) -> bool:
    """Tell files that are about other programs: of containers, of what scrapes."""
    compose = re.search(r"(?m)^services:\s*$", text) and re.search(r"(?m)^\s+image:", text)
    return bool(compose or re.search(r"(?m)^\s*(scrape_configs|relabel_configs):", text))


def _settings(place: PagePlace) -> list[tuple[str, str]]:
    """List the keys of a block with their values; files made of blocks have none that stand alone."""
    text, language = place.element.text, place.element.language
    if language in {"yaml", "yml"}:
        return _yaml_settings(text)
    if _BLOCKS.search(text) or _HAPROXY.search(text) or language in {"json", "json5", "hcl", "xml", "nginx", "haproxy"}:
        return []
    if not language and re.search(r"(?m)^\w[\w-]*:(\s|$)", text) and "=" not in text:
        return _yaml_settings(text)
    return list(_line_settings(text))


def _line_settings(text: str) -> Iterator[tuple[str, str]]:
    section = ""
    for line in text.split("\n"):
        stripped = line.strip()
        if not stripped or stripped.startswith(("#", ";", "//")):
            continue
        if found := _SECTION.match(stripped):
            section = found[1]
        elif found := _ASSIGNED.match(stripped):
            yield _joined(section, found[1]), found[2].strip().strip("\"'")
        elif (found := _DIRECTIVE.match(stripped)) and found[2] and not section:
            yield found[1], found[2].strip().strip("\"'")


def _joined(section: str, key: str) -> str:
    return f"{section}.{key}" if section else key


def _yaml_settings(text: str) -> list[tuple[str, str]]:
    import yaml  # noqa: PLC0415  # late: 15 ms

    if len(text) > 1 << 16 or "&" in text:
        return []
    try:
        data = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506  # gives text, lists and mappings only
    except (yaml.YAMLError, RecursionError):
        return []
    return list(_flat(data, "")) if isinstance(data, dict) else []


def _flat(data: Mapping[Any, Any], above: str) -> Iterator[tuple[str, str]]:
    for key, value in data.items():
        name = _joined(above, str(key))
        if isinstance(value, dict):
            yield from _flat(value, name)
        elif isinstance(value, list):
            continue  # entries of a list are things, not settings
        else:
            yield name, str(value)
