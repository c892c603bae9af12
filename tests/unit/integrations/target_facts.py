"""Facts of a target that tests put others in the place of."""

from __future__ import annotations

from workflow_agent.model.system import InitKind, TargetFacts, Tier

DEBIAN = TargetFacts(
    target="host",
    hostname="example",
    os_id="debian",
    os_version="12",
    os_codename="bookworm",
    os_like=(),
    architecture="x86_64",
    kernel="6.1",
    init=InitKind.SYSTEMD,
    package_manager="apt",
    is_root=True,
    tier=Tier.EXACT,
)
