"""What was done to committed paths since is told by name, and what says nothing about the installation is not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.model.errors import NotFoundError
from workflow_agent.security.delivery import secret_path
from workflow_agent.testing.transactions import shell_script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from workflow_agent.testing.lab import LabHost
    from workflow_agent.testing.transactions import Trial

_numbers = iter(range(1000))
INSTALL = """
mkdir -p {etc}/conf.d {lib} {var}
printf 'a=1\\nb=2\\n' > {etc}/main.conf
printf 'key\\n' > {etc}/private.conf; chmod 600 {etc}/private.conf
printf '\\0\\1' > {etc}/binary
echo one > {etc}/conf.d/one
echo program > {lib}/program; chmod 755 {lib}/program
ln -s program {lib}/link
echo state > {var}/state
rm {etc}-old
chmod 750 {etc}-folder
"""


@pytest.fixture
def places(lab_plain: LabHost) -> Iterator[dict[str, str]]:
    """Folders of the test's own; where the script finds something to remove and to change."""
    name = f"drift-{next(_numbers)}"
    found = {"etc": f"/etc/{name}", "lib": f"/usr/lib/{name}", "var": f"/var/lib/{name}"}
    lab_plain.run(["bash", "-euc", f"touch /etc/{name}-old; mkdir -m 755 /etc/{name}-folder"])
    yield found
    lab_plain.run(["bash", "-c", f"rm -rf /etc/{name}* /usr/lib/{name} /var/lib/{name}"])


@pytest.fixture
def filled(places: dict[str, str]) -> Callable[[str], str]:
    """Put the places into a text."""
    return lambda text: text.format(**places)


async def _states(trial: Trial, transaction: str, **more: Any) -> dict[str, tuple[str, list[str]]]:
    found = await trial.target.drift(transaction, **more)
    assert [item["path"] for item in found] == sorted(item["path"] for item in found)
    return {item["path"]: (item["state"], item["aspects"]) for item in found}


@pytest.mark.parametrize(
    ("done", "expected"),
    [
        # nothing that says anything about the installation
        ("touch {etc}/main.conf", {}),
        ("cp {etc}/main.conf {etc}/copy; mv {etc}/copy {etc}/main.conf", {}),
        ("ln -sfn program {lib}/link", {}),
        ("echo grown >> {var}/state; echo new > {var}/other; chmod 700 {var}", {}),
        ("rm {var}/state", {}),
        ("echo mine > {etc}/conf.d/mine", {}),
        ("mv {etc} {etc}-away; mv {etc}-away {etc}", {}),
        # content
        ("echo c=3 >> {etc}/main.conf", {"{etc}/main.conf": ("modified", ["content"])}),
        (
            'stamp=$(stat -c %y {lib}/program); echo PROGRAM > {lib}/program; touch -d "$stamp" {lib}/program',
            {"{lib}/program": ("modified", ["content"])},
        ),
        (
            "echo x > {etc}/conf.d/one; chown 1:2 {etc}/conf.d/one",
            {"{etc}/conf.d/one": ("modified", ["content", "owner"])},
        ),
        ("ln -sfn elsewhere {lib}/link", {"{lib}/link": ("modified", ["target"])}),
        # existence and kind
        ("rm {etc}/main.conf", {"{etc}/main.conf": ("missing", ["existence"])}),
        (
            "rm -r {lib}",
            {
                "{lib}": ("missing", ["existence"]),
                "{lib}/link": ("missing", ["existence"]),
                "{lib}/program": ("missing", ["existence"]),
            },
        ),
        ("rm -r {var}", {"{var}": ("missing", ["existence"])}),
        ("rm {etc}/binary; mkdir {etc}/binary", {"{etc}/binary": ("replaced", ["type"])}),
        ("touch {etc}-old", {"{etc}-old": ("returned", ["existence"])}),
        # attributes
        ("chmod 4755 {lib}/program", {"{lib}/program": ("attributes", ["mode"])}),
        ("chown 1 {etc}/conf.d", {"{etc}/conf.d": ("attributes", ["owner"])}),
        ("chmod 755 {etc}-folder", {"{etc}-folder": ("attributes", ["mode"])}),
    ],
)
async def test_drift_is_what_was_done_to_committed_paths(
    trial: Trial, filled: Callable[[str], str], done: str, expected: dict[str, tuple[str, list[str]]]
) -> None:
    transaction = await trial.apply(filled(INSTALL))
    assert await _states(trial, transaction) == {}

    trial.shell(filled(done))

    assert await _states(trial, transaction) == {filled(path): state for path, state in expected.items()}


