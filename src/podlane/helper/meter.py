"""How a transfer goes on (``TRANSFER_METER_FREQUENCY``), in one line that is written over itself."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

from podlane.helper.flags import Flag, Values

FLAG = Flag(
    "transfer-meter-frequency",
    "TRANSFER_METER_FREQUENCY",
    help="show the progress this often, at most once a second; 0: never",
)
_LEAST_SECONDS = 1.0
_UNIT = 1000.0
_PREFIXES = " KMGTPE"
_BLANK = " " * 16


class Meter:
    """Counts bytes of one transfer; a frequency of 0 prints nothing."""

    def __init__(
        self, label: str, frequency: float, *, total: int = 0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._label = label
        self._every = max(frequency, _LEAST_SECONDS) if frequency > 0 else 0.0
        self._total = total
        self._now = now
        self._started = self._shown = now()
        self._count = 0
        self._lock = threading.Lock()

    @classmethod
    def of(cls, values: Values, label: str, *, total: int = 0) -> Meter:
        """Return a meter as the command's flags ask for it."""
        return cls(label, values.seconds(FLAG.name), total=total)

    def add(self, count: int) -> None:
        """Note that so many bytes have gone or come; may be called by several threads."""
        with self._lock:
            self._count += count
            if self._every and self._now() - self._shown >= self._every:
                self._show("")

    def done(self) -> None:
        """End the line."""
        with self._lock:
            if self._every:
                self._show("\n")

    def _show(self, end: str) -> None:
        self._shown = self._now()
        known = f"/{amount(self._total)}" if self._total else ""
        rate = amount(self._count / max(self._shown - self._started, 1e-9), digits=1)
        line = f"\r{self._label} {amount(self._count)}{known} ({rate}/s){_BLANK}{end}"
        sys.stdout.write(line)
        sys.stdout.flush()


def amount(count: float, *, digits: int = 2) -> str:
    """Return a number of bytes with a decimal prefix: ``1.25 MB``."""
    step = 0
    while count >= _UNIT and step < len(_PREFIXES) - 1:
        count, step = count / _UNIT, step + 1
    return f"{int(count)} B" if not step else f"{count:.{digits}f} {_PREFIXES[step]}B"
