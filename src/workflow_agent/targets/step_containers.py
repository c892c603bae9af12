"""Containers that steps start: made, waited for, read and removed through the engine's client. Blocking.

Each carries the labels of its run, step and name; so a run that another process takes up finds its container again.
"""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from workflow_agent.model.records import dataclass
from workflow_agent.targets.container_usage import ContainerUsage, usage_until_end
from workflow_agent.targets.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from docker import APIClient

__all__ = [
    "NAME_LABEL",
    "RUN_LABEL",
    "STEP_LABEL",
    "EndedContainer",
    "StepContainer",
    "StepContainers",
    "container_name",
]

RUN_LABEL = "workflow-agent.run"
STEP_LABEL = "workflow-agent.step"
NAME_LABEL = "workflow-agent.name"
_NOT_FOUND = 404
_CONFLICT = 409
_CPU_PERIOD = 100_000
#: Lines of stdout that are read, from the end.
_MOST_LINES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContainer:
    """A container, and how many seconds ago it was started; 0 for a new one."""

    id: str
    age_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedContainer:
    """How a container ended, and what it used; None where that could not be seen."""

    code: int
    usage: ContainerUsage | None


class StepContainers:
    """Makes and removes containers on the local engine.

    Args:
        address: Where the engine listens; as :class:`Engine` finds it when omitted.
    """

    def __init__(self, address: str | None = None) -> None:
        self._address = address

    def start(
        self,
        *,
        run_id: str,
        step: str,
        name: str,
        image: str,
        env: Mapping[str, str],
        command: tuple[str, ...] | None = None,
        cpu: float | None = None,
        memory_bytes: int | None = None,
        pids: int | None = None,
        network: str | None = None,
    ) -> StepContainer:
        """Start a container, or give the one that this step of this run has started already.

        Raises:
            UnreachableError: no engine answers, or it refused (an unknown image, for example).
        """
        engine = Engine(self._address)
        labels = {RUN_LABEL: run_id, STEP_LABEL: step, NAME_LABEL: name}
        with engine.told(image):
            client = engine.client()
            try:
                found = self._found(client, labels)
                if found is not None:
                    return found
                limits: dict[str, Any] = {"mem_limit": memory_bytes, "pids_limit": pids, "network_mode": network}
                if cpu is not None:
                    limits |= {"cpu_period": _CPU_PERIOD, "cpu_quota": int(cpu * _CPU_PERIOD)}
                given = {key: value for key, value in limits.items() if value is not None}
                made = client.create_container(
                    image,
                    list(command) if command is not None else None,
                    name=container_name(run_id, step, name),
                    environment=dict(env),
                    labels=labels,
                    # What runs for a step gets no rights that it has not got already.
                    host_config=client.create_host_config(security_opt=["no-new-privileges"], init=True, **given),
                )
                client.start(made["Id"])
                return StepContainer(id=made["Id"])
            finally:
                client.close()

    def _found(self, client: APIClient, labels: Mapping[str, str]) -> StepContainer | None:
        """Find what an earlier attempt started; what was made and never started is removed."""
        wanted = {"label": [f"{key}={value}" for key, value in labels.items()]}
        for one in client.containers(all=True, filters=wanted):
            state: dict[str, Any] = client.inspect_container(one["Id"])["State"]
            if state["Status"] == "created":
                client.remove_container(one["Id"], force=True)
                continue
            return StepContainer(id=one["Id"], age_s=_age_s(str(state["StartedAt"])))
        return None

    def wait(self, container: str) -> EndedContainer:
        """Wait for a container's end; raises UnreachableError."""
        engine = Engine(self._address)
        with engine.told(container):
            client = engine.client()
            client.timeout = None
            try:
                usage = usage_until_end(client.inspect_container(container)["State"]["Pid"], container)
                return EndedContainer(code=int(client.wait(container, timeout=None)["StatusCode"]), usage=usage)
            finally:
                client.close()

    def lines(self, container: str) -> list[str]:
        """Give the last lines that a container wrote to stdout; raises UnreachableError."""
        engine = Engine(self._address)
        with engine.told(container):
            client = engine.client()
            try:
                text: bytes = client.logs(container, stdout=True, stderr=False, tail=_MOST_LINES)
            finally:
                client.close()
        return text.decode("utf-8", "replace").splitlines()

    def remove(self, container: str) -> None:
        """Kill and remove a container with its anonymous volumes; one that is gone is no error.

        Raises:
            UnreachableError: the engine refused.
        """
        from docker.errors import APIError  # noqa: PLC0415  # late: 300 ms

        engine = Engine(self._address)
        with engine.told(container):
            client = engine.client()
            try:
                client.remove_container(container, force=True, v=True)
            except APIError as error:
                # 409: somebody else is removing it
                if error.status_code not in {_NOT_FOUND, _CONFLICT}:
                    raise
            finally:
                client.close()


def container_name(run_id: str, step: str, name: str) -> str:
    """Make a name that docker takes and that no other step has."""
    plain = "".join(char if char.isalnum() and char.isascii() else "-" for char in name)[:60].strip("-") or "agent"
    digest = hashlib.sha256(f"{run_id}\0{step}\0{name}".encode()).hexdigest()[:12]
    return f"workflow-agent-{plain}-{digest}"


def _age_s(started: str) -> float:
    """Give the seconds since an engine's time stamp; it writes nanoseconds, which Python does not read."""
    whole = started.partition(".")[0].removesuffix("Z")
    try:
        at = datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0
    return max(0.0, time.time() - at)
