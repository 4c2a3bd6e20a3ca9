from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podlane.kit.errors import TemporaryError
from podlane.runner.trace_buffer import SPILL_BYTES, TraceBuffer, Utf8Repair


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
