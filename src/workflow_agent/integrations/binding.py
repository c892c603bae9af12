"""Bind what people gave to what a manifest declares: typed, complete, or every problem at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from workflow_agent.integrations.values import parse_value
from workflow_agent.model.errors import ParameterError
from workflow_agent.model.identity import content_hash
from workflow_agent.model.nearest import did_you_mean
from workflow_agent.security.marks import reference, reference_digest, reference_name
from workflow_agent.security.sources import how_to_give

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workflow_agent.integrations.manifest import Manifest, Parameter

__all__ = ["bind_parameters", "check_secret", "parameter_hash"]

_SHOWN: Final = 60


def _shown(value: Any) -> str:  # Any: what the caller was given
    if isinstance(value, str):
        text = repr(value[: _SHOWN + 1])
        return text if len(value) <= _SHOWN else f"{text[:_SHOWN]}… ({len(value)} characters)"
    return type(value).__name__ if isinstance(value, list | dict | tuple) else str(value)[:_SHOWN]


def _secret(name: str, value: Any) -> dict[str, str]:
    """Take the reference of a secret; the value itself is resolved last, by the executor."""
    if reference_name(value) != name:
        raise ValueError("is a secret: its value does not belong in a parameter, where others can read it")
    return reference(name, reference_digest(value))


def _bind_one(declared: Parameter, name: str, given: Mapping[str, Any]) -> Any:
    if name in given and given[name] is not None:
        return _secret(name, given[name]) if declared.secret else parse_value(declared, given[name])
    if declared.required:
        raise ValueError("is required")
    if declared.default is None or declared.secret:
        return None
    return parse_value(declared, declared.default)


def _hint(declared: Parameter, name: str) -> str:
    if declared.secret:
        return how_to_give(name)
    if declared.example is None:
        return f"{name} ({declared.type}): {declared.description}"
    return f"{name} ({declared.type}): {declared.description.rstrip('.')}, for example `{declared.example}`"


def _problems(manifest: Manifest, given: Mapping[str, Any], bound: dict[str, Any]) -> list[dict[str, Any]]:
    problems = [
        {
            "parameter": name[:_SHOWN],
            "message": f"{manifest.name} has no parameter `{name[:_SHOWN]}`",
            "hint": did_you_mean(name, manifest.parameters),
        }
        for name in given
        if name not in manifest.parameters
    ]
    for name, declared in manifest.parameters.items():
        try:
            bound[name] = _bind_one(declared, name, given)
        except ValueError as error:
            joint = ", not " if str(error).startswith("must be ") else ": "
            was = f"{joint}{_shown(given[name])}" if name in given and not declared.secret else ""
            problems.append(
                {
                    "parameter": name,
                    "message": f"parameter `{name}` {error}{was}",
                    "hint": _hint(declared, name),
                },
            )
    return problems


def bind_parameters(manifest: Manifest, given: Mapping[str, Any]) -> dict[str, Any]:
    """Parse what was given by the declared types and fill in the defaults.

    Args:
        manifest: Declares the parameters.
        given: Name to text (as typed), JSON value (from a file), or a list of them for a parameter given
            several times. A secret is given as its reference (``security.marks``), never as its value.

    Returns:
        Every declared parameter, in the manifest's order; None where none was given and there is no default;
        the reference for a secret.

    Raises:
        ParameterError: names unknown, values of the wrong type or missing; ``details["errors"]`` lists all as
            ``{parameter, message, hint}``. Values of secrets are never part of it.
    """
    bound: dict[str, Any] = {}
    problems = _problems(manifest, given, bound)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ParameterError(
            f"{problems[0]['message']}{more}",
            where=f"{manifest.name} › {problems[0]['parameter']}",
            hint=problems[0]["hint"],
            details={"errors": problems},
        )
    return bound


def check_secret(declared: Parameter, name: str, value: str) -> None:
    """Check the value of a secret by its declaration, before a reference takes its place.

    Raises:
        ParameterError: it does not fit; the value is not repeated.
    """
    try:
        parse_value(declared, value)
    except ValueError as error:
        raise ParameterError(f"the secret `{name}` {error}", where=f"--secret {name}") from None


def parameter_hash(bound: Mapping[str, Any]) -> str:
    """Content hash (SHA-256, hex) of bound values; secrets count by their reference, which has a keyed digest."""
    return content_hash(dict(bound))
