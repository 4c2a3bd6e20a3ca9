"""Figures of whole commands, as a user starts them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.figures import Figure

PODLANE = str(Path(sys.executable).parent / "podlane")
ROOT = Path(__file__).resolve().parent.parent

CHAIN = 12
_STAMP = re.compile(rb"\d+\.\d+\s*$")
_TRACE = """\
printer:
  image: alpine
  script:
    - i=0
    - while [ $i -lt 12 ]; do read up idle </proc/uptime; echo "tick $up"; i=$((i+1)); sleep 0.7; done
"""


def _uptime() -> float:
    """The machine's clock that a container shares: seconds since the boot."""
    return float(Path("/proc/uptime").read_text().split()[0])


def podlane(*args: str, cwd: Path | None = None) -> str:
    """Run a command; return what it printed."""
    done = subprocess.run([PODLANE, *args], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"podlane {' '.join(args)} ended with {done.returncode}\n{done.stderr}")
    return done.stdout


def help_time(runs: int) -> Figure:
    """How long `podlane --help` takes."""
    samples = []
    for _ in range(runs + 1):
        begin = time.perf_counter()
        podlane("--help")
        samples.append((time.perf_counter() - begin) * 1000)
    return Figure(name="`podlane --help`", unit="ms", bar=150, samples=tuple(samples[1:]))


def founding_pipeline(runs: int) -> Figure:
    """The founding pipeline with a private node, images present."""
    samples = []
    for _ in range(runs + 1):
        begin = time.perf_counter()
        podlane("run", cwd=ROOT / "examples/founding")
        samples.append(time.perf_counter() - begin)
    return Figure(
        name="founding pipeline, `podlane run`",
        unit="s",
        bar=2.1,
        samples=tuple(samples[1:]),
        note="3 jobs one after the other, private node started and removed",
    )


def job_overhead(kubeconfig: Path) -> Figure:
    """What a job costs beyond its script: ``CHAIN`` jobs, each after the other."""
    jobs = ["stages: [only]"]
    for number in range(CHAIN):
        need = f"[job-{number - 1}]" if number else "[]"
        jobs.append(
            f"job-{number}:\n  stage: only\n  image: alpine\n  needs: {need}\n  script: ['true']"
        )
    with tempfile.TemporaryDirectory() as where:
        (Path(where) / ".gitlab-ci.yml").write_text("\n".join(jobs))
        out = podlane("run", "--format", "json", "--kubeconfig", str(kubeconfig), cwd=Path(where))
    took = [job["duration_seconds"] * 1000 for job in json.loads(out)["jobs"]]
    return Figure(
        name="job overhead (attach), `script: [true]`",
        unit="ms",
        bar=500,
        samples=tuple(took[1:]),
        note="picked up → final PUT accepted, sources cloned",
    )


LOG_MB = 200
_LOG_JOB = """\
printer:
  image: alpine
  variables: {GIT_STRATEGY: none}
  script:
    - i=0
    - |
      while [ $i -lt 20000 ]; do echo "a line of a log, as long as such lines often are: number $i"
      i=$((i+1)); done >/tmp/log
    - head -c 1000000 /tmp/log >/tmp/part
    - i=0; while [ $i -lt %d ]; do cat /tmp/part; i=$((i+1)); done
"""
_LOG_CONFIG = """\
[[runners]]
  url = "http://set.by.podlane.run"
  token = "set by podlane run"
  executor = "kubernetes"
  output_limit = 1000000
"""


def log_path(kubeconfig: Path) -> Figure:
    """How fast a job's log gets from the pod to the coordinator."""
    samples = []
    with tempfile.TemporaryDirectory() as where:
        (Path(where) / ".gitlab-ci.yml").write_text(_LOG_JOB % LOG_MB)
        (Path(where) / "config.toml").write_text(_LOG_CONFIG)
        options = ["--format", "json", "--config", "config.toml", "--kubeconfig", str(kubeconfig)]
        for _ in range(3):
            job = json.loads(podlane("run", *options, cwd=Path(where)))["jobs"][0]
            if len(job["trace"]) < LOG_MB * 1_000_000:
                raise RuntimeError(f"{len(job['trace'])} of {LOG_MB} MB arrived")
            samples.append(LOG_MB / job["duration_seconds"])
    return Figure(
        name="log: pod → manager → coordinator",
        unit="MB/s",
        bar=40,
        samples=tuple(samples),
        note=f"one job that prints {LOG_MB} MB, by its whole duration",
        at_least=True,
    )


def trace_latency(kubeconfig: Path) -> Figure:
    """From a line being printed in the job to our seeing it in the output of `podlane run`."""
    samples: list[float] = []
    with tempfile.TemporaryDirectory() as where:
        (Path(where) / ".gitlab-ci.yml").write_text(_TRACE)
        with subprocess.Popen(
            [PODLANE, "run", "--kubeconfig", str(kubeconfig)],
            cwd=where,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                _, found, stamp = line.partition(b"tick ")
                if found and _STAMP.match(stamp):
                    samples.append(_uptime() - float(stamp))
    return Figure(
        name="trace latency",
        unit="s",
        bar=1.2,
        samples=tuple(samples),
        note="printed in the job → at the coordinator and shown by `podlane run`",
    )
