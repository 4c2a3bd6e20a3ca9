"""Figures of the archives that the helper makes, against Info-ZIP on the same files."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.figures import Figure

SMALL_FILES = 10_000
LARGE_BYTES = 500_000_000
RUNS = 3
_MB = 1_000_000
_PACK = """
import pathlib, re, sys
from podlane.helper import archive
from podlane.helper.selection import Selection
with open(sys.argv[1], "wb") as file:
    archive.write_zip(Selection(paths=["."], exclude=[]).collect(), file, archive.level("fastest"))
# Not ru_maxrss: execve keeps the parent's, so a large bench would be measured for a small helper.
peak = re.search(r"VmHWM:\\s+([0-9]+)", pathlib.Path("/proc/self/status").read_text())
print(int(peak[1]) // 1024)
"""


def figures() -> list[Figure]:
    """Pack 10,000 small files and one of 500 MB, by turns with ``zip -1``."""
    if shutil.which("zip") is None:
        print("bench: the figures of archives need Info-ZIP (apt-get install zip); left out")
        return []
    with tempfile.TemporaryDirectory() as where:
        tree = Path(where) / "tree"
        _fill(tree)
        ratios, memory = [], []
        for _ in range(RUNS):
            theirs = _seconds(tree, ["zip", "-q", "-1", "-r", f"{where}/theirs.zip", "."])[0]
            ours, peak = _seconds(tree, [sys.executable, "-c", _PACK, f"{where}/ours.zip"])
            ratios.append(theirs / ours)
            memory.append(float(peak))
            Path(where, "theirs.zip").unlink()
    note = f"{SMALL_FILES:,} small files and {LARGE_BYTES // _MB} MB, wall time"
    return [
        Figure(
            name="artifacts zip: throughput as a multiple of `zip -1`", unit="x", bar=0.8,
            samples=tuple(ratios), at_least=True, note=note,
        ),
        Figure(
            name="artifacts zip: memory of the helper", unit="MiB", bar=150.0,
            samples=tuple(memory), note="the same archive",
        ),
    ]  # fmt: skip


def _fill(tree: Path) -> None:
    """Make files that compress as sources and libraries do."""
    chance = random.Random(1)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(2000)]
    for number in range(SMALL_FILES):
        folder = tree / f"d{number % 100}"
        folder.mkdir(parents=True, exist_ok=True)
        text = " ".join(chance.choices(words, k=chance.randint(20, 900)))
        (folder / f"f{number}.txt").write_text(text)
    text_block = " ".join(chance.choices(words, k=125_000)).encode()[:_MB]
    with (tree / "large.bin").open("wb") as file:
        for number in range(LARGE_BYTES // _MB):
            shift = chance.randrange(_MB)
            block = text_block[shift:] + text_block[:shift]
            file.write(chance.randbytes(_MB) if number % 8 == 0 else block)


def _seconds(tree: Path, command: list[str]) -> tuple[float, int]:
    begin = time.monotonic()
    done = subprocess.run(command, cwd=tree, check=True, capture_output=True, text=True)
    return time.monotonic() - begin, int(done.stdout or 0)
