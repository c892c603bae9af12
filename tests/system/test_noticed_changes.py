"""What a started service changes in the running system: noticed, shown, and put back by a rollback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.machine import Machine

pytestmark = [pytest.mark.root, pytest.mark.slow]

SCRIPT = r"""#!/bin/bash
set -eu
cat >/usr/local/bin/forwarder <<'P'
#!/usr/bin/perl
use IO::Socket::INET;
sub set { open(my $f, ">", "/proc/sys/net/ipv4/$_[0]") or die; print $f "$_[1]\n"; close $f or die }
set("ip_forward", 1);
set("tcp_keepalive_time", 1234);
system("mount", "-t", "tmpfs", "forwarder", "/opt") == 0 or die;
system("mkdir /opt/inner && mount -t tmpfs forwarder /opt/inner") == 0 or die;
my $s = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 7913, Proto => "tcp", Listen => 5) or die;
exit 0 if fork;
sleep;
P
chmod 755 /usr/local/bin/forwarder
cat >/etc/systemd/system/forwarder.service <<'U'
[Service]
Type=forking
ExecStart=/usr/local/bin/forwarder
U
systemctl start forwarder
"""

SETTINGS = ("net.ipv4.ip_forward", "net.ipv4.tcp_keepalive_time")


def opened(machine: Machine) -> None:
    """Let services of the machine set what is its own in the kernel (that of its network); else that is read-only."""
    machine.host.run(["mount", "-o", "remount,bind,rw", "/proc/sys"])
    machine.host.run(["sh", "-c", "cd /proc/sys/net/ipv4; echo 0 >ip_forward; echo 7200 >tcp_keepalive_time"])


def settings(machine: Machine) -> list[str]:
    """Read the two settings as the machine has them."""
    paths = ["/proc/sys/" + name.replace(".", "/") for name in SETTINGS]
    return machine.host.run(["cat", *paths]).stdout.split()


def tied_settings(machine: Machine) -> list[str]:
    """Read what forwarding sets as well."""
    folder = "/proc/sys/net/ipv4/conf/all"
    return machine.host.run(["cat", f"{folder}/forwarding", f"{folder}/accept_redirects"]).stdout.split()


@pytest.mark.parametrize("machine", [pytest.param("systemd", marks=pytest.mark.systemd)], indirect=True)
def test_what_a_service_changed_in_the_running_system_is_shown_and_put_back(machine: Machine) -> None:
    opened(machine)
    (machine.folder / "own.sh").write_text(SCRIPT, encoding="utf-8")
    before, was, tied_before = machine.world(), settings(machine), tied_settings(machine)

    done = machine.json("apply", "./own.sh", "--yes").data

    now = settings(machine)
    assert now == ["1", "1234"]
    expected = [
        {"kind": "listener", "name": "tcp 127.0.0.1:7913", "action": "added", "value": "forwarder", "before": None},
        *(
            {"kind": "sysctl", "name": name, "action": "changed", "value": value, "before": old}
            for name, value, old in zip(SETTINGS, now, was, strict=True)
        ),
    ]
    expected += [
        {"kind": "mount", "name": name, "action": "added", "value": "tmpfs", "before": None}
        for name in ("/opt", "/opt/inner")
    ]
    tied = [one for one in done["running"]["items"] if one["name"].startswith("net.ipv4.conf.all.")]  # by the kernel
    assert [one for one in done["running"]["items"] if one not in tied] == expected
    shown = machine.cli("diff", done["run_id"]).out
    assert "+ mounted at /opt (tmpfs)\n" in shown
    assert "+ listens on tcp 127.0.0.1:7913 (forwarder)\n" in shown
    assert f"~ sysctl net.ipv4.ip_forward = {was[0]} -> 1\n" in shown

    back = machine.json("rollback", "--yes").data
    assert back["running"] == {"items": [], "stays": []}
    assert (settings(machine), tied_settings(machine)) == (was, tied_before)
    machine.assert_as(before)


@pytest.mark.parametrize("machine", [pytest.param("systemd", marks=pytest.mark.systemd)], indirect=True)
def test_a_setting_that_somebody_changed_since_stays_and_is_named(machine: Machine) -> None:
    opened(machine)
    (machine.folder / "own.sh").write_text(SCRIPT, encoding="utf-8")
    was = settings(machine)
    machine.json("apply", "./own.sh", "--yes")
    machine.host.run(["sh", "-c", "echo 4321 >/proc/sys/net/ipv4/tcp_keepalive_time"])

    back = machine.json("rollback", "--yes").data

    assert settings(machine) == [was[0], "4321"]
    (stays,) = back["running"]["stays"]
    assert (stays["name"], stays["reason"]) == (SETTINGS[1], "somebody set it to 4321 since")
