"""How the C library's allocator gives memory back, seen from a process of its own."""

from __future__ import annotations

import subprocess
import sys

_BUFFERS = """
import ctypes
from podlane.kit import memory

memory.keep_buffers_apart()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
size = 256 * 1024
libc.free(libc.malloc(4 * size))  # from here on glibc would cut buffers from its heap
with open("/proc/self/maps") as maps:
    heap = next(line for line in maps if "[heap]" in line).split()[0]
begin = int(heap.split("-")[0], 16)
buffers = [libc.malloc(size) for _ in range(8)]
with open("/proc/self/maps") as maps:
    end = int(next(line for line in maps if "[heap]" in line).split()[0].split("-")[1], 16)
print(sum(begin <= buffer < end for buffer in buffers))
"""


def test_large_buffers_are_no_part_of_the_heap() -> None:
    command = [sys.executable, "-c", _BUFFERS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout == "0\n"
