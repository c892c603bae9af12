"""What a machine needs before it can carry lab hosts: finding out, and installing what is missing.

What belongs here: programs and kernel features. What does not: images (``image``).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_agent.model.errors import PermissionDeniedError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["install_looking_programs", "install_packages", "install_programs", "missing_programs", "obstacle"]

# program -> Debian package
_PROGRAMS = {
    "debootstrap": "debootstrap",
    "mkfs.ext4": "e2fsprogs",
    "resize2fs": "e2fsprogs",
    "mount": "mount",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "fallocate": "util-linux",
}
#: What single tests look with: shells that complete, readers of manual pages. Without one its tests are skipped.
_LOOKING = {"zsh": "zsh", "fish": "fish", "mandoc": "mandoc", "groff": "groff-base", "sshd": "openssh-server"}
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_SYSTEM_FOLDERS = "/usr/sbin:/usr/bin:/sbin:/bin"


def missing_programs() -> list[str]:
    """Name the Debian packages whose programs are not here, sorted."""
    path = f"{os.environ.get('PATH', '')}:{_SYSTEM_FOLDERS}"
    missing = {package for program, package in _PROGRAMS.items() if shutil.which(program, path=path) is None}
    if not _KEYRING.exists():
        missing.add("debian-archive-keyring")
    return sorted(missing)


def install_programs() -> list[str]:
    """Install what is missing with apt; gives the packages that it installed.

    Raises:
        PermissionDeniedError: Something is missing and this is not root.
        UnreachableError: apt failed.
    """
    missing = missing_programs()
    if not missing:
        return []
    if os.geteuid() != 0:
        message = f"installing {', '.join(missing)} needs root"
        raise PermissionDeniedError(message, hint=f"apt-get install {' '.join(missing)}")
    install_packages(missing)
    return missing


def install_looking_programs() -> list[str]:
    """Install what single tests look with, as root on CI; gives the packages. What does not come is no error."""
    missing = sorted(package for program, package in _LOOKING.items() if shutil.which(program) is None)
    if not missing or os.geteuid() != 0 or os.environ.get("CI") != "true":
        return []
    try:
        install_packages(missing)
    except UnreachableError:
        return []
    return missing


def install_packages(names: Sequence[str]) -> None:
    """Install Debian packages, without what they only recommend; raises UnreachableError when apt fails."""
    # Programs are wanted, none of the services that come with them. Source: systemctl(1), invoke-rc.d(8).
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "SYSTEMD_OFFLINE": "1", "RUNLEVEL": "1"}
    for command in (("update", "-q"), ("install", "-y", "-q", "--no-install-recommends", *names)):
        done = subprocess.run(
            ["apt-get", *command],
            check=False,
            capture_output=True,
            text=True,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
    # update may fail for a foreign source; what counts is that the packages came
    if done.returncode != 0:
        message = f"apt-get could not install {' '.join(names)}"
        raise UnreachableError(message, cause=(done.stdout + done.stderr).strip()[-2000:])


def obstacle() -> str | None:
    """Say in one sentence why no lab host can run here; None when nothing speaks against it."""
    if os.geteuid() != 0:
        return "a lab host needs root (loop devices, mounts, namespaces)"
    if missing := missing_programs():
        return f"{', '.join(missing)} missing: python -m workflow_agent.testing.lab setup installs it"
    if not Path("/dev/loop-control").exists():
        return "the machine has no loop devices (/dev/loop-control)"
    tried = subprocess.run(
        ["unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup", "--fork", "true"],
        check=False,
        capture_output=True,
        text=True,
    )
    if tried.returncode != 0:
        return f"namespaces cannot be made: {tried.stderr.strip()}"
    return None
