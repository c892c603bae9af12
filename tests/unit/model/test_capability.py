"""Which capabilities the kernel lets a process use."""

from __future__ import annotations

from workflow_agent.model.capability import Capability, usable_capabilities

ALL = (1 << len(Capability)) - 1


def test_a_set_of_bits_is_named() -> None:
    bits = 1 << [*Capability].index(Capability.NET_BIND_SERVICE) | 1 << [*Capability].index(Capability.CHOWN)

    found = usable_capabilities(bits, first_user_namespace=True, first_pid_namespace=True)

    assert found == (Capability.CHOWN.value, Capability.NET_BIND_SERVICE.value)


def test_what_is_of_the_machine_is_of_no_use_in_namespaces() -> None:
    everywhere = usable_capabilities(ALL, first_user_namespace=True, first_pid_namespace=True)
    in_users = usable_capabilities(ALL, first_user_namespace=False, first_pid_namespace=True)
    in_processes = usable_capabilities(ALL, first_user_namespace=True, first_pid_namespace=False)

    assert len(everywhere) == len(Capability)
    assert {Capability.SYS_TIME.value, Capability.SYS_MODULE.value}.isdisjoint(in_users)
    assert Capability.CHOWN.value in in_users
    assert set(everywhere) - set(in_processes) == {Capability.AUDIT_CONTROL.value}
