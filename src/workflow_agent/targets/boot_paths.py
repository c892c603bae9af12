"""What a machine boots from: changes there are taken back logically, not by an exchange of files (rule 17). Pure.

A boot loader may know where a file lies and not only its name, and the kernel that runs may be the new one by the time
somebody rolls back: its modules would go away under it. Modules that others add to a kernel (``updates``, ``extra``,
as DKMS does) are not part of it: no boot depends on them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from workflow_agent.model.system import Tier

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["boot_note", "boot_tier"]

_BOOTS = re.compile(
    r"/(boot|efi)(/|$)"
    r"|/(vmlinuz|initrd\.img)(\.old)?$"
    r"|(/usr)?/lib/modules/[^/]+/(kernel(/|$)|vmlinuz$)"
)
_MODULES = ("/usr/lib/modules/", "/lib/modules/")
_SHOWN = 3


def boot_tier(paths: Iterable[str], *, has_inverse: bool) -> tuple[Tier, str | None]:
    """Give the tier of a plan that changes these paths, and why it is not exact.

    Args:
        paths: What is changed, escaped.
        has_inverse: Whether an uninstall or the earlier versions of packages would take it back.
    """
    found = [path for path in paths if _BOOTS.match(path)]
    if not found:
        return Tier.EXACT, None
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    reason = f"it changes what the machine boots from: {', '.join(found[:_SHOWN])}{more}"
    return (Tier.LOGICAL, reason) if has_inverse else (Tier.NEEDS_ATTENTION, reason)


def boot_note(paths: Iterable[str]) -> str | None:
    """Say what a person should know of changes to a kernel; None where there are none."""
    if any(_BOOTS.match(path) or path.startswith(_MODULES) for path in paths):
        return "the kernel or what it boots from changes: a rollback does not change the running kernel"
    return None
