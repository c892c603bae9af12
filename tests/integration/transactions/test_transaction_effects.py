"""A committed transaction is as if the script had run directly; a rollback restores every entry exactly.

Each case is tried twice over: commit, rollback, commit again (redo), rollback again. A second host, on which the same
script ran directly, says what the effects have to be.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import pytest

from workflow_agent.model.errors import CaptureError
from workflow_agent.testing.lab import LabHost, diff, digest
from workflow_agent.testing.transactions import Trial, without_new_times

if TYPE_CHECKING:
    from collections.abc import Iterator

_SETXATTR = {"x86_64": 188, "aarch64": 5}[platform.machine()]

#: The minimal system has neither setfattr nor setcap nor setfacl, but it has perl.
TOOLS = f"""
xattr() {{
    perl -e 'my ($f, $n, $v) = @ARGV; $v = pack "H*", $v;
             syscall({_SETXATTR}, $f, $n, $v, length $v, 0) == 0 or die "$f: $!"' "$@"
}}
unix_socket() {{
    perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un($ARGV[0])) or die $!' "$1"
}}
"""
#: u::rw- u:42:r-- g::r-- m::r-- o::r-- as posix_acl_xattr.h has it.
_ACL = "0200000001000600ffffffff020004002a00000004000400ffffffff10000400ffffffff20000400ffffffff"
_CAPABILITY = "0000000200040000000000000000000000000000"

#: name -> (what is there before, the script); both run in the case's own folder.
CASES: dict[str, tuple[str, str]] = {
    "create": ("mkdir d", "echo new > d/file; mkdir -p d/deep/er; echo x > d/deep/er/y"),
    "edit": ("echo old > f", "echo new > f"),
    "edit-in-place": ("echo 'a b c' > f", "printf X | dd of=f bs=1 seek=2 conv=notrunc status=none"),
    "truncate": ("head -c 100000 /dev/zero > f", "truncate -s 7 f"),
    "more-folders-than-are-kept-open": (
        "for i in $(seq 230); do mkdir d$i; echo old > d$i/f; done",
        "for i in $(seq 230); do echo new > d$i/f; echo more > d$i/g; done",
    ),
    "delete": ("echo a > f; mkdir d; echo b > d/g", "rm f d/g"),
    "delete-tree": ("mkdir -p d/e/f; echo b > d/e/f/g; ln -s g d/e/f/l; mkfifo d/p", "rm -r d"),
    "chmod": ("echo a > f; mkdir d", "chmod 4711 f; chmod 1770 d"),
    "chown": ("echo a > f; mkdir d; ln -s f l", "chown 7:9 f d; chown -h 3:4 l"),
    "xattr": ("echo a > f; mkdir d; xattr f user.old 6f6c64", "xattr f user.new 6e6577; xattr d user.dir 64"),
    "acl": ("echo a > f; mkdir d", f"xattr f system.posix_acl_access {_ACL}; xattr d system.posix_acl_default {_ACL}"),
    "capability": ("cp /bin/true f", f"xattr f security.capability {_CAPABILITY}"),
    "retarget": ("ln -s /etc/passwd l", "ln -sfn ../elsewhere l"),
    "dangling": ("true", "ln -s /nowhere l; ln -s loop loop"),
    "file-to-folder": ("echo a > f", "rm f; mkdir f; echo b > f/inner"),
    "folder-to-file": ("mkdir d; echo a > d/x; mkdir d/y", "rm -r d; echo b > d"),
    "link-to-folder": ("mkdir real; echo r > real/x; ln -s real l", "rm l; mkdir l; echo b > l/x"),
    "folder-to-link": ("mkdir d; echo a > d/x", "rm -r d; ln -s elsewhere d"),
    "opaque": ("mkdir d; echo a > d/x; echo b > d/y; mkdir d/z", "rm -r d; mkdir d; echo c > d/x; chmod 700 d"),
    "opaque-same": ("mkdir d; echo a > d/x", "rm -r d; mkdir d; echo a > d/x"),
    "move-folder": ("mkdir -p d/e; echo a > d/e/x; chown -R 5:6 d", "mv d moved; echo more >> moved/e/x"),
    "move-file": ("echo a > x; mkdir d; echo b > d/y", "mv x d/x2; mv d/y ."),
    "move-over": ("echo a > x; echo b > y", "mv x y"),
    "swap": ("echo a > x; echo b > y", "mv x t; mv y x; mv t y"),
    "linked-edit": ("mkdir d e; echo a > d/x; ln d/x e/y; ln d/x z", "echo more >> e/y"),
    "linked-chmod": ("echo a > x; ln x y", "chmod 600 y"),
    "linked-remove-one": ("echo a > x; ln x y; ln x z", "rm y"),
    "linked-edit-then-remove": ("echo a > x; ln x y; ln x z", "echo more >> x; rm x"),
    "linked-split": ("echo a > x; ln x y", "cp -p x t; mv t x"),
    "linked-replace-other": ("echo a > x; ln x y; echo c > c", "mv c y"),
    "linked-over-linked": ("echo a > a1; ln a1 a2; echo b > b1; ln b1 b2", "mv -f a1 b1"),
    "linked-in-removed-folder": ("mkdir d; echo a > x; ln x d/y", "echo more >> x; rm -r d"),
    "link-new": ("echo a > x", "ln x y"),
    "link-new-of-linked": ("echo a > x; ln x y; mkdir d", "ln y d/z"),
    "link-new-in-new-folder": ("echo a > x", "mkdir n; ln x n/y"),
    "link-to-changed": ("echo a > x", "echo b > x; ln x y"),
    "fifo": ("mkfifo p", "rm p; mkfifo -m 640 q; mkfifo p"),
    "socket": ("true", "unix_socket s"),
    "device": ("true", "mknod null c 1 3; chmod 666 null"),
    "sparse": ("truncate -s 50M f", "printf end | dd of=f bs=1 seek=30M conv=notrunc status=none"),
    "times": ("echo a > f", "touch -d '2001-02-03 04:05:06.789012345' f; touch -d '1999-01-01 00:00:00.5' g"),
    "touch": ("echo a > f; mkdir d", "touch f d"),
    "same-content": ("echo a > f", "echo a > f"),
    "newline-names": (
        "printf a > $'a\\nb'",
        "printf b > $'a\\nb'; printf c > $'\\ttab \\\\ back'; mkdir $'d\\n'; echo > $'d\\n/x'",
    ),
    "raw-names": ("printf a > $'\\xff\\xfe'", "printf b > $'\\xff\\xfe'; ln -s $'\\x80' $'\\xc3'; rm -f nothing"),
    "overlay-words": ("printf a > 'a,b:c\\d'", "printf b > 'a,b:c\\d'; mkdir 'x:y,z'; echo > 'x:y,z/w'"),
    "own-temporary": ("echo a > f", "echo t > tmp; rm tmp; mkdir t; rmdir t"),
    "restored": ("echo a > f", "mv f g; mv g f"),
    "many": (
        "mkdir d; for i in $(seq 300); do echo $i > d/$i; done",
        "for i in $(seq 2 2 300); do rm d/$i; done; echo > d/1",
    ),
    "root-folder": ("true", "chmod 711 ."),
    "empty-folder-in-new": ("mkdir d", "mkdir -p d/a/b/c; chmod 2750 d/a; chown 1:2 d/a/b"),
}


@pytest.fixture(scope="module")
def twin(lab: None) -> Iterator[LabHost]:
    """The host on which every script runs directly."""
    with LabHost("plain") as host:
        yield host


def set_up(host: LabHost, case: str) -> None:
    """Make what is there before a case, with old times."""
    before, _ = CASES[case]
    host.run(["bash", "-euc", f"{TOOLS}\nmkdir -p '/srv/{case}'; cd '/srv/{case}'\n{before}"])
    host.run(["bash", "-euc", f"find '/srv/{case}' -depth -exec touch -h -d '2001-01-01 01:01:01.5' {{}} +"])


@pytest.mark.parametrize("case", list(CASES))
async def test_effects_are_as_if_run_directly_and_come_off_exactly(trial: Trial, twin: LabHost, case: str) -> None:
    script = f"{TOOLS}\ncd '/srv/{case}'\n{CASES[case][1]}"
    set_up(trial.lab, case)
    set_up(twin, case)
    before, top = trial.look(f"/srv/{case}"), trial.look("/srv")["/"]
    twin.run(["bash", "-euc", script])
    wanted = without_new_times(digest(twin.root / f"srv/{case}", excluded=()))

    transaction = await trial.apply(script)
    for _ in range(2):
        got = without_new_times(trial.look(f"/srv/{case}"))
        result = await trial.target.rollback(transaction)
        back = trial.look(f"/srv/{case}")
        assert diff(wanted, got) == []
        assert diff(before, back) == []
        assert trial.look("/srv")["/"] == top
        assert result["exact"]
        await trial.target.commit(transaction)
    await trial.target.rollback(transaction)


async def test_a_name_of_a_changed_file_that_nobody_can_see_is_refused_with_those_that_are_known(trial: Trial) -> None:
    trial.shell("mkdir -p /srv/hidden/below; echo a > /srv/hidden/x; ln /srv/hidden/x /srv/hidden/below/y")
    before = trial.look("/srv/hidden")
    trial.shell("mount -t tmpfs none /srv/hidden/below")
    try:
        with pytest.raises(CaptureError, match="names that were not found") as caught:
            await trial.capture("echo more >> /srv/hidden/x")
    finally:
        trial.shell("umount /srv/hidden/below")

    assert caught.value.cause == "2 names exist, found: /srv/hidden/x"
    assert diff(before, trial.look("/srv/hidden")) == []
    assert f"{trial.run_id}.1" not in trial.leftovers()


async def test_a_folder_that_moves_is_copied_and_links_that_lead_out_of_it_are_cut(trial: Trial) -> None:
    """The kernel refuses to rename a folder of the target inside a capture, so `mv` copies and deletes."""
    trial.shell("mkdir -p /srv/cut/d; cd /srv/cut; echo a > x; ln x d/y; echo z > d/z; ln d/z d/zz")
    before = trial.look("/srv/cut")

    transaction = await trial.apply("cd /srv/cut; mv d e; echo more >> e/y")

    assert trial.shell("cat /srv/cut/x /srv/cut/e/y") == "a\na\nmore\n"
    assert trial.look("/srv/cut")["/e/z"].names == ("/e/z", "/e/zz")
    await trial.target.rollback(transaction)
    assert diff(before, trial.look("/srv/cut")) == []


async def test_a_file_that_an_earlier_before_image_shares_can_be_changed(trial: Trial) -> None:
    trial.shell("mkdir /srv/shared; cd /srv/shared; echo a > x; ln x y")
    before = trial.look("/srv/shared")
    first = await trial.apply("rm /srv/shared/y")
    second = await trial.apply("echo b >> /srv/shared/x")

    assert trial.shell("cat /srv/shared/x") == "a\nb\n"
    await trial.target.rollback(second)
    await trial.target.rollback(first)

    assert diff(before, trial.look("/srv/shared")) == []


async def test_what_files_set_in_the_kernel_is_told(trial: Trial) -> None:
    script = "mkdir -p /etc/modules-load.d /etc/sysctl.d; echo wireguard >/etc/modules-load.d/wa.conf"
    transaction, change_set = await trial.capture(f"{script}; echo net.ipv4.ip_forward=1 >/etc/sysctl.d/9-wa.conf")
    told = [(one["kind"], one["name"], one["action"], one["value"]) for one in change_set.kernel]
    assert told == [("module", "wireguard", "added", ""), ("sysctl", "net.ipv4.ip_forward", "added", "1")]
    await trial.target.discard(transaction)
