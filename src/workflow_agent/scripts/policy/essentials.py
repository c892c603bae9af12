"""Files without which a system does not start, log in, resolve or install: by name, by pattern, by search."""

from __future__ import annotations

import posixpath
import re
from fnmatch import fnmatchcase, translate
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["essential_file", "essentials_found"]

_CONFIGURATION = frozenset(
    [
        "/etc/passwd",
        "/etc/shadow",
        "/etc/group",
        "/etc/gshadow",
        "/etc/sudoers",
        "/etc/fstab",
        "/etc/crypttab",
        "/etc/nsswitch.conf",
        "/etc/inittab",
        "/etc/ld.so.conf",
        "/etc/ld.so.cache",
        "/etc/login.defs",
        "/etc/profile",
        "/etc/shells",
        "/etc/securetty",
        "/etc/ssh/sshd_config",
        "/etc/pam.d/common-auth",
        "/etc/pam.d/common-account",
        "/etc/pam.d/common-password",
        "/etc/pam.d/common-session",
        "/etc/pam.d/login",
        "/etc/pam.d/sshd",
        "/etc/pam.d/sudo",
        "/etc/pam.d/su",
        "/etc/pam.d/other",
        "/etc/pam.d/system-auth",
        "/boot/vmlinuz",
        "/boot/initrd.img",
        "/boot/grub/grub.cfg",
        "/boot/grub2/grub.cfg",
        "/vmlinuz",
        "/initrd.img",
        "/var/lib/dpkg/status",
        "/var/lib/dpkg/available",
        "/var/lib/dpkg/diversions",
        "/var/lib/dpkg/statoverride",
        "/var/lib/dpkg/info/dpkg.list",
        "/var/lib/rpm/Packages",
        "/var/lib/rpm/rpmdb.sqlite",
    ]
)
_PROGRAMS = frozenset(
    [
        "sh",
        "bash",
        "dash",
        "ls",
        "cp",
        "mv",
        "rm",
        "cat",
        "chmod",
        "chown",
        "ln",
        "mkdir",
        "tar",
        "gzip",
        "sed",
        "grep",
        "awk",
        "mawk",
        "gawk",
        "env",
        "login",
        "su",
        "sudo",
        "mount",
        "umount",
        "passwd",
        "dpkg",
        "apt",
        "apt-get",
        "rpm",
        "dnf",
        "yum",
        "apk",
        "perl",
        "python3",
        "init",
        "systemd",
        "systemctl",
        "ldconfig",
        "sshd",
        "ip",
        "agetty",
        "getty",
        "busybox",
        "find",
        "test",
        "dpkg-deb",
        "tee",
        "head",
        "mktemp",
        "stat",
        "touch",
        "date",
        "id",
        "readlink",
    ]
)
_LIBRARIES = frozenset(
    [
        "libc.so.6",
        "libc-2.31.so",
        "ld-linux-x86-64.so.2",
        "ld-linux-aarch64.so.1",
        "ld-linux.so.2",
        "libm.so.6",
        "libpthread.so.0",
        "libdl.so.2",
        "libcrypt.so.1",
        "libpam.so.0",
        "libselinux.so.1",
        "libsystemd.so.0",
        "libcrypto.so.3",
        "libssl.so.3",
        "libz.so.1",
        "libtinfo.so.6",
        "libpcre2-8.so.0",
        "libacl.so.1",
        "libnss_files.so.2",
        "systemd/systemd",
        "systemd/libsystemd-shared-252.so",
    ]
)
_TRIPLETS = ("x86_64-linux-gnu", "aarch64-linux-gnu")
_MERGED = re.compile(r"^/(bin|sbin|lib|lib32|lib64)(?=/|$)")
_VERSIONED = (
    (re.compile(r"^/usr/lib(32|64)?(/[a-z0-9_]+-linux-[a-z0-9]+)?/(?=[^/]+\.so)"), "/usr/lib/"),
    (re.compile(r"^/usr/sbin/"), "/usr/bin/"),
    (re.compile(r"^/usr/lib/(libc|ld)-[0-9.]+\.so$"), "/usr/lib/libc.so.6"),
    (re.compile(r"^/usr/lib/(lib(c|crypto|ssl|pam|systemd|selinux)|ld-linux[^/]*)\.so[0-9.]*$"), "/usr/lib/libc.so.6"),
    (re.compile(r"^/boot/(vmlinuz|initrd\.img|initramfs)(-[0-9][^/]*)?$"), "/boot/vmlinuz"),
    (re.compile(r"^/var/lib/dpkg/info/[^/*?\[]+$"), "/var/lib/dpkg/info/dpkg.list"),
)
#: A pattern of names, or of whole paths.
_Test = tuple[re.Pattern[str], bool]
_MAX_STARS = 4
_GLOB = re.compile(r"[*?\[]")


