"""The capture of a person without root: an overlay over their home folder, in a user namespace of its own.

Part of the program that runs a script. In the namespace each id is itself and no other is known: nothing can come to
belong to root, and where a file belongs to somebody else the kernel refuses as it does outside. The capabilities that
the mounts need end with the script's first exec. Standard library only.

Source: user_namespaces(7), mount_namespaces(7) (what came from a more privileged namespace is locked together, so it is
bound as a whole), overlayfs.rst (userxattr), Linux >= 5.12.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import Any

from workflow_agent.targets import linux

__all__ = ["enter_user_namespace", "home_overlay_options", "make_user_devices", "mount_home", "written_outside"]

#: Private to the capture, in memory. What lies in them on the target is somebody's who runs.
_MEMORY = ("/run", "/tmp", "/var/tmp", "/dev")
#: Of the capture, or the kernel's.
_OWN = frozenset({"/proc", "/sys", "/dev", "/run", "/tmp"})
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_NO_DEVICES = linux.MS_NOSUID | linux.MS_NODEV


def enter_user_namespace(uid: int, gid: int) -> None:
    """Leave for a user namespace in which the ids are what they are outside; the caller has one thread."""
    try:
        linux.unshare(linux.CLONE_NEWUSER)
    except OSError as error:
        # ENOSPC is how it says that the limit is reached, which is 0 where they are turned off.
        why = "the limit user.max_user_namespaces is reached" if error.errno == errno.ENOSPC else error.strerror
        raise OSError(error.errno, f"people without root get no user namespace here: {why}") from error
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as stream:
            stream.write(text)


def home_overlay_options(lower: str, upper: str, work: str) -> str:
    """Give the options of the overlay; the paths are escaped by the caller.

    Without `index`, for which the kernel wants more than a user namespace has: of files with several names `plan`
    refuses what cannot be told.
    """
    layers = f"lowerdir={lower},upperdir={upper},workdir={work}"
    return f"{layers},redirect_dir=nofollow,metacopy=off,index=off,volatile,userxattr"


def mount_home(stage: str, home: dict[str, Any], options: str) -> str:  # Any: JSON
    """Mount everything below the stage, a folder of the home; gives the new root.

    Outside the home folder the script may do what its owner may, on overlays in memory that nobody commits: so it is
    refused what it would be refused outside, with the same words, and `written_outside` tells of the rest. What cannot
    have such an overlay, because something else is mounted in it, is read-only.

    Args:
        stage: An empty folder.
        home: ``{point, hidden}``: the home folder, and folders in it that the script does not see.
        options: Of the overlay.
    """
    point = home["point"]
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("workflow-agent", stage, "tmpfs", _NO_DEVICES, "mode=0700")
    root, over = f"{stage}/root", f"{stage}/home"
    os.mkdir(root)
    os.mkdir(over)
    # First: a private folder may hide the home, as where that lies in /tmp.
    linux.mount("workflow-agent", over, "overlay", linux.MS_NODEV, options)
    linux.mount("/", root, None, linux.MS_BIND | linux.MS_REC)
    linux.make_read_only(root)
    _mount_outside(stage, root)
    for path in _MEMORY:
        if os.path.isdir(root + path) and not os.path.islink(root + path):
            linux.mount(
                "workflow-agent", root + path, "tmpfs", _NO_DEVICES, "mode=1777" if "tmp" in path else "mode=0755"
            )
    if not os.path.isdir(root + point):
        os.makedirs(root + point)
    linux.mount(over, root + point, None, linux.MS_BIND)
    for path in home["hidden"]:
        _hide(root + path)
    return root


def _mount_outside(stage: str, root: str) -> None:
    os.mkdir(f"{stage}/outside")
    for name in os.listdir("/"):
        folder = f"{stage}/outside/{name}"
        if f"/{name}" in _OWN or os.path.islink(f"/{name}") or not os.path.isdir(f"/{name}"):
            continue
        for part in ("", "/upper", "/work"):
            os.mkdir(folder + part, 0o700)
        # Shown as one's own, because nobody else is known here: so it allows what the real one does.
        os.chmod(f"{folder}/upper", sum(bit << 6 for bit in (os.R_OK, os.W_OK, os.X_OK) if os.access(f"/{name}", bit)))
        options = home_overlay_options(
            *(one.replace(":", "\\:") for one in (f"/{name}", f"{folder}/upper", f"{folder}/work"))
        )
        with suppress(OSError):
            linux.mount("workflow-agent", f"{root}/{name}", "overlay", linux.MS_NODEV, options)


def written_outside(stage: str) -> list[str]:
    """List what the script changed outside the home folder, as far as its owner may."""
    found = []
    for name in sorted(os.listdir(f"{stage}/outside")):
        top = f"{stage}/outside/{name}/upper"
        for folder, folders, files in os.walk(top):
            inner = folder[len(top) :]
            found += [f"/{name}{inner}/{one}" for one in files]
            found += [f"/{name}{inner}/{one}" for one in folders if not os.listdir(f"{folder}/{one}")]
    return found


def _hide(path: str) -> None:
    if os.path.isdir(path):
        linux.mount("workflow-agent", path, "tmpfs", _NO_DEVICES, "mode=0700,size=4k")
        linux.mount("none", path, None, linux.MS_BIND | linux.MS_REMOUNT | linux.MS_RDONLY | _NO_DEVICES)


def make_user_devices(folder: str) -> None:
    """Fill a private /dev with what a script may expect there; the devices are those of the target."""
    for name in _DEVICES:
        with open(f"{folder}/{name}", "wb"):
            pass
        linux.mount(f"/dev/{name}", f"{folder}/{name}", None, linux.MS_BIND)
