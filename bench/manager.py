"""Figures of the runner manager with many jobs that have nothing to say."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio

from bench.commands import PODLANE
from bench.figures import Figure

JOBS = 200
_SETTLE_SECONDS = 12.0
_WINDOW_SECONDS = 6.0
_WINDOWS = 10


@contextmanager
def _managers(jobs: int) -> Iterator[int]:
    """Run a simulated world and a manager with ``jobs`` running jobs; yield the manager's pid."""
    with tempfile.TemporaryDirectory() as where:
        command = [sys.executable, "-m", "bench.simulated", where, str(jobs)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as world:
            try:
                assert world.stdout is not None
                world.stdout.readline()
                with _manager(Path(where)) as pid:
                    yield pid
            finally:
                world.terminate()


@contextmanager
def _manager(place: Path) -> Iterator[int]:
    environ = os.environ | {"KUBECONFIG": str(place / "kubeconfig")}
    command = [PODLANE, "runner", "run", "--config", str(place / "config.toml")]
    with subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL) as manager:
        try:
            yield manager.pid
        finally:
            manager.kill()


def _sleep(seconds: float) -> None:
    anyio.run(anyio.sleep, seconds)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_kib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith("Private_"))


def idle_jobs() -> list[Figure]:
    """CPU and memory for each running job."""
    with _managers(0) as pid:
        _sleep(_SETTLE_SECONDS)
        base_kib, base_begin = _resident_kib(pid), _cpu_seconds(pid)
        _sleep(_WINDOW_SECONDS)
        base_cpu = (_cpu_seconds(pid) - base_begin) / _WINDOW_SECONDS
    cpu, memory = [], []
    with _managers(JOBS) as pid:
        _sleep(_SETTLE_SECONDS)
        for _ in range(_WINDOWS):
            begin = _cpu_seconds(pid)
            _sleep(_WINDOW_SECONDS)
            used = (_cpu_seconds(pid) - begin) / _WINDOW_SECONDS - base_cpu
            cpu.append(used / JOBS * 1000)
            memory.append((_resident_kib(pid) - base_kib) / JOBS)
    where = f"{JOBS} running jobs on a simulated cluster, trace interval 3 s"
    return [
        Figure(
            name="manager CPU per idle job", unit="ms/s", bar=1.5, samples=tuple(cpu), note=where
        ),
        Figure(
            name="manager memory per job", unit="KiB", bar=250, samples=tuple(memory), note=where
        ),
    ]
