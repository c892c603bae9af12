"""Manifests drafted from pages: valid, with provenance, and nothing of what is uncertain can run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from workflow_agent.integrations.loading import parse_manifest
from workflow_agent.knowledge import read_page
from workflow_agent.knowledge.draft import manifest
from workflow_agent.model.errors import ValidationError

CORPUS = Path(__file__).parents[2] / "corpus" / "knowledge"


def drafted(page: str, name: str = "kestrel", address: str = "https://docs.example.net/k.md") -> tuple[Any, str]:
    draft = manifest(name, read_page(page, address).to_dict())
    return yaml.safe_load(draft.text), draft.text


def page_of(name: str) -> tuple[str, str]:
    (path,) = [path for path in CORPUS.glob(f"{name}.*") if path.suffix != ".json"]
    return path.read_text(), f"https://docs.example.net/{path.name}"


@pytest.mark.parametrize(
    "name", ["memcached", "chrony-wiki", "haproxy", "munin-node", "fail2ban", "snmpd", "apache2", "rsyslog", "mariadb"]
)
def test_a_draft_from_a_page_is_a_valid_manifest(name: str) -> None:
    data, _ = drafted(*reversed_page(name))
    parsed, problems = parse_manifest(data)

    assert problems == []
    assert parsed is not None


def reversed_page(name: str) -> tuple[str, str, str]:
    text, address = page_of(name)
    return text, re.sub(r"[^a-z0-9-]", "-", name), address


def test_every_executable_line_says_where_it_is_from() -> None:
    _, text = drafted(*reversed_page("memcached"))

    executable = [line for line in text.splitlines() if re.match(r"\s+- (\w|\{id: \"(package|port|answers))", line)]
    assert executable
    assert [line for line in executable if "  # line " not in line] == []


def test_what_is_uncertain_is_a_question_and_not_a_line() -> None:
    page = """# Kestrel

    apt-get install kestrel
    systemctl start kestrel

Add the source first:

    echo "deb https://apt.kestrel.example stable main" | tee /etc/apt/sources.list.d/k.list

Kestrel listens on port 7100. Check it:

    curl http://localhost:7100/health
    kestrelctl verify <node>

| Option | Default |
| --- | --- |
| `workers` | `4` |
"""
    data, text = drafted(page)

    assert data["actions"]["install"] == {
        "template": "apt/install",
        "network": True,
        "with": {"packages": ["kestrel"]},
    }
    assert data["services"] == [{"name": "kestrel", "listens": ["tcp/7100"]}]
    assert [check["kind"] for check in data["checks"]] == ["package", "unit", "port", "http"]
    said = yaml.safe_dump(data)
    for never in ("kestrelctl", "<node>", "apt.kestrel.example", "workers"):
        assert never not in said
        assert re.search(rf"# QUESTION: .*{re.escape(never)}", text)


@pytest.mark.parametrize(
    "page",
    [
        "# Nothing\n\nNo package here.\n",
        "# Placeholder\n\n    apt install <package>\n",
        "# Other\n\n    dnf install kestrel\n",
        "# Tools only\n\n    apt-get install curl gnupg\n",
    ],
)
def test_a_page_without_a_package_of_debian_gives_no_draft(page: str) -> None:
    with pytest.raises(ValidationError, match="no package"):
        drafted(page)


def test_a_hostile_page_breaks_out_of_no_line() -> None:
    page = '# K"\\: {}\x85evil\n\n    apt install kestrel\n    systemctl start kestrel\n\n'
    page += "It listens on port 7100\u2028evil: true.\n"
    data, text = drafted(page)

    assert "evil" not in data
    assert data["actions"]["install"]["with"]["packages"] == ["kestrel"]
    assert all(
        line.startswith(
            (
                "#",
                " ",
                "schema",
                "name",
                "version",
                "description",
                "category",
                "platforms",
                "actions",
                "services",
                "checks",
                "negative_checks",
                "documentation",
            )
        )
        for line in text.splitlines()
    )


def test_other_packages_and_services_are_asked_about() -> None:
    page = "# K\n\n    apt install kestrel\n\nLater:\n\n    apt install kestrel-tools\n"
    page += "    systemctl restart kestrel\n    systemctl restart nginx\n"
    data, text = drafted(page)

    assert data["actions"]["install"]["with"]["packages"] == ["kestrel"]
    assert "QUESTION: is the package `kestrel-tools` needed, too?" in text
    assert "QUESTION: is `nginx` a service of it, too?" in text
