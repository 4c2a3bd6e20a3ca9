"""Virtual time that jumps to the next deadline when nothing runs, not even a thread."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import trio
import trio.abc
import trio.testing

Backend: TypeAlias = tuple[str, dict[str, Any]]


class _Threads(trio.abc.Instrument):
    """Holds the clock while a worker thread is at work.

    Trio takes a run whose only work is in threads for idle. Its clock would jump over whatever the
    thread is to do in time, or at best wait for it as long as a fixed number of real seconds says.
    """

    def __init__(self, clock: trio.testing.MockClock) -> None:
        self._clock = clock
        self._working = False

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Look whether the step began the work of a thread, or took its result."""
        working = trio.to_thread.current_default_thread_limiter().borrowed_tokens > 0
        if working != self._working:
            self._working = working
            self._clock.autojump_threshold = math.inf if working else 0


def virtual_time() -> Backend:
    """Return the backend for one test, whose clock never waits and never outruns a thread."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    return "trio", {"clock": clock, "instruments": [_Threads(clock)]}
