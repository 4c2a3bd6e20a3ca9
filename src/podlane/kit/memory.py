"""How the C library's allocator gives memory back."""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD = -3  # malloc.h
_BUFFER_BYTES = 256 * 1024


def keep_buffers_apart() -> None:
    """Give each large buffer its own mapping, of which only the pages in use take memory.

    uvloop allocates 256 KiB for each TLS connection and mostly uses the first pages. Left alone,
    glibc soon cuts them from its heap, where the pages were written before. Elsewhere: nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _BUFFER_BYTES)
