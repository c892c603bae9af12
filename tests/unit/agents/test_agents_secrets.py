"""What agents do with secrets: fill them in last, hide them in what they say, tell which are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from workflow_agent.agents.masking import mask_error
from workflow_agent.agents.output_log import OutputLog
from workflow_agent.agents.secret_checks import check_with_secrets
from workflow_agent.agents.secret_files import filled_script
from workflow_agent.agents.serving import plain
from workflow_agent.model.errors import (
    InternalError,
    ParameterError,
    ScriptFailedError,
    StepTimeoutError,
    ValidationError,
)
from workflow_agent.model.message import Message
from workflow_agent.model.system import Check, CheckStatus, Effect, EffectCommand, FileWrite, Provenance, Script
from workflow_agent.security.marks import mark
from workflow_agent.security.masker import Masker
from workflow_agent.security.secret import Secret
from workflow_agent.security.vault import Vault
from workflow_agent.testing.fake_target import FakeTarget

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.agents.conftest import Bench

VALUE = "c4nary-value"


@pytest.fixture
def vault() -> Vault:
    vault = Vault()
    vault.hold("r-1", {"password": Secret(VALUE)})
    return vault


def script(*files: FileWrite) -> Script:
    provenance = Provenance(integration="x", action="install", version="1", template="t", template_hash="h")
    return Script(text="true", hash="h", provenance=provenance, files=files)


def file(mode: str = "0600", **values: Any) -> FileWrite:
    return FileWrite(path="/etc/x", format="env", content="", mode=mode, values=values or None)


# -- files ---------------------------------------------------------------------------------------------------------


def test_a_file_is_written_from_its_values_last(vault: Vault) -> None:
    plain = FileWrite(path="/etc/y", format="text", content="as it is")
    filled = filled_script(script(plain, file(A=mark("password"))), vault, "r-1")

    assert [each.content for each in filled.files] == ["as it is", f'A="{VALUE}"\n']
    assert [each.values for each in filled.files] == [None, None]


def test_a_script_without_secrets_stays_itself(vault: Vault) -> None:
    made = script(file())

    assert filled_script(made, vault, "r-1") is made


@pytest.mark.parametrize("mode", ["0640", "0604", "0601", "644"])
def test_a_file_that_others_can_read_is_refused(vault: Vault, mode: str) -> None:
    with pytest.raises(ValidationError, match="others could read `/etc/x`"):
        filled_script(script(file(mode, A=mark("password"))), vault, "r-1")


def test_a_run_without_the_secret_says_which(vault: Vault) -> None:
    with pytest.raises(ParameterError, match="`password`") as refused:
        filled_script(script(file(A=mark("password"))), vault, "r-2")

    assert "--secret password=" in str(refused.value.hint)


# -- checks --------------------------------------------------------------------------------------------------------


def check(name: str, *secrets: str) -> Check:
    exchange = [{"send": "".join(map(mark, secrets)), "expect": "OK"}]
    return Check(id=name, kind="tcp", spec={"port": 1, "exchange": exchange})


async def test_checks_that_lack_a_secret_are_errors_in_their_places(vault: Vault) -> None:
    checks = [check("a", "password", "token"), check("b"), check("c", "password"), check("d", "token")]
    results = await check_with_secrets(FakeTarget(), checks, vault, "r-1")

    assert [(result.id, result.status) for result in results] == [
        ("a", CheckStatus.ERROR),
        ("b", CheckStatus.PASSED),
        ("c", CheckStatus.PASSED),
        ("d", CheckStatus.ERROR),
    ]
    assert "needs the secret `token`" in results[0].observed


async def test_nothing_is_asked_where_every_check_lacks_something() -> None:
    target = FakeTarget()
    (result,) = await check_with_secrets(target, [check("a", "token")], Vault(), None)

    assert result.status is CheckStatus.ERROR
    assert target.world.calls == []


# -- what is said --------------------------------------------------------------------------------------------------


def test_every_part_of_an_error_is_masked() -> None:
    error = ScriptFailedError(
        f"m {VALUE}",
        where=f"w {VALUE}",
        cause=f"c {VALUE}",
        state=f"s {VALUE}",
        hint=f"h {VALUE}",
        details={"tail": [VALUE], VALUE: 1},
    )
    mask_error(error, Masker([Secret(VALUE)]))

    assert VALUE not in str(error) + repr(error) + str(error.args) + str(error.to_dict())
    assert error.message == "m ***"
    assert error.details == {"tail": ["***"], "***": 1}


def test_parts_that_are_not_there_stay_away() -> None:
    error = InternalError("plain")
    mask_error(error, Masker([Secret(VALUE)]))

    assert (error.message, error.hint) == ("plain", None)


async def test_output_is_masked_in_every_place_and_held_lines_come_at_the_end(bench: Bench, tmp_path: Path) -> None:
    lines: list[str] = []

    async def take(message: Message) -> None:
        lines.append(message.data["line"])

    await bench.bus.subscribe("run.r-1.output", take)
    log = OutputLog(bench.bus, tmp_path, Message("x", {}, run_id="r-1"), limit=1000, masker=Masker([Secret(VALUE)]))
    async with log:
        for line in (f"a {VALUE} b", VALUE[:5], f"{VALUE[5:]} c", "ends with c4nary"):
            log.line(line)
    await bench.bus.drain()

    assert lines == log.tail == ["a *** b", "*** c", "ends with c4nary"]
    assert (tmp_path / "output.log").read_text() == "a *** b\n*** c\nends with c4nary\n"


async def test_the_last_lines_of_a_script_that_failed_are_those_that_were_masked(bench: Bench) -> None:
    bench.vault.hold("r-1", {"password": Secret(VALUE)})
    text = f"echo {VALUE[:5]}\necho {VALUE[5:]}\nexit 3\n"
    data = {"text": text, "hash": "h", "provenance": {**vars_of_provenance()}, "files": []}
    with pytest.raises(ScriptFailedError) as failed:
        await bench.ask("executor.prepare", target="host", script=data)

    assert failed.value.details["tail"] == ["***"]
    assert failed.value.cause == "***"
    with pytest.raises(StepTimeoutError) as late:
        await bench.ask("executor.prepare", target="host", script=data | {"text": "sleep 9"}, timeout_s=0.01)
    assert late.value.details["tail"] == []


def vars_of_provenance() -> dict[str, str]:
    return {"integration": "x", "action": "install", "version": "1", "template": "t", "template_hash": "h"}


async def test_effects_get_what_is_there(bench: Bench) -> None:
    bench.vault.hold("r-1", {"password": Secret(VALUE)})
    prepared = await bench.ask("executor.prepare", target="host", script=await bench.built())
    named = {"target": "host", "transaction": prepared["transaction"]}
    command = EffectCommand(argv=("psql",), stdin=f"{mark('password')} {mark('token')}", timeout_s=1.0)
    probe = EffectCommand(argv=("psql",), timeout_s=1.0, stdout_contains="x")
    effect = Effect(id="role", kind="declared", description="A role", do=command, undo=probe, probe=probe)
    await bench.ask("executor.configure", **named, effects=[plain(effect)])

    assert bench.world.secrets == {"password": VALUE}
