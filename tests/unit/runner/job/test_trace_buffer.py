from __future__ import annotations

import itertools
from pathlib import Path

import anyio.to_thread
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podlane.kit.errors import TemporaryError
from podlane.runner.job.trace_buffer import SPILL_BYTES, TraceBuffer, Utf8Repair


async def filled(*parts: bytes, limit: int = 1 << 30) -> TraceBuffer:
    buffer = TraceBuffer(limit_bytes=limit)
    for part in parts:
        await buffer.write(part)
    return buffer


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("text", "limit", "checksum"),
    [
        ("This is a basic log line", 1000, "crc32:367dfeeb"),
        ("Build trace with secret and multi-byte ü character", 1000, "crc32:0d7cf601"),
        ("This is the long message", 10, "crc32:295921ca"),
    ],
)
async def test_checksums_are_gitlabs(text: str, limit: int, checksum: str) -> None:
    buffer = await filled(text.encode(), limit=limit)
    assert buffer.checksum == checksum


@pytest.mark.anyio
async def test_what_is_no_utf_8_is_replaced_byte_by_byte() -> None:
    buffer = await filled(b"hello a\xfeb a\xff", b"b")
    assert (await buffer.read(0, buffer.size)).decode() == "hello a\ufffdb a\ufffdb"


@pytest.mark.anyio
async def test_a_large_trace_moves_to_disk_and_reads_the_same() -> None:
    parts = [bytes([65 + n % 26]) * 100_000 for n in range(30)]
    buffer = await filled(*parts)
    whole = b"".join(parts)
    assert buffer._in_file >= SPILL_BYTES
    assert len(buffer._memory) < SPILL_BYTES
    assert await buffer.read(0, buffer.size) == whole
    edge = buffer._in_file
    assert await buffer.read(edge - 10, edge + 10) == whole[edge - 10 : edge + 10]
    assert await buffer.read(edge + 1, edge + 2) == whole[edge + 1 : edge + 2]
    buffer.close()


@pytest.mark.anyio
async def test_the_limit_cuts_between_characters() -> None:
    buffer = await filled("aü".encode(), limit=2)
    assert (await buffer.read(0, buffer.size)).startswith(b"a\n\x1b[33;1mJob's log exceeded")


@pytest.mark.anyio
async def test_a_full_disk_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/dev/null/nowhere")
    with pytest.raises(TemporaryError, match="cannot keep the job's log in /dev/null/nowhere"):
        await filled(b"x" * SPILL_BYTES)


@given(data=st.binary(max_size=60), cuts=st.lists(st.integers(0, 60), max_size=6))
def test_any_chunking_repairs_the_same(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(c % (len(data) + 1) for c in cuts), len(data)]
    repair = Utf8Repair()
    out = b"".join(repair.feed(data[a:b]) for a, b in itertools.pairwise(edges))
    out += repair.feed(b"", final=True)
    assert out == Utf8Repair().feed(data, final=True)
    assert len(out.decode()) >= len(data.decode(errors="replace"))


@given(text=st.text(max_size=30))
def test_valid_text_passes_unchanged(text: str) -> None:
    assert Utf8Repair().feed(text.encode(errors="replace")) == text.encode(errors="replace")


@pytest.mark.anyio
async def test_what_is_saved_is_in_the_file_and_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    buffer = TraceBuffer(limit_bytes=1000, path=path)
    await buffer.write(b"one\ntwo\n")
    assert not path.exists()
    await buffer.save(4)
    assert path.read_bytes() == b"one\n"
    await buffer.save(4)
    await buffer.write(b"three\n")
    await buffer.save(buffer.size)
    assert path.read_bytes() == b"one\ntwo\nthree\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert buffer._in_file == 0
    assert await buffer.read(2, 10) == b"e\ntwo\nth"
    buffer.close()


@pytest.mark.anyio
async def test_saving_and_moving_to_disk_write_each_byte_once(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    buffer = TraceBuffer(limit_bytes=1 << 30, path=path)
    parts = [bytes([65 + n % 26]) * 100_000 for n in range(20)]
    for number, part in enumerate(parts):
        await buffer.write(part)
        if number % 3 == 0:
            await buffer.save(buffer.size - 50_000)
    await buffer.save(buffer.size)
    assert path.read_bytes() == b"".join(parts)
    assert await buffer.read(0, buffer.size) == b"".join(parts)
    buffer.close()


@pytest.mark.anyio
async def test_another_buffer_goes_on_in_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    first = TraceBuffer(limit_bytes=16, path=path)
    await first.write("one ü".encode()[:-1])
    written = first.written
    await first.save(written.size)
    await first.write(b"never to be seen")
    await first.save(first.size)
    first.close()
    second = TraceBuffer(limit_bytes=16, path=path, before=written)
    await second.write("ü".encode()[1:] + b" two\n")
    assert await second.read(0, second.size) == "one ü two\n".encode()
    whole = await filled("one ü two\n".encode())
    assert second.checksum == whole.checksum
    await second.write(b"much too much")
    assert second.exceeded
    third = TraceBuffer(limit_bytes=16, path=path, before=second.written)
    await third.write(b"dropped")
    assert third.size == second.size
    second.close()
    third.close()


@pytest.mark.anyio
@pytest.mark.parametrize("path", [Path("/dev/full"), Path("/nowhere/at/all")])
async def test_a_file_that_cannot_be_written_is_left_for_another(path: Path) -> None:
    buffer = TraceBuffer(limit_bytes=1 << 30, path=path)
    parts = [bytes([65 + n % 26]) * 100_000 for n in range(12)]
    for part in parts:
        await buffer.write(part)
    with pytest.raises(TemporaryError, match="can no longer be kept"):
        await buffer.save(buffer.size)
    assert await buffer.read(0, buffer.size) == b"".join(parts)
    buffer.close()


@pytest.mark.anyio
async def test_what_was_saved_before_goes_along(tmp_path: Path) -> None:
    buffer = TraceBuffer(limit_bytes=1 << 30, path=tmp_path / "trace")
    await buffer.write(b"a" * SPILL_BYTES)
    await buffer.write(b"bcd")
    await buffer.save(buffer.size - 1)
    await anyio.to_thread.run_sync(buffer._move)
    await buffer.write(b"e" * SPILL_BYTES)
    assert await buffer.read(0, buffer.size) == b"a" * SPILL_BYTES + b"bcd" + b"e" * SPILL_BYTES
    assert (tmp_path / "trace").stat().st_size == SPILL_BYTES + 2
    buffer.close()
