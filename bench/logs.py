"""Figures of a job's log on its way through the manager."""

from __future__ import annotations

import time

import anyio

from bench.figures import Figure
from podlane.model.masking import Masker
from podlane.model.timestamps import Timestamper
from podlane.runner.job.trace_buffer import TraceBuffer

MB = 1_000_000
CHUNK = 32 * 1024
SECRETS = 50
_LINES = (
    "[INFO] Compiling module com.example.service.billing (34 of 217)",
    "npm warn deprecated inflight@1.0.6: this module is not supported, and leaks memory",
    "==> test_orders.py::test_an_order_with_no_lines_is_refused PASSED                  [ 43%]",
    "\x1b[32m  ok\x1b[0m 1024 of 4096 objects, 12.5 MB/s",
    "at org.example.Handler.lambda$handle$0(Handler.java:118) ~[classes/:na]",
)


def sample(size: int) -> bytes:
    """Return a log of ``size`` bytes such as builds print."""
    text = "".join(f"{line} #{number}\n" for number in range(997) for line in _LINES).encode()
    return (text * (size // len(text) + 1))[:size]


async def _mask(data: bytes) -> float:
    secrets = [f"secret-{number:02d}-{'q7Zx' * (number % 9 + 2)}" for number in range(SECRETS)]
    masker, stamper = Masker(secrets), Timestamper(1)
    buffer = TraceBuffer(limit_bytes=1 << 40)
    begin = time.process_time()
    for start in range(0, len(data), CHUNK):
        masked = masker.feed(data[start : start + CHUNK])
        await buffer.write(stamper.feed(masked, now=1.0))
    await buffer.write(stamper.close(), beyond_limit=True)
    took = time.process_time() - begin
    buffer.close()
    return len(data) / MB / took


def masking(runs: int) -> Figure:
    """Masking, time stamps and the trace buffer, in CPU time."""
    data = sample(40 * MB)
    samples = [anyio.run(_mask, data) for _ in range(runs + 1)]
    return Figure(
        name="masking + time stamps + trace buffer",
        unit="MB/s",
        bar=200,
        samples=tuple(samples[1:]),
        note=f"of CPU time; {SECRETS} secrets, chunks of {CHUNK // 1024} KiB",
        at_least=True,
    )
