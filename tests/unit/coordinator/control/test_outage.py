"""A coordinator that is away is asked again, in virtual time."""

from __future__ import annotations

import anyio
import pytest
from trio.testing import MockClock

from podlane.coordinator.control.outage import Outage, Patience
from podlane.kit.errors import TemporaryError

AWAY = TemporaryError("the coordinator http://c does not answer")
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "trio", {"clock": MockClock(autojump_threshold=0)}


class Middle:
    """No jitter."""

    def random(self) -> float:
        return 0.5


async def test_it_is_asked_until_it_answers() -> None:
    notes: list[str] = []
    asked: list[float] = []
    began = anyio.current_time()

    async def ask() -> str:
        asked.append(round(anyio.current_time() - began, 3))
        if len(asked) < 9:
            raise AWAY
        return "answer"

    patience = Patience(note=notes.append, random=Middle())
    assert await patience.outlast(ask) == "answer"
    assert asked == [0, 0.2, 0.6, 1.4, 3.0, 6.2, 12.6, 22.6, 32.6]
    assert notes == [f"{AWAY.message}; waiting for it, for up to 5 minutes"]


async def test_after_five_minutes_the_sentence_ends_it() -> None:
    began = anyio.current_time()

    async def ask() -> str:
        raise AWAY

    with pytest.raises(TemporaryError) as caught:
        await Patience(note=lambda _: None, random=Middle()).outlast(ask)
    assert caught.value is AWAY
    assert 285 < anyio.current_time() - began <= 300


async def test_each_outage_has_its_time_and_is_told_with_its_end() -> None:
    notes: list[str] = []
    outage = Outage(Patience(note=notes.append, random=Middle()))
    outage.over()
    for _ in range(40):
        await outage.wait(AWAY)
        outage.over()
    assert len(notes) == 80
    assert set(notes[1::2]) == {"the coordinator answers again"}


async def test_what_breaks_again_at_once_is_not_asked_in_a_hurry() -> None:
    outage = Outage(Patience(note=lambda _: None, random=Middle()))
    began = anyio.current_time()
    for _ in range(10):
        await outage.wait(AWAY)
        outage.over()
    assert anyio.current_time() - began > 40
    await anyio.sleep(3600)
    again = anyio.current_time()
    await outage.wait(AWAY)
    assert anyio.current_time() - again == pytest.approx(0.2)
