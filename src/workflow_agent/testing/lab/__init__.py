"""Real Debian hosts on one machine, and Docker containers of the same trees: for tests of changes to whole systems.

``image`` builds and caches disks, ``launcher`` starts a host's first process, ``host`` is what tests hold in their
hands, ``engine`` and ``container`` are the same for Docker, ``digest`` reads and compares all files, ``setup`` installs
what a fresh machine lacks.
"""

from __future__ import annotations

from workflow_agent.testing.lab.container import LabContainer
from workflow_agent.testing.lab.digest import FileRecord, diff, digest, grown_logs
from workflow_agent.testing.lab.host import LabHost, LabProcess
from workflow_agent.testing.lab.image import LabKind, base_image

__all__ = [
    "FileRecord",
    "LabContainer",
    "LabHost",
    "LabKind",
    "LabProcess",
    "base_image",
    "diff",
    "digest",
    "grown_logs",
]
