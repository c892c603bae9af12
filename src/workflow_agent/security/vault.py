"""The values that this process was given, by run. They are in memory only, and only while the run lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_agent.model.errors import ParameterError
from workflow_agent.security.marks import fill, marked_names
from workflow_agent.security.sources import how_to_give

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from workflow_agent.security.masker import Masker
    from workflow_agent.security.secret import Secret

__all__ = ["Vault", "missing_secret"]


def missing_secret(names: frozenset[str]) -> ParameterError:
    """Give the error that says which secrets are missing and how to give them."""
    listed = ", ".join(f"`{name}`" for name in sorted(names))
    return ParameterError(
        f"the value of the secret {listed} is needed and was not given to this run",
        cause="values of secrets are not stored",
        hint=f"give it again: {how_to_give(min(names))}",
        details={"secrets": sorted(names)},
    )


class Vault:
    """Keeps the secrets of runs; agents ask it last, where a value leaves for the target."""

    def __init__(self) -> None:
        self._runs: dict[str, Mapping[str, Secret]] = {}
        self._sets: dict[str, Mapping[str, Mapping[str, str | Secret]]] = {}
        self._maskers: dict[str, Masker] = {}
        #: Variables of this process from which secrets of credentials come: commands get them by a set only.
        self.withheld: frozenset[str] = frozenset()

    def hold(self, run_id: str, secrets: Mapping[str, Secret]) -> None:
        """Keep the secrets of a run, until they are dropped."""
        if secrets:
            self._runs[run_id] = dict(secrets)

    def hold_sets(self, run_id: str, sets: Mapping[str, Mapping[str, str | Secret]]) -> None:
        """Keep the credentials that steps of a run name: the variables of each set, until they are dropped."""
        if sets:
            self._sets[run_id] = sets

    def environment(self, run_id: str | None, names: Iterable[str]) -> dict[str, str]:
        """Give the variables of sets of credentials; raises ParameterError when the run does not have one."""
        held = self._sets.get(run_id or "", {})
        variables: dict[str, str] = {}
        for name in names:
            if name not in held:
                raise ParameterError(
                    f"the credentials `{name[:64]}` were not read for this run",
                    hint="`workflow-agent secrets list` says which sets there are, and what of them is there",
                )
            variables |= {key: value if isinstance(value, str) else value.reveal() for key, value in held[name].items()}
        return variables

    def drop(self, run_id: str) -> None:
        """Forget the secrets of a run."""
        self._runs.pop(run_id, None)
        self._sets.pop(run_id, None)
        self._maskers.pop(run_id, None)

    def names(self, run_id: str | None) -> frozenset[str]:
        """Give the names of a run's secrets."""
        return frozenset(self._runs.get(run_id or "", ()))

    def reveal(self, run_id: str | None, name: str) -> str:
        """Give a value; raises ParameterError when the run has none of this name."""
        held = self._runs.get(run_id or "", {})
        if name not in held:
            raise missing_secret(frozenset({name}))
        return held[name].reveal()

    def filled(self, run_id: str | None, value: Any) -> Any:  # Any: a JSON value
        """Put the values of a run into the places of their marks; raises ParameterError when one is missing."""
        names = marked_names(value)
        if missing := names - self.names(run_id):
            raise missing_secret(missing)
        return fill(value, {name: self.reveal(run_id, name) for name in names}) if names else value

    def masker(self, run_id: str | None) -> Masker | None:
        """Give what hides a run's secrets; None when it has none."""
        if run_id is None or (run_id not in self._runs and run_id not in self._sets):
            return None
        if run_id not in self._maskers:
            from workflow_agent.security.masker import Masker  # noqa: PLC0415  # late: only runs with secrets need it

            of_sets = [value for each in self._sets.get(run_id, {}).values() for value in each.values()]
            hidden = [value for value in of_sets if not isinstance(value, str)]
            self._maskers[run_id] = Masker([*self._runs.get(run_id, {}).values(), *hidden])
        return self._maskers[run_id]
