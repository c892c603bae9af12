"""Steps of an installation that nothing here does are flagged; looks, later sections and other systems are none."""

from __future__ import annotations

import pytest

from workflow_agent.knowledge import FlagKind, read_page


def steps(text: str) -> list[str]:
    page = read_page(f"# Kestrel\n\n{text}\n", "https://docs.example.net/k.md")
    return [flag.text for flag in page.flags if flag.kind is FlagKind.STEP]


@pytest.mark.parametrize(
    "command",
    [
        "useradd --system kestrel",
        "a2enmod status",
        "ln -s /etc/kestrel/a /etc/kestrel/b",
        "rm /etc/kestrel/default",
        "usermod -aG adm kestrel",
        "ufw allow 7100/tcp",
        "echo 'perch=7' > /etc/kestrel.conf",
        "sed -i s/a/b/ /etc/kestrel.conf",
        "systemctl edit kestrel",
        "tar xf kestrel.tar.gz",
        "kestrelctl init",
        "snap install kestrel",
        "systemctl status kestrel | tee /etc/kestrel.state",
        "nano /etc/kestrel.conf",
    ],
)
def test_a_step_that_no_block_stands_for_is_flagged(command: str) -> None:
    assert steps(f"## Install\n\n```sh\nsudo {command}\n```") == [command]


@pytest.mark.parametrize(
    "command",
    [
        "apt-get update",
        "apt install kestrel",
        "systemctl daemon-reload",
        "systemctl enable --now kestrel",
        "service kestrel restart",
        "cd /etc",
        "ps ax | grep '(kestrel|osprey)'",
        "journalctl -u kestrel",
        "kestrel --version",
        "curl http://localhost:7100/",
        "curl -sf http://localhost:7100/ -o /dev/null",
        "dpkg -l kestrel",
        "apt purge kestrel",
        "tee /etc/kestrel.conf <<'END'\nperch = 7\nEND",
    ],
)
def test_what_blocks_stand_for_and_looks_are_no_steps(command: str) -> None:
    assert steps(f"## Install\n\n```sh\nsudo {command}\n```") == []


@pytest.mark.parametrize(
    "before",
    [
        "## Troubleshooting\n\n",
        "## Upgrade\n\n",
        "## Uninstall\n\n",
        "## Install on Fedora\n\n",
        "## Docker\n\n",
        "## Install\n\nOptionally, give it another name:\n\n",
        "## Install\n\nIf you use a firewall, open the port:\n\n",
    ],
)
def test_what_comes_later_is_optional_or_for_others_is_no_step(before: str) -> None:
    assert steps(f"{before}```sh\nsudo kestrelctl init\n```") == []


def test_what_is_optional_before_something_else_hides_no_step() -> None:
    said = "## Install\n\nIf you use another shell, read on.\n\n```sh\nsudo kestrelctl init\n```"
    assert steps(said) == ["kestrelctl init"]


@pytest.mark.parametrize(
    ("sentence", "step"),
    [
        ("Enable it with `sudo a2enmod status`.", "a2enmod status"),
        ("Edit the configuration: `sudo nano /etc/kestrel.conf`", "nano /etc/kestrel.conf"),
        ("Edit `/etc/kestrel.conf` and set Perch to `7`.", "Edit /etc/kestrel.conf and set Perch to 7."),
        ("All is there. In `/etc/kestrel.conf`, set Perch to `7`.", "In /etc/kestrel.conf, set Perch to 7."),
    ],
)
def test_a_step_in_a_sentence_is_one(sentence: str, step: str) -> None:
    assert steps(f"## Install\n\n{sentence}") == [step]


@pytest.mark.parametrize(
    "sentence",
    [
        "Restart it with `sudo systemctl restart kestrel`.",
        "If you use Apache, enable it with `sudo a2enmod status`.",
        "If you change one, edit `/etc/kestrel.conf`.",
        "The settings are in `/etc/kestrel.conf`.",
        "Look with `journalctl -u kestrel`.",
    ],
)
def test_what_a_sentence_says_otherwise_is_no_step(sentence: str) -> None:
    assert steps(f"## Install\n\n{sentence}") == []


def test_an_edit_whose_content_a_block_gives_is_no_step_of_its_own() -> None:
    block = "```ini\nperch = 7\n```"
    said = "Open `/etc/kestrel.conf`:\n\n```sh\nsudo nano /etc/kestrel.conf\n```\n\nReplace its content with:\n\n"
    assert steps(f"## Install\n\n{said}{block}") == []


def test_statements_for_a_database_are_steps() -> None:
    assert steps("## Set up\n\n```sql\nCREATE USER kestrel;\n```") == ["CREATE USER kestrel;"]
    assert steps("## Look\n\n```sql\nSELECT 1;\n```") == []


def test_taking_away_a_part_is_a_step_and_taking_away_all_is_none() -> None:
    block = "\n\n```sh\nrm /etc/kestrel/sites/default\n```"
    assert steps(f"## Install\n\nRemove the default site:{block}") == ["rm /etc/kestrel/sites/default"]
    assert steps(f"## Install\n\nTo remove it:{block}") == []
