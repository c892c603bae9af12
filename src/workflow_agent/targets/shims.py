r"""Recording stand-ins for the programs through which scripts start and stop services.

A captured script must not reach the host's services (a start before the commit would run, and a daemon
started inside the overlay would keep it as its root for ever), yet maintainer scripts expect these programs
to succeed. Each stand-in writes what was asked for, one line ``verb<TAB>unit`` per unit, and says what is
true inside the capture: nothing runs. What only changes files (enable, mask, preset) is done by the real
`systemctl`, offline, where it is bound at :data:`REAL_SYSTEMCTL`.

POSIX shell, builtins only, so that a broken PATH or a half-upgraded base system cannot break them.

Source: systemctl(1), invoke-rc.d(8), deb-systemd-invoke(1p), Debian's policy-rc.d interface.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from workflow_agent.targets.linux import open_beneath

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["REAL_SYSTEMCTL", "REQUESTED_PATH", "SHIM_PATHS", "parse_requested", "shim_texts", "shims_on"]

#: Where the stand-ins write, inside the capture.
REQUESTED_PATH = "/run/workflow-agent/requested"
#: Where the real `systemctl` may be found, inside the capture.
REAL_SYSTEMCTL = "/run/workflow-agent/real/systemctl"
#: Where each program may lie; with merged `/usr` some are the same file.
SHIM_PATHS: Mapping[str, tuple[str, ...]] = {
    "systemctl": ("/usr/bin/systemctl", "/bin/systemctl"),
    "service": ("/usr/sbin/service", "/sbin/service"),
    "invoke-rc.d": ("/usr/sbin/invoke-rc.d", "/sbin/invoke-rc.d"),
    "deb-systemd-invoke": ("/usr/bin/deb-systemd-invoke", "/bin/deb-systemd-invoke"),
    "policy-rc.d": ("/usr/sbin/policy-rc.d", "/sbin/policy-rc.d"),
}

#: Present in every capture, whether or not the target has it: it forbids starts while packages are configured.
_ALWAYS = frozenset({"policy-rc.d"})
_LINE = re.compile(r"(?P<verb>[a-z][a-z-]{0,39})\t(?P<unit>[A-Za-z0-9:_.@\\?-]{0,255})")
_MOST_LINES = 1000

_RECORD = """\
# Names come from scripts: whatever could break a line becomes a question mark.
record() {
    what=$1 rest=$2 unit=''
    [ ${#rest} -le 255 ] || rest='?'
    case $what in *[!a-z-]* | '') what=other ;; esac
    while [ -n "$rest" ]; do
        one=${rest%"${rest#?}"}
        rest=${rest#?}
        case $one in [A-Za-z0-9:_.@-] | \\\\) unit="$unit$one" ;; *) unit="$unit?" ;; esac
    done
    { printf '%s\\t%s\\n' "$what" "$unit" >>REQUESTED; } 2>/dev/null || :
}
"""

_SYSTEMCTL = """\
now=no quiet=no help=no user=no verb='' count=0

# Call `$1 WORD INDEX` for each word of the command line that is no option: 0 is the verb.
walk() {
    callback=$1 takes=no ended=no index=0
    shift
    for word in "$@"; do
        if [ $takes = yes ]; then
            takes=no
            continue
        fi
        if [ $ended = no ]; then
            case $word in
            --) ended=yes && continue ;;
            --now) now=yes && continue ;;
            --user | --global) user=yes && continue ;;
            -q | --quiet) quiet=yes && continue ;;
            --help | -h | --version) help=yes && continue ;;
            -p | -P | -t | -n | -s | -o | -H | -M | --property | --type | --state | --root | --lines | --signal | \\
                --output | --host | --machine | --job-mode | --kill-who | --kill-whom | --preset-mode | --what | \\
                --message | --timestamp)
                takes=yes && continue
                ;;
            -*) continue ;;
            esac
        fi
        "$callback" "$word" $index
        index=$((index + 1))
    done
}
read_word() { if [ "$2" = 0 ]; then verb=$1; else count=$2; fi; }
record_unit() { [ "$2" = 0 ] || record "$wanted" "$1"; }
say_unit() { [ "$2" = 0 ] || [ $quiet = yes ] || echo "$wanted"; }
# Units of a person's own session are none of the system's: they are not recorded.
record_all() {
    wanted=$1
    shift
    [ $user = no ] || return 0
    if [ "$count" = 0 ]; then record "$wanted" ''; else walk record_unit "$@"; fi
}
say_all() {
    wanted=$1
    shift
    walk say_unit "$@"
}
real() { SYSTEMD_OFFLINE=1 REAL "$@"; }
# Offline, `--now` is refused with some verbs and ignored with others: the real one never gets it.
real_without_now() {
    [ -x REAL ] || return 0
    first=yes
    for word in "$@"; do
        if [ $first = yes ]; then
            set --
            first=no
        fi
        [ "$word" = --now ] || set -- "$@" "$word"
    done
    real "$@"
}
tell() { [ $quiet = yes ] || echo "systemctl: \\`$verb\\` $1 while changes are being recorded" >&2; }

walk read_word "$@"
if [ $help = yes ]; then
    if [ -x REAL ]; then real "$@"; fi
    exit
fi
case $verb in
start | stop | restart | reload | try-restart | condrestart | reload-or-restart | try-reload-or-restart | \\
    reload-or-try-restart | force-reload | kill | isolate | clean | freeze | thaw | reset-failed | \\
    daemon-reload | daemon-reexec)
    record_all "$verb" "$@"
    ;;