async def test_both_sides_are_told_and_texts_that_everybody_may_read_are_shown(
    trial: Trial, filled: Callable[[str], str]
) -> None:
    transaction = await trial.apply(filled(INSTALL))
    trial.shell(filled("echo b=3 > {etc}/main.conf; echo other >> {etc}/private.conf; echo > {etc}/binary"))
    trial.shell(filled("chmod 600 {etc}/conf.d/one; echo x > {etc}/conf.d/one; ln -sfn away {lib}/link"))

    found = {item["path"]: item for item in await trial.target.drift(transaction)}

    main = found[filled("{etc}/main.conf")]
    assert main["diff"].splitlines()[2:] == ["@@ -1,2 +1 @@", "-a=1", "-b=2", "+b=3"]
    assert (main["expected"]["size"], main["observed"]["size"]) == (8, 4)
    link = found[filled("{lib}/link")]
    assert (link["expected"]["target"], link["observed"]["target"]) == ("program", "away")
    hidden = [filled(path) for path in ("{etc}/private.conf", "{etc}/binary", "{etc}/conf.d/one")]
    assert [found[path]["diff"] for path in hidden] == [None, None, None]
    assert len(found) == 5


async def test_a_text_in_which_a_secret_stands_is_not_kept(
    trial: Trial, lab_plain: LabHost, places: dict[str, str]
) -> None:
    folder = places["etc"]
    text = f"mkdir {folder}; echo plain > {folder}/a; cat {secret_path('word')} > {folder}/b; echo >> {folder}/b"
    transaction, _ = await trial.target.prepare(
        trial.run_id, shell_script(text), timeout_s=60, on_output=trial.output.append, secrets={"word": "hush-hush"}
    )
    await trial.target.commit(transaction)
    noted = (lab_plain.root / f".workflow-agent/tx/{transaction}/contents.json").read_text(encoding="utf-8")
    assert "plain" in noted
    assert "hush-hush" not in noted
    trial.shell(f"echo more >> {folder}/a; echo more >> {folder}/b")

    found = await trial.target.drift(transaction)

    assert [(item["path"], item["diff"] is None) for item in found] == [(f"{folder}/a", False), (f"{folder}/b", True)]


async def test_extended_attributes_are_compared(trial: Trial, lab_plain: LabHost, filled: Callable[[str], str]) -> None:
    transaction = await trial.apply(filled(INSTALL))
    path = filled("{lib}/program")
    os.setxattr(lab_plain.root / path.strip("/"), "user.x", b"1")

    assert await _states(trial, transaction) == {path: ("attributes", ["xattr"])}


async def test_the_integrations_own_data_is_left_out(trial: Trial, filled: Callable[[str], str]) -> None:
    transaction = await trial.apply(filled(INSTALL))
    trial.shell(filled("rm -r {var} {etc}/conf.d"))

    assert await _states(trial, transaction, data=[filled("{var}/"), filled("{etc}/conf.d")]) == {}


async def test_what_another_transaction_left_is_no_drift_until_somebody_changes_that(
    trial: Trial, filled: Callable[[str], str]
) -> None:
    first = await trial.apply(filled(INSTALL))
    second = await trial.apply(filled("echo a=5 > {etc}/main.conf; rm {lib}/link; chmod 700 {lib}/program"))
    path = filled("{etc}/main.conf")

    assert await _states(trial, first) == {}
    assert await _states(trial, second, earlier=[first]) == {}
    trial.shell(f"echo a=6 > {path}; rm {filled('{lib}/program')}")
    expected = {path: ("modified", ["content"]), filled("{lib}/program"): ("missing", ["existence"])}
    assert await _states(trial, first) == expected
    assert await _states(trial, second, earlier=[first]) == expected
    found = {item["path"]: item for item in await trial.target.drift(second, earlier=[first])}
    assert found[path]["diff"].splitlines()[-2:] == ["-a=5", "+a=6"]


async def test_without_digests_size_and_time_decide(
    trial: Trial, lab_plain: LabHost, filled: Callable[[str], str]
) -> None:
    transaction = await trial.apply(filled(INSTALL))
    noted = lab_plain.root / f".workflow-agent/tx/{transaction}/contents.json"
    assert noted.stat().st_mode & 0o777 == 0o600
    for damage in ("{", '{"format": 2}', '{"format": 1, "entries": []}'):
        noted.write_text(damage, encoding="ascii")
        assert await _states(trial, transaction) == {}
    noted.unlink()
    trial.shell(filled("touch {lib}/program; cp -a {etc}/main.conf {etc}/copy; mv {etc}/copy {etc}/main.conf"))
    trial.shell(filled("ln -sfn program {lib}/link"))

    assert await _states(trial, transaction) == {
        filled("{lib}/link"): ("modified", ["target"]),
        filled("{lib}/program"): ("modified", ["content"]),
    }


async def test_a_transaction_that_is_gone_cannot_be_compared(trial: Trial, filled: Callable[[str], str]) -> None:
    transaction = await trial.apply(filled(INSTALL))

    with pytest.raises(NotFoundError):
        await trial.target.drift("trial-0.1", earlier=[transaction])
    assert await _states(trial, transaction, earlier=["trial-0.1"]) == {}
