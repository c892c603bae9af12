"""Installations that end with 0 and do not work, and some that do: what a start script said, and what is so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["HEALTHY", "LIES", "PROGRAM", "SERVER", "SOURCE", "Lie", "table"]

#: A copy of perl, so that the service has a program of its own; what it runs; its settings.
PROGRAM: Final = "/usr/local/bin/answerd"
SERVER: Final = "/usr/local/lib/answerd.pl"
SETTINGS: Final = "/etc/answerd.conf"
SOURCE: Final = Path(__file__).with_name("answerd.pl")

_URL = "http://127.0.0.1:8700/"
_PROCESS = f"- {{id: process, kind: process, exe: {PROGRAM}, timeout: 1}}"
_PORT = f"- {{id: port, kind: port, port: 8700, process: {PROGRAM}, timeout: 1}}"
_PAGE = f"- {{id: page, kind: http, url: '{_URL}', contains: up 1, timeout: 1}}"
_METRIC = f"- {{id: metric, kind: metric, url: '{_URL}', name: up, equals: 1, timeout: 1}}"
_USUAL = f"{_PROCESS}\n{_PORT}\n{_PAGE}\n{_METRIC}"
_THERE = f"{_PROCESS}\n{_PORT}"
_ALL = ("process", "port", "page", "metric")

#: As many init scripts do: whatever becomes of the program, it was started.
_SCRIPT = f"""\
cat >/etc/init.d/answerd <<'END'
#!/bin/sh
case "$1" in
start) start-stop-daemon --start --quiet --background --exec {PROGRAM} -- {SERVER} {SETTINGS} ;;
stop) start-stop-daemon --stop --quiet --oknodo --retry 2 --exec {PROGRAM} ;;
esac
exit 0
END
chmod 755 /etc/init.d/answerd
"""
_SAYS = "an init script that returns 0"


def _service(*argv: str, more: str = "") -> str:
    words = ", ".join(argv or (PROGRAM, SERVER, SETTINGS))
    return f"- {{name: answerd, exe: {PROGRAM}, argv: [{words}], listens: [tcp/8700]{more}}}"


def _unit(*lines: str, start: str = f"{PROGRAM} {SERVER} {SETTINGS}") -> str:
    """Write the shell that installs a unit, enabled; `lines` stand in its section Service or name another."""
    text = "\n".join(("[Service]", f"ExecStart={start}", *lines, "[Install]", "WantedBy=multi-user.target"))
    return (
        f"cat >/etc/systemd/system/answerd.service <<'END'\n{text}\nEND\n"
        "mkdir -p /etc/systemd/system/multi-user.target.wants\n"
        "ln -sf /etc/systemd/system/answerd.service /etc/systemd/system/multi-user.target.wants/answerd.service\n"
    )


_UNIT_CHECK = "- {id: unit, kind: unit, name: answerd.service, active: true, enabled: true, timeout: 1}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lie:
    """One installation.

    `said` is what claims success, `so` what is so. It fails in the step `step` with the checks `red` and the class
    `failure`. `settings` are those of the program, `script` is what else is installed, `before` and `after` are
    commands on the host around it. `ci`: tried in every run, else in long ones.
    """

    name: str
    said: str = _SAYS
    so: str
    failure: str = ""
    step: str = "verify"
    red: tuple[str, ...] = ()
    settings: str = ""
    script: str = _SCRIPT
    services: str = _service()
    checks: str = _USUAL
    before: str = ""
    after: str = ""
    target: str = "plain"
    ci: bool = False

    @property
    def text(self) -> str:
        """The shell of its installation; every command of it ends with 0."""
        lines = "".join(f"{line}\n" for line in self.settings.splitlines())
        return f"cat >{SETTINGS} <<'END'\n{lines}END\n{self.script}"


def _runs(program: str, settings: str = "") -> str:
    """Write a command that leaves a server behind on the host, and waits until it listens."""
    listening = "grep -q 0100007F:21FC /proc/net/tcp"  # 127.0.0.1:8700
    return (
        f"printf '{settings}' >/run/other.conf; setsid {program} {SERVER} /run/other.conf >/dev/null 2>&1 & "
        f"echo $! >/run/other.pid; until {listening}; do sleep 0.02; done"
    )


#: Somebody else on the port, who answers as if nothing were wrong.
_OTHER = _runs("perl")
_GONE = "p=$(cat /run/other.pid); kill -9 $p; while grep -qs '^State:.[^Z]' /proc/$p/status; do sleep 0.02; done"
_FULL = "mount -t tmpfs -o size=64k tmpfs /srv/full"
_FULL_GONE = "umount -l /srv/full"

LIES: Final = (
    # -- it ends, and whoever started it does not look -----------------------------------------------------------------
    Lie(
        name="bad-configuration",
        so="the program refuses its configuration and ends",
        step="activate",
        failure="configuration",
        settings="lissten 127.0.0.1:8700",
        ci=True,
    ),
    Lie(
        name="port-taken",
        so="another program holds the port; the service ends",
        step="activate",
        failure="port-in-use",
        before=_OTHER,
        after=_GONE,
    ),
    Lie(
        name="disk-full",
        so="the program cannot write its state and ends",
        step="activate",
        failure="disk",
        settings="state /srv/full/state",
        before=_FULL,
        after=_FULL_GONE,
        ci=True,
    ),
    Lie(
        name="read-only-state",
        so="the folder of its state is read-only",
        step="activate",
        failure="permission",
        settings="state /srv/full/state",
        before=_FULL + "; mount -o remount,ro /srv/full",
        after=_FULL_GONE,
    ),
    Lie(
        name="configuration-unreadable",
        so="its user may not read its configuration",
        step="activate",
        failure="permission",
        script=f"chmod 600 {SETTINGS}\n{_SCRIPT.replace('--background', '--background --chuid nobody')}",
        services=_service(more=", user: nobody"),
    ),
    Lie(
        name="log-folder-missing",
        so="the folder of its log is missing; it ends",
        step="activate",
        failure="not-running",
        settings="log /var/log/answerd/answerd.log",
    ),
    Lie(
        name="clock-rights",
        so="it may not set the clock; it ends",
        step="activate",
        failure="permission",
        settings="user nobody\nclock yes",
    ),
    Lie(
        name="library-missing",
        so="a library of the program is missing",
        step="activate",
        failure="missing-dependency",
        script=f"sed 's/libcrypt[.]so[.]1/libcrypt.so.9/' {PROGRAM} >/usr/local/bin/other\n"
        f"chmod 755 /usr/local/bin/other\n{_SCRIPT.replace(PROGRAM, '/usr/local/bin/other')}",
        services=_service("/usr/local/bin/other", SERVER, SETTINGS).replace(PROGRAM, "/usr/local/bin/other"),
    ),
    Lie(
        name="wrapper-ends-with-0",
        said="a wrapper that ends with 0",
        so="what it wraps failed",
        step="activate",
        failure="not-running",
        script=f"printf '#!/bin/sh\\n{PROGRAM} -e \"exit 3\"\\nexit 0\\n' >/usr/local/bin/wrapped\n"
        "chmod 755 /usr/local/bin/wrapped\n",
        services=_service("/usr/local/bin/wrapped"),
    ),
    Lie(
        name="child-dies",
        said="a parent that forks and ends with 0",
        so="the child dies at once",
        step="activate or verify",
        failure="not-running",
        settings="fork yes\nlife 0.05",
    ),
    Lie(
        name="stale-pid-file",
        said="an init script: it runs already",
        so="the pid file names a process that is gone",
        step="activate",
        failure="not-running",
        script="printf '#!/bin/sh\\n[ -e /run/answerd.pid ] && echo running\\nexit 0\\n' >/etc/init.d/answerd\n"
        "chmod 755 /etc/init.d/answerd\n",
        services=f"- {{name: answerd, exe: {PROGRAM}}}",
        before="echo 99999 >/run/answerd.pid",
        after="rm /run/answerd.pid",
    ),
    Lie(
        name="dies-after-a-second",
        so="it works at first, and dies a second later",
        failure="not-running",
        settings="life 1",
        checks=_THERE,
        ci=True,
    ),
    Lie(
        name="dies-again-and-again",
        said="a supervisor that starts it again each time",
        so="it works at first and dies every second",
        failure="not-running",
        settings="life 1",
        checks=_THERE,
        script="",
    ),
    # -- it runs, and is not what was asked for ------------------------------------------------------------------------
    Lie(
        name="port-of-another",
        so="it could not bind and runs on; somebody else answers on the port",
        failure="port-in-use",
        red=("port",),
        settings="drop yes",
        services=_service().replace(", listens: [tcp/8700]", ""),
        before=_OTHER,
        after=_GONE,
        ci=True,
    ),
    Lie(
        name="old-process-holds-the-port",
        said="an init script that finds it running",
        so="an older instance with other settings holds the port",
        failure="wrong-answer",
        red=("page", "metric"),
        script="",
        services="",
        before=_runs(PROGRAM, "body old 1\\n\n"),
        after=_GONE,
    ),
    Lie(
        name="stale-program",
        said="an upgrade that ends with 0",
        so="the old program runs on, its file is gone",
        failure="stale-program",
        red=("process",),
        script=f"cp {PROGRAM} /usr/local/bin/new\nmv /usr/local/bin/new {PROGRAM}\n",
        services="",
        checks=f"- {{id: process, kind: process, exe: {PROGRAM}, current: true, timeout: 1}}\n{_PAGE}",
        before=_runs(PROGRAM),
        after=_GONE,
        ci=True,
    ),
    Lie(
        name="another-user",
        so="it runs as root, not as its own user",
        failure="not-as-declared",
        red=("process",),
        checks=f"- {{id: process, kind: process, exe: {PROGRAM}, user: nobody, timeout: 1}}\n{_PAGE}",
        ci=True,
    ),
    Lie(
        name="no-listening-socket",
        so="it runs and listens nowhere",
        failure="no-answer",
        red=("port", "page", "metric"),
        settings="listen none",
    ),
    Lie(
        name="another-address",
        so="it listens on another address only",
        failure="no-answer",
        red=("port", "page", "metric"),
        settings="listen 127.0.0.2:8700",
        checks="\n".join((_PROCESS, _PORT.replace("8700,", "8700, address: 127.0.0.1,"), _PAGE, _METRIC)),
    ),
    Lie(
        name="ipv6-only",
        so="it listens on ::1 only",
        failure="no-answer",
        red=("port", "page", "metric"),
        settings="listen [::1]:8700",
        checks="\n".join((_PROCESS, _PORT.replace("8700,", "8700, address: 127.0.0.1,"), _PAGE, _METRIC)),
    ),
    Lie(
        name="another-port",
        so="a left-over setting moved it to another port",
        failure="no-answer",
        red=("port", "page", "metric"),
        settings="listen 127.0.0.1:8701",
    ),
    # -- it listens, and does not answer -------------------------------------------------------------------------------
    Lie(
        name="never-answers",
        so="it accepts connections and never answers",
        failure="no-answer",
        red=("page", "metric"),
        settings="as mute",
    ),
    Lie(
        name="stopped-process",
        so="the process is stopped; the kernel still accepts for it",
        failure="no-answer",
        red=("page", "metric"),
        settings="as stopped",
    ),
    Lie(
        name="answer-never-ends",
        so="the answer begins and never ends",
        failure="no-answer",
        red=("page", "metric"),
        settings="as drip",
    ),
    Lie(
        name="truncated-answer",
        so="the answer is shorter than it says",
        failure="no-answer",
        red=("page", "metric"),
        settings="as cut",
        ci=True,
    ),
    # -- it answers, and not as it should ------------------------------------------------------------------------------
    Lie(
        name="error-with-status-200",
        so="the page is an error with status 200",
        failure="wrong-answer",
        red=("page", "metric"),
        settings="body Error establishing a database connection",
    ),
    Lie(
        name="server-error",
        so="it answers 500",
        failure="wrong-answer",
        red=("page", "metric"),
        settings="status 500 Internal Server Error",
    ),
    Lie(
        name="sent-away",
        so="it sends everybody to a login page",
        failure="wrong-answer",
        red=("page", "metric"),
        settings="status 302 Found",
    ),
    Lie(
        name="dsn-missing",
        so="without its data source it says: up 0",
        failure="wrong-answer",
        red=("page", "metric"),
        settings="need dsn",
        ci=True,
    ),
    Lie(
        name="not-a-number",
        so="the metric is there and is no number",
        failure="wrong-answer",
        red=("metric",),
        settings="body up NaN\\n",
        checks=f"{_PROCESS}\n{_PORT}\n{_METRIC}",
    ),
    Lie(
        name="metric-missing",
        so="the metrics page lacks the metric",
        failure="wrong-answer",
        red=("metric",),
        settings="body other 1\\n",
        checks=f"{_PROCESS}\n{_PORT}\n{_METRIC}",
    ),
    Lie(
        name="degraded",
        so="its health page says: degraded",
        failure="wrong-answer",
        red=("health",),
        settings='body {"status": "degraded"}',
        checks=f"- {{id: health, kind: http, url: '{_URL}', json: {{status: ok}}, timeout: 1}}",
    ),
    Lie(
        name="tls-where-plain-is-expected",
        so="it speaks TLS",
        failure="wrong-answer",
        red=("page", "metric"),
        settings="as tls",
    ),
    Lie(
        name="wrong-password",
        so="it refuses the password",
        failure="wrong-answer",
        red=("sign-in",),
        settings="as redis\npassword another-one",
        checks='- {id: sign-in, kind: tcp, port: 8700, timeout: 1, exchange: [{send: "AUTH right-one\\r\\n", '
        'expect: "+OK"}]}',
    ),
    Lie(
        name="client-says-0",
        said="a client that ends with 0",
        so="what it printed is an error",
        failure="wrong-answer",
        red=("client",),
        script="",
        services="",
        checks="- {id: client, kind: command, argv: [echo, 'ERROR 1045: Access denied'], stdout_contains: pong, "
        "timeout: 1}",
    ),
    Lie(
        name="client-hangs",
        said="a client that would end with 0",
        so="it waits for a server for ever",
        failure="no-answer",
        red=("client",),
        script="",
        services="",
        checks="- {id: client, kind: command, argv: [sleep, '1000'], timeout: 1}",
    ),
    # -- what lies there is not what was meant -------------------------------------------------------------------------
    Lie(
        name="package-unpacked-only",
        said="dpkg, which ends with 0",
        so="the package is unpacked and not configured",
        failure="not-as-declared",
        red=("package",),
        script="dpkg --unpack /root/half.deb\n",
        services="",
        checks="- {id: package, kind: package, name: half, timeout: 1}",
    ),
    Lie(
        name="password-readable-by-all",
        so="the file with the password is readable by everybody",
        failure="not-as-declared",
        red=("file",),
        checks=f'- {{id: file, kind: file, path: {SETTINGS}, mode: "0600", timeout: 1}}\n{_PAGE}',
    ),
    # -- under systemd -------------------------------------------------------------------------------------------------
    Lie(
        name="unit-masked",
        said="the package manager",
        so="the unit is masked",
        step="activate",
        failure="not-running",
        target="systemd",
        script="ln -sf /dev/null /etc/systemd/system/answerd.service\n",
        ci=True,
    ),
    Lie(
        name="failure-ignored",
        said="systemd, which ignores the exit code",
        so="the program ended with an error",
        step="activate",
        failure="configuration",
        target="systemd",
        settings="lissten 127.0.0.1:8700",
        script=_unit(start=f"-{PROGRAM} {SERVER} {SETTINGS}"),
    ),
    Lie(
        name="active-without-process",
        said="systemd: active (exited)",
        so="the program that it once started is gone",
        failure="not-running",
        red=_ALL,
        target="systemd",
        settings="life 0.2",
        script=_unit(
            "Type=oneshot", "RemainAfterExit=yes", start=f"/bin/sh -c '{PROGRAM} {SERVER} {SETTINGS} & sleep .5'"
        ),
    ),
    Lie(
        name="start-skipped",
        said="systemd, whose start ends with 0",
        so="a condition of the unit does not hold; nothing was started",
        failure="not-running",
        red=("unit", *_ALL),
        target="systemd",
        script=_unit("[Unit]", "ConditionPathExists=/nowhere"),
        checks=f"{_UNIT_CHECK}\n{_USUAL}",
    ),
    Lie(
        name="not-enabled",
        said="systemd: active (running)",
        so="it will not start with the machine",
        failure="not-as-declared",
        red=("unit",),
        target="systemd",
        script=_unit() + "rm /etc/systemd/system/multi-user.target.wants/answerd.service\n",
        checks=f"{_UNIT_CHECK}\n{_USUAL}",
    ),
    Lie(
        name="drop-in-of-another",
        said="systemd: active (running)",
        so="a drop-in that was there before starts it with other settings",
        failure="no-answer",
        red=("port", "page", "metric"),
        target="systemd",
        script=_unit(),
        before="mkdir -p /run/systemd/system/answerd.service.d; echo listen 127.0.0.1:8701 >/run/moved.conf; "
        f"printf '[Service]\\nExecStart=\\nExecStart={PROGRAM} {SERVER} /run/moved.conf\\n' "
        ">/run/systemd/system/answerd.service.d/moved.conf",
        after="rm -r /run/systemd/system/answerd.service.d; systemctl daemon-reload",
    ),
    Lie(
        name="unit-dies-after-a-second",
        said="systemd: active (running)",
        so="it works at first, and dies a second later",
        failure="not-running",
        target="systemd",
        settings="life 1",
        checks=_THERE,
        script=_unit(),
        ci=True,
    ),
    Lie(
        name="unit-restarts-for-ever",
        said="systemd: active (running), most of the time",
        so="it dies every second and is started again",
        failure="not-running",
        target="systemd",
        settings="life 1",
        checks=_THERE,
        script=_unit("Restart=always", "RestartSec=0"),
    ),
)

HEALTHY: Final = (
    Lie(name="by-init-script", so="it works", ci=True),
    Lie(name="by-supervisor", so="it works", script=""),
    Lie(
        name="child-of-a-child",
        so="the parent ended, its child works",
        settings="fork yes",
        script=_SCRIPT,
    ),
    Lie(
        name="own-user",
        so="it runs as its own user",
        settings="user nobody",
        checks=f"- {{id: process, kind: process, exe: {PROGRAM}, user: nobody, timeout: 1}}\n{_PORT}\n{_PAGE}",
    ),
    Lie(
        name="all-addresses",
        so="it listens on all addresses",
        settings="listen 0.0.0.0:8700",
        checks="\n".join((_PROCESS, _PORT.replace("8700,", "8700, address: 127.0.0.1,"), _PAGE, _METRIC)),
    ),
    Lie(
        name="sign-in",
        so="it takes the password",
        settings="as redis\npassword right-one",
        checks='- {id: sign-in, kind: tcp, port: 8700, timeout: 1, exchange: [{send: "AUTH right-one\\r\\n", '
        'expect: "+OK"}]}',
    ),
    Lie(name="by-unit", so="it works", target="systemd", script=_unit(), checks=f"{_UNIT_CHECK}\n{_USUAL}", ci=True),
    Lie(
        name="oneshot",
        so="a unit that does its work and ends, as it should",
        target="systemd",
        script=_unit("Type=oneshot", "RemainAfterExit=yes", start="/bin/true"),
        checks=_UNIT_CHECK,
    ),
)


def table(lies: Iterable[Lie]) -> list[str]:
    """Write the rows of a table for people."""
    rows = [
        "| case | where | who says that all is well | what is so | found | class |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for lie in lies:
        found = ", ".join(f"`{check}`" for check in lie.red)
        if not found:
            found = "while it starts" if lie.step == "activate" else "a moment after its start"
        init = "systemd" if lie.target == "systemd" else "init scripts"
        rows.append(f"| {lie.name} | {init} | {lie.said} | {lie.so} | {found} | `{lie.failure}` |")
    return rows
