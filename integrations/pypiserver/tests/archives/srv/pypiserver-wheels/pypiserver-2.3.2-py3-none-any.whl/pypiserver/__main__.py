"""Serve the list of a folder, as pip asks for it."""

from __future__ import annotations

import argparse
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


def main() -> None:
    """Serve until the end."""
    parser = argparse.ArgumentParser(prog="pypi-server")
    run = parser.add_subparsers(required=True).add_parser("run")
    run.add_argument("--interface", default="127.0.0.1")
    run.add_argument("--port", type=int, default=8080)
    run.add_argument("--disable-fallback", action="store_true")
    run.add_argument("folder", type=Path)
    given = parser.parse_args()

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that http.server asks for
            names = sorted(file.name for file in given.folder.iterdir())
            links = "".join(f"<a href='{name}'>{name}</a>" for name in names)
            version = "<p>This is pypiserver 2.3.2.</p>"
            text = "Ok" if self.path == "/health" else f"<!DOCTYPE html><html><body>{version}{links}</body></html>"
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

    HTTPServer((given.interface, given.port), Page).serve_forever()
