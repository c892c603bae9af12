"""The template ``apt/install`` with the apt of a host: what it asks the package lists, and how it ends.

The host has an archive of its own: ``wa-one`` (1.0 in the lists, 2.0 published since), ``wa-2.0++``, ``wa-broken``,
whose postinst fails, and ``wa-late`` and ``wa-late-broken``, published after the lists were fetched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.agents.recovery_rules import FailureClass, diagnose
from workflow_agent.integrations import builtin_folder
from workflow_agent.model.errors import ScriptFailedError
from workflow_agent.scripts import render_script
from workflow_agent.testing.lab import LabHost
from workflow_agent.testing.transactions import Trial

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from workflow_agent.model.system import Script

pytestmark = [pytest.mark.root, pytest.mark.slow]

#: Besides the archive, an `apt-cache` before the real one that notes what it is asked.
_SETUP = r"""
make() {
  folder=$(mktemp -d)
  mkdir -p "$folder/DEBIAN" "$folder/srv/$1"
  printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: t <t@t>\nDescription: t\n' "$1" "$2" \
    >"$folder/DEBIAN/control"
  printf '#!/bin/sh\necho "postinst of %s runs"\nexit %s\n' "$1" "$3" >"$folder/DEBIAN/postinst"
  chmod 755 "$folder" "$folder/DEBIAN/postinst"
  dpkg-deb --root-owner-group -b "$folder" "/srv/archive/$4/$1_$2.deb" >/dev/null
}
mkdir -p /srv/archive/now /srv/archive/later
make wa-one 1.0 0 now
make wa-2.0++ 1.0 0 now
make wa-broken 1.0 3 now
make wa-one 2.0 0 later
make wa-late 1.0 0 later
make wa-late-broken 1.0 3 later
printf 'deb [trusted=yes] copy:/srv/archive ./\n' >/etc/apt/sources.list
rm -f /etc/apt/sources.list.d/*
printf '#!/bin/sh\necho "$*" >>/srv/asked\nexec /usr/bin/apt-cache "$@"\n' >/usr/local/sbin/apt-cache
chmod 755 /usr/local/sbin/apt-cache
"""
_PUBLISH = r"""
cd /srv/archive
for deb in FOLDERS; do
  dpkg-deb --field "$deb"
  printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$deb" "$(stat -c %s "$deb")" "$(sha256sum "$deb" | cut -d' ' -f1)"
done >Packages
"""
_PUBLISH_NOW = _PUBLISH.replace("FOLDERS", "now/*.deb")
_PUBLISH_ALL = _PUBLISH.replace("FOLDERS", "now/*.deb later/*.deb")
_INSTALL, _UPDATE = "  apt-get -q install --yes \\", "    apt-get -q update "


@pytest.fixture(scope="module")
def lab_plain(lab: None) -> Iterator[LabHost]:
    with LabHost("plain") as host:
        host.run(["bash", "-euc", _SETUP])
        yield host


@pytest.fixture
async def trial(lab_plain: LabHost) -> AsyncIterator[Trial]:
    """A host whose lists know what is published; more has been published since."""
    lab_plain.run(["bash", "-euc", f"rm -f /srv/asked; {_PUBLISH_NOW} apt-get -q update; {_PUBLISH_ALL}"])
    one = Trial(lab_plain)
    await one.begin()
    yield one
    await one.end()


def rendered(*packages: str, **more: Any) -> Script:  # Any: of a template's context
    context = {"packages": list(packages), **more}
    search = [builtin_folder().parent / "templates"]
    return render_script("apt/install", context, search=search, integration="demo", action="install", version="1")


async def installed(trial: Trial, script: Script) -> list[str]:
    """Run the script and commit it; gives what `apt-cache` was asked. The host is as before then."""
    transaction, _ = await trial.target.prepare(trial.run_id, script, timeout_s=90.0, on_output=trial.output.append)
    await trial.target.commit(transaction)
    asked = trial.shell("cat /srv/asked 2>/dev/null || true").splitlines()
    listed = "dpkg-query -W -f '${Package} ${Version} ${db:Status-Status}\n' 'wa-*' 2>/dev/null || true"
    trial.output.append(f"now: {trial.shell(listed).strip()}")
    await trial.target.rollback(transaction)
    return asked


async def failed(trial: Trial, script: Script) -> tuple[ScriptFailedError, str]:
    """Run the script, which must fail; gives the error and the text of the line that it names."""
    with pytest.raises(ScriptFailedError) as caught:
        await trial.target.prepare(trial.run_id, script, timeout_s=90.0, on_output=trial.output.append)
    number = caught.value.details["line"]
    return caught.value, "" if number is None else script.text.splitlines()[number - 1]


def ours(trial: Trial) -> list[str]:
    """Give what the script and the postinsts said, without apt's own words."""
    words = ("Refreshing", "Installing ", "postinst", "error:", "now:")
    return [line for line in trial.output if line.startswith(words)]


@pytest.mark.parametrize(
    ("packages", "versions"), [(["wa-one"], {}), (["wa-one"], {"wa-one": "1.0"}), (["wa-one", "dpkg:amd64"], {})]
)
async def test_known_packages_are_installed_without_asking(
    trial: Trial, packages: list[str], versions: dict[str, str]
) -> None:
    script = rendered(*packages, versions=versions)

    assert await installed(trial, script) == []

    wanted = " ".join(f"{name}={versions[name]}" if name in versions else name for name in packages)
    assert ours(trial) == [f"Installing {wanted}", "postinst of wa-one runs", "now: wa-one 1.0 installed"]


async def test_without_lists_they_are_fetched_once_and_it_is_said_why(trial: Trial) -> None:
    trial.shell("rm -r /var/lib/apt/lists/*")

    await installed(trial, rendered("wa-one", "wa-late"))

    assert ours(trial) == [
        "Installing wa-one wa-late",
        "Refreshing the package lists: wa-one has no candidate",
        "Installing wa-one wa-late",
        "postinst of wa-one runs",
        "postinst of wa-late runs",
        "now: wa-late 1.0 installed\nwa-one 2.0 installed",
    ]


async def test_a_version_of_a_package_that_the_lists_lack_is_looked_for_once(trial: Trial) -> None:
    await installed(trial, rendered("wa-late", versions={"wa-late": "1.0"}))

    assert ours(trial) == [
        "Installing wa-late=1.0",
        "Refreshing the package lists: wa-late=1.0 has no candidate",
        "Installing wa-late=1.0",
        "postinst of wa-late runs",
        "now: wa-late 1.0 installed",
    ]


async def test_an_older_version_in_the_lists_is_taken_and_update_finds_the_newer_one(trial: Trial) -> None:
    await installed(trial, rendered("wa-one"))
    assert ours(trial)[-1] == "now: wa-one 1.0 installed"
    trial.output.clear()

    await installed(trial, rendered("wa-one", update=True))

    assert ours(trial) == [
        "Refreshing the package lists",
        "Installing wa-one",
        "postinst of wa-one runs",
        "now: wa-one 2.0 installed",
    ]


@pytest.mark.parametrize("update", [False, True])
async def test_a_version_that_a_known_package_lacks_ends_with_the_word_of_apt(trial: Trial, update: bool) -> None:
    error, line = await failed(trial, rendered("wa-one", versions={"wa-one": "9.9"}, update=update))

    assert (error.details["exit_code"], line) == (100, _INSTALL)
    assert error.cause == "E: Version '9.9' for 'wa-one' was not found"
    refreshing = "Refreshing the package lists"
    found_out = ["Installing wa-one=9.9", f"{refreshing}: wa-one=9.9 has no candidate"]
    assert ours(trial) == [*([refreshing] if update else found_out), "Installing wa-one=9.9"]


async def test_a_version_that_only_newer_lists_have_is_found(trial: Trial) -> None:
    await installed(trial, rendered("wa-one", versions={"wa-one": "2.0"}))

    assert ours(trial) == [
        "Installing wa-one=2.0",
        "Refreshing the package lists: wa-one=2.0 has no candidate",
        "Installing wa-one=2.0",
        "postinst of wa-one runs",
        "now: wa-one 2.0 installed",
    ]


async def test_a_postinst_that_fails_is_run_once_and_the_line_of_apt_is_named(trial: Trial) -> None:
    error, line = await failed(trial, rendered("wa-one", "wa-broken"))

    assert (error.details["exit_code"], line) == (100, _INSTALL)
    assert error.cause == "E: Sub-process /usr/bin/dpkg returned an error code (1)"
    assert sorted(ours(trial)) == [
        "Installing wa-one wa-broken",
        "postinst of wa-broken runs",
        "postinst of wa-one runs",
    ]


async def test_after_a_refresh_it_is_run_once_too_and_what_was_missing_is_not_the_reason(trial: Trial) -> None:
    error, line = await failed(trial, rendered("wa-late-broken"))

    assert (error.details["exit_code"], line) == (100, _INSTALL)
    assert ours(trial) == [
        "Installing wa-late-broken",
        "Refreshing the package lists: wa-late-broken has no candidate",
        "Installing wa-late-broken",
        "postinst of wa-late-broken runs",
    ]
    assert diagnose(error.to_dict()).failure is FailureClass.UNKNOWN


async def test_a_package_that_nobody_has_ends_as_such_and_brings_no_other(trial: Trial) -> None:
    error, line = await failed(trial, rendered("wa-one", "wa-nowhere"))

    assert (error.details["exit_code"], line) == (3, "")
    assert error.cause == "error: no such package: wa-nowhere"
    assert ours(trial) == [
        "Installing wa-one wa-nowhere",
        "Refreshing the package lists: wa-nowhere has no candidate",
        "error: no such package: wa-nowhere",
    ]
    found = diagnose(error.to_dict())
    assert (found.failure, found.evidence) == (FailureClass.DEPENDENCY, "error: no such package: wa-nowhere")


@pytest.mark.parametrize("name", ["wa-on.", "wa-one+"])
async def test_an_unknown_name_is_no_pattern(trial: Trial, name: str) -> None:
    error, _ = await failed(trial, rendered("wa-broken", name))

    assert error.details["exit_code"] == 3
    assert ours(trial) == [
        f"Refreshing the package lists: {name} has no candidate",
        f"error: no such package: {name}",
    ]


async def test_a_known_name_with_such_characters_is_installed(trial: Trial) -> None:
    asked = await installed(trial, rendered("wa-one", "wa-2.0++"))

    assert asked == ["policy wa-2.0++"]
    assert ours(trial)[0] == "Installing wa-one wa-2.0++"
    assert "now: wa-2.0++ 1.0 installed\nwa-one 1.0 installed" in ours(trial)


async def test_lists_that_cannot_be_fetched_end_it_at_that_line(trial: Trial) -> None:
    trial.shell("mv /srv/archive /srv/gone")
    try:
        error, line = await failed(trial, rendered("wa-late"))
    finally:
        trial.shell("mv /srv/gone /srv/archive")

    assert error.details["exit_code"] == 100
    assert line.startswith(_UPDATE)
    assert ours(trial) == ["Installing wa-late", "Refreshing the package lists: wa-late has no candidate"]
    assert diagnose(error.to_dict()).failure is FailureClass.NETWORK
