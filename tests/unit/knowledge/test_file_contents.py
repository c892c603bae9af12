"""What a page puts into a file: where it goes, whether it is all of it, and whether it may be written unasked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from workflow_agent.integrations.loading import parse_manifest
from workflow_agent.knowledge import FactKind, read_page
from workflow_agent.knowledge.draft import manifest

VENDORS = Path(__file__).parents[2] / "corpus" / "vendors"
ADDRESS = "https://docs.example.net/kestrel.md"
INSTALL = "# Kestrel\n\n    apt-get install kestrel\n    systemctl enable --now kestrel\n\n## Set up\n\n"
BLOCK = "\n\n```ini\nperch = 7\n```\n"
CONF = "/etc/kestrel/kestrel.conf"


def contents(text: str) -> list[tuple[str, str]]:
    page = read_page(INSTALL + text, ADDRESS)
    return [(fact.value, fact.details["extent"]) for fact in page.of(FactKind.CONTENT)]


def draft(text: str, name: str = "kestrel", address: str = ADDRESS, **more: Any) -> Any:
    return manifest(name, read_page(text, address).to_dict(), **more)


@pytest.mark.parametrize(
    ("text", "extent"),
    [
        (f"Create `{CONF}` with the following content:", "whole"),
        (f"Create the file `{CONF}`:", "whole"),
        (f"Replace the contents of `{CONF}` with:", "whole"),
        (f"Overwrite `{CONF}` with this:", "whole"),
        (f"Save this as `{CONF}`:", "whole"),
        ("Put this into `/etc/kestrel.d/10-perch.conf`:", "whole"),
        (f"Create a new configuration file:\n\n`{CONF}`", "whole"),
        (f"Open it:\n\n    nano {CONF}\n\nReplace everything in it with:", "whole"),
        (f"Put this into `{CONF}`:", "unclear"),
        (f"`{CONF}`:", "unclear"),
        (f"The settings are in `{CONF}`.", "unclear"),
        (f"Open it:\n\n    nano {CONF}\n\nIt looks so:", "unclear"),
        (f"Add these lines to `{CONF}`:", "part"),
        (f"Replace the section `[nest]` in `{CONF}` with:", "part"),
        (f"Edit `{CONF}`:", "part"),
        (f"Append to `{CONF}`:", "part"),
    ],
)
def test_a_destination_and_how_much_of_it_a_block_is(text: str, extent: str) -> None:
    path = "/etc/kestrel.d/10-perch.conf" if "kestrel.d" in text else CONF
    assert contents(text + BLOCK) == [(path, extent)]


@pytest.mark.parametrize(
    ("command", "extent"),
    [
        (f"sudo tee {CONF} > /dev/null <<'END'", "whole"),
        (f"cat > {CONF} <<EOF", "whole"),
        (f"cat <<EOF | sudo tee {CONF}", "whole"),
        (f"sudo tee -a {CONF} <<'EOF'", "part"),
        (f"cat >> {CONF} <<'EOF'", "part"),
    ],
)
def test_a_here_document_says_both(command: str, extent: str) -> None:
    assert contents(f"```sh\n{command}\nperch = 7\n{'END' if 'END' in command else 'EOF'}\n```\n") == [(CONF, extent)]


def test_a_here_document_that_a_shell_would_expand_is_not_taken_as_it_stands() -> None:
    assert contents(f"```sh\ncat > {CONF} <<EOF\nhost = $HOSTNAME\nEOF\n```\n") == [(CONF, "unclear")]
    assert contents(f"```sh\ncat > {CONF} <<'EOF'\nhost = $HOSTNAME\nEOF\n```\n") == [(CONF, "whole")]


def test_a_content_that_is_certain_becomes_a_file_with_its_place() -> None:
    text = f'{INSTALL}Create `{CONF}` with this content:\n\n```ini\n  perch = 7\n\n\tnest = "a: b #c"\n```\n'
    text += f"\n```sh\nsudo chmod 640 {CONF}\nsudo chown root:kestrel {CONF}\nsudo mkdir -p /etc/kestrel\n```\n"
    made = draft(text, composed=True)
    data = yaml.safe_load(made.text)
    parsed, problems = parse_manifest(data)
    assert parsed is not None, problems
    content = '  perch = 7\n\n\tnest = "a: b #c"\n'
    said = {"path": CONF, "format": "text", "mode": "0640", "owner": "root:kestrel", "content": content}
    assert (data["files"], data["directories"]) == ([said], [{"path": "/etc/kestrel"}])
    assert f"- path: {CONF}  # line 10: Create {CONF} with this content:" in made.text
    assert (made.open, [fact["kind"] for fact in made.sources]) == ((), ["package", "content"])


def test_a_mode_that_makes_a_program_of_it_is_a_step_of_its_own() -> None:
    text = f"{whole(CONF)}\n```sh\nsudo chmod 755 {CONF}\n```\n"
    assert [one.split("?")[0] for one in draft(text, composed=True).open] == [f"is `chmod 755 {CONF}` needed"]


def whole(path: str, content: str = "perch = 7") -> str:
    return f"{INSTALL}Create the file `{path}` with this content:\n\n```ini\n{content}\n```\n"


@pytest.mark.parametrize(
    ("text", "question"),
    [
        (whole(CONF, "perch = <number>"), "placeholders"),
        (whole(CONF, "password = changeme"), "placeholders"),
        (whole(CONF, "token = abc123"), "placeholders"),
        (whole(CONF, "host = your-host"), "placeholders"),
        (whole("/etc/sudoers.d/kestrel"), "belongs to something else"),
        (whole("/etc/systemd/system/kestrel.service", "[Service]\nExecStart=/bin/x"), "belongs to something else"),
        (whole("/etc/cron.d/kestrel"), "belongs to something else"),
        (whole("/etc/nginx/nginx.conf"), "belongs to something else"),
        (whole("/usr/lib/kestrel/kestrel.conf"), "No block does that"),
        (whole("/etc/kestrel/../sudoers"), "belongs to something else"),
        (whole("/etc/default/kestrel", 'ARGS="$(id)"'), "belongs to something else"),
        (whole(CONF, "on_alert = /usr/bin/mail root"), "programs to run"),
        (whole(CONF, "notify_command = wall"), "programs to run"),
        (whole(CONF, "plugin = own.so"), "programs to run"),
        (whole("/etc/kestrel/up.d/10-perch", "#!interpreter\nperch 7"), "programs to run"),
        (whole(CONF, "perch = ${{ 7 }}"), "placeholders"),
        (whole(CONF, "perch = \u202e7"), "really its content"),
        (whole(CONF) + f"\nCreate `{CONF}` with this content:\n\n```ini\nperch = 8\n```\n", "which of 2 contents"),
        # Pieces of one file, told in several blocks: nobody says how they go together, so none is written.
        (whole(CONF) + "\nThen add to it:\n\n```ini\nnest = 8\n```\n", "which of 2 contents"),
        (whole(CONF) + "\nand, in the same file:\n\n```ini\nnest = 8\n```\n", "which of 2 contents"),
        (whole(CONF) + "\nIt goes on with:\n\n```ini\nnest = 8\n```\n\n```ini\negg = 9\n```\n", "which of 3 contents"),
        (whole(CONF) + f"\n## Nests\n\nAdd to `{CONF}`:\n\n```ini\nnest = 8\n```\n", "which of 2 contents"),
        (whole(CONF) + f"\n```sh\ncat >> {CONF} <<'END'\nnest = 8\nEND\n```\n", "which of 2 contents"),
        (f"{INSTALL}Add to `{CONF}`:{BLOCK}\nAlso add:\n\n```ini\nnest = 8\n```\n", "which of 2 contents"),
        (f"{INSTALL}Add to `{CONF}`:{BLOCK}", "do the lines from `perch = 7` on belong"),
        (f"{INSTALL}`{CONF}`:{BLOCK}", "all of"),
        (f"{INSTALL}And then:{BLOCK}", "is `perch = 7` needed? No block does that"),
        (f"{INSTALL}Add to the configuration:{BLOCK}", "is `perch = 7` needed? No block does that"),
    ],
)
def test_what_is_not_certain_or_not_safe_is_asked_and_stops_an_install(text: str, question: str) -> None:
    made = draft(text, composed=True)
    assert [one for one in made.open if question in one], made.open
    assert "files" not in yaml.safe_load(made.text)


def test_defaults_of_a_service_are_written_where_they_assign_and_do_nothing_else() -> None:
    made = draft(whole("/etc/default/kestrel", '# How it starts\nARGS="--perch 7"\nNEST=/srv/nest'), composed=True)
    assert made.open == ()
    assert yaml.safe_load(made.text)["files"][0]["path"] == "/etc/default/kestrel"


def test_what_one_may_do_is_left_out_and_says_so() -> None:
    made = draft(f"{INSTALL}If you want another perch, create `{CONF}` with this content:{BLOCK}", composed=True)
    assert made.open == ()
    assert [one.split("?")[0] for one in made.questions] == [
        f"should `{CONF}` be written, as that says one may",
        "should `perch` (default `7`) be a parameter, in which file",
    ]


def test_what_stands_in_a_file_already_is_not_asked_about() -> None:
    assert draft(f"{INSTALL}The default configuration looks like this:{BLOCK}", composed=True).open == ()


def test_plain_text_that_goes_into_a_file_is_no_output() -> None:
    assert contents(f"Create `{CONF}`:\n\n```text\nperch 7\n```\n") == [(CONF, "whole")]
    assert contents(f"Create `{CONF}`. The output is:\n\n```text\nperch 7\n```\n") == []


def test_the_name_of_a_language_above_a_block_is_no_paragraph() -> None:
    page = f"<p>Create <code>{CONF}</code>:</p><div><span>yaml</span><pre><code>perch: 7</code></pre></div>"
    (fact,) = read_page(f"<main>{page}</main>", "https://docs.example.net/k").of(FactKind.CONTENT)
    assert (fact.value, fact.details["content"]) == (CONF, "perch: 7\n")


def test_a_port_that_a_written_file_sets_goes_before_a_default() -> None:
    table = "\n## Settings\n\n| Option | Default |\n| --- | --- |\n| `Port` | `8888` |\n"
    text = whole(CONF, "Port 3180") + table
    assert yaml.safe_load(draft(text).text)["services"][0]["listens"] == ["tcp/3180"]
    assert yaml.safe_load(draft(INSTALL + table).text)["services"][0]["listens"] == ["tcp/8888"]


@pytest.mark.parametrize(
    ("page", "questions"),
    [
        ("open-placeholder", ["what are the placeholders in `/etc/nginx/conf.d/fernhill.conf` to be?"]),
        ("open-part", ["where in `/etc/default/prometheus-node-exporter` do the lines"]),
        ("open-module", ["is `lighty-enable-mod downloads` needed?"]),
        ("open-step", ["is `ln -s /etc/nginx/sites-available/downloads", "is `rm /etc/nginx/sites-enabled/default`"]),
    ],
)
def test_a_page_that_leaves_something_open_asks(page: str, questions: list[str]) -> None:
    made = draft((VENDORS / f"{page}.html").read_text(), page, f"https://docs.example.net/{page}", composed=True)
    assert [any(one.startswith(wanted) for one in made.open) for wanted in questions] == [True] * len(questions)
    assert len(made.open) == len(questions), made.open


@pytest.mark.parametrize(
    "path", sorted(set(VENDORS.glob("*.html")) - set(VENDORS.glob("open-*"))), ids=lambda p: p.stem
)
def test_a_page_that_says_everything_asks_nothing(path: Path) -> None:
    made = draft(path.read_text(), path.stem, f"https://docs.example.net/{path.stem}", composed=True)
    parsed, problems = parse_manifest(yaml.safe_load(made.text))
    assert (made.open, problems, parsed is not None) == ((), [], True)
