"""What needs a capability of the kernel is refused where the target lacks it, before anything is begun."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from workflow_agent.integrations import Registry, bind_parameters, builtin_folder, resolve
from workflow_agent.model.capability import Capability, usable_capabilities
from workflow_agent.model.errors import MissingCapabilityError
from workflow_agent.model.system import InitKind
from workflow_agent.targets.capabilities import capabilities_of

if TYPE_CHECKING:
    from tests.unit.integrations.target_facts import DEBIAN
else:  # pytest puts this folder on the path, the type checker knows modules from the root
    from target_facts import DEBIAN


FACTS = replace(DEBIAN, target="docker:web", hostname="web", init=InitKind.NONE)
#: What Docker gives without being asked. Source: its documentation, "Runtime privilege and Linux capabilities".
DOCKER = 0xA80425FB
ALL = (1 << len(Capability)) - 1


def test_auditd_in_a_container_ends_as_capability_missing() -> None:
    manifest = Registry([builtin_folder()]).get("auditd")
    found = usable_capabilities(DOCKER, first_user_namespace=True, first_pid_namespace=False)

    with pytest.raises(MissingCapabilityError) as caught:
        resolve(manifest, "install", {}, replace(FACTS, capabilities=found))

    assert caught.value.message == "capability missing: auditd needs AUDIT_CONTROL"
    assert caught.value.where == "docker:web"
    assert caught.value.state == "nothing was changed"


def test_what_is_there_can_be_removed_without_the_capability() -> None:
    manifest = Registry([builtin_folder()]).get("auditd")

    assert resolve(manifest, "uninstall", {}, replace(FACTS, capabilities=())).action == "uninstall"


def test_where_nobody_can_say_nothing_is_refused() -> None:
    manifest = Registry([builtin_folder()]).get("auditd")

    assert resolve(manifest, "install", bind_parameters(manifest, {}), FACTS).action == "install"


def test_a_capability_is_needed_only_under_its_condition() -> None:
    manifest = Registry([builtin_folder()]).get("chrony")
    facts = replace(FACTS, capabilities=())

    assert resolve(manifest, "install", bind_parameters(manifest, {"set_clock": False}), facts).action == "install"
    with pytest.raises(MissingCapabilityError, match="SYS_TIME"):
        resolve(manifest, "install", bind_parameters(manifest, {"set_clock": True}), facts)


def test_the_bits_are_those_of_the_kernel() -> None:
    docker = usable_capabilities(DOCKER, first_user_namespace=True, first_pid_namespace=False)

    assert docker == (
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW"),
        *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    )


def test_what_is_of_the_whole_machine_no_namespace_has() -> None:
    own = usable_capabilities(ALL, first_user_namespace=True, first_pid_namespace=True)
    hosted = usable_capabilities(ALL, first_user_namespace=True, first_pid_namespace=False)
    user = usable_capabilities(ALL, first_user_namespace=False, first_pid_namespace=True)

    assert set(own) == {one.value for one in Capability}
    assert set(own) - set(hosted) == {"AUDIT_CONTROL"}
    assert {"SYS_TIME", "AUDIT_CONTROL", "SYS_MODULE"} <= set(own) - set(user)
    assert "SYS_ADMIN" in user


def test_the_capabilities_of_this_machine_are_read() -> None:
    found = capabilities_of(0)

    assert found is not None
    assert set(found) <= {one.value for one in Capability}
    assert capabilities_of(1 << 30) is None
