"""Tokens are renewed in time, in virtual time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import anyio
import pytest
from tests.fakes.jobs import a_runner
from tests.fakes.virtual_time import Backend, virtual_time

from podlane.gitlab.errors import UnreachableError
from podlane.kit.errors import PodlaneError
from podlane.runner.administration.config_edit import RunnerToken
from podlane.runner.administration.maintenance import TokenNotKeptError
from podlane.runner.administration.roster import Entry
from podlane.runner.administration.rotation import Rotation, due_at
from podlane.runner.configuration.settings import GlobalSettings, RunnerSettings

pytestmark = pytest.mark.anyio
DAY = 86400.0


@pytest.fixture
def anyio_backend() -> Backend:
    return virtual_time()


class VirtualClock:
    def __init__(self) -> None:
        self._begin = anyio.current_time()

    def now(self) -> float:
        return anyio.current_time() - self._begin


class Half:
    def random(self) -> float:
        return 0.5


class World:
    """A GitLab and a file: tokens live for ``life``; ``errors`` come first."""

    def __init__(self, *runners: RunnerSettings, life: float = DAY) -> None:
        self.current = GlobalSettings(runners=runners)
        self.clock = VirtualClock()
        self.life = life
        self.renewed: list[tuple[float, str]] = []
        self.errors: list[PodlaneError] = []
        self.looks = 0
        self._file = self.current

    async def renew(self, entry: Entry) -> RunnerToken:
        await anyio.lowlevel.checkpoint()
        now = self.clock.now()
        self.renewed.append((now, entry.runner.token))
        given = RunnerToken(
            token=f"{entry.runner.token}+", obtained_at=now, expires_at=now + self.life
        )
        if self.errors:
            error = self.errors.pop(0)
            raise TokenNotKeptError(error, given) if error.hint == "disk" else error
        assert entry.index is not None
        runners = list(self.current.runners)
        runners[entry.index] = replace(
            entry.runner,
            token=given.token,
            token_obtained_at=now,
            token_expires_at=given.expires_at,
        )
        self._file = replace(self.current, runners=tuple(runners))
        return given

    def look_now(self) -> None:
        self.looks += 1
        self.current = self._file

    def adopt(self, settings: GlobalSettings) -> None:
        self.current = settings

    async def run(self, seconds: float) -> None:
        rotation = Rotation(self, self, clock=self.clock, random=Half())
        with anyio.move_on_after(seconds):
            await rotation.run()


def expiring(obtained: float | None = 0.0, expires: float = DAY, **more: Any) -> RunnerSettings:
    return a_runner(token_obtained_at=obtained, token_expires_at=expires, **more)


@pytest.mark.parametrize(
    ("runner", "moment"),
    [
        (expiring(1000.0, 2000.0), 1750.0),
        (expiring(None, 2000.0), 0.0),
        (a_runner(token_obtained_at=5.0), None),
        (expiring(feature_flags=(("FF_DISABLE_AUTOMATIC_TOKEN_ROTATION", True),)), None),
        (expiring(token=""), None),
    ],
)
async def test_a_token_is_due_at_three_quarters_of_its_life(
    runner: RunnerSettings, moment: float | None
) -> None:
    assert due_at(runner) == moment


async def test_tokens_are_renewed_again_and_again() -> None:
    world = World(a_runner(), expiring(token="t"))
    await world.run(2 * DAY)
    assert world.renewed == [(0.75 * DAY, "t"), (1.5 * DAY, "t+")]
    assert world.looks == 2


async def test_a_failure_is_tried_again_with_growing_pauses() -> None:
    world = World(expiring(token="t"))
    world.errors = [UnreachableError("no answer") for _ in range(3)]
    await world.run(DAY)
    times = [time - 0.75 * DAY for time, _ in world.renewed]
    assert times == [0, 60, 180, 420]
    assert world.current.runners[0].token == "t+"


async def test_a_token_that_could_not_be_written_down_is_used_all_the_same() -> None:
    world = World(expiring(token="t"), a_runner(token="other"))
    world.errors = [PodlaneError("no space", hint="disk")]
    await world.run(DAY)
    assert [runner.token for runner in world.current.runners] == ["t+", "other"]
    assert world.looks == 0


async def test_a_new_file_is_not_waited_for_in_a_busy_loop() -> None:
    world = World(expiring(token="t", expires=0.0))
    world.look_now = lambda: None  # type: ignore[method-assign] # the file has not been read yet
    await world.run(59)
    assert len(world.renewed) == 1


async def test_a_token_that_shall_not_be_renewed_is_warned_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runner = a_runner(
        token_obtained_at=0.0, token_expires_at=DAY,
        feature_flags=(("FF_DISABLE_AUTOMATIC_TOKEN_ROTATION", True),),
    )  # fmt: skip
    world = World(runner)
    await world.run(0.7 * DAY)
    assert "token_expires" not in caplog.text
    await world.run(DAY)
    assert caplog.text.count("token_expires") == 1
    assert world.renewed == []
