"""Single rules of reading, most of them learnt from pages of strangers."""

from __future__ import annotations

import pytest

from workflow_agent.knowledge import Extraction, FactKind, FlagKind, read_page
from workflow_agent.knowledge.command_lines import split_chain
from workflow_agent.knowledge.facts import SystemFamily


def read(text: str, name: str = "page.md") -> Extraction:
    return read_page(text, f"https://docs.example.net/{name}")


def values(extraction: Extraction, kind: FactKind) -> list[str]:
    return [fact.value for fact in extraction.of(kind)]


def fenced(text: str, language: str = "") -> str:
    return f"```{language}\n{text}\n```\n"


@pytest.mark.parametrize("prompt", ["$ ", "~ $ ", "user@host:~$ ", "root@host:~# ", "[me@box dir]$ ", "% "])
def test_what_follows_a_prompt_is_a_command_and_the_rest_is_output(prompt: str) -> None:
    found = read(fenced(f"{prompt}kestrel version\nkestrel 2.1\n{prompt}kestrel stop", "shell"))

    assert [command.text for command in found.commands] == ["kestrel version", "kestrel stop"]


@pytest.mark.parametrize(
    "said", ["(default: `7s`)", "Defaults to `7s`.", 'defaults to "7s" (a duration)', "The default is 7s, or more."]
)
def test_a_default_in_the_words_of_a_table_is_one(said: str) -> None:
    (setting,) = read(f"Name | Description\n---|---\n`query.timeout` | How long. {said}\n").of(FactKind.SETTING)

    assert (setting.value, setting.details["default"]) == ("query.timeout", "7s")


def test_the_help_of_a_program_gives_its_flags() -> None:
    text = '  -h, --help\n      --listen=":9117"  Where.\n      --[no-]insecure   Trust all.\n'
    text += "      --log.level=info  How much."
    found = read(fenced(text))

    assert {fact.value: fact.details.get("default") for fact in found.of(FactKind.SETTING)} == {
        "--listen": ":9117",
        "--insecure": None,
        "--log.level": "info",
    }
    assert values(found, FactKind.PORT) == ["9117"]


def test_metrics_that_are_shown_as_exposed_are_read_but_for_those_of_every_program() -> None:
    found = read(fenced("# HELP k_up Up.\n# TYPE k_up gauge\nk_up 1\n# TYPE go_goroutines gauge"))

    assert values(found, FactKind.METRIC) == ["k_up"]
    assert found.commands == ()


def test_a_password_of_a_sample_is_no_default_and_is_flagged() -> None:
    found = read("Edit `/etc/k.ini`:\n\n" + fenced("[client]\nuser = foo\npassword = foo123", "ini"))

    assert {fact.value: fact.details.get("default") for fact in found.of(FactKind.SETTING)} == {
        "client.user": "foo",
        "client.password": None,
    }
    assert [flag.text for flag in found.flags if flag.kind is FlagKind.PLACEHOLDER] == ["foo123"]
    assert values(found, FactKind.USER) == []


def test_pieces_of_code_without_text_are_no_reason_to_fail() -> None:
    assert values(read("In <code><Component/></code> there is `/etc/k.conf`.\n"), FactKind.FILE) == ["/etc/k.conf"]


def test_a_sentence_that_asks_to_type_makes_a_block_a_command() -> None:
    found = read("Just type:\n\n    kestrel-client -h\n\nto see if everything is alright.\n")

    assert values(found, FactKind.VERIFICATION) == ["kestrel-client -h"]


def test_a_block_that_nothing_says_to_be_a_command_is_output() -> None:
    assert read("Some text.\n\n    kestrel is a bird\n    of prey\n").commands == ()


@pytest.mark.parametrize(
    ("sentence", "ports"),
    [
        ("Metrics are on port 9100.", ["9100"]),
        ("It listens on port 80 or 443.", []),
        ("It listens on port 80, or on 443 with TLS.", []),
        ("It listens on ports 80 and 443.", ["80", "443"]),
        ("It listens on TCP 7100 and UDP 7101.", ["7100", "7101"]),
        ("Outgoing connections to the collector on port 443.", []),
        ("It is beside a server that listens on port 5432.", []),
        ("Open `http://localhost:3000` in a browser.", ["3000"]),
        ("Questions come to port 6667 of our chat.", []),
        ("It listens on port 99999.", []),
    ],
)
def test_only_ports_that_the_thing_itself_opens_are_its_ports(sentence: str, ports: list[str]) -> None:
    assert values(read(sentence), FactKind.PORT) == ports


def test_tabs_headings_and_managers_say_for_which_system_something_is() -> None:
    page = '=== "Alpine"\n\n    ```sh\n    ./setup\n    ```\n\n## Debian\n\n' + fenced("kestrelctl init", "sh")
    page += fenced("dnf install kestrel", "sh")
    found = read(page)

    assert [command.platforms for command in found.commands] == [
        (SystemFamily.ALPINE,),
        (SystemFamily.DEBIAN,),
        (SystemFamily.DEBIAN,),
    ]
    (package,) = found.of(FactKind.PACKAGE)
    assert package.platforms == (SystemFamily.RHEL,)


def test_a_heredoc_is_configuration_and_not_commands() -> None:
    found = read(fenced("sudo tee /etc/k.conf <<EOF\nworkers = 4\nEOF\nsystemctl restart k && k ping", "sh"))

    assert [command.text for command in found.commands] == ["tee /etc/k.conf <<EOF", "systemctl restart k", "k ping"]
    assert values(found, FactKind.SETTING) == ["workers"]


def test_chains_are_taken_apart_but_not_what_is_quoted_or_piped() -> None:
    line = "sudo a 'x; y' && sudo -u me b \"p && q\" | c || d; e"

    assert split_chain(line) == ["a 'x; y'", 'b "p && q" | c', "d", "e"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\0",
        "<" * 5000,
        "<div>" * 5000 + "apt install x",
        "`" * 5000,
        "| a |\n|---|\n" * 500,
        "```\n" * 1000,
        "> " * 2000,
        "[a](" * 2000,
        "apt install " + "x" * 20000,
        "\\\n" * 3000,
        '=== "x"\n' * 500,
        "curl http://localhost:" + "9" * 5000,
        "a='" * 3000,
        "```sh\n" + "a='; " * 3000,
    ],
)
def test_no_page_makes_reading_fail(text: str) -> None:
    for name in ("page.md", "page.html"):
        assert read(text, name).address.endswith(name)
