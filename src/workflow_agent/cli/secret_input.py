"""Secrets as they are given: ``--secret name=SOURCE``, or typed at a terminal that does not show them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from workflow_agent.cli.typed_line import hidden_line
from workflow_agent.security.sources import SecretSourceKind, checked_secret, parse_sources, read_secrets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workflow_agent.cli.invocation import Invocation
    from workflow_agent.security.secret import Secret

__all__ = ["given_secrets"]


def given_secrets(invocation: Invocation, typed: Sequence[str], integrations: Sequence[str]) -> dict[str, Secret]:
    """Read the secrets of a command; a person at a terminal is asked for those that `integrations` require.

    Raises:
        ParameterError: a source is wrong or cannot be read, or a value is none that a secret can have.
    """
    sources = parse_sources(typed)
    at_terminal = sys.stdin.isatty() and sys.stderr.isatty()
    asked = [source.name for source in sources if source.kind is SecretSourceKind.STDIN and at_terminal]
    read = [source for source in sources if source.name not in asked]
    secrets = read_secrets(read, environ=invocation.environ, stdin=sys.stdin.buffer)
    if at_terminal:
        known = {source.name for source in sources}
        asked += [name for name in _required(invocation, integrations) if name not in known]
    secrets |= {name: checked_secret(name, _ask(name)) for name in asked}
    invocation.secrets.update(secrets)
    return secrets


def _required(invocation: Invocation, integrations: Sequence[str]) -> list[str]:
    """List the secrets without which the integrations cannot be installed."""
    from workflow_agent.cli.sources import registry_of  # noqa: PLC0415  # late

    registry = registry_of(invocation.settings())
    found = [
        name
        for integration in integrations
        for name, declared in registry.brief(integration).parameters.items()
        if declared.secret and declared.required
    ]
    return list(dict.fromkeys(found))


def _ask(name: str) -> str:
    line = hidden_line(f"Secret `{name}` (not shown): ")
    if not line:
        raise KeyboardInterrupt  # the terminal went away
    return line.removesuffix("\n")
