"""Real Debian hosts on one machine, without containers: for tests and demonstrations of changes to whole systems.

``image`` builds and caches disks, ``launcher`` starts a host's first process, ``host`` is what tests hold in their
hands, ``digest`` reads and compares all files, ``setup`` installs what a fresh machine lacks.
"""

from __future__ import annotations

from workflow_agent.testing.lab.digest import FileRecord, diff, digest, grown_logs
from workflow_agent.testing.lab.host import LabHost, LabProcess
from workflow_agent.testing.lab.image import LabKind, base_image

__all__ = ["FileRecord", "LabHost", "LabKind", "LabProcess", "base_image", "diff", "digest", "grown_logs"]
