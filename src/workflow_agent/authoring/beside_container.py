"""Services that often run beside a step's container: image, variables, and the command that says it can be used.

They have no password: they are on a network of the step's own, without a published port, and gone with the step.
Source: the pages of these official images; the commands are the ones that each program brings for this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from workflow_agent.model.errors import ValidationError
from workflow_agent.model.nearest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CACHES", "DATABASES", "QUEUES", "known_service"]

DATABASES: Final[Mapping[str, Mapping[str, Any]]] = {
    "postgres": {
        "image": "postgres:17",
        "env": {"POSTGRES_HOST_AUTH_METHOD": "trust", "POSTGRES_DB": "app"},
        # by TCP: while it sets itself up it listens on its socket only
        "ready": ["pg_isready", "-h", "127.0.0.1", "-U", "postgres", "-d", "app"],
    },
    "mysql": {
        "image": "mysql:8.4",
        "env": {"MYSQL_ALLOW_EMPTY_PASSWORD": "yes", "MYSQL_DATABASE": "app"},
        "ready": ["mysqladmin", "ping", "-h", "127.0.0.1", "--silent"],
    },
    "mongodb": {"image": "mongo:8", "ready": ["mongosh", "--quiet", "--eval", "db.runCommand({ping: 1})"]},
    "redis": {"image": "redis:7", "ready": ["redis-cli", "ping"]},
}
CACHES: Final[Mapping[str, Mapping[str, Any]]] = {
    "redis": DATABASES["redis"],
    "memcached": {"image": "memcached:1.6"},
}
QUEUES: Final[Mapping[str, Mapping[str, Any]]] = {
    "rabbitmq": {"image": "rabbitmq:4", "ready": ["rabbitmq-diagnostics", "-q", "check_port_connectivity"]},
    "kafka": {
        "image": "apache/kafka:3.9.1",
        "env": {
            "KAFKA_NODE_ID": "1",
            "KAFKA_PROCESS_ROLES": "broker,controller",
            "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
            "KAFKA_ADVERTISED_LISTENERS": "PLAINTEXT://kafka:9092",
            "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
            "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        },
        "ready": ["/opt/kafka/bin/kafka-topics.sh", "--bootstrap-server", "localhost:9092", "--list"],
    },
}


def known_service(kind: str, known: Mapping[str, Mapping[str, Any]], where: str) -> dict[str, Any]:
    """Give what a kind of service is made of; it is found under the name of its kind.

    Raises:
        ValidationError: there is no such kind here.
    """
    if kind not in known:
        hint = did_you_mean(kind, known) or f"known are {', '.join(f'`{name}`' for name in known)}"
        raise ValidationError(f"no service `{kind[:40]}` is known", where=where, hint=f"{hint}, or use `with_service`")
    return {"name": kind, **known[kind]}
