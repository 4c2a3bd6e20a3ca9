"""What reaches standard output, however slow its reader."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import signal
from podlane.cli import output
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
output.standard().document({"text": "x" * 1_000_000})
signal.setitimer(signal.ITIMER_REAL, 0)
"""


def test_a_long_document_is_whole_though_signals_interrupt_its_writing() -> None:
    with subprocess.Popen(
        [sys.executable, "-u", "-c", PROGRAM], stdout=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdout is not None
        seen = b""
        # In small pieces, so that the pipe is full most of the time.
        while piece := process.stdout.read(4096):
            seen += piece
    assert process.returncode == 0
    assert len(seen) == len('{\n  "text": ""\n}\n') + 1_000_000
