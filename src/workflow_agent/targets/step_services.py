"""Containers beside a step's container: a network of their own, on which each is found under its name. Blocking.

They carry the labels of the step's container, so that a run that another process takes up finds them again.
"""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING, Any, Final

from workflow_agent.model.errors import StepFailedError
from workflow_agent.targets.engine import Engine
from workflow_agent.targets.step_containers import NAME_LABEL, RUN_LABEL, STEP_LABEL, container_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from docker import APIClient

__all__ = ["StepServices"]

_TAIL: Final = 20
_CONFLICT: Final = 409
#: States of a container's health that let others begin.
_WELL: Final = frozenset({None, "none", "healthy"})


class StepServices:
    """The services of one step's container.

    Args:
        run_id: The run.
        step: The step, with the item of a parallel one.
        name: The container that they stand beside.
        outbound: Whether they may reach other machines.
        address: Where the engine listens; as :class:`Engine` finds it when omitted.
    """

    def __init__(self, run_id: str, step: str, name: str, *, outbound: bool = True, address: str | None = None) -> None:
        self._labels = {RUN_LABEL: run_id, STEP_LABEL: step}
        self._parts = (run_id, step, name)
        self._outbound = outbound
        self._address = address
        self.network = f"workflow-agent-{hashlib.sha256('/'.join(self._parts).encode()).hexdigest()[:20]}"

    def start(self, service: str, *, image: str, env: Mapping[str, str], command: Sequence[str] | None = None) -> str:
        """Start a service, or find the one that runs already; gives the engine's id.

        Raises:
            UnreachableError: no engine answers, or it refused.
        """
        with self._client(image) as client:
            self._join(client)
            for one in client.containers(all=True, filters=self._labelled(service)):
                if one["State"] == "running":
                    return str(one["Id"])
                client.remove_container(one["Id"], force=True, v=True)
            named = client.create_networking_config({self.network: client.create_endpoint_config(aliases=[service])})
            made = client.create_container(
                image,
                list(command) if command is not None else None,
                name=container_name(*self._parts[:2], f"{self._parts[2]}/{service}"),
                environment=dict(env),
                labels=self._labels | {NAME_LABEL: self._label(service)},
                host_config=client.create_host_config(
                    security_opt=["no-new-privileges"], init=True, network_mode=self.network
                ),
                networking_config=named,
            )
            client.start(made["Id"])
            return str(made["Id"])

    def is_ready(self, container: str, service: str, ready: Sequence[str] | None) -> bool:
        """Say whether a service can be used: its command ends well, or its image says that it is healthy.

        Raises:
            StepFailedError: it has ended.
            UnreachableError: no engine answers.
        """
        from docker.errors import APIError  # noqa: PLC0415  # late: 300 ms

        with self._client(service) as client:
            state: dict[str, Any] = client.inspect_container(container)["State"]
            if not state["Running"]:
                text: bytes = client.logs(container, tail=_TAIL)
                tail = text.decode("utf-8", "replace").splitlines()
                raise StepFailedError(
                    f"the service `{service}` ended with code {state['ExitCode']}",
                    where=f"{self._parts[1]} › {service}",
                    cause="\n".join(tail) or None,
                    details={"exit_code": state["ExitCode"], "tail": tail},
                )
            if ready is None:
                return state.get("Health", {}).get("Status") in _WELL
            try:
                asked = client.exec_create(container, list(ready))["Id"]
                client.exec_start(asked)
                return int(client.exec_inspect(asked)["ExitCode"]) == 0
            except APIError as error:
                if error.status_code != _CONFLICT:
                    raise
                return False  # it ended just now, and the next look says how, or is paused

    def remove(self) -> None:
        """Remove all of them and their network; what is gone is no error. Raises UnreachableError."""
        from docker.errors import NotFound  # noqa: PLC0415  # late: 300 ms

        with self._client(self.network) as client:
            wanted = {"label": [f"{key}={value}" for key, value in self._labels.items()]}
            for one in client.containers(all=True, filters=wanted):
                if str(one["Labels"].get(NAME_LABEL, "")).startswith(self._label("")):
                    with contextlib.suppress(NotFound):
                        client.remove_container(one["Id"], force=True, v=True)
            with contextlib.suppress(NotFound):
                client.remove_network(self.network)

    def _join(self, client: APIClient) -> None:
        if not client.networks(names=[f"^{self.network}$"]):
            client.create_network(self.network, driver="bridge", labels=self._labels, internal=not self._outbound)

    def _label(self, service: str) -> str:
        return f"{self._parts[2]}/{service}"

    def _labelled(self, service: str) -> dict[str, list[str]]:
        labels = self._labels | {NAME_LABEL: self._label(service)}
        return {"label": [f"{key}={value}" for key, value in labels.items()]}

    @contextlib.contextmanager
    def _client(self, where: str) -> Iterator[APIClient]:
        engine = Engine(self._address)
        with engine.told(where):
            client = engine.client()
            try:
                yield client
            finally:
                client.close()
