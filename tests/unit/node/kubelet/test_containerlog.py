"""A container's log: bytes, who wrote them, when."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from podlane.node.kubelet.containerlog import ContainerLog

pytestmark = pytest.mark.anyio


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[ContainerLog]:
    made = ContainerLog(tmp_path / "log")
    made.open()
    yield made
    made.close()


async def _all(log: ContainerLog, offset: int = 0) -> list[tuple[int, bytes]]:
    return [chunk async for chunk in log.chunks(offset)]


async def test_streams_stay_apart_and_in_order(log: ContainerLog) -> None:
    for stream, data in ((1, b"a"), (1, b"b"), (2, b"err"), (1, b"c")):
        await log.write(stream, data, 1.0)
    assert await _all(log) == [(1, b"ab"), (2, b"err"), (1, b"c")]
    assert await _all(log, 3) == [(2, b"rr"), (1, b"c")]


async def test_a_follower_sees_everything_and_then_the_end(log: ContainerLog) -> None:
    seen = b""

    async def follow() -> None:
        nonlocal seen
        async for _, data in log.chunks(follow=True):
            seen += data

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow)
        for number in range(50):
            await log.write(1, b"%d\n" % number, number / 10)
        log.end()
    assert seen == b"".join(b"%d\n" % number for number in range(50))


async def test_lines_have_the_time_of_their_first_byte(log: ContainerLog) -> None:
    await log.write(1, b"fir", 1.25)
    await log.write(1, b"st\nsecond", 2.5)
    stamped = [line async for line in log.stamped(0, follow=False)]
    assert stamped == [
        b"1970-01-01T00:00:01.250000000Z first\n",
        b"1970-01-01T00:00:02.500000000Z second",
    ]


@pytest.mark.parametrize(
    ("lines", "expected"), [(0, b""), (1, b"3\n"), (2, b"2\n3\n"), (9, b"1\n2\n3\n")]
)
async def test_a_tail_is_whole_lines(log: ContainerLog, lines: int, expected: bytes) -> None:
    await log.write(1, b"1\n2\n3\n", 1.0)
    offset = await log.offset_of_tail(lines)
    assert b"".join([data for _, data in await _all(log, offset)]) == expected


async def test_output_is_found_by_time(log: ContainerLog) -> None:
    await log.write(1, b"old\n", 1.0)
    await log.write(1, b"new\n", 5.0)
    assert log.offset_since(3.0) == 4
    assert log.offset_since(9.0) == 8


async def test_last_words_are_bounded(log: ContainerLog) -> None:
    await log.write(1, b"x" * 5000 + b"\nend\n", 1.0)
    words = await log.last_words()
    assert len(words) == 2048
    assert words.endswith("\nend\n")


async def test_a_closed_log_reads_as_empty(log: ContainerLog) -> None:
    await log.write(1, b"a", 1.0)
    log.close()
    assert await _all(log) == []
