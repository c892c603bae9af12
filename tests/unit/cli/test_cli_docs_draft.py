"""`integrations init --from-docs`: the draft lints, and asks what is uncertain."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PAGE = """# Kestrel

    apt-get install kestrel
    systemctl start kestrel

Kestrel listens on port 7100.

| Option | Default |
| --- | --- |
| `workers` | `4` |
"""


def test_a_draft_from_a_page_lints(cli: Callable[..., Any], tmp_path: Path) -> None:
    page = tmp_path / "kestrel.md"
    page.write_text(PAGE)
    made = cli("integrations", "init", "kestrel", "--from-docs", str(page), "--into", str(tmp_path), "--json")

    assert (made.code, made.json["data"]["folder"]) == (0, str(tmp_path / "kestrel"))
    assert [question.split("?")[0] for question in made.json["data"]["questions"]] == [
        "should `workers` (default `4`) be a parameter, in which file"
    ]
    linted = cli("integrations", "lint", str(tmp_path / "kestrel"), "--json")
    assert linted.code == 0
    again = cli("integrations", "init", "kestrel", "--from-docs", str(page), "--into", str(tmp_path))
    assert (again.code, "already" in again.err) == (6, True)
    other = cli("integrations", "init", "falcon", "--from-docs", str(page), "--into", str(tmp_path)).out
    assert "1 question for you" in other
    assert "workflow-agent plan" in other


def test_what_cannot_be_drafted_is_said_and_nothing_is_written(cli: Callable[..., Any], tmp_path: Path) -> None:
    page = tmp_path / "empty.md"
    page.write_text("# Nothing\n")
    empty = cli("integrations", "init", "kestrel", "--from-docs", str(page), "--into", str(tmp_path))
    both = cli("integrations", "init", "kestrel", "--from-docs", str(page), "--port", "80")
    bad = cli("integrations", "init", "Kestrel!", "--from-docs", str(page))

    assert (empty.code, "no package" in empty.err) == (2, True)
    assert (both.code, "--port" in both.err, bad.code) == (2, True, 2)
    assert not (tmp_path / "kestrel").exists()


class Pages(BaseHTTPRequestHandler):
    """A site that is not for everybody: the page, and a way to a host that nobody named."""

    def do_GET(self) -> None:
        away = self.path == "/away"
        self.send_response(302 if away else 200)
        self.send_header("Content-Type", "text/markdown")
        if away:
            self.send_header("Location", "http://127.0.0.1:9/metadata")
        self.end_headers()
        self.wfile.write(b"" if away else PAGE.encode())

    def log_message(self, *_: object) -> None: ...


@contextmanager
def site() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_host_of_ones_own_is_asked_only_when_it_is_named(cli: Callable[..., Any], tmp_path: Path) -> None:
    with site() as host:
        draft = ("integrations", "init", "kestrel", "--into", str(tmp_path), "--from-docs")
        named = ("--allow-host", host)
        refused = cli(*draft, f"http://{host}/kestrel.md")
        elsewhere = cli(*draft, f"http://{host}/away", *named)
        assert not (tmp_path / "kestrel").exists()
        made = cli(*draft, f"http://{host}/kestrel.md", *named)
    alone = cli("integrations", "init", "falcon", "--into", str(tmp_path), "--yes", *named)

    assert (refused.code, "over https" in refused.err, made.code) == (2, True, 0), made.err
    assert elsewhere.code == 2
    assert "127.0.0.1:9" in elsewhere.err
    assert host in (tmp_path / "kestrel/integration.yaml").read_text(encoding="utf-8")
    assert (alone.code, "--from-docs" in alone.err) == (2, True)
