from __future__ import annotations

from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from podlane.runner.configuration import reload
from podlane.runner.configuration.config_file import read_config
from podlane.runner.configuration.reload import ConfigWatch

pytestmark = pytest.mark.anyio
GOOD = 'concurrent = {}\n[[runners]]\nurl = "u"\ntoken = "t"\nexecutor = "kubernetes"\n'


async def test_other_settings_are_told_at_once_when_asked_and_bad_ones_never(
    tmp_path: Path,
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(GOOD.format(1))
    watch = ConfigWatch(file, read_config(GOOD.format(1), "x", environ={})[0])
    for useless in (GOOD.format(1), "concurrent = ", "concurent = 2"):
        file.write_text(useless)
        watch.look_now()
        with anyio.move_on_after(0.2) as scope:
            await watch.changed()
        assert scope.cancelled_caught
    file.unlink()
    watch.look_now()
    with anyio.move_on_after(0.2) as scope:
        await watch.changed()
    assert scope.cancelled_caught
    file.write_text(GOOD.format(7))
    watch.look_now()
    with anyio.fail_after(5):
        assert (await watch.changed()).concurrent == 7


async def test_a_changed_file_is_noticed_by_its_time_stamp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload, "LOOK_SECONDS", 0.01)
    file = tmp_path / "config.toml"
    file.write_text(GOOD.format(1))
    watch = ConfigWatch(file, read_config(GOOD.format(1), "x", environ={})[0])
    file.write_text(GOOD.format(3))
    with anyio.fail_after(5):
        assert (await watch.changed()).concurrent == 3


async def test_what_is_wrong_with_a_file_is_logged_with_its_place_and_a_hint(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "config.toml"
    file.write_text("concurrent = 1\nconcurent = 2\nmetrics_server = ':1'\n")
    watch = ConfigWatch(file, read_config(GOOD.format(1), "x", environ={})[0])
    watch.look_now()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch.changed)
        with anyio.fail_after(30):
            while len(caplog.records) < 3:
                await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    said = [(record.levelname, record.__dict__["fields"]) for record in caplog.records]
    assert said[0] == (
        "ERROR",
        {
            "place": f"{file}:2", "message": "concurent is not a known setting",
            "hint": "did you mean concurrent?",
        },
    )  # fmt: skip
    assert (said[1][0], said[1][1]["hint"]) == ("WARNING", "write listen_address")
    assert "stay in force" in said[2][1]["error"]
