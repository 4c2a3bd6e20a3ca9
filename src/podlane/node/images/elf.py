"""Which shared libraries a program needs, read from its ELF file without running anything.

``ldd`` would run the loader once for each file; this takes microseconds. Format: elf(5).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NULL, _DT_NEEDED, _DT_STRTAB = 0, 1, 5
_CLASS64 = 2
_LITTLE_ENDIAN = 1
_DYN_SIZE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What the loader will ask for. A static program needs nothing."""

    interpreter: str | None = None
    libraries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Segment:
    kind: int
    offset: int
    address: int
    size: int


def read_needs(data: bytes) -> Needs | None:
    """Return the needs of the 64-bit ELF file ``data``, or None if it is something else."""
    if data[:4] != b"\x7fELF" or len(data) < 64 or data[4] != _CLASS64:  # noqa: PLR2004 - header
        return None
    order = "<" if data[5] == _LITTLE_ENDIAN else ">"
    try:
        segments = _segments(data, order)
        dynamic = next((s for s in segments if s.kind == _PT_DYNAMIC), None)
        interp = next((s for s in segments if s.kind == _PT_INTERP), None)
        return Needs(
            interpreter=_text(data, interp.offset) if interp else None,
            libraries=_libraries(data, order, segments, dynamic) if dynamic else (),
        )
    except (struct.error, ValueError, OverflowError):
        return None


def _segments(data: bytes, order: str) -> list[_Segment]:
    (table,) = struct.unpack_from(f"{order}Q", data, 32)
    size, count = struct.unpack_from(f"{order}HH", data, 54)
    found = []
    for index in range(count):
        kind, _, offset, address, _, in_file = struct.unpack_from(
            f"{order}IIQQQQ", data, table + index * size
        )
        found.append(_Segment(kind, offset, address, in_file))
    return found


def _libraries(
    data: bytes, order: str, segments: list[_Segment], dynamic: _Segment
) -> tuple[str, ...]:
    names, strings = [], 0
    for position in range(dynamic.offset, dynamic.offset + dynamic.size, _DYN_SIZE):
        tag, value = struct.unpack_from(f"{order}QQ", data, position)
        if tag == _DT_NULL:
            break
        if tag == _DT_NEEDED:
            names.append(value)
        elif tag == _DT_STRTAB:
            strings = value
    base = _offset(segments, strings)
    return tuple(_text(data, base + name) for name in names)


def _offset(segments: list[_Segment], address: int) -> int:
    for segment in segments:
        inside = segment.address <= address < segment.address + segment.size
        if segment.kind == _PT_LOAD and inside:
            return segment.offset + address - segment.address
    raise ValueError("an address outside of every segment")


def _text(data: bytes, start: int) -> str:
    return data[start : data.index(b"\0", start)].decode()