@cache
def _all() -> tuple[str, ...]:
    """Every representative, also under the names that folders of several architectures give it."""
    libraries = [f"/usr/lib/{name}" for name in _LIBRARIES]
    libraries += [f"/usr/lib/{triplet}/{name}" for triplet in _TRIPLETS for name in _LIBRARIES if "/" not in name]
    programs = [f"/usr/{folder}/{name}" for folder in ("bin", "sbin") for name in _PROGRAMS]
    return tuple(sorted({*_CONFIGURATION, *libraries, *programs}))


@cache
def _known() -> frozenset[str]:
    return frozenset(_all())


def _canonical(path: str) -> str:
    """Give the one name of a path where folders are merged below ``/usr``."""
    return _MERGED.sub(r"/usr/\1", "/" + posixpath.normpath(path).lstrip("/")).replace("/usr/lib64/", "/usr/lib/")


def essential_file(path: str) -> str | None:
    """Give the essential file that an absolute path or pattern means, or None."""
    if not path.startswith("/"):
        return None
    whole = _canonical(path)
    if _GLOB.search(whole):
        names = whole.split("/")
        alike = (file for file in _all() if file.count("/") == whole.count("/"))
        return next((file for file in alike if all(map(fnmatchcase, file.split("/"), names))), None)
    for pattern, name in _VERSIONED:
        if pattern.search(whole) and pattern.sub(name, whole) in _known():
            return whole
    return whole if whole in _known() else None


def essentials_found(roots: Sequence[str], tests: Sequence[str]) -> str | None:
    """Give an essential file that a ``find`` below some roots does find, or None.

    Only tests that name files (``-name``, ``-path``, ``-regex``) or their owner keep one from being found; age, size,
    mode and type do not.
    """
    alternatives: list[list[str]] = [[]]
    for word in tests:
        if word in ("-o", "-or"):
            alternatives.append([])
        else:
            alternatives[-1].append(word)
    depth = next((int(value) for word, value in pairwise(tests) if word == "-maxdepth" and value.isdigit()), 99)
    for given in alternatives:
        if "-prune" in given or _spares_by_kind(given):
            continue
        for root in roots:
            file = _first_below(root, depth, _patterns(given))
            if file:
                return file
    return None


def _first_below(root: str, depth: int, names: Sequence[_Test]) -> str | None:
    if not root.startswith("/"):
        return None
    below = _canonical(root).rstrip("/") + "/"
    for file in _all():
        near = file.startswith(below) and file.count("/") - below.count("/") < depth
        if near and all(test.fullmatch(file if whole else posixpath.basename(file)) for test, whole in names):
            return file
    return None


def _patterns(tests: Sequence[str]) -> list[_Test]:
    found: list[_Test] = []
    for before, word, value in zip(["", *tests], tests, [*tests[1:], ""], strict=False):
        if before in ("!", "-not"):
            continue
        flags = re.IGNORECASE if word.startswith("-i") else 0
        if word in ("-name", "-iname", "-path", "-ipath", "-wholename", "-iwholename"):
            found.append((re.compile(translate(value), flags), word not in ("-name", "-iname")))
        elif word in ("-regex", "-iregex"):
            found.append((_regex(value, flags), True))
    return found


def _regex(value: str, flags: int) -> re.Pattern[str]:
    """Compile what cannot take long; any other expression is taken to find nothing essential."""
    plain = re.fullmatch(r"(?:[\w/ -]|\\\.|\.\*?)*", value) and value.count("*") <= _MAX_STARS
    return re.compile(value if plain else r"(?!)", flags)


def _spares_by_kind(tests: Sequence[str]) -> bool:
    owners = {"-user", "-group", "-uid", "-gid"}
    named = any(
        word in owners and value not in ("root", "0") and before not in ("!", "-not")
        for before, word, value in zip(["", *tests], tests, [*tests[1:], ""], strict=False)
    )
    folders = any(word == "-type" and value not in ("f", "l") for word, value in pairwise(tests))
    return named or folders or bool({"-nouser", "-nogroup", "-empty", "-inum", "-samefile"} & set(tests))
