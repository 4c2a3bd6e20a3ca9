"""Measure, print the table, write docs/benchmarks.md."""

from __future__ import annotations

import functools
import sys
import tempfile
from pathlib import Path

import anyio

from bench import archives, commands, compile_bench, figures, logs, manager, node

RUNS = 11
PAGE = Path(__file__).resolve().parent.parent / "docs/benchmarks.md"
INTRO = """\
# Benchmarks

Written by `make bench`: medians, each run on the machine named below.
Other work on the same machine moves single figures;
compare medians, and ratios taken in one run.

Machine: {machine}
"""


def main() -> int:
    """Return 0 when every bar is met."""
    commands.podlane("node", "image", "build")
    found = [commands.help_time(RUNS)]
    with tempfile.TemporaryDirectory() as where, node.daemon(Path(where)) as kubeconfig:
        measure = functools.partial(node.measure, kubeconfig, RUNS)
        found += anyio.run(measure)
        found.append(commands.job_overhead(kubeconfig))
        found.append(commands.trace_latency(kubeconfig))
        found.append(commands.log_path(kubeconfig))
    found.append(logs.masking(RUNS))
    found += manager.idle_jobs()
    found.append(commands.founding_pipeline(RUNS))
    found += compile_bench.figures(RUNS)
    found += archives.figures()
    table = "\n".join([figures.HEAD, *(figure.row() for figure in found)])
    PAGE.write_text(INTRO.format(machine=figures.machine()) + "\n" + table + "\n")
    print(table)
    return 0 if all(figure.met for figure in found) else 1


if __name__ == "__main__":
    sys.exit(main())
