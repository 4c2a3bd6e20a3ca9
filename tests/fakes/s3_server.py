"""An S3 server that others wrote (moto), on loopback, with the bucket ``caches``."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

BUCKET = "caches"
_SECONDS = 60.0
_SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print("%s:%d" % server.get_host_and_port(), flush=True)
sys.stdin.read()
"""


@contextmanager
def running_s3() -> Iterator[str]:
    """Yield ``host:port``. The server ends with the block, and also with its stdin."""
    command = [sys.executable, "-W", "ignore", "-c", _SERVER]
    with subprocess.Popen(
        command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address, "moto did not start"
            bucket = urllib.request.Request(f"http://{address}/{BUCKET}", method="PUT")
            urllib.request.urlopen(bucket, timeout=_SECONDS).close()
            yield address
        finally:
            process.kill()