enable | disable | reenable | preset | mask | unmask | revert | link | add-wants | add-requires | \\
    set-default | preset-all)
    record_all "$verb" "$@"
    real_without_now "$@" || exit
    if [ $now = yes ]; then
        case $verb in
        enable | reenable | preset | unmask) record_all start "$@" ;;
        disable | mask) record_all stop "$@" ;;
        esac
    fi
    ;;
is-enabled)
    if [ -x REAL ]; then
        real "$@"
        exit
    fi
    say_all disabled "$@"
    exit 1
    ;;
is-active)
    say_all inactive "$@"
    exit 3
    ;;
is-failed)
    say_all inactive "$@"
    exit 1
    ;;
status)
    tell 'sees nothing that runs'
    exit 3
    ;;
is-system-running)
    [ $quiet = yes ] || echo offline
    exit 1
    ;;
cat | list-unit-files | get-default)
    if [ -x REAL ]; then
        real "$@"
        exit
    fi
    exit 1
    ;;
show | list-units | list-sockets | list-timers | list-paths | list-jobs | list-machines | list-automounts | \\
    list-dependencies | show-environment | '')
    # Offline, the real one ignores these questions and succeeds as well.
    tell 'is ignored'
    ;;
reboot | poweroff | halt | kexec | suspend | hibernate | hybrid-sleep | rescue | emergency | default | exit | \\
    switch-root | soft-reboot | suspend-then-hibernate)
    record "$verb" ''
    tell 'is refused'
    exit 1
    ;;
*)
    record "$verb" ''
    tell 'has no effect'
    exit 1
    ;;
esac
exit 0
"""

_SERVICE = """\
name='' action='' all=no
for word in "$@"; do
    case $word in
    --status-all) all=yes ;;
    --full-restart) action=restart ;;
    -h | --help | --version) exit 0 ;;
    -*) ;;
    *)
        if [ -z "$name" ]; then name=$word; elif [ -z "$action" ]; then action=$word; fi
        ;;
    esac
done
if [ "$all" = yes ]; then exit 0; fi
if [ -z "$name" ] || [ -z "$action" ]; then
    echo 'Usage: service < option > | --status-all | [ service_name [ command | --full-restart ] ]' >&2
    exit 1
fi
if [ "$action" = status ]; then
    echo "$name is not running: changes are being recorded"
    exit 3
fi
record "$action" "$name"
exit 0
"""

_INVOKE_RC_D = """\
name='' action='' query=no
for word in "$@"; do
    case $word in
    --query) query=yes ;;
    --help) exit 0 ;;
    -*) ;;
    *)
        if [ -z "$name" ]; then name=$word; elif [ -z "$action" ]; then action=$word; fi
        ;;
    esac
done
if [ -z "$name" ] || [ -z "$action" ]; then
    echo 'invoke-rc.d: syntax error: a name and an action are needed' >&2
    exit 103
fi
if [ "$query" = yes ]; then exit 101; fi
if [ "$action" = status ]; then exit 3; fi
record "$action" "$name"
exit 0
"""

_DEB_SYSTEMD_INVOKE = """\
action='' count=0 user=no
for word in "$@"; do
    case $word in
    --user) user=yes ;;
    -*) ;;
    *)
        if [ -z "$action" ]; then
            action=$word
        else
            count=$((count + 1))
            [ $user = yes ] || record "$action" "$word"
        fi
        ;;
    esac
done
if [ -z "$action" ]; then
    echo 'Syntax: deb-systemd-invoke <action> [<unit file> ...]' >&2
    exit 1
fi
if [ $count = 0 ] && [ $user = no ]; then record "$action" ''; fi
exit 0
"""

_POLICY_RC_D = """\
# Actions are forbidden: changes are being recorded, services start after the commit.
exit 101
"""


def shim_texts() -> dict[str, str]:
    """Give the stand-ins: program name to the text of a POSIX shell script (mode 0755)."""
    bodies = {
        "systemctl": _RECORD + _SYSTEMCTL,
        "service": _RECORD + _SERVICE,
        "invoke-rc.d": _RECORD + _INVOKE_RC_D,
        "deb-systemd-invoke": _RECORD + _DEB_SYSTEMD_INVOKE,
        "policy-rc.d": _POLICY_RC_D,
    }
    return {
        name: "#!/bin/sh\n" + body.replace("REQUESTED", REQUESTED_PATH).replace("REAL", REAL_SYSTEMCTL)
        for name, body in bodies.items()
    }


def shims_on(root_fd: int) -> list[dict[str, str]]:
    """List the stand-ins for programs that the target has, by physical path. Blocking."""
    found = []
    for name, text in shim_texts().items():
        path = next((path for path in SHIM_PATHS[name] if _stands(root_fd, path, always=name in _ALWAYS)), None)
        if path is not None:
            found.append({"path": path, "text": text})
    return found


def _stands(root_fd: int, path: str, *, always: bool) -> bool:
    folder, _, name = os.fsencode(path).strip(b"/").rpartition(b"/")
    try:
        folder_fd = open_beneath(root_fd, folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False  # not there, or a link (merged /usr): then the other candidate is the real place
    try:
        return always or os.access(name, os.F_OK, dir_fd=folder_fd)
    finally:
        os.close(folder_fd)


def parse_requested(text: str) -> tuple[dict[str, str], ...]:
    """Read what the stand-ins wrote: ``{verb, unit}`` in order, equal neighbours once, at most a thousand.

    Lines that no stand-in can have written are skipped: a script can write into the file as well.
    """
    found: list[dict[str, str]] = []
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match and (not found or found[-1] != match.groupdict()):
            found.append(match.groupdict())
    return tuple(found[:_MOST_LINES])
